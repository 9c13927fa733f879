# SPDX-License-Identifier: Apache-2.0
"""cmkd against a reference model (model.py): 100,000 calls at random by two users and root, each answered as foretold.

The calls are shared out to as many machines as there are processors; each has a process of its own, which this file is
too. Several calls are on their way at once where none of them can change the answer to another. Between them time passes
- to expiries, deletions and the ends of tokens, and to the second before -, and cmkd is stopped, killed and rebooted.

A divergence is told with its seed and with every call that concerned the same keys. To see one again:

    CMKD_MODEL_SEED=seed meson devenv -C BUILD /usr/bin/python3 -m pytest -s tests/bus/test_model.py

CMKD_MODEL_OPERATIONS is how many calls there are."""
import collections
import ctypes
import json
import os
import random
import secrets
import subprocess
import sys

from calls_at_random import USERS, Calls
from client import METHODS, b64, iterate_until, unb64
from harness import new_machine
from model import DAY, LAST_SECOND, Altered, Fresh, Model, Refused, Wrapping
from wrapping import libcrypto, raw_sm2

START = 2_000_000_000
LIMITS = {'KeysPerUser': 24, 'ImportSetsPerKey': 5, 'ImportSetsPerUser': 30}
CONFIG = {'Limits': {**LIMITS, 'DecryptFailuresPerMinute': 0}, 'WrappingKeys': {'ReadyRsa2048': 0, 'ReadyEcSm2': 16}}
MOST_IN_FLIGHT = 32
READING = {'DescribeKey', 'ListKeys', 'ListAliases', 'GetPublicKey', 'Encrypt', 'Decrypt', 'ReEncrypt', 'GenerateDataKey',
           'GenerateDataKeyWithoutPlaintext', 'GenerateMac', 'VerifyMac', 'Sign', 'Verify', 'AsymmetricEncrypt',
           'AsymmetricDecrypt'}
LISTING = {'ListKeys', 'ListAliases'}
ENDINGS = ('restart', 'kill and start', 'reboot', 'restart_tpm')

for name in ('d2i_PUBKEY', 'EVP_PKEY_CTX_new_from_pkey'):
    getattr(libcrypto, name).restype = ctypes.c_void_p


def sm2_encrypt(public_key, data):
    """As `openssl pkeyutl -encrypt` does it, without a process to each."""
    start, size = ctypes.c_char_p(public_key), ctypes.c_size_t(len(data) + 200)
    key = ctypes.c_void_p(libcrypto.d2i_PUBKEY(None, ctypes.byref(start), len(public_key)))
    context = ctypes.c_void_p(libcrypto.EVP_PKEY_CTX_new_from_pkey(None, key, None))
    output = ctypes.create_string_buffer(size.value)
    assert libcrypto.EVP_PKEY_encrypt_init(context) == 1
    assert libcrypto.EVP_PKEY_encrypt(context, output, ctypes.byref(size), data, ctypes.c_size_t(len(data))) == 1
    libcrypto.EVP_PKEY_CTX_free(context)
    libcrypto.EVP_PKEY_free(key)
    return output.raw[:size.value]


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def sendable(value):
    """What an argument looks like on the bus."""
    if isinstance(value, Altered):
        return b64(flipped(unb64(value.source.value)))
    if not isinstance(value, Wrapping):
        return value.value if isinstance(value, Fresh) else value
    if value.flaw == 'short':
        return b64(bytes(97))
    data = value.data if isinstance(value.data, bytes) else value.data.data
    wrapped = raw_sm2(sm2_encrypt(unb64(value.import_set.public_key.value), data))
    return b64(flipped(wrapped) if value.flaw else wrapped)


def is_known(value):
    """Whether it can be sent already: the calls that it comes from are answered."""
    value = getattr(value, 'source', value)
    value = value.import_set.public_key if isinstance(value, Wrapping) else value
    return not isinstance(value, Fresh) or value.value is not None


def agree(expected, answer):
    if isinstance(expected, Fresh):
        return expected.takes(answer)
    if isinstance(expected, dict):
        return isinstance(answer, dict) and expected.keys() == answer.keys() and all(
            [agree(expected[name], answer[name]) for name in expected])
    if isinstance(expected, list):
        return isinstance(answer, list) and len(expected) == len(answer) and all(map(agree, expected, answer))
    return expected == answer and isinstance(answer, bool) == isinstance(expected, bool)


def differences(expected, answer, path=''):
    """(where, expected, answered) of what does not agree."""
    if agree(expected, answer):
        return []
    if isinstance(expected, dict) and isinstance(answer, dict):
        return [found for name in sorted({*expected, *answer})
                for found in differences(expected.get(name), answer.get(name), f'{path}/{name}')]
    if isinstance(expected, list) and isinstance(answer, list) and len(expected) == len(answer):
        return [found for place, pair in enumerate(zip(expected, answer))
                for found in differences(*pair, f'{path}/{(pair[0]).get("KeyId", place) if isinstance(pair[0], dict) else place}')]
    return [(path, expected, answer)]


class Operation:
    """One call, and what it has to be answered."""

    def __init__(self, model, uid, method, arguments, options):
        self.uid, self.method, self.arguments, self.options = uid, method, arguments, options
        self.now, self.call = model.now, None
        self.concerns = self.find_concerns(model)
        self.locks = {'CreateKey': {'the order of keys'}, 'GetParametersForImport': {('sets', uid)}}.get(method, set())
        self.expected, self.error = None, None
        try:
            self.expected = model.call(uid, method, arguments, options)
        except Refused as refusal:
            self.error = refusal.args[0]
        created = (self.expected or {}).get('KeyMetadata', {}).get('KeyId')
        self.concerns |= {created} if created else set()

    def find_concerns(self, model):
        """The keys and aliases that its answer may depend on or that it may change."""
        found = set()
        for value in (*self.arguments, *self.options.values()):
            value = getattr(value, 'source', value)
            if isinstance(value, (dict, list, int)):
                continue
            if (self.uid, value) in model.aliases:
                found |= {model.aliases[self.uid, value][1].id}
            if isinstance(value, str) and value.startswith('alias/'):
                found |= {(self.uid, value)}
            elif value in model.keys or value == self.options.get('KeyId'):
                found |= {value}
            elif hasattr(value, 'import_set'):
                found |= {value.import_set.key.id}
            elif hasattr(value, 'key_id'):
                found |= {value.key_id}
        return found

    def is_ready(self):
        return all(map(is_known, (*self.arguments, *self.options.values())))

    def send(self, client):
        self.call = client.start(self.method, *map(sendable, self.arguments),
                                 **{name: sendable(value) for name, value in self.options.items()})

    def differences(self):
        """Between what was foretold and what was answered."""
        if self.error or self.call.error:
            name = self.call.error.name if self.call.error else None
            return [] if name == self.error else [('', self.error or self.expected, name or self.call.answer)]
        request_id = self.call.answer.pop('RequestId', None)
        return differences(self.expected, self.call.answer) if request_id else [('/RequestId', 'one', None)]

    def __str__(self):
        def text(value):
            if isinstance(value, Wrapping):
                return f'<{value.flaw or "material"} {sendable(value)[:12]}... for {text(value.import_set.token)}>'
            if isinstance(value, Altered):
                return f'<altered {text(value.source)}>'
            shown = str(value)
            return shown if len(shown) < 60 else f'{shown[:20]}...{shown[-20:]}'
        words = [*map(text, self.arguments), *(f'{name}={text(value)}' for name, value in self.options.items())]
        return f'at {self.now}, uid {self.uid}: {self.method}({", ".join(words)}) -> {self.error or "ok"}'


class Run:
    """@count calls on a machine of its own."""

    def __init__(self, machine, seed, count):
        self.machine, self.seed, self.count = machine, seed, count
        self.rng = random.Random(seed)
        self.model = Model(START, LIMITS)
        self.calls = Calls(self.rng, self.model)
        self.clients = {uid: machine.client(uid) for uid in USERS}
        self.history = []  # operations, and texts of what concerns all
        self.seen = collections.Counter()
        self.batch, self.reads, self.writes, self.changes, self.lists = [], set(), set(), False, False

    def run(self):
        machine_troubles = self.count // 12
        for number in range(1, self.count + 1):
            operation = Operation(self.model, *self.calls.next())
            if not self.goes_with_the_others(operation):
                self.finish_batch()
            self.add(operation)
            if len(self.batch) == MOST_IN_FLIGHT:
                self.finish_batch()
            if self.rng.random() < .03:
                self.finish_batch()
                self.pass_time()
            if number % machine_troubles == 0:
                self.finish_batch()
                self.trouble(self.rng.choice(ENDINGS))
        self.finish_batch()

    def goes_with_the_others(self, operation):
        """Whether every order of the calls under way and this one gives the same answers."""
        if not operation.is_ready():
            return False
        if operation.method in LISTING:
            return not self.changes
        if operation.method in READING:
            return not operation.concerns & self.writes
        concerns = operation.concerns | operation.locks
        return not self.lists and not concerns & (self.reads | self.writes)

    def add(self, operation):
        if operation.method in LISTING:
            self.lists = True
        if operation.method in READING:
            self.reads |= operation.concerns
        else:
            self.changes = True
            self.writes |= operation.concerns | operation.locks
        self.batch.append(operation)
        self.history.append(operation)
        operation.send(self.clients[operation.uid])

    def finish_batch(self):
        iterate_until(lambda: all(operation.call.done for operation in self.batch), 'answers to a batch of calls')
        for operation in self.batch:
            self.seen[operation.method] += 1
            self.seen[operation.error or 'answered'] += 1
        for operation in self.batch:
            found = operation.differences()
            if found:
                self.tell(operation, found)
        self.batch, self.reads, self.writes, self.changes, self.lists = [], set(), set(), False, False

    def tell(self, operation, found):
        """What differs, and how it came to it."""
        concerns = operation.concerns | {key for key in self.model.keys if any(
            repr(key.value if isinstance(key, Fresh) else key) in f'/{where}/{expected}/{answer}'.replace('/', "'")
            for where, expected, answer in found)}
        lines = [str(entry) for entry in self.history if isinstance(entry, str) or entry.concerns & concerns]
        raise AssertionError(
            f'cmkd and the model differ. CMKD_MODEL_SEED={self.seed}, call {self.history.index(operation) + 1}:\n'
            + '\n'.join(lines[-200:]) + f'\n\nthis call: {operation}\n' + '\n'.join(
                f'foretold{where}: {expected}\nanswered{where}: {answer}' for where, expected, answer in found))

    def pass_time(self):
        """Mostly little; at times just to where something ends, or to the second before."""
        model, choice = self.model, self.rng.random()
        dates = [*(key.expires for key in model.keys.values()), *(key.delete_at for key in model.keys.values()),
                 *(one.expires for one in model.sets)]
        dates = sorted(date - self.rng.randrange(2) for date in dates if 1 < date - model.now < 400 * DAY)
        if dates and choice < .15:
            now = self.rng.choice(dates[:2])
        elif choice < .94:
            now = model.now + self.rng.randrange(1, 600)
        else:
            now = model.now + self.rng.randrange(6, 20) * DAY
        now = min(now, LAST_SECOND - 1)
        self.machine.stop_clock(now)
        model.move_clock(now)
        self.seen['time passes'] += 1

    def trouble(self, ending):
        if ending == 'kill and start':
            self.machine.kill()
            self.machine.start()
        else:
            getattr(self.machine, ending)()
        self.history.append(f'--- {ending}')
        self.seen[ending] += 1


def main(seed, count):
    with new_machine(config=CONFIG, start=False) as machine:
        machine.stop_clock(START)
        machine.start()
        run = Run(machine, seed, count)
        run.run()
    print(json.dumps(run.seen))


def test_ws_12_calls_at_random_are_answered_as_the_model_foretells(request):
    count = int(os.environ.get('CMKD_MODEL_OPERATIONS', 100_000))
    machines = len(os.sched_getaffinity(0))
    seed = os.environ.get('CMKD_MODEL_SEED')
    seeds = [seed] if seed else [secrets.token_hex(4) for _ in range(machines)]
    runs = [subprocess.Popen([sys.executable, __file__, seed, str(-(-count // machines))], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True) for seed in seeds]
    outputs = [run.communicate()[0] for run in runs]
    for run, output in zip(runs, outputs):
        assert run.returncode == 0, output
    seen = sum((collections.Counter(json.loads(output.splitlines()[-1])) for output in outputs), collections.Counter())
    with request.config.pluginmanager.getplugin('capturemanager').global_and_fixture_disabled():
        print(f'# seeds {", ".join(seeds)}, {sum(seen[method] for method in METHODS)} calls')
        for name, number in seen.most_common():
            print('#', name.ljust(40), number)
    if count >= 50_000:  # few may not ask for a ciphertext of a key of SM2; there are no grants in the model
        assert set(METHODS) - {'GetStatus', 'Recover', 'GrantKey', 'RevokeGrant', 'ListGrants'} <= set(seen)


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))

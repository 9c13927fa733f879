# SPDX-License-Identifier: Apache-2.0
"""An unprivileged user says whatever can be said (FZ-01). cmkd stays, keeps what it has acknowledged, grows neither in
memory nor in open files, and answers with the errors of the contract only.

CMKD_FUZZ_SECONDS and CMKD_FUZZ_SEED say for how long at least, and which calls; scripts/fuzz takes another seed each
time."""
import os
import random
import re
import time
from pathlib import Path

from gi.repository import Gio, GLib

from client import DEADLINE, SOURCE_ROOT, DBusError, b64, iterate_until, unpack_answer
from fuzzing import BadCalls, send_raw
from harness import ALICE, BOB, new_machine

CALLS = 1000  # of a round
SECONDS = int(os.environ.get('CMKD_FUZZ_SECONDS', 0))
SEED = os.environ.get('CMKD_FUZZ_SEED', '1')
AT_A_TIME = 8
RAW_EVERY = 250  # calls
MORE_FILES, MORE_BYTES = 4, 24 << 20

OURS = set(re.findall(r'define CMKD_ERROR_\w+\s+"(\w+)"', (SOURCE_ROOT / 'include/cmkd.h').read_text())) - {'Internal'}
OF_THE_BUS = {f'org.freedesktop.DBus.Error.{name}' for name in (
    'InvalidArgs', 'UnknownMethod', 'UnknownInterface', 'UnknownObject', 'UnknownProperty', 'PropertyReadOnly',
    'AccessDenied', 'LimitsExceeded', 'NotSupported')}


class Fuzzer:
    def __init__(self, machine, calls):
        self.machine, self.calls = machine, calls
        self.kms = machine.client(ALICE)
        self.under_way = 0
        self.outcomes = {}
        self.strange = []

    def answered(self, connection, result, call):
        self.under_way -= 1
        try:
            answer = unpack_answer(connection.call_with_unix_fd_list_finish(result)[0])
            self.calls.learn(answer)
            name = 'done'
        except GLib.Error as error:
            name = DBusError.from_glib(error).name
            if name not in OURS | OF_THE_BUS:
                self.strange.append((call, name, error.message))
        self.outcomes[name] = self.outcomes.get(name, 0) + 1

    def run(self, n_calls):
        for number in range(n_calls):
            path, interface, member, body, fds = self.calls.next()
            self.kms.connection.call_with_unix_fd_list(
                self.machine.owner, path, interface, member, body, None, Gio.DBusCallFlags.NONE, DEADLINE * 1000, fds,
                None, self.answered, f'{path} {interface}.{member} {body.get_type_string()}')
            self.under_way += 1
            iterate_until(lambda: self.under_way < AT_A_TIME, 'an answer to a bad call')
            if number % RAW_EVERY == RAW_EVERY - 1:
                send_raw(self.machine, ALICE, [self.calls.message() for _ in range(5)])
        iterate_until(lambda: self.under_way == 0, 'the answers to bad calls')


def open_files(machine):
    return len(list(Path(f'/proc/{machine.daemon.pid}/fd').iterdir()))


def facts(kms, key, blob):
    """What nobody else can change."""
    return kms.describe(key), kms.ListAliases()['Aliases'], kms.Decrypt(blob)['Plaintext'], len(kms.ListKeys()['Keys'])


def test_fz_01_bad_calls():
    print(f'seed {SEED}')
    end = time.monotonic() + SECONDS
    no_quarantine = os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=0:thread_local_quarantine_size_kb=0'
    with new_machine(environment={'ASAN_OPTIONS': no_quarantine}) as machine:
        bob, alice = machine.client(BOB), machine.client(ALICE)
        key = bob.imported_key(Alias='alias/bob', Tags={'a': 'b'})
        blob = bob.Encrypt(key, b64(b'acknowledged'))['CiphertextBlob']
        before = facts(bob, key, blob)
        own = [alice.own_key(Alias='alias/fuzz'), alice.own_key(KeySpec='EC_P256'), alice.own_key(KeySpec='HMAC_256'),
               alice.external_key()]
        machine.owner = bob.connection.call_sync(
            'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'GetNameOwner',
            GLib.Variant('(s)', ('org.cmkd.Kms1',)), None, Gio.DBusCallFlags.NONE, -1, None).unpack()[0]
        fuzzer = Fuzzer(machine, BadCalls(random.Random(SEED), alice.connection, [*own, key]))
        fuzzer.run(CALLS // 2)
        files, memory = open_files(machine), machine.resident_bytes()
        fuzzer.run(CALLS)
        while not fuzzer.strange and time.monotonic() < end:
            fuzzer.run(CALLS)

        print(dict(sorted(fuzzer.outcomes.items())))
        assert not fuzzer.strange, fuzzer.strange[:5]
        assert machine.daemon.poll() is None
        assert open_files(machine) <= files + MORE_FILES
        assert machine.resident_bytes() <= memory + MORE_BYTES
        assert facts(bob, key, blob) == before
        machine.restart()
        assert facts(machine.client(BOB), key, blob) == before

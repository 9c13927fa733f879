# SPDX-License-Identifier: Apache-2.0
"""cmkctl as people expect of a tool: each verb speaks JSON, each error says what to do next."""
import json
import re
import subprocess

import pytest

from cmkctl import Cmkctl, Impostor, verbs
from harness import new_machine
from client import DEADLINE, ERROR_PREFIX, SOURCE_ROOT, UNKNOWN_KEY, unb64

# Those whose answer is a stream of objects, one a line, or words for a shell, or that ask no daemon and have none.
NO_JSON = {'monitor', 'log', 'complete', 'wrap', 'verify-attestation'}
ACCOUNT = 'games'  # every Debian has it


@pytest.fixture(scope='module')
def cmkctl(machine):
    return Cmkctl(machine)


class Keys:
    """One of each kind that the verbs below need, and files beside them."""

    def __init__(self, cmkctl, directory):
        self.cmkctl, self.directory = cmkctl, directory
        self.material = self.file('material', bytes(range(32)))
        self.text = self.file('text', b'what is secret')
        self.aes, self.other, self.disabled, self.going = (self.new() for _ in range(4))
        cmkctl('disable', self.disabled)
        cmkctl('schedule-deletion', self.going)
        self.empty, self.external, self.third = (self.new('--origin', 'EXTERNAL') for _ in range(3))
        cmkctl('import', self.external, '--material', self.material)
        cmkctl('get-parameters', self.third, '--public-key', self.path('public-key'), '--token', self.path('token'))
        self.signer, self.maker = self.new('--spec', 'EC_P256'), self.new('--spec', 'HMAC_256')
        self.opener = self.new('--spec', 'RSA_2048', '--usage', 'ENCRYPT_DECRYPT')
        cmkctl('alias', 'create', 'alias/one', self.aes)
        self.blob = self.file('blob', cmkctl('encrypt', self.aes, '--in', self.text))
        cmkctl('sign', self.signer, '--in', self.text, '--out', self.path('signature'))
        cmkctl('asymmetric-encrypt', self.opener, '--in', self.text, '--out', self.path('secret'))
        cmkctl('encrypt-file', self.aes, '--in', self.text, '--out', self.path('envelope'))
        self.grant = cmkctl.json('grant', self.aes, '--user', ACCOUNT, '--operations', 'Sign')['GrantId']

    def new(self, *options):
        return self.cmkctl('create', *options).decode().strip()

    def scheduled(self):
        key = self.new()
        self.cmkctl('schedule-deletion', key)
        return key

    def path(self, name):
        return self.directory / name

    def file(self, name, content):
        self.path(name).write_bytes(content)
        return self.path(name)

    def lines(self):
        """verb -> a command line that is answered."""
        into = ['--in', self.text, '--out']
        return {
            'create': [], 'list': [], 'show': [self.aes], 'enable': [self.aes], 'disable': [self.other],
            'set-description': [self.aes, 'new'], 'schedule-deletion': [self.other], 'cancel-deletion': [self.going],
            'alias': ['list'], 'tag': [self.aes, 'a=b'], 'untag': [self.aes, 'a'], 'grants': [self.aes],
            'grant': [self.aes, '--user', ACCOUNT, '--operations', 'Encrypt'], 'revoke': [self.aes, self.grant],
            'get-parameters': [self.empty], 'import': [self.empty, '--material', self.material],
            'delete-material': [self.third],
            'encrypt': [self.aes, *into, self.path('out')], 'decrypt': ['--in', self.blob, '--out', self.path('out')],
            're-encrypt': [self.aes, '--in', self.blob, '--out', self.path('out')], 'data-key': [self.aes],
            'encrypt-file': [self.aes, *into, self.path('out-1')],
            'decrypt-file': ['--in', self.path('envelope'), '--out', self.path('out-2')],
            're-encrypt-file': [self.aes, '--in', self.path('envelope'), '--out', self.path('out-3')],
            'sign': [self.signer, '--in', self.text],
            'verify': [self.signer, '--in', self.text, '--signature', self.path('signature')],
            'mac': [self.maker, '--in', self.text], 'public-key': [self.signer],
            'asymmetric-encrypt': [self.opener, '--in', self.text],
            'asymmetric-decrypt': [self.opener, '--in', self.path('secret')], 'status': [], 'recover': [],
        }


@pytest.fixture(scope='module')
def keys(cmkctl, tmp_path_factory):
    return Keys(cmkctl, tmp_path_factory.mktemp('files'))


def test_every_verb_prints_one_json_value(cmkctl, keys):
    lines = keys.lines()
    assert set(lines) == set(verbs()) - NO_JSON
    for verb, arguments in lines.items():
        done = cmkctl.run(verb, *arguments, '--json')
        assert (done.returncode, done.stderr) == (0, b''), verb
        assert isinstance(json.loads(done.stdout), dict) and done.stdout.count(b'\n') == 1, verb
        subprocess.run(['python3', '-m', 'json.tool'], input=done.stdout, check=True, capture_output=True,
                       timeout=DEADLINE)


def test_what_data_there_is_is_the_same_as_json(cmkctl, keys):
    assert unb64(cmkctl.json('decrypt', '--in', keys.blob)['Plaintext']) == b'what is secret'


# --- what to do next ---

# Whose messages have no verb that goes on from there: what they ask for stands in their own words.
NO_COMMAND = {'InvalidParameter', 'KeyAlreadyExists', 'StateNotAllowed', 'IncorrectKeyMaterial', 'MaterialMismatch',
              'InvalidCiphertext', 'LimitExceeded', 'Throttled', 'AccessDenied', 'StateCorrupted', 'StorageFull',
              'StorageFailure'}


def test_every_error_has_its_next_command():
    header = (SOURCE_ROOT / 'include' / 'cmkd.h').read_text()
    names = set(re.findall(r'#define CMKD_ERROR_(?!PREFIX)\w+\s+"(\w+)"', header))
    assert NO_COMMAND < names
    with new_machine(start=False) as machine:
        impostor = Impostor(machine)
        for name in names:
            impostor.answer = (ERROR_PREFIX + name, 'so it is')
            done = Cmkctl(machine).run('show', UNKNOWN_KEY)
            commands = re.findall('`cmkctl ([a-z-]+)[^`]*`', done.stderr.decode())
            assert done.returncode != 0 and len(commands) == (name not in NO_COMMAND), name
            assert set(commands) <= set(verbs())


def test_the_messages_of_cmkd_say_what_to_do(cmkctl, keys):
    forged = ['--encrypted', keys.file('zeros', bytes(256)), '--token', keys.path('token')]
    into = ['--in', keys.text]
    cases = [
        ('InvalidParameter', 'must be a key id', ['show', 'x']),
        ('InvalidParameter', 'Enabled, Disabled, PendingImport or PendingDeletion', ['list', '--state', 'x']),
        ('InvalidParameter', 'from 7 to 1096', ['schedule-deletion', keys.aes, '--days', '3']),
        ('InvalidParameter', 'later than now',
         ['import', keys.external, '--material', keys.material, '--expires', '@5']),
        ('KeyNotFound', '`cmkctl list`', ['show', UNKNOWN_KEY]),
        ('AliasNotFound', '`cmkctl alias list`', ['show', 'alias/none']),
        ('AliasAlreadyExists', '`cmkctl alias update`', ['alias', 'create', 'alias/one', keys.aes]),
        ('KeyAlreadyExists', 'choose another id', ['create', '--origin', 'EXTERNAL', '--key-id', keys.external]),
        ('NotExternalKey', '`cmkctl create --origin EXTERNAL`', ['delete-material', keys.aes]),
        ('UnsupportedOperation', 'KeyUsage ENCRYPT_DECRYPT', ['encrypt', keys.signer, *into]),
        ('KeyDisabled', '`cmkctl enable`', ['encrypt', keys.disabled, *into]),
        ('KeyPendingImport', '`cmkctl import`', ['encrypt', keys.new('--origin', 'EXTERNAL'), *into]),
        ('KeyPendingDeletion', '`cmkctl cancel-deletion`', ['encrypt', keys.scheduled(), *into]),
        ('StateNotAllowed', 'nothing to cancel', ['cancel-deletion', keys.aes]),
        ('InvalidImportToken', '`cmkctl get-parameters`', ['import', keys.new('--origin', 'EXTERNAL'), *forged]),
        ('IncorrectKeyMaterial', 'MGF1 hash SHA-256', ['import', keys.third, *forged]),
        ('MaterialMismatch', 'the same material', ['import', keys.external, '--material', keys.file('b', bytes(32))]),
        ('InvalidCiphertext', 'as Encrypt answered it', ['decrypt', '--in', keys.file('c', b'AAAA')]),
        ('LimitExceeded', 'take others away', ['tag', keys.aes, *(f'{i}=x' for i in range(21))]),
    ]
    for name, advice, arguments in cases:
        message = cmkctl.refused(3 if name.endswith('NotFound') else 1, *arguments)
        assert message.startswith(f'cmkctl: {name}: ') and advice in message

# SPDX-License-Identifier: Apache-2.0
"""cmkctl as people expect of a tool: each verb speaks JSON, each error says what to do next."""
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios

import pytest

from cmkctl import CMKCTL, Cmkctl, Impostor, verbs
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
              'StorageFailure', 'UnsupportedOperation'}


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
        ('InvalidParameter', 'later than now',
         ['import', keys.external, '--material', keys.material, '--expires', '@5']),
        ('KeyNotFound', '`cmkctl list`', ['show', UNKNOWN_KEY]),
        ('AliasNotFound', '`cmkctl alias list`', ['show', 'alias/none']),
        ('AliasAlreadyExists', '`cmkctl alias update`', ['alias', 'create', 'alias/one', keys.aes]),
        ('KeyAlreadyExists', 'choose another id', ['create', '--origin', 'EXTERNAL', '--key-id', keys.external]),
        ('NotExternalKey', '`cmkctl create --origin EXTERNAL`', ['delete-material', keys.aes]),
        ('UnsupportedOperation', 'KeyUsage ENCRYPT_DECRYPT', ['encrypt', keys.signer, *into]),
        ('UnsupportedOperation', 'Origin EXTERNAL', ['create', '--key-id', UNKNOWN_KEY]),
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


# --- with somebody who asks for a password on the same terminal ---

# Tells whether the terminal echoes each time that this is looked at.
TELL_ECHO = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

int
tcgetattr (int fd, struct termios *settings)
{
  int (*next) (int, struct termios *) = (int (*) (int, struct termios *)) dlsym (RTLD_NEXT, "tcgetattr");
  int result = next (fd, settings);

  return write (atoi (getenv ("TELL_ECHO")), settings->c_lflag & ECHO ? "+" : "-", 1) == 1 ? result : -1;
}
'''


class SharedTerminal:
    """Standard error of a cmkctl, on which somebody else may ask for a password as well."""

    def __init__(self, directory, *arguments):
        (directory / 'echo.c').write_text(TELL_ECHO)
        subprocess.run(['cc', '-shared', '-fPIC', '-o', directory / 'echo.so', directory / 'echo.c'], check=True)
        self.leader, self.follower = pty.openpty()
        self.looks, theirs = os.pipe()
        self.process = subprocess.Popen(
            [CMKCTL, *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.follower, pass_fds=[theirs],
            env={**os.environ, 'LD_PRELOAD': str(directory / 'echo.so'), 'TELL_ECHO': str(theirs)})
        os.close(theirs)
        self.shown = b''

    @staticmethod
    def read(fd, size):
        assert select.select([fd], [], [], DEADLINE)[0]
        return os.read(fd, size)

    def look(self, wanted):
        """Wait until cmkctl has seen the terminal as wanted."""
        while (seen := self.read(self.looks, 1)) != wanted:
            assert seen

    def ask(self):
        settings = termios.tcgetattr(self.follower)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(self.follower, termios.TCSADRAIN, settings)
        self.look(b'-')
        os.write(self.follower, b'Password: ')

    def stop_asking(self):
        os.write(self.follower, b'\n')
        settings = termios.tcgetattr(self.follower)
        settings[3] |= termios.ECHO
        termios.tcsetattr(self.follower, termios.TCSADRAIN, settings)

    def wait_for(self, text):
        while text not in self.shown:
            self.shown += self.read(self.leader, 4096)

    def end(self):
        """What was shown, after the end of cmkctl."""
        os.close(self.follower)
        self.process.stdin.close()
        self.process.wait(DEADLINE)
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while data := os.read(self.leader, 4096):
                self.shown += data
        os.close(self.leader)
        os.close(self.looks)
        return self.shown


@pytest.mark.parametrize('ends_by', ['end', 'signal'])
def test_who_waits_leaves_the_terminal_to_a_password(tmp_path, ends_by):
    with new_machine(start=False) as machine:
        impostor = Impostor(machine)
        terminal = SharedTerminal(tmp_path, Cmkctl(machine).bus, 'disable', UNKNOWN_KEY)
        terminal.wait_for(b'cmkctl: waiting for cmkd')
        terminal.ask()
        if ends_by == 'signal':
            terminal.process.send_signal(signal.SIGINT)
        else:
            os.write(terminal.follower, b'asked.\n')
            impostor.connection.close_sync()  # the bus answers in its place
        shown = terminal.end()
        assert re.search(rb'Password: $' if ends_by == 'signal' else rb'Password: asked\.\r\ncmkctl: NoReply: [^\r]*\r\n$',
                         shown), shown
        assert terminal.process.returncode == (-signal.SIGINT if ends_by == 'signal' else 5)


def test_what_goes_on_is_shown_again_after_a_password(cmkctl, keys, tmp_path):
    terminal = SharedTerminal(tmp_path, cmkctl.bus, 'encrypt-file', keys.aes, '--out', tmp_path / 'out')
    terminal.wait_for(b'cmkctl: encrypting')
    terminal.ask()
    terminal.look(b'-')
    terminal.stop_asking()
    terminal.look(b'+')
    terminal.wait_for(b'Password: \r\n\r\x1b[Kcmkctl: encrypting')
    assert terminal.end().endswith(b'\r\x1b[K') and terminal.process.returncode == 0

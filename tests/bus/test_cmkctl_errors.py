# SPDX-License-Identifier: Apache-2.0
"""cmkctl when something is wrong: usage, no bus, no daemon, no TPM, refusals, and answers that no cmkd gives."""
import contextlib
import json
import os
import pty
import re
import subprocess
import threading

import pytest
from gi.repository import Gio, GLib

from cmkctl import CMKCTL, Cmkctl, Impostor, help_of, on_terminal, refused, run, verbs
from harness import new_machine
from client import DEADLINE, ERROR_PREFIX, SOURCE_ROOT, UNKNOWN_KEY

# Usage

@pytest.mark.parametrize('arguments', [
    [],
    ['bogus'],
    ['--bogus'],
    ['list', '--bogus'],
    ['list', '-j'],
    ['list', 'operand'],
    ['show'],
    ['show', 'one', 'two'],
    ['--state', 'Enabled', 'list'],
    ['list', '--json=yes'],
    ['list', '--json', '--json'],
    ['list', '--state'],
    ['list', '--state=Enabled', '--state=Enabled'],
    ['list', '--limit', '0'],
    ['list', '--limit', '-1'],
    ['list', '--limit', '1x'],
    ['list', '--limit='],
    ['list', '--limit', '4294967296'],
    ['list', '--limit', '18446744073709551617'],
    ['list', '--system', '--session'],
    ['list', '--session', '--address=unix:path=/nowhere'],
    ['list', '--address=nonsense'],
    ['schedule-deletion'],
    ['schedule-deletion', UNKNOWN_KEY, '7'],
    ['schedule-deletion', UNKNOWN_KEY, '--days', '0'],
    ['schedule-deletion', UNKNOWN_KEY, '--days', '1w'],
    ['schedule-deletion', UNKNOWN_KEY, '--days', '3'],
    ['help', 'bogus'],
    ['cancel-deletion', UNKNOWN_KEY, '--days', '7'],
    ['alias'],
    ['alias', 'move', 'alias/a', UNKNOWN_KEY],
    ['alias', 'create', 'alias/a'],
    ['alias', 'create', 'alias/a', UNKNOWN_KEY, 'more'],
    ['alias', 'update', 'alias/a'],
    ['alias', 'delete'],
    ['alias', 'delete', 'alias/a', UNKNOWN_KEY],
    ['alias', 'list', UNKNOWN_KEY, 'more'],
    ['alias', 'list', '--limit', '0'],
    ['alias', 'delete', 'alias/a', '--limit', '1'],
    ['tag', UNKNOWN_KEY],
    ['tag', UNKNOWN_KEY, 'a=b', 'noequals'],
    ['untag', UNKNOWN_KEY],
    ['create', '--tag', 'noequals'],
    ['create', '--alias', 'alias/a', '--alias', 'alias/b'],
    ['import', UNKNOWN_KEY],
    ['import', UNKNOWN_KEY, '--encrypted', 'file'],
    ['import', UNKNOWN_KEY, '--token', 'file'],
    ['import', UNKNOWN_KEY, '--encrypted', '-', '--token', '-'],
    ['import', UNKNOWN_KEY, '--material', 'file', '--token', 'file'],
    ['import', UNKNOWN_KEY, '--encrypted', 'file', '--token', 'file', '--algorithm', 'RSAES_OAEP_SHA_1'],
    ['import', UNKNOWN_KEY, '--material', 'file', '--encrypted-private-key', 'file'],
    ['import', UNKNOWN_KEY, '--encrypted', 'file', '--encrypted-private-key', 'file'],
    ['import', UNKNOWN_KEY, '--encrypted', 'file', '--encrypted-private-key', '-', '--token', '-'],
    ['import', UNKNOWN_KEY, '--encrypted', '-', '--encrypted-private-key', '-', '--token', 'file'],
    ['get-parameters', UNKNOWN_KEY],
    ['get-parameters', UNKNOWN_KEY, '--token', 'file'],
    ['get-parameters', UNKNOWN_KEY, '--token', '-', '--public-key', '-'],
    ['get-parameters', UNKNOWN_KEY, '--token', '-', '--json'],
    ['wrap'],
    ['wrap', '--public-key', '-', '--in', '-'],
    ['wrap', '--public-key', 'file', '--json'],
    ['encrypt', UNKNOWN_KEY, '--context', 'noequals'],
    ['encrypt', UNKNOWN_KEY, '--out', '-', '--json'],
    ['re-encrypt', UNKNOWN_KEY, '--context', 'a=b', '--source-context', 'a=b'],
    ['data-key', UNKNOWN_KEY],
    ['data-key', UNKNOWN_KEY, '--plaintext', '-'],
    ['data-key', UNKNOWN_KEY, '--plaintext', 'file', '--without-plaintext'],
    ['data-key', UNKNOWN_KEY, '--json', '--spec', 'AES_128', '--bytes', '16'],
    ['data-key', UNKNOWN_KEY, '--json', '--bytes', '1025'],
    ['sign'],
    ['sign', UNKNOWN_KEY, '--out', '-', '--json'],
    ['verify', UNKNOWN_KEY],
    ['verify', UNKNOWN_KEY, '--signature', '-'],
    ['verify', UNKNOWN_KEY, '--signature', '-', '--in', '-'],
    ['mac', UNKNOWN_KEY, '--verify', '-'],
    ['mac', UNKNOWN_KEY, '--verify', 'file', '--out', 'file'],
    ['mac', UNKNOWN_KEY, '--verify', 'file', '--base64'],
    ['mac', UNKNOWN_KEY, '--digest'],
    ['public-key', UNKNOWN_KEY, '--out', '-', '--json'],
    ['asymmetric-encrypt', UNKNOWN_KEY, '--json', '--out=-'],
    ['asymmetric-decrypt', UNKNOWN_KEY, '--base64'],
], ids=' '.join)
def test_usage(arguments):
    """2, in one line that names the way to the help, before any bus is looked for."""
    message = refused(2, *arguments, stdin=b'x', env={'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nowhere'})
    assert '--help`' in message or '--address=nonsense' in arguments


def test_an_argument_must_be_text():
    with new_machine(start=False) as machine:
        assert 'UTF-8' in refused(2, f'--address={machine.address}', 'show', b'\xff'.decode(errors='surrogateescape'))


def test_help_of_every_verb():
    manual = (SOURCE_ROOT / 'docs' / 'man' / 'cmkctl.1').read_text().replace('\\-', '-')
    assert len(verbs()) == len(set(verbs())) > 25
    for verb in verbs():
        text = help_of(verb)
        assert text.startswith(f'Usage: cmkctl {verb} ')
        assert max(map(len, text.splitlines())) <= 120
        entries = [entry.start() for entry in re.finditer(rf'^\.T[PQ]\n(\\fB|\.B ){verb}\b(?!-)', manual, re.MULTILINE)]
        assert entries, f'{verb} is not in cmkctl(1)'
        part = manual[entries[-1]:manual.index('\n.RE', entries[-1])]
        options = re.findall(r'^  (--[a-z0-9-]+)', text, re.MULTILINE)
        own = re.findall(r'^  (--[a-z0-9-]+)', text.partition('\nOptions of every verb:')[0], re.MULTILINE)
        assert [option for option in own if option not in part] == [], f'these of {verb} are not in cmkctl(1)'
        assert [option for option in options if option not in manual] == [], 'these are not in cmkctl(1)'
        examples = re.search(r'\nExample:\n((?:  \S.*\n)+)', text).group(1)
        assert re.search(rf'\bcmkctl {verb}\b', examples)
        assert all(example[2:].replace('\\', '\\e') in part for example in examples.splitlines())
        for words in re.findall(rf'cmkctl {verb} ([^|\n]*)', examples):
            assert set(re.findall('(?<!\\S)--[a-z0-9-]+', words.partition('-- ')[0])) <= set(options)


def test_ways_to_the_help():
    for ways in ([['--help'], ['-h'], ['help']], [['show', '--help'], ['show', '-h'], ['help', 'show']]):
        texts = {run(*way, env={}).stdout for way in ways}
        assert len(texts) == 1 and texts.pop().startswith(b'Usage: cmkctl ')
    assert '6 attestation key not known' in help_of()
    assert help_of('list').startswith('Usage: cmkctl list [OPTION...]\n')


def test_version():
    assert re.fullmatch(rb'cmkctl \d+\.\d+\.\d+\n', run('--version').stdout)


# What it loads

def libraries(*arguments):
    """The shared objects that a call loads."""
    done = run(*arguments, env={**os.environ, 'LD_DEBUG': 'files'})
    return set(re.findall(r'file=(?:\S*/)?(\S+) \[\d+\];\s+generating link map', done.stderr.decode()))


def test_only_wrapping_loads_libcrypto():
    with new_machine() as machine:
        cmkctl = Cmkctl(machine)
        assert any(name.startswith('libdbus') for name in libraries(cmkctl.bus, 'list'))
        for arguments in (['list'], ['status'], ['create'], ['encrypt', UNKNOWN_KEY], ['sign', UNKNOWN_KEY],
                          ['public-key', UNKNOWN_KEY]):
            loaded = libraries(cmkctl.bus, *arguments)
            assert not [name for name in loaded if re.match('libcrypto|libglib|libgio|cmkctl-wrap', name)]
        loaded = libraries('wrap', '--public-key', '/etc/hostname', '--in', '/etc/hostname')
        assert [name for name in loaded if name.startswith('libcrypto')]


# What is not there

def test_no_bus():
    assert 'no connection to the bus' in refused(5, '--address=unix:path=/nowhere', 'list')
    for option, variable in (('--system', 'DBUS_SYSTEM_BUS_ADDRESS'), ('--session', 'DBUS_SESSION_BUS_ADDRESS')):
        assert f'no connection to the {option[2:]} bus' in refused(
            5, option, 'list', env={**os.environ, variable: 'unix:path=/nowhere'})


def test_the_bus_is_the_one_that_was_meant():
    with new_machine() as machine:
        for options, variable in ((['--system'], 'DBUS_SYSTEM_BUS_ADDRESS'), ([], 'DBUS_SYSTEM_BUS_ADDRESS'),
                                  (['--session'], 'DBUS_SESSION_BUS_ADDRESS')):
            done = run(*options, 'list', '--json', env={**os.environ, variable: machine.address})
            assert (done.returncode, json.loads(done.stdout)['Keys']) == (0, [])


def test_no_daemon():
    with new_machine(start=False) as machine:
        for arguments in (['list'], ['status'], ['monitor'], ['show', UNKNOWN_KEY]):
            message = Cmkctl(machine).refused(5, *arguments)
            assert 'ServiceUnknown' in message and 'install the package cmkd' in message


def test_no_tpm():
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}) as machine:
        key = Cmkctl(machine)('create', '--origin', 'EXTERNAL').decode().strip()
        machine.stop_tpm()
        message = Cmkctl(machine).refused(5, 'import', key, '--material', '-', stdin=bytes(32))
        assert 'TpmUnavailable' in message


# What cmkd refuses

def test_no_such_key_and_the_next_step():
    with new_machine() as machine:
        cmkctl = Cmkctl(machine)
        for arguments in (['show', UNKNOWN_KEY], ['encrypt', UNKNOWN_KEY], ['enable', UNKNOWN_KEY],
                          ['import', UNKNOWN_KEY, '--material', '-'], ['delete-material', UNKNOWN_KEY]):
            assert 'KeyNotFound' in cmkctl.refused(3, *arguments, stdin=b'x' * 32)
        assert 'AliasNotFound' in cmkctl.refused(3, 'show', 'alias/none')
        assert 'InvalidParameter' in cmkctl.refused(1, 'show', 'none')
        assert 'InvalidParameter' in cmkctl.refused(1, 'create', '--origin', 'external')
        key = cmkctl('create').decode().strip()
        assert 'NotExternalKey' in cmkctl.refused(1, 'get-parameters', key, '--json')


# A cmkd that misbehaves

@pytest.fixture(scope='module')
def bare():
    with new_machine(start=False) as machine:
        yield machine


@pytest.fixture(scope='module')
def impostor(bare):
    return Impostor(bare)


@pytest.mark.parametrize('name, code', [
    (ERROR_PREFIX + 'KeyNotFound', 3),
    (ERROR_PREFIX + 'AliasNotFound', 3),
    (ERROR_PREFIX + 'AccessDenied', 4),
    ('org.freedesktop.DBus.Error.AccessDenied', 4),
    ('org.freedesktop.DBus.Error.InteractiveAuthorizationRequired', 4),
    (ERROR_PREFIX + 'TpmUnavailable', 5),
    ('org.freedesktop.DBus.Error.NoReply', 5),
    ('org.freedesktop.DBus.Error.Spawn.ChildExited', 5),
    ('org.freedesktop.DBus.Error.TimedOut', 5),
    ('org.freedesktop.systemd1.NoSuchUnit', 5),
    (ERROR_PREFIX + 'TpmChanged', 1),
    (ERROR_PREFIX + 'Internal', 1),
    ('org.freedesktop.DBus.Error.UnknownMethod', 1),
])
def test_exit_codes(bare, impostor, name, code):
    impostor.answer = (name, 'two\nlines \x1b[31m')
    message = Cmkctl(bare).refused(code, 'list')
    assert message.startswith(f"cmkctl: {name.rpartition('.')[2]}: ")
    assert '\x1b' not in message


@pytest.mark.parametrize('answer', [
    GLib.Variant('()', ()),
    GLib.Variant('(s)', ('text',)),
    GLib.Variant('(a{ss})', ({},)),
    GLib.Variant('(a{sv}s)', ({}, '')),
    GLib.Variant('(a{sv})', ({},)),
    GLib.Variant('(a{sv})', ({name: GLib.Variant('u', 7) for name in (
        'KeyMetadata', 'Keys', 'Aliases', 'NextMarker', 'PublicKey', 'ImportToken', 'CiphertextBlob', 'Plaintext',
        'Signature', 'SignatureValid', 'Mac', 'MacValid')},)),
    GLib.Variant('(a{sv})', ({name: GLib.Variant('s', '!!') for name in (
        'KeyMetadata', 'Keys', 'Aliases', 'PublicKey', 'ImportToken', 'Plaintext', 'Signature', 'SignatureValid', 'Mac',
        'MacValid')},)),
], ids=str)
@pytest.mark.parametrize('arguments', [
    ['create'], ['show', UNKNOWN_KEY], ['list'], ['alias', 'list'], ['import', UNKNOWN_KEY, '--material', '-'],
    ['get-parameters', UNKNOWN_KEY, '--public-key', '/dev/null', '--token', '/dev/null'],
    ['encrypt', UNKNOWN_KEY], ['decrypt'], ['data-key', UNKNOWN_KEY, '--plaintext', '/dev/null'],
    ['sign', UNKNOWN_KEY], ['sign', UNKNOWN_KEY, '--algorithm', 'ECDSA_SHA_256'],
    ['verify', UNKNOWN_KEY, '--algorithm', 'ECDSA_SHA_256', '--signature', '/etc/hostname'],
    ['mac', UNKNOWN_KEY, '--algorithm', 'HMAC_SHA_256'],
    ['mac', UNKNOWN_KEY, '--algorithm', 'HMAC_SHA_256', '--verify', '/etc/hostname'],
    ['public-key', UNKNOWN_KEY], ['public-key', UNKNOWN_KEY, '--der'],
    ['asymmetric-decrypt', UNKNOWN_KEY, '--algorithm', 'SM2PKE'],
], ids=lambda arguments: ' '.join(arguments[:1] + arguments[2:]))
def test_an_answer_that_is_none(bare, impostor, arguments, answer):
    """A message and 1: no crash, no half of a result."""
    impostor.answer = answer
    assert 'same version' in Cmkctl(bare).refused(1, *arguments, stdin=b'AAAA')


def test_a_key_spec_that_cmkctl_does_not_know(bare, impostor):
    impostor.answer = GLib.Variant('(a{sv})', ({'KeyMetadata': GLib.Variant('a{sv}', {
        'KeySpec': GLib.Variant('s', 'ML_DSA_65')})},))
    for arguments in (['sign', UNKNOWN_KEY], ['get-parameters', UNKNOWN_KEY, '--json']):
        message = Cmkctl(bare).refused(1, *arguments, stdin=b'x')
        assert 'ML_DSA_65' in message and '--algorithm' in message


def test_every_type_of_value(bare, impostor):
    values = {'Byte': ('y', 255), 'Boolean': ('b', True), 'Int16': ('n', -1), 'Uint16': ('q', 65535),
              'Int32': ('i', -2147483648), 'Uint32': ('u', 4294967295), 'Int64': ('x', -2**63), 'Uint64': ('t', 2**64 - 1),
              'Double': ('d', 0.1), 'String': ('s', '\x7f"\\\n€'), 'Path': ('o', '/a'), 'Signature': ('g', 'a{sv}'),
              'Bytes': ('ay', [1, 2]), 'Struct': ('(sb)', ('x', False)), 'Strings': ('as', []),
              'Map': ('a{ss}', {'k': 'v'}), 'Maps': ('aa{sv}', [{'Id': GLib.Variant('s', 'i')}])}
    impostor.answer = GLib.Variant('(a{sv})', ({
        **{name: GLib.Variant(*value) for name, value in values.items()},
        'Variant': GLib.Variant('v', GLib.Variant('v', GLib.Variant('u', 5))),
        'Infinite': GLib.Variant('d', float('inf')), 'Odd': GLib.Variant('a{us}', {1: 'x'})},))
    seen = json.loads(Cmkctl(bare)('disable', UNKNOWN_KEY, '--json'))
    for name, (_, value) in values.items():
        assert seen[name] == {'Struct': ['x', False], 'Maps': [{'Id': 'i'}]}.get(name, value)
    assert (seen['Variant'], seen['Infinite'], seen['Odd']) == (5, None, {})
    assert Cmkctl(bare)('disable', UNKNOWN_KEY) and Cmkctl(bare)('status')


def test_list_pages(bare, impostor):
    pages = {None: ('a', 'm1'), 'm1': ('', 'm2'), 'm2': ('bc', '')}

    def answer(message):
        options = message.get_body().unpack()[0]
        keys, marker = pages[options.get('Marker')]
        return GLib.Variant('(a{sv})', ({
            'Keys': GLib.Variant('aa{sv}', [{'KeyId': GLib.Variant('s', key)} for key in keys]),
            'NextMarker': GLib.Variant('s', marker), 'RequestId': GLib.Variant('s', f'of {marker}')},))

    impostor.answer, impostor.calls = answer, []
    seen = json.loads(Cmkctl(bare)('list', '--json', '--state', 'Enabled'))
    assert seen == {'Keys': [{'KeyId': key} for key in 'abc'], 'NextMarker': '', 'RequestId': 'of '}
    assert [body[0]['KeyState'] for _, body in impostor.calls] == ['Enabled'] * 3


def test_calls_allow_interaction(bare, impostor):
    impostor.answer, impostor.calls = (ERROR_PREFIX + 'AccessDenied', ''), []
    Cmkctl(bare).refused(4, 'list')
    assert impostor.calls[0][0] & Gio.DBusMessageFlags.ALLOW_INTERACTIVE_AUTHORIZATION


# On a terminal

def test_colours_and_width(bare, impostor):
    key = {'KeyId': GLib.Variant('s', UNKNOWN_KEY), 'KeyState': GLib.Variant('s', 'Enabled'),
           'Description': GLib.Variant('s', '日本' * 50)}
    impostor.answer = GLib.Variant('(a{sv})', ({'Keys': GLib.Variant('aa{sv}', [key]),
                                                'NextMarker': GLib.Variant('s', '')},))
    bus = Cmkctl(bare).bus
    _, plain = on_terminal(bus, 'list', columns=120, NO_COLOR='1')
    assert '\x1b' not in plain
    header, row = plain.splitlines()
    assert row.endswith('…')
    used = header.index('Description') + 2 * row.count('日') + 2 * row.count('本') + 1
    assert 119 <= used <= 120
    assert '\x1b[32mEnabled\x1b[0m' in on_terminal(bus, 'list')[1]
    assert '\x1b' not in on_terminal(bus, 'list', TERM='dumb')[1]
    assert '日本' * 50 in Cmkctl(bare)('list').decode()


def test_a_long_call_says_on_a_terminal_that_it_waits(bare, impostor):
    """But not on one that cannot wipe it out again, where a call has begun before."""
    said = threading.Event()

    def answer(_message):
        assert said.wait(DEADLINE)
        return GLib.Variant('(a{sv})', ({},))

    def begin(terminal):
        leader, follower = pty.openpty()
        process = subprocess.Popen([CMKCTL, Cmkctl(bare).bus, 'disable', UNKNOWN_KEY, '--json'], stdout=subprocess.PIPE,
                                   stderr=follower, env={**os.environ, 'TERM': terminal})
        os.close(follower)
        return leader, process

    impostor.answer = answer
    dumb, terminal = begin('dumb'), begin('xterm')
    assert b'cmkctl: waiting for cmkd' in os.read(terminal[0], 4096)
    said.set()
    for leader, process in dumb, terminal:
        assert process.communicate(timeout=DEADLINE)[0] == b'{}\n'
        assert process.returncode == 0
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
        assert os.read(dumb[0], 4096) == b''
    os.close(dumb[0])
    os.close(terminal[0])


@pytest.mark.parametrize('verb, what', [
    (['encrypt', UNKNOWN_KEY], 'plaintext'), (['decrypt'], 'ciphertext blob'), (['sign', UNKNOWN_KEY], 'message'),
    (['mac', UNKNOWN_KEY], 'message'), (['import', UNKNOWN_KEY, '--material', '-'], 'key material')],
    ids=lambda value: value if isinstance(value, str) else ' '.join(value))
def test_nothing_is_called_nothing(tmp_path, verb, what):
    (tmp_path / 'empty').touch()
    assert f"the {what} 'standard input' is empty" in refused(1, *verb)
    if '-' not in verb:
        assert f"the {what} '{tmp_path}/empty' is empty" in refused(1, *verb, '--in', tmp_path / 'empty')


def test_what_is_no_base64_has_a_name():
    assert "the ciphertext blob 'standard input' is not Base64" in refused(1, 'decrypt', stdin=b'%')

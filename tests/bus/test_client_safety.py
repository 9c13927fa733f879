# SPDX-License-Identifier: Apache-2.0
"""cmkctl where others mean harm: whoever takes the name of cmkd, speaks in its place, or prepares the environment."""
import contextlib
import json
import os
import shutil
import signal
import subprocess

import pytest
from gi.repository import Gio, GLib

import harness
from cmkctl import CMKCTL, Cmkctl, Impostor, refused, run
from harness import ALICE, BOB, new_machine
from client import BUS_NAME, DEADLINE, OBJECT_PATH, UNKNOWN_KEY, unb64

ANSWER = GLib.Variant('(a{sv})', ({'Keys': GLib.Variant('aa{sv}', []), 'NextMarker': GLib.Variant('s', '')},))
OWNER = 1  # DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER
KEYS = 'org.cmkd.Kms1.Keys'
QUEUED = 2  # DBUS_REQUEST_NAME_REPLY_IN_QUEUE

# cmkctl stops once its owner check is done.
STOP_BEFORE_CALL = r'''
#define _GNU_SOURCE
#include <dbus/dbus.h>
#include <dlfcn.h>
#include <signal.h>
#include <string.h>

DBusMessage *
dbus_connection_send_with_reply_and_block (DBusConnection *connection, DBusMessage *message, int timeout, DBusError *error)
{
  DBusMessage *(*next) (DBusConnection *, DBusMessage *, int, DBusError *) =
      dlsym (RTLD_NEXT, "dbus_connection_send_with_reply_and_block");

  if (strcmp (dbus_message_get_member (message), "Encrypt") == 0)
    raise (SIGSTOP);
  return next (connection, message, timeout, error);
}
'''


def as_bus(kind, machine):
    """The environment in which the bus of the machine is the system or the session bus."""
    return {**os.environ, f'DBUS_{kind.upper()}_BUS_ADDRESS': machine.address}


def call_bus(connection, method, signature='()', *arguments):
    return connection.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', method,
                                GLib.Variant(signature, arguments), None, Gio.DBusCallFlags.NONE, -1, None).unpack()


def tell(impostor, reason):
    """A signal that a key has changed."""
    impostor.connection.emit_signal(None, OBJECT_PATH, KEYS, 'KeyChanged',
                                    GLib.Variant('(sss)', (UNKNOWN_KEY, 'Enabled', reason)))
    impostor.connection.flush_sync()


# AU-08: the owner of the name

@pytest.fixture(scope='module')
def taken():
    """A bus on which an ordinary user has taken the name."""
    with new_machine(start=False) as machine:
        impostor = Impostor(machine, ALICE)
        impostor.answer = ANSWER
        yield machine, impostor


@pytest.mark.parametrize('kind', ['system', 'session'])
@pytest.mark.parametrize('arguments', [['encrypt', UNKNOWN_KEY], ['list'], ['import', UNKNOWN_KEY, '--material', '-'],
                                       ['status'], ['monitor']], ids=lambda arguments: arguments[0])
def test_au_08_nothing_is_sent_to_who_has_taken_the_name(taken, kind, arguments):
    machine, impostor = taken
    impostor.calls = []
    message = refused(1, f'--{kind}', *arguments, stdin=bytes(32), env=as_bus(kind, machine))
    assert f'uid {ALICE}' in message and 'busctl status' in message
    assert impostor.calls == []


@pytest.mark.parametrize('kind, uid, code', [('session', ALICE, 0), ('session', BOB, 1), ('system', ALICE, 1)])
def test_au_08_one_is_trusted_with_what_is_ones_own(taken, kind, uid, code):
    machine, _ = taken
    copy = shutil.copy(CMKCTL, machine.directory / 'cmkctl')  # where everybody can run it
    done = subprocess.run([copy, f'--{kind}', 'list', '--json'], capture_output=True, timeout=DEADLINE, user=uid,
                          env=as_bus(kind, machine))
    assert done.returncode == code, done.stderr


def test_au_08_who_waits_in_the_queue_gets_nothing():
    with new_machine() as machine:
        environment = as_bus('system', machine)
        impostor = Impostor(machine, ALICE)
        assert impostor.requested == QUEUED
        assert run('list', '--json', env=environment).returncode == 0
        with subprocess.Popen([CMKCTL, 'monitor'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=environment) as monitor:
            assert monitor.stderr.readline().startswith('Watching')
            machine.stop()
            assert monitor.wait(DEADLINE) == 1
            assert f'uid {ALICE}' in monitor.stderr.read()
        assert f'uid {ALICE}' in refused(1, 'encrypt', UNKNOWN_KEY, stdin=b'secret', env=environment)
        assert impostor.calls == []


def test_au_08_who_takes_the_name_between_check_and_call_gets_nothing(tmp_path):
    """The call goes to the process that was checked, not to whoever has the name by then."""
    (tmp_path / 'stop.c').write_text(STOP_BEFORE_CALL)
    flags = subprocess.run(['pkg-config', '--cflags', 'dbus-1'], check=True, capture_output=True, text=True).stdout
    subprocess.run(['cc', '-shared', '-fPIC', '-o', tmp_path / 'stop.so', tmp_path / 'stop.c', *flags.split()], check=True)
    with new_machine() as machine:
        environment = as_bus('system', machine)
        impostor = Impostor(machine, ALICE)
        with subprocess.Popen([CMKCTL, 'encrypt', UNKNOWN_KEY], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**environment, 'LD_PRELOAD': str(tmp_path / 'stop.so')}) as process, \
                contextlib.ExitStack() as terminator:
            terminator.callback(process.kill)
            process.stdin.write(b'secret')
            process.stdin.close()
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            machine.stop()
            assert call_bus(impostor.connection, 'GetNameOwner', '(s)', BUS_NAME) == (
                impostor.connection.get_unique_name(),)
            process.send_signal(signal.SIGCONT)
            assert process.wait(DEADLINE) == 1
            assert f'uid {ALICE}' in process.stderr.read().decode()
        assert impostor.calls == []


def test_au_08_signals_of_who_has_gone_unchecked_are_dropped():
    with new_machine(start=False) as machine:
        good = Impostor(machine)
        with subprocess.Popen([CMKCTL, 'monitor', '--json'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=as_bus('system', machine)) as monitor, contextlib.ExitStack() as terminator:
            terminator.callback(monitor.kill)
            assert monitor.stderr.readline().startswith('Watching')
            monitor.send_signal(signal.SIGSTOP)
            good.connection.close_sync()
            bad = Impostor(machine, ALICE)
            tell(bad, 'spoofed')
            bad.connection.close_sync()
            again = Impostor(machine)
            assert again.requested == OWNER
            tell(again, 'true')
            monitor.send_signal(signal.SIGCONT)
            assert json.loads(monitor.stdout.readline())['Reason'] == 'true'


# AU-09: messages of others. That cmkctl monitor ignores signals of others is in test_cmkctl.py.

def test_au_09_an_answer_of_somebody_else(monkeypatch):
    """A bus that lets everybody answer calls made to others, which none of today does."""
    monkeypatch.setattr(harness, 'BUS_CONFIG', harness.BUS_CONFIG.replace(
        '</policy>', '<allow send_requested_reply="false"/><allow receive_requested_reply="false"/></policy>'))
    with new_machine(start=False) as machine:
        owner, stranger = Impostor(machine), machine.new_client(ALICE).connection

        def answer(message):
            spoofed = message.new_method_reply()
            spoofed.set_destination(message.get_sender())
            spoofed.set_body(ANSWER)
            stranger.send_message(spoofed, Gio.DBusSendMessageFlags.NONE)

        owner.answer = answer
        assert f'uid {ALICE}' in refused(1, 'list', env=as_bus('system', machine))


def test_au_09_news_of_the_owner_that_are_not_of_the_bus():
    with new_machine() as machine:
        stranger = machine.new_client(ALICE).connection
        before = set(call_bus(stranger, 'ListNames')[0])
        with subprocess.Popen([CMKCTL, f'--address={machine.address}', 'monitor', '--json'], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as monitor:
            assert monitor.stderr.readline().startswith('Watching')
            name, = (name for name in call_bus(stranger, 'ListNames')[0] if name not in before)
            owner, = call_bus(stranger, 'GetNameOwner', '(s)', BUS_NAME)
            for path, interface in ((OBJECT_PATH, f'{BUS_NAME}.Keys'),
                                    ('/org/freedesktop/DBus', 'org.freedesktop.DBus')):
                stranger.emit_signal(name, path, interface, 'NameOwnerChanged',
                                     GLib.Variant('(sss)', (BUS_NAME, owner, stranger.get_unique_name())))
            stranger.emit_signal(name, OBJECT_PATH, f'{BUS_NAME}.Keys', 'KeyChanged',
                                 GLib.Variant('(sss)', (UNKNOWN_KEY, 'Enabled', 'Created')))
            stranger.flush_sync(None)
            key = Cmkctl(machine)('create').decode().strip()
            assert json.loads(monitor.stdout.readline())['KeyId'] == key
            monitor.kill()


# AU-12: what surrounds it

HOSTILE = ['nonsense', '', 'unix:', 'unix:path=' + 'a' * 5000, 'unixexec:path=/bin/false',
           'unixexec:path=/bin/echo,argv1=OK', 'tcp:host=localhost,port=0', 'launchd:env=HOME', 'unix:path=/dev/null', ';;;']


@pytest.mark.parametrize('address', HOSTILE, ids=lambda address: address[:20])
def test_au_12_hostile_addresses(address):
    """The leak of a buffer when libdbus itself tries to launch a bus is libdbus's."""
    for kind in ('system', 'session'):
        done = run(f'--{kind}', 'encrypt', UNKNOWN_KEY, stdin=b'secret', env={
            **os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nowhere', f'DBUS_{kind.upper()}_BUS_ADDRESS': address,
            'DISPLAY': ':77', 'XDG_RUNTIME_DIR': '/nowhere', 'ASAN_OPTIONS': 'detect_leaks=0'})
        assert (done.returncode in (2, 5), done.stdout) == (True, b''), done.stderr
        assert done.stderr.startswith(b'cmkctl: no connection to the ') and done.stderr.count(b'\n') == 1


def test_au_12_other_variables_change_nothing(taken):
    machine, impostor = taken
    impostor.calls = []
    nowhere = 'unix:path=/nowhere'
    hostile = {**os.environ, 'DBUS_STARTER_ADDRESS': machine.address, 'DBUS_STARTER_BUS_TYPE': 'system',
               'DBUS_SYSTEM_BUS_ADDRESS': nowhere, 'DBUS_SESSION_BUS_ADDRESS': nowhere}
    refused(5, 'list', env=hostile)
    assert impostor.calls == []
    hostile = {**hostile, 'DBUS_VERBOSE': '1', 'DBUS_FATAL_WARNINGS': '1', 'DBUS_STARTER_ADDRESS': nowhere,
               'TZ': '/etc/shadow', 'LC_ALL': '../../tmp', 'LANG': '%s%n'}
    done = run(f'--address={machine.address}', 'list', '--json', env=hostile)
    assert (done.returncode, done.stderr) == (0, b'')


def test_au_12_no_setuid(tmp_path):
    with new_machine(start=False) as machine:
        copy = machine.directory / 'cmkctl'
        shutil.copy(CMKCTL, copy)
        os.chown(copy, ALICE, ALICE)
        copy.chmod(0o4755)
        proof = tmp_path / 'proof'
        for arguments in (['--version'], ['list']):
            done = subprocess.run([copy, *arguments], capture_output=True, timeout=DEADLINE, env={
                'ASAN_OPTIONS': 'detect_leaks=0', 'DBUS_SYSTEM_BUS_ADDRESS': f'unixexec:path=/bin/touch,argv1={proof}'})
            assert (done.returncode, done.stdout) == (1, b'')
            assert b'setuid' in done.stderr
        assert not proof.exists()


@pytest.fixture(scope='module')
def answering():
    """A bus on which root answers each call with a blob."""
    with new_machine(start=False) as machine:
        impostor = Impostor(machine)
        impostor.answer = GLib.Variant('(a{sv})', ({'CiphertextBlob': GLib.Variant('s', 'AAAA')},))
        yield machine


@pytest.mark.parametrize('closed', ['>&-', '> /dev/full', '<&- >&-', '<&- >&- 2>&-', '>&- 2>&-'])
def test_au_12_output_that_cannot_be_written(answering, closed):
    for arguments in ('show KEY', 'show KEY --json', f'encrypt {UNKNOWN_KEY} --in /etc/hostname', '--help'):
        done = subprocess.run(['sh', '-c', f'"$0" "$1" {arguments} {closed}', CMKCTL, Cmkctl(answering).bus],
                              capture_output=True, timeout=DEADLINE)
        assert done.returncode == 1


def test_au_12_closed_input_is_no_empty_input(answering):
    done = subprocess.run(['sh', '-c', f'"$0" "$1" encrypt {UNKNOWN_KEY} <&-', CMKCTL, Cmkctl(answering).bus],
                          capture_output=True, timeout=DEADLINE)
    assert done.returncode == 1
    assert b'cannot read' in done.stderr


@pytest.mark.parametrize('closed', ['<&-', '>&-', '2>&-', '<&- >&-', '>&- 2>&-', '<&- >&- 2>&-'])
def test_au_12_files_hold_what_is_theirs_whatever_was_closed(machine, tmp_path, closed):
    """The first file that is opened would take the number of a stream that was closed, and then what is said there."""
    key = machine.client(0).own_key()
    command = ['sh', '-c', f'"$0" "$1" data-key {key} --plaintext "$2" --out "$3" {closed}', CMKCTL,
               Cmkctl(machine).bus]
    plaintext, blob = tmp_path / 'plaintext', tmp_path / 'blob'
    done = subprocess.run([*command, plaintext, blob], capture_output=True, timeout=DEADLINE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b'', b'')
    assert unb64(machine.client(0).Decrypt(blob.read_text().strip())['Plaintext']) == plaintext.read_bytes()

    done = subprocess.run([*command, plaintext, '/nowhere/blob'], capture_output=True, timeout=DEADLINE)
    assert done.returncode == 1
    assert len(plaintext.read_bytes()) == 32


# Text of others

HOSTILE = '\x1b]0;x\x07\x1b[31mX\u009b31mY\u202eZ\ninjected'


def test_answers_steer_no_terminal(tmp_path):
    """Whatever is in them, everywhere; and a shell is offered only what means nothing to it."""
    def text(value):
        return GLib.Variant('s', value)
    metadata = GLib.Variant('a{sv}', {
        'KeyId': text(HOSTILE), 'KeyState': text('PendingImport'), 'KeySpec': text('AES_256'), 'Description': text(HOSTILE),
        'Origin': text('EXTERNAL'), 'KeyUsage': text(HOSTILE), HOSTILE: text(HOSTILE)})
    lists = {'ListKeys': ('Keys', {'KeyId': text(HOSTILE), 'Description': text(HOSTILE)}),
             'ListAliases': ('Aliases', {'AliasName': text('alias/$(id)'), 'KeyId': text(HOSTILE)})}

    def answer(message):
        method = message.get_member()
        if method in lists:
            name, item = lists[method]
            return GLib.Variant('(a{sv})', ({name: GLib.Variant('aa{sv}', [item]), 'NextMarker': text('')},))
        if method in ('DescribeKey', 'CreateKey'):
            return GLib.Variant('(a{sv})', ({'KeyMetadata': metadata},))
        return ('org.cmkd.Kms1.Error.Internal', HOSTILE)
    (tmp_path / 'a.key').write_bytes(bytes(32))
    with new_machine(start=False) as machine:
        impostor = Impostor(machine)
        impostor.answer = answer
        cmkctl = Cmkctl(machine)
        for arguments in (['show', 'x'], ['show', 'x', '--json'], ['create'], ['list'], ['list', '--json'],
                          ['alias', 'list'], ['import', '--from', tmp_path], ['encrypt', 'x'], ['status']):
            done = cmkctl.run(*arguments)
            shown = (done.stdout + done.stderr).decode()
            assert not [bad for bad in ('\x1b', '\x07', '\x9b', '\u202e', '\ninjected') if bad in shown], arguments
        assert json.loads(cmkctl.run('show', 'x', '--json').stdout)['KeyMetadata']['KeyId'] == HOSTILE
        assert cmkctl.run('complete', '--', cmkctl.bus, 'show', '').stdout == b''


def test_tab_runs_no_program(tmp_path):
    mark = tmp_path / 'ran'
    for address in (f'unixexec:path=touch,argv1={mark}', f'unix:path=/nowhere;unixexec:path=touch,argv1={mark}'):
        run('complete', '--', f'--address={address}', 'show', '')
    assert not mark.exists()


@pytest.mark.parametrize('arguments', [['log'], ['wrap', '--public-key', 'x'], ['complete', 'x'],
                                       ['verify-attestation', 'x', '--nonce', 'auto']], ids=lambda words: words[0])
def test_a_verb_of_this_machine_takes_no_host(arguments):
    refused(2, '--host', 'root@nowhere', *arguments)

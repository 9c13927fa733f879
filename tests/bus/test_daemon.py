# SPDX-License-Identifier: Apache-2.0
"""cmkd as a process: its command line, how it starts and ends, what outlives it."""
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from gi.repository import Gio, GLib

from harness import BOB, new_machine
from client import BUS_NAME, DEADLINE, b64, refused, unb64


def service_property(machine, name):
    return machine.client().call('org.freedesktop.DBus.Properties', 'Get', 'ss', f'{BUS_NAME}.Service', name)


def test_it_goes_by_its_name(machine):
    assert Path(f'/proc/{machine.daemon.pid}/comm').read_text() == 'cmkd\n'


def test_version(machine):
    status, output = machine.run_daemon('--version')
    assert status == 0
    assert service_property(machine, 'Version') in output


@pytest.mark.parametrize('arguments', [['--unknown'], ['argument'], ['--idle-timeout=soon'], ['--session', '--system']])
def test_wrong_usage_ends_with_2(machine, arguments):
    status, output = machine.run_daemon(*arguments)
    assert (status, bool(output)) == (2, True)


@pytest.mark.parametrize('text', [
    '[Limits]\nKeysPerUser=many\n', '[Limits]\nUnknown=1\n', '[Unknown]\nKey=1\n', 'junk\n',
])
def test_wrong_configuration_ends_with_1(machine, text):
    path = machine.directory / 'wrong.conf'
    path.write_text(text)
    status, output = machine.run_daemon(config=path)
    assert status == 1
    assert 'wrong.conf' in output


def test_a_configuration_that_is_not_there_ends_with_1(machine):
    status, output = machine.run_daemon(config=machine.directory / 'missing.conf')
    assert status == 1
    assert 'missing.conf' in output


def test_a_name_that_is_taken_ends_with_1(machine):
    state = machine.make_directory('second-state')
    status, output = machine.run_daemon(state_dir=state)
    assert status == 1
    assert 'org.cmkd.Kms1' in output


@pytest.mark.parametrize('mode', [0o755, 0o770, 0o777])
def test_a_state_directory_open_to_others_is_refused(machine, mode):
    state = machine.make_directory(f'state-{mode:o}')
    state.chmod(mode)
    status, output = machine.run_daemon(state_dir=state)
    assert status == 1
    assert str(state) in output


def test_the_state_directory_is_made_if_it_is_not_there():
    with new_machine(start=False) as machine:
        machine.state.rmdir()
        machine.start()
        assert machine.state.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in machine.state.iterdir()} == {0o600}


def test_it_runs_as_an_ordinary_user():
    with new_machine(uid=BOB) as machine:
        for uid in (BOB, 0):
            kms = machine.client(uid)
            key = kms.imported_key()
            blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
            machine.restart()
            assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'


@pytest.mark.parametrize('end', ['stop', 'kill'])
def test_nothing_acknowledged_is_lost(end):
    with new_machine() as machine:
        kms = machine.client()
        material = os.urandom(32)
        key = kms.imported_key(material, expires=4_000_000_000)
        blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
        other = kms.own_key(Description='kept', KeySpec='SM4')
        kms.DisableKey(other)
        before = kms.ListKeys()['Keys']
        getattr(machine, end)()
        machine.restart_tpm()
        machine.start()
        assert kms.ListKeys()['Keys'] == before
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
        kms.import_material(key, material)


def test_the_tpm_restarts_under_a_running_daemon():
    with new_machine(config={'Cache': {'MaterialSeconds': 0}}) as machine:
        kms = machine.client()
        blob = kms.Encrypt(kms.imported_key(), b64(b'kept'))['CiphertextBlob']
        machine.stop_tpm()
        with refused('TpmUnavailable'):
            kms.Decrypt(blob)
        machine.start_tpm()
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'


@pytest.mark.parametrize('lost', ["name LIKE 'root-%'", 'TRUE'])
def test_a_store_that_lost_its_root_secret_is_refused(lost):
    with new_machine() as machine:
        machine.client().own_key()
        machine.stop()
        with closing(sqlite3.connect(machine.state / 'state.db', isolation_level=None)) as database:
            database.execute(f'DELETE FROM meta WHERE {lost}')
        status, output = machine.run_daemon()
        assert status == 1
        assert 'restore the state directory from a backup' in output


def test_a_tpm_that_is_missing_at_the_start_is_told_and_waited_for():
    with new_machine() as machine:
        key = machine.client().own_key()
        machine.stop()
        machine.stop_tpm()
        machine.start()
        assert service_property(machine, 'TpmState') == 'absent'
        with refused('TpmUnavailable'):
            machine.client().DescribeKey(key)
        machine.start_tpm()
        assert machine.client().state(key) == 'Enabled'
        assert service_property(machine, 'TpmState') == 'ok'


def test_a_second_signal_does_not_cut_answers_short():
    with new_machine() as machine:
        kms = machine.client()
        calls = [kms.start('CreateKey') for _ in range(30)]
        kms.call('org.freedesktop.DBus.Peer', 'Ping', '')
        machine.daemon.terminate()
        machine.daemon.send_signal(signal.SIGINT)
        machine.stop()
        assert all(call.result()['RequestId'] for call in calls)


def test_a_bus_that_ends_ends_cmkd_with_1():
    with new_machine() as machine:
        machine.bus.kill()
        assert machine.daemon.wait(DEADLINE) == 1
        machine.daemon = None
        assert 'the bus closed the connection' in machine.log_tail()


def test_calls_that_want_no_answer_are_not_taken():
    with new_machine() as machine:
        kms = machine.client()
        message = Gio.DBusMessage.new_method_call(BUS_NAME, '/org/cmkd/Kms1', f'{BUS_NAME}.Keys', 'CreateKey')
        message.set_body(GLib.Variant('(a{sv})', ({},)))
        message.set_flags(Gio.DBusMessageFlags.NO_REPLY_EXPECTED)
        kms.connection.send_message(message, Gio.DBusSendMessageFlags.NONE)
        assert kms.ListKeys()['Keys'] == []


def test_another_tpm_is_told_and_nothing_is_provisioned_anew():
    with new_machine() as machine:
        kms = machine.client()
        key = kms.own_key()
        machine.stop()
        machine.replace_tpm()
        machine.start()
        assert service_property(machine, 'TpmState') == 'changed'
        for call in (lambda: kms.Encrypt(key, b64(b'x')), kms.CreateKey, lambda: kms.parameters(key)):
            with refused('TpmChanged'):
                call()
        assert service_property(machine, 'TpmState') == 'changed'

# SPDX-License-Identifier: Apache-2.0
"""LD-01, LD-03 to LD-05 and LD-08: what one user asks for in heaps is not paid for by another. Who gets what is
counted, nothing is timed: tests/benchmark/flood.py does that, scripts/soak is LD-07, test_load_memory.py weighs."""
import os
import re
import signal
import subprocess

import pytest

from gi.repository import Gio, GLib

from client import (BUS_NAME, DBusError, METHODS, OBJECT_PATH, UNKNOWN_KEY, b64, iterate_until, refused)
from harness import ALICE, BOB, new_machine, run_as

MOST_CALLS = 256  # of one user, under way
SUM_REFUSED = re.compile(r'calls of (?:uid (\d+)|.*) that were refused: (\d+) of too many at once, (\d+) too long, '
                         r'(\d+) that could not be read, (\d+) that wanted no answer')


def message(method, arguments=None, no_reply=False):
    call = Gio.DBusMessage.new_method_call(BUS_NAME, OBJECT_PATH, METHODS.get(method, ('x.y', ''))[0], method)
    if arguments is not None:
        call.set_body(arguments)
    if no_reply:
        call.set_flags(Gio.DBusMessageFlags.NO_REPLY_EXPECTED)
    return call


def send(client, call):
    client.connection.send_message(call, Gio.DBusSendMessageFlags.NONE)


def ask(client, call):
    """The answer, or an error like those of any call."""
    answer, _ = client.connection.send_message_with_reply_sync(call, Gio.DBusSendMessageFlags.NONE, -1, None)
    try:
        answer.to_gerror()
    except GLib.Error as error:
        raise DBusError.from_glib(error) from None
    return answer


def results(calls):
    """(number of answers, names of the errors)"""
    answers, errors = 0, []
    for call in calls:
        try:
            call.result()
            answers += 1
        except DBusError as error:
            errors.append(error.name)
    return answers, errors


def told(machine, uid):
    """Sums of what cmkd has told of refused calls of @uid: too many, too long, unreadable, without an answer."""
    sums = [0] * 4
    for found in SUM_REFUSED.finditer(machine.log.read_text()):
        if found[1] in (str(uid), None):
            sums = [total + int(more) for total, more in zip(sums, found.groups()[1:])]
    return sums


def descriptors(machine):
    return sorted(os.listdir(f'/proc/{machine.daemon.pid}/fd'))


def test_ld_01_calls_that_want_no_answer(machine):
    alice, bob = machine.client(ALICE), machine.client(BOB)
    key = bob.imported_key()
    bob.Encrypt(key, b64(b'warm'))
    for _ in range(3000):
        send(alice, message('CreateKey', GLib.Variant('(a{sv})', ({},)), no_reply=True))
    bob.Encrypt(key, b64(b'x'))
    assert alice.ListKeys()['Keys'] == []  # all that was sent before has been looked at, and none was done
    iterate_until(lambda: told(machine, ALICE)[3] == 3000, 'cmkd tells of all of them')
    assert len(SUM_REFUSED.findall(machine.log.read_text())) < 300


def test_tags_in_thousands_cost_the_main_loop_nothing(machine):
    alice, bob = machine.client(ALICE), machine.client(BOB)
    key = bob.own_key()
    tags = GLib.Variant('(sa{ss})', (UNKNOWN_KEY, {str(number): '' for number in range(20_000)}))
    with refused('InvalidParameter'):
        ask(alice, message('TagResource', tags))
    bob.Encrypt(key, b64(b'x'))


def test_the_longest_calls_that_can_be_right_are_served(machine):
    kms = machine.client(ALICE)
    names = [chr(0x80 + number) for number in range(0x780)] + [f'{number:03x}' for number in range(0x5a0)]
    context = {name: '' for name in names}
    assert 8000 < sum(len(name.encode()) for name in names) <= 8192
    key, description = kms.own_key(), '\U00010348' * 8192
    blob = kms.Encrypt(key, b64(bytes(6144)), EncryptionContext=context)['CiphertextBlob']
    kms.ReEncrypt(blob, key, SourceEncryptionContext=context, DestinationEncryptionContext=context)
    kms.CreateKey(Description=description, Tags={f'{number:02}' + '\U00010348' * 126: '\U00010348' * 256
                                                 for number in range(20)})


def test_bi_20_types_too_deep_for_gdbus(machine):
    """What the bus daemon lets pass, and GDBus would give up the connection for."""
    alice, bob = machine.client(ALICE), machine.client(BOB)
    deep = GLib.Variant('a' * 20 + 'y', [])
    for _ in range(49):
        deep = GLib.Variant('v', deep)
    before = told(machine, ALICE)
    with refused('InvalidParameter') as refusal:
        ask(alice, message('Encrypt', GLib.Variant.new_tuple(deep)))
    assert 'nested' in refusal.message
    signal = Gio.DBusMessage.new_signal(OBJECT_PATH, 'x.y', 'Z')
    signal.set_destination(BUS_NAME)
    signal.set_body(GLib.Variant.new_tuple(deep))
    send(alice, signal)
    alice.GetStatus()
    bob.GetStatus()
    iterate_until(lambda: told(machine, ALICE)[2] == before[2] + 1, 'it is told of')


def test_bi_19_file_descriptors_are_refused(machine):
    alice = machine.client(ALICE)
    alice.GetStatus()
    before = descriptors(machine)
    for _ in range(200):
        files = Gio.UnixFDList.new()
        for _ in range(16):
            files.append(0)
        call = message('GetStatus')
        call.set_unix_fd_list(files)
        with refused('org.freedesktop.DBus.Error.NotSupported'):
            ask(alice, call)
    assert descriptors(machine) == before


def test_ld_03_wrapping_keys_in_heaps(machine):
    alice, bob = machine.client(ALICE), machine.client(BOB)
    key, wanted = bob.imported_key(), alice.external_key()
    calls = [alice.start('GetParametersForImport', wanted, 'SM2PKE', 'EC_SM2') for _ in range(200)]
    for _ in range(20):
        bob.Encrypt(key, b64(b'x'))
    answers, errors = results(calls)
    assert (answers, set(errors)) == (16, {'LimitExceeded'})


def test_ld_04_turns_at_the_tpm():
    """A has 64 connections with 128 calls each, B one: each call unseals, and B has its turn after each one of A."""
    with new_machine(config={'Cache': {'MaterialSeconds': 0, 'ContextSeconds': 0},
                             'Tpm': {'AnswerSeconds': 600}}) as machine:
        bob, crowd = machine.client(BOB), [machine.new_client(ALICE) for _ in range(64)]
        mine, theirs = bob.own_key(), crowd[0].own_key()
        for client in crowd:
            client.GetStatus()
        begin = len(machine.log.read_text())
        with machine.tpm_commands() as commands:
            machine.tpm.send_signal(signal.SIGSTOP)  # until all that is wanted has been taken in
            calls = [client.start('Encrypt', theirs, b64(b'x')) for client in crowd for _ in range(128)]
            for client in crowd:
                client.connection.flush_sync(None)
            wanted = [bob.start('Encrypt', mine, b64(b'x')) for _ in range(50)]
            bob.GetStatus()
            machine.tpm.send_signal(signal.SIGCONT)
            assert results(wanted) == (50, [])
            answers, errors = results(calls)
        assert answers >= MOST_CALLS and set(errors) == {'Throttled'}
        turns = re.findall(r'Encrypt by uid (\d+): done', machine.log.read_text()[begin:])
        assert turns.count(str(BOB)) == 50 and turns.count(str(ALICE)) == answers
        assert commands.count('Unseal') == answers + 50
        first, last = turns.index(str(BOB)), len(turns) - turns[::-1].index(str(BOB))
        assert turns[first:last].count(str(BOB)) >= 0.4 * (last - first)
        for client in crowd:
            client.close()


def test_ld_05_quota_of_keys():
    with new_machine(config={'Limits': {'KeysPerUser': 5}}) as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        answers, errors = results([alice.start('CreateKey') for _ in range(50)])
        assert (answers, errors) == (5, ['LimitExceeded'] * 45)
        bob.own_key()


def test_calls_under_way_are_bounded_and_room_comes_back(machine):
    alice, bob = machine.client(ALICE), machine.client(BOB)
    key = bob.own_key()
    for _ in range(2):
        others = [machine.new_client(ALICE) for _ in range(4)]
        calls = [client.start('DescribeKey', UNKNOWN_KEY) for client in others for _ in range(MOST_CALLS)]
        bob.DisableKey(key)
        bob.EnableKey(key)
        _, errors = results(calls)
        assert errors.count('KeyNotFound') >= MOST_CALLS and set(errors) <= {'KeyNotFound', 'Throttled'}
        for client in others:
            client.close()
        answers, errors = results([alice.start('GetStatus') for _ in range(MOST_CALLS)])
        assert (answers, errors) == (MOST_CALLS, [])


def test_calls_to_nobody_give_their_room_back(machine):
    alice = machine.client(ALICE)
    for _ in range(MOST_CALLS + 10):
        for interface, method in (('org.cmkd.Nothing', 'Nothing'), (BUS_NAME + '.Keys', 'Nothing'),
                                  ('org.freedesktop.DBus.Introspectable', 'Introspect')):
            call = Gio.DBusMessage.new_method_call(BUS_NAME, OBJECT_PATH + '/nowhere', interface, method)
            try:
                ask(alice, call)
            except DBusError as error:
                assert error.name.startswith('org.freedesktop.DBus.Error.Unknown')


@pytest.mark.parametrize('setting, method', [
    ('KeysPerSecond', 'CreateKey'), ('ParametersPerSecond', 'GetParametersForImport'),
    ('ImportsPerSecond', 'ImportKeyMaterial')])
def test_rates(setting, method):
    arguments = {'CreateKey': [], 'GetParametersForImport': [UNKNOWN_KEY, 'RSAES_OAEP_SHA_256', 'RSA_2048'],
                 'ImportKeyMaterial': [UNKNOWN_KEY, 'A' * 344, 'A' * 400]}[method]
    with new_machine(config={'Limits': {setting: 1}}) as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        calls = [alice.start(method, *arguments) for _ in range(200)]
        _, errors = results(calls)
        assert 'Throttled' in errors and set(errors) <= {'Throttled', 'KeyNotFound', 'InvalidImportToken'}
        texts = {call.error.message for call in calls if call.error is not None and call.error.name == 'Throttled'}
        assert all(re.search(rf'try again in \d+ milliseconds; .*{setting}=', text) for text in texts)
        _, errors = results([bob.start(method, *arguments)])
        assert 'Throttled' not in errors
        iterate_until(lambda: 'Throttled' not in results([alice.start(method, *arguments)])[1], 'alice may call again')


def limit_descriptors(machine, number):
    """As its own user and group: root may not change the limits of others everywhere."""
    limit = ['prlimit', f'--pid={machine.daemon.pid}', f'--nofile={number}:1024']
    subprocess.run(run_as(machine.uid, machine.gid, limit), check=True)


def test_ld_08_no_file_descriptors_left():
    with new_machine(wrapper=['prlimit', '--nofile=32:1024'], config={'Cache': {'MaterialSeconds': 0}}) as machine:
        kms = machine.client()
        key = kms.own_key()
        parameters = kms.parameters(kms.external_key())
        before = descriptors(machine)
        limit_descriptors(machine, len(before))
        for _ in range(20):
            for call in (lambda: kms.Encrypt(key, b64(b'x')), kms.CreateKey,
                         lambda: kms.import_with(parameters, bytes(32)), kms.GetStatus):
                try:
                    call()
                except DBusError as error:
                    assert error.name in ('StorageFailure', 'StorageFull', 'TpmUnavailable', 'Internal'), error
        limit_descriptors(machine, 32)
        iterate_until(lambda: results([kms.start('Encrypt', key, b64(b'x'))])[1] == [], 'it works again')
        kms.own_key()
        assert len(descriptors(machine)) <= len(before) + 1

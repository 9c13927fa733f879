# SPDX-License-Identifier: Apache-2.0
"""ScheduleKeyDeletion, CancelKeyDeletion, and what is left of a key at its date: nothing."""
import os
import time
import uuid

import pytest
from gi.repository import GLib

from harness import ALICE, BOB, new_machine
from client import UNKNOWN_KEY, b64, refused, unb64
from state import edit, row_of_key, rows
from test_storage import assert_nowhere

START, DAY = 2_000_000_000, 86400
DATE = START + 7 * DAY  # of a key that was scheduled at START with the shortest window
MOST_DAYS = 1096
N_AT_ONCE = 210  # more than two slices of the sweep


@pytest.fixture
def own():
    """A machine whose clock stands still at START."""
    with new_machine(clock=START) as machine:
        yield machine


def in_state(kms, state):
    """The id of a key in @state."""
    key = kms.external_key() if state == 'PendingImport' else kms.imported_key()
    if state == 'Disabled':
        kms.DisableKey(key)
    return key


def schedule(kms, key, days=7):
    return kms.ScheduleKeyDeletion(key, PendingWindowInDays=days)


# Scheduling and cancelling

@pytest.mark.parametrize('state', ['Enabled', 'Disabled', 'PendingImport'])
@pytest.mark.parametrize('days', [7, 30, MOST_DAYS])
def test_vendors_80_81_and_85_schedule_and_cancel(machine, kms, state, days):
    key = in_state(kms, state)
    before = kms.describe(key)
    earliest = machine.now() + days * DAY
    with kms.signals() as signals:
        answer = schedule(kms, key, days)
        assert (answer['KeyId'], answer['KeyState']) == (key, 'PendingDeletion')
        assert earliest <= answer['DeleteDate'] <= machine.now() + days * DAY
        assert kms.describe(key) == {**before, 'KeyState': 'PendingDeletion', 'DeleteDate': answer['DeleteDate']}
        assert key in [entry['KeyId'] for entry in kms.ListKeys(Limit=1000, KeyState='PendingDeletion')['Keys']]
        answer = kms.CancelKeyDeletion(key)
        assert (answer['KeyId'], answer['KeyState']) == (key, state)
        assert kms.describe(key) == before
        assert signals.so_far() == [('KeyChanged', key, 'PendingDeletion', 'DeletionScheduled'),
                                    ('KeyChanged', key, state, 'DeletionCancelled')]
    assert schedule(kms, key)['KeyState'] == 'PendingDeletion'  # and once more


def test_the_window_is_30_days_unless_said_otherwise(own):
    kms = own.client()
    key = kms.own_key()
    assert kms.ScheduleKeyDeletion(key)['DeleteDate'] == START + 30 * DAY
    assert kms.describe(key)['DeleteDate'] == START + 30 * DAY


@pytest.mark.parametrize('days', [0, 1, 6, MOST_DAYS + 1, 2**32 - 1, GLib.Variant('i', 30), GLib.Variant('s', '30')],
                         ids=str)
def test_vendors_82_window_out_of_range(kms, days):
    key = kms.own_key()
    with refused('InvalidParameter') as refusal:
        kms.ScheduleKeyDeletion(key, PendingWindowInDays=days)
    assert 'PendingWindowInDays' in refusal.message
    assert kms.state(key) == 'Enabled'
    with refused('InvalidParameter'):  # the form of the arguments is what is looked at first
        kms.ScheduleKeyDeletion(UNKNOWN_KEY, PendingWindowInDays=days)


def test_vendors_83_schedule_twice(kms):
    key = kms.own_key()
    date = schedule(kms, key, 100)['DeleteDate']
    with kms.signals() as signals:
        for days in (7, 100, 200):
            with refused('KeyPendingDeletion'):
                schedule(kms, key, days)
        assert signals.so_far() == []
    assert kms.describe(key)['DeleteDate'] == date


@pytest.mark.parametrize('state', ['Enabled', 'Disabled', 'PendingImport'])
def test_vendors_84_cancel_what_is_not_scheduled(kms, state):
    key = in_state(kms, state)
    with kms.signals() as signals:
        with refused('StateNotAllowed'):
            kms.CancelKeyDeletion(key)
        assert signals.so_far() == []
    assert kms.state(key) == state


@pytest.mark.parametrize('make', ['own_key', 'imported_key'])
def test_vendors_86_not_used_in_pending_deletion_and_used_again_after_it(machine, kms, make):
    key = getattr(kms, make)()
    blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
    schedule(kms, key)
    for _ in range(2):
        for call in (lambda: kms.Encrypt(key, b64(b'x')), lambda: kms.Decrypt(blob), lambda: kms.GenerateDataKey(key),
                     lambda: kms.ReEncrypt(blob, key)):
            with refused('KeyPendingDeletion'):
                call()
        machine.restart()
    kms.CancelKeyDeletion(key)
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'


def test_vendors_22_and_48_no_import_in_pending_deletion(kms):
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    schedule(kms, key)
    with refused('KeyPendingDeletion'):
        kms.parameters(key)
    with refused('KeyPendingDeletion'):
        kms.import_with(parameters, material)
    kms.CancelKeyDeletion(key)
    assert kms.import_with(parameters, material)['KeyState'] == 'Enabled'  # the pair is still there


@pytest.mark.parametrize('disable', [False, True])
def test_vendors_71_and_85_material_deleted_in_pending_deletion(kms, disable):
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    kms.import_with(parameters, material)
    blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
    if disable:
        kms.DisableKey(key)
    date = schedule(kms, key)['DeleteDate']
    with kms.signals() as signals:
        for _ in range(2):
            assert kms.DeleteKeyMaterial(key)['KeyState'] == 'PendingDeletion'
            assert kms.describe(key)['DeleteDate'] == date
        assert kms.CancelKeyDeletion(key)['KeyState'] == 'PendingImport'
        assert signals.so_far() == [('KeyChanged', key, 'PendingDeletion', 'MaterialDeleted'),
                                    ('KeyChanged', key, 'PendingImport', 'DeletionCancelled')]
    assert kms.import_with(parameters, material)['KeyState'] == 'Enabled'
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'


@pytest.mark.parametrize('disable', [False, True])
def test_vendors_85_material_expires_in_pending_deletion(own, disable):
    kms = own.client()
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    kms.import_with(parameters, material, KeyMaterialExpireUnix=START + 100)
    blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
    if disable:
        kms.DisableKey(key)
    schedule(kms, key)
    assert kms.describe(key)['MaterialExpireTime'] == START + 100
    own.stop_clock(START + 100)
    with kms.signals() as signals:
        described = kms.describe(key)
        assert [described[name] for name in ('KeyState', 'DeleteDate', 'MaterialExpireTime')] == [
            'PendingDeletion', DATE, 0]
        assert row_of_key(own, key)['envelope'] is None
        with refused('KeyPendingDeletion'):
            kms.Decrypt(blob)
        assert kms.CancelKeyDeletion(key)['KeyState'] == 'PendingImport'
        signals.wait_for('KeyChanged', key, 'PendingImport', 'DeletionCancelled')
        assert signals.so_far() == [('KeyChanged', key, 'PendingDeletion', 'MaterialExpired'),
                                    ('KeyChanged', key, 'PendingImport', 'DeletionCancelled')]
    assert kms.import_with(parameters, material)['KeyState'] == 'Enabled'
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'


def test_expiry_at_the_very_cancellation(own):
    """Nothing looked at the key between the expiry of its material and CancelKeyDeletion."""
    kms = own.client()
    key = kms.imported_key(expires=START + 100)
    schedule(kms, key)
    own.stop_clock(START + 100)
    assert kms.CancelKeyDeletion(key)['KeyState'] == 'PendingImport'
    with refused('KeyPendingImport'):
        kms.Encrypt(key, b64(b'x'))


@pytest.mark.parametrize('key, error', [
    (UNKNOWN_KEY, 'KeyNotFound'), ('alias/unknown', 'AliasNotFound'), ('', 'InvalidParameter'),
    (UNKNOWN_KEY.replace('0', 'A'), 'InvalidParameter'),
])
def test_schedule_and_cancel_what_is_not_there(kms, key, error):
    for method in (kms.ScheduleKeyDeletion, kms.CancelKeyDeletion):
        with refused(error):
            method(key)


def test_whose_key_it_is(machine, kms, root):
    key, bob = kms.own_key(), machine.client(BOB)
    for method in (bob.ScheduleKeyDeletion, bob.CancelKeyDeletion):
        with refused('KeyNotFound'):
            method(key)
    assert kms.state(key) == 'Enabled'
    schedule(root, key)
    with refused('KeyNotFound'):
        bob.CancelKeyDeletion(key)
    assert kms.CancelKeyDeletion(key)['KeyState'] == 'Enabled'


# At its date

def assert_gone(kms, key, blob):
    """To everybody that calls."""
    for call in (lambda: kms.DescribeKey(key), lambda: kms.Encrypt(key, b64(b'x')), lambda: kms.CancelKeyDeletion(key),
                 lambda: kms.ScheduleKeyDeletion(key), lambda: kms.EnableKey(key), lambda: kms.DeleteKeyMaterial(key),
                 lambda: kms.parameters(key), lambda: kms.Decrypt(blob, KeyId=key),
                 lambda: kms.TagResource(key, {'a': 'b'})):
        with refused('KeyNotFound'):
            call()
    for call in (lambda: kms.Decrypt(blob), lambda: kms.ReEncrypt(blob, kms.own_key())):
        with refused('InvalidCiphertext'):
            call()
    assert key not in [entry['KeyId'] for entry in kms.ListKeys(Limit=1000)['Keys']]


def assert_no_rows(machine, key):
    for table, column in (('keys', 'id'), ('import_sets', 'key_id'), ('public_keys', 'key_id'), ('deletions', 'key_id'),
                          ('aliases', 'key_id'), ('tags', 'key_id')):
        assert rows(machine, f'SELECT * FROM {table} WHERE {column} = ?', uuid.UUID(key).bytes) == [], table


@pytest.fixture
def doomed(own):
    """A machine at START, and the id and a blob of a key with all that may hang on one, which goes at DATE."""
    kms = own.client()
    key = kms.imported_key(Alias='alias/doomed', Tags={'name': 'value'})
    kms.CreateAlias('alias/another', key)
    kms.parameters(key)
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    assert schedule(kms, key)['DeleteDate'] == DATE
    return own, key, blob


FIRST_CALLS = {
    'DescribeKey': lambda kms, key, _: kms.DescribeKey(key),
    'CancelKeyDeletion': lambda kms, key, _: kms.CancelKeyDeletion(key),
    'Encrypt': lambda kms, key, _: kms.Encrypt(key, b64(b'x')),
    'Decrypt': lambda kms, _, blob: kms.Decrypt(blob),
    'DescribeKey by alias': lambda kms, *_: kms.DescribeKey('alias/doomed'),
    'UpdateAlias': lambda kms, *_: kms.UpdateAlias('alias/doomed', kms.own_key()),
    'ListAliases': lambda kms, key, _: kms.ListAliases(KeyId=key),
    'TagResource': lambda kms, key, _: kms.TagResource(key, {'a': 'b'}),
}
FIRST_ANSWERS = {'Decrypt': 'InvalidCiphertext', 'DescribeKey by alias': 'AliasNotFound',
                 'UpdateAlias': 'AliasNotFound'}


@pytest.mark.parametrize('first_call', FIRST_CALLS)
def test_gone_from_that_second_on(doomed, first_call):
    machine, key, blob = doomed
    kms = machine.client()
    machine.stop_clock(DATE - 1)
    assert kms.state(key) == 'PendingDeletion'
    with refused('KeyPendingDeletion'):
        kms.Decrypt(blob)
    machine.stop_clock(DATE)
    with refused(FIRST_ANSWERS.get(first_call, 'KeyNotFound')):
        FIRST_CALLS[first_call](kms, key, blob)
    assert_gone(kms, key, blob)


def test_lists_see_it_first(doomed):
    machine, _, _ = doomed
    kms = machine.client()
    machine.stop_clock(DATE)
    assert kms.ListKeys()['Keys'] == []
    assert kms.ListAliases()['Aliases'] == []


@pytest.mark.parametrize('stop', ['stop', 'kill'])
def test_gone_at_start_if_cmkd_was_down_at_its_date(doomed, stop):
    machine, key, blob = doomed
    getattr(machine, stop)()
    machine.stop_clock(DATE)
    machine.start()
    assert_no_rows(machine, key)  # before anybody called
    assert f'key {key} was deleted' in machine.log.read_text()
    assert_gone(machine.client(), key, blob)


@pytest.mark.parametrize('stop', ['stop', 'kill'])
def test_the_date_outlives_a_restart(doomed, stop):
    machine, key, _ = doomed
    getattr(machine, stop)()
    machine.stop_clock(DATE - 1)
    machine.start()
    kms = machine.client()
    assert (kms.state(key), kms.describe(key)['DeleteDate']) == ('PendingDeletion', DATE)
    assert kms.CancelKeyDeletion(key)['KeyState'] == 'Enabled'
    machine.restart()
    machine.stop_clock(DATE)
    assert kms.state(key) == 'Enabled'


def test_the_timer_deletes_and_signals():
    """Nobody calls at the date. Timers run in real time: a call shortly before has this one set anew."""
    with new_machine() as machine:
        kms = machine.client()
        first, second, kept = kms.imported_key(), kms.own_key(Alias='alias/name'), kms.own_key()
        with kms.signals() as signals:
            dates = [schedule(kms, key)['DeleteDate'] for key in (first, second)]
            schedule(kms, kept)
            kms.CancelKeyDeletion(kept)
            machine.pass_time(min(dates) - machine.now() - 8)
            kms.parameters(kms.external_key())
            for key in (first, second):
                signals.wait_for('KeyChanged', key, 'PendingDeletion', 'Deleted')
            assert machine.now() >= max(dates)
            for key in (first, second):
                assert_no_rows(machine, key)
                assert signals.so_far().count(('KeyChanged', key, 'PendingDeletion', 'Deleted')) == 1
            assert kms.state(kept) == 'Enabled'


def test_one_signal_to_a_deletion(doomed):
    machine, key, _ = doomed
    kms = machine.client()
    with kms.signals() as signals:
        machine.stop_clock(DATE)
        for _ in range(2):
            with refused('KeyNotFound'):
                kms.DescribeKey(key)
        signals.wait_for('KeyChanged', key)
        assert signals.so_far() == [('KeyChanged', key, 'PendingDeletion', 'Deleted')]


def test_nothing_of_it_is_in_the_state_directory(doomed):
    machine, key, blob = doomed
    kms = machine.client()
    row, = rows(machine, 'SELECT * FROM keys')
    import_sets = rows(machine, 'SELECT * FROM import_sets')
    assert len(import_sets) == 2
    machine.stop_clock(DATE)
    assert_gone(kms, key, blob)
    assert_no_rows(machine, key)
    assert_nowhere(machine, row['envelope'], row['sealed_key'], row['fingerprint'],
                   *(one[name] for one in import_sets for name in ('envelope', 'sealed_key')))
    assert_nowhere(machine, b'alias/doomed', b'alias/another')


def test_public_key_goes_too(own):
    kms = own.client()
    key = kms.own_key(KeySpec='EC_P256')
    public_key = unb64(kms.GetPublicKey(key)['PublicKey'])
    schedule(kms, key)
    assert unb64(kms.GetPublicKey(key)['PublicKey']) == public_key
    own.stop_clock(DATE)
    with refused('KeyNotFound'):
        kms.GetPublicKey(key)
    assert_no_rows(own, key)
    assert_nowhere(own, public_key)


@pytest.mark.parametrize('seconds', [0, 300])
def test_nothing_of_it_is_in_the_caches(seconds):
    """Neither the key in use nor its material, which would be found by the id that another has now."""
    with new_machine(config={'Cache': {'MaterialSeconds': seconds}}, clock=START) as machine:
        kms = machine.client()
        key = kms.imported_key()
        for _ in range(2):
            blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
        schedule(kms, key)
        machine.stop_clock(DATE)
        with refused('InvalidCiphertext'):
            kms.Decrypt(blob)
        theirs = machine.client(BOB)
        assert theirs.external_key(KeyId=key) == key
        with refused('KeyPendingImport'):
            theirs.Decrypt(blob)
        theirs.import_material(key, os.urandom(32))
        with refused('InvalidCiphertext'):
            theirs.Decrypt(blob)
        with refused('KeyNotFound'):
            kms.Encrypt(key, b64(b'x'))


def test_tokens_die_with_their_key(doomed):
    """The shortest window is longer than any token lives: of a key that comes back none is good."""
    machine, key, blob = doomed
    kms = machine.client()
    kms.CancelKeyDeletion(key)
    old = kms.parameters(key)
    schedule(kms, key)
    machine.stop_clock(DATE)
    assert_gone(kms, key, blob)
    kms.external_key(KeyId=key)
    with refused('ExpiredImportToken'):
        kms.import_with(old, os.urandom(32))
    assert kms.state(key) == 'PendingImport'


def test_the_id_is_free_again_and_the_material_opens_the_old_blobs(own):
    """The same id, the same material: the same key to a ciphertext. Bound anew, to whatever comes first."""
    kms, material = own.client(), os.urandom(32)
    key = kms.imported_key(material)
    blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
    schedule(kms, key)
    with refused('KeyAlreadyExists'):
        kms.external_key(KeyId=key)
    own.stop_clock(DATE)
    assert kms.external_key(KeyId=key) == key
    assert (kms.describe(key)['Aliases'], kms.describe(key)['Tags']) == ([], {})
    with refused('KeyPendingImport'):
        kms.Decrypt(blob)
    kms.import_material(key, material)
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'


def test_names_are_free_again(doomed):
    machine, _, _ = doomed
    kms = machine.client()
    machine.stop_clock(DATE)
    other = kms.own_key(Alias='alias/doomed')
    assert kms.describe('alias/doomed')['KeyId'] == other
    with refused('AliasNotFound'):
        kms.DescribeKey('alias/another')


def test_a_deleted_key_counts_no_more(own):
    own.stop()
    own.configure({'Limits': {'KeysPerUser': 2}})
    own.start()
    kms = own.client()
    first, _ = kms.own_key(), kms.own_key()
    schedule(kms, first)
    with refused('LimitExceeded'):
        kms.own_key()
    own.stop_clock(DATE)
    kms.own_key()
    with refused('LimitExceeded'):
        kms.own_key()


def test_many_at_one_date_and_calls_meanwhile(own):
    """In slices: others are served in between, and what is left is done without a further call."""
    kms = own.client()
    keys = [call.result()['KeyMetadata']['KeyId'] for call in
            [kms.start('CreateKey', Alias=f'alias/{number}') for number in range(N_AT_ONCE)]]
    for call in [kms.start('ScheduleKeyDeletion', key, PendingWindowInDays=7) for key in keys]:
        call.result()
    kept = own.client(BOB).own_key()
    with kms.signals() as signals:
        own.stop_clock(DATE)
        for call in [own.client(BOB).start('DescribeKey', kept) for _ in range(5)]:
            assert call.result()['KeyMetadata']['KeyState'] == 'Enabled'
        assert kms.ListKeys()['Keys'] == []
        for key in keys:
            signals.wait_for('KeyChanged', key, 'PendingDeletion', 'Deleted')
        assert sorted(signals.so_far()) == sorted(('KeyChanged', key, 'PendingDeletion', 'Deleted') for key in keys)
    assert own.client(ALICE).ListAliases()['Aliases'] == []
    assert [row['id'] for row in rows(own, 'SELECT id FROM keys')] == [uuid.UUID(kept).bytes]


@pytest.mark.parametrize('restart', ['no', 'restart', 'reboot'])
def test_a_clock_that_is_set_over_its_date_deletes_nothing(doomed, restart):
    """Nor does one that the kernel calls synchronised, until it has stood for a day: there is no way back from that."""
    machine, key, blob = doomed
    kms = machine.client()
    for ahead, synchronised in ((-10 * DAY, False), (1000 * DAY, False), (1000 * DAY, True)):
        machine.set_clock(ahead)
        machine.synchronise_clock(synchronised)
        if restart != 'no':
            getattr(machine, restart)()
        assert kms.state(key) == 'PendingDeletion'
        machine.pass_time(DAY - 60)
        assert kms.state(key) == 'PendingDeletion'
    machine.pass_time(60)
    assert_gone(kms, key, blob)


# Damage

@pytest.mark.parametrize('statement', [
    'UPDATE deletions SET delete_at = 1 WHERE key_id = ?',
    'UPDATE deletions SET state_before = 5 - state_before WHERE key_id = ?',
    'UPDATE deletions SET mac = zeroblob(32) WHERE key_id = ?',
    'UPDATE keys SET created_at = 1 WHERE id = ?',
])
def test_an_edited_date_deletes_nothing_and_holds_nobody_up(own, statement):
    kms = own.client()
    damaged, sound, later = (kms.own_key(Alias=f'alias/{name}') for name in ('damaged', 'sound', 'later'))
    schedule(kms, damaged)
    schedule(kms, sound)
    schedule(kms, later, 8)
    own.stop()
    edit(own, statement, uuid.UUID(damaged).bytes)
    for now in (START, DATE):
        own.stop_clock(now)
        own.start()
        for call in (lambda: kms.DescribeKey(damaged), lambda: kms.CancelKeyDeletion(damaged),
                     lambda: kms.Encrypt('alias/damaged', b64(b'x'))):
            with refused('StateCorrupted'):
                call()
        assert kms.describe(later)['DeleteDate'] == DATE + DAY
        if now == START:
            assert kms.describe(sound)['DeleteDate'] == DATE
            own.stop()
    with refused('KeyNotFound'):
        kms.DescribeKey(sound)
    own.stop_clock(DATE + DAY)
    with refused('KeyNotFound'):
        kms.DescribeKey(later)
    assert len(rows(own, 'SELECT * FROM keys WHERE id = ?', uuid.UUID(damaged).bytes)) == 1


def test_a_date_from_before_it_was_cancelled_is_no_date(own):
    """An old row that is put back is authentic, and not the latest."""
    kms = own.client()
    key = kms.own_key()
    schedule(kms, key)
    row, = rows(own, 'SELECT * FROM deletions')
    kms.CancelKeyDeletion(key)
    assert rows(own, 'SELECT * FROM deletions') == []
    own.stop()
    edit(own, 'INSERT INTO deletions VALUES (?, ?, ?, ?)', *row)
    own.stop_clock(DATE)
    own.start()
    with refused('RollbackDetected'):
        kms.Encrypt(key, b64(b'x'))
    assert len(rows(own, 'SELECT * FROM keys')) == 1

# SPDX-License-Identifier: Apache-2.0
"""When the TPM takes note of what was done: before what takes away is answered, once for all who wait, and later if it
fails. What that protects from is in test_rollback.py; what each call costs in TPM commands in test_tpm_commands.py."""
import contextlib
import os
import signal

import pytest

from harness import ALICE, BOB, new_machine
from client import UNKNOWN_KEY, DBusError, b64, iterate_until, refused, unb64, wrap
from state import erasure_keys, row_of_key, rows, tpm_tool
from test_disk_faults import FOREVER, SYNC, Faults
from test_rollback import set_owner_authorisation

SHARE = 17  # calls at most that share a step: the first of them waits for 16 jobs
EMPTYING = 3  # flushes to have what was erased out of the database's log: two of it, and one when it begins anew
QUIET = {'WrappingKeys': {'ReadyRsa2048': 0}, 'Anchor': {'AnchorSeconds': 86400}}  # nothing but what a test asks for
START, DAY = 2_000_000_000, 86400
NO_REPLY = 'org.freedesktop.DBus.Error.NoReply'


@pytest.fixture(scope='module')
def machine_and_faults():
    with new_machine(start=False, config=QUIET) as machine:
        faults = Faults(machine)
        machine.start()
        yield machine, faults
        faults.set()


@pytest.fixture
def machine(machine_and_faults):
    return machine_and_faults[0]


@pytest.fixture
def faults(machine_and_faults):
    return machine_and_faults[1]


@pytest.fixture
def kms(machine):
    return machine.client()


def anchor_state(machine):
    return machine.client().GetStatus()['AnchorState']


def steps(machine):
    return machine.client().GetStatus()['AnchorSteps']


@contextlib.contextmanager
def writes(machine, number):
    """The index is written so often by what is inside."""
    with machine.tpm_commands() as commands:
        yield
    assert [command for command in commands if command.startswith('NV_Write')] == ['NV_Write'] * number


@contextlib.contextmanager
def flushes(faults, number):
    """So many times the disk is waited for: once for a commit."""
    faults.set(kinds=SYNC, skip=FOREVER)
    yield
    done = FOREVER - faults.read(1)
    faults.set()
    assert done == number


def settled(machine):
    """Nothing is left to be noted, and the first step of this cmkd is behind it."""
    kms = machine.client()
    key = kms.own_key()
    kms.DisableKey(key)
    return kms


@contextlib.contextmanager
def queued(faults, kms):
    """The worker stands still at the disk; it goes on when all calls that are made inside, by any of @kms, wait."""
    faults.set(kinds=SYNC, skip=FOREVER, hold=1)
    holding = kms[0].start('CreateKey', Origin='EXTERNAL')
    iterate_until(lambda: faults.waiting == 1, 'the worker stands still')
    yield
    for client in kms:
        client.GetStatus()  # is answered by the main loop, after what came before
    faults.release()
    iterate_until(lambda: holding.done, 'it has gone on')


def die(machine, call, *arguments):
    """A call that cmkd does not live to answer."""
    with pytest.raises(DBusError) as error:
        call(*arguments)
    assert error.value.name == NO_REPLY
    bury(machine)


def bury(machine):
    """cmkd has died; what it held in the TPM a resource manager would flush."""
    machine.kill()
    tpm_tool(machine, 'flushcontext', '--loaded-session')


# The answer comes after the note

TAKES_AWAY = {
    'DeleteKeyMaterial': lambda kms: (kms.DeleteKeyMaterial, kms.imported_key()),
    'DisableKey': lambda kms: (kms.DisableKey, kms.own_key()),
    'ScheduleKeyDeletion': lambda kms: (kms.ScheduleKeyDeletion, kms.own_key()),
}
AFTERWARDS = {'DeleteKeyMaterial': 'PendingImport', 'DisableKey': 'Disabled', 'ScheduleKeyDeletion': 'PendingDeletion'}


@pytest.mark.parametrize('method', TAKES_AWAY)
@pytest.mark.parametrize('when', ['before', 'after'])
def test_a_crash_around_the_note(machine, method, when):
    """Nobody is answered before it. What was committed is true after the crash, and no rollback."""
    kms = settled(machine)
    call, key = TAKES_AWAY[method](kms)
    machine.tpm_fault(f'NV_Write 1-1 kill-{when}')
    die(machine, call, key)
    with writes(machine, 1 if when == 'before' else 0):
        machine.start()
    assert anchor_state(machine) == 'ok'
    assert kms.state(key) == AFTERWARDS[method]
    machine.restart()
    assert anchor_state(machine) == 'ok'


@pytest.mark.parametrize('number', [1, 2])
@pytest.mark.parametrize('when', ['before', 'after'])
def test_a_crash_around_the_first_note_of_a_process(machine, kms, number, when):
    """It has two writes; what was not committed before the first is not done."""
    key, kept = kms.imported_key(), kms.own_key()
    blob = kms.Encrypt(kept, b64(b'kept'))['CiphertextBlob']
    machine.restart()
    machine.tpm_fault(f'NV_Write {number}-{number} kill-{when}')
    die(machine, kms.DeleteKeyMaterial, key)
    machine.start()
    assert anchor_state(machine) == 'ok'
    assert kms.state(key) == 'PendingImport'
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'


def test_a_crash_after_many_changes_without_a_note(machine):
    kms = settled(machine)
    keys = [kms.own_key() for _ in range(3)]
    kms.TagResource(keys[0], {'a': 'b'})
    machine.kill()
    with writes(machine, 0):
        machine.start()
    assert anchor_state(machine) == 'ok'
    assert [kms.state(key) for key in keys] == ['Enabled'] * 3


# Those who wait share it

def test_a_burst_shares_steps(machine, faults):
    kms = settled(machine)
    keys = [kms.imported_key() for _ in range(4)] + [kms.own_key() for _ in range(28)]
    methods = ['DeleteKeyMaterial'] * 4 + ['DisableKey'] * 14 + ['ScheduleKeyDeletion'] * 14
    kms.DeleteKeyMaterial(kms.imported_key())  # it empties the log, so that nothing else has to
    before = steps(machine)
    with writes(machine, 2), flushes(faults, 1 + 32 + 2 + 4 * EMPTYING):
        with queued(faults, [kms]):
            calls = [kms.start(method, key) for method, key in zip(methods, keys)]
        for call in calls:
            call.result()
    assert -(-32 // SHARE) == 2 == steps(machine) - before
    assert not rows(machine, 'SELECT * FROM erasures')


def test_who_waits_is_not_kept_waiting(machine, faults):
    """By jobs of others without end: after 16 of them the step comes, and with it the answer."""
    settled(machine)
    bob, alice = machine.client(BOB), machine.client(ALICE)
    key = bob.own_key()
    before = len(alice.ListKeys(Limit=1000)['Keys'])
    machine.tpm_fault('NV_Write 1-1 kill-before')
    with queued(faults, [bob, alice]):
        waiting = bob.start('DisableKey', key)
        others = [alice.start('CreateKey', Origin='EXTERNAL') for _ in range(100)]
    iterate_until(lambda: all(call.done for call in (waiting, *others)), 'cmkd has died')
    assert waiting.error.name == NO_REPLY
    bury(machine)
    faults.set()
    machine.start()
    assert len(alice.ListKeys(Limit=1000)['Keys']) == before + SHARE - 1
    assert bob.state(key) == 'Disabled'


def test_others_are_served_while_one_waits(machine):
    """The TPM takes its time over the step of one user; what is warm is served to all meanwhile."""
    alice, bob = settled(machine), machine.client(BOB)
    key, used = alice.imported_key(), bob.own_key()
    blob = bob.Encrypt(used, b64(b'x'))['CiphertextBlob']
    alice.GetStatus()
    machine.tpm.send_signal(signal.SIGSTOP)
    try:
        waiting = alice.start('DeleteKeyMaterial', key)
        iterate_until(lambda: not row_of_key(machine, key)['envelope'], 'the deletion is committed')
        assert unb64(bob.Decrypt(blob)['Plaintext']) == b'x'
        assert bob.GetStatus()['AnchorState'] == 'ok'
        assert not waiting.done
    finally:
        machine.tpm.send_signal(signal.SIGCONT)
    assert waiting.result()['KeyState'] == 'PendingImport'


# The note fails

@pytest.mark.parametrize('action', ['0x101', 'io', 'drop', 'garble'])
@pytest.mark.parametrize('first', [True, False])
def test_a_note_that_fails(machine, action, first):
    """It was done and can never be used again, whatever the TPM says; the next note sees to the rest."""
    kms = settled(machine)
    key, material, other = kms.external_key(), os.urandom(32), kms.own_key()
    kms.import_material(key, material)
    blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
    if first:
        machine.restart()
    machine.tpm_fault(f'NV_Write 1-1 {action}')
    with refused('TpmUnavailable') as refusal:
        kms.DeleteKeyMaterial(key)
    assert refusal.message.startswith('it was done, ')
    assert anchor_state(machine) == 'behind'
    assert row_of_key(machine, key)['envelope'] is None
    for call in lambda: kms.Decrypt(blob), lambda: kms.Encrypt(key, b64(b'x')):
        with refused('KeyPendingImport'):
            call()
    with writes(machine, 2):
        kms.DisableKey(other)
    assert anchor_state(machine) == 'ok'
    assert not rows(machine, 'SELECT * FROM erasures')
    machine.restart()
    assert anchor_state(machine) == 'ok'
    kms.import_material(key, material)
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'


@pytest.mark.parametrize('end', ['stop', 'kill'])
def test_a_note_that_fails_and_then_an_end(machine, end):
    kms = settled(machine)
    key = kms.imported_key()
    machine.tpm_fault('NV_Write 1-1 0x101')
    with refused('TpmUnavailable'):
        kms.DeleteKeyMaterial(key)
    getattr(machine, end)()
    machine.start()
    assert anchor_state(machine) == 'ok'
    assert kms.state(key) == 'PendingImport'
    assert not rows(machine, 'SELECT * FROM erasures')


def test_a_tpm_that_is_gone_at_that_moment(machine):
    kms = settled(machine)
    key, kept = kms.imported_key(), kms.own_key()
    blob = kms.Encrypt(kept, b64(b'kept'))['CiphertextBlob']
    machine.stop_tpm()
    with refused('TpmUnavailable') as refusal:
        kms.DeleteKeyMaterial(key)
    assert refusal.message.startswith('it was done, ')
    assert kms.state(key) == 'PendingImport'
    with refused('TpmUnavailable'):
        kms.DeleteKeyMaterial(key)  # it was done, but there is no more to say of it than before
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
    machine.start_tpm()
    kms.DisableKey(kept)
    assert anchor_state(machine) == 'ok'
    machine.restart()
    assert (anchor_state(machine), kms.state(key), kms.state(kept)) == ('ok', 'PendingImport', 'Disabled')


def remove_index(machine):
    """As the owner of the TPM, behind cmkd's back."""
    tpm_tool(machine, 'nvundefine', '-C', 'o', hex(rows(machine, 'SELECT nv_handle FROM anchor')[0][0]))


def test_an_index_that_is_removed_under_way_is_replaced():
    """cmkd has had the state all the time, so it is the latest, and the key to what is stored is not lost."""
    with new_machine(config=QUIET) as machine:
        kms = settled(machine)
        key, kept = kms.imported_key(), kms.own_key()
        blob = kms.Encrypt(kept, b64(b'kept'))['CiphertextBlob']
        remove_index(machine)
        with refused('StateNotAllowed'):
            machine.client(0).Recover(Accept='TpmChanged')
        assert kms.DeleteKeyMaterial(key)['KeyState'] == 'PendingImport'
        assert rows(machine, 'SELECT * FROM erasures') == []
        for _ in range(2):
            assert anchor_state(machine) == 'ok'
            assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
            machine.restart()


@pytest.mark.parametrize('writes_refused', [1, 2])
def test_an_index_that_refuses_a_write_is_not_taken_for_another(writes_refused):
    """It is there still, and holds the key that the step was to destroy."""
    with new_machine(config=QUIET) as machine:
        kms = settled(machine)
        key = kms.imported_key()
        former, _ = erasure_keys(machine)
        machine.tpm_fault(f'NV_Write 1-{writes_refused} 0x9a2')
        with contextlib.nullcontext() if writes_refused == 1 else refused('TpmUnavailable'):
            kms.DeleteKeyMaterial(key)
        assert kms.DeleteKeyMaterial(key)['KeyState'] == 'PendingImport'
        assert former not in erasure_keys(machine)
        machine.restart()
        assert anchor_state(machine) == 'ok'


def test_an_index_that_is_removed_while_nobody_serves():
    with new_machine(config=QUIET) as machine:
        kms = settled(machine)
        blob = kms.Encrypt(kms.own_key(), b64(b'lost'))['CiphertextBlob']
        machine.stop()
        remove_index(machine)
        machine.start()
        assert anchor_state(machine) == 'rolled-back'
        with refused('RollbackDetected'):
            kms.Decrypt(blob)
        machine.client(0).Recover(Accept='RollbackDetected')
        assert anchor_state(machine) == 'ok'
        assert kms.state(kms.own_key()) == 'Enabled'


def test_an_index_of_another_system_is_left_alone():
    """Two systems on one machine have their states at the same place, and one TPM."""
    with new_machine(config=QUIET) as machine:
        kms = settled(machine)
        blob = kms.Encrypt(kms.own_key(), b64(b'of one'))['CiphertextBlob']
        machine.stop()
        of_one = machine.copy_state('one')
        for path in machine.state.iterdir():
            path.unlink()
        machine.start()
        assert anchor_state(machine) == 'rolled-back'  # or of another system: the administrator knows
        machine.client(0).Recover(Accept='RollbackDetected')
        other = kms.Encrypt(kms.own_key(), b64(b'of the other'))['CiphertextBlob']
        machine.stop()
        of_the_other = machine.copy_state('other')
        for state, opens in ((of_one, blob), (of_the_other, other)):
            machine.restore_state(state)
            machine.start()
            assert anchor_state(machine) == 'ok'
            kms.Decrypt(opens)
            machine.stop()


def test_what_was_done_already_is_answered_after_the_step_that_failed():
    with new_machine(config=QUIET) as machine:
        kms = settled(machine)
        key = kms.imported_key()
        machine.tpm_fault('NV_Write 1-2 0x101')
        for _ in range(2):
            with refused('TpmUnavailable'):
                kms.DeleteKeyMaterial(key)
        with machine.tpm_commands() as commands:
            assert kms.DeleteKeyMaterial(key)['KeyState'] == 'PendingImport'
        assert 'NV_Write' in commands
        with machine.tpm_commands() as commands:
            kms.DeleteKeyMaterial(key)
        assert commands == []


# The note comes by itself

def test_anchor_seconds():
    with new_machine(config={**QUIET, 'Anchor': {'AnchorSeconds': 1}}) as machine:
        kms = machine.client()
        for number in range(1, 4):
            with machine.tpm_commands() as commands:
                kms.external_key()
                iterate_until(lambda: steps(machine) == number, 'the TPM has taken note')
            assert commands == ['StartAuthSession', 'NV_Write']
        machine.tpm_fault('NV_Write 1-1 0x101')
        kms.external_key()
        iterate_until(lambda: anchor_state(machine) == 'ok' and steps(machine) > 3, 'it is tried again')


def test_a_clean_stop_takes_note_once(machine):
    kms = settled(machine)
    kms.external_key()
    with writes(machine, 1):
        machine.stop()
    with writes(machine, 0):
        machine.start()
        machine.restart()


# How often

def test_steps_per_day():
    """A user has so many; what is refused costs nothing, and what needs none is not refused."""
    with new_machine(config={**QUIET, 'Anchor': {'AnchorSeconds': 86400, 'StepsPerDay': 3}}) as machine:
        alice, bob, root = (machine.client(uid) for uid in (ALICE, BOB, 0))
        keys = [alice.own_key() for _ in range(3)]
        external, material = alice.external_key(), os.urandom(32)
        parameters = alice.parameters(external)
        alice.import_with(parameters, material)
        for call in (lambda: alice.DisableKey(UNKNOWN_KEY), lambda: alice.DeleteKeyMaterial(keys[0]),
                     lambda: bob.DisableKey(keys[0]), lambda: alice.CancelKeyDeletion(keys[0])) * 3:
            with pytest.raises(DBusError):
                call()
        alice.DisableKey(keys[0])
        for _ in range(4):
            alice.DisableKey(keys[0])  # it is disabled already
        alice.ScheduleKeyDeletion(keys[1])
        alice.import_with(parameters, material)
        assert_throttled(machine, alice, keys, external, parameters, material)
        bob.DisableKey(bob.own_key())
        root.DisableKey(keys[2])
        alice.EnableKey(keys[2])
        alice.CancelKeyDeletion(keys[1])
        alice.import_material(alice.external_key(), os.urandom(32))
        assert unb64(alice.Decrypt(alice.Encrypt(external, b64(b'x'))['CiphertextBlob'])['Plaintext']) == b'x'


def assert_throttled(machine, kms, keys, external, parameters, material):
    before = row_of_key(machine, external), row_of_key(machine, keys[2]), rows(machine, 'SELECT * FROM import_sets')
    with machine.tpm_commands() as commands:
        for call in (lambda: kms.DisableKey(keys[2]), lambda: kms.ScheduleKeyDeletion(keys[2]),
                     lambda: kms.DeleteKeyMaterial(external)):
            with refused('Throttled') as refusal:
                call()
            assert 'StepsPerDay=' in refusal.message
    assert not commands
    with machine.tpm_commands() as commands, refused('Throttled'):  # limits come last
        kms.import_with(parameters, material)
    assert 'NV_Write' not in commands
    assert before == (row_of_key(machine, external), row_of_key(machine, keys[2]),
                      rows(machine, 'SELECT * FROM import_sets'))


def test_what_is_due_is_not_held_up():
    """Expiry and deletion at their date are nobody's calls."""
    with new_machine(config={**QUIET, 'Anchor': {'AnchorSeconds': 86400, 'StepsPerDay': 3}}, clock=START) as machine:
        kms = machine.client()
        expiring, deleted, other = kms.imported_key(expires=START + DAY), kms.own_key(), kms.own_key()
        kms.ScheduleKeyDeletion(deleted, PendingWindowInDays=7)
        kms.DisableKey(other)
        with refused('Throttled'):
            kms.DeleteKeyMaterial(expiring)
        before = steps(machine)
        machine.pass_time(DAY)
        assert kms.state(expiring) == 'PendingImport'
        machine.synchronise_clock()
        machine.pass_time(7 * DAY)
        with refused('KeyNotFound'):
            kms.DescribeKey(deleted)
        iterate_until(lambda: steps(machine) >= before + 2, 'the TPM has taken note of both')
        assert row_of_key(machine, expiring)['envelope'] is None
        assert not rows(machine, 'SELECT * FROM erasures')


# What it costs at the disk

def test_commits_of_each_call(machine, faults):
    """A call that changes something commits once, and once more for its step. An import charges the attempt first."""
    machine.restart()
    kms = settled(machine)
    key, external = kms.own_key(), kms.external_key()
    parameters, material = kms.parameters(external), os.urandom(32)
    wrapped = wrap('RSAES_OAEP_SHA_256', parameters['PublicKey'], material)
    for method, arguments, number in [
            ('CreateKey', [], 1),
            ('GetParametersForImport', [external, 'RSAES_OAEP_SHA_256', 'EC_SM2'], 0),
            ('GetParametersForImport', [external, 'SM2PKE', 'EC_SM2'], 1),
            ('ImportKeyMaterial', [external, b64(bytes(256)), parameters['ImportToken']], 1),
            ('ImportKeyMaterial', [external, wrapped, parameters['ImportToken']], 2),
            ('ImportKeyMaterial', [external, wrapped, parameters['ImportToken']], 3),
            ('Encrypt', [external, b64(b'x')], 0),
            ('DescribeKey', [external], 0),
            ('DeleteKeyMaterial', [external], 2 + EMPTYING),
            ('DeleteKeyMaterial', [external], 0),
            ('DisableKey', [key], 2),
            ('EnableKey', [key], 1),
            ('ScheduleKeyDeletion', [key], 2),
            ('CancelKeyDeletion', [key], 1),
            ('UpdateKeyDescription', [key, 'x'], 1),
            ('TagResource', [key, {'a': 'b'}], 1),
            ('CreateAlias', ['alias/a', key], 1),
            ('DeleteAlias', ['alias/a'], 1)]:
        with flushes(faults, number):
            try:
                getattr(kms, method)(*arguments)
            except DBusError:
                assert number < 2


# Without an index

def free_slots(machine):
    return rows(machine, 'SELECT sum(n_free) FROM erasure_pages')[0][0]


def test_what_was_erased_leaves_the_store_all_the_same():
    with new_machine(start=False, config=QUIET) as machine:
        set_owner_authorisation(machine)
        machine.start()
        kms = machine.client()
        key = kms.imported_key()
        free = free_slots(machine)
        with machine.tpm_commands() as commands:
            kms.DeleteKeyMaterial(key)
        assert not commands
        assert free_slots(machine) == free + 1
        assert (anchor_state(machine), steps(machine)) == ('none', 0)
        assert not rows(machine, 'SELECT * FROM erasures')

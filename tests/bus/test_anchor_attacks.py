# SPDX-License-Identifier: Apache-2.0
"""What somebody with the disk and good timing might win: rows under other names, copies from the seams between two
steps, from before the TPM vouched for the state, or at another place; and faults by which a key would be lost or used
again."""
import contextlib
import errno
import os
import subprocess
import types

import pytest

from harness import ALICE, BOB, new_machine
from client import UNKNOWN_KEY, DBusError, b64, iterate_until, refused, unb64
from state import (KEY, SLOTS_PER_PAGE, derived_key, edit, erasure_keys, erasure_page, open_envelope, reveal,
                   row_of_key, rows, unseal)
from test_anchor import QUIET, bury, die, settled
from test_disk_faults import FOREVER, SYNC, Faults, small_disk
from test_rollback import START, Subject, anchor_state, material_in, outcome, recover
from test_storage import fill

NO_SPACE = '0x14b'  # TPM_RC_NV_SPACE
ALWAYS = 9999  # times that a command fails


@contextlib.contextmanager
def machine_without_index():
    """Its TPM gives no index at the first start, and one at the next."""
    with new_machine(start=False, config=QUIET) as machine:
        machine.tpm_fault(f'NV_DefineSpace 1-1 {NO_SPACE}')
        machine.start()
        assert anchor_state(machine) == 'none'
        yield machine


def start_and_die(machine):
    """A start that a fault ends."""
    machine.launch()
    iterate_until(lambda: machine.daemon.poll() is not None, 'cmkd has died')
    bury(machine)


def thief_of(machine, copy):
    """Who has that copy and the TPM, for what is in state.py."""
    return types.SimpleNamespace(state=copy, stock_tcti=machine.stock_tcti)


def slot_key(of, envelope, root_key, page_of=None):
    """The key of the slot of @envelope, by the pages in the state of @of; @page_of: whose root page it is."""
    number, place = divmod(int.from_bytes(envelope[:8], 'big'), SLOTS_PER_PAGE)
    return erasure_page(of, number, erasure_page(page_of or of, 0, root_key)[number])[place]


def opens(machine, copy, key, root_key):
    """Does this root key of erasure open the material of @key in a copy?"""
    thief = thief_of(machine, copy)
    row = row_of_key(thief, key)
    try:
        envelope = reveal(thief, row['envelope'], root_key)
        return open_envelope(unseal(thief, row['sealed_key']), envelope) in machine.imported
    except (IndexError, subprocess.CalledProcessError):
        return False


def assert_kept(kms, blob):
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'


# Rows that are looked for by what was altered

def test_a_renamed_fact_is_not_taken_for_a_missing_one():
    """Without its mark of the time a state would believe any clock, and the sum of all MACs is what it was."""
    with new_machine(config=QUIET) as machine:
        subject = Subject(machine)
        machine.stop()
        names = [row[0] for row in rows(machine, 'SELECT name FROM facts')]
        assert 'clock' in names
        for name in names:
            edit(machine, "UPDATE facts SET name = 'another' WHERE name = ?", name)
            assert outcome(machine) == 'refused'
            edit(machine, "UPDATE facts SET name = ? WHERE name = 'another'", name)
        machine.start()
        assert anchor_state(machine) == 'ok'
        assert_kept(subject.kms, subject.blob)


def test_a_renamed_alias_is_not_taken_for_a_missing_one():
    with new_machine(config=QUIET) as machine:
        kms, bob = machine.client(), machine.client(BOB)
        key = kms.own_key(Alias='alias/a')
        blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
        machine.stop()
        edit(machine, "UPDATE aliases SET name = 'alias/other'")
        machine.start()
        for name in ('alias/a', 'alias/other'):
            for call in (lambda: kms.DescribeKey(name), lambda: kms.Encrypt(name, b64(b'x'))):
                with refused('StateCorrupted'):
                    call()
            with refused('AliasNotFound'):
                bob.DescribeKey(name)
        with refused('StateCorrupted'):
            kms.DeleteAlias('alias/a')
        assert_kept(kms, blob)


def test_an_altered_erasure_is_not_left_out():
    """Else what was to be erased stays readable, and nobody hears of it."""
    with new_machine(config=QUIET) as machine:
        settled(machine)
        subject = Subject(machine)
        machine.imported = {subject.material}
        machine.stop()
        copy = machine.copy_state('before')
        machine.start()
        settled(machine)
        machine.tpm_fault('StartAuthSession 1-1 kill-before')
        die(machine, subject.kms.DeleteKeyMaterial, subject.key)
        assert rows(machine, 'SELECT * FROM erasures')
        edit(machine, 'UPDATE erasures SET slot = slot + 100')
        assert outcome(machine) == 'refused'
        edit(machine, 'UPDATE erasures SET slot = slot - 100')
        machine.start()
        assert anchor_state(machine) == 'ok'
        assert subject.kms.DeleteKeyMaterial(subject.key)['KeyState'] == 'PendingImport'
        assert not rows(machine, 'SELECT * FROM erasures')
        machine.kill()
        assert material_in(machine, copy, subject.key) is None


# Copies from before the TPM vouched for the state

def test_a_copy_from_while_an_index_was_made_is_older_once_there_is_one():
    with machine_without_index() as machine:
        subject = Subject(machine)
        machine.stop()
        machine.tpm_fault('NV_DefineSpace 1-1 kill-before')
        start_and_die(machine)
        intent = machine.copy_state('intent')
        machine.start()
        assert anchor_state(machine) == 'ok'
        new = subject.kms.imported_key()
        blob = subject.kms.Encrypt(new, b64(b'kept'))['CiphertextBlob']
        subject.kms.DeleteKeyMaterial(subject.key)
        machine.stop()
        latest = machine.copy_state('latest')
        machine.restore_state(intent)
        assert outcome(machine) == 'rolled-back'
        machine.restore_state(latest)
        machine.start()
        assert anchor_state(machine) == 'ok'
        assert subject.kms.state(subject.key) == 'PendingImport'
        assert_kept(subject.kms, blob)


def test_a_copy_from_before_the_index_opens_nothing_that_came_after_it():
    """It has keys of pages, which the TPM's owner can read: with the index all pages have others."""
    with machine_without_index() as machine:
        subject = Subject(machine)
        machine.stop()
        before = thief_of(machine, machine.copy_state('before'))
        key_before = derived_key(before, 'erasure')
        machine.start()
        assert anchor_state(machine) == 'ok'
        material, new = os.urandom(32), subject.kms.external_key()
        subject.kms.import_material(new, material)
        machine.imported = {material}
        machine.stop()
        copy = machine.copy_state('after')
        assert material_in(machine, copy, new) == material  # so that the way is the right one
        machine.start()
        subject.kms.DeleteKeyMaterial(new)
        machine.stop()
        assert material_in(machine, copy, new) is None
        after = thief_of(machine, copy)
        row = row_of_key(after, new)
        key = slot_key(after, row['envelope'], key_before, page_of=before)
        assert open_envelope(unseal(after, row['sealed_key']), open_envelope(key, row['envelope'][8:])) != material


@pytest.mark.parametrize('place', ['same', 'moved'])
def test_a_copy_from_before_the_index_is_older_wherever_it_is_put(place):
    with machine_without_index() as machine:
        subject = Subject(machine)
        machine.stop()
        before = machine.copy_state('before')
        machine.start()
        assert anchor_state(machine) == 'ok'
        subject.kms.DisableKey(subject.key)
        machine.stop()
        latest = machine.copy_state('latest')
        if place == 'moved':
            machine.state = machine.state.rename(machine.directory / 'moved')
        machine.restore_state(before)
        assert outcome(machine) == 'rolled-back'
        machine.restore_state(latest)
        machine.start()  # a directory may be moved
        assert anchor_state(machine) == 'ok'
        assert subject.kms.state(subject.key) == 'Disabled'
        assert_kept(subject.kms, subject.own_blob)


def test_a_copy_from_an_interrupted_first_start_is_older_wherever_it_is_put():
    """It has no label yet by which an index could be looked for."""
    with new_machine(start=False, config=QUIET) as machine:
        machine.tpm_fault('NV_DefineSpace 1-1 kill-before')
        start_and_die(machine)
        interrupted = machine.copy_state('interrupted')
        machine.start()
        subject = Subject(machine)
        settled(machine)
        machine.stop()
        latest = machine.copy_state('latest')
        machine.state = machine.state.rename(machine.directory / 'moved')
        machine.restore_state(interrupted)
        assert outcome(machine) == 'rolled-back'
        machine.restore_state(latest)
        machine.start()
        assert anchor_state(machine) == 'ok'
        assert_kept(subject.kms, subject.blob)


def test_an_interrupted_first_start_leaves_the_index_of_another_system_alone():
    """Two systems on one machine have their states at the same place, and one TPM."""
    with new_machine(start=False, config=QUIET) as machine:
        machine.tpm_fault('NV_DefineSpace 1-1 kill-before')
        start_and_die(machine)
        interrupted = machine.copy_state('interrupted')
        for path in machine.state.iterdir():
            path.unlink()
        machine.start()
        subject = Subject(machine)
        machine.stop()
        of_other = machine.copy_state('other')
        machine.restore_state(interrupted)
        with machine.tpm_commands() as commands:
            assert outcome(machine) in ('ok', 'rolled-back')
        assert 'NV_UndefineSpace' not in commands
        machine.restore_state(of_other)
        machine.start()
        assert anchor_state(machine) == 'ok'
        assert_kept(subject.kms, subject.blob)


# Accepting an older state

def test_accepting_erases_the_import_sets_of_the_older_state():
    """They are void, and recorded ciphertext of an import is not to be opened with them later."""
    with new_machine(config=QUIET) as machine:
        subject = Subject(machine)
        machine.stop()
        older = machine.copy_state('older')
        sets = rows(machine, 'SELECT * FROM import_sets')
        keys = [slot_key(machine, row['envelope'], erasure_keys(machine)[0]) for row in sets]
        assert keys and bytes(KEY) not in keys
        machine.start()
        subject.kms.DisableKey(subject.own)  # it erases nothing
        machine.kill()
        machine.restore_state(older)
        machine.start()
        assert anchor_state(machine) == 'rolled-back'
        recover(machine)
        assert not rows(machine, 'SELECT * FROM import_sets')
        machine.stop()
        assert not rows(machine, 'SELECT * FROM erasures')
        for row, key in zip(sets, keys):
            assert slot_key(machine, row['envelope'], erasure_keys(machine)[0]) != key


@pytest.mark.parametrize('fault', [f'NV_Write {number}-{number} {action}' for number in (1, 2, 3)
                                   for action in ('kill-before', 'kill-after', '0x101', 'drop')])
def test_accepting_after_half_a_step_keeps_the_key_whatever_fails(fault):
    """The state is under the next key of the index, which is the only place that has it."""
    with new_machine(config=QUIET) as machine:
        subject = Subject(machine)
        subject.kms.TagResource(subject.own, {'a': 'b'})
        settled(machine)
        machine.tpm_fault('NV_Write 1-1 kill-before')
        die(machine, subject.kms.DeleteKeyMaterial, subject.key)
        edit(machine, 'DELETE FROM tags')  # what an administrator accepts
        machine.start()
        assert anchor_state(machine) == 'rolled-back'
        machine.tpm_fault(fault)
        with contextlib.suppress(DBusError):
            recover(machine)
        if 'kill' in fault and not machine.tpm_log.with_name('tpm-commands.fault').read_text():
            iterate_until(lambda: machine.daemon.poll() is not None, 'cmkd has died')
            bury(machine)
            machine.start()
        machine.tpm_fault('none 1-1 io')
        if anchor_state(machine) == 'rolled-back':
            answer = recover(machine)
            assert (answer['PendingImport'], answer['Lost']) == ([], [])
        for _ in range(2):
            assert_kept(subject.kms, subject.own_blob)
            assert subject.kms.state(subject.key) == 'PendingImport'
            machine.restart()
            assert anchor_state(machine) == 'ok'


# Keys of steps that failed

def test_the_key_of_a_step_that_the_disk_refused_is_not_used_again():
    """What was written of it may lie on the disk, under that key: it must not become the TPM's."""
    with new_machine(start=False, config=QUIET) as machine:
        faults = Faults(machine)
        machine.start()
        kms = settled(machine)
        first, second, material = kms.imported_key(), kms.external_key(), os.urandom(32)
        kms.import_material(second, material)
        machine.imported = {material}
        settled(machine)
        machine.tpm_fault('StartAuthSession 1-1 0x101')
        with refused('TpmUnavailable'):
            kms.DeleteKeyMaterial(first)
        kms.TagResource(second, {'a': 'b'})  # so that the log, which was emptied, has begun
        faults.set(kinds=SYNC, fail=FOREVER, code=errno.EIO, hold=1)
        again = kms.start('DeleteKeyMaterial', first)  # there is nothing left of it but the step
        iterate_until(lambda: faults.waiting == 1, 'the step is on its way to the disk')
        copy = machine.copy_state('during')
        current, following = erasure_keys(machine)
        assert opens(machine, copy, second, following) and not opens(machine, copy, second, current)
        faults.release()
        with refused('StorageFailure'):
            again.result()
        assert faults.failed > 0
        faults.set()
        assert kms.DeleteKeyMaterial(second)['KeyState'] == 'PendingImport'
        assert anchor_state(machine) == 'ok'
        machine.kill()
        assert material_in(machine, copy, second) is None
        machine.start()
        assert anchor_state(machine) == 'ok'


def test_a_damaged_page_of_erasure_holds_up_no_other_deletion():
    with new_machine(config=QUIET) as machine:
        subject = Subject(machine)
        for _ in range(SLOTS_PER_PAGE):
            last = subject.kms.own_key()
        blob = subject.kms.Encrypt(last, b64(b'kept'))['CiphertextBlob']
        other, material = subject.kms.external_key(), os.urandom(32)
        subject.kms.import_material(other, material)
        machine.imported = {material}
        machine.stop()
        copy = machine.copy_state('before')
        edit(machine, 'UPDATE erasure_pages SET content = zeroblob(length(content)) WHERE page = 1')
        machine.start()
        with refused('StateCorrupted'):
            subject.kms.Decrypt(subject.own_blob)
        for key in (subject.key, other):
            assert subject.kms.DeleteKeyMaterial(key)['KeyState'] == 'PendingImport'
        subject.kms.DisableKey(subject.own)
        subject.kms.ScheduleKeyDeletion(subject.kms.own_key())
        for _ in range(2):
            assert anchor_state(machine) == 'ok'
            assert not rows(machine, 'SELECT * FROM erasures')
            assert_kept(subject.kms, blob)
            machine.restart()
        machine.kill()
        assert material_in(machine, copy, other) is None


# Whose step it is

def test_a_step_for_others_that_fails_is_not_told_to_who_only_came_by():
    with new_machine(config=QUIET, clock=START) as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        expiring = alice.imported_key(expires=START + 1000)
        machine.tpm_fault(f'NV_Write 1-{ALWAYS} 0x101')
        machine.stop_clock(START + 1000)
        with machine.tpm_commands() as commands:
            key = bob.own_key()
        assert 'NV_Write:0x101' in commands  # he has waited for it all the same
        assert [entry['KeyId'] for entry in bob.ListKeys()['Keys']] == [key]
        assert bob.state(key) == 'Enabled'
        assert alice.state(expiring) == 'PendingImport'
        assert anchor_state(machine) == 'behind'
        machine.tpm_fault('none 1-1 io')


REFUSALS = {
    'of a change': lambda kms, key: kms.DisableKey(key),
    'of something else': lambda kms, key: kms.EnableKey(UNKNOWN_KEY),
    'of a use': lambda kms, key: kms.Encrypt(key, b64(b'x')),
}


@pytest.mark.parametrize('refusal', REFUSALS)
def test_a_refusal_right_after_an_expiry_comes_after_the_step(refusal):
    """It tells that the material is gone."""
    with new_machine(config=QUIET, clock=START) as machine:
        settled(machine)
        kms = machine.client()
        key = kms.imported_key(expires=START + 1000)
        machine.tpm_fault('NV_Write 1-1 kill-before')
        machine.stop_clock(START + 1000)
        die(machine, REFUSALS[refusal], kms, key)
        machine.start()
        assert anchor_state(machine) == 'ok'
        assert kms.state(key) == 'PendingImport'


# A full disk

@pytest.mark.parametrize('index', ['an index', 'no index'])
def test_a_start_on_a_full_disk(index):
    with new_machine(start=False, config=QUIET) as machine, small_disk(machine.state):
        if index == 'no index':
            machine.tpm_fault(f'NV_DefineSpace 1-{ALWAYS} {NO_SPACE}')
        machine.start()
        subject = Subject(machine)
        assert anchor_state(machine) == ('none' if index == 'no index' else 'ok')
        machine.stop()
        fill(machine.state / 'filler')
        machine.start()
        assert_kept(subject.kms, subject.blob)
        assert subject.kms.DeleteKeyMaterial(subject.key)['KeyState'] == 'PendingImport'
        machine.stop()

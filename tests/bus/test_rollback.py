# SPDX-License-Identifier: Apache-2.0
"""An older state is not served, and what was erased is gone from every copy: DF-07, DF-08, DF-10 and ME-10.

Whoever puts the older state back has the disk, and the TPM's owner is on his side. What cmkd does is its own start on what
he left; what he can do himself, with stock tools, is in state.py."""
import contextlib
import os
import sqlite3
import subprocess
import types
import uuid

import pytest
from gi.repository import GLib

from harness import ALICE, new_machine
from client import METHODS, UNKNOWN_KEY, DBusError, b64, iterate_until, refused, unb64
from openssl_keys import key_of
from state import erasure_keys, open_envelope, reveal, row_of_key, rows, tpm_tool, unseal
from wrapping import import_key

START, DAY = 2_000_000_000, 86400
SERVED = {'DescribeKey', 'ListKeys', 'GetStatus'}
# One call of each method; the key and the blob are put in.
MORE = {'UpdateKeyDescription': ['x'], 'TagResource': [{'a': 'b'}], 'UntagResource': [['a']], 'Encrypt': ['AAAA'],
        'Sign': ['AAAA', 'ECDSA_SHA_256'], 'Verify': ['AAAA', 'AAAA', 'ECDSA_SHA_256'],
        'AsymmetricEncrypt': ['AAAA', 'SM2PKE'], 'AsymmetricDecrypt': ['AAAA', 'SM2PKE'],
        'GenerateMac': ['AAAA', 'HMAC_SHA_256'], 'VerifyMac': ['AAAA', 'AAAA', 'HMAC_SHA_256'],
        'GetParametersForImport': ['RSAES_OAEP_SHA_256', 'RSA_2048'], 'ImportKeyMaterial': ['A' * 344, 'A' * 200],
        'GrantKey': [['Encrypt'], {'User': GLib.Variant('u', ALICE)}], 'RevokeGrant': [UNKNOWN_KEY]}


@pytest.fixture(scope='module')
def own():
    """A machine whose clock stands still, so that time passes when a test says so."""
    with new_machine(start=False) as machine:
        machine.stop_clock(START)
        machine.start()
        yield machine


def anchor_state(machine):
    return machine.client().GetStatus()['AnchorState']


def calls_of_everything(kms, key, blob):
    """{method: call}, each well-formed."""
    arguments = {'CreateKey': [], 'ListKeys': [], 'ListAliases': [], 'GetStatus': [], 'Decrypt': [blob],
                 'ReEncrypt': [blob, key], 'DeleteAlias': ['alias/a'], 'CreateAlias': ['alias/a', key],
                 'UpdateAlias': ['alias/a', key]}
    return {method: lambda method=method: getattr(kms, method)(*arguments.get(method, [key, *MORE.get(method, [])]))
            for method in METHODS if method != 'Recover'}


def assert_rolled_back(machine, key, blob):
    """Everybody sees the keys, nobody can do anything with them."""
    assert anchor_state(machine) == 'rolled-back'
    assert 'RollbackDetected' in machine.log_tail(2000)
    for uid in (ALICE, 0):
        kms = machine.client(uid)
        for method, call in calls_of_everything(kms, key, blob).items():
            if method in SERVED:
                with contextlib.suppress(DBusError) if method == 'DescribeKey' else contextlib.nullcontext():
                    call()  # an older state may not have had that key yet
            else:
                with refused('RollbackDetected'):
                    call()


def recover(machine, uid=0, accept='RollbackDetected'):
    return machine.client(uid).call('org.cmkd.Kms1.Service', 'Recover', 'a{sv}', {
        'Accept': GLib.Variant('s', accept)})


class Subject:
    """A key of each origin that is in use, what it encrypted, and what was imported."""

    def __init__(self, machine):
        self.machine, self.kms = machine, machine.client()
        self.material = os.urandom(32)
        self.key, self.own = self.kms.external_key(), self.kms.own_key()
        self.parameters = self.kms.parameters(self.key)
        self.kms.import_with(self.parameters, self.material)
        self.blob, self.own_blob = (self.kms.Encrypt(key, b64(b'kept'))['CiphertextBlob'] for key in (self.key, self.own))

    def import_again(self, **options):
        return self.kms.import_with(self.parameters, self.material, **options)

    def wait_for_date(self, date):
        """A date comes while cmkd runs, and somebody calls."""
        self.machine.stop_clock(date)
        self.kms.ListKeys()


def expire(subject):
    subject.import_again(KeyMaterialExpireUnix=subject.machine.now() + 100)
    subject.wait_for_date(subject.machine.now() + 100)


def delete_key(subject):
    date = subject.kms.ScheduleKeyDeletion(subject.own, PendingWindowInDays=7)['DeleteDate']
    subject.wait_for_date(date)
    with refused('KeyNotFound'):
        subject.kms.DescribeKey(subject.own)


# What the TPM takes note of before the answer, so that even a kill right after it changes nothing.
AT_ONCE = {
    'DeleteKeyMaterial': lambda subject: subject.kms.DeleteKeyMaterial(subject.key),
    're-import': lambda subject: subject.import_again(),
    'expiry change': lambda subject: subject.import_again(KeyMaterialExpireUnix=subject.machine.now() + 1000 * DAY),
    'expiry': expire,
    'DisableKey': lambda subject: subject.kms.DisableKey(subject.key),
    'ScheduleKeyDeletion': lambda subject: subject.kms.ScheduleKeyDeletion(subject.key),
    'deletion of a key': delete_key,
}
# What it takes note of soon, and at the latest when cmkd ends.
AT_THE_END = {
    'CreateKey': lambda subject: subject.kms.own_key(),
    'first import': lambda subject: subject.kms.imported_key(),
    'CreateAlias': lambda subject: subject.kms.CreateAlias(f'alias/{subject.key}', subject.key),
    'TagResource': lambda subject: subject.kms.TagResource(subject.key, {'a': 'b'}),
    'UpdateKeyDescription': lambda subject: subject.kms.UpdateKeyDescription(subject.key, 'another'),
    'GetParametersForImport': lambda subject: subject.kms.parameters(subject.key),
}


@pytest.mark.parametrize('change', [*AT_ONCE, *AT_THE_END])
def test_df_07_the_whole_directory(own, change):
    subject = Subject(own)
    own.stop()
    older = own.copy_state('older')
    own.start()
    {**AT_ONCE, **AT_THE_END}[change](subject)
    own.kill() if change in AT_ONCE else own.stop()
    latest = own.copy_state('latest')
    own.restore_state(older)
    for _ in range(2):
        own.start()
        assert_rolled_back(own, subject.key, subject.blob)
        own.stop()
    own.restore_state(latest)
    own.start()
    assert anchor_state(own) == 'ok'
    subject.kms.own_key()


def test_df_07_every_state_that_the_log_still_has():
    """The log is cut off after each of its frames: a state that was, from the first start on, or the present one."""
    with new_machine() as machine:
        subject = Subject(machine)
        subject.kms.CreateAlias('alias/a', subject.key)
        subject.kms.DisableKey(subject.own)  # no erasure, which empties the log
        machine.kill()
        latest = machine.copy_state('latest')
        page = 24 + int.from_bytes((latest / 'state.db-wal').read_bytes()[8:12], 'big')
        size, seen = (latest / 'state.db-wal').stat().st_size, []
        for length in range(32, size, page):
            machine.restore_state(latest)
            os.truncate(machine.state / 'state.db-wal', length)
            seen.append(outcome(machine))
            assert seen[-1] in ('refused', 'rolled-back'), f'after {length // page} of {size // page} frames'
        machine.restore_state(latest)
        assert outcome(machine) == 'ok'
        print(f'# {len(seen)} earlier states')


def outcome(machine):
    """What cmkd makes of the state: 'refused', 'rolled-back' or 'ok'; it is down again afterwards."""
    machine.launch()
    iterate_until(lambda: machine.daemon.poll() is not None or machine.owned(), 'cmkd serves or ends')
    if machine.daemon.poll() is not None:
        assert machine.daemon.returncode == 1
        machine.daemon = None
        return 'refused'
    state = anchor_state(machine)
    if state == 'rolled-back':
        with refused('RollbackDetected'):
            machine.client().own_key()
    machine.kill()
    return state


@pytest.mark.parametrize('name', ['state.db', 'state.db-wal'])
@pytest.mark.parametrize('end', ['kill', 'stop'])
def test_df_07_a_single_file(own, name, end):
    """The database or its log alone."""
    subject = Subject(own)
    own.kill()
    older = own.copy_state('older')
    own.start()
    subject.kms.DeleteKeyMaterial(subject.key)
    getattr(own, end)()
    latest = own.copy_state('latest')
    own.restore_state(older, [name])
    seen = outcome(own)
    assert seen in ('refused', 'rolled-back', 'ok')
    if seen == 'ok':  # a log that belongs to no database is none: nothing is older
        assert rows(own, 'SELECT envelope FROM keys WHERE id = ?', uuid.UUID(subject.key).bytes)[0][0] is None
    own.restore_state(latest)
    own.start()
    assert subject.kms.state(subject.key) == 'PendingImport'


# Rows

class TwoStates:
    """An older state and the latest, which differ in every table."""

    def __init__(self, machine):
        self.machine, kms = machine, machine.client()
        subject = Subject(machine)
        kms.CreateKey(Alias='alias/gone', Tags={'a': 'b'})
        moved, ec = kms.own_key(Alias='alias/moved', Tags={'a': 'b'}), import_key(kms, key_of('EC_P256'))
        untagged = kms.own_key(KeySpec='EC_P384', Tags={'c': 'd'})
        scheduled, cancelled = kms.own_key(), kms.own_key()
        for key in (scheduled, cancelled):
            kms.ScheduleKeyDeletion(key, PendingWindowInDays=30)
        machine.stop()
        self.older = machine.copy_state('older')
        machine.pass_time(DAY // 2)
        machine.start()
        kms.UpdateAlias('alias/moved', subject.key)
        kms.DeleteAlias('alias/gone')
        kms.TagResource(moved, {'a': 'c'})
        kms.UntagResource(untagged, ['c'])
        kms.CancelKeyDeletion(cancelled)
        kms.CancelKeyDeletion(scheduled)
        kms.ScheduleKeyDeletion(scheduled, PendingWindowInDays=90)
        with refused('IncorrectKeyMaterial'):
            kms.ImportKeyMaterial(subject.key, b64(bytes(255) + b'\2'), subject.parameters['ImportToken'])
        kms.DeleteKeyMaterial(ec)
        machine.stop_clock(machine.now() + 13 * 3600)  # the tokens of before are over
        kms.parameters(subject.key)
        kms.imported_key(Tags={'e': 'f'}, Alias='alias/new')
        machine.stop()
        self.latest, self.subject = machine.copy_state('latest'), subject

    def edit(self, statement):
        """With the older state as `older`; how many rows were changed."""
        with contextlib.closing(sqlite3.connect(self.machine.state / 'state.db', isolation_level=None)) as connection:
            connection.execute('ATTACH ? AS older', (str(self.older / 'state.db'),))
            return connection.execute(statement).rowcount


@pytest.fixture(scope='module')
def two_states():
    with new_machine(start=False) as machine:
        machine.stop_clock(START)
        machine.start()
        yield TwoStates(machine)


IDENTITIES = {'keys': 'id', 'import_sets': 'id', 'public_keys': 'key_id', 'deletions': 'key_id', 'aliases': 'serial',
              'tags': 'key_id', 'facts': 'name', 'erasure_pages': 'page', 'anchor': 'number'}
CHANGES = {
    'older': 'INSERT OR REPLACE INTO {table} SELECT * FROM older.{table} AS old WHERE EXISTS '
             '(SELECT 1 FROM {table} AS new WHERE new.{id} = old.{id} AND new.mac != old.mac) LIMIT 1',
    'missing': 'DELETE FROM {table} WHERE {id} = (SELECT max({id}) FROM {table})',
    'again': 'INSERT INTO {table} SELECT * FROM older.{table} AS old WHERE NOT EXISTS '
             '(SELECT 1 FROM {table} AS new WHERE new.{id} = old.{id}) LIMIT 1',
}
# What there is nothing to do for: rows that never change, and tables of which no row was taken away.
NOTHING = {('older', 'public_keys'), ('older', 'import_sets'), ('again', 'keys'), ('again', 'facts'), ('again', 'anchor'),
           ('again', 'erasure_pages')}


@pytest.mark.parametrize('change, table', [(change, table) for change in CHANGES for table in IDENTITIES
                                           if (change, table) not in NOTHING])
def test_df_08_a_single_row(two_states, change, table):
    machine = two_states.machine
    machine.restore_state(two_states.latest)
    assert two_states.edit(CHANGES[change].format(table=table, id=IDENTITIES[table])) == 1
    assert outcome(machine) in ({'refused', 'rolled-back'} if table == 'anchor' else {'rolled-back'})
    machine.restore_state(two_states.latest)
    assert outcome(machine) == 'ok'
    two_states.latest = machine.copy_state('latest')


def test_df_08_a_row_of_a_key_in_a_newer_state(two_states):
    """The older row of one key, with its deletion and its material, and nothing else."""
    machine = two_states.machine
    machine.restore_state(two_states.latest)
    for table in ('keys', 'deletions', 'import_sets', 'aliases', 'tags', 'public_keys', 'erasure_pages'):
        two_states.edit(f'DELETE FROM {table}')
        two_states.edit(f'INSERT INTO {table} SELECT * FROM older.{table}')
    assert outcome(machine) == 'rolled-back'


# Accepting it

def test_who_may_accept_what(own):
    subject = Subject(own)
    for accept in ('RollbackDetected', 'TpmChanged'):
        with refused('StateNotAllowed'):
            recover(own, accept=accept)
    older = roll_back(own, lambda: subject.kms.DisableKey(subject.own))
    with refused('AccessDenied'):
        recover(own, uid=ALICE)
    with refused('StateNotAllowed'):
        recover(own, accept='TpmChanged')
    with refused('InvalidParameter'):
        recover(own, accept='Everything')
    assert_rolled_back(own, subject.key, subject.blob)
    answer = recover(own)
    assert (answer['PendingImport'], answer['Lost']) == ([], [])  # nothing was erased since
    assert (anchor_state(own), subject.kms.state(subject.own)) == ('ok', 'Enabled')
    for blob in (subject.blob, subject.own_blob):
        assert unb64(subject.kms.Decrypt(blob)['Plaintext']) == b'kept'
    with refused('InvalidImportToken'):
        subject.import_again()
    with refused('StateNotAllowed'):
        recover(own)
    assert 'uid 0 accepted RollbackDetected' in own.log_tail(2000)
    for end in (own.restart, own.reboot):
        end()
        assert anchor_state(own) == 'ok'
        assert unb64(subject.kms.Decrypt(subject.blob)['Plaintext']) == b'kept'
    own.stop()
    own.restore_state(older)  # what was accepted then is older now
    own.start()
    assert_rolled_back(own, subject.key, subject.blob)
    recover(own)


def roll_back(machine, change):
    """Put back a copy from before @change(); cmkd runs on it. The copy."""
    machine.stop()
    older = machine.copy_state('older')
    machine.start()
    change()
    machine.kill()
    machine.restore_state(older)
    machine.start()
    assert anchor_state(machine) == 'rolled-back'
    return older


@pytest.mark.parametrize('erase', ['DeleteKeyMaterial', 'expiry', 'deletion of a key'])
def test_me_10_accepted_is_not_readable_again(erase):
    """What was erased after the copy was made is not opened by cmkd itself."""
    with new_machine(start=False) as machine:
        machine.stop_clock(START)
        machine.start()
        subject, kms = Subject(machine), machine.client()
        other = kms.imported_key()
        other_blob = kms.Encrypt(other, b64(b'other'))['CiphertextBlob']
        roll_back(machine, lambda: AT_ONCE[erase](subject))
        answer = recover(machine)
        gone = set(answer['PendingImport']) | set(answer['Lost'])
        assert (subject.own if erase == 'deletion of a key' else subject.key) in gone
        for key, blob, plaintext in ((subject.key, subject.blob, b'kept'), (subject.own, subject.own_blob, b'kept'),
                                     (other, other_blob, b'other')):
            if key in answer['PendingImport']:
                assert kms.state(key) == 'PendingImport'
                with refused('KeyPendingImport'):
                    kms.Decrypt(blob)
            elif key in answer['Lost']:
                with refused('TpmChanged'):
                    kms.Decrypt(blob)
                kms.ScheduleKeyDeletion(key)
            else:
                assert unb64(kms.Decrypt(blob)['Plaintext']) == plaintext
        if subject.key in gone:
            with refused('MaterialMismatch'):
                kms.import_material(subject.key, os.urandom(32))
            kms.import_material(subject.key, subject.material)
            assert unb64(kms.Decrypt(subject.blob)['Plaintext']) == b'kept'
        machine.restart()
        assert anchor_state(machine) == 'ok'


# What an attacker does himself

def material_in(machine, directory, key):
    """The material of @key in a copy of the state, by who may use the TPM and its owner's authorisation, or None."""
    thief = types.SimpleNamespace(state=directory, stock_tcti=machine.stock_tcti)
    row = row_of_key(thief, key)
    data_key = unseal(thief, row['sealed_key'])
    for root_key in erasure_keys(thief):
        with contextlib.suppress(IndexError, subprocess.CalledProcessError):
            found = open_envelope(data_key, reveal(thief, row['envelope'], root_key))
            if found in machine.imported:
                return found
    return None


@pytest.mark.parametrize('erase', ['DeleteKeyMaterial', 'expiry', 'deletion of a key', 're-import'])
def test_me_10_deleted_is_gone_from_every_copy(erase):
    with new_machine(start=False) as machine:
        machine.stop_clock(START)
        machine.start()
        kms, subject = machine.client(), Subject(machine)
        machine.imported = {subject.material}
        machine.stop()
        copies = [machine.copy_state('first')]
        machine.start()
        machine.client().own_key()
        machine.kill()
        copies.append(machine.copy_state('second'))
        for copy in copies:  # so that the way is the right one
            assert material_in(machine, copy, subject.key) == subject.material
        machine.start()
        if erase == 'deletion of a key':
            subject.wait_for_date(kms.ScheduleKeyDeletion(subject.key, PendingWindowInDays=7)['DeleteDate'])
        else:
            AT_ONCE[erase](subject)
        machine.kill()  # right after the answer
        for copy in copies:
            assert material_in(machine, copy, subject.key) is None
        if erase == 're-import':  # it is the same material, and in the latest state it is there
            assert material_in(machine, machine.state, subject.key) == subject.material
        machine.start()


# A state that is not there

@pytest.mark.parametrize('end', ['kill', 'stop'])
def test_df_10_an_empty_directory_under_a_tpm_that_knows_better(end):
    with new_machine() as machine:
        subject = Subject(machine)
        getattr(machine, end)()
        latest = machine.copy_state('latest')
        for path in machine.state.iterdir():
            path.unlink()
        assert outcome(machine) in ('refused', 'rolled-back')
        machine.restore_state(latest)
        machine.start()
        assert unb64(subject.kms.Decrypt(subject.blob)['Plaintext']) == b'kept'


# An honest machine

def test_an_honest_end_is_no_rollback(own):
    subject = Subject(own)
    changes = {**AT_THE_END, 'DisableKey': lambda it: it.kms.DisableKey(it.own), 'nothing': lambda it: None,
               'DeleteKeyMaterial': lambda it: it.kms.DeleteKeyMaterial(it.kms.imported_key())}
    for change in changes.values():
        for end in ('stop', 'kill'):
            for tpm in ('same', 'restarted'):
                change(Subject(own) if change is changes['CreateAlias'] else subject)
                getattr(own, end)()
                if tpm == 'restarted':
                    own.restart_tpm()
                own.start()
                assert anchor_state(own) == 'ok'
                assert unb64(subject.kms.Decrypt(subject.blob)['Plaintext']) == b'kept'
        own.restart_tpm()  # under a running cmkd
    own.reboot()
    assert anchor_state(own) == 'ok'


# A TPM without NV for us

def set_owner_authorisation(machine):
    """The storage root key is there, or nothing would work; it is what a cmkd left that has gone."""
    machine.start()
    machine.stop()
    handle = hex(rows(machine, 'SELECT nv_handle FROM anchor')[0][0])
    tpm_tool(machine, 'nvundefine', handle, '-C', 'o')
    for path in machine.state.iterdir():
        path.unlink()
    tpm_tool(machine, 'changeauth', '-c', 'owner', 'owned')


def use_up_handles(machine):
    """All that cmkd would take, or all the room that there is, whichever is less."""
    for handle in range(0x018c6d00, 0x018c6e00):
        try:
            tpm_tool(machine, 'nvdefine', hex(handle), '-C', 'o', '-s', '64', '-a', 'ownerread|ownerwrite')
        except subprocess.CalledProcessError as error:
            assert b'0x14b' in error.stderr.lower(), error.stderr  # TPM_RC_NV_SPACE
            return


@pytest.mark.parametrize('refuse', [set_owner_authorisation, use_up_handles])
def test_a_tpm_that_gives_no_index(refuse):
    with new_machine(start=False) as machine:
        refuse(machine)
        machine.start()
        subject = Subject(machine)
        status = subject.kms.GetStatus()
        assert status['AnchorState'] == 'none' and 'NV' in status['AnchorAdvice']
        assert 'NV' in machine.log_tail(2000)
        assert subject.kms.DeleteKeyMaterial(subject.key)['KeyState'] == 'PendingImport'
        for end in (machine.restart, machine.reboot):
            end()
            assert anchor_state(machine) == 'none'
            assert unb64(subject.kms.Decrypt(subject.own_blob)['Plaintext']) == b'kept'
        subject.kms.import_material(subject.key, subject.material)
        assert unb64(subject.kms.Decrypt(subject.blob)['Plaintext']) == b'kept'
        if refuse is set_owner_authorisation:  # it is tried again at each start
            tpm_tool(machine, 'changeauth', '-c', 'owner', '-p', 'owned')
            machine.restart()
            assert anchor_state(machine) == 'ok'
            assert unb64(subject.kms.Decrypt(subject.blob)['Plaintext']) == b'kept'
            older = roll_back(machine, lambda: subject.kms.DisableKey(subject.own))
            assert older and anchor_state(machine) == 'rolled-back'

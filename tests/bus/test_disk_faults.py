# SPDX-License-Identifier: Apache-2.0
"""A disk that is full, fails, is read-only, slow or damaged: DF-01 to DF-06, DF-09, DF-11 and DF-12 of the catalogue."""
import collections
import contextlib
import errno
import mmap
import os
import shutil
import struct
import subprocess
import uuid

import pytest

from harness import ALICE, BOB, new_machine
from client import METHODS, DBusError, b64, iterate_until, refused, unb64
from state import edit, rows
from test_storage import fill

WRITE, SYNC, READ, REMOVE = 1, 2, 4, 8  # of disk-faults.c
FOREVER = 1 << 40


class Faults:
    """What disk-faults.c lets fail, in the machine that it was made for before its cmkd starts."""

    def __init__(self, machine):
        path = machine.directory / 'faults'
        path.write_bytes(bytes(7 * 8))
        shutil.copy(os.environ['CMKD_DISK_FAULTS_PRELOAD'], machine.directory / 'faults.so')
        with open(path, 'r+b') as file:
            self.shared = mmap.mmap(file.fileno(), 7 * 8)
        machine.environment.update({
            'CMKD_DISK_FAULTS': str(path), 'CMKD_DISK_FAULTS_DIRECTORY': str(machine.state),
            'LD_PRELOAD': f'{machine.directory}/faults.so:{machine.directory}/CMKD_CLOCK_PRELOAD.so'})

    def set(self, kinds=0, skip=0, fail=0, code=0, hold=0):
        self.shared[:] = bytes(7 * 8)
        self.shared[8:] = struct.pack('=6q', skip, fail, code, 0, hold, 0)
        self.shared[:8] = struct.pack('=q', kinds)

    def read(self, place):
        return struct.unpack_from('=q', self.shared, 8 * place)[0]

    @property
    def failed(self):
        return self.read(4)

    @property
    def waiting(self):
        return self.read(6)

    def release(self):
        self.shared[40:48] = bytes(8)


@pytest.fixture(scope='module')
def faulty():
    """(machine, faults)"""
    with new_machine(start=False) as machine:
        faults = Faults(machine)
        machine.start()
        yield machine, faults
        faults.set()


# What changes something: {name: (prepare, call)}. prepare(kms) gives what call(kms, it) needs; the key is it[0].

def with_parameters(kms):
    key = kms.external_key()
    parameters = kms.parameters(key)
    material = os.urandom(32)
    return key, parameters, material


def pending_deletion(kms):
    key = kms.own_key()
    kms.ScheduleKeyDeletion(key)
    return key,


CHANGES = {
    'CreateKey': (lambda kms: (str(uuid.uuid4()),), lambda kms, it: kms.CreateKey(Origin='EXTERNAL', KeyId=it[0],
                                                                                  Tags={'a': 'b'})),
    'ImportKeyMaterial': (with_parameters, lambda kms, it: kms.import_with(*it[1:])),
    'DeleteKeyMaterial': (lambda kms: (kms.imported_key(),), lambda kms, it: kms.DeleteKeyMaterial(it[0])),
    'DisableKey': (lambda kms: (kms.own_key(),), lambda kms, it: kms.DisableKey(it[0])),
    'ScheduleKeyDeletion': (lambda kms: (kms.own_key(),), lambda kms, it: kms.ScheduleKeyDeletion(it[0])),
    'CancelKeyDeletion': (pending_deletion, lambda kms, it: kms.CancelKeyDeletion(it[0])),
    'CreateAlias': (lambda kms: (kms.own_key(),), lambda kms, it: kms.CreateAlias(f'alias/{it[0]}', it[0])),
    'TagResource': (lambda kms: (kms.own_key(),), lambda kms, it: kms.TagResource(it[0], {'name': 'v' * 256})),
}


def start_anew(machine):
    """After a kill. Nobody else flushes what it had in the TPM: there is no resource manager between them."""
    machine.kill()
    machine.restart_tpm()
    machine.start()


def look(kms, key):
    """All that is told of a key, or the name of the refusal."""
    try:
        return kms.describe(key)
    except DBusError as error:
        return error.name


def try_change(kms, change, faults, **fault):
    """Do the change under a fault: (key, error or None, how it was before, how it is after)."""
    prepare, call = CHANGES[change]
    subject = prepare(kms)
    before, error = look(kms, subject[0]), None
    faults.set(**fault)
    try:
        call(kms, subject)
    except DBusError as refusal:
        error = refusal.name
    return subject[0], error, before


@pytest.mark.parametrize('kind, code, error', [
    (WRITE, errno.ENOSPC, 'StorageFull'), (WRITE, errno.EIO, 'StorageFailure'), (SYNC, errno.EIO, 'StorageFailure')],
    ids=['DF-01 ENOSPC at a write', 'EIO at a write', 'DF-02 EIO at an fsync'])
@pytest.mark.parametrize('change', CHANGES)
def test_df_01_df_02_a_fault_at_each_point(faulty, change, kind, code, error):
    """Of each change: the first call fails, then the second, and so on until none is left to fail."""
    machine, faults = faulty
    kms = machine.client()
    for skip in range(100):
        key, refusal, before = try_change(kms, change, faults, kinds=kind, skip=skip, fail=1, code=code)
        failed = faults.failed
        faults.set()
        assert refusal in (None, error)
        after = look(kms, key)
        assert (after == before) == (refusal is not None), f'{refusal} at {skip}, but it is {after}'
        start_anew(machine)
        assert look(kms, key) == after, f'another after a restart: {refusal} at {skip}'
        CHANGES['TagResource'][1](kms, (kms.own_key(),))  # it works again
        if failed == 0:
            assert skip > 0 and refusal is None
            return
    raise AssertionError('it never came through')


@pytest.mark.parametrize('code, error', [(errno.ENOSPC, 'StorageFull'), (errno.EIO, 'StorageFailure'),
                                         (errno.EROFS, 'StorageFailure')], ids=['DF-01', 'EIO', 'DF-03'])
def test_df_01_df_03_a_disk_that_takes_nothing_for_a_while(faulty, code, error):
    machine, faults = faulty
    kms, key, blob = machine.client(), *key_and_blob(machine.client())
    subjects = {name: prepare(kms) for name, (prepare, _) in CHANGES.items()}
    before = {name: look(kms, subject[0]) for name, subject in subjects.items()}
    for _ in range(2):
        faults.set(kinds=WRITE | SYNC | REMOVE, fail=FOREVER, code=code)
        for name, (_, call) in CHANGES.items():
            with refused(error):
                call(kms, subjects[name])
            assert look(kms, subjects[name][0]) == before[name]
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'  # what only reads goes on
        kms.Encrypt(key, b64(b'x'))
        assert kms.ListKeys(Limit=1000)['Keys']
        faults.set()
    for name, (_, call) in CHANGES.items():  # and no restart was needed
        call(kms, subjects[name])
        assert look(kms, subjects[name][0]) != before[name]


def key_and_blob(kms):
    key = kms.imported_key()
    return key, kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']


@pytest.mark.parametrize('code', [errno.EINTR, 0], ids=['EINTR', 'half'])
def test_df_11_interrupted_and_short_transfers(code):
    """Every other write and read; also at the start."""
    with new_machine(start=False) as machine:
        faults = Faults(machine)
        faults.set(kinds=WRITE | READ, fail=FOREVER if code == 0 else 0, code=code)
        machine.start()
        kms = machine.client()
        for change in CHANGES:
            for skip in range(10):
                key, refusal, before = try_change(kms, change, faults, kinds=WRITE | READ, skip=skip,
                                                  fail=FOREVER if code == 0 else 1, code=code)
                assert refusal is None
                after = look(kms, key)
                assert after != before
        start_anew(machine)
        assert look(kms, key) == after
        faults.set()


def test_df_12_a_slow_disk_holds_up_nobody_who_only_uses_keys(faulty):
    machine, faults = faulty
    alice, bob = machine.client(ALICE), machine.client(BOB)
    key, other = alice.own_key(), bob.own_key()
    blob = bob.Encrypt(other, b64(b'kept'))['CiphertextBlob']
    faults.set(kinds=SYNC, hold=1)
    call = alice.start('DisableKey', key)
    iterate_until(lambda: faults.waiting > 0, 'cmkd waits for its disk')
    for _ in range(20):
        bob.Encrypt(other, b64(b'x'))
        assert unb64(bob.Decrypt(blob)['Plaintext']) == b'kept'
        bob.GenerateDataKey(other)
    assert faults.waiting > 0 and not call.done
    faults.release()
    assert call.result()['KeyState'] == 'Disabled'
    faults.set()


@pytest.mark.parametrize('kind, code', [(WRITE, errno.ENOSPC), (SYNC, errno.EIO), (READ, errno.EIO)],
                         ids=['ENOSPC', 'fsync', 'read'])
def test_faults_at_the_start(kind, code):
    """It says so and ends, or serves; and what was there is there at the next start."""
    with new_machine(start=False) as machine:
        faults = Faults(machine)
        machine.start()
        kms = machine.client()
        key, blob = key_and_blob(kms)
        for skip in range(100):
            machine.stop()
            faults.set(kinds=kind, skip=skip, fail=1, code=code)
            machine.launch()
            iterate_until(lambda: machine.daemon.poll() is not None or machine.owned(), 'cmkd serves or ends')
            failed = faults.failed
            faults.set()
            if machine.daemon.poll() is not None:
                assert machine.daemon.returncode == 1, machine.log_tail()
                machine.start()
            assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
            assert kms.state(key) == 'Enabled'
            if failed == 0:
                assert skip > 0 or kind != READ
                return
        raise AssertionError('it never came through')


# A real disk that is full or read-only

@contextlib.contextmanager
def small_disk(directory):
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16m,mode=700', 'tmpfs', directory], check=True)
    try:
        yield
    finally:
        subprocess.run(['umount', '--lazy', directory], check=True)


def test_df_01_deletion_is_never_blocked_by_a_full_disk():
    with new_machine(start=False) as machine, small_disk(machine.state):
        machine.stop_clock(2_000_000_000)
        machine.start()
        kms = machine.client()
        keys = [kms.imported_key() for _ in range(4)]
        expiring, doomed = kms.imported_key(expires=2_000_000_100), kms.own_key()
        kms.ScheduleKeyDeletion(doomed, PendingWindowInDays=7)
        blob = kms.Encrypt(keys[0], b64(b'kept'))['CiphertextBlob']
        filler = machine.state / 'filler'
        fill(filler)
        with refused('StorageFull'):  # it is full
            for _ in range(100):
                kms.CreateKey(Description='x' * 8000)
        for key in keys[1:]:
            assert kms.DeleteKeyMaterial(key)['KeyState'] == 'PendingImport'
            fill(filler)
        machine.stop_clock(2_000_000_100)
        assert kms.state(expiring) == 'PendingImport'
        machine.stop_clock(2_000_000_000 + 7 * 86400)
        with refused('KeyNotFound'):
            kms.DescribeKey(doomed)
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
        filler.unlink()
        start_anew(machine)
        assert [kms.state(key) for key in [*keys, expiring]] == ['Enabled', *['PendingImport'] * 4]
        kms.CreateKey(Description='x' * 8000)
        machine.stop()


def test_df_03_a_start_on_a_read_only_disk_says_so():
    with new_machine(start=False) as machine, small_disk(machine.state):
        machine.start()
        kms = machine.client()
        key, blob = key_and_blob(kms)
        machine.stop()
        subprocess.run(['mount', '-o', 'remount,ro', machine.state], check=True)
        status, output = machine.run_daemon()
        assert status == 1 and str(machine.state) in output and 'ead-only' in output
        subprocess.run(['mount', '-o', 'remount,rw', machine.state], check=True)
        machine.start()
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
        assert kms.state(key) == 'Enabled'
        machine.stop()


# Damage

class Golden:
    """A machine with keys of all kinds, stopped, that can be put back as it was, its TPM included."""

    def __init__(self, machine):
        self.machine, kms = machine, machine.client()
        self.users = {uid: machine.client(uid) for uid in (ALICE, BOB)}
        self.keys, self.blobs = {}, {}
        for uid, user in self.users.items():
            for key in (user.imported_key(Alias=f'alias/{uid}', Tags={'a': 'b'}), user.own_key(KeySpec='SM4'),
                        user.imported_key(expires=4_000_000_000)):
                self.keys[key] = (uid, user.describe(key))
                self.blobs[user.Encrypt(key, b64(key.encode()))['CiphertextBlob']] = key
            for make in (lambda user=user: user.own_key(KeySpec='EC_P256'), user.external_key):
                key = make()
                user.parameters(key, 'SM2PKE', 'EC_SM2') if make == user.external_key else None
                self.keys[key] = (uid, user.describe(key))
            user.ScheduleKeyDeletion(doomed := user.own_key())
            self.keys[doomed] = (uid, user.describe(doomed))
        machine.kill()  # so that there is a log beside the database
        self.copies = [machine.copy_state('golden-state'), machine.copy_state('golden-tpm', of='tpm')]

    def put_back(self):
        machine = self.machine
        if machine.daemon is not None:
            machine.kill()
        machine.stop_tpm()
        machine.restore_state(self.copies[0])
        for path in self.copies[1].iterdir():
            shutil.copy2(path, machine.tpm_directory)
        machine.start_tpm()

    def outcome(self):
        """cmkd is started on what is there: 'refused' if it does not serve, 'rolled back' if it takes it for an older state,
        else {key: 'ok' or the errors}. What it answers is right."""
        machine = self.machine
        machine.launch()
        iterate_until(lambda: machine.daemon.poll() is not None or machine.owned(), 'cmkd serves or ends')
        if machine.daemon.poll() is not None:
            assert machine.daemon.returncode == 1, f'it ended with {machine.daemon.returncode}: {machine.log_tail()}'
            machine.daemon = None
            return 'refused'
        found = {key: self.answers(key) for key in self.keys}
        if machine.client().GetStatus()['AnchorState'] != 'rolled-back':
            return found
        assert all('RollbackDetected' in answers for answers in found.values())
        return 'rolled back'

    def answers(self, key):
        uid, described = self.keys[key]
        user, rolled_back = self.users[uid], self.machine.client().GetStatus()['AnchorState'] == 'rolled-back'
        seen = look(user, key)
        assert rolled_back or isinstance(seen, str) or seen == described, f'{key} is told to be {seen}'
        found = {'ok' if seen == described else seen if isinstance(seen, str) else 'older'}
        calls = [lambda blob=blob: user.Decrypt(blob) for blob, of in self.blobs.items() if of == key]
        for call in (*calls, lambda: user.ListAliases(KeyId=key)):
            try:
                plaintext = unb64(call().get('Plaintext', b64(key.encode()))).decode()
                assert plaintext == key and not rolled_back
            except DBusError as error:
                found.add(error.name)
        return found


@pytest.fixture(scope='module')
def golden():
    with new_machine() as machine:
        yield Golden(machine)
        if machine.daemon is not None:
            machine.kill()


@pytest.fixture
def damaged(golden):
    """The machine as it was, to be damaged."""
    golden.put_back()
    return golden


def test_the_machine_put_back_is_whole(damaged):
    assert set(map(frozenset, damaged.outcome().values())) == {frozenset({'ok'})}


def harm(found):
    """Which keys are not as they were."""
    return {key for key, answers in found.items() if answers != {'ok'}}


def assert_told(found, where):
    """Nothing is missing or wrong without saying so."""
    assert isinstance(found, str) or set().union(*found.values()) <= {'ok', 'StateCorrupted'}, f'{where}: {found}'


@pytest.mark.parametrize('name', ['state.db', 'state.db-wal'])
def test_df_04_flipped_bytes(golden, name):
    size, steps = (golden.copies[0] / name).stat().st_size, 25
    seen = collections.Counter()
    for step in range(steps):
        golden.put_back()
        place = (2 * step + 1) * size // (2 * steps)
        with open(golden.machine.state / name, 'r+b') as file:
            for offset in range(place, min(place + 16, size)):
                file.seek(offset)
                byte = file.read(1)[0] ^ 0x41
                file.seek(offset)
                file.write(bytes([byte]))
        found = golden.outcome()
        assert_told(found, f'{name} at {place}')
        seen[found if isinstance(found, str) else f'{len(harm(found))} keys harmed'] += 1
    print(f'# {name}: {dict(seen)}')


@pytest.mark.parametrize('name', ['state.db', 'state.db-wal'])
@pytest.mark.parametrize('how', ['cut off', 'zeroes'])
def test_df_05_truncated_and_zero_filled(golden, name, how):
    size, steps = (golden.copies[0] / name).stat().st_size, 8
    for length in [0, 1, 100, *(step * size // steps for step in range(1, steps)), size - 1]:
        golden.put_back()
        os.truncate(golden.machine.state / name, length)
        if how == 'zeroes':
            os.truncate(golden.machine.state / name, size)
        found = golden.outcome()
        assert_told(found, f'{name} at {length}')


SWAPPED = ['envelope', 'sealed_key', 'fingerprint', 'mac', 'expires_at']
VALUES = {'owner_uid': BOB, 'state': 2, 'description': "'x'", 'created_at': 'created_at + 1'}  # instead: both have the same


@pytest.mark.parametrize('column', [*SWAPPED, *VALUES])
def test_df_06_swapped_between_keys(damaged, column):
    first, _, second = list(damaged.keys)[:3]  # imported, with and without expiry
    others = set(damaged.keys) - {first, second}
    a, b = uuid.UUID(first).bytes, uuid.UUID(second).bytes
    if column in VALUES:
        b = a
        edit(damaged.machine, f'UPDATE keys SET {column} = {VALUES[column]} WHERE id = ?', a)
    else:
        values = [rows(damaged.machine, f'SELECT {column} FROM keys WHERE id = ?', row)[0][0] for row in (b, a)]
        for row, value in zip((a, b), values):
            edit(damaged.machine, f'UPDATE keys SET {column} = ? WHERE id = ?', value, row)
    found = damaged.outcome()
    hurt = {first} if a == b else {first, second}
    for key in hurt:
        assert found[key] <= {'StateCorrupted', 'KeyNotFound', 'InvalidCiphertext'}
    assert harm(found) == hurt, 'others were harmed'
    assert all(found[key] == {'ok'} for key in others)


def test_df_06_swapped_ids(damaged):
    """Each row is whole, under the other's name."""
    first, _, second = list(damaged.keys)[:3]
    a, b, none = uuid.UUID(first).bytes, uuid.UUID(second).bytes, bytes(16)
    for old, new in ((a, none), (b, a), (none, b)):
        edit(damaged.machine, 'UPDATE keys SET id = ? WHERE id = ?', new, old)
    found = damaged.outcome()
    assert harm(found) == {first, second}


# Whose files they are

def symbolic_link(machine):
    machine.state.rename(machine.directory / 'elsewhere')
    machine.state.symlink_to(machine.directory / 'elsewhere')


def database_by_a_link(machine):
    (machine.state / 'state.db').rename(machine.directory / 'elsewhere.db')
    (machine.state / 'state.db').symlink_to(machine.directory / 'elsewhere.db')


SPOILS = {
    'a directory of another': lambda machine: os.chown(machine.state, ALICE, ALICE),
    'a directory open to all': lambda machine: machine.state.chmod(0o777),
    'a directory open to a group': lambda machine: machine.state.chmod(0o750),
    'a link to the directory': symbolic_link,
    'a database of another': lambda machine: os.chown(machine.state / 'state.db', ALICE, ALICE),
    'a database open to all': lambda machine: (machine.state / 'state.db').chmod(0o644),
    'a link to the database': database_by_a_link,
    'a second name of the database': lambda machine: os.link(machine.state / 'state.db', machine.directory / 'second'),
    'a log of another': lambda machine: os.chown(machine.state / 'state.db-wal', ALICE, ALICE),
    'a log open to all': lambda machine: (machine.state / 'state.db-wal').chmod(0o666),
    'a link to the log': lambda machine: [(machine.state / 'state.db-wal').rename(machine.directory / 'wal'),
                                          (machine.state / 'state.db-wal').symlink_to(machine.directory / 'wal')],
}


@pytest.mark.parametrize('spoil', SPOILS)
def test_df_09_files_that_others_can_change(spoil):
    with new_machine() as machine:
        machine.client().imported_key()
        machine.kill()
        SPOILS[spoil](machine)
        status, output = machine.run_daemon()
        assert status == 1
        assert str(machine.state) in output, 'it does not say what'


def test_one_daemon_to_a_state_directory(machine):
    status, output = machine.run_daemon()
    assert status == 1 and str(machine.state) in output
    assert machine.client().own_key()


def test_no_change_is_forgotten():
    """Whoever adds a method that changes something thinks of CHANGES; the rest goes the same way as one of them."""
    assert set(CHANGES) <= set(METHODS)

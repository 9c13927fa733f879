# SPDX-License-Identifier: Apache-2.0
"""What is erased is gone from the disk, and a disk that is full or damaged gives nobody more than he had."""
import contextlib
import os
import sqlite3
import subprocess

from harness import ALICE, BOB, new_machine
from client import b64, refused
from state import row_of_key, rows

WRONG = b64(bytes(255) + b'\2')  # as long as an RSA_2048 modulus, and nobody's padding


def assert_nowhere(machine, *blobs):
    for path in machine.state.iterdir():
        content = path.read_bytes()
        for blob in blobs:
            assert blob not in content, f'still in {path.name}'


def test_deleted_material_is_nowhere_in_the_state_directory():
    with new_machine() as machine:
        kms = machine.client()
        key = kms.imported_key()
        row = row_of_key(machine, key)
        for _ in range(3):
            kms.own_key()
        kms.DeleteKeyMaterial(key)
        assert_nowhere(machine, row['envelope'], row['sealed_key'])


def test_expired_material_is_nowhere_in_the_state_directory():
    with new_machine() as machine:
        kms = machine.client()
        key = kms.imported_key(expires=machine.now() + 1000)
        row = row_of_key(machine, key)
        machine.pass_time(1001)
        assert kms.state(key) == 'PendingImport'
        assert_nowhere(machine, row['envelope'], row['sealed_key'])


def test_a_destroyed_wrapping_key_is_nowhere_in_the_state_directory():
    with new_machine() as machine:
        kms = machine.client()
        key = kms.external_key()
        token = kms.parameters(key)['ImportToken']
        row = rows(machine, 'SELECT * FROM import_sets')[0]
        for _ in range(8):
            with refused('IncorrectKeyMaterial'):
                kms.ImportKeyMaterial(key, WRONG, token)
        assert_nowhere(machine, row['envelope'], row['sealed_key'])


@contextlib.contextmanager
def small_disk(directory):
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=512k,mode=700', 'tmpfs', directory], check=True)
    try:
        yield
    finally:
        subprocess.run(['umount', '--lazy', directory], check=True)


def fill(path):
    with open(path, 'wb', buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(512)):
            pass


def test_a_full_disk_gives_no_free_attempt_at_a_wrapping_key():
    with new_machine(start=False) as machine, small_disk(machine.state):
        machine.start()
        kms = machine.client()
        key = kms.external_key()
        parameters = kms.parameters(key)
        filler = machine.state / 'filler'
        fill(filler)
        with machine.tpm_commands() as commands:
            for _ in range(10):
                with refused('StorageFull'):
                    kms.ImportKeyMaterial(key, WRONG, parameters['ImportToken'])
        assert 'Unseal' not in commands
        filler.unlink()
        for _ in range(7):
            with refused('IncorrectKeyMaterial'):
                kms.ImportKeyMaterial(key, WRONG, parameters['ImportToken'])
        assert kms.import_with(parameters, os.urandom(32))['KeyState'] == 'Enabled'
        machine.stop()


def test_an_import_that_the_tpm_fails_is_no_failed_attempt():
    with new_machine() as machine:
        kms = machine.client()
        key = kms.external_key()
        parameters = kms.parameters(key)
        machine.tpm_fault('Unseal 1-10 0x101')
        for _ in range(10):
            with refused('TpmUnavailable'):
                kms.import_with(parameters, os.urandom(32))
        assert kms.import_with(parameters, os.urandom(32))['KeyState'] == 'Enabled'


def test_a_damaged_key_of_another_user_is_not_told_from_none():
    with new_machine() as machine:
        key = machine.client(ALICE).own_key()
        blob = machine.client(ALICE).Encrypt(key, b64(b'x'))['CiphertextBlob']
        machine.stop()
        with contextlib.closing(sqlite3.connect(machine.state / 'state.db', isolation_level=None)) as database:
            database.execute('UPDATE keys SET created_at = created_at + 1')
        machine.start()
        for uid in (ALICE, 0):
            with refused('StateCorrupted'):
                machine.client(uid).DescribeKey(key)
        with refused('KeyNotFound'):
            machine.client(BOB).DescribeKey(key)
        with refused('InvalidCiphertext'):
            machine.client(BOB).Decrypt(blob)

# SPDX-License-Identifier: Apache-2.0
"""Secrets are nowhere but in the memory of cmkd: not in the state directory, not in the kernel's user keyring, not in
the log at debug level, not on the way to the TPM. test_secrecy_core.py looks into the memory."""
import os
from pathlib import Path

import pytest

from client import PADDINGS, b64, refused, unb64
from harness import new_machine
from search import find, read_keyring, read_state, secrets_of_material, secrets_of_pair, secrets_of_store
from state import row_of_key

ALGORITHMS = [name for name in PADDINGS if name != 'none']


def traffic_file(machine):
    return Path(f'{machine.tpm_log}.raw')


def places(machine):
    return {'the state directory': read_state(machine), 'the keyring': read_keyring(machine),
            'the log': machine.log.read_bytes(), 'the TPM traffic': traffic_file(machine).read_bytes()}


@pytest.fixture(scope='module', params=['all+none', 'all+trace'])
def machine(request):
    """The log at debug level, and once more with all that tpm2-tss would tell (ME-05)."""
    with new_machine(start=False, config={'WrappingKeys': {'ReadyRsa2048': 0}},
                     environment={'TSS2_LOG': request.param}) as machine:
        traffic_file(machine).touch()
        machine.start()
        yield machine


def assert_nowhere(machine, secrets):
    found = {place: find(secrets, data) for place, data in places(machine).items()}
    assert not any(found.values()), found


def test_the_search_finds_what_is_there(machine, kms):
    """Public things take the place of secrets."""
    key = kms.imported_key()
    canary = os.urandom(32)
    machine.restart()
    for form in (canary.hex(), canary.hex().upper(), *(b64(bytes(before) + canary) for before in range(3))):
        kms.UpdateKeyDescription(key, form)
        assert find({'canary': canary}, read_state(machine))
    request = kms.Encrypt(key, b64(b'x'))['RequestId']
    sealed = row_of_key(machine, key)['sealed_key']
    public = sealed[2:2 + int.from_bytes(sealed[:2], 'big')]
    found = places(machine)
    assert find({'public': public}, found['the state directory'])
    assert find({'public': public}, found['the keyring'])
    assert find({'public': public}, found['the TPM traffic'])
    assert request.encode() in found['the log']


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_tp_16_import(machine, kms, algorithm):
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key, algorithm)
    kms.import_with(parameters, material)
    secrets = {**secrets_of_store(machine), **secrets_of_pair(machine, parameters),
               **secrets_of_material(machine, key, material)}
    assert_nowhere(machine, secrets)
    other = os.urandom(32)
    with refused('MaterialMismatch'):
        kms.import_with(parameters, other)
    kms.DeleteKeyMaterial(key)
    assert_nowhere(machine, {**secrets, 'other material': other})


@pytest.mark.parametrize('spec', ['AES_256', 'SM4'])
def test_tp_16_use(machine, kms, spec):
    """With material that was imported, and once more when it was unsealed after a restart."""
    material, plaintext = os.urandom(32 if spec == 'AES_256' else 16), os.urandom(48)
    key = kms.imported_key(material, spec=spec)
    secrets = {**secrets_of_material(machine, key, material), 'plaintext': plaintext}
    for end in (machine.restart, machine.kill, lambda: None):
        blob = kms.Encrypt(key, b64(plaintext), EncryptionContext={'a': 'b'})['CiphertextBlob']
        assert unb64(kms.Decrypt(blob, EncryptionContext={'a': 'b'})['Plaintext']) == plaintext
        kms.ReEncrypt(blob, key, SourceEncryptionContext={'a': 'b'})
        data_key = unb64(kms.GenerateDataKey(key)['Plaintext'])
        with refused('InvalidCiphertext'):
            kms.Decrypt(blob)
        assert_nowhere(machine, {**secrets, 'data key': data_key})
        end()
        if machine.daemon is None:
            machine.start()

# SPDX-License-Identifier: Apache-2.0
"""Secrets are nowhere but in the memory of cmkd: not in the state directory, not in the kernel's user keyring, not in
the log at debug level, not on the way to the TPM. test_secrecy_core.py looks into the memory."""
import os
from pathlib import Path

import pytest

from client import PADDINGS, b64, refused, unb64
from harness import new_machine
from openssl_keys import ENCRYPTION, MAC, SIGNING, SecretKey, key_of
from search import (find, read_keyring, read_state, secrets_of_material, secrets_of_pair, secrets_of_private_key,
                    secrets_of_store)
from state import row_of_key
from wrapping import ECB_AES, ECB_SM4, KEY_WRAPS, import_key, new_temporary_key, send, wrapped

ALGORITHMS = [name for name in PADDINGS if name != 'none']
# Each form, each spec and each kind of wrapping key once.
FORMS = [('RSA_2048', 'RSAES_OAEP_SHA_256', 'RSA_2048', 'separate'),
         ('EC_P256', 'RSAES_PKCS1_V1_5', 'RSA_2048', 'separate'),
         ('EC_P384', 'RSAES_OAEP_SHA_1', 'RSA_2048', 'direct'), ('RSA_3072', KEY_WRAPS[0], 'RSA_3072', 'key wrap'),
         ('EC_P256K', ECB_AES, 'RSA_2048', 'ECB'), ('EC_SM2', ECB_SM4, 'EC_SM2', 'ECB'),
         ('EC_SM2', 'SM2PKE', 'EC_SM2', 'separate'), ('RSA_2048', 'SM2PKE', 'EC_SM2', 'direct')]


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


@pytest.mark.parametrize('spec, algorithm, wrapping_spec, form', FORMS)
def test_tp_16_import_of_private_keys(machine, kms, spec, algorithm, wrapping_spec, form):
    """The numbers of which it consists are what is looked for: PKCS#8 is these, and what is public."""
    key, temporary = key_of(spec), new_temporary_key(algorithm, form, spec)
    parameters = kms.parameters(kms.external_key(KeySpec=spec), algorithm, wrapping_spec)
    send(kms, parameters, wrapped(parameters, form, key, temporary=temporary))
    secrets = {**secrets_of_pair(machine, parameters), 'temporary key': temporary,
               **secrets_of_private_key(machine, parameters['KeyId'], key.public)}
    assert_nowhere(machine, secrets)
    with refused('MaterialMismatch'):
        send(kms, parameters, wrapped(parameters, form, key_of(spec, 1), temporary=temporary))
    kms.DeleteKeyMaterial(parameters['KeyId'])
    assert_nowhere(machine, {**secrets, **private_numbers_of('other', key_of(spec, 1))})


def private_numbers_of(name, key):
    """Of a key that openssl made, and that cmkd refused."""
    if key.spec.startswith('EC'):
        return {f'scalar of the {name}': key.scalar}
    return {f'number {place} of the {name}': number for place, number in enumerate(key.numbers) if place > 1}


@pytest.mark.parametrize('spec', ['HMAC_256', 'HMAC_384', 'HMAC_512'])
def test_tp_16_macs(machine, kms, spec):
    key, temporary = SecretKey(spec), os.urandom(32)
    parameters = kms.parameters(kms.external_key(KeySpec=spec), KEY_WRAPS[1])
    send(kms, parameters, wrapped(parameters, 'key wrap', key, temporary=temporary))
    cmk = parameters['KeyId']
    for end in (machine.restart, lambda: None):
        assert unb64(kms.GenerateMac(cmk, b64(b'message'), MAC[spec])['Mac']) == key.mac(b'message')
        assert not kms.VerifyMac(cmk, b64(b'message'), b64(bytes(32)), MAC[spec])['MacValid']
        assert_nowhere(machine, {**secrets_of_material(machine, cmk, key.data), 'temporary key': temporary})
        end()


@pytest.mark.parametrize('origin', ['EXTERNAL', 'CMKD_KMS'])
@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_P256', 'EC_P384', 'EC_P256K', 'EC_SM2'])
def test_tp_16_use_of_private_keys(machine, kms, spec, origin):
    signing, algorithm = key_to_use(kms, spec, origin, 'SIGN_VERIFY'), SIGNING[spec][0]
    secrets = secrets_of_private_key(machine, signing, unb64(kms.GetPublicKey(signing)['PublicKey']))
    for end in (machine.restart, lambda: None):
        signature = kms.Sign(signing, b64(b'message'), algorithm)['Signature']
        assert kms.Verify(signing, b64(b'message'), signature, algorithm)['SignatureValid']
        assert_nowhere(machine, secrets)
        end()
    if spec not in ENCRYPTION:
        return
    encrypting, plaintext = key_to_use(kms, spec, origin, 'ENCRYPT_DECRYPT'), os.urandom(48)
    algorithm = ENCRYPTION[spec][0]
    secrets = secrets_of_private_key(machine, encrypting, unb64(kms.GetPublicKey(encrypting)['PublicKey']))
    for end in (machine.restart, lambda: None):
        ciphertext = kms.AsymmetricEncrypt(encrypting, b64(plaintext), algorithm)['CiphertextBlob']
        assert unb64(kms.AsymmetricDecrypt(encrypting, ciphertext, algorithm)['Plaintext']) == plaintext
        with refused('InvalidCiphertext'):
            kms.AsymmetricDecrypt(encrypting, b64(unb64(ciphertext)[:-1]), algorithm)
        assert_nowhere(machine, {**secrets, 'plaintext': plaintext})
        end()


def key_to_use(kms, spec, origin, usage):
    if origin == 'EXTERNAL':
        return import_key(kms, key_of(spec), KeyUsage=usage)
    return kms.own_key(KeySpec=spec, KeyUsage=usage)

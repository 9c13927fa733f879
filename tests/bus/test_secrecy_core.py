# SPDX-License-Identifier: Apache-2.0
"""ME-01 and ME-02: a core of cmkd holds no secret, whatever it did before, or refused. (What it works with lies in memory that is left out of
cores, and is wiped after use.)

Not for builds with a sanitizer: they keep freed memory as it was, on purpose."""
import os

import pytest
from gi.repository import GLib

from client import PADDINGS, UNKNOWN_KEY, b64, refused, unb64, wrap
from harness import new_machine
from openssl_keys import MAC, SIGNING, SecretKey, key_of
from search import (find, forms, read_core, secrets_of_material, secrets_of_pair, secrets_of_private_key,
                    secrets_of_store)
from test_secrecy import FORMS, key_to_use, private_numbers_of
from test_unwrap_failures import pkcs1
from wrapping import KEY_WRAPS, new_temporary_key, send, wrapped

ALGORITHMS = [name for name in PADDINGS if name != 'none']
CANARY = os.urandom(32)


@pytest.fixture(scope='module')
def machine():
    text = ' '.join([CANARY.hex(), CANARY.hex().upper(), *(b64(bytes(before) + CANARY) for before in range(3))])
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}, environment={'CMKD_TEST_CANARY': text}) as machine:
        yield machine


def overwrite_received(kms, key, size):
    """GDBus keeps the bytes of what it received last until something as long comes. This is as long, and no secret."""
    kms.Encrypt(key, b64(os.urandom(size)))
    kms.GetStatus()  # by now the answer has been sent, and is forgotten


def assert_not_in_core(machine, secrets):
    assert find(secrets, read_core(machine)) == []


def test_the_search_finds_what_is_there(machine):
    core = read_core(machine)
    assert {form for form, value in forms(CANARY) if value in core} == {'hex', 'HEX', 'Base64'}
    assert machine.address.encode() in core


@pytest.mark.parametrize('algorithm, spec', [
    *((algorithm, 'RSA_2048') for algorithm in ALGORITHMS), ('RSAES_OAEP_SHA_256', 'RSA_3072'),
    ('RSAES_PKCS1_V1_5', 'RSA_4096')])
def test_me_01_import(machine, kms, algorithm, spec):
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key, algorithm, spec)
    pair = {**secrets_of_store(machine), **secrets_of_pair(machine, parameters)}
    assert_not_in_core(machine, {**pair, 'material': material})
    kms.import_with(parameters, material)
    assert_not_in_core(machine, {**pair, **secrets_of_material(machine, key, material)})
    other = os.urandom(32)
    with refused('MaterialMismatch'):
        kms.import_with(parameters, other)
    assert_not_in_core(machine, {**pair, 'material': material, 'other material': other})


@pytest.mark.parametrize('algorithm', ['RSAES_PKCS1_V1_5', 'RSAES_OAEP_SHA_256'])
def test_me_01_import_under_a_key_of_the_tpm(machine, kms, algorithm):
    """Its private half was never there to be found; what the TPM gives back, padded, may not stay either."""
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.GetParametersForImport(key, algorithm, 'RSA_2048', Attest=True, Nonce=b64(os.urandom(32)))
    kms.import_with(parameters, material)
    assert_not_in_core(machine, {**secrets_of_store(machine), **secrets_of_material(machine, key, material)})
    if algorithm == 'RSAES_PKCS1_V1_5':
        block = pkcs1(message=material)
        kms.ImportKeyMaterial(key, wrap('none', parameters['PublicKey'], block), parameters['ImportToken'])
        assert_not_in_core(machine, {'block': block[2:], 'material': material})


@pytest.mark.parametrize('spec', ['AES_256', 'SM4'])
def test_me_01_use(machine, kms, spec):
    material = os.urandom(32 if spec == 'AES_256' else 16)
    key = kms.imported_key(material, spec=spec)
    secrets = secrets_of_material(machine, key, material)
    for size in (48, 6000):
        plaintext = os.urandom(size)
        blob = kms.Encrypt(key, b64(plaintext))['CiphertextBlob']
        overwrite_received(kms, key, size)
        assert_not_in_core(machine, {**secrets, 'plaintext': plaintext})
        assert unb64(kms.Decrypt(blob)['Plaintext']) == plaintext
        kms.GetStatus()
        assert_not_in_core(machine, {**secrets, 'plaintext': plaintext})
        kms.ReEncrypt(blob, key)
        data_key = unb64(kms.GenerateDataKey(key, NumberOfBytes=min(size, 1024))['Plaintext'])
        kms.GetStatus()
        assert_not_in_core(machine, {**secrets, 'plaintext': plaintext, 'data key': data_key})
        machine.restart()  # the next time the material is unsealed


@pytest.mark.parametrize('spec, algorithm, wrapping_spec, form', FORMS)
def test_me_01_import_of_private_keys(machine, kms, spec, algorithm, wrapping_spec, form):
    key, temporary = key_of(spec), new_temporary_key(algorithm, form, spec)
    parameters = kms.parameters(kms.external_key(KeySpec=spec), algorithm, wrapping_spec)
    send(kms, parameters, wrapped(parameters, form, key, temporary=temporary))
    secrets = {**secrets_of_pair(machine, parameters), 'temporary key': temporary,
               **secrets_of_private_key(machine, parameters['KeyId'], key.public)}
    assert_not_in_core(machine, secrets)
    with refused('MaterialMismatch'):
        send(kms, parameters, wrapped(parameters, form, key_of(spec, 1), temporary=temporary))
    broken = key_of(spec, 1).data[:-1]
    with refused('IncorrectKeyMaterial'):
        send(kms, parameters, wrapped(parameters, form, key_of(spec, 1), broken, temporary) if form != 'ECB' else
             wrapped(parameters, form, key_of(spec, 1), temporary=temporary)._replace(
                 encrypted_key_material=bytes(len(wrapped(parameters, form, key)[0]))))
    assert_not_in_core(machine, {**secrets, **private_numbers_of('other', key_of(spec, 1))})


@pytest.mark.parametrize('spec', ['HMAC_256', 'HMAC_512'])
def test_me_01_macs(machine, kms, spec):
    key, temporary = SecretKey(spec), os.urandom(32)
    parameters = kms.parameters(kms.external_key(KeySpec=spec), KEY_WRAPS[1])
    send(kms, parameters, wrapped(parameters, 'key wrap', key, temporary=temporary))
    cmk = parameters['KeyId']
    for end in (machine.restart, lambda: None):
        assert unb64(kms.GenerateMac(cmk, b64(b'message'), MAC[spec])['Mac']) == key.mac(b'message')
        assert not kms.VerifyMac(cmk, b64(b'message'), b64(bytes(32)), MAC[spec])['MacValid']
        assert_not_in_core(machine, {**secrets_of_material(machine, cmk, key.data), 'temporary key': temporary})
        end()


@pytest.mark.parametrize('spec, origin', [
    ('RSA_2048', 'EXTERNAL'), ('RSA_2048', 'CMKD_KMS'), ('EC_P256', 'EXTERNAL'), ('EC_P384', 'CMKD_KMS'),
    ('EC_P256K', 'EXTERNAL'), ('EC_SM2', 'EXTERNAL'), ('EC_SM2', 'CMKD_KMS')])
def test_me_01_signing(machine, kms, spec, origin):
    cmk, algorithm = key_to_use(kms, spec, origin, 'SIGN_VERIFY'), SIGNING[spec][0]
    secrets = secrets_of_private_key(machine, cmk, unb64(kms.GetPublicKey(cmk)['PublicKey']))
    for end in (machine.restart, lambda: None):
        for _ in range(3):
            signature = kms.Sign(cmk, b64(b'message'), algorithm)['Signature']
            assert kms.Verify(cmk, b64(b'message'), signature, algorithm)['SignatureValid']
        assert_not_in_core(machine, secrets)
        end()


@pytest.mark.parametrize('spec, algorithm, origin', [
    ('RSA_2048', 'RSAES_OAEP_SHA_1', 'EXTERNAL'), ('RSA_2048', 'RSAES_OAEP_SHA_256', 'CMKD_KMS'),
    ('EC_SM2', 'SM2PKE', 'EXTERNAL')])
def test_me_01_decryption(machine, kms, spec, algorithm, origin):
    cmk, plaintext, other = key_to_use(kms, spec, origin, 'ENCRYPT_DECRYPT'), os.urandom(48), kms.own_key()
    secrets = secrets_of_private_key(machine, cmk, unb64(kms.GetPublicKey(cmk)['PublicKey']))
    for end in (machine.restart, lambda: None):
        ciphertext = kms.AsymmetricEncrypt(cmk, b64(plaintext), algorithm)['CiphertextBlob']
        overwrite_received(kms, other, len(plaintext) + 48)
        assert_not_in_core(machine, {**secrets, 'plaintext': plaintext})
        assert unb64(kms.AsymmetricDecrypt(cmk, ciphertext, algorithm)['Plaintext']) == plaintext
        with refused('InvalidCiphertext'):
            kms.AsymmetricDecrypt(cmk, b64(unb64(ciphertext)[:-1]), algorithm)
        kms.GetStatus()
        assert_not_in_core(machine, {**secrets, 'plaintext': plaintext})
        end()


def refusals(kms, plaintext):
    """{error: calls} that are refused although their plaintext, or message, has arrived."""
    text, key, other = b64(plaintext), kms.own_key(), kms.own_key()
    signer, cipher, mac = kms.own_key(KeySpec='EC_P256'), kms.own_key(
        KeySpec='EC_SM2', KeyUsage='ENCRYPT_DECRYPT'), kms.own_key(KeySpec='HMAC_256')
    kms.DisableKey(other)
    return {
        'KeyNotFound': [lambda: kms.Encrypt(UNKNOWN_KEY, text), lambda: kms.Sign(UNKNOWN_KEY, text, 'ECDSA_SHA_256'),
                        lambda: kms.GenerateMac(UNKNOWN_KEY, text, 'HMAC_SHA_256'),
                        lambda: kms.AsymmetricEncrypt(UNKNOWN_KEY, text, 'SM2PKE')],
        'KeyDisabled': [lambda: kms.Encrypt(other, text)],
        'KeyPendingImport': [lambda: kms.Encrypt(kms.external_key(), text)],
        'UnsupportedOperation': [lambda: kms.Encrypt(signer, text), lambda: kms.Sign(cipher, text, 'ECDSA_SHA_256'),
                                 lambda: kms.GenerateMac(key, text, 'HMAC_SHA_256'),
                                 lambda: kms.AsymmetricEncrypt(mac, text, 'SM2PKE')],
        'InvalidParameter': [lambda: kms.Encrypt(key, text[:-1]), lambda: kms.Encrypt(key, text, Unknown=GLib.Variant('s', text)),
                             lambda: kms.Encrypt(key, text * 200), lambda: kms.Encrypt(text, text),
                             lambda: kms.Encrypt(key, text, EncryptionContext={'': text}),
                             lambda: kms.Sign(signer, text, text), lambda: kms.GenerateMac(mac, text, text),
                             lambda: kms.CreateKey(KeyId=text)],
    }


def test_me_02_refusals(machine, kms):
    plaintext, key = os.urandom(48), kms.own_key()
    for error, calls in refusals(kms, plaintext).items():
        for call in calls:
            with refused(error):
                call()
    with refused('InvalidParameter'):  # as the longest of them was
        kms.Encrypt(key, b64(os.urandom(12000)))
    kms.GetStatus()
    assert_not_in_core(machine, {**secrets_of_store(machine), 'plaintext': plaintext})

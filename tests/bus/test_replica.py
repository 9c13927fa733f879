# SPDX-License-Identifier: Apache-2.0
"""CreateKey with KeyId: a key that lives on two machines, each with a TPM and a store of its own."""
import os
import uuid

import pytest

from harness import ALICE, BOB, new_machine
from client import UNKNOWN_KEY, DBusError, b64, refused, unb64
from openssl_keys import key_of
from state import row_of_key, store_id
from wrapping import import_key


@pytest.fixture(scope='module')
def other_machine():
    with new_machine() as machine:
        yield machine


@pytest.fixture(scope='module')
def there(other_machine):
    return other_machine.client(ALICE)


def fresh_id():
    return str(uuid.uuid4())


@pytest.mark.parametrize('spec', ['AES_256', 'SM4'])
def test_each_opens_the_ciphertexts_of_the_other(kms, there, spec):
    material = os.urandom(32 if spec == 'AES_256' else 16)
    key = kms.imported_key(material, spec)
    created = there.CreateKey(Origin='EXTERNAL', KeySpec=spec, KeyId=key, Alias='alias/replica')['KeyMetadata']
    assert (created['KeyId'], created['KeyState']) == (key, 'PendingImport')
    blob = kms.Encrypt(key, b64(b'from here'), EncryptionContext={'a': 'b'})['CiphertextBlob']
    with refused('KeyPendingImport'):
        there.Decrypt(blob, EncryptionContext={'a': 'b'})
    there.import_material(key, material)
    assert unb64(there.Decrypt(blob, EncryptionContext={'a': 'b'})['Plaintext']) == b'from here'
    with refused('InvalidCiphertext'):
        there.Decrypt(blob)
    back = there.Encrypt('alias/replica', b64(b'from there'))['CiphertextBlob']
    assert unb64(kms.Decrypt(back)['Plaintext']) == b'from there'
    data_key = there.GenerateDataKey(key)
    assert kms.Decrypt(data_key['CiphertextBlob'])['Plaintext'] == data_key['Plaintext']
    there.DeleteAlias('alias/replica')


def test_other_material_opens_nothing(kms, there):
    key = kms.imported_key()
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    assert there.imported_key(KeyId=key) == key
    with refused('InvalidCiphertext'):
        there.Decrypt(blob)
    with refused('InvalidCiphertext'):
        kms.Decrypt(there.Encrypt(key, b64(b'x'))['CiphertextBlob'])


def test_the_same_material_under_another_id_opens_nothing(kms, there):
    material = os.urandom(32)
    key, other = kms.imported_key(material), there.imported_key(material)
    assert key != other
    with refused('InvalidCiphertext'):
        there.Decrypt(kms.Encrypt(key, b64(b'x'))['CiphertextBlob'])


def test_of_the_other_kinds(kms, there):
    """What they sign is checked by the other's public key or MAC key."""
    for spec, usage in (('RSA_2048', 'SIGN_VERIFY'), ('EC_SM2', 'ENCRYPT_DECRYPT'),
                        ('HMAC_256', 'GENERATE_VERIFY_MAC')):
        key = import_key(kms, key_of(spec), KeyUsage=usage)
        assert import_key(there, key_of(spec), KeyUsage=usage, KeyId=key) == key
        message = b64(b'message')
        if usage == 'SIGN_VERIFY':
            signature = kms.Sign(key, message, 'RSA_PSS_SHA_256')['Signature']
            assert there.Verify(key, message, signature, 'RSA_PSS_SHA_256')['SignatureValid'] is True
            assert there.GetPublicKey(key)['PublicKey'] == kms.GetPublicKey(key)['PublicKey']
        elif usage == 'ENCRYPT_DECRYPT':
            blob = kms.AsymmetricEncrypt(key, message, 'SM2PKE')['CiphertextBlob']
            assert there.AsymmetricDecrypt(key, blob, 'SM2PKE')['Plaintext'] == message
        else:
            mac = kms.GenerateMac(key, message, 'HMAC_SHA_256')['Mac']
            assert there.VerifyMac(key, message, mac, 'HMAC_SHA_256')['MacValid'] is True


def test_neither_has_anything_else_of_the_other(machine, other_machine, kms, there):
    """Tokens and sealed material are of one machine each."""
    material = os.urandom(32)
    key = kms.imported_key(material)
    there.external_key(KeyId=key)
    parameters = kms.parameters(key)
    with refused('InvalidImportToken'):
        there.import_with(parameters, material)
    there.import_material(key, material)
    here, replica = row_of_key(machine, key), row_of_key(other_machine, key)
    assert here['id'] == replica['id'] and store_id(machine) != store_id(other_machine)
    for name in ('sealed_key', 'envelope', 'fingerprint', 'mac'):
        assert here[name] != replica[name]


def test_only_external_keys(kms):
    key = fresh_id()
    for options in ({}, {'Origin': 'CMKD_KMS'}, {'Origin': 'CMKD_KMS', 'KeySpec': 'RSA_2048'}):
        with refused('UnsupportedOperation'):
            kms.CreateKey(KeyId=key, **options)
    with refused('KeyNotFound'):
        kms.DescribeKey(key)


@pytest.mark.parametrize('key', [
    '', 'x', 'alias/name', UNKNOWN_KEY.replace('0', 'A'), UNKNOWN_KEY[:-1], UNKNOWN_KEY + '0',
    '{' + UNKNOWN_KEY[1:-1] + '}', UNKNOWN_KEY[:-1] + '\n'])
def test_ids_of_another_form(kms, key):
    for options in ({'Origin': 'EXTERNAL'}, {}):  # before it is asked whether it may have one
        with refused('InvalidParameter') as refusal:
            kms.CreateKey(KeyId=key, **options)
        assert 'KeyId' in refusal.message


@pytest.mark.parametrize('state', ['PendingImport', 'Enabled', 'Disabled', 'PendingDeletion'])
def test_an_id_that_is_taken(machine, kms, root, state):
    """By whomever, in whatever state: this is the only way in which another user's key shows."""
    key = kms.external_key()
    if state != 'PendingImport':
        kms.import_material(key, os.urandom(32))
    if state == 'Disabled':
        kms.DisableKey(key)
    if state == 'PendingDeletion':
        kms.ScheduleKeyDeletion(key)
    before = kms.describe(key)
    with kms.signals() as signals:
        for user in (kms, machine.client(BOB), root):
            with refused('KeyAlreadyExists'):
                user.CreateKey(Origin='EXTERNAL', KeyId=key, Alias='alias/taken', Tags={'a': 'b'})
            with refused('AliasNotFound'):
                user.DescribeKey('alias/taken')
        assert signals.so_far() == []
    assert kms.describe(key) == before


def test_an_id_of_a_key_that_cmkd_made(kms):
    key = kms.own_key()
    with refused('KeyAlreadyExists'):
        kms.external_key(KeyId=key)


def test_what_a_replica_is(kms):
    key = fresh_id()
    with kms.signals() as signals:
        created = kms.CreateKey(Origin='EXTERNAL', KeyId=key, KeySpec='EC_P256', Description='of two',
                                Alias='alias/two', Tags={'a': 'b'})['KeyMetadata']
        assert signals.so_far() == [('KeyChanged', key, 'PendingImport', 'Created')]
    assert created == kms.describe(key) == kms.describe('alias/two')
    assert {name: created[name] for name in ('KeyId', 'KeySpec', 'KeyUsage', 'Description', 'Aliases', 'Tags')} == {
        'KeyId': key, 'KeySpec': 'EC_P256', 'KeyUsage': 'SIGN_VERIFY', 'Description': 'of two',
        'Aliases': ['alias/two'], 'Tags': {'a': 'b'}}
    assert [entry['KeyId'] for entry in kms.ListKeys(Limit=1000)['Keys']].count(key) == 1


def test_two_at_once(kms, machine):
    """One of many calls with the same id has it."""
    key = fresh_id()
    calls = [machine.client(uid).start('CreateKey', Origin='EXTERNAL', KeyId=key) for uid in (ALICE, BOB, 0) * 5]
    outcomes = []
    for call in calls:
        try:
            outcomes.append(call.result()['KeyMetadata']['KeyId'])
        except DBusError as error:
            outcomes.append(error.name)
    assert sorted(outcomes) == sorted([key, *['KeyAlreadyExists'] * 14])


def test_order_of_checks(kms):
    """Origin, spec and usage before what is taken."""
    key = kms.external_key()
    for options in ({'KeyId': key}, {'KeyId': key, 'Origin': 'EXTERNAL', 'KeySpec': 'SM4', 'KeyUsage': 'SIGN_VERIFY'}):
        with refused('UnsupportedOperation'):
            kms.CreateKey(**options)

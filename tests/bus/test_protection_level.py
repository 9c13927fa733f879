# SPDX-License-Identifier: Apache-2.0
"""ProtectionLevel TPM: keys that are used inside the TPM only are to their users what all others are, and go the way of
all others. What memory shows of them is in test_protection_level_core.py."""
import os
import subprocess
from pathlib import Path

import pytest

from client import SOURCE_ROOT, Client, b64, refused, unb64
from harness import ALICE, new_machine
from openssl_keys import (ENCRYPTION, MAC, SIGNING, PrivateKey, PublicKey, file_of, key_of, other_exponent,
                          swapped_primes)
from ring import Ring
from search import find, read_keyring, read_state
from state import reveal, row_of_key, rows
from test_key_kinds import use_encryption, use_mac, use_signature, use_symmetric
from test_recover import clear_tpm, lose_tpm, recover
from wrapping import import_key, send, wrapped

SYMMETRIC, HMAC, RSA, EC = ['AES_256', 'SM4'], ['HMAC_256', 'HMAC_384', 'HMAC_512'], ['RSA_2048', 'RSA_3072'], [
    'EC_P256', 'EC_P384']
SPECS = [*SYMMETRIC, *HMAC, *RSA, *EC]
NEVER = ['RSA_4096', 'EC_P256K', 'EC_SM2']
MESSAGE = b'what is signed, encrypted or authenticated'
WRAPPING = 'SM2PKE', 'EC_SM2'  # whose pairs are made in no time
SIGN, DECRYPT = 'SIGN_VERIFY', 'ENCRYPT_DECRYPT'
NO_POOL = {'WrappingKeys': {'ReadyRsa2048': 0}}


class TpmClient(Client):
    """Its keys are of level TPM, where that can be."""

    def own_key(self, **options):
        level = 'SOFTWARE' if options.get('KeySpec') in NEVER else 'TPM'
        return super().own_key(**{'ProtectionLevel': level, **options})


@pytest.fixture(scope='module')
def machine():
    limits = {'ImportSetsPerUser': 10000, 'DecryptFailuresPerMinute': 0}
    with new_machine(config={**NO_POOL, 'Limits': limits}) as machine:
        machine.clients[ALICE] = TpmClient(machine.address, ALICE)
        yield machine


@pytest.fixture(scope='module')
def there():
    """Of another machine, where keys are of level SOFTWARE."""
    with new_machine(config=NO_POOL) as machine:
        yield machine.client()


def tpm_client(machine):
    machine.clients[ALICE] = TpmClient(machine.address, ALICE)
    return machine.client()


def use_of(spec, usage=None):
    if spec in SYMMETRIC:
        return use_symmetric
    if spec in HMAC:
        return use_mac
    return use_encryption if usage == DECRYPT else use_signature


def use(kms, cmk, key, usage=None):
    """What the key does is right, by openssl."""
    use_of(key.spec, usage)(kms, cmk, key)


def import_again(kms, cmk, key, data=None, **options):
    parameters = kms.parameters(cmk, *WRAPPING)
    return send(kms, parameters, wrapped(parameters, form_of(key), key, data), **options)


def form_of(key):
    return 'direct' if key.spec in SYMMETRIC + HMAC else 'separate'


def bring(kms, key, **options):
    """The id of a new EXTERNAL key that holds @key."""
    return import_key(kms, key, *WRAPPING, form_of(key), **options)


def stored_object(machine, cmk):
    """The TPM's object that is all there is of the key."""
    row = row_of_key(machine, cmk)
    assert row['sealed_key'] == b''
    return reveal(machine, row['envelope'])


def context_kept(machine, cmk):
    return any(name == f'context:key:{cmk}' for name in Ring(machine).entries().values())


# Import and use

@pytest.mark.parametrize('spec, usage', [
    *((spec, None) for spec in SPECS), *((spec, DECRYPT) for spec in RSA)])
def test_each_spec_is_imported_and_used(machine, kms, spec, usage):
    key = key_of(spec)
    cmk = bring(kms, key, **({'KeyUsage': usage} if usage else {}))
    metadata = kms.describe(cmk)
    assert (metadata['ProtectionLevel'], metadata['KeyState'], metadata['KeySpec']) == ('TPM', 'Enabled', spec)
    use(kms, cmk, key, usage)
    machine.restart()
    use(kms, cmk, key, usage)
    assert len(stored_object(machine, cmk)) > 64
    if spec in RSA + EC:
        assert unb64(kms.GetPublicKey(cmk)['PublicKey']) == key.public


@pytest.mark.parametrize('spec', SPECS)
def test_each_spec_is_made(machine, kms, spec):
    """Nobody has ever seen the key: what it does is right by its public key, or by itself."""
    cmk = kms.own_key(KeySpec=spec)
    assert kms.describe(cmk)['ProtectionLevel'] == 'TPM'
    if spec in SYMMETRIC:
        data_key = kms.GenerateDataKey(cmk)
        machine.restart()
        assert kms.Decrypt(data_key['CiphertextBlob'])['Plaintext'] == data_key['Plaintext']
    elif spec in HMAC:
        mac = kms.GenerateMac(cmk, b64(MESSAGE), MAC[spec])['Mac']
        assert kms.VerifyMac(cmk, b64(MESSAGE), mac, MAC[spec])['MacValid']
        assert not kms.VerifyMac(cmk, b64(MESSAGE + b'.'), mac, MAC[spec])['MacValid']
        assert mac != kms.GenerateMac(kms.own_key(KeySpec=spec), b64(MESSAGE), MAC[spec])['Mac']
    else:
        public = PublicKey(spec, unb64(kms.GetPublicKey(cmk)['PublicKey']))
        for algorithm in SIGNING[spec]:
            signature = kms.Sign(cmk, b64(MESSAGE), algorithm)['Signature']
            assert public.verify(algorithm, MESSAGE, unb64(signature))
            assert kms.Verify(cmk, b64(MESSAGE), signature, algorithm)['SignatureValid']
    assert len(stored_object(machine, cmk)) > 64


def test_a_made_rsa_key_decrypts(kms):
    cmk = kms.own_key(KeySpec='RSA_2048', KeyUsage=DECRYPT)
    public = PublicKey('RSA_2048', unb64(kms.GetPublicKey(cmk)['PublicKey']))
    for algorithm in ENCRYPTION['RSA_2048']:
        ciphertext = b64(public.encrypt(algorithm, MESSAGE))
        assert unb64(kms.AsymmetricDecrypt(cmk, ciphertext, algorithm)['Plaintext']) == MESSAGE


@pytest.mark.parametrize('spec', RSA + EC)
def test_each_algorithm_signs_messages_and_digests(kms, spec):
    key, cmk = key_of(spec), bring(kms, key_of(spec))
    for algorithm in SIGNING[spec]:
        for message in (b'x', MESSAGE, os.urandom(4096)):
            assert key.verify(algorithm, message, unb64(kms.Sign(cmk, b64(message), algorithm)['Signature']))
        signature = kms.Sign(cmk, b64(key.digest(algorithm, MESSAGE)), algorithm, MessageType='DIGEST')['Signature']
        assert key.verify(algorithm, MESSAGE, unb64(signature))


@pytest.mark.parametrize('size', [1, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2047, 2048, 2049, 4096, 6144])
@pytest.mark.parametrize('spec', HMAC)
def test_macs_of_messages_of_any_length(kms, hmac_keys, spec, size):
    """A TPM takes 1,024 bytes or so at once."""
    message = os.urandom(size)
    assert unb64(kms.GenerateMac(hmac_keys[spec], b64(message), MAC[spec])['Mac']) == key_of(spec).mac(message)


@pytest.fixture(scope='module')
def hmac_keys(kms):
    return {spec: bring(kms, key_of(spec)) for spec in HMAC}


def test_macs_of_a_wrong_length_are_none(kms, hmac_keys):
    cmk, mac = hmac_keys['HMAC_256'], key_of('HMAC_256').mac(MESSAGE)
    for wrong in (b'x', mac[:-1], mac + b'\0', mac * 2, bytes(32)):
        assert not kms.VerifyMac(cmk, b64(MESSAGE), b64(wrong), 'HMAC_SHA_256')['MacValid']


@pytest.mark.parametrize('spec', SYMMETRIC)
def test_everything_of_symmetric_keys(kms, spec):
    cmk, other = bring(kms, key_of(spec)), kms.own_key(KeySpec=spec)
    context = {'a': '1', 'b': '2'}
    blob = kms.Encrypt(cmk, b64(b'x' * 6144), EncryptionContext=context)['CiphertextBlob']
    assert unb64(kms.Decrypt(blob, EncryptionContext=context, KeyId=cmk)['Plaintext']) == b'x' * 6144
    for wrong in ({'a': '1'}, {}):
        with refused('InvalidCiphertext'):
            kms.Decrypt(blob, EncryptionContext=wrong)
    with refused('InvalidCiphertext'):
        kms.Decrypt(b64(unb64(blob)[:-1] + b'\0'), EncryptionContext=context)
    moved = kms.ReEncrypt(blob, other, SourceEncryptionContext=context)
    assert (moved['SourceKeyId'], moved['KeyId']) == (cmk, other)
    assert unb64(kms.Decrypt(moved['CiphertextBlob'])['Plaintext']) == b'x' * 6144
    assert 'Plaintext' not in kms.GenerateDataKeyWithoutPlaintext(cmk, NumberOfBytes=1024)


def test_refusals_of_ciphertexts_are_those_of_other_keys(kms, there):
    """Of whatever length, padding and number: one text, and it is that of level SOFTWARE."""
    key = key_of('RSA_2048')
    here, software = bring(kms, key, KeyUsage=DECRYPT), bring(there, key, KeyUsage=DECRYPT)
    number = key.numbers[0]
    for algorithm in ENCRYPTION['RSA_2048']:
        good = key.encrypt(algorithm, MESSAGE)
        texts = set()
        for wrong in (good[:-1], good + b'\0', good[:-1] + bytes([good[-1] ^ 1]), b'\xff' * 256, bytes(256),
                      number.to_bytes(256, 'big'), (number - 1).to_bytes(256, 'big'), os.urandom(1)):
            for client, cmk in ((kms, here), (there, software)):
                with refused('InvalidCiphertext') as refusal:
                    client.AsymmetricDecrypt(cmk, b64(wrong), algorithm)
                texts.add(refusal.message)
        assert len(texts) == 1
    with refused('UnsupportedOperation'):
        kms.Sign(here, b64(MESSAGE), 'RSA_PSS_SHA_256')


def test_the_budget_of_failures():
    with new_machine(config={**NO_POOL, 'Limits': {'DecryptFailuresPerMinute': 2}}) as machine:
        kms, key = tpm_client(machine), key_of('RSA_2048')
        cmk = bring(kms, key, KeyUsage=DECRYPT)
        good = b64(key.encrypt('RSAES_OAEP_SHA_256', MESSAGE))
        for _ in range(4):
            assert unb64(kms.AsymmetricDecrypt(cmk, good, 'RSAES_OAEP_SHA_256')['Plaintext']) == MESSAGE
        for _ in range(3):
            machine.tpm_fault('RSA_Decrypt 1-9 0x101')
            with refused('TpmUnavailable'):
                kms.AsymmetricDecrypt(cmk, good, 'RSAES_OAEP_SHA_256')
            machine.tpm_fault('none 1-1 io')
        for _ in range(2):
            with refused('InvalidCiphertext'):
                kms.AsymmetricDecrypt(cmk, b64(bytes(256)), 'RSAES_OAEP_SHA_256')
        with machine.tpm_commands() as commands, refused('Throttled'):
            kms.AsymmetricDecrypt(cmk, good, 'RSAES_OAEP_SHA_256')
        assert commands == []


# The two levels

@pytest.mark.parametrize('spec', SYMMETRIC)
def test_blobs_open_at_either_level(kms, there, spec):
    key, context = key_of(spec), {'who': 'asks'}
    cmk = bring(kms, key)
    assert bring(there, key, KeyId=cmk) == cmk
    assert [client.describe(cmk)['ProtectionLevel'] for client in (kms, there)] == ['TPM', 'SOFTWARE']
    for one, other in ((kms, there), (there, kms)):
        blob = one.Encrypt(cmk, b64(MESSAGE), EncryptionContext=context)['CiphertextBlob']
        assert unb64(other.Decrypt(blob, EncryptionContext=context)['Plaintext']) == MESSAGE
        opened = subprocess.run([SOURCE_ROOT / 'scripts' / 'open-blob', file_of(key.data), 'who=asks'],
                                input=blob.encode(), check=True, capture_output=True)
        assert opened.stdout == MESSAGE
        data_key = one.GenerateDataKey(cmk)
        assert other.Decrypt(data_key['CiphertextBlob'])['Plaintext'] == data_key['Plaintext']


@pytest.mark.parametrize('spec', ['HMAC_256', 'HMAC_512', 'RSA_2048', 'EC_P256', 'EC_P384'])
def test_each_level_verifies_the_other(kms, there, spec):
    cmk = bring(kms, key_of(spec))
    bring(there, key_of(spec), KeyId=cmk)
    for one, other in ((kms, there), (there, kms)):
        if spec in MAC:
            mac = one.GenerateMac(cmk, b64(MESSAGE), MAC[spec])['Mac']
            assert other.VerifyMac(cmk, b64(MESSAGE), mac, MAC[spec])['MacValid']
        else:
            signature = one.Sign(cmk, b64(MESSAGE), SIGNING[spec][0])['Signature']
            assert other.Verify(cmk, b64(MESSAGE), signature, SIGNING[spec][0])['SignatureValid']
            assert one.GetPublicKey(cmk)['PublicKey'] == other.GetPublicKey(cmk)['PublicKey']


# The life of a key

@pytest.mark.parametrize('spec', ['AES_256', 'HMAC_384', 'RSA_2048', 'EC_P384'])
def test_the_same_material_again_and_no_other(machine, kms, spec):
    key = key_of(spec)
    cmk = bring(kms, key)
    first = stored_object(machine, cmk)
    with refused('MaterialMismatch'):
        import_again(kms, cmk, key_of(spec, 1))
    assert stored_object(machine, cmk) == first
    expires = machine.now() + 1000
    assert import_again(kms, cmk, key, KeyMaterialExpireUnix=expires)['MaterialExpireTime'] == expires
    assert stored_object(machine, cmk) != first
    use(kms, cmk, key)
    assert import_again(kms, cmk, key)['MaterialExpireTime'] == 0
    use(kms, cmk, key)


def test_other_encodings_are_the_same_key(kms):
    key = key_of('RSA_2048')
    cmk = bring(kms, key)
    for data in (swapped_primes(key), other_exponent(key)):
        import_again(kms, cmk, key, data)
        use(kms, cmk, key)


def expire(machine, kms, cmk, key):
    import_again(kms, cmk, key, KeyMaterialExpireUnix=machine.now() + 100)
    machine.pass_time(101)


def delete_material(machine, kms, cmk, key):
    kms.DeleteKeyMaterial(cmk)


@pytest.mark.parametrize('spec', ['SM4', 'HMAC_512', 'RSA_2048', 'EC_P256'])
@pytest.mark.parametrize('lose', [expire, delete_material])
def test_without_material(machine, kms, lose, spec):
    """It goes at once, and all that is kept of it; the same material brings it back, no other does."""
    key = key_of(spec)
    cmk = bring(kms, key)
    use(kms, cmk, key)
    assert context_kept(machine, cmk)
    before = row_of_key(machine, cmk)
    lose(machine, kms, cmk, key)
    with refused('KeyPendingImport'):
        use(kms, cmk, key)
    assert kms.state(cmk) == 'PendingImport'
    row = row_of_key(machine, cmk)
    assert (row['sealed_key'], row['envelope'], row['fingerprint']) == (None, None, before['fingerprint'])
    assert not context_kept(machine, cmk)
    with refused('MaterialMismatch'):
        import_again(kms, cmk, key_of(spec, 1))
    import_again(kms, cmk, key)
    use(kms, cmk, key)


def test_what_was_erased_opens_no_more(machine, kms):
    """Who copied the state before has the object in a slot whose key is gone, and the TPM that it is for."""
    key = key_of('AES_256')
    cmk = bring(kms, key)
    stored = row_of_key(machine, cmk)['envelope']
    object_before = reveal(machine, stored)
    kms.DeleteKeyMaterial(cmk)
    machine.restart()  # by now the TPM has taken note
    assert reveal(machine, stored) != object_before
    assert object_before not in read_state(machine)


def test_deletion(machine, kms):
    key = key_of('EC_P256')
    cmk = bring(kms, key)
    use(kms, cmk, key)
    kms.ScheduleKeyDeletion(cmk, PendingWindowInDays=7)
    assert not context_kept(machine, cmk)
    with refused('KeyPendingDeletion'):
        use(kms, cmk, key)
    kms.CancelKeyDeletion(cmk)
    use(kms, cmk, key)
    kms.ScheduleKeyDeletion(cmk, PendingWindowInDays=7)


def test_a_key_whose_day_has_come():
    with new_machine(config=NO_POOL) as machine:
        kms = tpm_client(machine)
        cmk = kms.own_key(KeySpec='EC_P256')
        kms.Sign(cmk, b64(MESSAGE), 'ECDSA_SHA_256')
        kms.ScheduleKeyDeletion(cmk, PendingWindowInDays=7)
        machine.pass_time(8 * 86400)
        with refused('KeyNotFound'):
            kms.Sign(cmk, b64(MESSAGE), 'ECDSA_SHA_256')
        kms.GetStatus()
        assert rows(machine, 'SELECT * FROM keys') == []
        assert not context_kept(machine, cmk)


@pytest.mark.parametrize('spec, usage', [('AES_256', None), ('HMAC_256', None), ('RSA_2048', None),
                                         ('RSA_2048', DECRYPT), ('EC_P384', None)])
def test_states(kms, spec, usage):
    """What uses material is answered as of any other key in the state; test_states.py has the whole table."""
    key, other = key_of(spec), kms.own_key()
    cmk = bring(kms, key, **({'KeyUsage': usage} if usage else {}))
    calls = calls_of(kms, cmk, key, usage, other)
    for move, error in [
            (lambda _: None, None), (kms.DisableKey, 'KeyDisabled'), (kms.EnableKey, None),
            (kms.ScheduleKeyDeletion, 'KeyPendingDeletion'), (kms.CancelKeyDeletion, None),
            (kms.DeleteKeyMaterial, 'KeyPendingImport'), (kms.ScheduleKeyDeletion, 'KeyPendingDeletion'),
            (kms.CancelKeyDeletion, 'KeyPendingImport'), (lambda cmk: import_again(kms, cmk, key), None),
            (kms.DisableKey, 'KeyDisabled'), (kms.ScheduleKeyDeletion, 'KeyPendingDeletion'),
            (kms.CancelKeyDeletion, 'KeyDisabled'), (kms.DeleteKeyMaterial, 'KeyPendingImport')]:
        move(cmk)
        for call in calls:
            if error is None:
                call()
            else:
                with refused(error):
                    call()


def calls_of(kms, cmk, key, usage, other):
    message = b64(MESSAGE)
    if key.spec in SYMMETRIC:
        mine, others = (kms.Encrypt(name, message)['CiphertextBlob'] for name in (cmk, other))
        return [lambda: kms.Encrypt(cmk, message), lambda: kms.Decrypt(mine), lambda: kms.ReEncrypt(mine, other),
                lambda: kms.ReEncrypt(others, cmk), lambda: kms.GenerateDataKey(cmk),
                lambda: kms.GenerateDataKeyWithoutPlaintext(cmk)]
    if key.spec in HMAC:
        return [lambda: kms.GenerateMac(cmk, message, MAC[key.spec]),
                lambda: kms.VerifyMac(cmk, message, message, MAC[key.spec])]
    algorithm = (ENCRYPTION if usage == DECRYPT else SIGNING)[key.spec][0]
    if usage == DECRYPT:
        ciphertext = b64(key.encrypt(algorithm, MESSAGE))
        return [lambda: kms.AsymmetricDecrypt(cmk, ciphertext, algorithm),
                lambda: kms.AsymmetricEncrypt(cmk, message, algorithm)]
    return [lambda: kms.Sign(cmk, message, algorithm), lambda: kms.Verify(cmk, message, message, algorithm)]


def test_restart_kill_and_reboot(machine, kms):
    keys = {spec: bring(kms, key_of(spec)) for spec in ('AES_256', 'HMAC_256', 'RSA_2048', 'EC_P384')}
    for again in (machine.restart, lambda: (machine.kill(), machine.start()), machine.reboot, machine.restart_tpm):
        again()
        for spec, cmk in keys.items():
            use(kms, cmk, key_of(spec))


@pytest.mark.parametrize('lose', [lose_tpm, clear_tpm])
def test_another_tpm(lose):
    """What was imported can be imported again; what this TPM made is gone with it."""
    with new_machine(config=NO_POOL) as machine:
        kms = tpm_client(machine)
        imported = {spec: bring(kms, key_of(spec)) for spec in ('AES_256', 'RSA_2048', 'EC_P256')}
        made = [kms.own_key(), kms.own_key(KeySpec='EC_P384')]
        blob = kms.Encrypt(imported['AES_256'], b64(MESSAGE))['CiphertextBlob']
        lose(machine)
        assert recover(machine) == ([*imported.values()], made)
        for spec, cmk in imported.items():
            assert (kms.state(cmk), kms.describe(cmk)['ProtectionLevel']) == ('PendingImport', 'TPM')
            import_again(kms, cmk, key_of(spec))
            use(kms, cmk, key_of(spec))
        assert unb64(kms.Decrypt(blob)['Plaintext']) == MESSAGE
        with refused('TpmChanged'):
            kms.Encrypt(made[0], b64(MESSAGE))
        with refused('TpmChanged'):
            kms.Sign(made[1], b64(MESSAGE), 'ECDSA_SHA_384')


def test_an_object_of_another_key_is_not_used(machine, kms):
    """As somebody who has the disk would have it: rows are authenticated, and contexts have the object's name."""
    one, other = bring(kms, key_of('HMAC_256')), bring(kms, key_of('HMAC_256', 1))
    use(kms, one, key_of('HMAC_256'))
    use(kms, other, key_of('HMAC_256', 1))
    ring = Ring(machine)
    serials = {name: serial for serial, name in ring.entries().items()}
    mine, theirs = (serials[f'context:key:{cmk}'] for cmk in (one, other))
    ring.keyctl('pupdate', theirs, stdin=ring.read(mine))
    use(kms, other, key_of('HMAC_256', 1))


# What cannot be

@pytest.mark.parametrize('origin', ['EXTERNAL', 'CMKD_KMS'])
@pytest.mark.parametrize('spec', NEVER)
def test_specs_of_no_tpm(machine, kms, spec, origin):
    with refused('UnsupportedOperation') as refusal:
        kms.CreateKey(Origin=origin, KeySpec=spec, ProtectionLevel='TPM')
    assert spec in refusal.message and 'ProtectionLevel SOFTWARE' in refusal.message


def test_an_exponent_that_the_tpm_does_not_take(machine, kms):
    """SOFTWARE takes it; nothing of it stays, and the attempt does not count."""
    key = key_of('RSA_2048')
    data = PrivateKey('RSA_2048', ['-pkeyopt', 'rsa_keygen_pubexp:3']).data
    cmk = kms.external_key(KeySpec='RSA_2048')
    parameters = kms.parameters(cmk, *WRAPPING)
    for _ in range(9):
        with refused('UnsupportedOperation') as refusal:
            send(kms, parameters, wrapped(parameters, 'separate', key, data))
        assert 'SOFTWARE' in refusal.message
    assert kms.state(cmk) == 'PendingImport'
    send(kms, parameters, wrapped(parameters, 'separate', key))
    use(kms, cmk, key)


def test_order_of_checks(machine, kms):
    """The form, then what spec, usage and level there can be, then limits and names."""
    cmk = kms.own_key(Alias='alias/taken')
    for options, error in [
            ({'KeySpec': 'EC_SM2', 'Alias': 'alias/a b'}, 'InvalidParameter'),
            ({'KeySpec': 'EC_SM2', 'Alias': 'alias/taken'}, 'UnsupportedOperation'),
            ({'KeySpec': 'RSA_4096', 'KeyId': cmk, 'Origin': 'EXTERNAL'}, 'UnsupportedOperation'),
            ({'KeyUsage': SIGN, 'Alias': 'alias/taken'}, 'UnsupportedOperation'),
            ({'Alias': 'alias/taken'}, 'AliasAlreadyExists'),
            ({'KeyId': cmk, 'Origin': 'EXTERNAL'}, 'KeyAlreadyExists')]:
        with refused(error):
            kms.CreateKey(ProtectionLevel='TPM', **options)


# Where it is not

def secrets_of(key):
    """What is secret of a key of openssl, however it is written."""
    if key.spec in SYMMETRIC + HMAC:
        return {'material': key.data}
    if key.spec in EC:
        return {'scalar': int.from_bytes(key.scalar, 'big')}
    names = ('n', 'e', 'd', 'p', 'q', 'd mod p-1', 'd mod q-1', '1/q mod p')
    return {name: number for name, number in zip(names, key.numbers) if name not in ('n', 'e')}


def test_secrets_are_nowhere():
    """Neither in the state, nor in the keyring, nor in the log, nor on the way to the TPM."""
    with new_machine(start=False, config=NO_POOL) as machine:
        traffic = Path(f'{machine.tpm_log}.raw')
        traffic.touch()
        machine.start()
        kms, secrets = tpm_client(machine), {}
        for spec in SPECS:
            key = key_of(spec)
            cmk = bring(kms, key)
            use(kms, cmk, key)
            secrets |= {f'{name} of {spec}': value for name, value in secrets_of(key).items()}
        public = {'modulus': key_of('RSA_2048').numbers[0]}
        for place in (read_state(machine), read_keyring(machine), machine.log.read_bytes(), traffic.read_bytes()):
            assert find(secrets, place) == []
        assert find(public, traffic.read_bytes()) == ['modulus, big-endian raw']

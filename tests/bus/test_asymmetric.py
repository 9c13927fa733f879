# SPDX-License-Identifier: Apache-2.0
"""Sign, Verify, AsymmetricEncrypt, AsymmetricDecrypt and GetPublicKey, with stock openssl on the other side."""
import hashlib
import os
import re

import pytest
from gi.repository import GLib

from client import UNKNOWN_KEY, b64, openssl, refused, unb64
from der import OCTET_STRING, inside, integer, sequence, tlv
from harness import ALICE, BOB, new_machine
from openssl_keys import ENCRYPTION, SIGNING, PublicKey, key_of
from wrapping import ASYMMETRIC_SPECS, EC_SPECS, RSA_SPECS, import_key, raw_sm2

MAX_MESSAGE, MAX_SM2_PLAINTEXT, MAX_CHARACTERS = 6144, 6047, 8192
OPENSSL_NAMES = {'EC_P256': 'prime256v1', 'EC_P384': 'secp384r1', 'EC_P256K': 'secp256k1', 'EC_SM2': 'SM2'}
MODULUS = {'RSA_2048': 256, 'RSA_3072': 384, 'RSA_4096': 512}
SIGNATURES = [(spec, algorithm) for spec in ASYMMETRIC_SPECS for algorithm in SIGNING[spec]]
ENCRYPTIONS = [(spec, algorithm) for spec in ENCRYPTION for algorithm in ENCRYPTION[spec]]
ALL_SIGNING = sorted({algorithm for _, algorithm in SIGNATURES})
ALL_ENCRYPTION = sorted({algorithm for _, algorithm in ENCRYPTIONS})
MESSAGE = b'a message'
NO_LIMIT = {'DecryptFailuresPerMinute': 0}


def limit(spec, algorithm):
    return {'RSAES_OAEP_SHA_1': MODULUS.get(spec, 0) - 42, 'RSAES_OAEP_SHA_256': MODULUS.get(spec, 0) - 66,
            'SM2PKE': MAX_SM2_PLAINTEXT}[algorithm]


class Keys:
    """CMKs with the keys of openssl_keys.py in them, by spec and usage, made when asked for."""

    def __init__(self, kms):
        self.kms, self.made = kms, {}

    def __call__(self, spec, usage='SIGN_VERIFY'):
        if (spec, usage) not in self.made:
            self.made[spec, usage] = import_key(self.kms, key_of(spec), KeyUsage=usage)
        return self.made[spec, usage]

    def encrypting(self, spec):
        return self(spec, 'ENCRYPT_DECRYPT')


@pytest.fixture(scope='module')
def machine():
    """Where failures are not limited, for that is what is looked for."""
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 4}, 'Limits': NO_LIMIT}) as machine:
        yield machine


@pytest.fixture(scope='module')
def cmk_of(kms):
    return Keys(kms)


def sign(kms, cmk, message, algorithm, **options):
    return unb64(kms.Sign(cmk, b64(message), algorithm, **options)['Signature'])


def verify(kms, cmk, message, signature, algorithm, **options):
    return kms.Verify(cmk, b64(message), b64(signature), algorithm, **options)['SignatureValid']


def decrypt(kms, cmk, ciphertext, algorithm):
    return unb64(kms.AsymmetricDecrypt(cmk, b64(ciphertext), algorithm)['Plaintext'])


# Signatures

@pytest.mark.parametrize('spec, algorithm', SIGNATURES)
def test_signatures_both_ways(kms, cmk_of, spec, algorithm):
    key, cmk = key_of(spec), cmk_of(spec)
    for message in (b'x', os.urandom(100), os.urandom(MAX_MESSAGE)):
        digest = key.digest(algorithm, message)
        signatures = [sign(kms, cmk, message, algorithm), sign(kms, cmk, digest, algorithm, MessageType='DIGEST'),
                      sign(kms, cmk, message, algorithm, MessageType='RAW')]
        for signature in signatures:
            assert key.verify(algorithm, message, signature)
        for signature in [*signatures, key.sign(algorithm, message)]:
            assert verify(kms, cmk, message, signature, algorithm) is True
            assert verify(kms, cmk, digest, signature, algorithm, MessageType='DIGEST') is True
            assert verify(kms, cmk, message[1:] + b'.', signature, algorithm) is False
            assert verify(kms, cmk, digest[1:] + b'.', signature, algorithm, MessageType='DIGEST') is False


@pytest.mark.parametrize('spec, algorithm', SIGNATURES)
def test_what_is_no_signature(kms, cmk_of, spec, algorithm):
    key, cmk = key_of(spec), cmk_of(spec)
    good = key.sign(algorithm, MESSAGE)
    wrong = [b'\0', b'x', good[:-1], good + b'\0', b'\0' + good, good[1:], bytes(len(good)), b'\xff' * len(good),
             os.urandom(len(good)), os.urandom(MAX_MESSAGE), key_of(spec, 1).sign(algorithm, MESSAGE),
             bytes([good[0] ^ 1]) + good[1:], good[:-1] + bytes([good[-1] ^ 1])]
    if spec in EC_SPECS:
        size = len(key.scalar)
        r, s = (int.from_bytes(content, 'big') for _, content in inside(good))
        wrong += [r.to_bytes(size, 'big') + s.to_bytes(size, 'big'), sequence(integer(s), integer(r)),
                  sequence(integer(0), integer(s)), sequence(integer(r), integer(0)), sequence(integer(-r), integer(s)),
                  sequence(integer(r)), sequence(integer(r), integer(s), integer(1)), sequence(),
                  sequence(tlv(2, b'\0' * 8 + r.to_bytes(size, 'big')), integer(s)),
                  sequence(integer(r), integer(s)) + b'\5\0', b'\x30\x80' + good[2:] + b'\0\0']
    else:
        number = int.from_bytes(good, 'big')
        wrong += [b'\0' * 8 + good, ((number + key.numbers[0]) % 2**(8 * len(good) + 8)).to_bytes(len(good) + 1, 'big'),
                  *(key.sign(other, MESSAGE) for other in SIGNING[spec] if other != algorithm)]
    for signature in wrong:
        assert verify(kms, cmk, MESSAGE, signature, algorithm) is False, signature.hex()
    assert verify(kms, cmk, MESSAGE, good, algorithm) is True


def test_pss_salt_is_as_long_as_the_digest(kms, cmk_of):
    key, cmk = key_of('RSA_2048'), cmk_of('RSA_2048')
    for salt, valid in [(32, True), (0, False), (20, False), (31, False), (33, False), (222, False)]:
        signature = openssl('dgst', '-sha256', '-sign', key.private_file, '-keyform', 'DER', '-sigopt',
                            'rsa_padding_mode:pss', '-sigopt', f'rsa_pss_saltlen:{salt}', stdin=MESSAGE)
        assert verify(kms, cmk, MESSAGE, signature, 'RSA_PSS_SHA_256') is valid, salt
    signature = openssl('dgst', '-sha256', '-sign', key.private_file, '-keyform', 'DER', '-sigopt',
                        'rsa_padding_mode:pss', '-sigopt', 'rsa_mgf1_md:sha1', '-sigopt', 'rsa_pss_saltlen:32',
                        stdin=MESSAGE)
    assert verify(kms, cmk, MESSAGE, signature, 'RSA_PSS_SHA_256') is False


def test_sm2_with_another_user_id(kms, cmk_of):
    key = key_of('EC_SM2')
    signature = openssl('dgst', '-sm3', '-sign', key.private_file, '-keyform', 'DER', '-sigopt', 'distid:another',
                        stdin=MESSAGE)
    assert verify(kms, cmk_of('EC_SM2'), MESSAGE, signature, 'SM2DSA') is False


@pytest.mark.parametrize('spec, algorithm', SIGNATURES)
def test_bi_14_messages_out_of_range(kms, cmk_of, spec, algorithm):
    cmk, size = cmk_of(spec), len(key_of(spec).digest(algorithm, b''))
    signature = b64(key_of(spec).sign(algorithm, MESSAGE))
    for type_of_message, sizes in [('RAW', (0, MAX_MESSAGE + 1, 60_000)),
                                   ('DIGEST', (0, 1, size - 1, size + 1, 2 * size, MAX_MESSAGE))]:
        for wrong in sizes:
            for call in (lambda: kms.Sign(cmk, b64(bytes(wrong)), algorithm, MessageType=type_of_message),
                         lambda: kms.Verify(cmk, b64(bytes(wrong)), signature, algorithm, MessageType=type_of_message)):
                with refused('InvalidParameter') as refusal:
                    call()
                assert 'message' in refusal.message
                assert wrong == 0 or any(str(most) in refusal.message for most in (
                    [MAX_MESSAGE, MAX_CHARACTERS] if type_of_message == 'RAW' else [size]))


@pytest.mark.parametrize('options', [
    {'MessageType': ''}, {'MessageType': 'raw'}, {'MessageType': 'DIGEST '}, {'MessageType': GLib.Variant('i', 1)},
    {'Type': GLib.Variant('s', 'RAW')},
], ids=str)
def test_message_types_that_are_none(kms, cmk_of, options):
    cmk = cmk_of('EC_P256')
    for call in (lambda: kms.Sign(cmk, b64(MESSAGE), 'ECDSA_SHA_256', **options),
                 lambda: kms.Verify(cmk, b64(MESSAGE), b64(MESSAGE), 'ECDSA_SHA_256', **options)):
        with refused('InvalidParameter') as refusal:
            call()
        assert next(iter(options)) in refusal.message


# Encryption

@pytest.mark.parametrize('spec, algorithm', ENCRYPTIONS)
def test_encryption_both_ways(kms, cmk_of, spec, algorithm):
    key, cmk = key_of(spec), cmk_of.encrypting(spec)
    for size in (1, 16, 33, limit(spec, algorithm)):
        plaintext = os.urandom(size)
        ciphertext = unb64(kms.AsymmetricEncrypt(cmk, b64(plaintext), algorithm)['CiphertextBlob'])
        assert len(ciphertext) == MODULUS.get(spec, 97 + size)
        assert decrypt(kms, cmk, ciphertext, algorithm) == plaintext
        assert key.decrypt(algorithm, asn1_sm2(ciphertext) if spec == 'EC_SM2' else ciphertext) == plaintext
        of_openssl = key.encrypt(algorithm, plaintext)
        assert decrypt(kms, cmk, of_openssl, algorithm) == plaintext
        if spec == 'EC_SM2':
            assert decrypt(kms, cmk, raw_sm2(of_openssl), algorithm) == plaintext
    assert kms.AsymmetricEncrypt(cmk, b64(MESSAGE), algorithm)['KeyId'] == cmk
    assert len({kms.AsymmetricEncrypt(cmk, b64(MESSAGE), algorithm)['CiphertextBlob'] for _ in range(5)}) == 5


def asn1_sm2(raw):
    x, y = (int.from_bytes(raw[place:place + 32], 'big') for place in (1, 33))
    return sequence(integer(x), integer(y), tlv(OCTET_STRING, raw[65:97]), tlv(OCTET_STRING, raw[97:]))


def test_limits_of_the_vendors(kms, cmk_of):
    """vendors.md 1.1"""
    assert [limit(spec, algorithm) for spec in ('RSA_2048', 'RSA_3072')
            for algorithm in ('RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256')] == [214, 190, 342, 318]
    assert len(unb64(kms.AsymmetricEncrypt(cmk_of.encrypting('EC_SM2'), b64(bytes(6047)), 'SM2PKE')[
        'CiphertextBlob'])) == 6144


@pytest.mark.parametrize('spec, algorithm', ENCRYPTIONS)
def test_vendors_87_bi_14_plaintext_out_of_range(kms, cmk_of, spec, algorithm):
    most = limit(spec, algorithm)
    for size in (0, most + 1, MAX_MESSAGE, MAX_MESSAGE + 1, 60_000):
        with refused('InvalidParameter') as refusal:
            kms.AsymmetricEncrypt(cmk_of.encrypting(spec), b64(bytes(size)), algorithm)
        assert 'plaintext' in refusal.message
        assert size != most + 1 or str(most) in refusal.message


@pytest.mark.parametrize('spec, algorithm', ENCRYPTIONS)
def test_vendors_92_bi_16_wrong_ciphertexts(kms, cmk_of, spec, algorithm):
    """One error and one text, whatever is wrong with it."""
    key, cmk = key_of(spec), cmk_of.encrypting(spec)
    good = key.encrypt(algorithm, b'secret')
    wrong = [b'\0', b'\4', good[:-1], good[1:], good + b'\0', b'\0' + good, good[:len(good) // 2], good * 2,
             bytes(len(good)), b'\xff' * len(good), os.urandom(len(good)), os.urandom(MAX_MESSAGE),
             key_of(spec, 1).encrypt(algorithm, b'secret')]
    wrong += [good[:place] + bytes([good[place] ^ 1]) + good[place + 1:] for place in range(0, len(good), 7)]
    if spec == 'EC_SM2':
        raw = raw_sm2(good)
        wrong += [raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1:] for place in range(0, len(raw), 7)]
        wrong += [raw_sm2(good, 'C1C2C3'), raw[1:], raw + b'\0', raw[:97], raw[:96], b'\4' + bytes(64) + raw[65:],
                  b'\4' + key_of('EC_P256').point[1:] + raw[65:], good + good]
    else:
        n = key.numbers[0]
        wrong += [number.to_bytes(len(good), 'big') for number in (0, 1, n - 1, n, n + 1)]
        wrong += [PublicKey(spec, key.public).encrypt(other, b'secret') for other in ENCRYPTION[spec]
                  if other != algorithm]
        wrong.append(openssl('pkeyutl', '-encrypt', '-pubin', '-keyform', 'DER', '-inkey', key.public_file, '-pkeyopt',
                             'rsa_padding_mode:pkcs1', stdin=b'secret'))
        for option in ('rsa_mgf1_md:sha512', 'rsa_oaep_label:00'):
            wrong.append(openssl('pkeyutl', '-encrypt', '-pubin', '-keyform', 'DER', '-inkey', key.public_file,
                                 '-pkeyopt', 'rsa_padding_mode:oaep', '-pkeyopt',
                                 f"rsa_oaep_md:{'sha1' if algorithm.endswith('_1') else 'sha256'}", '-pkeyopt', option,
                                 stdin=b'secret'))
    messages = set()
    for ciphertext in wrong:
        with refused('InvalidCiphertext') as refusal:
            kms.AsymmetricDecrypt(cmk, b64(ciphertext), algorithm)
        messages.add(refusal.message)
    assert len(messages) == 1
    assert decrypt(kms, cmk, good, algorithm) == b'secret'


def test_ciphertext_of_nothing(kms, cmk_of):
    """OAEP can carry an empty message, which is no plaintext here."""
    key, cmk = key_of('RSA_2048'), cmk_of.encrypting('RSA_2048')
    with refused('InvalidCiphertext'):
        decrypt(kms, cmk, key.encrypt('RSAES_OAEP_SHA_256', b''), 'RSAES_OAEP_SHA_256')


def test_ciphertext_longer_than_any(kms, cmk_of):
    with refused('InvalidParameter') as refusal:
        kms.AsymmetricDecrypt(cmk_of.encrypting('EC_SM2'), b64(bytes(20_000)), 'SM2PKE')
    assert 'ciphertext' in refusal.message


# Which algorithm, which key

@pytest.mark.parametrize('algorithm', ['', 'RSA_PSS_SHA_1', 'rsa_pss_sha_256', 'RSA_PSS_SHA_256 ', 'SHA_256', 'none',
                                       'x' * 100_000])
def test_unknown_algorithms(kms, cmk_of, algorithm):
    signing, encrypting = cmk_of('RSA_2048'), cmk_of.encrypting('RSA_2048')
    for call in (lambda: kms.Sign(signing, b64(MESSAGE), algorithm),
                 lambda: kms.Verify(signing, b64(MESSAGE), b64(MESSAGE), algorithm),
                 lambda: kms.AsymmetricEncrypt(encrypting, b64(MESSAGE), algorithm),
                 lambda: kms.AsymmetricDecrypt(encrypting, b64(MESSAGE), algorithm)):
        with refused('InvalidParameter') as refusal:
            call()
        assert 'algorithm' in refusal.message and len(refusal.message) < 500


def test_an_algorithm_of_the_other_kind_is_none(kms, cmk_of):
    for call in (lambda: kms.Sign(cmk_of('RSA_2048'), b64(MESSAGE), 'RSAES_OAEP_SHA_256'),
                 lambda: kms.AsymmetricEncrypt(cmk_of.encrypting('RSA_2048'), b64(MESSAGE), 'RSA_PSS_SHA_256'),
                 lambda: kms.Sign(cmk_of('RSA_2048'), b64(MESSAGE), 'HMAC_SHA_256')):
        with refused('InvalidParameter'):
            call()


@pytest.mark.parametrize('spec', ['RSA_2048', *EC_SPECS])
def test_algorithms_of_other_specs(kms, cmk_of, spec):
    cmk = cmk_of(spec)
    for algorithm in set(ALL_SIGNING) - set(SIGNING[spec]):
        for call in (lambda: kms.Sign(cmk, b64(MESSAGE), algorithm),
                     lambda: kms.Verify(cmk, b64(MESSAGE), b64(MESSAGE), algorithm)):
            with refused('UnsupportedOperation'):
                call()


@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_SM2'])
def test_encryption_algorithms_of_other_specs(kms, cmk_of, spec):
    for algorithm in set(ALL_ENCRYPTION) - set(ENCRYPTION[spec]):
        with refused('UnsupportedOperation'):
            kms.AsymmetricEncrypt(cmk_of.encrypting(spec), b64(MESSAGE), algorithm)
        with refused('UnsupportedOperation'):
            kms.AsymmetricDecrypt(cmk_of.encrypting(spec), b64(MESSAGE), algorithm)


@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_SM2'])
def test_vendors_96_usage_that_is_not_the_keys(kms, cmk_of, spec):
    signing, encrypting = cmk_of(spec), cmk_of.encrypting(spec)
    for call in (lambda: kms.Sign(encrypting, b64(MESSAGE), SIGNING[spec][0]),
                 lambda: kms.Verify(encrypting, b64(MESSAGE), b64(MESSAGE), SIGNING[spec][0]),
                 lambda: kms.AsymmetricEncrypt(signing, b64(MESSAGE), ENCRYPTION[spec][0]),
                 lambda: kms.AsymmetricDecrypt(signing, b64(MESSAGE), ENCRYPTION[spec][0]),
                 lambda: kms.Encrypt(encrypting, b64(MESSAGE)), lambda: kms.GenerateDataKey(encrypting),
                 lambda: kms.ReEncrypt(kms.Encrypt(kms.own_key(), b64(MESSAGE))['CiphertextBlob'], encrypting),
                 lambda: kms.Encrypt(signing, b64(MESSAGE)),
                 lambda: kms.GenerateMac(signing, b64(MESSAGE), 'HMAC_SHA_256')):
        with refused('UnsupportedOperation'):
            call()


@pytest.mark.parametrize('spec', ['AES_256', 'SM4', 'HMAC_256'])
def test_vendors_96_keys_that_are_not_asymmetric(kms, spec):
    for cmk in (kms.own_key(KeySpec=spec), kms.external_key(KeySpec=spec)):  # the spec is looked at before the state
        for call in (lambda: kms.Sign(cmk, b64(MESSAGE), 'RSA_PSS_SHA_256'),
                     lambda: kms.Verify(cmk, b64(MESSAGE), b64(MESSAGE), 'ECDSA_SHA_256'),
                     lambda: kms.AsymmetricEncrypt(cmk, b64(MESSAGE), 'SM2PKE'),
                     lambda: kms.AsymmetricDecrypt(cmk, b64(MESSAGE), 'RSAES_OAEP_SHA_1'),
                     lambda: kms.GetPublicKey(cmk)):
            with refused('UnsupportedOperation'):
                call()


def calls_on(kms, key):
    """Every method of this kind on @key, which need not be there."""
    return [lambda: kms.Sign(key, b64(MESSAGE), 'RSA_PSS_SHA_256'),
            lambda: kms.Verify(key, b64(MESSAGE), b64(MESSAGE), 'RSA_PSS_SHA_256'),
            lambda: kms.AsymmetricEncrypt(key, b64(MESSAGE), 'RSAES_OAEP_SHA_256'),
            lambda: kms.AsymmetricDecrypt(key, b64(MESSAGE), 'RSAES_OAEP_SHA_256'), lambda: kms.GetPublicKey(key)]


def test_keys_that_are_not_there(kms):
    for key, error in [(UNKNOWN_KEY, 'KeyNotFound'), ('alias/unknown', 'AliasNotFound'),
                       ('nonsense', 'InvalidParameter')]:
        for call in calls_on(kms, key):
            with refused(error):
                call()


def test_keys_of_others(machine, kms, cmk_of):
    for usage in ('SIGN_VERIFY', 'ENCRYPT_DECRYPT'):
        cmk = cmk_of('RSA_2048', usage)
        for call in calls_on(machine.client(BOB), cmk):
            with refused('KeyNotFound'):
                call()
        assert machine.client(0).GetPublicKey(cmk)['PublicKey'] == kms.GetPublicKey(cmk)['PublicKey']


def test_what_is_not_base64(kms, cmk_of):
    signing, encrypting = cmk_of('RSA_2048'), cmk_of.encrypting('RSA_2048')
    for text in ('', '*', 'AAA', 'AA=\n', 'AAB='):
        for call in (lambda: kms.Sign(signing, text, 'RSA_PSS_SHA_256'),
                     lambda: kms.Verify(signing, text, 'AAAA', 'RSA_PSS_SHA_256'),
                     lambda: kms.Verify(signing, 'AAAA', text, 'RSA_PSS_SHA_256'),
                     lambda: kms.AsymmetricEncrypt(encrypting, text, 'RSAES_OAEP_SHA_256'),
                     lambda: kms.AsymmetricDecrypt(encrypting, text, 'RSAES_OAEP_SHA_256')):
            with refused('InvalidParameter'):
                call()


# Public keys

@pytest.mark.parametrize('spec', ASYMMETRIC_SPECS)
@pytest.mark.parametrize('usage', ['SIGN_VERIFY', 'ENCRYPT_DECRYPT'])
def test_public_keys(kms, cmk_of, spec, usage):
    if usage == 'ENCRYPT_DECRYPT' and spec not in ENCRYPTION:
        with refused('UnsupportedOperation'):
            kms.external_key(KeySpec=spec, KeyUsage=usage)
        return
    answer = kms.GetPublicKey(cmk_of(spec, usage))
    del answer['RequestId']
    assert answer == {'KeyId': cmk_of(spec, usage), 'PublicKey': b64(key_of(spec).public), 'KeySpec': spec}


# Keys of cmkd's own

@pytest.mark.parametrize('spec', ASYMMETRIC_SPECS)
def test_keys_that_cmkd_made(machine, kms, spec):
    cmk, algorithm = kms.own_key(KeySpec=spec), SIGNING[spec][-1]
    assert kms.describe(cmk)['KeyUsage'] == 'SIGN_VERIFY' and kms.state(cmk) == 'Enabled'
    key = PublicKey(spec, unb64(kms.GetPublicKey(cmk)['PublicKey']))
    described = openssl('pkey', '-pubin', '-inform', 'DER', '-noout', '-text_pub', stdin=key.public).decode()
    for word in [f'({spec[4:]} bit)', 'Exponent: 65537'] if spec in RSA_SPECS else [f'ASN1 OID: {OPENSSL_NAMES[spec]}']:
        assert word in described
    assert key.verify(algorithm, MESSAGE, sign(kms, cmk, MESSAGE, algorithm))
    assert unb64(kms.GetPublicKey(kms.own_key(KeySpec=spec))['PublicKey']) != key.public
    machine.restart()
    assert key.verify(algorithm, MESSAGE, sign(kms, cmk, MESSAGE, algorithm))
    assert unb64(kms.GetPublicKey(cmk)['PublicKey']) == key.public
    with refused('NotExternalKey'):
        kms.DeleteKeyMaterial(cmk)
    with refused('NotExternalKey'):
        kms.parameters(cmk)


@pytest.mark.parametrize('spec, algorithm', [('RSA_2048', 'RSAES_OAEP_SHA_256'), ('EC_SM2', 'SM2PKE')])
def test_encryption_to_keys_that_cmkd_made(kms, spec, algorithm):
    cmk = kms.own_key(KeySpec=spec, KeyUsage='ENCRYPT_DECRYPT')
    key = PublicKey(spec, unb64(kms.GetPublicKey(cmk)['PublicKey']))
    assert decrypt(kms, cmk, key.encrypt(algorithm, MESSAGE), algorithm) == MESSAGE


def test_what_was_imported_outlives_restart_kill_and_reboot(machine, kms, cmk_of):
    for again in (machine.restart, lambda: (machine.kill(), machine.start()), machine.reboot):
        again()
        for spec in ('RSA_2048', 'EC_P384', 'EC_SM2'):
            key, algorithm = key_of(spec), SIGNING[spec][0]
            assert unb64(kms.GetPublicKey(cmk_of(spec))['PublicKey']) == key.public
            assert verify(kms, cmk_of(spec), MESSAGE, key.sign(algorithm, MESSAGE), algorithm)
            assert key.verify(algorithm, MESSAGE, sign(kms, cmk_of(spec), MESSAGE, algorithm))


def test_many_at_once(kms, cmk_of):
    """The calculator keeps calls and answers together."""
    specs = ['RSA_2048', 'EC_P256', 'EC_SM2'] * 20
    messages = [hashlib.sha256(str(number).encode()).digest() for number in range(len(specs))]
    calls = [kms.start('Sign', cmk_of(spec), b64(message), SIGNING[spec][0]) for spec, message in zip(specs, messages)]
    for spec, message, call in zip(specs, messages, calls):
        answer = call.result()
        assert answer['KeyId'] == cmk_of(spec)
        assert verify(kms, cmk_of(spec), message, unb64(answer['Signature']), SIGNING[spec][0])


# Failures are limited

def fail(kms, cmk, algorithm='RSAES_OAEP_SHA_256', ciphertext=bytes(256)):
    with refused('InvalidCiphertext'):
        kms.AsymmetricDecrypt(cmk, b64(ciphertext), algorithm)


def test_failures_are_limited_per_key_and_caller():
    with new_machine(config={'Limits': {'DecryptFailuresPerMinute': 2}}) as machine:
        kms, root = machine.client(ALICE), machine.client(0)
        rsa, sm2 = key_of('RSA_2048'), key_of('EC_SM2')
        cmk, other = (import_key(kms, rsa, KeyUsage='ENCRYPT_DECRYPT') for _ in range(2))
        of_sm2 = import_key(kms, sm2, KeyUsage='ENCRYPT_DECRYPT')
        good, algorithm = rsa.encrypt('RSAES_OAEP_SHA_256', MESSAGE), 'RSAES_OAEP_SHA_256'
        for _ in range(5):
            assert decrypt(kms, cmk, good, algorithm) == MESSAGE
        fail(kms, cmk)
        for _ in range(5):
            assert decrypt(kms, cmk, good, algorithm) == MESSAGE
        fail(kms, cmk, ciphertext=b'x')
        for ciphertext in (bytes(256), b'x', good) * 3:
            with refused('Throttled') as refusal:
                kms.AsymmetricDecrypt(cmk, b64(ciphertext), algorithm)
            assert re.search(r'\b[1-9][0-9]* seconds\b', refusal.message)  # when to come back
        with refused('Throttled'):  # for the caller, not for the connection
            machine.new_client(ALICE).AsymmetricDecrypt(cmk, b64(good), algorithm)
        for client, key in [(kms, other), (root, cmk)]:
            assert decrypt(client, key, good, algorithm) == MESSAGE
            fail(client, key)
        fail(kms, of_sm2, 'SM2PKE')
        kms.AsymmetricEncrypt(cmk, b64(MESSAGE), algorithm)
        kms.GetPublicKey(cmk)


def test_what_is_no_failure_of_decryption_does_not_count():
    with new_machine(config={'Limits': {'DecryptFailuresPerMinute': 1}}) as machine:
        kms = machine.client()
        cmk = import_key(kms, key_of('RSA_2048'), KeyUsage='ENCRYPT_DECRYPT')
        kms.DisableKey(cmk)
        for _ in range(3):
            for arguments, error in [((cmk, 'A', 'RSAES_OAEP_SHA_256'), 'InvalidParameter'),
                                     ((cmk, 'AAAA', 'RSAES'), 'InvalidParameter'),
                                     ((cmk, 'AAAA', 'SM2PKE'), 'UnsupportedOperation'),
                                     ((cmk, 'AAAA', 'RSAES_OAEP_SHA_256'), 'KeyDisabled')]:
                with refused(error):
                    kms.AsymmetricDecrypt(*arguments)
        kms.EnableKey(cmk)
        fail(kms, cmk)
        with refused('Throttled'):
            kms.AsymmetricDecrypt(cmk, 'AAAA', 'RSAES_OAEP_SHA_256')


def test_failures_at_once_do_not_get_past_the_limit():
    with new_machine(config={'Limits': {'DecryptFailuresPerMinute': 2}}) as machine:
        kms = machine.client()
        cmk = import_key(kms, key_of('RSA_2048'), KeyUsage='ENCRYPT_DECRYPT')
        calls = [kms.start('AsymmetricDecrypt', cmk, b64(bytes(256)), 'RSAES_OAEP_SHA_256') for _ in range(40)]
        errors = []
        for call in calls:
            try:
                call.result()
            except Exception as error:
                errors.append(error.name)
        assert sorted(set(errors)) == ['InvalidCiphertext', 'Throttled'] and len(errors) == 40
        assert errors.count('InvalidCiphertext') <= 3  # one may have come back meanwhile


def test_thirty_failures_a_minute_by_default():
    with new_machine() as machine:
        kms = machine.client()
        cmk = import_key(kms, key_of('EC_SM2'), KeyUsage='ENCRYPT_DECRYPT')
        for _ in range(30):
            fail(kms, cmk, 'SM2PKE')
        with pytest.raises(Exception, match='Throttled'):
            for _ in range(31):  # one comes back every other second
                fail(kms, cmk, 'SM2PKE')

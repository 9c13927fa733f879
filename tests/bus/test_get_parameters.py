# SPDX-License-Identifier: Apache-2.0
"""GetParametersForImport: what it gives, to whom, and for what."""
import pytest

from client import UNKNOWN_KEY, DBusError, modulus, openssl, refused, unb64

DAY = 24 * 60 * 60
# What carries no symmetric key, and a wrapping key spec that goes with it.
UNSUPPORTED = [('RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD', 'RSA_2048'), ('SM2PKE_SM4_ECB', 'EC_SM2')]


@pytest.fixture(scope='module')
def key(kms):
    return kms.external_key()


@pytest.mark.parametrize('algorithm, spec, bits', [
    ('RSAES_PKCS1_V1_5', 'RSA_2048', 2048),
    ('RSAES_OAEP_SHA_1', 'RSA_2048', 2048),
    ('RSAES_OAEP_SHA_256', 'RSA_2048', 2048),
    ('RSAES_OAEP_SHA_256', 'RSA_3072', 3072),
    ('RSAES_OAEP_SHA_256', 'RSA_4096', 4096),
    ('RSA_AES_KEY_WRAP_SHA_1', 'RSA_3072', 3072),
    ('RSA_AES_KEY_WRAP_SHA_256', 'RSA_2048', 2048),
    ('SM2PKE', 'EC_SM2', 256),
])
def test_vendors_10_and_17_answer(machine, kms, algorithm, spec, bits):
    key = kms.external_key()
    before = machine.now()
    answer = kms.GetParametersForImport(key, algorithm, spec)
    assert before + DAY <= answer['TokenExpireTime'] <= machine.now() + DAY
    assert (answer['KeyId'], answer['WrappingAlgorithm'], answer['WrappingKeySpec']) == (key, algorithm, spec)
    assert 200 <= len(answer['ImportToken']) <= 6144
    unb64(answer['ImportToken'])
    described = openssl('pkey', '-pubin', '-inform', 'DER', '-noout', '-text_pub', stdin=unb64(answer['PublicKey']))
    assert f'Public-Key: ({bits} bit)' in described.decode()
    assert ('ASN1 OID: SM2' in described.decode()) == (spec == 'EC_SM2')
    assert kms.state(key) == 'PendingImport'


def test_vendors_11_tk_16_every_call_gives_a_fresh_pair_and_token(kms, key):
    answers = [kms.parameters(key) for _ in range(3)]
    assert len({answer['ImportToken'] for answer in answers}) == 3
    moduli = {modulus(answer['PublicKey']) for answer in answers}
    assert len(moduli) == 3 and all(n.bit_length() == 2048 for n in moduli)
    for answer in answers:
        described = openssl('pkey', '-pubin', '-inform', 'DER', '-noout', '-text_pub', stdin=unb64(answer['PublicKey']))
        assert 'Exponent: 65537' in described.decode()


def test_vendors_12_ws_01_key_of_own_origin(kms):
    with refused('NotExternalKey'):
        kms.parameters(kms.own_key())


@pytest.mark.parametrize('key_id, error', [
    (UNKNOWN_KEY, 'KeyNotFound'),
    ('alias/name', 'InvalidParameter'),
    ('', 'InvalidParameter'),
    (UNKNOWN_KEY[:-1], 'InvalidParameter'),
    (UNKNOWN_KEY.replace('0', 'B'), 'InvalidParameter'),
])
def test_vendors_13_and_14_ws_02_key_that_is_none(kms, key_id, error):
    with refused(error):
        kms.parameters(key_id)


@pytest.mark.parametrize('algorithm', ['', 'RSAES_OAEP_SHA_512', 'rsaes_oaep_sha_256', 'RSAES_OAEP_SHA_256\n',
                                       ' RSAES_OAEP_SHA_256', 'RSAES_OAEP', 'SM2', 'x' * 100000])
def test_vendors_15_and_16_bi_04_unknown_algorithm(kms, key, algorithm):
    with refused('InvalidParameter') as refusal:
        kms.parameters(key, algorithm)
    assert len(refusal.message) < 500


@pytest.mark.parametrize('spec', ['', 'RSA_1024', 'rsa_2048', 'RSA_2048 ', 'RSA_2048\n', 'EC_P256', '2048'])
def test_bi_04_unknown_wrapping_key_spec(kms, key, spec):
    with refused('InvalidParameter'):
        kms.parameters(key, spec=spec)


@pytest.mark.parametrize('algorithm, spec', [
    ('SM2PKE', 'RSA_2048'), ('SM2PKE_SM4_ECB', 'RSA_2048'), ('RSAES_OAEP_SHA_256', 'EC_SM2'),
    ('RSAES_PKCS1_V1_5', 'EC_SM2'), ('RSA_AES_KEY_WRAP_SHA_256', 'EC_SM2'),
    ('RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD', 'RSA_4096'),
])
def test_vendors_19_bi_04_algorithm_and_spec_that_do_not_fit(kms, key, algorithm, spec):
    with refused('InvalidParameter'):
        kms.parameters(key, algorithm, spec)


@pytest.mark.parametrize('algorithm, spec', UNSUPPORTED)
def test_algorithms_that_do_not_carry_the_key(kms, key, algorithm, spec):
    with refused('UnsupportedOperation'):
        kms.parameters(key, algorithm, spec)


def test_vendors_18_sm2_wrapping_keys_are_fresh(kms, key):
    assert kms.parameters(key, 'SM2PKE', 'EC_SM2')['PublicKey'] != kms.parameters(key, 'SM2PKE', 'EC_SM2')['PublicKey']


def test_vendors_20_key_that_is_enabled(kms):
    key = kms.imported_key()
    assert kms.parameters(key)['KeyId'] == key
    assert kms.state(key) == 'Enabled'


def test_vendors_21_ws_02_key_that_is_disabled(kms):
    key = kms.imported_key()
    kms.DisableKey(key)
    assert kms.parameters(key)['KeyId'] == key
    assert kms.state(key) == 'Disabled'


def test_bi_04_refused_calls_use_up_no_set(kms):
    key = kms.external_key()
    for algorithm, spec in [('', 'RSA_2048'), ('unknown', 'RSA_2048'), ('SM2PKE', 'RSA_2048'), *UNSUPPORTED] * 5:
        with pytest.raises(DBusError):
            kms.parameters(key, algorithm, spec)
    for _ in range(16):
        kms.parameters(key)
    with refused('LimitExceeded'):
        kms.parameters(key)


@pytest.mark.parametrize('algorithm, spec', UNSUPPORTED)
def test_the_key_is_looked_at_before_what_its_spec_supports(kms, algorithm, spec):
    with refused('KeyNotFound'):
        kms.parameters(UNKNOWN_KEY, algorithm, spec)
    with refused('NotExternalKey'):
        kms.parameters(kms.own_key(), algorithm, spec)

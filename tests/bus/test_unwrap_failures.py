# SPDX-License-Identifier: Apache-2.0
"""What an attacker may send as ciphertext: one error, one text, whatever is wrong, and each try counted.

Blocks that stock openssl would not make are put together here and encrypted by it with no padding of its own."""
import hashlib
import os

import pytest

from client import PADDINGS, DBusError, b64, modulus, refused, wrap

BUDGET = 8
SIZE = 256  # bytes of an RSA-2048 modulus
PKCS1, OAEP_1, OAEP_256 = ALGORITHMS = [name for name in PADDINGS if name != 'none']
GOOD = b'M' * 32


def number(value):
    return b64((value % 2**2048).to_bytes(SIZE, 'big'))


def filler(size):
    """Non-zero bytes, as PKCS #1 v1.5 wants them."""
    return bytes(byte or 1 for byte in os.urandom(size))


def pkcs1(head=b'\0\2', padding=None, separator=b'\0', message=GOOD):
    padding = filler(SIZE - len(head) - len(separator) - len(message)) if padding is None else padding
    return (head + padding + separator + message).ljust(SIZE, b'\1')[:SIZE]


def mgf1(seed, size, hash_name):
    blocks = (hashlib.new(hash_name, seed + counter.to_bytes(4, 'big')).digest() for counter in range(size))
    mask = b''
    while len(mask) < size:
        mask += next(blocks)
    return mask[:size]


def xor(left, right):
    return bytes(a ^ b for a, b in zip(left, right))


def oaep(hash_name, message=GOOD, first=0, label_hash=None, separator=b'\1', padding=None, mgf1_hash=None):
    size = hashlib.new(hash_name).digest_size
    label_hash = hashlib.new(hash_name).digest() if label_hash is None else label_hash
    padding = bytes(SIZE - 2 * size - 2 - len(message)) if padding is None else padding
    data = (label_hash + padding + separator + message).ljust(SIZE - size - 1, b'\0')[:SIZE - size - 1]
    seed = os.urandom(size)
    masked_data = xor(data, mgf1(seed, len(data), mgf1_hash or hash_name))
    return bytes([first]) + xor(seed, mgf1(masked_data, size, mgf1_hash or hash_name)) + masked_data


def refuse_each(kms, algorithm, ciphertexts, spec='AES_256'):
    """Every one of @ciphertexts, functions of the public key, is refused alike and counts one of eight."""
    refusals = set()
    key = kms.external_key(KeySpec=spec)
    ciphertexts = list(ciphertexts)
    while len(ciphertexts) % BUDGET != 0:
        ciphertexts.append(lambda public_key: b64(b'\0' + os.urandom(SIZE - 1)))
    for start in range(0, len(ciphertexts), BUDGET):
        parameters = kms.parameters(key, algorithm)
        for make in ciphertexts[start:start + BUDGET]:
            with refused('IncorrectKeyMaterial') as refusal:
                kms.ImportKeyMaterial(key, make(parameters['PublicKey']), parameters['ImportToken'])
            refusals.add(refusal.message)
        with refused('InvalidImportToken'):
            kms.import_with(parameters, GOOD[:16] if spec == 'SM4' else GOOD)
    assert len(refusals) == 1, refusals
    assert kms.state(key) == 'PendingImport'
    return refusals.pop()


def blocks(*made):
    return [lambda public_key, block=block: wrap('none', public_key, block) for block in made]


def test_oracle_for_these_tests(kms):
    """The blocks made here are right when nothing is wrong with them."""
    for algorithm, block in [(PKCS1, pkcs1()), (OAEP_1, oaep('sha1')), (OAEP_256, oaep('sha256'))]:
        parameters = kms.parameters(kms.external_key(), algorithm)
        wrapped = wrap('none', parameters['PublicKey'], block)
        kms.ImportKeyMaterial(parameters['KeyId'], wrapped, parameters['ImportToken'])


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_bi_05_vendors_36_impossible_length_is_not_counted(kms, algorithm):
    key = kms.external_key()
    parameters = kms.parameters(key, algorithm)
    for size in (0, 1, 32, SIZE - 1, 32 << 20, SIZE + 1, 2 * SIZE, 8192, 0, SIZE + 1):
        with refused('InvalidParameter') as refusal:
            kms.ImportKeyMaterial(key, b64(os.urandom(size)), parameters['ImportToken'])
        assert len(refusal.message) < 500
    assert '256' in refusal.message
    assert kms.import_with(parameters, GOOD)['KeyState'] == 'Enabled'


@pytest.mark.parametrize('spec, size', [('RSA_3072', 384), ('RSA_4096', 512)])
def test_bi_05_length_is_that_of_the_modulus(kms, spec, size):
    key = kms.external_key()
    parameters = kms.parameters(key, spec=spec)
    for wrong in (SIZE, size - 1, size + 1):
        with refused('InvalidParameter') as refusal:
            kms.ImportKeyMaterial(key, b64(os.urandom(wrong)), parameters['ImportToken'])
        assert str(size) in refusal.message
    with refused('IncorrectKeyMaterial'):
        kms.ImportKeyMaterial(key, b64(b'\0' + os.urandom(size - 1)), parameters['ImportToken'])


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_bi_07_vendors_35_numbers_at_the_edges(kms, algorithm):
    refuse_each(kms, algorithm, [
        lambda public_key: number(0),
        lambda public_key: number(1),
        lambda public_key: number(modulus(public_key) - 1),
        lambda public_key: number(modulus(public_key)),
        lambda public_key: number(modulus(public_key) + 1),
        lambda public_key: number(2**2048 - 1),
        lambda public_key: b64(b'\0' + os.urandom(SIZE - 1)),
        lambda public_key: b64(b'\xff' + os.urandom(SIZE - 1)),
    ])


def test_bi_08_malformed_pkcs1_blocks(kms):
    refuse_each(kms, PKCS1, blocks(
        pkcs1(head=b'\0\0'), pkcs1(head=b'\0\1'), pkcs1(head=b'\0\3'), pkcs1(head=b'\0\xff'),
        pkcs1(head=b'\0\2', padding=b''),
        pkcs1(padding=filler(1)), pkcs1(padding=filler(7)),                   # fewer than 8, and the rest is message
        pkcs1(padding=filler(100) + b'\0' + filler(120)),                      # a zero in the padding
        pkcs1(padding=b'\0' + filler(220)),
        pkcs1(padding=filler(7) + b'\0' + filler(213)),
        pkcs1(separator=b'\1'), pkcs1(separator=b'', message=filler(32)),      # no separator
        b'\0\2' + filler(254), b'\0\2' + bytes(254), b'\0\2' + filler(253) + b'\0',
    ))


@pytest.mark.parametrize('algorithm, name', [(OAEP_1, 'sha1'), (OAEP_256, 'sha256')])
def test_bi_09_malformed_oaep_blocks(kms, algorithm, name):
    size = hashlib.new(name).digest_size
    other = 'sha256' if name == 'sha1' else 'sha1'
    refuse_each(kms, algorithm, blocks(
        oaep(name, first=1), oaep(name, first=0x7f),
        oaep(name, label_hash=hashlib.new(name, b'label').digest()),
        oaep(name, label_hash=bytes(size)),
        oaep(name, label_hash=hashlib.new(name).digest()[:-1] + b'\0'),
        oaep(name, separator=b'\0'), oaep(name, separator=b'\2'), oaep(name, separator=b''),
        oaep(name, padding=b'\1' + bytes(SIZE - 2 * size - 3 - len(GOOD))),
        oaep(name, padding=bytes(20) + b'\2' + bytes(SIZE - 2 * size - 23 - len(GOOD))),
        oaep(other), oaep(name, mgf1_hash=other), oaep('sha512', mgf1_hash=name), oaep('sha224'),
    ))


@pytest.mark.parametrize('options', [
    ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha1'],
    ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha256', 'rsa_mgf1_md:sha1'],
    ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha1', 'rsa_mgf1_md:sha256'],
    ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha256', 'rsa_oaep_label:00'],
    ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha512'],
    ['rsa_padding_mode:oaep'],
    ['rsa_padding_mode:pkcs1'],
], ids=' '.join)
def test_vendors_33_and_34_bi_09_and_11_other_options_of_openssl(kms, options):
    message = refuse_each(kms, OAEP_256, [lambda public_key: wrap(options, public_key, GOOD)])
    for hint in ('RSAES_OAEP_SHA_256', 'SHA-256', 'MGF1', '32'):
        assert hint in message


def test_bi_11_oaep_ciphertext_with_a_pkcs1_token(kms):
    message = refuse_each(kms, PKCS1, [lambda public_key: wrap(OAEP_1, public_key, GOOD),
                                       lambda public_key: wrap(OAEP_256, public_key, GOOD)])
    assert PKCS1 in message


@pytest.mark.parametrize('algorithm', ALGORITHMS)
@pytest.mark.parametrize('spec, sizes', [
    ('AES_256', [0, 1, 16, 24, 31, 33, 48, 64, 100, 190]),
    ('SM4', [0, 1, 8, 15, 17, 24, 32, 64]),
])
def test_vendors_37_and_38_bi_10_material_of_another_length(kms, spec, sizes, algorithm):
    refuse_each(kms, algorithm, [lambda public_key, size=size: wrap(algorithm, public_key, filler(size))
                                 for size in sizes], spec)


def test_bi_08_to_11_one_text_for_all_causes(kms):
    """Two keys, two pairs, all kinds of failure: the same text for one algorithm and spec."""
    messages = set()
    for cause in (lambda public_key: number(0), lambda public_key: wrap(OAEP_1, public_key, GOOD),
                  lambda public_key: wrap(OAEP_256, public_key, GOOD[1:]),
                  lambda public_key: wrap(PKCS1, public_key, GOOD)):
        parameters = kms.parameters(kms.external_key(), OAEP_256)
        with pytest.raises(DBusError) as refusal:
            kms.ImportKeyMaterial(parameters['KeyId'], cause(parameters['PublicKey']), parameters['ImportToken'])
        messages.add(str(refusal.value))
    assert len(messages) == 1

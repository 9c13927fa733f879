# SPDX-License-Identifier: Apache-2.0
"""What may be wrong with a wrapped private key: one error and one text for each form, whatever it is, each try counted
and nothing bound. And what is the same key, however it is written."""
import itertools
import os

import pytest

from client import b64, openssl, refused, unb64
from der import integer, sequence
from openssl_keys import (EC_PUBLIC_KEY, RSA_ENCRYPTION, SIGNING, compressed, ec_pkcs8, key_of, other_exponent, pkcs8,
                          rsa_pkcs8, swapped_primes)
from wrapping import (ECB_AES, ECB_SM4, KEY_WRAPS, PLAIN, RFC_5649_IV, Blocks, Wrapped, forms_of, import_key,
                      key_wrap_3394, key_wrap_pad, pkcs7, raw_sm2, send, to_wrapping_key, wrapped)

BUDGET = 8
OAEP, KEY_WRAP = 'RSAES_OAEP_SHA_256', 'RSA_AES_KEY_WRAP_SHA_256'
PKCS1_SEPARATE, OAEP_SEPARATE, SM2_SEPARATE = [(name, 'separate') for name in ('RSAES_PKCS1_V1_5', OAEP, 'SM2PKE')]
ORDERS = {'EC_P256': 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
          'EC_SM2': 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123}
MESSAGE = b'message'


def wrapping_spec(algorithm):
    return 'EC_SM2' if algorithm.startswith('SM2') else 'RSA_2048'


def parameters_for(kms, cmk, algorithm):
    return kms.parameters(cmk, algorithm, wrapping_spec(algorithm))


def import_good(kms, cmk, algorithm=KEY_WRAP, key=None):
    """Into a key that may have been refused others before."""
    parameters = parameters_for(kms, cmk, algorithm)
    key = key or key_of(kms.describe(cmk)['KeySpec'])
    return send(kms, parameters, wrapped(parameters, forms_of(algorithm, key.spec)[0], key))


def refuse_each(kms, spec, algorithm, makers):
    """What every one of {what is wrong: parameters -> Wrapped} makes is refused alike and counts one of eight; none of
    them binds the key."""
    cmk, refusals = kms.external_key(KeySpec=spec), {}
    makers = list(makers.items())
    makers += makers[:1] * (-len(makers) % BUDGET)
    before = kms.describe(cmk)
    for start in range(0, len(makers), BUDGET):
        parameters = parameters_for(kms, cmk, algorithm)
        for what, make in makers[start:start + BUDGET]:
            try:
                with refused('IncorrectKeyMaterial') as refusal:
                    send(kms, parameters, make(parameters))
            except AssertionError as error:
                raise AssertionError(f'{what}: {error}') from None
            refusals.setdefault(refusal.message, []).append(what)
        with refused('InvalidImportToken'):
            send(kms, parameters, makers[0][1](parameters))
    assert len(refusals) == 1, refusals
    assert kms.describe(cmk) == before
    import_good(kms, cmk, algorithm)
    return refusals.popitem()[0]


# Keys that are not what the CMK is for

def encrypted_pkcs8(key):
    return openssl('pkcs8', '-topk8', '-inform', 'DER', '-outform', 'DER', '-passout', 'pass:x', stdin=key.data)


def wrong_rsa_keys():
    key, other = key_of('RSA_2048'), key_of('RSA_2048', 1)
    n, e, d, p, q, dp, dq, coefficient = key.numbers

    def numbers(*values, version=0):
        return pkcs8(RSA_ENCRYPTION, sequence(*map(integer, (version, *values))))

    composite = p // 3 * 3 - (0 if p // 3 % 2 else 3)  # as long as p, odd, and a multiple of 3
    small, large = (openssl_prime(bits) for bits in (768, 1280))
    return {
        'RSA-3072': key_of('RSA_3072').data, 'P-256': key_of('EC_P256').data,
        'PKCS#1': key.inner, 'public key': key.public, 'encrypted PKCS#8': encrypted_pkcs8(key),
        'a byte after it': key.data + b'\0', 'cut short': key.data[:-1], 'half of it': key.data[:600],
        'empty sequence': sequence(), 'random bytes': os.urandom(1217), 'another version': key.data.replace(
            b'\2\1\0\x30', b'\2\1\5\x30', 1),
        'modulus of another': numbers(other.numbers[0], e, d, p, q, dp, dq, coefficient),
        'primes of another': numbers(n, e, d, *other.numbers[3:]),
        'exponent of another': numbers(n, e, other.numbers[2], p, q, dp, dq, coefficient),
        'public exponent of another': numbers(n, 3, d, p, q, dp, dq, coefficient),
        'modulus + 2': numbers(n + 2, e, d, p, q, dp, dq, coefficient),
        'd + 2': numbers(n, e, d + 2, p, q, dp, dq, coefficient),
        'd mod p-1, + 2': numbers(n, e, d, p, q, dp + 2, dq, coefficient),
        'd mod q-1, + 2': numbers(n, e, d, p, q, dp, dq + 2, coefficient),
        '1/q, + 1': numbers(n, e, d, p, q, dp, dq, coefficient + 1),
        'primes swapped and nothing else': numbers(n, e, d, q, p, dp, dq, coefficient),
        'negative prime': numbers(n, e, d, -p, q, dp, dq, coefficient),
        'prime 1': numbers(n, e, d, 1, n, 0, dq, 1), 'zeros': numbers(*[0] * 8),
        'no CRT': numbers(n, e, d), 'zero CRT': numbers(n, e, d, 0, 0, 0, 0, 0),
        'even exponent': numbers(n, 2, d, p, q, dp, dq, coefficient),
        'exponent 1': rsa_pkcs8(n, 1, 1, p, q),
        'a prime that is none': rsa_of(composite, q), 'primes of unequal size': rsa_of(small, large),
        'three primes': made_by('RSA', 'rsa_keygen_bits:2048', 'rsa_keygen_primes:3'),
        'RSASSA-PSS': made_by('RSA-PSS', 'rsa_keygen_bits:2048'),
    }


def openssl_prime(bits):
    return int(openssl('prime', '-generate', '-bits', bits, '-hex').strip(), 16)


def rsa_of(p, q):
    """An RSA key of these numbers, whatever they are."""
    e = 65537
    return rsa_pkcs8(p * q, e, pow(e, -1, (p - 1) * (q - 1)), p, q)


def made_by(algorithm, *options):
    made = openssl('genpkey', '-outform', 'DER', '-algorithm', algorithm, *(
        word for option in options for word in ('-pkeyopt', option)))
    return openssl('pkcs8', '-topk8', '-nocrypt', '-inform', 'DER', '-outform', 'DER', stdin=made)


def wrong_ec_keys(spec):
    key, other, order = key_of(spec), key_of(spec, 1), ORDERS[spec]
    curve = {'EC_P256': 'EC_SM2', 'EC_SM2': 'EC_P256'}[spec]
    explicit = made_by('EC', f"ec_paramgen_curve:{'P-256' if spec == 'EC_P256' else 'SM2'}", 'ec_param_enc:explicit')
    x, y = key.point[1:33], key.point[33:]
    return {
        'P-384': key_of('EC_P384').data, 'secp256k1': key_of('EC_P256K').data, 'RSA-2048': key_of('RSA_2048').data,
        'the other curve': key_of(curve).data, 'the other curve, by its name': ec_pkcs8(key, curve=curve),
        'SEC1': key.inner, 'SEC1 of openssl': openssl('ec', '-inform', 'DER', '-outform', 'DER', '-in',
                                                      key.private_file),
        'public key': key.public, 'encrypted PKCS#8': encrypted_pkcs8(key), 'explicit parameters': explicit,
        'no parameters': pkcs8(EC_PUBLIC_KEY, key.inner, b''), 'null parameters': pkcs8(EC_PUBLIC_KEY, key.inner),
        'a byte after it': key.data + b'\0', 'cut short': key.data[:-1], 'half of it': key.data[:70],
        'random bytes': os.urandom(138), 'empty sequence': sequence(),
        'public part of another': ec_pkcs8(key, point=other.point),
        'public part of another, compressed': ec_pkcs8(key, point=compressed(other.point)),
        'public part negated': ec_pkcs8(key, point=flipped(compressed(key.point), 0)),
        'point off the curve': ec_pkcs8(key, point=key.point[:-1] + bytes([key.point[-1] ^ 1])),
        'point on no curve': ec_pkcs8(key, point=b'\4' + y + x),
        'point at infinity': ec_pkcs8(key, point=b'\0'), 'empty point': ec_pkcs8(key, point=b''),
        'scalar 0': ec_pkcs8(key, scalar=bytes(32)),
        'scalar of the order': ec_pkcs8(key, scalar=order.to_bytes(32, 'big')),
        'scalar over the order': ec_pkcs8(key, scalar=(order + 1).to_bytes(32, 'big')),
        'scalar and order': ec_pkcs8(key, scalar=(int.from_bytes(key.scalar, 'big') + order).to_bytes(33, 'big'),
                                     point=key.point),
        'empty scalar': ec_pkcs8(key, scalar=b''), 'longest scalar': ec_pkcs8(key, scalar=b'\xff' * 32),
        'bare scalar': key.scalar,
        **({'the one scalar that SM2 excludes': ec_pkcs8(key, scalar=(order - 1).to_bytes(32, 'big'))}
           if spec == 'EC_SM2' else {}),
    }


def fits(algorithm, form, data):
    """Is there room for it in one block?"""
    return form != 'direct' or algorithm == 'SM2PKE' or len(data) <= 190


@pytest.mark.parametrize('algorithm, form', [
    OAEP_SEPARATE, (KEY_WRAP, 'key wrap'), (ECB_AES, 'ECB'), ('SM2PKE', 'direct'),
])
def test_vendors_59_and_60_wrong_rsa_keys(kms, algorithm, form):
    refuse_each(kms, 'RSA_2048', algorithm, {
        what: lambda parameters, data=data: wrapped(parameters, form, key_of('RSA_2048'), data)
        for what, data in wrong_rsa_keys().items()})


@pytest.mark.parametrize('spec, algorithm, form', [
    ('EC_P256', *PKCS1_SEPARATE), ('EC_P256', *SM2_SEPARATE), ('EC_P256', OAEP, 'direct'), ('EC_P256', ECB_AES, 'ECB'),
    ('EC_SM2', *OAEP_SEPARATE), ('EC_SM2', *SM2_SEPARATE), ('EC_SM2', 'SM2PKE', 'direct'),
    ('EC_SM2', KEY_WRAP, 'key wrap'),
])
def test_vendors_59_and_60_wrong_ec_keys(kms, spec, algorithm, form):
    refuse_each(kms, spec, algorithm, {
        what: lambda parameters, data=data: wrapped(parameters, form, key_of(spec), data)
        for what, data in wrong_ec_keys(spec).items() if fits(algorithm, form, data)})


def test_wrong_scalars(kms):
    def wrap_scalar(scalar):
        def make(parameters):
            temporary = os.urandom(16)
            return Wrapped(to_wrapping_key(parameters, temporary) + Blocks(temporary)(scalar))
        return make

    refuse_each(kms, 'EC_SM2', ECB_SM4, {
        str(number): wrap_scalar(number.to_bytes(32, 'big'))
        for number in (0, ORDERS['EC_SM2'] - 1, ORDERS['EC_SM2'], ORDERS['EC_SM2'] + 1, 2**256 - 1)})


# Wrapping that is not what was asked for

def by_hand(temporary, tail, separate):
    """A form whose parts are made from the temporary key by @tail."""
    def make(parameters):
        head = to_wrapping_key(parameters, temporary)
        return Wrapped(head, tail(temporary)) if separate else Wrapped(head + tail(temporary))
    return make


def changed(change):
    """The right thing, and then @change (head, tail)."""
    def make(parameters, form, key):
        sent = wrapped(parameters, form, key)
        if form == 'separate':
            return Wrapped(*change(*sent))
        size = 256 if wrapping_spec(parameters['WrappingAlgorithm']) == 'RSA_2048' else len(sent[0]) - len(key.data)
        return Wrapped(b''.join(change(sent[0][:size], sent[0][size:])))
    return make


def flipped(data, place):
    data = bytearray(data)
    data[place] ^= 1
    return bytes(data)


def key_to_pad(spec):
    """One whose PKCS#8 is no multiple of 8 bytes long: that of RSA is every eighth time or so."""
    return next(key for key in (key_of(spec, number) for number in itertools.count()) if len(key.data) % 8)


def wrong_key_wraps(key, separate):
    data = key.data
    assert len(data) % 8  # such that there is something to pad
    sm4 = separate and key.spec == 'EC_SM2'
    size = 16 if sm4 else 32
    aligned = data + bytes(-len(data) % 8)
    return {
        'temporary key of 24 bytes': by_hand(os.urandom(24), lambda key: key_wrap_pad(key, data), separate),
        'temporary key of the other size': by_hand(
            os.urandom(48 - size), lambda key: key_wrap_pad(key, data), separate),
        'temporary key a byte longer': by_hand(
            os.urandom(size + 1), lambda key: key_wrap_pad(key[:-1], data), separate),
        'temporary key a byte shorter': by_hand(
            os.urandom(size - 1), lambda key: key_wrap_pad(key + b'\0', data), separate),
        'another temporary key': by_hand(
            os.urandom(size), lambda key: key_wrap_pad(flipped(key, -1), data), separate),
        'RFC 3394': by_hand(os.urandom(size), lambda key: key_wrap_3394(key, aligned), separate),
        'wrong AIV': by_hand(
            os.urandom(size), lambda key: key_wrap_pad(key, data, flipped(RFC_5649_IV, 3)), separate),
        'length + 1': by_hand(os.urandom(size), lambda key: key_wrap_pad(key, data, size=len(data) + 1), separate),
        'length - 1': by_hand(os.urandom(size), lambda key: key_wrap_pad(key, data, size=len(data) - 1), separate),
        'length - 8': by_hand(os.urandom(size), lambda key: key_wrap_pad(key, data, size=len(data) - 8), separate),
        'length + 8': by_hand(os.urandom(size), lambda key: key_wrap_pad(key, data, size=len(data) + 8), separate),
        'length 0': by_hand(os.urandom(size), lambda key: key_wrap_pad(key, data, size=0), separate),
        'length 2^32 - 1': by_hand(os.urandom(size), lambda key: key_wrap_pad(key, data, size=2**32 - 1), separate),
        'padding of ones': by_hand(os.urandom(size), lambda key: key_wrap_pad(key, data, filler=b'\1'), separate),
        'not wrapped': by_hand(os.urandom(size), lambda key: aligned, separate),
        'ECB': by_hand(os.urandom(size), lambda key: Blocks(key)(pkcs7(data)), separate),
        'smallest': by_hand(os.urandom(size), lambda key: key_wrap_pad(key, b'x'), separate),
    }


CHANGES = {
    '8 bytes short': lambda head, tail: (head, tail[:-8]), '16 bytes short': lambda head, tail: (head, tail[:-16]),
    '8 bytes more': lambda head, tail: (head, tail + bytes(8)),
    '16 bytes more': lambda head, tail: (head, tail + bytes(16)),
    'first bit of the tail': lambda head, tail: (head, flipped(tail, 0)),
    'last bit of the tail': lambda head, tail: (head, flipped(tail, -1)),
    'middle of the tail': lambda head, tail: (head, flipped(tail, len(tail) // 2)),
    'last bit of the head': lambda head, tail: (flipped(head, -1), tail),
    'a byte short': lambda head, tail: (head, tail[:-1]), 'a byte more': lambda head, tail: (head, tail + b'\0'),
}


@pytest.mark.parametrize('spec, algorithm, form', [
    ('RSA_2048', *OAEP_SEPARATE), ('RSA_2048', KEY_WRAP, 'key wrap'), ('EC_P256', *PKCS1_SEPARATE),
    ('EC_SM2', *OAEP_SEPARATE), ('EC_SM2', *SM2_SEPARATE), ('EC_SM2', KEY_WRAP, 'key wrap'),
])
def test_vendors_57_and_58_wrong_key_wraps(kms, spec, algorithm, form):
    key = key_to_pad(spec)
    makers = wrong_key_wraps(key, form == 'separate')
    makers.update({what: lambda parameters, change=change: changed(change)(parameters, form, key)
                   for what, change in CHANGES.items()})
    if form != 'separate':
        makers['a byte between'] = lambda parameters: changed(
            lambda head, tail: (head + b'\0', tail))(parameters, form, key)
    message = refuse_each(kms, spec, algorithm, makers)
    assert algorithm in message


def test_vendors_57_and_59_wrong_ecb(kms):
    key, data = key_of('EC_P256'), key_of('EC_P256').data
    padded = pkcs7(data)
    assert 1 < padded[-1] < 16
    makers = {what: by_hand(os.urandom(size), lambda key, tail=tail: Blocks(key)(tail), False) for what, size, tail in [
        ('temporary key of 24 bytes', 24, padded), ('temporary key of 16 bytes', 16, padded),
        ('padding of zeros', 32, data + bytes(16 - len(data) % 16)), ('padding 0', 32, padded[:-1] + b'\0'),
        ('padding 17', 32, padded[:-1] + b'\x11'), ('padding 255', 32, padded[:-1] + b'\xff'),
        ('a wrong byte in the padding', 32, flipped(padded, -2)), ('padding less one', 32, padded[:-1] + bytes(
            [padded[-1] - 1])), ('two paddings', 32, pkcs7(padded)), ('padding only', 32, pkcs7(b'')),
    ]}
    makers['key wrap'] = by_hand(
        os.urandom(32), lambda key: key_wrap_pad(key, data + bytes(-len(data) % 16)) + bytes(8), False)
    makers.update({what: lambda parameters, change=change: changed(change)(parameters, 'ECB', key)
                   for what, change in CHANGES.items()})
    assert ECB_AES in refuse_each(kms, 'EC_P256', ECB_AES, makers)


@pytest.mark.parametrize('spec, size, algorithm', [
    ('SM4', 16, 'SM2PKE'), ('SM4', 16, KEY_WRAP), ('AES_256', 32, 'SM2PKE'), ('AES_256', 32, KEY_WRAPS[0]),
    ('HMAC_256', 32, 'RSAES_OAEP_SHA_1'), ('HMAC_384', 48, 'RSAES_PKCS1_V1_5'), ('HMAC_384', 48, KEY_WRAP),
    ('HMAC_512', 64, OAEP), ('HMAC_512', 64, 'SM2PKE'),
])
def test_vendors_38_material_of_another_length(kms, spec, size, algorithm):
    form = forms_of(algorithm, spec)[0]
    refuse_each(kms, spec, algorithm, {
        other: lambda parameters, other=other: wrapped(parameters, form, key_of(spec), os.urandom(other))
        for other in (1, 8, 24, size - 1, size + 1, size + 8, 2 * size, 100)})


# SM2 ciphertexts

def sm2_makers(change):
    """Of the direct form, where there is nothing but the ciphertext."""
    return lambda parameters: Wrapped(change(to_wrapping_key(parameters, key_of('EC_SM2').data)))


def with_point(ciphertext, point):
    return b'\4' + point + raw_sm2(ciphertext)[65:]


WRONG_SM2 = {
    'C1C2C3': lambda ciphertext: raw_sm2(ciphertext, 'C1C2C3'),
    'raw, a byte after it': lambda ciphertext: raw_sm2(ciphertext) + b'\0',
    'ASN.1, a byte after it': lambda ciphertext: ciphertext + b'\0',
    'raw, cut short': lambda ciphertext: raw_sm2(ciphertext)[:-1],
    'ASN.1, cut short': lambda ciphertext: ciphertext[:-1],
    'raw, C1': lambda ciphertext: flipped(raw_sm2(ciphertext), 64),
    'raw, C2': lambda ciphertext: flipped(raw_sm2(ciphertext), -1),
    'raw, C3': lambda ciphertext: flipped(raw_sm2(ciphertext), 65),
    'ASN.1, C2': lambda ciphertext: flipped(ciphertext, -1),
    'raw, without 04': lambda ciphertext: raw_sm2(ciphertext)[1:],
    'raw, compressed point': lambda ciphertext: compressed(raw_sm2(ciphertext)[:65]) + raw_sm2(ciphertext)[65:],
    'raw, hybrid point': lambda ciphertext: bytes([6 + (raw_sm2(ciphertext)[64] & 1)]) + raw_sm2(ciphertext)[1:],
    'raw, point at the origin': lambda ciphertext: with_point(ciphertext, bytes(64)),
    'raw, point of another curve': lambda ciphertext: with_point(ciphertext, key_of('EC_P256').point[1:]),
    'raw, coordinates over the field': lambda ciphertext: with_point(ciphertext, b'\xff' * 64),
    'zeros': lambda ciphertext: bytes(len(ciphertext)), 'random bytes': lambda ciphertext: os.urandom(len(ciphertext)),
}


def test_vendors_64_wrong_sm2_ciphertexts(kms):
    message = refuse_each(kms, 'EC_SM2', 'SM2PKE', {what: sm2_makers(change) for what, change in WRONG_SM2.items()})
    assert 'SM2PKE' in message


def test_vendors_64_order_c1c2c3_in_every_form(kms):
    key = key_of('EC_SM2')

    def separate(parameters):
        temporary = os.urandom(16)
        return Wrapped(raw_sm2(to_wrapping_key(parameters, temporary), 'C1C2C3'), key_wrap_pad(temporary, key.data))

    def ecb(parameters):
        temporary = os.urandom(16)
        return Wrapped(raw_sm2(to_wrapping_key(parameters, temporary), 'C1C2C3') + Blocks(temporary)(key.scalar))

    refuse_each(kms, 'EC_SM2', 'SM2PKE', {'C1C2C3': separate})
    refuse_each(kms, 'EC_SM2', ECB_SM4, {'C1C2C3': ecb})


@pytest.mark.parametrize('form', ['separate', 'separate, raw'])
def test_vendors_64_sm2_with_an_sm4_temporary_key(kms, form):
    """As seed 001's environment has it, and not with an AES key in its place."""
    import_key(kms, key_of('EC_SM2'), 'SM2PKE', 'EC_SM2', form)
    refuse_each(kms, 'EC_SM2', 'SM2PKE', {
        'AES-256': by_hand(os.urandom(32), lambda key: key_wrap_pad(key, key_of('EC_SM2').data), True)})
    refuse_each(kms, 'EC_P256', 'SM2PKE', {
        'SM4': by_hand(os.urandom(16), lambda key: key_wrap_pad(key, key_of('EC_P256').data), True)})


# What is refused by its form, and not counted

def refuse_uncounted(kms, spec, algorithm, sends, error='InvalidParameter'):
    """More often than wrong material may be sent, and then the pair is still there."""
    cmk = kms.external_key(KeySpec=spec)
    parameters = parameters_for(kms, cmk, algorithm)
    messages = []
    for make in sends * -(-(BUDGET + 1) // len(sends)):
        with refused(error) as refusal:
            send(kms, parameters, make(parameters))
        messages.append(refusal.message)
    key = key_of(spec)
    assert send(kms, parameters, wrapped(parameters, forms_of(algorithm, spec)[-1], key))['KeyState'] == 'Enabled'
    return messages


@pytest.mark.parametrize('spec, algorithm', [
    *(('RSA_2048', algorithm) for algorithm in PLAIN), *((spec, 'RSAES_PKCS1_V1_5') for spec in ('EC_P256', 'EC_SM2')),
])
def test_vendors_56_encrypted_private_key_is_missing(kms, spec, algorithm):
    for message in refuse_uncounted(kms, spec, algorithm, [
            lambda parameters: Wrapped(to_wrapping_key(parameters, os.urandom(32)))]):
        assert 'EncryptedPrivateKey' in message


@pytest.mark.parametrize('spec, algorithm', [
    ('EC_SM2', ECB_SM4),
    *((spec, algorithm) for spec in ('RSA_2048', 'EC_P256') for algorithm in [*KEY_WRAPS, ECB_AES]),
])
def test_encrypted_private_key_where_the_form_has_none(kms, spec, algorithm):
    def make(parameters):
        return Wrapped(*wrapped(parameters, forms_of(algorithm, spec)[0], key_of(spec))[:1], bytes(152))

    for message in refuse_uncounted(kms, spec, algorithm, [make]):
        assert 'EncryptedPrivateKey' in message


@pytest.mark.parametrize('spec', ['AES_256', 'SM4', 'HMAC_256', 'HMAC_512'])
@pytest.mark.parametrize('algorithm', [OAEP, 'SM2PKE', KEY_WRAP])
def test_encrypted_private_key_for_a_key_that_has_none(kms, spec, algorithm):
    form = forms_of(algorithm, spec)[0]
    refuse_uncounted(kms, spec, algorithm, [
        lambda parameters: Wrapped(*wrapped(parameters, form, key_of(spec))[:1], bytes(152))], 'UnsupportedOperation')


def test_encrypted_private_key_of_no_length(kms):
    def sized(size):
        return lambda parameters: Wrapped(to_wrapping_key(parameters, os.urandom(32)), os.urandom(size))

    for message in refuse_uncounted(kms, 'RSA_2048', OAEP, [sized(size) for size in (0, 1, 8, 4609, 6144, 60_000)]):
        assert 'EncryptedPrivateKey' in message
    cmk = kms.external_key(KeySpec='RSA_2048')
    parameters = kms.parameters(cmk, OAEP)
    for text in ('*' * 300, 'AAA', 'AA=\n', b64(bytes(152)) + '\n'):
        with refused('InvalidParameter') as refusal:
            kms.ImportKeyMaterial(cmk, b64(bytes(256)), parameters['ImportToken'], EncryptedPrivateKey=text)
        assert 'EncryptedPrivateKey' in refusal.message


@pytest.mark.parametrize('spec, algorithm, sizes', [
    ('RSA_2048', OAEP, [0, 255, 257]), ('RSA_2048', KEY_WRAP, [0, 1, 255, 256, 264]), ('RSA_2048', ECB_AES, [255, 256]),
    ('RSA_2048', 'SM2PKE', [0, 1, 97]), ('EC_SM2', ECB_SM4, [0, 1, 97, 112, 144]), ('AES_256', KEY_WRAP, [256, 264]),
    ('AES_256', 'SM2PKE', [0, 1, 97]),
])
def test_encrypted_key_material_of_no_length(kms, spec, algorithm, sizes):
    def sized(size):
        separate = 'separate' in forms_of(algorithm, spec) and spec == 'RSA_2048'
        return lambda parameters: Wrapped(os.urandom(size), bytes(1224) if separate else None)

    refuse_uncounted(kms, spec, algorithm, [sized(size) for size in sizes])


@pytest.mark.parametrize('spec', ['AES_256', 'SM4', 'HMAC_256'])
def test_alibabas_forms_carry_private_keys_only(kms, spec):
    cmk = kms.external_key(KeySpec=spec)
    for algorithm in (ECB_AES, ECB_SM4):
        with refused('UnsupportedOperation'):
            parameters_for(kms, cmk, algorithm)


@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_P256', 'EC_P384', 'EC_P256K'])
def test_a_bare_scalar_is_an_sm2_key(kms, spec):
    with refused('UnsupportedOperation'):
        parameters_for(kms, kms.external_key(KeySpec=spec), ECB_SM4)


# The same key, and another

def encodings(spec):
    key = key_of(spec)
    if spec.startswith('RSA'):
        return {'primes swapped': swapped_primes(key), 'another private exponent': other_exponent(key)}
    return {'without public part': ec_pkcs8(key),
            'with the curve inside': ec_pkcs8(key, point=key.point, inner_curve=True),
            'compressed point': ec_pkcs8(key, point=compressed(key.point))}


@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_P256', 'EC_P384', 'EC_P256K', 'EC_SM2'])
@pytest.mark.parametrize('gone', ['no', 'deleted', 'restarted'])
def test_vendors_61_ws_08_the_same_key_in_other_words(machine, kms, spec, gone):
    key, algorithm = key_of(spec), SIGNING[spec][0]
    cmk = import_key(kms, key)
    if gone == 'restarted':
        machine.restart()
    for data in [*encodings(spec).values(), key.data]:
        if gone == 'deleted':
            kms.DeleteKeyMaterial(cmk)
        parameters = kms.parameters(cmk, KEY_WRAP)
        assert send(kms, parameters, wrapped(parameters, 'key wrap', key, data))['KeyState'] == 'Enabled'
        assert unb64(kms.GetPublicKey(cmk)['PublicKey']) == key.public
        assert key.verify(algorithm, MESSAGE, unb64(kms.Sign(cmk, b64(MESSAGE), algorithm)['Signature']))


@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_P256', 'EC_SM2'])
def test_vendors_61_first_import_in_other_words(kms, spec):
    key, algorithm = key_of(spec), SIGNING[spec][0]
    for data in encodings(spec).values():
        cmk = kms.external_key(KeySpec=spec)
        parameters = kms.parameters(cmk, KEY_WRAP)
        send(kms, parameters, wrapped(parameters, 'key wrap', key, data))
        assert unb64(kms.GetPublicKey(cmk)['PublicKey']) == key.public
        assert key.verify(algorithm, MESSAGE, unb64(kms.Sign(cmk, b64(MESSAGE), algorithm)['Signature']))
        import_good(kms, cmk)


@pytest.mark.parametrize('spec, algorithm', [
    ('RSA_2048', OAEP), ('RSA_2048', ECB_AES), ('EC_P256', KEY_WRAP), ('EC_SM2', ECB_SM4), ('EC_SM2', 'SM2PKE'),
    ('HMAC_384', KEY_WRAP),
])
@pytest.mark.parametrize('gone', ['no', 'deleted', 'expired'])
def test_vendors_43_to_45_ws_06_another_key(machine, kms, spec, algorithm, gone):
    """Refused, and counted like any other failure."""
    first, other = key_of(spec), key_of(spec, 1)
    cmk = kms.external_key(KeySpec=spec)
    parameters = parameters_for(kms, cmk, algorithm)
    form = forms_of(algorithm, spec)[0]
    expires = machine.now() + 1000
    send(kms, parameters, wrapped(parameters, form, first), KeyMaterialExpireUnix=expires)
    if gone == 'deleted':
        kms.DeleteKeyMaterial(cmk)
    if gone == 'expired':
        machine.pass_time(1001)
        assert kms.state(cmk) == 'PendingImport'
    before = kms.describe(cmk)
    for _ in range(BUDGET):
        with refused('MaterialMismatch'):
            send(kms, parameters, wrapped(parameters, form, other))
    with refused('InvalidImportToken'):
        send(kms, parameters, wrapped(parameters, form, first))
    assert kms.describe(cmk) == before
    import_good(kms, cmk, algorithm, first)


# Lifetime

def uses(kms, cmk, spec):
    algorithm = SIGNING[spec][0]
    return [lambda: kms.Sign(cmk, b64(MESSAGE), algorithm), lambda: kms.GetPublicKey(cmk),
            lambda: kms.Verify(cmk, b64(MESSAGE), b64(key_of(spec).sign(algorithm, MESSAGE)), algorithm)]


@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_P384', 'EC_SM2'])
def test_vendors_63_deleted_material(kms, spec):
    """The public key goes with it, and comes back with it."""
    key = key_of(spec)
    cmk = import_key(kms, key)
    for _ in range(2):
        for use in uses(kms, cmk, spec):
            use()
        assert kms.DeleteKeyMaterial(cmk)['KeyState'] == 'PendingImport'
        for use in uses(kms, cmk, spec):
            with refused('KeyPendingImport'):
                use()
        import_good(kms, cmk)
    assert unb64(kms.GetPublicKey(cmk)['PublicKey']) == key.public


@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_P256'])
@pytest.mark.parametrize('restart', [False, True])
def test_vendors_62_and_65_to_67_material_that_expires(machine, kms, spec, restart):
    cmk = kms.external_key(KeySpec=spec)
    parameters = kms.parameters(cmk, KEY_WRAP)
    expires = machine.now() + 1000
    answer = send(kms, parameters, wrapped(parameters, 'key wrap', key_of(spec)), KeyMaterialExpireUnix=expires)
    assert answer['MaterialExpireTime'] == kms.describe(cmk)['MaterialExpireTime'] == expires
    try:
        machine.stop_clock(expires - 1)
        for use in uses(kms, cmk, spec):
            use()
        machine.stop_clock(expires)
        if restart:
            machine.restart()
        for use in uses(kms, cmk, spec):
            with refused('KeyPendingImport'):
                use()
        assert kms.state(cmk) == 'PendingImport'
        send(kms, parameters, wrapped(parameters, 'key wrap', key_of(spec)))
        for use in uses(kms, cmk, spec):
            use()
    finally:
        machine.start_clock()


# Seed 001

@pytest.mark.parametrize('spec', ['RSA_2048', 'RSA_3072', 'RSA_4096', 'EC_P256', 'EC_P384'])
def test_vendors_55_bodies_of_seed_001(kms, spec):
    """Its regular expressions for the three fields: {344,360}, {200,6144} and {200,6144}."""
    key = key_of(spec)
    parameters = kms.parameters(kms.external_key(KeySpec=spec), OAEP)
    sent = wrapped(parameters, 'separate', key)
    assert 344 <= len(b64(sent.encrypted_key_material)) <= 360
    assert 200 <= len(b64(sent.encrypted_private_key)) <= 6144
    assert 200 <= len(parameters['ImportToken']) <= 6144
    send(kms, parameters, sent)
    algorithm = SIGNING[spec][0]
    signature = unb64(kms.Sign(parameters['KeyId'], b64(MESSAGE), algorithm)['Signature'])
    assert key.verify(algorithm, MESSAGE, signature)

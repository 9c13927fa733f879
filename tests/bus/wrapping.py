# SPDX-License-Identifier: Apache-2.0
"""Wrapping as importers do it, in every form of the contract, and without any code of cmkd.

What is encrypted to the wrapping key is encrypted by stock openssl. The temporary key is used by the AES and SM4 of its
library, one block at a time; RFC 5649 and RFC 3394 around that are written down here, for `openssl enc` refuses the
wrap ciphers."""
import ctypes
import os
from typing import NamedTuple, Optional

from client import PADDINGS, b64, unb64, wrap
from der import inside

RSA_SPECS = ['RSA_2048', 'RSA_3072', 'RSA_4096']
EC_SPECS = ['EC_P256', 'EC_P384', 'EC_P256K', 'EC_SM2']
ASYMMETRIC_SPECS = RSA_SPECS + EC_SPECS
PLAIN = [name for name in PADDINGS if name != 'none']
KEY_WRAPS = ['RSA_AES_KEY_WRAP_SHA_1', 'RSA_AES_KEY_WRAP_SHA_256']
ECB_AES, ECB_SM4 = 'RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD', 'SM2PKE_SM4_ECB'
ALGORITHMS = [*PLAIN, 'SM2PKE', *KEY_WRAPS, ECB_AES, ECB_SM4]

# What is done with the wrapping key itself.
ENCRYPTION = {**{name: name for name in PLAIN}, 'SM2PKE': 'SM2PKE', ECB_SM4: 'SM2PKE', ECB_AES: 'RSAES_OAEP_SHA_256',
              **{name: name.replace('RSA_AES_KEY_WRAP', 'RSAES_OAEP') for name in KEY_WRAPS}}


def wrapping_specs(algorithm):
    if ENCRYPTION[algorithm] == 'SM2PKE':
        return ['EC_SM2']
    return ['RSA_2048'] if algorithm == ECB_AES else RSA_SPECS


def forms_of(algorithm, spec):
    """The ways to wrap a key of @spec by @algorithm, as the table of the contract has them."""
    if algorithm in KEY_WRAPS:
        return ['key wrap']
    if algorithm == ECB_AES:
        return ['ECB'] if spec in ASYMMETRIC_SPECS else []
    if algorithm == ECB_SM4:
        return ['ECB', 'ECB, raw'] if spec == 'EC_SM2' else []
    if spec not in ASYMMETRIC_SPECS:
        forms = ['direct']
    elif algorithm == 'SM2PKE' or (spec in EC_SPECS and algorithm != 'RSAES_PKCS1_V1_5'):
        forms = ['direct', 'separate']
    else:
        forms = ['separate']
    return forms + [f'{form}, raw' for form in forms] if algorithm == 'SM2PKE' else forms


# Block ciphers

libcrypto = ctypes.CDLL('libcrypto.so.3')
for name in ('EVP_CIPHER_CTX_new', 'EVP_aes_256_ecb', 'EVP_aes_192_ecb', 'EVP_sm4_ecb'):
    getattr(libcrypto, name).restype = ctypes.c_void_p
CIPHERS = {32: libcrypto.EVP_aes_256_ecb, 24: libcrypto.EVP_aes_192_ecb, 16: libcrypto.EVP_sm4_ecb}


class Blocks:
    """ECB without padding: AES-256, or SM4 where @key has 16 bytes."""

    def __init__(self, key):
        self.context = ctypes.c_void_p(libcrypto.EVP_CIPHER_CTX_new())
        cipher = ctypes.c_void_p(CIPHERS[len(key)]())
        assert libcrypto.EVP_EncryptInit_ex(self.context, cipher, None, key, None) == 1
        libcrypto.EVP_CIPHER_CTX_set_padding(self.context, 0)

    def __del__(self):
        libcrypto.EVP_CIPHER_CTX_free(self.context)

    def __call__(self, data):
        output, size = ctypes.create_string_buffer(len(data)), ctypes.c_int()
        assert libcrypto.EVP_EncryptUpdate(self.context, output, ctypes.byref(size), data, len(data)) == 1
        assert size.value == len(data)
        return output.raw


def pkcs7(data):
    missing = 16 - len(data) % 16
    return data + bytes([missing]) * missing


# Key wrap

RFC_3394_IV, RFC_5649_IV = bytes.fromhex('a6' * 8), bytes.fromhex('a65959a6')


def key_wrap(key, data, iv):
    """RFC 3394, 2.2.1; @data are two or more blocks of 8 bytes."""
    encrypt = Blocks(key)
    check, registers = iv, [data[place:place + 8] for place in range(0, len(data), 8)]
    for step in range(6 * len(registers)):
        place = step % len(registers)
        block = encrypt(check + registers[place])
        check = (int.from_bytes(block[:8], 'big') ^ step + 1).to_bytes(8, 'big')
        registers[place] = block[8:]
    return check + b''.join(registers)


def key_wrap_3394(key, data):
    return key_wrap(key, data, RFC_3394_IV)


def key_wrap_pad(key, data, iv=RFC_5649_IV, size=None, filler=b'\0'):
    """RFC 5649, 4.1. @iv, @size (the length indicator) and @filler are what only a mistaken importer changes."""
    iv += (len(data) if size is None else size).to_bytes(4, 'big')
    padded = data + filler * (-len(data) % 8)
    return Blocks(key)(iv + padded) if len(padded) == 8 else key_wrap(key, padded, iv)


# The wrapping key

def raw_sm2(ciphertext, order='C1C3C2'):
    """GM/T 0009's SEQUENCE { X, Y, C3, C2 } as 04 || X || Y || C3 || C2."""
    (_, x), (_, y), (_, digest), (_, message) = inside(ciphertext)
    point = b'\4' + b''.join(int.from_bytes(number, 'big').to_bytes(32, 'big') for number in (x, y))
    return point + (digest + message if order == 'C1C3C2' else message + digest)


def to_wrapping_key(parameters, data, raw=False):
    """@data encrypted as @parameters ask for; @raw: an SM2 ciphertext as C1C3C2."""
    algorithm = ENCRYPTION[parameters['WrappingAlgorithm']]
    ciphertext = unb64(wrap([] if algorithm == 'SM2PKE' else algorithm, parameters['PublicKey'], data))
    return raw_sm2(ciphertext) if raw else ciphertext


class Wrapped(NamedTuple):
    """What is sent."""
    encrypted_key_material: bytes
    encrypted_private_key: Optional[bytes] = None


def new_temporary_key(algorithm, form, spec):
    return os.urandom(16 if algorithm == ECB_SM4 or (form == 'separate' and spec == 'EC_SM2') else 32)


def wrapped(parameters, form, key, data=None, temporary=None):
    """@key, or @data in its place, in one of the forms_of() the algorithm."""
    form, _, encoding = form.partition(', ')
    raw, data = encoding == 'raw', key.data if data is None else data
    if form == 'direct':
        return Wrapped(to_wrapping_key(parameters, data, raw))
    algorithm = parameters['WrappingAlgorithm']
    temporary = temporary or new_temporary_key(algorithm, form, key.spec)
    head = to_wrapping_key(parameters, temporary, raw)
    if form == 'ECB':
        tail = Blocks(temporary)(key.scalar if algorithm == ECB_SM4 else pkcs7(data))
    else:
        tail = key_wrap_pad(temporary, data)
    return Wrapped(head, tail) if form == 'separate' else Wrapped(head + tail)


def send(kms, parameters, sent, **options):
    """Import @sent, a Wrapped."""
    if sent.encrypted_private_key is not None:
        options['EncryptedPrivateKey'] = b64(sent.encrypted_private_key)
    return kms.ImportKeyMaterial(parameters['KeyId'], b64(sent.encrypted_key_material), parameters['ImportToken'],
                                 **options)


def import_key(kms, key, algorithm='RSA_AES_KEY_WRAP_SHA_256', spec='RSA_2048', form='key wrap', **options):
    """The id of a new EXTERNAL CMK that holds @key."""
    parameters = kms.parameters(kms.external_key(KeySpec=key.spec, **options), algorithm, spec)
    send(kms, parameters, wrapped(parameters, form, key))
    return parameters['KeyId']

# SPDX-License-Identifier: Apache-2.0
"""Keys that stock openssl made, in the encodings that people have them in, and what stock openssl does with them."""
import functools
import hashlib
import math
import os
import subprocess
import tempfile
from pathlib import Path

from client import openssl
from der import OCTET_STRING, inside, integer, integers, octets, oid, sequence, tlv

MATERIAL_BYTES = {'AES_256': 32, 'SM4': 16, 'HMAC_256': 32, 'HMAC_384': 48, 'HMAC_512': 64}
CURVES = {'EC_P256': 'P-256', 'EC_P384': 'P-384', 'EC_P256K': 'secp256k1', 'EC_SM2': 'SM2'}
CURVE_OIDS = {'EC_P256': '1.2.840.10045.3.1.7', 'EC_P384': '1.3.132.0.34', 'EC_P256K': '1.3.132.0.10',
              'EC_SM2': '1.2.156.10197.1.301'}
RSA_ENCRYPTION, EC_PUBLIC_KEY = '1.2.840.113549.1.1.1', '1.2.840.10045.2.1'
SM2_ID = b'1234567812345678'
# a, b and the base point of SM2's recommended curve (GM/T 0003.5), all of which its digest takes in.
SM2_CURVE = bytes.fromhex(
    'FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC'
    '28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93'
    '32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7'
    'BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0')

# Those of each spec; the first is the one that tests take which need just one.
SIGNING = {
    **dict.fromkeys(['RSA_2048', 'RSA_3072', 'RSA_4096'], [
        f'RSA_{padding}_SHA_{bits}' for padding in ('PSS', 'PKCS1') for bits in (256, 384, 512)]),
    'EC_P256': ['ECDSA_SHA_256'], 'EC_P384': ['ECDSA_SHA_384'], 'EC_P256K': ['ECDSA_SHA_256'], 'EC_SM2': ['SM2DSA'],
}
ENCRYPTION = {**dict.fromkeys(['RSA_2048', 'RSA_3072', 'RSA_4096'], ['RSAES_OAEP_SHA_256', 'RSAES_OAEP_SHA_1']),
              'EC_SM2': ['SM2PKE']}
MAC = {f'HMAC_{bits}': f'HMAC_SHA_{bits}' for bits in (256, 384, 512)}

directory = tempfile.TemporaryDirectory(prefix='keys-', dir='/tmp')  # goes with this process


def file_of(data):
    """@data in a file, for the options of openssl that take nothing else."""
    path = Path(directory.name) / hashlib.sha256(data).hexdigest()
    if not path.exists():
        path.write_bytes(data)
    return path


def hash_name(algorithm):
    return 'sm3' if algorithm.startswith('SM2') else 'sha' + algorithm.rpartition('_')[2]


class SecretKey:
    """Of a symmetric or HMAC spec."""

    def __init__(self, spec):
        self.spec, self.data = spec, os.urandom(MATERIAL_BYTES[spec])

    def mac(self, message):
        """The HMAC that the spec goes with."""
        name = 'sha' + self.spec.rpartition('_')[2]
        return openssl('mac', '-binary', '-digest', name, '-macopt', f'hexkey:{self.data.hex()}', 'HMAC', stdin=message)


class PublicKey:
    """What can be done with a DER SubjectPublicKeyInfo."""

    def __init__(self, spec, der):
        self.spec, self.public = spec, der

    @property
    def public_file(self):
        return file_of(self.public)

    def digest(self, algorithm, message):
        """What is signed of @message."""
        if algorithm != 'SM2DSA':
            return hashlib.new(hash_name(algorithm), message).digest()
        point = self.public[-64:]
        identity = (8 * len(SM2_ID)).to_bytes(2, 'big') + SM2_ID
        return hashlib.new('sm3', hashlib.new('sm3', identity + SM2_CURVE + point).digest() + message).digest()

    def verify(self, algorithm, message, signature):
        done = subprocess.run(
            ['openssl', 'dgst', f'-{hash_name(algorithm)}', '-verify', self.public_file, '-keyform', 'DER',
             '-signature', file_of(signature), *signature_options(algorithm)], input=message, capture_output=True)
        return done.returncode == 0

    def encrypt(self, algorithm, plaintext):
        return openssl('pkeyutl', '-encrypt', '-pubin', '-keyform', 'DER', '-inkey', self.public_file,
                       *encryption_options(algorithm), stdin=plaintext)


def signature_options(algorithm):
    if algorithm.startswith('RSA_PSS'):
        return ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:digest',
                '-sigopt', f'rsa_mgf1_md:{hash_name(algorithm)}']
    return ['-sigopt', f'distid:{SM2_ID.decode()}'] if algorithm == 'SM2DSA' else []


def encryption_options(algorithm):
    if algorithm == 'SM2PKE':
        return []
    name = hash_name(algorithm)
    return ['-pkeyopt', 'rsa_padding_mode:oaep', '-pkeyopt', f'rsa_oaep_md:{name}', '-pkeyopt', f'rsa_mgf1_md:{name}']


class PrivateKey(PublicKey):
    """An asymmetric key; .data is its PKCS#8 DER as openssl writes it."""

    def __init__(self, spec, options=()):
        made = openssl('genpkey', '-outform', 'DER', *key_options(spec), *options)
        self.data = openssl('pkcs8', '-topk8', '-nocrypt', '-inform', 'DER', '-outform', 'DER', stdin=made)
        super().__init__(spec, openssl('pkey', '-inform', 'DER', '-pubout', '-outform', 'DER', stdin=made))

    @property
    def private_file(self):
        return file_of(self.data)

    @property
    def inner(self):
        """RSAPrivateKey (PKCS#1) or ECPrivateKey (SEC1)."""
        return inside(self.data)[2][1]

    def sign(self, algorithm, message):
        return openssl('dgst', f'-{hash_name(algorithm)}', '-sign', self.private_file, '-keyform', 'DER',
                       *signature_options(algorithm), stdin=message)

    def decrypt(self, algorithm, ciphertext):
        return openssl('pkeyutl', '-decrypt', '-keyform', 'DER', '-inkey', self.private_file,
                       *encryption_options(algorithm), stdin=ciphertext)

    # Of RSA

    @property
    def numbers(self):
        """n, e, d, p, q, d mod p-1, d mod q-1, 1/q mod p"""
        return integers(self.inner)[1:]

    # Of EC

    @property
    def scalar(self):
        return next(content for tag, content in inside(self.inner) if tag == OCTET_STRING)

    @property
    def point(self):
        """Uncompressed."""
        return self.public[-2 * len(self.scalar) - 1:]


def key_options(spec):
    if spec.startswith('RSA'):
        return ['-algorithm', 'RSA', '-pkeyopt', f'rsa_keygen_bits:{spec[4:]}']
    return ['-algorithm', 'EC', '-pkeyopt', f'ec_paramgen_curve:{CURVES[spec]}']


@functools.cache
def key_of(spec, number=0):
    """The key of a spec, made once per process; @number for more than one."""
    return SecretKey(spec) if spec in MATERIAL_BYTES else PrivateKey(spec)


# Other encodings of the same key, and of none

def pkcs8(algorithm, private_key, parameters=tlv(5), version=0):
    return sequence(integer(version), sequence(oid(algorithm), parameters), octets(private_key))


def rsa_pkcs8(n, e, d, p, q):
    """With the rest worked out from these."""
    return pkcs8(RSA_ENCRYPTION, sequence(*map(integer, (
        0, n, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)))))


def swapped_primes(key):
    n, e, d, p, q = key.numbers[:5]
    return rsa_pkcs8(n, e, d, q, p)


def other_exponent(key):
    """RFC 8017 takes any d that inverts e modulo lambda (n); some programs write it modulo phi (n)."""
    n, e, d, p, q = key.numbers[:5]
    period = math.lcm(p - 1, q - 1)
    return rsa_pkcs8(n, e, d + period if d < period else d - period, p, q)


def ec_pkcs8(key, scalar=None, point=None, curve=None, inner_curve=False):
    """@point: the public part, if any."""
    curve = oid(CURVE_OIDS[curve or key.spec])
    return pkcs8(EC_PUBLIC_KEY, sequence(
        integer(1), octets(key.scalar if scalar is None else scalar), tlv(0xa0, curve) if inner_curve else b'',
        tlv(0xa1, tlv(3, b'\0', point)) if point is not None else b''), curve)


def compressed(point):
    size = len(point) // 2
    return bytes([2 + (point[-1] & 1)]) + point[1:size + 1]

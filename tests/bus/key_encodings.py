# SPDX-License-Identifier: Apache-2.0
"""The same key or ciphertext as other programs write it."""
from client import openssl
from der import integer, octets, sequence
from wrapping import RSA_SPECS


def traditional(key, form, *options):
    """A private key as PKCS#1 or SEC1, PEM or DER."""
    return openssl('rsa' if key.spec in RSA_SPECS else 'ec', '-inform', 'DER', '-outform', form,
                   *(['-traditional'] if key.spec in RSA_SPECS else []), *options, stdin=key.data)


def asn1_sm2(raw):
    """04 || X || Y || C3 || C2 as GM/T 0009's SEQUENCE { X, Y, C3, C2 }."""
    assert raw[0] == 4
    x, y = (int.from_bytes(raw[start:start + 32], 'big') for start in (1, 33))
    return sequence(integer(x), integer(y), octets(raw[65:97]), octets(raw[97:]))

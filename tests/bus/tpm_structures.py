# SPDX-License-Identifier: Apache-2.0
"""The structures of an attested wrapping key as an attacker without a TPM writes them (TPM 2.0 part 2), so that each can
be wrong in one thing only; and the right ones, under an attestation key that is just a file."""
import hashlib
import tempfile

from client import b64, modulus, openssl

NAME_ALGORITHM = b'\0\x0b'
BORN_IN_TPM = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10
DECRYPT, RESTRICTED, SIGN = 1 << 17, 1 << 16, 1 << 18


def sized(data):
    return len(data).to_bytes(2, 'big') + data


def name_of(area):
    return NAME_ALGORITHM + hashlib.sha256(area).digest()


def rsa_area(number, attributes=BORN_IN_TPM | DECRYPT, kind=b'\0\1', policy=b'', parameters=b'\0\x10\0\x10',
             exponent=0):
    size = number.bit_length() // 8
    return (kind + NAME_ALGORITHM + attributes.to_bytes(4, 'big') + sized(policy) + parameters
            + (8 * size).to_bytes(2, 'big') + exponent.to_bytes(4, 'big') + sized(number.to_bytes(size, 'big')))


def ecc_area(point, attributes=BORN_IN_TPM | RESTRICTED | SIGN, parameters=bytes.fromhex('00100018000b00030010'),
             policy=b''):
    return (b'\0\x23' + NAME_ALGORITHM + attributes.to_bytes(4, 'big') + sized(policy) + parameters
            + sized(point[:32]) + sized(point[32:]))


def creation_data(nonce, parent, pcrs=b'\0\0\0\0', parent_hash=NAME_ALGORITHM):
    pcr_digest = hashlib.sha256(b'').digest()
    return pcrs + sized(pcr_digest) + b'\1' + parent_hash + sized(parent) + sized(parent) + sized(nonce)


def statement(nonce, signer, name, creation_hash, magic=b'\xffTCG', kind=b'\x80\x1a'):
    return magic + kind + sized(signer) + sized(nonce) + bytes(17) + bytes(8) + sized(name) + sized(creation_hash)


class Forger:
    """Has keys of its own making, and says what it likes of them."""

    def __init__(self):
        self.signer = openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256')
        self.signer_der = openssl('pkey', '-pubout', '-outform', 'DER', stdin=self.signer)
        key = openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048')
        self.key_der = openssl('pkey', '-pubout', '-outform', 'DER', stdin=key)
        self.parent = name_of(b'a storage root key')

    def sign(self, data):
        with tempfile.NamedTemporaryFile(dir='/tmp') as key:
            key.write(self.signer)
            key.flush()
            return openssl('dgst', '-sha256', '-sign', key.name, stdin=data)

    def answer(self, nonce, *, key=None, area=None, signer_area=None, creation=None, attest=None, **changes):
        """All is as it should be, but what is given: attest={'magic': ...} changes that part of the statement, and what
        depends on it follows."""
        key = key or self.key_der
        area = rsa_area(modulus(b64(key)), **(area or {}))
        signer_area = ecc_area(self.signer_der[-64:], **(signer_area or {}))
        creation = creation_data(**{'nonce': nonce, 'parent': self.parent, **(creation or {})})
        attest = statement(**{'nonce': nonce, 'signer': name_of(self.parent + name_of(signer_area)),
                              'name': name_of(area), 'creation_hash': hashlib.sha256(creation).digest(),
                              **(attest or {})})
        parts = {'PublicKey': key, 'WrappingKeyPublicArea': area, 'CreationData': creation, 'AttestationData': attest,
                 'AttestationKey': self.signer_der, 'AttestationKeyPublicArea': signer_area, **changes}
        parts.setdefault('AttestationSignature', self.sign(parts['AttestationData']))
        return {name: b64(data) for name, data in parts.items()}

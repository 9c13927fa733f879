# SPDX-License-Identifier: Apache-2.0
"""Every key spec by every wrapping form that carries it: a key that stock openssl made is imported, and then each of
the two understands what the other did with it. The matrix is printed at the end."""
import itertools
import os
import subprocess

import pytest

from blob import seal_blob
from client import SOURCE_ROOT, b64, unb64
from harness import new_machine
from openssl_keys import ENCRYPTION, MAC, SIGNING, file_of, key_of
from wrapping import ALGORITHMS, KEY_WRAPS, Wrapped, forms_of, send, wrapped, wrapping_specs

SYMMETRIC, HMAC, RSA = ['AES_256', 'SM4'], ['HMAC_256', 'HMAC_384', 'HMAC_512'], ['RSA_2048', 'RSA_3072', 'RSA_4096']
SPECS = [*SYMMETRIC, *HMAC, *RSA, 'EC_P256', 'EC_P384', 'EC_P256K', 'EC_SM2']
MESSAGE = b'what is signed, encrypted or authenticated'

# A pair takes long to make, and the larger ones are no other way to wrap: each form is tried with each of them, but
# only with the key specs here.
WITH_LARGE_PAIRS = {'RSAES_PKCS1_V1_5': ['HMAC_512', 'EC_P256'], 'RSAES_OAEP_SHA_1': ['EC_P384'],
                    'RSAES_OAEP_SHA_256': ['EC_P256K'], **dict.fromkeys(KEY_WRAPS, ['RSA_4096'])}

CASES = [(spec, algorithm, wrapping_spec) for algorithm in ALGORITHMS for wrapping_spec in wrapping_specs(algorithm)
         for spec in SPECS if forms_of(algorithm, spec)
         and (wrapping_spec not in ('RSA_3072', 'RSA_4096') or spec in WITH_LARGE_PAIRS[algorithm])]

HASHES = dict(zip(KEY_WRAPS, ['sha1', 'sha256']))

shown = {}  # (spec, algorithm, form): wrapping key specs


@pytest.fixture(scope='module')
def machine():
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 8, 'ReadyRsa3072': 1, 'ReadyRsa4096': 1}}) as machine:
        yield machine


def use_symmetric(kms, cmk, key):
    blob = kms.Encrypt(cmk, b64(MESSAGE))['CiphertextBlob']
    opened = subprocess.run([SOURCE_ROOT / 'scripts' / 'open-blob', file_of(key.data)], input=blob.encode(), check=True,
                            capture_output=True)
    assert opened.stdout == MESSAGE
    assert unb64(kms.Decrypt(seal_blob(key.spec, cmk, key.data, MESSAGE))['Plaintext']) == MESSAGE


def use_mac(kms, cmk, key):
    assert unb64(kms.GenerateMac(cmk, b64(MESSAGE), MAC[key.spec])['Mac']) == key.mac(MESSAGE)
    assert kms.VerifyMac(cmk, b64(MESSAGE), b64(key.mac(MESSAGE)), MAC[key.spec])['MacValid']
    assert not kms.VerifyMac(cmk, b64(MESSAGE), b64(key.mac(MESSAGE + b'.')), MAC[key.spec])['MacValid']


def use_signature(kms, cmk, key):
    algorithm = SIGNING[key.spec][0]
    assert key.verify(algorithm, MESSAGE, unb64(kms.Sign(cmk, b64(MESSAGE), algorithm)['Signature']))
    signature = b64(key.sign(algorithm, MESSAGE))
    assert kms.Verify(cmk, b64(MESSAGE), signature, algorithm)['SignatureValid']
    assert not kms.Verify(cmk, b64(MESSAGE + b'.'), signature, algorithm)['SignatureValid']


def use_encryption(kms, cmk, key):
    algorithm = ENCRYPTION[key.spec][0]
    decrypted = kms.AsymmetricDecrypt(cmk, b64(key.encrypt(algorithm, MESSAGE)), algorithm)['Plaintext']
    assert unb64(decrypted) == MESSAGE
    assert unb64(kms.GetPublicKey(cmk)['PublicKey']) == key.public


def uses_of(spec, number):
    """The usage of the CMK and what to do with it; keys that can do two things do them in turn."""
    if spec in SYMMETRIC:
        return 'ENCRYPT_DECRYPT', use_symmetric
    if spec in HMAC:
        return 'GENERATE_VERIFY_MAC', use_mac
    if spec in ENCRYPTION and number % 2 == 1:
        return 'ENCRYPT_DECRYPT', use_encryption
    return 'SIGN_VERIFY', use_signature


@pytest.mark.parametrize('spec, algorithm, wrapping_spec', CASES)
def test_vendors_55_every_spec_by_every_form(kms, spec, algorithm, wrapping_spec):
    key, usage, use = key_of(spec), *uses_of(spec, ALGORITHMS.index(algorithm))
    cmk = kms.external_key(KeySpec=spec, KeyUsage=usage)
    parameters = kms.parameters(cmk, algorithm, wrapping_spec)
    for form in forms_of(algorithm, spec):
        assert send(kms, parameters, wrapped(parameters, form, key))['KeyState'] == 'Enabled'
        use(kms, cmk, key)
        kms.DeleteKeyMaterial(cmk)
        shown.setdefault((spec, algorithm, form), []).append(wrapping_spec)


def test_the_matrix_is_whole(capsys):
    """Of the table in the contract: what carries what, by which wrapping keys."""
    columns = [(algorithm, form) for algorithm in ALGORITHMS for form in dict.fromkeys(itertools.chain(
        *(forms_of(algorithm, spec) for spec in SPECS)))]
    lines = []
    for algorithm, form in columns:
        cells = [mark(shown.get((spec, algorithm, form))) for spec in SPECS]
        lines.append(f"# {algorithm + ' ' + form:54}" + ''.join(f'{cell:>9}' for cell in cells))
    with capsys.disabled():
        print(f"# {'wrapping key: 2, 3, 4 RSA_n*1024, S EC_SM2':54}" + ''.join(f'{spec:>9}' for spec in SPECS), *lines,
              sep='\n', flush=True)
    missing = [(spec, algorithm, form) for algorithm, form in columns for spec in SPECS
               if form in forms_of(algorithm, spec) and (spec, algorithm, form) not in shown]
    assert missing == []
    for algorithm, form in columns:
        used = {wrapping_spec for spec in SPECS for wrapping_spec in shown.get((spec, algorithm, form), [])}
        assert used == set(wrapping_specs(algorithm)), f'{algorithm} {form}'


def mark(wrapping_keys):
    return ''.join({'EC_SM2': 'S'}.get(name, name[4:5]) for name in wrapping_keys or '-')


@pytest.mark.parametrize('spec', ['AES_256', 'HMAC_384', 'RSA_3072', 'EC_P384', 'EC_SM2'])
def test_what_another_program_wrapped(kms, spec):
    """CKM_RSA_AES_KEY_WRAP (PKCS #11) by libgcrypt: another RSA, another AES key wrap, another author."""
    key = key_of(spec)
    for algorithm in KEY_WRAPS:
        parameters = kms.parameters(kms.external_key(KeySpec=spec), algorithm)
        blob = subprocess.run([os.environ['CMKD_KEY_WRAP_PEER'], HASHES[algorithm],
                               file_of(unb64(parameters['PublicKey'])), file_of(key.data)], check=True,
                              capture_output=True).stdout
        send(kms, parameters, Wrapped(blob))
        _, use = uses_of(spec, 0)
        use(kms, parameters['KeyId'], key)

# SPDX-License-Identifier: Apache-2.0
"""cmkctl wrap, offline: every form of the contract, undone by stock openssl; every encoding of a private key; refusals."""
import os
import subprocess

import pytest

from client import DEADLINE, PADDINGS, openssl
from cmkctl import CMKCTL, on_terminal, refused, run
from key_encodings import asn1_sm2, traditional
from openssl_keys import MATERIAL_BYTES, file_of, key_of
from wrapping import (ALGORITHMS, ECB_AES, ECB_SM4, ENCRYPTION, KEY_WRAPS, PLAIN, RSA_SPECS, forms_of, key_wrap_pad,
                      wrapping_specs)

PASSPHRASE = 'correct horse'


def undo(key, algorithm, ciphertext):
    """What is under the wrapping key."""
    if ENCRYPTION[algorithm] == 'SM2PKE':
        return key.decrypt('SM2PKE', asn1_sm2(ciphertext))
    options = [word for value in PADDINGS[ENCRYPTION[algorithm]] for word in ('-pkeyopt', value)]
    return openssl('pkeyutl', '-decrypt', '-keyform', 'DER', '-inkey', key.private_file, *options, stdin=ciphertext)


def head_size(key, algorithm):
    """Bytes that the temporary key takes, where something follows it."""
    return 97 + 16 if ENCRYPTION[algorithm] == 'SM2PKE' else int(key.spec[4:]) // 8


def wrap(*arguments, **options):
    done = run('wrap', *arguments, env={}, **options)
    assert (done.returncode, done.stderr) == (0, b'')
    return done.stdout


def material_file(key):
    """DER of a private key, else its bytes."""
    return file_of(key.data)


FORMS = [(algorithm, wrapping_spec, spec, form)
         for algorithm in ALGORITHMS for wrapping_spec in wrapping_specs(algorithm)
         for spec in ['AES_256', 'HMAC_512', 'SM4', 'RSA_2048', 'RSA_4096', 'EC_P256', 'EC_P384', 'EC_P256K', 'EC_SM2']
         for form in forms_of(algorithm, spec)
         if ', raw' not in form and (wrapping_spec in ('RSA_2048', 'EC_SM2') or spec in ('HMAC_512', 'EC_P384'))]


@pytest.mark.parametrize('algorithm, wrapping_spec, spec, form', FORMS)
def test_every_form_is_undone_by_openssl(tmp_path, algorithm, wrapping_spec, spec, form):
    wrapping_key, key = key_of(wrapping_spec, 1), key_of(spec)
    apart = tmp_path / 'private-key'
    wrapped = wrap('--public-key', wrapping_key.public_file, '--algorithm', algorithm, '--in', material_file(key),
                   *(['--private-key-out', apart] if form == 'separate' else []))
    if form == 'direct':
        assert undo(wrapping_key, algorithm, wrapped) == key.data
        return
    size = len(wrapped) if form == 'separate' else head_size(wrapping_key, algorithm)
    temporary = undo(wrapping_key, algorithm, wrapped[:size])
    body = apart.read_bytes() if form == 'separate' else wrapped[size:]
    assert len(temporary) == (16 if algorithm == ECB_SM4 or (form == 'separate' and spec == 'EC_SM2') else 32)
    if algorithm == ECB_AES:
        assert openssl('enc', '-d', '-aes-256-ecb', '-K', temporary.hex(), stdin=body) == key.data
    elif algorithm == ECB_SM4:
        assert openssl('enc', '-d', '-sm4-ecb', '-nopad', '-K', temporary.hex(), stdin=body) == key.scalar
    else:
        assert body == key_wrap_pad(temporary, key.data)


def test_each_wrapping_has_a_temporary_key_of_its_own():
    wrapping_key, key = key_of('RSA_2048', 1), key_of('EC_P256')
    blobs = [wrap('--public-key', wrapping_key.public_file, '--in', material_file(key)) for _ in range(2)]
    assert len({undo(wrapping_key, KEY_WRAPS[1], blob[:256]) for blob in blobs}) == 2


# What is chosen without --algorithm

@pytest.mark.parametrize('wrapping_spec, spec, algorithm', [
    *(('RSA_2048', spec, 'RSAES_OAEP_SHA_256') for spec in MATERIAL_BYTES),
    *(('RSA_2048', spec, 'RSA_AES_KEY_WRAP_SHA_256') for spec in ('RSA_2048', 'EC_P256', 'EC_SM2')),
    *(('EC_SM2', spec, 'SM2PKE') for spec in MATERIAL_BYTES),
    ('EC_SM2', 'EC_SM2', 'SM2PKE_SM4_ECB'),
])
def test_the_algorithm_that_suits(wrapping_spec, spec, algorithm):
    wrapping_key, key = key_of(wrapping_spec, 1), key_of(spec)
    wrapped = wrap('--public-key', wrapping_key.public_file, stdin=key.data)
    if algorithm in (*PLAIN, 'SM2PKE'):
        assert undo(wrapping_key, algorithm, wrapped) == key.data
        return
    size = head_size(wrapping_key, algorithm)
    temporary = undo(wrapping_key, algorithm, wrapped[:size])
    if algorithm == ECB_SM4:
        assert openssl('enc', '-d', '-sm4-ecb', '-nopad', '-K', temporary.hex(), stdin=wrapped[size:]) == key.scalar
    else:
        assert wrapped[size:] == key_wrap_pad(temporary, key.data)


@pytest.mark.parametrize('spec', ['EC_P256', 'RSA_2048'])
def test_other_private_keys_go_under_sm2_in_two(tmp_path, spec):
    wrapping_key, key = key_of('EC_SM2', 1), key_of(spec)
    arguments = ['wrap', '--public-key', wrapping_key.public_file, '--in', material_file(key)]
    assert '--private-key-out' in refused(1, *arguments)
    head = wrap(*arguments[1:], '--private-key-out', tmp_path / 'apart')
    assert (tmp_path / 'apart').read_bytes() == key_wrap_pad(undo(wrapping_key, 'SM2PKE', head), key.data)


def test_a_bare_secret_number_will_do_for_sm2():
    wrapping_key, key = key_of('EC_SM2', 1), key_of('EC_SM2')
    wrapped = wrap('--public-key', wrapping_key.public_file, '--algorithm', ECB_SM4, stdin=key.scalar)
    temporary = undo(wrapping_key, ECB_SM4, wrapped[:113])
    assert openssl('enc', '-d', '-sm4-ecb', '-nopad', '-K', temporary.hex(), stdin=wrapped[113:]) == key.scalar


# Encodings

def with_parameters(key):
    """As `openssl ecparam -genkey` writes it, and text before it as other tools do."""
    name = {'EC_P256': 'prime256v1', 'EC_P384': 'secp384r1', 'EC_P256K': 'secp256k1', 'EC_SM2': 'SM2'}[key.spec]
    return b'Bag Attributes\n  friendlyName: x\n' + openssl('ecparam', '-name', name) + traditional(key, 'PEM')


ENCODINGS = {
    'PKCS#8, PEM': lambda key: openssl('pkey', '-inform', 'DER', stdin=key.data),
    'PKCS#8, DER': lambda key: key.data,
    'PKCS#1 or SEC1, PEM': lambda key: traditional(key, 'PEM'),
    'PKCS#1 or SEC1, DER': lambda key: traditional(key, 'DER'),
}
EC_ENCODINGS = {
    'parameters and text before it': with_parameters,
    'explicit parameters': lambda key: openssl('ec', '-inform', 'DER', '-param_enc', 'explicit', stdin=key.data),
    'explicit parameters, PKCS#8': lambda key: openssl('pkcs8', '-topk8', '-nocrypt', stdin=openssl(
        'ec', '-inform', 'DER', '-param_enc', 'explicit', stdin=key.data)),
}


def unwrapped(blob):
    """Whether @blob, by RSA_AES_KEY_WRAP_SHA_256, is a key."""
    temporary = undo(key_of('RSA_2048', 1), KEY_WRAPS[1], blob[:256])
    return lambda data: blob[256:] == key_wrap_pad(temporary, data)


@pytest.mark.parametrize('spec', ['RSA_2048', 'RSA_4096', 'EC_P256', 'EC_P384', 'EC_P256K', 'EC_SM2'])
def test_every_encoding_becomes_pkcs8(spec):
    key = key_of(spec)
    for name, encode in {**ENCODINGS, **({} if spec in RSA_SPECS else EC_ENCODINGS)}.items():
        blob = wrap('--public-key', key_of('RSA_2048', 1).public_file, stdin=encode(key))
        assert unwrapped(blob)(key.data), name


@pytest.mark.parametrize('form', ['PEM', 'DER'])
def test_public_key_and_streams(tmp_path, form):
    wrapping_key, material = key_of('EC_SM2', 1), os.urandom(32)
    public_key = openssl('pkey', '-pubin', '-inform', 'DER', '-outform', form, stdin=wrapping_key.public)
    assert wrap('--public-key', '-', '--in', file_of(material), '--out', tmp_path / 'wrapped', stdin=public_key) == b''
    assert undo(wrapping_key, 'SM2PKE', (tmp_path / 'wrapped').read_bytes()) == material


@pytest.mark.parametrize('material', [b'\x30\x1e' + bytes(30), b'\x30\x3e' + bytes(62), b'\x30' * 16, b'0' * 32])
def test_raw_material_that_begins_like_der_is_raw(material):
    wrapping_key = key_of('RSA_2048', 1)
    wrapped = wrap('--public-key', wrapping_key.public_file, stdin=material)
    assert undo(wrapping_key, 'RSAES_OAEP_SHA_256', wrapped) == material


# Passphrases

ENCRYPTED = {
    'PKCS#8, PEM': lambda key: openssl('pkcs8', '-topk8', '-inform', 'DER', '-v2', 'aes256',
                                       '-passout', f'pass:{PASSPHRASE}', stdin=key.data),
    'PKCS#8, DER': lambda key: openssl('pkcs8', '-topk8', '-inform', 'DER', '-outform', 'DER', '-v2', 'aes256',
                                       '-passout', f'pass:{PASSPHRASE}', stdin=key.data),
    'PKCS#1 or SEC1, PEM': lambda key: traditional(key, 'PEM', '-aes256', '-passout', f'pass:{PASSPHRASE}'),
}


@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_P256', 'EC_SM2'])
@pytest.mark.parametrize('encoding', ENCRYPTED)
def test_a_passphrase_is_asked_for_on_the_terminal(tmp_path, spec, encoding):
    key = key_of(spec)
    arguments = ['wrap', '--public-key', key_of('RSA_2048', 1).public_file, '--in', file_of(ENCRYPTED[encoding](key)),
                 '--out', tmp_path / 'wrapped']
    status, shown = on_terminal(*arguments, answer='wrong horse')
    assert (status, (tmp_path / 'wrapped').exists()) == (1, False)
    assert 'passphrase' in shown and 'horse' not in shown
    status, shown = on_terminal(*arguments, answer=PASSPHRASE)
    assert status == 0 and 'horse' not in shown
    assert unwrapped((tmp_path / 'wrapped').read_bytes())(key.data)


def test_without_a_terminal_nobody_is_waited_for(tmp_path):
    done = subprocess.run(['setsid', '-w', CMKCTL, 'wrap', '--public-key', key_of('RSA_2048', 1).public_file,
                           '--in', file_of(ENCRYPTED['PKCS#8, PEM'](key_of('EC_P256'))), '--out', tmp_path / 'out'],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE)
    assert done.returncode == 1 and b'passphrase' in done.stderr


# Refusals

@pytest.mark.parametrize('wrapping_spec, options, material, message', [
    ('RSA_2048', ['--algorithm', 'RSAES_OAEP_SHA_512'], 'AES_256', 'wrapping algorithm is none of'),
    ('RSA_2048', ['--algorithm', 'SM2PKE'], 'AES_256', 'for SM2 keys'),
    ('RSA_2048', ['--algorithm', ECB_SM4], 'EC_SM2', 'for SM2 keys'),
    *(('EC_SM2', ['--algorithm', algorithm], 'AES_256', 'for RSA keys') for algorithm in [*PLAIN, *KEY_WRAPS, ECB_AES]),
    ('EC_SM2', ['--algorithm', ECB_SM4], 'EC_P256', 'SM2 private key only'),
    ('EC_SM2', ['--algorithm', ECB_SM4], 'RSA_2048', 'SM2 private key only'),
    ('EC_SM2', ['--algorithm', ECB_SM4], 'SM4', 'SM2 private key only'),
    ('RSA_2048', ['--algorithm', ECB_AES], 'AES_256', 'private keys only'),
    *(('RSA_2048', ['--algorithm', algorithm], 'RSA_2048', '--private-key-out') for algorithm in PLAIN),
    ('RSA_2048', ['--algorithm', 'RSAES_PKCS1_V1_5'], 'EC_P256', '--private-key-out'),
    *(('RSA_2048', ['--algorithm', algorithm, '--private-key-out', '/dev/null'], 'EC_P256', 'one piece')
      for algorithm in [*KEY_WRAPS, ECB_AES]),
    ('EC_SM2', ['--algorithm', ECB_SM4, '--private-key-out', '/dev/null'], 'EC_SM2', 'one piece'),
    ('RSA_2048', ['--private-key-out', '/dev/null'], 'AES_256', 'one piece'),
    ('RSA_2048', ['--private-key-out', '/dev/null'], 'EC_P256', 'one piece'),
])
def test_what_does_not_go_together(wrapping_spec, options, material, message):
    assert message in refused(1, 'wrap', '--public-key', key_of(wrapping_spec, 1).public_file, *options,
                              '--in', material_file(key_of(material)))


@pytest.mark.parametrize('options, message', [
    (['-algorithm', 'ED25519'], 'none of'),
    (['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'], 'none of'),
    (['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'], 'none of'),
])
def test_private_keys_of_other_kinds(options, message):
    for form in ('PEM', 'DER'):
        key = openssl('genpkey', '-outform', form, *options)
        assert message in refused(1, 'wrap', '--public-key', key_of('RSA_2048', 1).public_file, stdin=key)


@pytest.mark.parametrize('damage', [
    lambda key: openssl('pkey', '-pubin', '-inform', 'DER', stdin=key.public),
    lambda key: key.public,
    lambda key: key.data[:-1],
    lambda key: key.data + b'\0',
    lambda key: openssl('pkey', '-inform', 'DER', stdin=key.data)[:-60],
    lambda key: b'-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n',
], ids=['public PEM', 'public DER', 'cut DER', 'DER and more', 'cut PEM', 'empty PEM'])
@pytest.mark.parametrize('spec', ['RSA_2048', 'EC_P256'])
def test_what_is_meant_for_a_private_key_is_not_raw(spec, damage):
    assert 'no private key can be read' in refused(
        1, 'wrap', '--public-key', key_of('RSA_2048', 1).public_file, stdin=damage(key_of(spec)))


@pytest.mark.parametrize('public_key', [
    b'', b'\x30', b'-----BEGIN PUBLIC KEY-----\n', os.urandom(294), key_of('EC_P256').public, key_of('RSA_2048').data,
], ids=['empty', 'DER', 'PEM', 'noise', 'P-256', 'private'])
def test_what_is_no_wrapping_key(public_key):
    assert 'public key' in refused(1, 'wrap', '--public-key', file_of(public_key), stdin=bytes(32))


@pytest.mark.parametrize('material, message', [
    (b'', 'empty'), (bytes(16385), 'right file'), (bytes(191), 'does not fit'),
])
def test_material_that_cannot_be(material, message):
    assert message in refused(1, 'wrap', '--public-key', key_of('RSA_2048', 1).public_file, stdin=material)


def test_output_that_cannot_be_written(tmp_path):
    arguments = ['wrap', '--public-key', key_of('EC_SM2', 1).public_file, '--in', material_file(key_of('EC_P256'))]
    for options in (['--private-key-out', tmp_path], ['--private-key-out', tmp_path / 'x', '--out', '/dev/full']):
        assert 'cannot write' in refused(1, *arguments, *options)


@pytest.mark.parametrize('arguments', [
    ['--public-key', '-'], ['--public-key', '-', '--in', '-'], ['--in', 'x'],
    ['--public-key', 'x', '--private-key-out', '-'],
    ['--public-key', 'x', '--in', 'x', '--out', '-', '--private-key-out', '-'],
], ids=' '.join)
def test_usage(arguments):
    assert '`cmkctl wrap --help`' in refused(2, 'wrap', *arguments)

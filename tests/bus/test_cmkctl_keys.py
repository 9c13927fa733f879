# SPDX-License-Identifier: Apache-2.0
"""cmkctl with keys of every kind: bringing them in, and signatures, MACs and ciphertexts that stock openssl agrees with."""
import hashlib
import os

import pytest

from client import UNKNOWN_KEY, b64, openssl, unb64
from cmkctl import Cmkctl, on_terminal, run
from key_encodings import asn1_sm2, traditional
from openssl_keys import ENCRYPTION, MAC, MATERIAL_BYTES, SIGNING, PublicKey, file_of, key_of
from wrapping import ALGORITHMS, ASYMMETRIC_SPECS, ECB_SM4, EC_SPECS, forms_of, wrapping_specs

MESSAGE = b'a message\n'
SPECS = [*MATERIAL_BYTES, *ASYMMETRIC_SPECS]


@pytest.fixture(scope='module')
def cmkctl(machine):
    return Cmkctl(machine)


def create(cmkctl, *options):
    return cmkctl('create', *options).decode().strip()


@pytest.fixture(scope='module')
def imported(cmkctl):
    """The id of a key that holds key_of (spec), made when it is first asked for."""
    ids = {}

    def get(spec, usage=None):
        if (spec, usage) not in ids:
            ids[spec, usage] = create(cmkctl, '--origin', 'EXTERNAL', '--spec', spec,
                                      *(['--usage', usage] if usage else []))
            cmkctl('import', ids[spec, usage], '--material', '-', stdin=key_of(spec).data)
        return ids[spec, usage]

    return get


# Create

@pytest.mark.parametrize('origin', ['EXTERNAL', 'CMKD_KMS'])
@pytest.mark.parametrize('spec, usages', [
    *((spec, ['ENCRYPT_DECRYPT']) for spec in ('AES_256', 'SM4')),
    *((spec, ['GENERATE_VERIFY_MAC']) for spec in MAC),
    *((spec, ['SIGN_VERIFY']) for spec in ('EC_P256', 'EC_P384', 'EC_P256K')),
    *((spec, ['SIGN_VERIFY', 'ENCRYPT_DECRYPT']) for spec in ('RSA_2048', 'RSA_3072', 'RSA_4096', 'EC_SM2')),
])
def test_create(cmkctl, root, origin, spec, usages):
    key = root.describe(create(cmkctl, '--origin', origin, '--spec', spec))
    assert (key['KeySpec'], key['KeyUsage']) == (spec, usages[0])
    for usage in usages[1:] if spec not in ('RSA_3072', 'RSA_4096') else []:  # their pairs take long to make
        assert root.describe(create(cmkctl, '--origin', origin, '--spec', spec, '--usage', usage))['KeyUsage'] == usage
    assert 'UnsupportedOperation' in cmkctl.refused(
        1, 'create', '--spec', spec, '--usage', 'GENERATE_VERIFY_MAC' if 'HMAC' not in spec else 'SIGN_VERIFY')


# Import

def check_use(cmkctl, key, own):
    """That @key holds @own."""
    if own.spec in ('AES_256', 'SM4'):
        assert cmkctl('decrypt', stdin=cmkctl('encrypt', key, stdin=MESSAGE)) == MESSAGE
    elif own.spec in MAC:
        assert cmkctl('mac', key, stdin=MESSAGE) == own.mac(MESSAGE)
    else:
        assert own.verify(SIGNING[own.spec][0], MESSAGE, cmkctl('sign', key, stdin=MESSAGE))


@pytest.mark.parametrize('wrapping_spec', [None, 'EC_SM2'])
@pytest.mark.parametrize('spec', SPECS)
def test_import_chooses_what_suits(cmkctl, spec, wrapping_spec):
    key = create(cmkctl, '--origin', 'EXTERNAL', '--spec', spec)
    answer = cmkctl.json('import', key, '--material', '-', stdin=key_of(spec).data,
                         *(['--wrapping-spec', wrapping_spec] if wrapping_spec else []))
    assert answer['KeyState'] == 'Enabled'
    check_use(cmkctl, key, key_of(spec))


# One spec of each kind: that the daemon takes every spec in every form is for test_key_kinds.py.
CARRIED = [(algorithm, spec) for algorithm in ALGORITHMS
           for spec in ('AES_256', 'HMAC_512', 'RSA_2048', 'EC_P256', 'EC_SM2') if forms_of(algorithm, spec)]


@pytest.mark.parametrize('algorithm, spec', CARRIED)
def test_import_by_every_algorithm(cmkctl, algorithm, spec):
    own = key_of(spec)
    key = create(cmkctl, '--origin', 'EXTERNAL', '--spec', spec)
    cmkctl('import', key, '--material', '-', '--algorithm', algorithm, stdin=own.data)
    check_use(cmkctl, key, own)


@pytest.mark.parametrize('algorithm, spec, form', [
    (algorithm, spec, form) for algorithm, spec in CARRIED for form in forms_of(algorithm, spec) if ', raw' not in form])
def test_the_flow_in_steps(cmkctl, tmp_path, algorithm, spec, form):
    public_key, token, wrapped, apart = (tmp_path / name for name in ('public-key', 'token', 'wrapped', 'apart'))
    key = create(cmkctl, '--origin', 'EXTERNAL', '--spec', spec)
    cmkctl('get-parameters', key, '--algorithm', algorithm, '--wrapping-spec', wrapping_specs(algorithm)[0],
           '--public-key', public_key, '--token', token)
    in_two = ['--private-key-out', apart] if form == 'separate' else []
    done = run('wrap', '--public-key', public_key, '--algorithm', algorithm, '--out', wrapped, *in_two,
               stdin=key_of(spec).data)
    assert (done.returncode, done.stderr) == (0, b'')
    cmkctl('import', key, '--encrypted', wrapped, '--token', token,
           *(['--encrypted-private-key', apart] if in_two else []))
    if in_two:  # Base64 will do as well, and the same key again is allowed
        cmkctl('import', key, '--encrypted', wrapped, '--encrypted-private-key', '-', '--token', token,
               stdin=openssl('base64', '-in', apart))
    check_use(cmkctl, key, key_of(spec))


@pytest.mark.parametrize('wrapping', [[], ['--wrapping-spec', 'EC_SM2']], ids=' '.join)
@pytest.mark.parametrize('spec', ['AES_256', 'HMAC_512', 'RSA_2048', 'EC_P256', 'EC_SM2'])
def test_parameters_and_wrap_choose_the_same(cmkctl, tmp_path, spec, wrapping):
    """Nobody has to name an algorithm."""
    public_key, token, apart = (tmp_path / name for name in ('public-key', 'token', 'apart'))
    key = create(cmkctl, '--origin', 'EXTERNAL', '--spec', spec)
    cmkctl('get-parameters', key, *wrapping, '--public-key', public_key, '--token', token)
    in_two = wrapping[1:] == ['EC_SM2'] and spec in ('RSA_2048', 'EC_P256')
    done = run('wrap', '--public-key', public_key, *(['--private-key-out', apart] if in_two else []),
               stdin=key_of(spec).data)
    assert (done.returncode, done.stderr) == (0, b'')
    cmkctl('import', key, '--encrypted', '-', '--token', token,
           *(['--encrypted-private-key', apart] if in_two else []), stdin=done.stdout)
    check_use(cmkctl, key, key_of(spec))


def test_an_sm2_algorithm_implies_its_wrapping_spec(cmkctl):
    for algorithm in ('SM2PKE', ECB_SM4):
        answer = cmkctl.json('get-parameters', create(cmkctl, '--origin=EXTERNAL', '--spec=EC_SM2'),
                             '--algorithm', algorithm)
        assert (answer['WrappingAlgorithm'], answer['WrappingKeySpec']) == (algorithm, 'EC_SM2')


@pytest.mark.parametrize('spec', ['RSA_2048', *EC_SPECS])
def test_import_from_pem(cmkctl, spec):
    """The file that people have; the same key in another encoding is the same material."""
    key = create(cmkctl, '--origin', 'EXTERNAL', '--spec', spec)
    cmkctl('import', key, '--material', file_of(openssl('pkey', '-inform', 'DER', stdin=key_of(spec).data)))
    cmkctl('import', key, '--material', file_of(traditional(key_of(spec), 'PEM')), '--expires', '30d')
    assert 'MaterialMismatch' in cmkctl.refused(1, 'import', key, '--material', '-', stdin=key_of(spec, 1).data)
    check_use(cmkctl, key, key_of(spec))


def test_import_asks_for_the_passphrase_once(cmkctl):
    key = create(cmkctl, '--origin', 'EXTERNAL', '--spec', 'EC_P256')
    encrypted = openssl('pkcs8', '-topk8', '-inform', 'DER', '-passout', 'pass:open', stdin=key_of('EC_P256').data)
    status, shown = on_terminal(cmkctl.bus, 'import', key, '--material', file_of(encrypted), answer='open')
    assert status == 0 and shown.count('passphrase of ') == 1
    check_use(cmkctl, key, key_of('EC_P256'))


@pytest.mark.parametrize('spec, material, message', [
    ('AES_256', lambda: key_of('EC_P256').data, 'no material for a key of AES_256'),
    ('RSA_2048', lambda: os.urandom(32), 'no material for a key of RSA_2048'),
    ('EC_P256', lambda: key_of('EC_P384').data, 'IncorrectKeyMaterial'),
    ('EC_P256', lambda: key_of('EC_P256').public, 'no private key'),
    ('RSA_2048', lambda: openssl('pkey', '-pubin', '-inform', 'DER', stdin=key_of('RSA_2048').public), 'no private key'),
])
def test_material_of_another_kind(cmkctl, root, spec, material, message):
    key = create(cmkctl, '--origin', 'EXTERNAL', '--spec', spec)
    assert message in cmkctl.refused(1, 'import', key, '--material', '-', stdin=material())
    assert root.state(key) == 'PendingImport'


def test_what_goes_with_no_private_key(cmkctl, tmp_path):
    key = create(cmkctl, '--origin', 'EXTERNAL')
    answer = cmkctl.json('get-parameters', key, '--token', tmp_path / 'token')
    assert answer['WrappingAlgorithm'] == 'RSAES_OAEP_SHA_256'
    (tmp_path / 'blob').write_bytes(bytes(256))
    assert 'UnsupportedOperation' in cmkctl.refused(
        1, 'import', key, '--encrypted', tmp_path / 'blob', '--encrypted-private-key', tmp_path / 'blob',
        '--token', tmp_path / 'token')
    assert 'UnsupportedOperation' in cmkctl.refused(1, 'get-parameters', key, '--algorithm', ECB_SM4, '--json')
    assert 'InvalidParameter' in cmkctl.refused(
        1, 'get-parameters', key, '--algorithm', 'SM2PKE', '--wrapping-spec', 'RSA_2048', '--json')


# Signatures

@pytest.mark.parametrize('spec, algorithm', [(spec, name) for spec in SIGNING for name in SIGNING[spec]])
def test_signatures(cmkctl, imported, tmp_path, spec, algorithm):
    key, own = imported(spec), key_of(spec)
    message, signature = file_of(MESSAGE), tmp_path / 'signature'
    named = [] if algorithm == SIGNING[spec][0] else ['--algorithm', algorithm]
    assert cmkctl('sign', key, *named, '--in', message, '--out', signature) == b''
    assert own.verify(algorithm, MESSAGE, signature.read_bytes())
    assert b'valid' in cmkctl('verify', key, *named, '--in', message, '--signature', signature)

    digest = own.digest(algorithm, MESSAGE)
    by_digest = cmkctl('sign', key, *named, '--digest', stdin=digest)
    assert own.verify(algorithm, MESSAGE, by_digest)
    cmkctl('verify', key, *named, '--digest', '--signature', signature, stdin=digest)

    theirs = file_of(own.sign(algorithm, MESSAGE))
    for written in (theirs, file_of(openssl('base64', '-in', theirs))):
        cmkctl('verify', key, *named, '--in', message, '--signature', written)
        for arguments in ([], ['--json']):
            done = cmkctl.run('verify', key, *named, '--signature', written, *arguments, stdin=b'another')
            assert done.returncode == 1 and b'the signature is not valid' in done.stderr
            assert (b'"SignatureValid":false' in done.stdout.replace(b' ', b'')) == bool(arguments)


def test_signature_as_base64_and_json(cmkctl, imported):
    key, own = imported('EC_P256'), key_of('EC_P256')
    text = cmkctl('sign', key, '--base64', stdin=MESSAGE).decode()
    assert text.endswith('\n') and own.verify('ECDSA_SHA_256', MESSAGE, unb64(text.strip()))
    answer = cmkctl.json('sign', key, stdin=MESSAGE)
    assert own.verify('ECDSA_SHA_256', MESSAGE, unb64(answer['Signature']))
    assert cmkctl.json('verify', key, '--signature', file_of(unb64(answer['Signature'])),
                       stdin=MESSAGE)['SignatureValid'] is True


def test_a_terminal_gets_base64(cmkctl, imported):
    status, shown = on_terminal(cmkctl.bus, 'sign', imported('EC_P256'), '--in', file_of(MESSAGE))
    assert status == 0 and key_of('EC_P256').verify('ECDSA_SHA_256', MESSAGE, unb64(shown.strip()))


def test_what_cannot_be_signed(cmkctl, imported):
    assert '6144' in cmkctl.refused(1, 'sign', imported('EC_P256'), stdin=bytes(6145))
    cmkctl('sign', imported('EC_P256'), stdin=bytes(6144))
    assert 'InvalidParameter' in cmkctl.refused(1, 'sign', imported('EC_P256'), '--digest', stdin=bytes(48))
    assert 'is empty' in cmkctl.refused(1, 'sign', imported('EC_P256'))
    assert 'InvalidParameter' in cmkctl.refused(1, 'sign', imported('EC_P256'), '--algorithm', 'ECDSA', stdin=b'x')
    assert 'UnsupportedOperation' in cmkctl.refused(
        1, 'sign', imported('EC_P256'), '--algorithm', 'ECDSA_SHA_384', stdin=b'x')
    assert 'UnsupportedOperation' in cmkctl.refused(1, 'sign', imported('EC_SM2', 'ENCRYPT_DECRYPT'), stdin=b'x')


# What a key is not for

@pytest.mark.parametrize('arguments', [['sign'], ['verify', '--signature', '/etc/hostname'], ['mac'],
                                       ['mac', '--verify', '/etc/hostname'], ['asymmetric-encrypt'],
                                       ['asymmetric-decrypt'], ['public-key']], ids=' '.join)
def test_no_such_key(cmkctl, arguments):
    verb, *options = arguments
    assert 'KeyNotFound' in cmkctl.refused(3, verb, UNKNOWN_KEY, *options, stdin=b'x')
    assert 'AliasNotFound' in cmkctl.refused(3, verb, 'alias/none', *options, stdin=b'x')


@pytest.mark.parametrize('verb, spec, message', [
    ('sign', 'AES_256', 'not for signatures'), ('sign', 'HMAC_256', 'not for signatures'),
    ('mac', 'EC_P256', 'not for MACs'), ('mac', 'SM4', 'not for MACs'),
    ('asymmetric-encrypt', 'EC_P256', 'not for public-key encryption'),
    ('asymmetric-decrypt', 'AES_256', 'not for public-key encryption'),
    ('public-key', 'HMAC_256', 'UnsupportedOperation'), ('encrypt', 'RSA_2048', 'UnsupportedOperation'),
])
def test_a_key_of_another_kind(cmkctl, imported, verb, spec, message):
    assert message in cmkctl.refused(1, verb, imported(spec), stdin=b'x')


def test_a_key_without_material(cmkctl):
    key = create(cmkctl, '--origin', 'EXTERNAL', '--spec', 'EC_P256')
    for verb in ('sign', 'public-key'):
        assert 'KeyPendingImport' in cmkctl.refused(1, verb, key, stdin=b'x')


# MACs

@pytest.mark.parametrize('spec', MAC)
def test_macs(cmkctl, imported, tmp_path, spec):
    key, own = imported(spec), key_of(spec)
    cmkctl('mac', key, '--in', file_of(MESSAGE), '--out', tmp_path / 'mac')
    assert (tmp_path / 'mac').read_bytes() == own.mac(MESSAGE)
    assert unb64(cmkctl('mac', key, '--algorithm', MAC[spec], '--base64', stdin=MESSAGE).decode().strip()) == own.mac(
        MESSAGE)
    assert cmkctl.json('mac', key, stdin=MESSAGE)['Mac'] == b64(own.mac(MESSAGE))
    for written in (tmp_path / 'mac', file_of(b64(own.mac(MESSAGE)).encode() + b'\n')):
        assert b'valid' in cmkctl('mac', key, '--verify', written, stdin=MESSAGE)
        assert cmkctl.json('mac', key, '--verify', written, stdin=MESSAGE)['MacValid'] is True
        assert 'the MAC is not valid' in cmkctl.refused(1, 'mac', key, '--verify', written, stdin=MESSAGE + b'x')
    for other in MAC.values():
        if other != MAC[spec]:
            assert 'UnsupportedOperation' in cmkctl.refused(1, 'mac', key, '--algorithm', other, stdin=b'x')


# Public keys

@pytest.mark.parametrize('spec', ASYMMETRIC_SPECS)
def test_public_key(cmkctl, imported, tmp_path, spec):
    pem = cmkctl('public-key', imported(spec))
    assert pem == openssl('pkey', '-pubin', '-inform', 'DER', stdin=key_of(spec).public)
    assert cmkctl('public-key', imported(spec), '--der') == key_of(spec).public
    assert cmkctl('public-key', imported(spec), '--out', tmp_path / 'key') == b''
    assert (tmp_path / 'key').read_bytes() == pem
    answer = cmkctl.json('public-key', imported(spec), '--out', tmp_path / 'key', '--der')
    assert (unb64(answer['PublicKey']), answer['KeySpec']) == (key_of(spec).public, spec)
    assert (tmp_path / 'key').read_bytes() == key_of(spec).public


def test_a_key_that_cmkd_made(cmkctl):
    key = create(cmkctl, '--spec', 'EC_P384')
    public_key = PublicKey('EC_P384', cmkctl('public-key', key, '--der'))
    assert public_key.verify('ECDSA_SHA_384', MESSAGE, cmkctl('sign', key, stdin=MESSAGE))


def test_a_large_file_is_signed_by_its_digest(cmkctl, imported, tmp_path):
    data = os.urandom(1 << 20)
    signature = cmkctl('sign', imported('RSA_2048'), '--digest', stdin=hashlib.sha256(data).digest())
    assert key_of('RSA_2048').verify('RSA_PSS_SHA_256', data, signature)


# Encryption under a public key

@pytest.mark.parametrize('spec, algorithm', [(spec, name) for spec in ('RSA_2048', 'EC_SM2') for name in ENCRYPTION[spec]])
def test_asymmetric_encryption(cmkctl, imported, tmp_path, spec, algorithm):
    key, own = imported(spec, 'ENCRYPT_DECRYPT'), key_of(spec)
    named = [] if algorithm == ENCRYPTION[spec][0] else ['--algorithm', algorithm]
    data = os.urandom(100)
    cmkctl('asymmetric-encrypt', key, *named, '--in', file_of(data), '--out', tmp_path / 'ciphertext')
    ciphertext = (tmp_path / 'ciphertext').read_bytes()
    assert own.decrypt(algorithm, asn1_sm2(ciphertext) if spec == 'EC_SM2' else ciphertext) == data
    text = cmkctl('asymmetric-encrypt', key, *named, '--base64', stdin=data)
    answer = cmkctl.json('asymmetric-encrypt', key, *named, stdin=data)
    for sent in (ciphertext, text, answer['CiphertextBlob'].encode(), own.encrypt(algorithm, data)):
        assert cmkctl('asymmetric-decrypt', key, *named, stdin=sent) == data
    out = tmp_path / 'out'
    out.touch(mode=0o644)
    assert cmkctl('asymmetric-decrypt', key, *named, '--in', tmp_path / 'ciphertext', '--out', out) == b''
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (data, 0o600)
    assert cmkctl.json('asymmetric-decrypt', key, *named, stdin=ciphertext)['Plaintext'] == b64(data)
    spoiled = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
    assert 'InvalidCiphertext' in cmkctl.refused(1, 'asymmetric-decrypt', key, *named, stdin=spoiled)


@pytest.mark.parametrize('spec, algorithm, most', [
    ('RSA_2048', 'RSAES_OAEP_SHA_1', 214), ('RSA_2048', 'RSAES_OAEP_SHA_256', 190), ('EC_SM2', 'SM2PKE', 6047)])
def test_the_longest_plaintext(cmkctl, imported, spec, algorithm, most):
    key = imported(spec, 'ENCRYPT_DECRYPT')
    data = os.urandom(most)
    ciphertext = cmkctl('asymmetric-encrypt', key, '--algorithm', algorithm, stdin=data)
    assert cmkctl('asymmetric-decrypt', key, '--algorithm', algorithm, stdin=ciphertext) == data
    assert str(most) in cmkctl.refused(1, 'asymmetric-encrypt', key, '--algorithm', algorithm, stdin=bytes(most + 1))


def test_usage_decides(cmkctl, imported):
    assert 'UnsupportedOperation' in cmkctl.refused(1, 'asymmetric-encrypt', imported('RSA_2048'), stdin=b'x')
    assert 'UnsupportedOperation' in cmkctl.refused(1, 'sign', imported('RSA_2048', 'ENCRYPT_DECRYPT'), stdin=b'x')

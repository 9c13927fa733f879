# SPDX-License-Identifier: Apache-2.0
"""Attested wrapping keys: made by the TPM for a custodian's nonce, verified with cmkctl and by the script that has only
openssl, refused when anything is not as the TPM said, and then used like any other."""
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import cmkctl
from client import PADDINGS, SOURCE_ROOT, DBusError, b64, modulus, openssl, refused, unb64
from custodian import CERTIFICATE, OAEP, Custodian, attested
from harness import BOB, LOADED_SESSION, TRANSIENT, new_machine
from openssl_keys import key_of
from state import row_of_set, rows, tpm_tool
from tpm_maker import certify_tpm
from tpm_structures import BORN_IN_TPM, DECRYPT, RESTRICTED, SIGN, Forger, name_of
from wrapping import ECB_AES, KEY_WRAPS, key_wrap_pad, send, to_wrapping_key, wrapped

PARTS = ['PublicKey', 'WrappingKeyPublicArea', 'CreationData', 'AttestationData', 'AttestationSignature',
         'AttestationKey', 'AttestationKeyPublicArea']
BUDGET = 8


@pytest.fixture(scope='module')
def machine():
    config = {'WrappingKeys': {'ReadyRsa2048': 0}, 'Limits': {'TpmKeysPerHour': 0}}
    with new_machine(config=config, start=False) as machine:
        machine.trusted = certify_tpm(machine)
        machine.start()
        yield machine


@pytest.fixture(scope='module')
def kms(machine):
    return machine.client(BOB)


@pytest.fixture(scope='module')
def sample(kms):
    return attested(kms)


@pytest.fixture(scope='module')
def other(kms):
    return attested(kms)


@pytest.fixture
def custodian(tmp_path, sample):
    return Custodian(tmp_path).know(sample[0])


@pytest.fixture(params=['cmkctl', 'script'])
def program(request):
    return request.param


# The flow

@pytest.mark.parametrize('algorithm, key_spec, form', [
    *((name, 'AES_256', 'direct') for name in PADDINGS if name != 'none'),
    *((name, 'AES_256', 'key wrap') for name in KEY_WRAPS),
    (ECB_AES, 'EC_P256', 'ECB'), ('RSAES_PKCS1_V1_5', 'EC_P256', 'separate')])
def test_verify_wrap_import_use(kms, custodian, tmp_path, algorithm, key_spec, form):
    answer, nonce = attested(kms, algorithm, key=kms.external_key(KeySpec=key_spec))
    for name in ('cmkctl', 'script'):
        assert 'the attestation key is the known one' in custodian.accepts(name, answer, nonce, '--public-key',
                                                                           tmp_path / name)
    assert (tmp_path / 'cmkctl').read_bytes() == (tmp_path / 'script').read_bytes() == unb64(answer['PublicKey'])
    key = key_of(key_spec)
    send(kms, answer, wrapped(answer, form, key))
    if key_spec == 'AES_256':
        blob = kms.Encrypt(answer['KeyId'], b64(b'plain'))['CiphertextBlob']
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'plain'
    else:
        assert unb64(kms.GetPublicKey(answer['KeyId'])['PublicKey']) == key.public


def test_rsa_3072(kms, custodian):
    answer, nonce = attested(kms, spec='RSA_3072')
    for name in ('cmkctl', 'script'):
        assert 'RSA key of 3072 bits' in custodian.accepts(name, answer, nonce)
    kms.import_with(answer, os.urandom(32))


def test_the_page(machine, tmp_path):
    """Every command of docs/attestation.md, the one first that makes the attestation key known."""
    page = (SOURCE_ROOT / 'docs' / 'attestation.md').read_text()
    blocks = re.findall('^```sh\n(.*?)^```$', page, re.DOTALL | re.MULTILINE)
    blocks.sort(key=lambda block: 'first' not in block)
    (tmp_path / 'material.bin').write_bytes(os.urandom(32))
    (tmp_path / 'makers.pem').write_bytes(machine.trusted.read_bytes())
    path = f'{Path(cmkctl.CMKCTL).parent}:{os.environ["PATH"]}'
    script = ''.join(['KEY=$(cmkctl create --origin EXTERNAL)\n', *blocks])
    done = subprocess.run(['bash', '-xeuo', 'pipefail', '-c', script], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, 'PATH': path, 'DBUS_SYSTEM_BUS_ADDRESS': machine.address})
    assert done.returncode == 0 and len(blocks) == 10, done.stderr
    assert 'Verified OK' in done.stdout and done.stdout.endswith(': OK\n')


def test_into_a_key_that_stays_in_the_tpm(kms):
    answer, _ = attested(kms, key=kms.external_key(ProtectionLevel='TPM'))
    kms.import_with(answer, os.urandom(32))
    blob = kms.Encrypt(answer['KeyId'], b64(b'plain'))['CiphertextBlob']
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'plain'


def test_everything_by_cmkctl(machine, tmp_path):
    tool, directory = cmkctl.Cmkctl(machine), tmp_path
    key = tool.json('create', '--origin', 'EXTERNAL')['KeyMetadata']['KeyId']
    answer = tool('get-parameters', key, '--attest', '--nonce', 'auto', '--json', '--token', directory / 'token')
    (directory / 'answer').write_bytes(answer)
    (directory / 'nonce').write_text(json.loads(answer)['Nonce'])
    for nonce in ('auto', directory / 'nonce'):
        done = cmkctl.run('verify-attestation', directory / 'answer', '--nonce', nonce, '--accept-attestation-key',
                          directory / 'known', '--public-key', directory / 'key', '--pem')
        assert done.returncode == 0 and b'accepted because you say so' in done.stdout
        assert (b'not proved: that the answer is fresh' in done.stdout) == (nonce == 'auto')
    cmkctl.run('verify-attestation', directory / 'answer', '--nonce', 'auto', '--attestation-key',
               directory / 'known').check_returncode()
    assert (directory / 'known').read_bytes() == unb64(json.loads(answer)['AttestationKeyPublicArea'])
    (directory / 'material').write_bytes(os.urandom(32))
    cmkctl.run('wrap', '--public-key', directory / 'key', '--in', directory / 'material', '--out',
               directory / 'wrapped').check_returncode()
    tool('import', key, '--encrypted', directory / 'wrapped', '--token', directory / 'token')


def test_what_the_tpm_is_asked(machine, kms, sample):
    """One key, one certificate; the material is unwrapped inside, and no object is left."""
    with machine.tpm_commands() as commands:
        answer, _ = attested(kms)
    assert (commands.count('Create'), commands.count('CertifyCreation')) == (1, 1)
    assert machine.tpm_handles(TRANSIENT) == ()
    with machine.tpm_commands() as commands:
        kms.import_with(answer, os.urandom(32))
    assert commands.count('RSA_Decrypt') == 1 and 'Unseal' not in commands
    assert machine.tpm_handles(TRANSIENT) == ()


def test_few_slots():
    """Behind a resource manager, which saves and loads for each command all that the chip holds."""
    with new_machine(manager='kernel', config={'WrappingKeys': {'ReadyRsa2048': 0}}) as shared:
        with shared.chip_commands() as lines:
            answer, _ = attested(shared.client())
            shared.client().import_with(answer, os.urandom(32))
        held = [tuple(map(int, line.split()[1:])) for line in lines if line.startswith('held')]
        assert max(objects for objects, _ in held) == 2 and max(sessions for _, sessions in held) == 1


def test_stored_is_what_only_the_tpm_can_open(machine, kms):
    answer, _ = attested(kms)
    row = row_of_set(machine, unb64(answer['ImportToken'])[17:33])
    assert row['sealed_key'] == b'' and unb64(answer['WrappingKeyPublicArea']) not in row['envelope']


def test_nonces_of_every_length(kms, custodian):
    for size in (16, 64):
        answer, nonce = attested(kms, nonce=os.urandom(size))
        for name in ('cmkctl', 'script'):
            custodian.accepts(name, answer, nonce)


# Options

@pytest.mark.parametrize('options', [
    {'Attest': True}, {'Nonce': b64(bytes(32))}, {'Attest': False, 'Nonce': b64(bytes(32))},
    *({'Attest': True, 'Nonce': nonce} for nonce in ('', 'x', 'AAAA', b64(bytes(15)), b64(bytes(65)), b64(bytes(300)),
                                                     b64(bytes(32)) + '\n', b64(bytes(32)).rstrip('=')))])
def test_options_that_make_no_sense(kms, options):
    with refused('InvalidParameter') as refusal:
        kms.GetParametersForImport(kms.external_key(), OAEP, 'RSA_2048', **options)
    assert refusal.message.startswith('Nonce: ')


def test_attest_false_is_as_without(kms):
    answer = kms.GetParametersForImport(kms.external_key(), OAEP, 'RSA_2048', Attest=False)
    assert not set(PARTS[1:]) & set(answer)


@pytest.mark.parametrize('algorithm, spec', [(OAEP, 'RSA_4096'), ('SM2PKE', 'EC_SM2')])
def test_keys_that_no_tpm_makes(kms, algorithm, spec):
    with refused('UnsupportedOperation') as refusal:
        attested(kms, algorithm, spec)
    assert refusal.message.startswith('Attest: ')


def test_tpm_without_that_rsa():
    """What it lacks is of wrapping keys, and what to do is not about ProtectionLevel."""
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}) as machine:
        for fault, spec, why in (('TestParms 2-2 0x1c4', 'RSA_3072', '3072 bits: try wrapping_key_spec RSA_2048'),
                                 ('TestParms 1-1 0x1c4', 'RSA_2048', '2048 bits: leave Attest out')):
            machine.restart()
            machine.tpm_fault(fault)
            with refused('UnsupportedOperation') as refusal:
                attested(machine.new_client(BOB), spec=spec)
            assert refusal.message == f'Attest: this TPM has no RSA with {why}'


def test_the_other_rules_stand(kms):
    with refused('KeyNotFound'):
        attested(kms, key='00000000-0000-4000-8000-000000000000')
    with refused('NotExternalKey'):
        attested(kms, key=kms.CreateKey()['KeyMetadata']['KeyId'])
    key = kms.external_key()
    kms.ScheduleKeyDeletion(key)
    with refused('KeyPendingDeletion'):
        attested(kms, key=key)


@pytest.mark.parametrize('arguments', [['--attest'], ['--nonce', 'auto'], ['--attest', '--nonce', 'auto']])
def test_cmkctl_asks_for_all_or_nothing(machine, arguments):
    message = cmkctl.Cmkctl(machine).refused(2, 'get-parameters', 'x', '--public-key', '/dev/null', '--token',
                                             '/dev/null', *arguments)
    assert 'go together' in message


# Refused

@pytest.mark.parametrize('part', PARTS)
def test_a_part_of_another_answer(sample, other, custodian, program, part):
    """Genuine, by the same TPM, and not what belongs here. (The attestation key is the same.)"""
    answer, nonce = sample
    mixed = {**answer, part: other[0][part]}
    if mixed == answer:
        custodian.accepts(program, mixed, nonce)
    else:
        custodian.refuses(program, mixed, nonce)


def test_another_nonce(sample, other, custodian, program):
    assert 'another nonce' in custodian.refuses(program, sample[0], other[1])
    assert 'another nonce' in custodian.refuses(program, sample[0], sample[1] + b'\0')


def test_a_part_is_missing(sample, custodian, program):
    answer, nonce = sample
    for part in PARTS:
        custodian.refuses(program, {name: value for name, value in answer.items() if name != part}, nonce)
        custodian.refuses(program, {**answer, part: '' if part < 'C' else answer[part].rstrip('=') + '!'}, nonce)


def test_an_answer_that_says_two_things(sample, custodian, program):
    """What one program reads must be what every other does."""
    answer, nonce = sample
    text = json.dumps(answer)
    custodian.refuses(program, text[:-1] + ', "PublicKey": "AAAA"}', nonce)
    custodian.refuses(program, '{"PublicKey": "AAAA", ' + text[1:], nonce)


def test_bytes_are_flipped(sample, custodian, program):
    """Some: tests/unit/test-attestation.c flips them all."""
    answer, nonce = sample
    places = [(part, place) for part in PARTS for place in range(len(unb64(answer[part])))]
    for number, (part, place) in enumerate(places[::101 if program == 'script' else 17]):
        data = bytearray(unb64(answer[part]))
        data[place] ^= 1 << number % 8
        custodian.refuses(program, {**answer, part: b64(bytes(data))}, nonce)


def test_parts_are_cut_and_lengthened(sample, custodian, program):
    answer, nonce = sample
    for part in PARTS:
        data = unb64(answer[part])
        for wrong in (data[:-1], data[:1], data + b'\0', data + bytes(9)):
            if program == 'script' and part != 'AttestationSignature' and wrong != data[:-1]:
                continue
            custodian.refuses(program, {**answer, part: b64(wrong)}, nonce)


def test_another_tpm(sample, custodian, program):
    """A genuine answer, by a TPM that is not the known one."""
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}) as stranger:
        answer, nonce = attested(stranger.client())
        assert CERTIFICATE not in answer
        assert 'not the known one' in custodian.refuses(program, answer, nonce)
        custodian.know(answer).accepts(program, answer, nonce)
        assert 'no endorsement certificate' in custodian.refuses(program, answer, nonce, '--trust', custodian.known)
        with refused('InvalidImportToken'):
            stranger.client().import_with({**answer, 'ImportToken': sample[0]['ImportToken']}, os.urandom(32))


# Keys that were made outside of a TPM

@pytest.fixture(scope='module')
def forger():
    return Forger()


def test_software_that_plays_a_tpm(sample, custodian, forger, program):
    """All that it says fits together; it is told by its key alone, and nobody takes that unasked."""
    nonce = sample[1]
    answer = forger.answer(nonce)
    assert 'not the known one' in custodian.refuses(program, answer, nonce)
    done = custodian.run(program, answer, nonce)
    assert done.returncode == 6 and "not proved: that the attestation key is a TPM's" in done.stdout
    # From here on what is refused is refused for what it is, not for its attestation key.
    custodian.know(answer).accepts(program, answer, nonce)


@pytest.mark.parametrize('wrong, why', [
    ({'area': {'attributes': BORN_IN_TPM | DECRYPT | SIGN}}, 'only decrypts'),
    ({'area': {'attributes': BORN_IN_TPM | DECRYPT | RESTRICTED}}, 'only decrypts'),
    ({'area': {'attributes': BORN_IN_TPM}}, 'only decrypts'),
    *(({'area': {'attributes': (BORN_IN_TPM | DECRYPT) & ~(1 << bit)}}, 'only decrypts') for bit in (1, 4, 5, 6, 10)),
    ({'area': {'kind': b'\0\x23'}}, 'WrappingKeyPublicArea'),
    ({'area': {'policy': bytes(32)}}, 'WrappingKeyPublicArea'),
    ({'area': {'parameters': b'\0\x06\0\x10'}}, 'WrappingKeyPublicArea'),
    ({'area': {'exponent': 3}}, 'WrappingKeyPublicArea'),
    ({'signer_area': {'attributes': BORN_IN_TPM | SIGN}}, 'signs its own statements only'),
    ({'signer_area': {'attributes': BORN_IN_TPM | SIGN | RESTRICTED | DECRYPT}}, 'signs its own statements only'),
    ({'signer_area': {'attributes': SIGN | RESTRICTED}}, 'signs its own statements only'),
    ({'signer_area': {'parameters': bytes.fromhex('00100018000b00040010')}}, 'AttestationKeyPublicArea'),
    ({'signer_area': {'policy': bytes(32)}}, 'AttestationKeyPublicArea'),
    ({'creation': {'nonce': bytes(32)}}, 'made for another nonce'),
    ({'creation': {'pcrs': b'\0\0\0\1'}}, 'CreationData'),
    ({'creation': {'parent_hash': b'\0\x0c'}}, 'CreationData'),
    ({'attest': {'nonce': bytes(32)}}, 'statement was made for another nonce'),
    ({'attest': {'magic': b'\xffTCH'}}, 'not a TPM\'s statement'),
    ({'attest': {'kind': b'\x80\x17'}}, 'not a TPM\'s statement'),
    ({'attest': {'kind': b'\x80\x18'}}, 'not a TPM\'s statement'),
    ({'attest': {'signer': name_of(b'another')}}, 'by another attestation key'),
    ({'attest': {'name': name_of(b'another')}}, 'on another key'),
    ({'attest': {'creation_hash': hashlib.sha256(b'another').digest()}}, 'on another creation'),
])
def test_wrong_in_one_thing(sample, custodian, forger, program, wrong, why):
    nonce = sample[1]
    answer = forger.answer(nonce, **wrong)
    assert why in custodian.know(answer).refuses(program, answer, nonce)


def test_well_signed_nonsense(sample, custodian, forger, program):
    """Sizes that reach past the end, and statements that end anywhere."""
    nonce = sample[1]
    good = unb64(forger.answer(nonce)['AttestationData'])
    nonsense = [good[:size] for size in range(0, len(good), 41)] + [good + b'\0']
    for place in (6, 42, 76 + 25, 112 + 25):  # where sizes are
        nonsense += [good[:place] + size + good[place + 2:] for size in (b'\0\0', b'\xff\xff', b'\0\x40')]
    for data in nonsense[::3 if program == 'script' else 1]:
        answer = forger.answer(nonce, AttestationData=data or b'\0')
        custodian.know(answer).refuses(program, answer, nonce)


def test_genuine_words_for_a_software_key(sample, custodian, forger, program):
    answer, nonce = sample
    mine = forger.answer(nonce)
    for parts in (['PublicKey'], ['PublicKey', 'WrappingKeyPublicArea'],
                  ['PublicKey', 'WrappingKeyPublicArea', 'CreationData', 'AttestationData'],
                  [part for part in PARTS if part != 'AttestationKey'],
                  [part for part in PARTS if part != 'PublicKey']):
        custodian.refuses(program, {**answer, **{part: mine[part] for part in parts}}, nonce)


# The certificate of the maker

def test_certificate_of_a_trusted_maker(machine, sample, custodian, program):
    answer, nonce = sample
    told = custodian.accepts(program, answer, nonce, '--trust', machine.trusted)
    assert 'by a maker that you trust' in told and 'not proved: that the attestation key is in the TPM' in told


def test_certificate_of_another_maker(machine, sample, custodian, program, tmp_path):
    answer, nonce = sample
    own = tmp_path / 'own.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', '/dev/null', '-out', own,
                    '-subj', '/CN=nobody', '-outform', 'PEM'], check=True, capture_output=True)
    assert 'not one of a TPM' in custodian.refuses(program, answer, nonce, '--trust', own)
    der = subprocess.run(['openssl', 'x509', '-in', own, '-outform', 'DER'], check=True, capture_output=True).stdout
    assert 'not one of a TPM' in custodian.refuses(program, {**answer, CERTIFICATE: b64(der)}, nonce, '--trust',
                                                   machine.trusted)


def test_certificate_is_flipped(machine, sample, custodian, program):
    answer, nonce = sample
    certificate = unb64(answer[CERTIFICATE])
    for place in range(0, len(certificate), 311 if program == 'script' else 23):
        data = bytearray(certificate)
        data[place] ^= 1
        custodian.refuses(program, {**answer, CERTIFICATE: b64(bytes(data))}, nonce, '--trust', machine.trusted)


# That both are in one TPM

def credential_for(machine, tmp_path, answer, secret, kind):
    """As a custodian makes it, with what he has: the public endorsement key and the attestation key."""
    if kind == 'rsa':
        (tmp_path / 'certificate').write_bytes(unb64(answer[CERTIFICATE]))
        key = openssl('x509', '-inform', 'DER', '-in', tmp_path / 'certificate', '-pubkey', '-noout')
        (tmp_path / 'ek.pem').write_bytes(key)
    else:
        tpm_tool(machine, 'createek', '-G', 'ecc', '-c', tmp_path / 'context', '-f', 'pem', '-u', tmp_path / 'ek.pem')
        tpm_tool(machine, 'flushcontext', '-t')
    (tmp_path / 'secret').write_bytes(secret)
    name = name_of(unb64(answer['AttestationKeyPublicArea'])).hex()
    tpm_tool(machine, 'makecredential', '-T', 'none', '-G', kind, '-u', tmp_path / 'ek.pem', '-n', name,
             '-s', tmp_path / 'secret', '-o', tmp_path / 'credential')
    return (tmp_path / 'credential').read_bytes()[8:]  # after a header of its own


@pytest.mark.parametrize('kind', ['rsa', 'ecc'])
def test_credential(machine, kms, sample, custodian, tmp_path, kind):
    secret = os.urandom(32)
    credential = credential_for(machine, tmp_path, sample[0], secret, kind)
    answer, nonce = attested(kms, Credential=b64(credential))
    assert unb64(answer['CredentialSecret']) == secret and answer['AttestationKey'] == sample[0]['AttestationKey']
    for name in ('cmkctl', 'script'):
        told = custodian.accepts(name, answer, nonce, '--credential-secret', tmp_path / 'secret')
        assert 'proved: the attestation key is in the TPM' in told and 'not proved' not in told
    flipped = [credential[:place] + bytes([credential[place] ^ 1]) + credential[place + 1:]
               for place in (2, 40, 70, 100)]
    for wrong in (credential[:-1], credential + b'\0', b'\0', bytes(4), bytes(512), *flipped):
        with machine.tpm_commands() as commands, refused('InvalidParameter') as refusal:
            attested(kms, Credential=b64(wrong))
        assert refusal.message.startswith('Credential: ') and (wrong in flipped or not commands)
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}) as stranger, refused('InvalidParameter'):
        attested(stranger.client(), Credential=b64(credential))
    assert machine.tpm_handles(TRANSIENT) == ()


@pytest.mark.parametrize('code, why', [('0x085', 'switched off'), ('0x185', 'switched off'), ('0x9a2', 'password'),
                                       ('0x921', 'takes no authorisations')])
def test_endorsement_hierarchy_that_is_not_for_us(machine, kms, code, why):
    """Not for this, that is: the TPM is as well as before."""
    credential = b64(b'\0\x40' + bytes(64) + b'\1\0' + b'\x11' * 256)
    for command in ('CreatePrimary', 'PolicySecret'):
        machine.tpm_fault(f'{command} 1-1 {code}')
        with refused('UnsupportedOperation') as refusal:
            attested(kms, Credential=credential)
        assert refusal.message.startswith('Credential: ') and why in refusal.message
        assert 'leave Credential out' in refusal.message and kms.GetStatus()['TpmState'] == 'ok'
        assert machine.tpm_handles(TRANSIENT) == ()


def test_endorsement_hierarchy_is_off():
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}) as machine:
        tpm_tool(machine, 'hierarchycontrol', '-C', 'p', 'ehEnable', 'clear')
        kms = machine.client(BOB)
        with refused('UnsupportedOperation') as refusal:
            attested(kms, Credential=b64(b'\0\x40' + bytes(64) + b'\1\0' + b'\x11' * 256))
        assert 'switched off' in refusal.message and kms.GetStatus()['TpmState'] == 'ok'
        attested(kms)


@pytest.mark.parametrize('options', [{'Credential': b64(bytes(300))}, {'Credential': 'x', 'Attest': True},
                                     {'Credential': '', 'Attest': True}, {'Credential': 'A' * 1028, 'Attest': True}])
def test_credential_that_makes_no_sense(kms, options):
    if 'Attest' in options:
        options['Nonce'] = b64(bytes(32))
    with refused('InvalidParameter') as refusal:
        kms.GetParametersForImport(kms.external_key(), OAEP, 'RSA_2048', **options)
    assert refusal.message.startswith('Credential: ')


# Use

def test_failures_count_as_for_any_other_key(machine, kms):
    for algorithm in ('RSAES_PKCS1_V1_5', OAEP, 'RSA_AES_KEY_WRAP_SHA_256'):
        key = kms.external_key()
        plain, (answer, _) = kms.parameters(key, algorithm), attested(kms, algorithm, key=key)
        texts, size = set(), 256 + (40 if 'KEY_WRAP' in algorithm else 0)
        bad = [b'\0' + os.urandom(size - 1), bytes(size), b'\xff' * 256 + bytes(size - 256)]
        for ciphertext in [*bad, *bad, bad[0], to_bad_length(answer)]:
            for parameters in (plain, answer):
                with refused('IncorrectKeyMaterial') as refusal:
                    kms.ImportKeyMaterial(key, b64(ciphertext), parameters['ImportToken'])
                texts.add(refusal.message)
        assert len(texts) == 1
        for parameters in (plain, answer):
            with refused('InvalidImportToken'):
                kms.ImportKeyMaterial(key, b64(bytes(size)), parameters['ImportToken'])
        assert rows(machine, 'SELECT * FROM import_sets WHERE id = ?', unb64(answer['ImportToken'])[17:33]) == []


def to_bad_length(answer):
    """Well padded, and of 31 bytes."""
    data = to_wrapping_key(answer, bytes(31))
    return data if 'KEY_WRAP' not in answer['WrappingAlgorithm'] else data + key_wrap_pad(bytes(32), bytes(31))


def test_failures_outlast_restarts(machine, kms):
    answer, _ = attested(kms)
    for attempt in range(BUDGET - 1):
        with refused('IncorrectKeyMaterial'):
            kms.ImportKeyMaterial(answer['KeyId'], b64(b'\0' + os.urandom(255)), answer['ImportToken'])
        if attempt == 2:
            machine.restart()
        elif attempt == 4:
            machine.reboot()
    kms.import_with(answer, os.urandom(32))
    with refused('MaterialMismatch'):
        kms.import_with(answer, os.urandom(32))
    with refused('InvalidImportToken'):
        kms.import_with(answer, os.urandom(32))


def test_the_attestation_key_stays(machine, kms, sample):
    before = sample[0]
    machine.reboot()
    after, _ = attested(kms)
    for part in ('AttestationKey', 'AttestationKeyPublicArea', CERTIFICATE):
        assert before[part] == after[part]
    assert modulus(before['PublicKey']) != modulus(after['PublicKey'])


def test_tpm_that_fails_is_no_failure_of_the_importer(machine, kms):
    answer, _ = attested(kms)
    machine.tpm_fault(f'RSA_Decrypt 1-{BUDGET + 1} 0x101')
    for _ in range(BUDGET + 1):
        with refused('TpmUnavailable'):
            kms.import_with(answer, os.urandom(32))
    kms.import_with(answer, os.urandom(32))


@pytest.mark.parametrize('action', ['0x101', 'io', 'drop', 'garble'])
def test_tpm_fails_while_it_makes_the_key(machine, kms, sample, tmp_path, action):
    """At each command; nothing is left in it."""
    key = kms.external_key()
    credential = b64(credential_for(machine, tmp_path, sample[0], os.urandom(32), 'rsa'))
    for command in ('NV_Read', 'CreatePrimary', 'PolicySecret', 'ActivateCredential', 'Create', 'Load',
                    'CertifyCreation'):
        machine.tpm_fault(f'{command} 1-6 {action}')
        with pytest.raises(DBusError) as error:
            attested(kms, key=key, Credential=credential)
            assert command == 'NV_Read' and action == '0x101'  # goes without the certificate
            raise DBusError('TpmUnavailable', '')
        machine.tpm_fault('')
        # Some TPMs say FAILURE to a credential that is wrong.
        is_wrong = (command, action) == ('ActivateCredential', '0x101')
        assert error.value.name == ('InvalidParameter' if is_wrong else 'TpmUnavailable')
        assert machine.tpm_handles(TRANSIENT) == () and len(machine.tpm_handles(LOADED_SESSION)) <= 1
    attested(kms, key=key, Credential=credential)


def test_tpm_that_cannot_certify(machine, kms):
    machine.tpm_fault('CertifyCreation 1-4 0x143')  # TPM_RC_COMMAND_CODE
    with refused('UnsupportedOperation') as refusal:
        attested(kms)
    machine.tpm_fault('')
    assert 'TPM2_CertifyCreation' in refusal.message and machine.tpm_handles(TRANSIENT) == ()


def test_tpm_that_knows_no_long_digest(machine, kms):
    machine.tpm_fault('Create 1-1 0x2d5')  # TPM_RC_SIZE of a parameter
    with refused('UnsupportedOperation') as refusal:
        attested(kms, nonce=bytes(64))
    assert 'use 32 bytes' in refusal.message
    attested(kms)


def test_sets_count_as_any_other(tmp_path):
    config = {'WrappingKeys': {'ReadyRsa2048': 0}, 'Limits': {'ImportSetsPerKey': 2}}
    with new_machine(config=config) as machine:
        kms = machine.client()
        key = kms.external_key()
        first, _ = attested(kms, key=key)
        attested(kms, key=key)
        with refused('LimitExceeded'):
            attested(kms, key=key)
        # Another TPM knows nothing of the attestation key, and cannot open what was wrapped.
        machine.stop()
        machine.replace_tpm()
        machine.start()
        with refused('TpmChanged'):
            attested(kms, key=key)
        machine.client(0).Recover(Accept='TpmChanged')
        with refused('InvalidImportToken'):
            kms.import_with(first, os.urandom(32))
        again, nonce = attested(kms, key=key)
        assert again['AttestationKey'] != first['AttestationKey']
        Custodian(tmp_path).know(again).accepts('cmkctl', again, nonce)
        kms.import_with(again, os.urandom(32))

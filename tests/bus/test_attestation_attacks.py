# SPDX-License-Identifier: Apache-2.0
"""What the verifiers of an attested wrapping key trust, and what somebody makes of it who wants to be trusted: certificates
that are none of a TPM, and attestation keys that are not in one."""
import json
import os

import pytest

from client import b64, modulus, openssl
from custodian import CERTIFICATE, Custodian
from harness import new_machine
from state import tpm_tool
from tpm_structures import SIGN, Forger, ecc_area, name_of, rsa_area

EK_USE = 'extendedKeyUsage=2.23.133.8.1\n'


@pytest.fixture(params=['cmkctl', 'script'])
def program(request):
    return request.param


class Authority:
    """Makes certificates, of whatever somebody wants."""

    def __init__(self, directory, name):
        self.directory, self.key, self.certificate = directory, directory / f'{name}.key', directory / f'{name}.pem'
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', self.key,
                '-out', self.certificate, '-subj', f'/CN={name}', '-addext', 'basicConstraints=critical,CA:TRUE',
                '-addext', 'keyUsage=keyCertSign')

    def issue(self, extensions):
        """DER."""
        request, wanted = self.directory / 'request', self.directory / 'extensions'
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
                self.directory / 'subject.key', '-out', request, '-subj', '/CN=an endorsement key')
        wanted.write_text(extensions)
        return openssl('x509', '-req', '-in', request, '-CA', self.certificate, '-CAkey', self.key, '-set_serial', '7',
                       '-extfile', wanted, '-outform', 'DER')


@pytest.fixture(scope='module')
def forger():
    return Forger()


@pytest.fixture(scope='module')
def maker(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('maker'), 'maker')


def with_certificate(forger, custodian, certificate):
    """An answer in which nothing but the certificate may be wrong."""
    nonce = os.urandom(32)
    answer = {**forger.answer(nonce), CERTIFICATE: b64(certificate)}
    custodian.know(answer)
    return answer, nonce


@pytest.mark.parametrize('change, is_good', [
    (lambda text: text + '\n\n', True), (lambda text: text.replace(':', ' \t\r\n:'), True),
    (lambda text: text[:-1] + ', "X": true, "Y": null, "Z": -1.5}', True),
    (lambda text: text[:-1] + ', "EndorsementKeyCertificate": null}', True),
    (lambda text: text[:-1] + ', "X": "\'PublicKey\': a, {b} ] [ $(exit 9) `exit 9`"}', True),
    (lambda text: text[:-1] + ', "$(exit 9)": "", "": "", "@": "", "*": "", "a[0]": ""}', True),
    (lambda text: text + ' ' * (65536 - len(text)), True), (lambda text: text + ' ' * (65537 - len(text)), False),
    (lambda text: text + 'x', False), (lambda text: text + text, False), (lambda text: text + '\0', False),
    (lambda text: text.replace('PublicKey', 'Public\0Key', 1), False), (lambda text: text[1:-1], False),
    (lambda text: text[:-1] + ',}', False), (lambda text: text[:-1], False), (lambda text: '', False),
    (lambda text: '{"Public\\u004bey": "AAAA", ' + text[1:], False), (lambda text: '\ufeff' + text, False),
    (lambda text: '{"X": "a\\"b", ' + text[1:], False), (lambda text: '{"X": "\u00e9", ' + text[1:], False),
    (lambda text: '{"X": {"PublicKey": 1}, ' + text[1:], False), (lambda text: '{"X": [], ' + text[1:], False),
    (lambda text: '{"X": 1, "X": 1, ' + text[1:], False), (lambda text: text.replace(':', '\f:'), False),
    (lambda text: text[:-1] + ', "EndorsementKeyCertificate": ""}', False)])
def test_forms_of_an_answer(forger, tmp_path, program, change, is_good):
    """Both read the same, or nothing."""
    nonce = os.urandom(32)
    answer, custodian = forger.answer(nonce), Custodian(tmp_path)
    text = change(json.dumps(answer))
    (custodian.know(answer).accepts if is_good else custodian.refuses)(program, text, nonce)


@pytest.mark.parametrize('first', [0, 1, 0x7f])
def test_modulus_with_zeros_before_it(forger, tmp_path, program, first):
    """It is a shorter one, or one in DER that is none."""
    nonce, key = os.urandom(32), forger.key_der
    changed = bytes([first]) + key[-260:-5]
    area = rsa_area(modulus(b64(key)))[:-256] + changed
    answer = forger.answer(nonce, attest={'name': name_of(area)}, WrappingKeyPublicArea=area,
                           PublicKey=key[:-261] + changed + key[-5:])
    Custodian(tmp_path).know(answer).refuses(program, answer, nonce)


def test_authorities_of_the_system_are_not_trusted(forger, maker, tmp_path, program, monkeypatch):
    system = Authority(tmp_path, 'system')
    name = openssl('x509', '-in', system.certificate, '-noout', '-hash').decode().strip()
    (tmp_path / f'{name}.0').write_bytes(system.certificate.read_bytes())
    monkeypatch.setenv('SSL_CERT_DIR', str(tmp_path))
    monkeypatch.setenv('SSL_CERT_FILE', str(system.certificate))
    custodian = Custodian(tmp_path)
    answer, nonce = with_certificate(forger, custodian, system.issue(EK_USE))
    assert 'not one of a TPM' in custodian.refuses(program, answer, nonce, '--trust', maker.certificate)
    custodian.accepts(program, answer, nonce, '--trust', system.certificate)


@pytest.mark.parametrize('extensions', [
    'basicConstraints=CA:FALSE', EK_USE, 'keyUsage=critical,keyEncipherment', 'keyUsage=keyAgreement\n' + EK_USE,
    'extendedKeyUsage=serverAuth,2.23.133.8.1'])
def test_certificates_of_endorsement_keys(forger, maker, tmp_path, program, extensions):
    custodian = Custodian(tmp_path)
    answer, nonce = with_certificate(forger, custodian, maker.issue(extensions))
    custodian.accepts(program, answer, nonce, '--trust', maker.certificate)


@pytest.mark.parametrize('extensions', [
    'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign', 'basicConstraints=CA:TRUE\n' + EK_USE,
    'keyUsage=keyCertSign,keyEncipherment\nbasicConstraints=CA:TRUE', 'keyUsage=digitalSignature\n' + EK_USE,
    'extendedKeyUsage=serverAuth', 'extendedKeyUsage=2.23.133.8.1.1', 'extendedKeyUsage=2.23.133.8.11',
    'extendedKeyUsage=1.2.23.133.8.1', 'extendedKeyUsage=serverAuth\n1.2.3.4=DER:06056781050801'])
def test_other_certificates_by_the_maker(forger, maker, tmp_path, program, extensions):
    """Of authorities under it, or for something else."""
    custodian = Custodian(tmp_path)
    answer, nonce = with_certificate(forger, custodian, maker.issue(extensions))
    assert 'not one of a TPM' in custodian.refuses(program, answer, nonce, '--trust', maker.certificate)


def test_certificates_in_the_file(forger, maker, tmp_path, program):
    """Of the maker itself, or of somebody who signs for himself: they are trusted to issue, not to be TPMs."""
    custodian, own = Custodian(tmp_path), tmp_path / 'own.pem'
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', tmp_path / 'own.key', '-out', own,
            '-subj', '/CN=myself', '-addext', 'basicConstraints=CA:FALSE', '-addext', EK_USE.strip())
    leaf = tmp_path / 'leaf.pem'
    leaf.write_bytes(openssl('x509', '-inform', 'DER', stdin=maker.issue(EK_USE)))
    for certificate in (maker.certificate, own, leaf):
        der = openssl('x509', '-in', certificate, '-outform', 'DER')
        answer, nonce = with_certificate(forger, custodian, der)
        assert 'not one of a TPM' in custodian.refuses(program, answer, nonce, '--trust', certificate)


def test_the_pin_is_of_the_attributes_as_well(forger, tmp_path, program):
    """The same point, in a key that signs whatever it is given."""
    nonce = os.urandom(32)
    answer, custodian = forger.answer(nonce), Custodian(tmp_path)
    point = forger.signer_der[-64:]
    for wrong in (ecc_area(point, attributes=SIGN | 1 << 6), ecc_area(point) + b'\0', ecc_area(point)[:-1],
                  forger.signer_der):
        custodian.known.write_bytes(wrong)
        assert 'not the known one' in custodian.refuses(program, answer, nonce)
    custodian.know(answer).accepts(program, answer, nonce)


def test_the_secret_of_a_credential(forger, tmp_path, program):
    nonce, secret = os.urandom(32), tmp_path / 'secret'
    answer, custodian = forger.answer(nonce), Custodian(tmp_path)
    custodian.know(answer)
    secret.write_bytes(b'what was in it')
    for told in ({}, {'CredentialSecret': b64(b'what was in i')}, {'CredentialSecret': b64(b'what was in it?')}):
        assert 'CredentialSecret' in custodian.refuses(program, {**answer, **told}, nonce, '--credential-secret', secret)
    answer['CredentialSecret'] = b64(b'what was in it')
    told = custodian.accepts(program, answer, nonce, '--credential-secret', secret)
    assert 'proved: the attestation key is in the TPM whose endorsement key' in told
    assert custodian.run(program, answer, nonce, '--credential-secret', secret).returncode == 2


def test_credential_for_a_software_key(forger, tmp_path):
    """A TPM opens it, for a key that anybody has; the pin is of what the TPM said, and no answer goes with it."""
    with new_machine(start=False) as machine:
        os.chmod(tmp_path, 0o777)
        key, area, secret, opened = (tmp_path / name for name in ('key.pem', 'area', 'secret', 'opened'))
        key.write_bytes(openssl('ec', stdin=forger.signer))
        secret.write_bytes(os.urandom(32))
        endorsement, context, session = (tmp_path / name for name in ('ek', 'context', 'session'))
        tpm_tool(machine, 'createek', '-G', 'ecc', '-c', endorsement, '-f', 'pem', '-u', tmp_path / 'ek.pem')
        tpm_tool(machine, 'flushcontext', '-t')
        tpm_tool(machine, 'loadexternal', '-C', 'n', '-G', 'ecc', '-r', key, '-c', context,
                 '-a', 'sign|userwithauth|noda')
        tpm_tool(machine, 'readpublic', '-c', context, '-o', area)
        tpm_tool(machine, 'flushcontext', '-t')
        tpm_tool(machine, 'makecredential', '-T', 'none', '-G', 'ecc', '-u', tmp_path / 'ek.pem',
                 '-n', name_of(area.read_bytes()[2:]).hex(), '-s', secret, '-o', tmp_path / 'credential')
        tpm_tool(machine, 'startauthsession', '--policy-session', '-S', session)
        tpm_tool(machine, 'policysecret', '-S', session, '-c', 'e')
        tpm_tool(machine, 'activatecredential', '-c', context, '-C', endorsement, '-i', tmp_path / 'credential',
                 '-o', opened, '-P', f'session:{session}')
    assert opened.read_bytes() == secret.read_bytes()
    nonce, custodian = os.urandom(32), Custodian(tmp_path)
    answer = {**forger.answer(nonce), 'CredentialSecret': b64(secret.read_bytes())}
    custodian.known.write_bytes(area.read_bytes()[2:])
    for program in ('cmkctl', 'script'):
        custodian.refuses(program, answer, nonce, '--credential-secret', secret)
        # Nor would it have been accepted, to begin with, as what it is.
        first = forger.answer(nonce, AttestationKeyPublicArea=area.read_bytes()[2:])
        pinned = tmp_path / 'pinned'
        done = custodian.run(program, first, nonce, '--accept-attestation-key', pinned)
        assert done.returncode == 1 and not pinned.exists()

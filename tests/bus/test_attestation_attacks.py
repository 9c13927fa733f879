# SPDX-License-Identifier: Apache-2.0
"""What the verifiers of an attested wrapping key trust, and what somebody makes of it who wants to be trusted: certificates
that are none of a TPM, and attestation keys that are not in one."""
import os

import pytest

from client import b64, openssl
from custodian import CERTIFICATE, Custodian
from tpm_structures import Forger

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

# SPDX-License-Identifier: Apache-2.0
"""Whoever sends key material, and first verifies the wrapping key that it will be under."""
import json
import os
import subprocess

import cmkctl
from client import SOURCE_ROOT, b64, unb64

SCRIPT = SOURCE_ROOT / 'scripts' / 'verify-attestation'
OAEP = 'RSAES_OAEP_SHA_256'
CERTIFICATE = 'EndorsementKeyCertificate'


def attested(kms, algorithm=OAEP, spec='RSA_2048', nonce=None, key=None, **options):
    """New attested parameters and the nonce that they are for."""
    nonce = os.urandom(32) if nonce is None else nonce
    key = key or kms.external_key()
    return kms.GetParametersForImport(key, algorithm, spec, Attest=True, Nonce=b64(nonce), **options), nonce


class Custodian:
    """Somebody on another machine, with an answer and a nonce in files."""

    def __init__(self, directory):
        self.answer, self.nonce, self.known = (directory / name for name in ('answer', 'nonce', 'known'))

    def run(self, program, answer, nonce, *options):
        self.answer.write_text(answer if isinstance(answer, str) else json.dumps(answer))
        self.nonce.write_text(b64(nonce) + '\n')
        start = [cmkctl.CMKCTL, 'verify-attestation'] if program == 'cmkctl' else [SCRIPT]
        return subprocess.run([*start, self.answer, '--nonce', self.nonce, *options], capture_output=True, text=True)

    def know(self, answer):
        self.known.write_bytes(unb64(answer['AttestationKeyPublicArea']))
        return self

    def accepts(self, program, answer, nonce, *options):
        """What is said to be proved."""
        done = self.run(program, answer, nonce, '--attestation-key', self.known, *options)
        assert (done.returncode, done.stderr) == (0, '')
        return done.stdout

    def refuses(self, program, answer, nonce, *options):
        """Why."""
        done = self.run(program, answer, nonce, '--attestation-key', self.known, *options)
        assert done.returncode == 1, f'accepted: {done.stdout}{done.stderr}'
        assert done.stdout == '' and done.stderr.count('\n') == 1
        return done.stderr

# SPDX-License-Identifier: Apache-2.0
"""daemon/tpm/esys-hashing.c in cmkd itself: whether it stands before OpenSSL is decided when the program is linked."""
import os
import struct

import pytest

from client import b64
from harness import new_machine

THREADS = 2  # that talk to the TPM: the one that starts cmkd, and the worker


class Contexts:
    """Library contexts that were really made and freed, see tests/tpm/libctx-count.h."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(12))

    @property
    def made(self):
        return struct.unpack('=III', self.path.read_bytes())[0]

    @property
    def left(self):
        made, freed, _ = struct.unpack('=III', self.path.read_bytes())
        return made - freed


@pytest.fixture
def machine():
    with new_machine(start=False, config={'Cache': {'MaterialSeconds': 0}}) as machine:
        machine.contexts = Contexts(machine.directory / 'contexts')
        machine.environment = {
            'LD_PRELOAD': f"{machine.directory}/CMKD_CLOCK_PRELOAD.so {os.environ['CMKD_LIBCTX_COUNT_PRELOAD']}",
            'CMKD_LIBCTX_COUNT': str(machine.contexts.path)}
        yield machine


def test_unsealing_makes_no_library_context(machine):
    contexts = machine.contexts
    machine.start()
    kms = machine.client()
    key = kms.own_key()
    kms.Encrypt(key, b64(b'x'))
    made = contexts.made
    assert 0 < made <= THREADS  # 0: tpm2-tss makes none any more, and daemon/tpm/esys-hashing.c can go
    for _ in range(10):
        with machine.tpm_commands() as commands:
            kms.Encrypt(key, b64(b'x'))
        assert 'Unseal' in commands
    kms.imported_key()
    kms.DisableKey(key)
    assert contexts.made == made
    machine.stop()
    assert contexts.left == 0

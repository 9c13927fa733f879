# SPDX-License-Identifier: Apache-2.0
"""cmkd under valgrind, from its first start to its end and once more with what the kernel's keyring has kept: nothing
that is not initialised is used, nothing that was freed, and nothing is lost.

Not for builds with a sanitizer: the two do not go together."""
import os
from pathlib import Path

import pytest

from client import b64, refused, unb64
from harness import new_machine
from wrapping import to_wrapping_key

FOUND = 99
VALGRIND = ['valgrind', '--quiet', '--leak-check=full', '--errors-for-leak-kinds=definite,indirect,possible',
            f'--error-exitcode={FOUND}', '--num-callers=40',
            f"--suppressions={Path(__file__).parent / 'valgrind.supp'}"]
# Of a single block there may be a trace on the stack; and were the addresses read, Python could have them as numbers yet.
LOSES = 'import ctypes; malloc = ctypes.CDLL(None).malloc; malloc.restype = None; [malloc(4711) for _ in range(99)]'
# With it cmkd does not start itself anew, which would start valgrind instead. The heap is valgrind's anyway.
WIPING_HEAP = {'GLIBC_TUNABLES': 'glibc.malloc.tcache_count=0:glibc.malloc.perturb=165'}


@pytest.fixture
def machine():
    """Stopping it fails if valgrind found something."""
    config = {'WrappingKeys': {'ReadyRsa2048': 0}}
    with new_machine(config=config, environment=WIPING_HEAP, wrapper=VALGRIND) as machine:
        yield machine


def import_material(kms, key, material):
    """SM2: valgrind takes a minute for an RSA key."""
    parameters = kms.parameters(key, 'SM2PKE', 'EC_SM2')
    kms.ImportKeyMaterial(key, b64(to_wrapping_key(parameters, material)), parameters['ImportToken'])


def test_valgrind_finds_what_is_wrong():
    """A program that loses memory; else the options do not do what they should."""
    with new_machine(start=False, wrapper=[*VALGRIND, '/usr/bin/python3', '-I', '-c', LOSES]) as machine:
        machine.launch()
        assert machine.daemon.wait() == FOUND
        machine.daemon = None



def test_cold_and_warm(machine):
    kms, plaintext = machine.client(), os.urandom(48)
    imported, own = kms.external_key(), kms.own_key()
    material = os.urandom(32)
    import_material(kms, imported, material)
    blob = kms.Encrypt(imported, b64(plaintext))['CiphertextBlob']
    kms.DisableKey(own)
    for load in 'Load', 'ContextLoad':
        machine.restart()
        with machine.tpm_commands() as commands:
            assert unb64(kms.Decrypt(blob)['Plaintext']) == plaintext
        assert load in commands
    machine.restart_tpm()
    kms.EnableKey(own)
    kms.Encrypt(own, b64(plaintext))
    import_material(kms, imported, material)
    kms.DeleteKeyMaterial(imported)
    with refused('KeyPendingImport'):
        kms.Decrypt(blob)
    machine.stop()

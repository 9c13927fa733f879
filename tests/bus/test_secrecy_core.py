# SPDX-License-Identifier: Apache-2.0
"""ME-01: a core of cmkd holds no secret, whatever it did before. (What it works with lies in memory that is left out of
cores, and is wiped after use.)

Not for builds with a sanitizer: they keep freed memory as it was, on purpose."""
import os

import pytest

from client import PADDINGS, b64, refused, unb64
from harness import new_machine
from search import find, forms, read_core, secrets_of_material, secrets_of_pair, secrets_of_store

ALGORITHMS = [name for name in PADDINGS if name != 'none']
CANARY = os.urandom(32)


@pytest.fixture(scope='module')
def machine():
    text = ' '.join([CANARY.hex(), CANARY.hex().upper(), *(b64(bytes(before) + CANARY) for before in range(3))])
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}, environment={'CMKD_TEST_CANARY': text}) as machine:
        yield machine


def overwrite_received(kms, key, size):
    """GDBus keeps the bytes of what it received last until something as long comes. This is as long, and no secret."""
    kms.Encrypt(key, b64(os.urandom(size)))
    kms.GetStatus()  # by now the answer has been sent, and is forgotten


def assert_not_in_core(machine, secrets):
    assert find(secrets, read_core(machine)) == []


def test_the_search_finds_what_is_there(machine):
    core = read_core(machine)
    assert {form for form, value in forms(CANARY) if value in core} == {'hex', 'HEX', 'Base64'}
    assert machine.address.encode() in core


@pytest.mark.parametrize('algorithm, spec', [
    *((algorithm, 'RSA_2048') for algorithm in ALGORITHMS), ('RSAES_OAEP_SHA_256', 'RSA_3072'),
    ('RSAES_PKCS1_V1_5', 'RSA_4096')])
def test_me_01_import(machine, kms, algorithm, spec):
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key, algorithm, spec)
    pair = {**secrets_of_store(machine), **secrets_of_pair(machine, parameters)}
    assert_not_in_core(machine, {**pair, 'material': material})
    kms.import_with(parameters, material)
    assert_not_in_core(machine, {**pair, **secrets_of_material(machine, key, material)})
    other = os.urandom(32)
    with refused('MaterialMismatch'):
        kms.import_with(parameters, other)
    assert_not_in_core(machine, {**pair, 'material': material, 'other material': other})


@pytest.mark.parametrize('spec', ['AES_256', 'SM4'])
def test_me_01_use(machine, kms, spec):
    material = os.urandom(32 if spec == 'AES_256' else 16)
    key = kms.imported_key(material, spec=spec)
    secrets = secrets_of_material(machine, key, material)
    for size in (48, 6000):
        plaintext = os.urandom(size)
        blob = kms.Encrypt(key, b64(plaintext))['CiphertextBlob']
        overwrite_received(kms, key, size)
        assert_not_in_core(machine, {**secrets, 'plaintext': plaintext})
        assert unb64(kms.Decrypt(blob)['Plaintext']) == plaintext
        kms.GetStatus()
        assert_not_in_core(machine, {**secrets, 'plaintext': plaintext})
        kms.ReEncrypt(blob, key)
        data_key = unb64(kms.GenerateDataKey(key, NumberOfBytes=min(size, 1024))['Plaintext'])
        kms.GetStatus()
        assert_not_in_core(machine, {**secrets, 'plaintext': plaintext, 'data key': data_key})
        machine.restart()  # the next time the material is unsealed

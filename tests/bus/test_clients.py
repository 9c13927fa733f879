# SPDX-License-Identifier: Apache-2.0
"""The same ImportKeyMaterial by the tools that people have: gdbus and busctl."""
import json
import os
import re
import subprocess

import pytest

from harness import ALICE
from client import BUS_NAME, OBJECT_PATH, b64, unb64, wrap

INTERFACE = f'{BUS_NAME}.Import'


def run_as_alice(*command):
    return subprocess.run(command, user=ALICE, group=ALICE, extra_groups=[], capture_output=True, text=True)


def gdbus(machine, method, *arguments):
    """Optional arguments are given as GVariant text: "{'Name': <value>}"."""
    return run_as_alice('gdbus', 'call', '--address', machine.address, '--dest', BUS_NAME, '--object-path', OBJECT_PATH,
                        '--method', f'{INTERFACE}.{method}', *arguments)


def busctl(machine, method, signature, *arguments):
    return run_as_alice('busctl', f'--address={machine.address}', '--json=short', 'call', BUS_NAME, OBJECT_PATH,
                        INTERFACE, method, signature, *arguments)


@pytest.mark.parametrize('algorithm', ['RSAES_PKCS1_V1_5', 'RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256'])
def test_gdbus(machine, kms, algorithm):
    key, material = kms.external_key(), os.urandom(32)
    answer = gdbus(machine, 'GetParametersForImport', key, algorithm, 'RSA_2048', '{}')
    assert answer.returncode == 0, answer.stderr
    fields = dict(re.findall(r"'(ImportToken|PublicKey)': <'([^']*)'>", answer.stdout))
    wrapped = wrap(algorithm, fields['PublicKey'], material)
    answer = gdbus(machine, 'ImportKeyMaterial', key, wrapped, fields['ImportToken'],
                   "{'KeyMaterialExpireUnix': <int64 4000000000>}")
    assert answer.returncode == 0, answer.stderr
    assert "'KeyState': <'Enabled'>" in answer.stdout
    assert "'MaterialExpireTime': <int64 4000000000>" in answer.stdout
    assert_material(kms, key, material)


@pytest.mark.parametrize('algorithm', ['RSAES_PKCS1_V1_5', 'RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256'])
def test_busctl(machine, kms, algorithm):
    key, material = kms.external_key(), os.urandom(32)
    answer = busctl(machine, 'GetParametersForImport', 'sssa{sv}', key, algorithm, 'RSA_2048', '0')
    assert answer.returncode == 0, answer.stderr
    fields = json.loads(answer.stdout)['data'][0]
    wrapped = wrap(algorithm, fields['PublicKey']['data'], material)
    answer = busctl(machine, 'ImportKeyMaterial', 'sssa{sv}', key, wrapped, fields['ImportToken']['data'],
                    '1', 'KeyMaterialExpireUnix', 'x', '4000000000')
    assert answer.returncode == 0, answer.stderr
    fields = json.loads(answer.stdout)['data'][0]
    assert (fields['KeyState'], fields['MaterialExpireTime']) == (
        {'type': 's', 'data': 'Enabled'}, {'type': 'x', 'data': 4000000000})
    assert_material(kms, key, material)


def assert_material(kms, key, material):
    """The key holds @material: no other is taken for it, and it works."""
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    kms.import_material(key, material)
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'


def test_both_see_the_same_refusal(machine, kms):
    key = kms.external_key()
    token = b64(os.urandom(200))
    for answer in (gdbus(machine, 'ImportKeyMaterial', key, b64(bytes(256)), token, '{}'),
                   busctl(machine, 'ImportKeyMaterial', 'sssa{sv}', key, b64(bytes(256)), token, '0')):
        assert answer.returncode != 0
        assert 'GetParametersForImport' in answer.stderr  # what to do next
    assert f'{BUS_NAME}.Error.InvalidImportToken' in gdbus(
        machine, 'ImportKeyMaterial', key, b64(bytes(256)), token, '{}').stderr


def test_introspection_by_busctl(machine):
    answer = run_as_alice('busctl', f'--address={machine.address}', 'introspect', BUS_NAME, OBJECT_PATH)
    assert answer.returncode == 0, answer.stderr
    for name in ('Keys', 'Import', 'Crypto', 'Service'):
        assert f'{BUS_NAME}.{name}' in answer.stdout
    assert re.search(r'\.ImportKeyMaterial +method +sssa\{sv\} +a\{sv\}', answer.stdout)

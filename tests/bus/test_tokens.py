# SPDX-License-Identifier: Apache-2.0
"""Import tokens: genuine, of this key, in time, pair still there, not used up."""
import os

import pytest

from harness import new_machine
from client import b64, refused, unb64, wrap

DAY = 24 * 60 * 60
BUDGET = 8


@pytest.fixture(scope='module')
def key(kms):
    return kms.external_key()


@pytest.fixture(scope='module')
def parameters(kms, key):
    return kms.parameters(key)


@pytest.fixture(scope='module')
def wrapped(parameters):
    return wrap('RSAES_OAEP_SHA_256', parameters['PublicKey'], b'M' * 32)


def try_garbage(kms, parameters, times):
    for _ in range(times):
        with refused('IncorrectKeyMaterial'):
            kms.ImportKeyMaterial(parameters['KeyId'], b64(bytes(256)), parameters['ImportToken'])


def test_tk_01_vendors_28_every_bit_counts(kms, key, parameters, wrapped):
    token = unb64(parameters['ImportToken'])
    for bit in range(len(token) * 8):
        altered = bytearray(token)
        altered[bit // 8] ^= 1 << bit % 8
        with refused('InvalidImportToken'):
            kms.ImportKeyMaterial(key, wrapped, b64(altered))
    assert kms.state(key) == 'PendingImport'


def test_tk_02_truncated_or_longer(kms, key, parameters, wrapped):
    token = unb64(parameters['ImportToken'])
    for altered in [*(token[:size] for size in range(1, len(token))), token[1:], token + b'\0', token * 2,
                    token + bytes(6144 // 4 * 3 - len(token))]:
        with refused('InvalidImportToken'):
            kms.ImportKeyMaterial(key, wrapped, b64(altered))


@pytest.mark.parametrize('token', ['', '*', 'AAA', 'AA==\n', 'A' * 6148, 'token', '=' * 200],
                         ids=lambda token: token[:10])
def test_tk_02_vendors_29_and_51_no_token_by_its_form(kms, key, wrapped, token):
    with refused('InvalidParameter') as refusal:
        kms.ImportKeyMaterial(key, wrapped, token)
    assert len(refusal.message) < 500


def test_ws_03_made_up_token(kms, key, wrapped):
    for size in (1, 150, 300, 4608):
        with refused('InvalidImportToken'):
            kms.ImportKeyMaterial(key, wrapped, b64(os.urandom(size)))


def test_tk_01_and_02_cost_the_pair_nothing(kms, key, parameters, wrapped):
    assert kms.ImportKeyMaterial(key, wrapped, parameters['ImportToken'])['KeyState'] == 'Enabled'


def test_tk_03_vendors_31_token_of_another_key(kms):
    first, second = (kms.parameters(kms.external_key()) for _ in range(2))
    for _ in range(BUDGET + 1):
        with refused('InvalidImportToken'):
            kms.import_with({**first, 'KeyId': second['KeyId']}, b'M' * 32)
    assert kms.import_with(first, b'M' * 32)['KeyState'] == 'Enabled'
    assert kms.state(second['KeyId']) == 'PendingImport'


def test_tk_04_vendors_32_token_and_public_key_belong_together(kms):
    key = kms.external_key()
    first, second = kms.parameters(key), kms.parameters(key)
    with refused('IncorrectKeyMaterial'):
        kms.import_with({**first, 'PublicKey': second['PublicKey']}, b'M' * 32)
    assert kms.import_with(second, b'M' * 32)['KeyState'] == 'Enabled'


def test_tk_05_token_of_another_store(kms, key, wrapped):
    with new_machine() as elsewhere:
        other = elsewhere.client()
        token = other.parameters(other.external_key())['ImportToken']
    with refused('InvalidImportToken'):
        kms.ImportKeyMaterial(key, wrapped, token)


def test_tk_06_and_07_vendors_30_a_token_lives_24_hours():
    with new_machine(clock=2_000_000_000) as machine:
        kms = machine.client()
        parameters = kms.parameters(kms.external_key())
        expires = parameters['TokenExpireTime']
        assert expires == 2_000_000_000 + DAY
        kms.import_with(parameters, b'M' * 32)
        machine.stop_clock(expires - 1)
        kms.import_with(parameters, b'M' * 32)
        for now in (expires, expires + 1, expires + 365 * DAY):
            machine.stop_clock(now)
            with refused('ExpiredImportToken'):
                kms.import_with(parameters, b'M' * 32)
        machine.restart()
        with refused('ExpiredImportToken'):
            kms.import_with(parameters, b'M' * 32)
        assert kms.state(parameters['KeyId']) == 'Enabled'


def test_a_used_up_token_is_expired_after_its_time():
    with new_machine() as machine:
        kms = machine.client()
        parameters = kms.parameters(kms.external_key())
        try_garbage(kms, parameters, BUDGET)
        with refused('InvalidImportToken'):
            kms.import_with(parameters, b'M' * 32)
        machine.pass_time(DAY + 60)
        with refused('ExpiredImportToken'):
            kms.import_with(parameters, b'M' * 32)


def test_tk_08_outstanding_pairs_work_and_are_limited():
    with new_machine(config={'Limits': {'ImportSetsPerKey': 4}}) as machine:
        kms = machine.client()
        key = kms.external_key()
        pairs = [kms.parameters(key) for _ in range(4)]
        with refused('LimitExceeded'):
            kms.parameters(key)
        kms.parameters(kms.external_key())
        for parameters in pairs:
            kms.import_with(parameters, b'M' * 32)
        with refused('LimitExceeded'):  # used or not, they count
            kms.parameters(key)
        try_garbage(kms, pairs[0], BUDGET)
        pairs[0] = kms.parameters(key)  # in the place of the one that burnt
        with refused('LimitExceeded'):
            kms.parameters(key)
        machine.pass_time(DAY + 1)
        for _ in range(4):
            kms.parameters(key)


def test_tk_09_token_is_not_good_for_the_next_key(kms):
    key = kms.external_key()
    parameters = kms.parameters(key)
    kms.import_with(parameters, b'M' * 32)
    kms.DeleteKeyMaterial(key)
    with refused('InvalidImportToken'):
        kms.import_with({**parameters, 'KeyId': kms.external_key()}, b'M' * 32)
    assert kms.import_with(parameters, b'M' * 32)['KeyState'] == 'Enabled'


def test_tk_11_tokens_outlive_restart_and_reboot_but_not_the_tpm():
    with new_machine() as machine:
        kms = machine.client()
        parameters = [kms.parameters(kms.external_key()) for _ in range(5)]
        machine.restart()
        kms.import_with(parameters[0], b'M' * 32)
        machine.kill()
        machine.start()
        kms.import_with(parameters[1], b'M' * 32)
        machine.reboot()
        kms.import_with(parameters[2], b'M' * 32)
        machine.stop()
        machine.replace_tpm()
        machine.start()
        with refused('TpmChanged'):
            kms.import_with(parameters[3], b'M' * 32)


def test_tk_12_eight_failures_use_up_a_pair(kms):
    key = kms.external_key()
    parameters, spare = kms.parameters(key), kms.parameters(key)
    try_garbage(kms, parameters, BUDGET)
    with refused('InvalidImportToken'):
        kms.import_with(parameters, b'M' * 32)
    assert kms.import_with(spare, b'M' * 32)['KeyState'] == 'Enabled'
    assert kms.import_material(key, b'M' * 32)['KeyState'] == 'Enabled'


def test_tk_12_seven_failures_do_not(kms):
    parameters = kms.parameters(kms.external_key())
    try_garbage(kms, parameters, BUDGET - 1)
    assert kms.import_with(parameters, b'M' * 32)['KeyState'] == 'Enabled'
    try_garbage(kms, parameters, 1)  # a success does not give the seven back
    with refused('InvalidImportToken'):
        kms.import_with(parameters, b'M' * 32)


def test_tk_12_other_material_counts_as_failure(kms):
    parameters = kms.parameters(kms.external_key())
    kms.import_with(parameters, b'M' * 32)
    for _ in range(BUDGET):
        with refused('MaterialMismatch'):
            kms.import_with(parameters, b'O' * 32)
    with refused('InvalidImportToken'):
        kms.import_with(parameters, b'M' * 32)


def test_tk_13_failures_are_counted_before_they_are_answered():
    with new_machine() as machine:
        kms = machine.client()
        parameters = kms.parameters(kms.external_key())
        for _ in range(BUDGET):
            try_garbage(kms, parameters, 1)
            machine.kill()
            machine.start()
        with refused('InvalidImportToken'):
            kms.import_with(parameters, b'M' * 32)

# SPDX-License-Identifier: Apache-2.0
"""Whose key it is: to another uid it does not exist, root may do everything, and what each may have is limited."""
import os

import pytest

from harness import ALICE, BOB, new_machine
from client import UNKNOWN_KEY, b64, refused, unb64


@pytest.fixture(scope='module')
def bob(machine):
    return machine.client(BOB)


@pytest.fixture(scope='module')
def key(kms):
    return kms.imported_key()


KEY_METHODS = {
    'DescribeKey': lambda user, key: user.DescribeKey(key),
    'EnableKey': lambda user, key: user.EnableKey(key),
    'DisableKey': lambda user, key: user.DisableKey(key),
    'UpdateKeyDescription': lambda user, key: user.UpdateKeyDescription(key, 'described'),
    'ScheduleKeyDeletion': lambda user, key: user.ScheduleKeyDeletion(key),
    'CancelKeyDeletion': lambda user, key: user.CancelKeyDeletion(key),
    'CreateAlias': lambda user, key: user.CreateAlias('alias/name', key),
    'UpdateAlias': lambda user, key: user.UpdateAlias('alias/name', key),
    'ListAliases': lambda user, key: user.ListAliases(KeyId=key),
    'TagResource': lambda user, key: user.TagResource(key, {'a': 'b'}),
    'UntagResource': lambda user, key: user.UntagResource(key, ['a']),
    'GetParametersForImport': lambda user, key: user.parameters(key),
    'ImportKeyMaterial': lambda user, key: user.ImportKeyMaterial(key, b64(bytes(256)), b64(bytes(200))),
    'DeleteKeyMaterial': lambda user, key: user.DeleteKeyMaterial(key),
    'Encrypt': lambda user, key: user.Encrypt(key, b64(b'x')),
    'GenerateDataKey': lambda user, key: user.GenerateDataKey(key),
    'GenerateDataKeyWithoutPlaintext': lambda user, key: user.GenerateDataKeyWithoutPlaintext(key),
    'Decrypt with KeyId': lambda user, key: user.Decrypt(b64(bytes(100)), KeyId=key),
    'ReEncrypt to': lambda user, key: user.ReEncrypt(
        user.Encrypt(user.own_key(), b64(b'x'))['CiphertextBlob'], key),
}


@pytest.mark.parametrize('method', KEY_METHODS)
@pytest.mark.parametrize('cached', [False, True])
def test_au_01_key_of_another_user_is_not_there(machine, kms, bob, key, method, cached):
    if cached:
        kms.Encrypt(key, b64(b'x'))  # the material and the owner of the key are at hand
    before = kms.describe(key)
    messages = []
    for key_id in (key, UNKNOWN_KEY):
        with refused('KeyNotFound') as refusal:
            KEY_METHODS[method](bob, key_id)
        messages.append(refusal.message)
    assert messages[0] == messages[1]
    assert kms.describe(key) == before


def test_blobs_of_another_user(kms, bob, key):
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    refusals = set()
    for call in (lambda: bob.Decrypt(blob), lambda: bob.ReEncrypt(blob, bob.own_key()),
                 lambda: bob.Decrypt(blob[:-4] + 'AAAA')):
        with refused('InvalidCiphertext') as refusal:
            call()
        refusals.add(refusal.message)
    kms.DisableKey(key)
    with refused('InvalidCiphertext') as refusal:  # and not its state
        bob.Decrypt(blob)
    kms.EnableKey(key)
    assert refusals == {refusal.message}


def test_lists_of_another_user(kms, bob, key):
    assert key in [entry['KeyId'] for entry in kms.ListKeys(Limit=1000)['Keys']]
    assert key not in [entry['KeyId'] for entry in bob.ListKeys(Limit=1000)['Keys']]
    assert all(entry['Creator'] == BOB for entry in bob.ListKeys(Limit=1000)['Keys'])


def test_a_marker_of_another_user(kms, bob):
    for _ in range(2):
        kms.external_key()
    with refused('InvalidParameter'):
        bob.ListKeys(Marker=kms.ListKeys(Limit=1)['NextMarker'])


def test_tk_10_token_of_another_user(kms, bob):
    parameters = kms.parameters(kms.external_key())
    with refused('KeyNotFound'):
        bob.import_with(parameters, b'M' * 32)
    with refused('InvalidImportToken'):
        bob.import_with({**parameters, 'KeyId': bob.external_key()}, b'M' * 32)
    assert kms.import_with(parameters, b'M' * 32)['KeyState'] == 'Enabled'


def test_root_may_do_everything(kms, root):
    key, material = kms.external_key(), os.urandom(32)
    parameters = root.parameters(key)
    root.import_with(parameters, material)
    blob = root.Encrypt(key, b64(b'by root'))['CiphertextBlob']
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'by root'
    assert unb64(root.Decrypt(kms.Encrypt(key, b64(b'by its owner'))['CiphertextBlob'])['Plaintext']) == b'by its owner'
    root.UpdateKeyDescription(key, 'by root')
    root.DisableKey(key)
    root.EnableKey(key)
    root.DeleteKeyMaterial(key)
    kms.import_with(parameters, material)
    described = root.describe(key)
    assert (described['Creator'], described['Description'], described['KeyState']) == (ALICE, 'by root', 'Enabled')
    assert key in [entry['KeyId'] for entry in root.ListKeys(Limit=1000)['Keys']]


def test_keys_of_root_are_no_one_elses(kms, root):
    key = root.own_key()
    with refused('KeyNotFound'):
        kms.DescribeKey(key)


def test_a_key_stays_its_owners_over_a_restart(machine, kms, bob, key):
    machine.restart()
    with refused('KeyNotFound'):
        bob.Encrypt(key, b64(b'x'))
    kms.Encrypt(key, b64(b'x'))


def test_signals_reach_everybody_and_hold_ids_and_states_only(kms, bob):
    with bob.signals() as signals:
        key = kms.external_key(Description='a description')
        signals.wait_for('KeyChanged', key)
        assert signals.so_far() == [('KeyChanged', key, 'PendingImport', 'Created')]


def test_limit_of_keys():
    with new_machine(config={'Limits': {'KeysPerUser': 3}}) as machine:
        for uid in (ALICE, BOB, 0):
            user = machine.client(uid)
            made = [user.own_key(), user.external_key(), user.external_key()]
            with user.signals() as signals:
                for origin in ('EXTERNAL', 'CMKD_KMS'):
                    with refused('LimitExceeded') as refusal:
                        user.CreateKey(Origin=origin)
                    assert '3' in refusal.message
                assert signals.so_far() == []
            assert set(made) <= {entry['KeyId'] for entry in user.ListKeys()['Keys']}
        machine.configure({'Limits': {'KeysPerUser': 4}})
        machine.restart()
        machine.client(ALICE).own_key()
        with refused('LimitExceeded'):
            machine.client(ALICE).own_key()


def test_limit_of_import_sets_of_a_user():
    with new_machine(config={'Limits': {'ImportSetsPerUser': 3}}) as machine:
        kms, root = machine.client(ALICE), machine.client(0)
        keys = [kms.external_key() for _ in range(4)]
        for key in keys[:3]:
            kms.parameters(key)
        with refused('LimitExceeded'):
            kms.parameters(keys[3])
        for key in keys[1:]:  # sets count for who asks, not for whose key it is
            root.parameters(key)
        with refused('LimitExceeded'):
            root.parameters(keys[0])
        machine.client(BOB).parameters(machine.client(BOB).external_key())
        with refused('NotExternalKey'):  # limits come last
            kms.parameters(kms.own_key())

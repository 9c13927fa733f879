# SPDX-License-Identifier: Apache-2.0
"""The table of states and methods, and what moves a key from one state to another."""
import os

import pytest

from client import METHODS, DBusError, b64, refused, unb64
from harness import BOB
from openssl_keys import key_of
from wrapping import send, wrapped

OK = None
STATES = ('Enabled', 'Disabled', 'PendingImport', *(f'PendingDeletion of {state}' for state in (
    'Enabled', 'Disabled', 'PendingImport')))
NEEDS_MATERIAL = (OK, 'KeyDisabled', 'KeyPendingImport', *('KeyPendingDeletion',) * 3)
ANY_STATE = (OK,) * 6
BUT_PENDING_DELETION = (OK, OK, OK, *('KeyPendingDeletion',) * 3)
# What each method answers in each of STATES.
TABLE = {
    'Encrypt': NEEDS_MATERIAL,
    'Decrypt': NEEDS_MATERIAL,
    'Decrypt with KeyId': NEEDS_MATERIAL,
    'ReEncrypt from': NEEDS_MATERIAL,
    'ReEncrypt to': NEEDS_MATERIAL,
    'GenerateDataKey': NEEDS_MATERIAL,
    'GenerateDataKeyWithoutPlaintext': NEEDS_MATERIAL,
    'Sign': NEEDS_MATERIAL,
    'Verify': NEEDS_MATERIAL,
    'AsymmetricEncrypt': NEEDS_MATERIAL,
    'AsymmetricDecrypt': NEEDS_MATERIAL,
    'GenerateMac': NEEDS_MATERIAL,
    'VerifyMac': NEEDS_MATERIAL,
    'GetPublicKey': (OK, OK, 'KeyPendingImport', OK, OK, 'KeyPendingDeletion'),
    'DescribeKey': ANY_STATE,
    'ListKeys': ANY_STATE,
    'UpdateKeyDescription': BUT_PENDING_DELETION,
    'EnableKey': (OK, OK, 'KeyPendingImport', *('KeyPendingDeletion',) * 3),
    'DisableKey': (OK, OK, 'KeyPendingImport', *('KeyPendingDeletion',) * 3),
    'ScheduleKeyDeletion': BUT_PENDING_DELETION,
    'CancelKeyDeletion': (*('StateNotAllowed',) * 3, OK, OK, OK),
    'CreateAlias': BUT_PENDING_DELETION,
    'UpdateAlias to': BUT_PENDING_DELETION,
    'UpdateAlias from': ANY_STATE,
    'DeleteAlias': ANY_STATE,
    'ListAliases': ANY_STATE,
    'TagResource': BUT_PENDING_DELETION,
    'UntagResource': BUT_PENDING_DELETION,
    'GrantKey': BUT_PENDING_DELETION,
    'RevokeGrant': ANY_STATE,
    'ListGrants': ANY_STATE,
    'GetParametersForImport': BUT_PENDING_DELETION,
    'ImportKeyMaterial': (OK, 'KeyDisabled', OK, *('KeyPendingDeletion',) * 3),
    'DeleteKeyMaterial': ANY_STATE,
}
# What a method needs that not every key has; the others are called on keys of all kinds.
KINDS = {'Sign': ('EC_P256', 'SIGN_VERIFY'), 'Verify': ('RSA_2048', 'SIGN_VERIFY'),
         'AsymmetricEncrypt': ('EC_SM2', 'ENCRYPT_DECRYPT'), 'AsymmetricDecrypt': ('RSA_2048', 'ENCRYPT_DECRYPT'),
         'GenerateMac': ('HMAC_256', 'GENERATE_VERIFY_MAC'), 'VerifyMac': ('HMAC_512', 'GENERATE_VERIFY_MAC'),
         'GetPublicKey': ('EC_P384', 'SIGN_VERIFY'), 'EnableKey': ('EC_P256K', 'SIGN_VERIFY'),
         'ImportKeyMaterial': ('EC_P256', 'SIGN_VERIFY'), 'DeleteKeyMaterial': ('RSA_2048', 'SIGN_VERIFY'),
         'DescribeKey': ('EC_SM2', 'SIGN_VERIFY'), 'GetParametersForImport': ('RSA_3072', 'SIGN_VERIFY'),
         'ScheduleKeyDeletion': ('EC_P256', 'SIGN_VERIFY'), 'CancelKeyDeletion': ('HMAC_384', 'GENERATE_VERIFY_MAC')}
SYMMETRIC = ('AES_256', 'SM4')


def leads_to(method, state):
    """The state of the key after @method succeeded in @state of STATES."""
    state, _, before = state.partition(' of ')
    return {'EnableKey': 'Enabled', 'DisableKey': 'Disabled', 'ImportKeyMaterial': 'Enabled',
            'DeleteKeyMaterial': state if before else 'PendingImport', 'ScheduleKeyDeletion': 'PendingDeletion',
            'CancelKeyDeletion': before}.get(method, state)


class Subject:
    """An EXTERNAL key in @state, and what is needed to call every method on it."""

    def __init__(self, kms, state, spec, usage='ENCRYPT_DECRYPT'):
        self.kms, self.material = kms, key_of(spec)
        self.key, self.other = kms.external_key(KeySpec=spec, KeyUsage=usage), kms.own_key()
        self.parameters = kms.parameters(self.key, 'RSA_AES_KEY_WRAP_SHA_256')
        self.import_again()
        if spec in SYMMETRIC:
            self.blob = kms.Encrypt(self.key, b64(b'x'))['CiphertextBlob']
        self.other_blob = kms.Encrypt(self.other, b64(b'x'))['CiphertextBlob']
        self.aliases = [f'alias/{name}/{self.key}' for name in ('own', 'other', 'new')]
        kms.CreateAlias(self.aliases[0], self.key)
        kms.CreateAlias(self.aliases[1], self.other)
        kms.TagResource(self.key, {'name': 'value'})
        self.grant = kms.GrantKey(self.key, ['Encrypt'], User=BOB)['GrantId']
        if 'Disabled' in state:
            kms.DisableKey(self.key)
        if 'PendingImport' in state:
            kms.DeleteKeyMaterial(self.key)
        if 'PendingDeletion' in state:
            kms.ScheduleKeyDeletion(self.key)

    def import_again(self):
        send(self.kms, self.parameters, wrapped(self.parameters, 'key wrap', self.material))

    def do(self, method):
        return {
            'Encrypt': lambda: self.kms.Encrypt(self.key, b64(b'x')),
            'Decrypt': lambda: self.kms.Decrypt(self.blob),
            'Decrypt with KeyId': lambda: self.kms.Decrypt(self.blob, KeyId=self.key),
            'ReEncrypt from': lambda: self.kms.ReEncrypt(self.blob, self.other),
            'ReEncrypt to': lambda: self.kms.ReEncrypt(self.other_blob, self.key),
            'ListKeys': self.kms.ListKeys,
            'Sign': lambda: self.kms.Sign(self.key, b64(b'x'), 'ECDSA_SHA_256'),
            'Verify': lambda: self.kms.Verify(self.key, b64(b'x'), b64(b'y'), 'RSA_PSS_SHA_256'),
            'AsymmetricEncrypt': lambda: self.kms.AsymmetricEncrypt(self.key, b64(b'x'), 'SM2PKE'),
            'AsymmetricDecrypt': lambda: self.kms.AsymmetricDecrypt(
                self.key, b64(self.material.encrypt('RSAES_OAEP_SHA_1', b'x')), 'RSAES_OAEP_SHA_1'),
            'GenerateMac': lambda: self.kms.GenerateMac(self.key, b64(b'x'), 'HMAC_SHA_256'),
            'VerifyMac': lambda: self.kms.VerifyMac(self.key, b64(b'x'), b64(b'y'), 'HMAC_SHA_512'),
            'GrantKey': lambda: self.kms.GrantKey(self.key, ['Decrypt'], User=BOB),
            'RevokeGrant': lambda: self.kms.RevokeGrant(self.key, self.grant),
            'ListGrants': lambda: self.kms.ListGrants(self.key),
            'UpdateKeyDescription': lambda: self.kms.UpdateKeyDescription(self.key, 'described'),
            'CreateAlias': lambda: self.kms.CreateAlias(self.aliases[2], self.key),
            'UpdateAlias to': lambda: self.kms.UpdateAlias(self.aliases[1], self.key),
            'UpdateAlias from': lambda: self.kms.UpdateAlias(self.aliases[0], self.other),
            'DeleteAlias': lambda: self.kms.DeleteAlias(self.aliases[0]),
            'ListAliases': lambda: self.kms.ListAliases(KeyId=self.key),
            'TagResource': lambda: self.kms.TagResource(self.key, {'name': 'other', 'more': ''}),
            'UntagResource': lambda: self.kms.UntagResource(self.key, ['name']),
            'GetParametersForImport': lambda: self.kms.parameters(self.key),
            'ImportKeyMaterial': self.import_again,
        }.get(method, lambda: getattr(self.kms, method)(self.key))()


@pytest.fixture(scope='module')
def seen(request):
    """{method: {state: answer}}, printed at the end: the table as it is, not as it should be."""
    table = {method: {} for method in TABLE}
    yield table
    with request.config.pluginmanager.getplugin('capturemanager').global_and_fixture_disabled():
        print('#', ''.ljust(31), *(state.replace('PendingDeletion of ', 'Deletion/').ljust(22) for state in STATES))
        for method, answers in table.items():
            print('#', method.ljust(31), *(answers.get(state, '').ljust(22) for state in STATES), flush=True)


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('method', TABLE)
def test_ws_10_vendors_22_48_71_and_80_to_86_table(kms, seen, method, state):
    subject = Subject(kms, state, *KINDS.get(method, SYMMETRIC[len(method) % 2:][:1]))
    error = TABLE[method][STATES.index(state)]
    before = kms.describe(subject.key)
    assert before['KeyState'] == state.partition(' of ')[0]
    try:
        subject.do(method)
        answer = OK
    except DBusError as refusal:
        answer = refusal.name
    after = kms.describe(subject.key)
    seen[method][state] = after['KeyState'] if answer is OK else answer
    assert answer == error
    if error is OK:
        assert after['KeyState'] == leads_to(method, state)
    else:
        assert after == before
    if after['KeyState'] == 'PendingDeletion' == before['KeyState']:
        assert after['DeleteDate'] == before['DeleteDate'] > 0
    assert (after['DeleteDate'] == 0) == (after['KeyState'] != 'PendingDeletion')


def test_ws_04_vendors_75_first_time_in_pending_import(kms):
    key = kms.external_key()
    for call in (lambda: kms.Encrypt(key, b64(b'x')), lambda: kms.GenerateDataKey(key),
                 lambda: kms.GenerateDataKeyWithoutPlaintext(key), lambda: kms.EnableKey(key),
                 lambda: kms.DisableKey(key)):
        with refused('KeyPendingImport'):
            call()


@pytest.mark.parametrize('make', ['own_key', 'imported_key'])
def test_vendors_76_disabled_key(kms, make):
    key = getattr(kms, make)()
    blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
    assert kms.DisableKey(key)['KeyState'] == 'Disabled'
    with refused('KeyDisabled'):
        kms.Encrypt(key, b64(b'x'))
    with refused('KeyDisabled'):
        kms.Decrypt(blob)
    assert kms.EnableKey(key)['KeyState'] == 'Enabled'
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'


def test_vendors_77_enable_or_disable_in_pending_import(kms):
    key = kms.external_key()
    for method in (kms.EnableKey, kms.DisableKey):
        with refused('KeyPendingImport'):
            method(key)


def test_vendors_78_and_79_enable_and_disable_twice(kms):
    key = kms.own_key()
    with kms.signals() as signals:
        for method, state in [(kms.EnableKey, 'Enabled'), (kms.DisableKey, 'Disabled'), (kms.DisableKey, 'Disabled'),
                              (kms.EnableKey, 'Enabled'), (kms.EnableKey, 'Enabled')]:
            answer = method(key)
            assert (answer['KeyId'], answer['KeyState']) == (key, state)
        assert signals.so_far() == [('KeyChanged', key, 'Disabled', 'Disabled'),
                                    ('KeyChanged', key, 'Enabled', 'Enabled')]


@pytest.mark.parametrize('disable', [False, True])
def test_vendors_68_and_69_delete_material(kms, disable):
    key = kms.imported_key(expires=4_000_000_000)
    if disable:
        kms.DisableKey(key)
    answer = kms.DeleteKeyMaterial(key)
    assert (answer['KeyId'], answer['KeyState']) == (key, 'PendingImport')
    assert kms.describe(key)['MaterialExpireTime'] == 0
    with refused('KeyPendingImport'):
        kms.Encrypt(key, b64(b'x'))


def test_vendors_70_ws_07_delete_material_that_is_not_there(kms):
    for key in (kms.external_key(), kms.imported_key()):
        for _ in range(2):
            assert kms.DeleteKeyMaterial(key)['KeyState'] == 'PendingImport'


def test_vendors_72_delete_material_of_own_origin(kms):
    key = kms.own_key()
    with refused('NotExternalKey'):
        kms.DeleteKeyMaterial(key)
    kms.Encrypt(key, b64(b'x'))


def test_vendors_73_the_rest_of_the_key_is_kept(kms):
    key = kms.external_key(Description='kept', KeySpec='SM4', Alias='alias/kept', Tags={'name': 'kept'})
    before = kms.describe(key)
    kms.import_material(key, os.urandom(16))
    kms.DeleteKeyMaterial(key)
    assert kms.describe(key) == before
    assert (before['Description'], before['Aliases'], before['Tags']) == ('kept', ['alias/kept'], {'name': 'kept'})


def test_states_outlive_restart_and_kill(machine, kms):
    keys = {'Enabled': kms.imported_key(), 'Disabled': kms.own_key(), 'PendingImport': kms.imported_key(),
            'PendingDeletion': kms.own_key()}
    kms.DisableKey(keys['Disabled'])
    kms.DeleteKeyMaterial(keys['PendingImport'])
    kms.ScheduleKeyDeletion(keys['PendingDeletion'])
    for stop in (machine.stop, machine.kill):
        stop()
        machine.start()
        assert {kms.state(key): key for key in keys.values()} == keys


def test_no_method_is_forgotten():
    """Whoever adds a method adds its row above."""
    assert {name.split()[0] for name in TABLE} | {'CreateKey', 'GetStatus', 'Recover'} == set(METHODS)

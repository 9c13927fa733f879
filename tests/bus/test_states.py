# SPDX-License-Identifier: Apache-2.0
"""The table of states and methods, and what moves a key from one state to another."""
import os

import pytest

from client import METHODS, b64, refused, unb64
from openssl_keys import key_of
from wrapping import send, wrapped

OK = None
# What each method answers in the states Enabled, Disabled and PendingImport. PendingDeletion comes with the methods
# that lead to it.
TABLE = {
    'Encrypt': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'Decrypt': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'Decrypt with KeyId': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'ReEncrypt from': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'ReEncrypt to': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'GenerateDataKey': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'GenerateDataKeyWithoutPlaintext': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'Sign': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'Verify': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'AsymmetricEncrypt': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'AsymmetricDecrypt': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'GenerateMac': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'VerifyMac': (OK, 'KeyDisabled', 'KeyPendingImport'),
    'GetPublicKey': (OK, OK, 'KeyPendingImport'),
    'DescribeKey': (OK, OK, OK),
    'ListKeys': (OK, OK, OK),
    'UpdateKeyDescription': (OK, OK, OK),
    'EnableKey': (OK, OK, 'KeyPendingImport'),
    'DisableKey': (OK, OK, 'KeyPendingImport'),
    'GetParametersForImport': (OK, OK, OK),
    'ImportKeyMaterial': (OK, 'KeyDisabled', OK),
    'DeleteKeyMaterial': (OK, OK, OK),
}
STATES = ('Enabled', 'Disabled', 'PendingImport')
# Where a success leads, if not back to the state it was.
LEADS_TO = {'EnableKey': 'Enabled', 'DisableKey': 'Disabled', 'ImportKeyMaterial': 'Enabled',
            'DeleteKeyMaterial': 'PendingImport'}
# What a method needs that not every key has; the others are called on keys of all kinds.
KINDS = {'Sign': ('EC_P256', 'SIGN_VERIFY'), 'Verify': ('RSA_2048', 'SIGN_VERIFY'),
         'AsymmetricEncrypt': ('EC_SM2', 'ENCRYPT_DECRYPT'), 'AsymmetricDecrypt': ('RSA_2048', 'ENCRYPT_DECRYPT'),
         'GenerateMac': ('HMAC_256', 'GENERATE_VERIFY_MAC'), 'VerifyMac': ('HMAC_512', 'GENERATE_VERIFY_MAC'),
         'GetPublicKey': ('EC_P384', 'SIGN_VERIFY'), 'EnableKey': ('EC_P256K', 'SIGN_VERIFY'),
         'ImportKeyMaterial': ('EC_P256', 'SIGN_VERIFY'), 'DeleteKeyMaterial': ('RSA_2048', 'SIGN_VERIFY'),
         'DescribeKey': ('EC_SM2', 'SIGN_VERIFY'), 'GetParametersForImport': ('RSA_3072', 'SIGN_VERIFY')}
SYMMETRIC = ('AES_256', 'SM4')


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
        if state == 'Disabled':
            kms.DisableKey(self.key)
        if state == 'PendingImport':
            kms.DeleteKeyMaterial(self.key)

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
            'UpdateKeyDescription': lambda: self.kms.UpdateKeyDescription(self.key, 'described'),
            'GetParametersForImport': lambda: self.kms.parameters(self.key),
            'ImportKeyMaterial': self.import_again,
        }.get(method, lambda: getattr(self.kms, method)(self.key))()


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('method', TABLE)
def test_ws_10_table(kms, method, state):
    subject = Subject(kms, state, *KINDS.get(method, SYMMETRIC[len(method) % 2:][:1]))
    error = TABLE[method][STATES.index(state)]
    before = kms.describe(subject.key)
    assert before['KeyState'] == state
    if error is OK:
        subject.do(method)
        assert kms.state(subject.key) == LEADS_TO.get(method, state)
    else:
        with refused(error):
            subject.do(method)
        assert kms.describe(subject.key) == before


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
    key = kms.external_key(Description='kept', KeySpec='SM4')
    before = kms.describe(key)
    kms.import_material(key, os.urandom(16))
    kms.DeleteKeyMaterial(key)
    assert kms.describe(key) == before


def test_states_outlive_restart_and_kill(machine, kms):
    keys = {'Enabled': kms.imported_key(), 'Disabled': kms.own_key(), 'PendingImport': kms.imported_key()}
    kms.DisableKey(keys['Disabled'])
    kms.DeleteKeyMaterial(keys['PendingImport'])
    for stop in (machine.stop, machine.kill):
        stop()
        machine.start()
        assert {kms.state(key): key for key in keys.values()} == keys


@pytest.mark.parametrize('method, arguments', [
    ('ScheduleKeyDeletion', ['KEY']), ('CancelKeyDeletion', ['KEY']),
    ('CreateAlias', ['alias/name', 'KEY']), ('UpdateAlias', ['alias/name', 'KEY']), ('DeleteAlias', ['alias/name']),
    ('ListAliases', []), ('TagResource', ['KEY', {'name': 'value'}]), ('UntagResource', ['KEY', ['name']]),
])
def test_ws_11_methods_of_later_versions(kms, method, arguments):
    key = kms.own_key()
    with kms.signals() as signals:
        with refused('UnsupportedOperation'):
            getattr(kms, method)(*[key if argument == 'KEY' else argument for argument in arguments])
        assert signals.so_far() == []
    assert kms.state(key) == 'Enabled'


def test_no_method_is_forgotten():
    """Whoever adds a method adds its row above."""
    later = {argument[0] for argument in test_ws_11_methods_of_later_versions.pytestmark[0].args[1]}
    named = {name.split()[0] for name in TABLE} | later | {'CreateKey', 'GetStatus'}
    assert named == set(METHODS)

# SPDX-License-Identifier: Apache-2.0
"""Expiry of material: refused from that second on, erased, signalled, and importable again."""
import os
import time

import pytest

from harness import new_machine
from client import b64, refused, unb64
from state import row_of_key

START = 2_000_000_000


@pytest.fixture
def own():
    """A machine whose clock stands still at START."""
    with new_machine(clock=START) as machine:
        yield machine


def uses(kms, key, blob):
    """Every method that needs the material of @key."""
    return [
        lambda: kms.Encrypt(key, b64(b'x')),
        lambda: kms.Decrypt(blob),
        lambda: kms.Decrypt(blob, KeyId=key),
        lambda: kms.ReEncrypt(blob, key),
        lambda: kms.GenerateDataKey(key),
        lambda: kms.GenerateDataKeyWithoutPlaintext(key),
    ]


def test_vendors_65_and_66_unusable_from_that_second_on(own):
    kms = own.client()
    key = kms.imported_key(expires=START + 100)
    blob = kms.Encrypt(key, b64(b'warm'))['CiphertextBlob']
    own.stop_clock(START + 99)
    for use in uses(kms, key, blob):
        use()
    assert kms.describe(key)['MaterialExpireTime'] == START + 100
    own.stop_clock(START + 100)
    for use in uses(kms, key, blob):
        with refused('KeyPendingImport'):
            use()
    described = kms.describe(key)
    assert (described['KeyState'], described['MaterialExpireTime']) == ('PendingImport', 0)
    assert [entry['KeyId'] for entry in kms.ListKeys(KeyState='PendingImport')['Keys']] == [key]
    assert kms.ListKeys(KeyState='Enabled')['Keys'] == []


@pytest.mark.parametrize('first_call', ['describe', 'encrypt', 'list', 'enable', 'import'])
def test_vendors_66_every_method_sees_it_first(own, first_call):
    kms = own.client()
    material = os.urandom(32)
    key = kms.imported_key(material, expires=START + 100)
    parameters = kms.parameters(key)
    own.stop_clock(START + 100)
    if first_call == 'describe':
        assert kms.state(key) == 'PendingImport'
    if first_call == 'encrypt':
        with refused('KeyPendingImport'):
            kms.Encrypt(key, b64(b'x'))
    if first_call == 'list':
        assert [entry['KeyState'] for entry in kms.ListKeys()['Keys']] == ['PendingImport']
    if first_call == 'enable':
        with refused('KeyPendingImport'):
            kms.EnableKey(key)
    if first_call == 'import':
        assert kms.import_with(parameters, material)['KeyState'] == 'Enabled'


def test_vendors_67_re_import_with_a_later_expiry(own):
    kms = own.client()
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    kms.import_with(parameters, material, KeyMaterialExpireUnix=START + 100)
    blob = kms.Encrypt(key, b64(b'old'))['CiphertextBlob']
    own.stop_clock(START + 200)
    assert kms.state(key) == 'PendingImport'
    answer = kms.import_with(parameters, material, KeyMaterialExpireUnix=START + 300)
    assert (answer['KeyState'], answer['MaterialExpireTime']) == ('Enabled', START + 300)
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'old'
    own.stop_clock(START + 300)
    assert kms.state(key) == 'PendingImport'


def test_vendors_45_ws_06_other_material_after_expiry(own):
    kms = own.client()
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    kms.import_with(parameters, material, KeyMaterialExpireUnix=START + 100)
    own.stop_clock(START + 100)
    for restart in (False, True):
        if restart:
            own.restart()
        with refused('MaterialMismatch'):
            kms.import_with(parameters, os.urandom(32))
        assert kms.state(key) == 'PendingImport'
    assert kms.import_with(parameters, material)['KeyState'] == 'Enabled'


def test_a_longer_expiry_holds_and_a_shorter_one_too(own):
    kms = own.client()
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    for expires in (START + 100, START + 300, START + 200):
        kms.import_with(parameters, material, KeyMaterialExpireUnix=expires)
    own.stop_clock(START + 199)
    assert kms.state(key) == 'Enabled'
    own.stop_clock(START + 200)
    assert kms.state(key) == 'PendingImport'


def test_disabled_key_becomes_pending_import_and_then_enabled(own):
    kms = own.client()
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    kms.import_with(parameters, material, KeyMaterialExpireUnix=START + 100)
    kms.DisableKey(key)
    own.stop_clock(START + 100)
    assert kms.state(key) == 'PendingImport'
    assert kms.import_with(parameters, material)['KeyState'] == 'Enabled'
    assert kms.state(key) == 'Enabled'


@pytest.mark.parametrize('stop', ['stop', 'kill'])
def test_what_expired_while_cmkd_was_down_is_gone_at_start(own, stop):
    kms = own.client()
    expired, kept = kms.imported_key(expires=START + 100), kms.imported_key(expires=START + 10_000)
    getattr(own, stop)()
    own.stop_clock(START + 100)
    own.start()
    assert (kms.state(expired), kms.state(kept)) == ('PendingImport', 'Enabled')
    assert row_of_key(own, expired)['envelope'] is None  # erased, not only refused


def test_vendors_66_the_timer_erases_and_signals(kms, machine):
    with kms.signals() as signals:
        keys = [kms.external_key() for _ in range(2)]
        pairs = [kms.parameters(key) for key in keys]
        expires = int(time.time()) + 6
        for parameters in pairs:
            kms.import_with(parameters, os.urandom(32), KeyMaterialExpireUnix=expires)
        for key in keys:
            signals.wait_for('KeyChanged', key, 'PendingImport', 'MaterialExpired')
        assert int(time.time()) >= expires
        for key in keys:
            assert kms.state(key) == 'PendingImport'
            assert signals.so_far().count(('KeyChanged', key, 'PendingImport', 'MaterialExpired')) == 1


def test_the_timer_follows_a_re_import(kms, machine):
    """A sooner expiry of a second key and a cleared one of a first must not confuse it."""
    with kms.signals() as signals:
        first, second, material = kms.external_key(), kms.external_key(), os.urandom(32)
        parameters = kms.parameters(first), kms.parameters(second)
        expires = int(time.time()) + 6
        kms.import_with(parameters[0], material, KeyMaterialExpireUnix=expires)
        kms.import_with(parameters[0], material)
        kms.import_with(parameters[1], material, KeyMaterialExpireUnix=expires)
        signals.wait_for('KeyChanged', second, 'PendingImport', 'MaterialExpired')
        assert kms.state(first) == 'Enabled'

# SPDX-License-Identifier: Apache-2.0
"""ImportKeyMaterial and DeleteKeyMaterial: what is taken, what it changes, and the binding of a key to its material."""
import os

import pytest
from gi.repository import GLib

from client import MATERIAL_SIZE, PADDINGS, UNKNOWN_KEY, DBusError, b64, refused, unb64, wrap

INT64_MIN, INT64_MAX = -2**63, 2**63 - 1
LAST_SECOND = 253402300799  # of the year 9999


def plain(kms, blob):
    return unb64(kms.Decrypt(blob)['Plaintext'])


ALGORITHMS = [name for name in PADDINGS if name != 'none']


@pytest.mark.parametrize('algorithm', ALGORITHMS)
@pytest.mark.parametrize('spec, wrapping_spec', [
    ('AES_256', 'RSA_2048'), ('AES_256', 'RSA_3072'), ('AES_256', 'RSA_4096'), ('SM4', 'RSA_2048'),
])
def test_vendors_23_valid_material_no_expiry(kms, spec, wrapping_spec, algorithm):
    key = kms.external_key(KeySpec=spec)
    answer = kms.import_with(kms.parameters(key, algorithm, wrapping_spec), os.urandom(MATERIAL_SIZE[spec]))
    del answer['RequestId']
    assert answer == {'KeyId': key, 'KeyState': 'Enabled', 'MaterialExpireTime': 0}
    assert kms.state(key) == 'Enabled'
    assert plain(kms, kms.Encrypt(key, b64(b'hello'))['CiphertextBlob']) == b'hello'


def test_vendors_24_expiry_0_is_never(kms):
    key = kms.external_key()
    assert kms.import_material(key, os.urandom(32), KeyMaterialExpireUnix=0)['MaterialExpireTime'] == 0
    assert kms.describe(key)['MaterialExpireTime'] == 0


@pytest.mark.parametrize('expires', [2147443200, 2147443201, 2**31 - 1, 2**31, 2**32, LAST_SECOND])
def test_vendors_25_and_27_expiry_in_the_future(kms, expires):
    key = kms.external_key()
    assert kms.import_material(key, os.urandom(32), KeyMaterialExpireUnix=expires)['MaterialExpireTime'] == expires
    assert kms.describe(key)['MaterialExpireTime'] == expires


@pytest.mark.parametrize('expires', [
    INT64_MIN, -1, 1, 'now - 1', 'now', LAST_SECOND + 1, 'now in milliseconds', INT64_MAX,
])
def test_vendors_26_bi_12_expiry_out_of_range(machine, kms, expires):
    key = kms.external_key()
    parameters = kms.parameters(key)
    now = machine.now()
    expires = {'now - 1': now - 1, 'now': now, 'now in milliseconds': now * 1000}.get(expires, expires)
    with refused('InvalidParameter') as refusal:
        kms.import_with(parameters, os.urandom(32), KeyMaterialExpireUnix=expires)
    assert 'KeyMaterialExpireUnix' in refusal.message
    assert kms.state(key) == 'PendingImport'
    assert kms.import_with(parameters, os.urandom(32))['KeyState'] == 'Enabled'


def test_bi_12_milliseconds_are_named(machine, kms):
    with refused('InvalidParameter') as refusal:
        kms.import_material(kms.external_key(), os.urandom(32), KeyMaterialExpireUnix=(machine.now() + 60) * 1000)
    assert 'milliseconds' in refusal.message


def test_vendors_39_and_40_tk_07_pairs_are_reusable_and_older_ones_work(kms):
    key, material = kms.external_key(), os.urandom(32)
    older, newer = kms.parameters(key), kms.parameters(key)
    for parameters in (older, older, newer, older):
        assert kms.import_with(parameters, material)['KeyState'] == 'Enabled'


def test_vendors_41_and_42_ws_05_re_import_replaces_only_the_expiry(machine, kms):
    key, material = kms.external_key(Description='kept'), os.urandom(32)
    later = machine.now() + 3600
    kms.import_material(key, material)
    blob = kms.Encrypt(key, b64(b'before'))['CiphertextBlob']
    before = kms.describe(key)
    for options, expires in [({'KeyMaterialExpireUnix': later}, later),
                             ({'KeyMaterialExpireUnix': later + 1}, later + 1), ({}, 0)]:
        assert kms.import_material(key, material, **options)['MaterialExpireTime'] == expires
        assert kms.describe(key) == {**before, 'MaterialExpireTime': expires}
    assert plain(kms, blob) == b'before'


@pytest.mark.parametrize('what_before', ['nothing', 'delete', 'restart'])
def test_vendors_43_and_44_ws_06_other_material_never(machine, kms, what_before):
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    kms.import_with(parameters, material)
    blob = kms.Encrypt(key, b64(b'bound'))['CiphertextBlob']
    if what_before == 'delete':
        kms.DeleteKeyMaterial(key)
    if what_before == 'restart':
        machine.restart()
    before = kms.describe(key)
    with refused('MaterialMismatch'):
        kms.import_with(parameters, os.urandom(32), KeyMaterialExpireUnix=machine.now() + 60)
    assert kms.describe(key) == before
    kms.import_with(parameters, material)
    assert plain(kms, blob) == b'bound'


@pytest.mark.parametrize('spec', ['AES_256', 'SM4'])
def test_vendors_46_ws_08_delete_and_re_import(kms, spec):
    key, material = kms.external_key(KeySpec=spec), os.urandom(MATERIAL_SIZE[spec])
    kms.import_material(key, material)
    blob = kms.Encrypt(key, b64(b'old'))['CiphertextBlob']
    kms.DeleteKeyMaterial(key)
    with refused('KeyPendingImport'):
        kms.Decrypt(blob)
    kms.import_material(key, material)
    assert plain(kms, blob) == b'old'


def test_vendors_47_disabled_key(kms):
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    kms.import_with(parameters, material)
    kms.DisableKey(key)
    with refused('KeyDisabled'):
        kms.import_with(parameters, material)
    assert kms.state(key) == 'Disabled'
    kms.EnableKey(key)
    kms.import_with(parameters, material)


def test_vendors_49_ws_01_key_of_own_origin(kms):
    parameters = kms.parameters(kms.external_key())
    parameters['KeyId'] = kms.own_key()
    with refused('NotExternalKey'):
        kms.import_with(parameters, os.urandom(32))


@pytest.mark.parametrize('key_id, error', [
    (UNKNOWN_KEY, 'KeyNotFound'), ('alias/name', 'InvalidParameter'), ('', 'InvalidParameter'),
    ('../' + UNKNOWN_KEY[3:], 'InvalidParameter'),
])
def test_vendors_50_key_that_is_none(kms, key_id, error):
    parameters = kms.parameters(kms.external_key())
    with refused(error):
        kms.import_with({**parameters, 'KeyId': key_id}, os.urandom(32))
    with refused(error):
        kms.DeleteKeyMaterial(key_id)


def test_vendors_52_ws_09_same_material_in_two_keys(kms):
    material = os.urandom(32)
    first, second = kms.imported_key(material), kms.imported_key(material)
    blob = kms.Encrypt(first, b64(b'of the first'))['CiphertextBlob']
    assert kms.Decrypt(blob)['KeyId'] == first
    with refused('InvalidCiphertext'):
        kms.Decrypt(blob, KeyId=second)
    raw = unb64(blob)
    for old, new in [(first.encode(), second.encode()),
                     (bytes.fromhex(first.replace('-', '')), bytes.fromhex(second.replace('-', '')))]:
        if old in raw:
            with refused('InvalidCiphertext'):
                kms.Decrypt(b64(raw.replace(old, new)))
            return
    raise AssertionError('the blob does not name its key')


def test_vendors_53_rejected_imports_change_nothing(machine, kms):
    material, expires = os.urandom(32), machine.now() + 3600
    for key in (kms.external_key(), kms.imported_key(material, expires=expires)):
        before, parameters = kms.describe(key), kms.parameters(key)
        with kms.signals() as signals:
            for bad in (os.urandom(31), os.urandom(33), b'\0'):
                with refused('IncorrectKeyMaterial'):
                    kms.import_with(parameters, bad)
            with refused('InvalidImportToken'):
                kms.import_with({**parameters, 'ImportToken': b64(os.urandom(200))}, material)
            with refused('InvalidParameter'):
                kms.import_with(parameters, material, KeyMaterialExpireUnix=1)
            assert signals.so_far() == []
        assert kms.describe(key) == before
        assert kms.import_with(parameters, material)['KeyState'] == 'Enabled'


def test_vendors_54_a_failed_first_import_binds_nothing(kms):
    key = kms.external_key()
    parameters = kms.parameters(key)
    with refused('IncorrectKeyMaterial'):
        kms.ImportKeyMaterial(key, wrap('RSAES_PKCS1_V1_5', parameters['PublicKey'], b'A' * 32),
                              parameters['ImportToken'])
    assert kms.import_with(parameters, b'B' * 32)['KeyState'] == 'Enabled'


@pytest.mark.parametrize('material', [bytes(32), b'\xff' * 32, b'\1' * 32, b'0123456789abcdef' * 2], ids=bytes.hex)
def test_bi_13_material_is_not_judged(kms, material):
    key = kms.imported_key(material)
    assert plain(kms, kms.Encrypt(key, b64(b'x'))['CiphertextBlob']) == b'x'


def test_sequence_is_answered_back(kms):
    key, material = kms.external_key(), os.urandom(32)
    parameters = kms.parameters(key)
    sequence = '919c82d4-8046-4722-9094-35c3c6524cFF'
    assert kms.import_with(parameters, material, Sequence=sequence)['Sequence'] == sequence
    assert 'Sequence' not in kms.import_with(parameters, material)


@pytest.mark.parametrize('options', [
    {'Sequence': ''}, {'Sequence': 'a' * 35}, {'Sequence': 'a' * 37}, {'Sequence': 'a' * 35 + '_'},
    {'Sequence': 'ü' * 36}, {'Sequence': GLib.Variant('x', 1)},
    {'KeyMaterialExpireUnix': GLib.Variant('u', 4000000000)},
    {'KeyMaterialExpireUnix': GLib.Variant('s', '4000000000')},
    {'ValidTo': GLib.Variant('x', 4000000000)},
], ids=str)
def test_options_of_the_wrong_form(kms, options):
    key = kms.external_key()
    with refused('InvalidParameter') as refusal:
        kms.import_material(key, os.urandom(32), **options)
    assert next(iter(options)) in refusal.message
    assert kms.state(key) == 'PendingImport'


def test_signals_of_imports(machine, kms):
    key, material = kms.external_key(), os.urandom(32)
    with kms.signals() as signals:
        kms.import_material(key, material)
        kms.import_material(key, material, KeyMaterialExpireUnix=machine.now() + 3600)
        with pytest.raises(DBusError):
            kms.import_material(key, os.urandom(32))
        kms.DeleteKeyMaterial(key)
        kms.DeleteKeyMaterial(key)
        assert signals.so_far() == [
            ('KeyChanged', key, 'Enabled', 'MaterialImported'),
            ('KeyChanged', key, 'Enabled', 'MaterialImported'),
            ('KeyChanged', key, 'PendingImport', 'MaterialDeleted'),
        ]

# SPDX-License-Identifier: Apache-2.0
"""Input of the wrong form, for every method: refused before anything happens."""
import os

import pytest
from gi.repository import Gio, GLib

from harness import new_machine
from client import BUS_NAME, METHODS, OBJECT_PATH, UNKNOWN_KEY, DBusError, b64, refused

INVALID_ARGS = 'org.freedesktop.DBus.Error.InvalidArgs'
KEYS, IMPORT, CRYPTO, SERVICE = (f'{BUS_NAME}.{name}' for name in ('Keys', 'Import', 'Crypto', 'Service'))
SAMPLES = {'s': UNKNOWN_KEY, 'a{sv}': {}, 'a{ss}': {}, 'as': [], 'i': 7}


@pytest.fixture(scope='module')
def machine():
    """Without ready pairs, so that nothing but the calls of a test speaks to the TPM."""
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}) as machine:
        yield machine


@pytest.fixture(scope='module')
def key(kms):
    return kms.imported_key()


def types_of(signature):
    types, rest = [], signature
    while rest:
        size = next(len(known) for known in ('a{sv}', 'a{ss}', 'as', 's') if rest.startswith(known))
        types.append(rest[:size])
        rest = rest[size:]
    return types


@pytest.mark.parametrize('method', METHODS)
def test_bi_01_missing_extra_and_wrongly_typed_arguments(machine, kms, key, method):
    interface, signature = METHODS[method]
    types = types_of(signature)
    wrong = [types + ['s'], types + ['a{sv}'], *([types[:-1]] if types else []),
             *(types[:place] + ['i'] + types[place + 1:] for place in range(len(types)))]
    before = kms.describe(key)
    with machine.tpm_commands() as commands:
        for arguments in wrong:
            with refused(INVALID_ARGS):
                kms.call(interface, method, ''.join(arguments), *(SAMPLES[name] for name in arguments))
    assert commands == []
    assert kms.describe(key) == before


@pytest.mark.parametrize('method, arguments', [
    ('CreateKey', []), ('ListKeys', []), ('GetParametersForImport', ['KEY', 'RSAES_OAEP_SHA_256', 'RSA_2048']),
    ('ImportKeyMaterial', ['KEY', 'AAAA', 'AAAA']), ('Encrypt', ['KEY', 'AAAA']), ('Decrypt', ['AAAA']),
    ('ReEncrypt', ['AAAA', 'KEY']), ('GenerateDataKey', ['KEY']), ('GenerateDataKeyWithoutPlaintext', ['KEY']),
    ('Sign', ['KEY', 'AAAA', 'ECDSA_SHA_256']), ('Verify', ['KEY', 'AAAA', 'AAAA', 'ECDSA_SHA_256']),
    ('ScheduleKeyDeletion', ['KEY']), ('ListAliases', []),
])
def test_unknown_options_are_never_ignored(kms, key, method, arguments):
    with refused('InvalidParameter') as refusal:
        getattr(kms, method)(*[key if argument == 'KEY' else argument for argument in arguments],
                             Origen=GLib.Variant('s', 'EXTERNAL'))
    assert 'Origen' in refusal.message


@pytest.mark.parametrize('name, echoed', [
    ('Name_1', True), ('n' * 64, True), ('n' * 65, False), ('', False), ('a b', False), ('ü', False), ('%s%n', False),
    ('\x1b[31m', False),
])
def test_option_names_are_echoed_only_when_harmless(kms, name, echoed):
    with refused('InvalidParameter') as refusal:
        kms.CreateKey(**{name: GLib.Variant('s', 'value-of-it')})
    assert (name in refusal.message and name != '') == echoed
    assert 'value-of-it' not in refusal.message


def test_an_option_twice(kms, key):
    def options(*pairs):
        return GLib.Variant.new_array(GLib.VariantType('{sv}'), [
            GLib.Variant.new_dict_entry(GLib.Variant('s', name), GLib.Variant('v', value)) for name, value in pairs])

    for method, arguments, name, value in [
            ('CreateKey', [], 'Origin', GLib.Variant('s', 'EXTERNAL')), ('ListKeys', [], 'Limit', GLib.Variant('u', 1)),
            ('CreateKey', [], 'Alias', GLib.Variant('s', 'alias/a')),
            ('ListAliases', [], 'Limit', GLib.Variant('u', 1)),
            ('ScheduleKeyDeletion', [key], 'PendingWindowInDays', GLib.Variant('u', 7)),
            ('Encrypt', [key, 'AAAA'], 'EncryptionContext', GLib.Variant('a{ss}', {'a': 'b'})),
            ('GenerateDataKey', [key], 'NumberOfBytes', GLib.Variant('u', 16))]:
        interface, signature = METHODS[method]
        body = GLib.Variant.new_tuple(*(GLib.Variant('s', argument) for argument in arguments),
                                      options((name, value), (name, value)))
        assert body.get_type_string() == f'({signature})'
        with refused('InvalidParameter') as refusal:
            kms.call_with(interface, method, body)
        assert name in refusal.message


@pytest.mark.parametrize('options', [
    {'Origin': GLib.Variant('i', 1)}, {'Description': GLib.Variant('as', ['x'])}, {'Tags': GLib.Variant('a{sv}', {})},
    {'KeySpec': GLib.Variant('v', GLib.Variant('s', 'SM4'))}, {'KeyUsage': GLib.Variant('o', '/x')},
], ids=str)
def test_options_of_the_wrong_type(kms, options):
    with refused('InvalidParameter') as refusal:
        kms.CreateKey(**options)
    assert next(iter(options)) in refusal.message


BAD_IDS = ['', 'x', UNKNOWN_KEY[:-1], UNKNOWN_KEY + '0', UNKNOWN_KEY.replace('0', 'A'), UNKNOWN_KEY.replace('-', ''),
           '../' + UNKNOWN_KEY[3:], '{' + UNKNOWN_KEY[1:-1] + '}', UNKNOWN_KEY[:-1] + '\n', ' ' + UNKNOWN_KEY[1:],
           '%n' * 18, 'ü' * 18, 'q' * (1 << 16), 'alias/', 'alias/a b', 'alias/' + 'a' * 256, 'ALIAS/name']


@pytest.mark.parametrize('method, more', [
    ('DescribeKey', []), ('EnableKey', []), ('DisableKey', []), ('UpdateKeyDescription', ['text']),
    ('GetParametersForImport', ['RSAES_OAEP_SHA_256', 'RSA_2048']), ('ImportKeyMaterial', ['AAAA', 'AAAA']),
    ('DeleteKeyMaterial', []), ('Encrypt', ['AAAA']), ('GenerateDataKey', []), ('GenerateDataKeyWithoutPlaintext', []),
    ('Sign', ['AAAA', 'ECDSA_SHA_256']), ('Verify', ['AAAA', 'AAAA', 'ECDSA_SHA_256']), ('GetPublicKey', []),
    ('AsymmetricEncrypt', ['AAAA', 'SM2PKE']), ('AsymmetricDecrypt', ['AAAA', 'SM2PKE']),
    ('GenerateMac', ['AAAA', 'HMAC_SHA_256']), ('VerifyMac', ['AAAA', 'AAAA', 'HMAC_SHA_256']),
    ('ScheduleKeyDeletion', []), ('CancelKeyDeletion', []), ('TagResource', [{'a': 'b'}]), ('UntagResource', [['a']]),
])
def test_bi_02_key_ids(machine, kms, method, more):
    with machine.tpm_commands() as commands:
        for key_id in BAD_IDS:
            with refused('InvalidParameter') as refusal:
                getattr(kms, method)(key_id, *more)
            assert len(refusal.message) < 500
            assert key_id in ('', 'x', 'alias/') or key_id not in refusal.message
        with refused('KeyNotFound') as refusal:
            getattr(kms, method)(UNKNOWN_KEY, *more)
        assert UNKNOWN_KEY not in refusal.message
    assert commands == []


# 'AAAA' is three zero bytes. Only the canonical text of some bytes is taken.
NOT_BASE64 = {
    'white space': 'AA AA', 'newline': 'AAAA\n', 'leading space': ' AAAA', 'line break': 'AAAA\r\nAAAA',
    'no padding': 'AAA', 'one pad too few': 'AA=', 'padding only': '====', 'padding inside': 'AA==AAAA',
    'more padding': 'AAAA====', 'one left': 'AAAAA', 'spare bits after two bytes': 'AAB=',
    'spare bits after one byte': 'AB==', 'URL alphabet': 'AA-_', 'not ASCII': 'AAAü', 'comma': 'AA,A',
}


@pytest.mark.parametrize('text', NOT_BASE64.values(), ids=NOT_BASE64)
def test_bi_06_base64(kms, key, text):
    parameters = kms.parameters(key)
    for call in (lambda: kms.Encrypt(key, text), lambda: kms.Decrypt(text), lambda: kms.ReEncrypt(text, key),
                 lambda: kms.ImportKeyMaterial(key, text, parameters['ImportToken']),
                 lambda: kms.ImportKeyMaterial(key, b64(bytes(256)), text)):
        with refused('InvalidParameter') as refusal:
            call()
        assert text not in refusal.message


def test_bi_06_a_canonical_token_with_anything_around_it(kms):
    parameters = kms.parameters(kms.external_key())
    token = parameters['ImportToken']
    for changed in (token + '\n', ' ' + token, token[:8] + '\n' + token[8:], token.rstrip('=') + '=' * 5):
        with refused('InvalidParameter'):
            kms.import_with({**parameters, 'ImportToken': changed}, b'M' * 32)
    kms.import_with(parameters, b'M' * 32)


@pytest.mark.parametrize('interface, name, value', [
    (SERVICE, 'Version', GLib.Variant('s', '0')), (SERVICE, 'TpmState', GLib.Variant('s', 'ok')),
    (SERVICE, 'Unknown', GLib.Variant('s', '')), (KEYS, 'Version', GLib.Variant('s', '')),
    (f'{BUS_NAME}.Unknown', 'Version', GLib.Variant('s', '')),
])
def test_bi_18_no_property_can_be_set(kms, interface, name, value):
    with pytest.raises(DBusError) as refusal:
        kms.call('org.freedesktop.DBus.Properties', 'Set', 'ssv', interface, name, value)
    assert refusal.value.name.startswith('org.freedesktop.DBus.Error.')


def test_service_properties(kms):
    properties = kms.call('org.freedesktop.DBus.Properties', 'GetAll', 's', SERVICE)
    assert properties['TpmState'] == 'ok' and properties['Version']
    assert set(properties) == {'Version', 'TpmState', 'TpmManufacturer', 'TpmFirmware', 'StateStatus'}
    assert all(isinstance(value, str) for value in properties.values())
    assert 'RequestId' in kms.GetStatus()


@pytest.mark.parametrize('interface, method', [
    (f'{BUS_NAME}.Unknown', 'CreateKey'), (IMPORT, 'CreateKey'), (CRYPTO, 'Unknown'), (KEYS, 'createKey'),
    (BUS_NAME, 'CreateKey'),
])
def test_bi_18_unknown_interfaces_and_methods(kms, interface, method):
    with pytest.raises(DBusError) as refusal:
        kms.call(interface, method, 'a{sv}', {})
    assert refusal.value.name.startswith('org.freedesktop.DBus.Error.Unknown')


def test_bi_18_many_object_paths_cost_nothing():
    # AddressSanitizer keeps freed memory for a while, unless told not to.
    no_quarantine = os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=0:thread_local_quarantine_size_kb=0'
    with new_machine(environment={'ASAN_OPTIONS': no_quarantine}) as machine:
        kms = machine.client()
        assert KEYS in introspect(kms, OBJECT_PATH)
        before = machine.resident_bytes()
        for number in range(10_000):
            try:
                assert KEYS not in introspect(kms, f'{OBJECT_PATH}/{number}')
            except GLib.Error as error:
                assert DBusError.from_glib(error).name.startswith('org.freedesktop.DBus.Error.Unknown')
        assert machine.resident_bytes() - before < 4 << 20


def introspect(kms, path):
    return kms.connection.call_sync(BUS_NAME, path, 'org.freedesktop.DBus.Introspectable', 'Introspect', None, None,
                                    Gio.DBusCallFlags.NONE, -1, None).unpack()[0]


def test_bi_18_lists_are_paged(machine):
    kms = machine.client(4)
    made = []
    for _ in range(7):  # a user may have 256 calls under way
        calls = [kms.start('CreateKey', Origin='EXTERNAL', Description='x' * 64) for _ in range(143)]
        made += [call.result()['KeyMetadata']['KeyId'] for call in calls]
    assert len(kms.ListKeys()['Keys']) == 100
    page = kms.ListKeys(Limit=1000)
    assert GLib.Variant('a{sv}', {'Keys': GLib.Variant('as', [str(page['Keys'])])}).get_size() < 1 << 20
    rest = kms.ListKeys(Limit=1000, Marker=page['NextMarker'])
    assert rest['NextMarker'] == ''
    assert [entry['KeyId'] for entry in page['Keys'] + rest['Keys']] == made

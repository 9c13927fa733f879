# SPDX-License-Identifier: Apache-2.0
"""CreateKey, DescribeKey, ListKeys, UpdateKeyDescription."""
import re

import pytest
from gi.repository import GLib

from harness import ALICE, BOB
from client import UNKNOWN_KEY, refused

UUID = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}')


@pytest.mark.parametrize('origin, spec, state', [
    ('EXTERNAL', 'AES_256', 'PendingImport'),
    ('EXTERNAL', 'SM4', 'PendingImport'),
    ('CMKD_KMS', 'AES_256', 'Enabled'),
    ('CMKD_KMS', 'SM4', 'Enabled'),
])
def test_vendors_1_and_2_state_of_a_new_key(machine, kms, origin, spec, state):
    before = machine.now()
    created = kms.CreateKey(Origin=origin, KeySpec=spec, Description='of a test')['KeyMetadata']
    assert UUID.fullmatch(created['KeyId'])
    assert before <= created['CreationDate'] <= machine.now()
    assert created == {
        'KeyId': created['KeyId'], 'KeyState': state, 'KeySpec': spec, 'KeyUsage': 'ENCRYPT_DECRYPT',
        'Origin': origin, 'ProtectionLevel': 'SOFTWARE', 'Description': 'of a test', 'Creator': ALICE,
        'CreationDate': created['CreationDate'], 'DeleteDate': 0, 'MaterialExpireTime': 0, 'Aliases': [], 'Tags': {},
    }
    assert kms.describe(created['KeyId']) == created


def test_vendors_2_defaults(kms):
    created = kms.CreateKey()['KeyMetadata']
    assert (created['Origin'], created['KeySpec'], created['KeyUsage'], created['KeyState'], created['Description']) \
        == ('CMKD_KMS', 'AES_256', 'ENCRYPT_DECRYPT', 'Enabled', '')


@pytest.mark.parametrize('option, value', [
    *(('Origin', value) for value in ('', 'external', 'EXTERNAL ', ' EXTERNAL', 'EXTERNAL\n', 'KMS', 'cmkd_kms')),
    *(('KeySpec', value) for value in ('', 'aes_256', 'AES-256', 'AES_512', 'SM4 ', 'RSA_1024')),
    *(('KeyUsage', value) for value in ('', 'ENCRYPT/DECRYPT', 'encrypt_decrypt', 'SIGN')),
    *(('ProtectionLevel', value) for value in ('', 'HSM', 'software')),
])
def test_vendors_3_and_4_bi_03_values_are_exact(kms, option, value):
    with refused('InvalidParameter') as refusal:
        kms.CreateKey(**{option: value})
    assert option in refusal.message


@pytest.mark.parametrize('options', [
    {'KeySpec': 'AES_256', 'KeyUsage': 'SIGN_VERIFY'},
    {'KeySpec': 'SM4', 'KeyUsage': 'SIGN_VERIFY'},
    {'KeySpec': 'AES_256', 'KeyUsage': 'GENERATE_VERIFY_MAC'},
    {'KeySpec': 'SM4', 'KeyUsage': 'GENERATE_VERIFY_MAC'},
    *({'KeySpec': spec, 'KeyUsage': usage} for spec in ('HMAC_256', 'HMAC_384', 'HMAC_512')
      for usage in ('ENCRYPT_DECRYPT', 'SIGN_VERIFY')),
    *({'KeySpec': spec, 'KeyUsage': 'GENERATE_VERIFY_MAC'} for spec in ('RSA_2048', 'RSA_4096', 'EC_P256', 'EC_SM2')),
    *({'KeySpec': spec, 'KeyUsage': 'ENCRYPT_DECRYPT'} for spec in ('EC_P256', 'EC_P384', 'EC_P256K')),
], ids=str)
def test_vendors_4_bi_03_usage_that_does_not_fit_the_spec(kms, options):
    for origin in ('EXTERNAL', 'CMKD_KMS'):
        with refused('UnsupportedOperation'):
            kms.CreateKey(Origin=origin, **options)


def test_vendors_5_rotation_is_no_option(kms):
    with refused('InvalidParameter') as refusal:
        kms.CreateKey(Origin='EXTERNAL', EnableAutomaticRotation=GLib.Variant('b', True))
    assert 'EnableAutomaticRotation' in refusal.message


@pytest.mark.parametrize('origin', ['EXTERNAL', 'CMKD_KMS'])
@pytest.mark.parametrize('spec', ['HMAC_256', 'HMAC_384', 'HMAC_512', 'RSA_2048', 'RSA_3072', 'RSA_4096',
                                  'EC_P256', 'EC_P384', 'EC_P256K', 'EC_SM2'])
def test_vendors_6_every_spec_of_both_origins(kms, origin, spec):
    usages = {'HMAC': ['GENERATE_VERIFY_MAC'], 'RSA_': ['SIGN_VERIFY', 'ENCRYPT_DECRYPT'],
              'EC_S': ['SIGN_VERIFY', 'ENCRYPT_DECRYPT'], 'EC_P': ['SIGN_VERIFY']}[spec[:4]]
    assert kms.CreateKey(Origin=origin, KeySpec=spec)['KeyMetadata']['KeyUsage'] == usages[0]
    for usage in usages:
        created = kms.CreateKey(Origin=origin, KeySpec=spec, KeyUsage=usage)['KeyMetadata']
        assert (created['KeySpec'], created['KeyUsage'], created['KeyState']) == (
            spec, usage, 'Enabled' if origin == 'CMKD_KMS' else 'PendingImport')
        assert kms.describe(created['KeyId']) == created


def test_vendors_9_every_spec_is_listed(machine):
    kms = machine.client(6)
    made = {spec: kms.external_key(KeySpec=spec) for spec in ('AES_256', 'HMAC_512', 'RSA_2048', 'EC_P256', 'EC_SM2')}
    assert [key['KeyId'] for key in kms.ListKeys()['Keys']] == list(made.values())
    for spec, key in made.items():
        assert [entry['KeyId'] for entry in kms.ListKeys(KeySpec=spec)['Keys']] == [key]


@pytest.mark.parametrize('key, error', [
    (UNKNOWN_KEY, 'KeyNotFound'),
    ('alias/unknown', 'AliasNotFound'),
    ('', 'InvalidParameter'),
    ('not-a-key-id', 'InvalidParameter'),
    (UNKNOWN_KEY.replace('0', 'A'), 'InvalidParameter'),
])
def test_vendors_7_describe_what_is_not_there(kms, key, error):
    with refused(error):
        kms.DescribeKey(key)


def test_vendors_8_list_by_state_spec_and_origin(machine):
    kms = machine.client(BOB)
    waiting, enabled = kms.external_key(KeySpec='SM4'), kms.own_key()
    disabled = kms.own_key(KeySpec='SM4')
    kms.DisableKey(disabled)

    def ids(**filters):
        return [key['KeyId'] for key in kms.ListKeys(**filters)['Keys']]

    assert ids() == [waiting, enabled, disabled]
    assert ids(KeyState='PendingImport') == [waiting]
    assert ids(KeyState='Enabled') == [enabled]
    assert ids(KeyState='PendingDeletion') == []
    assert ids(KeySpec='SM4') == [waiting, disabled]
    assert ids(KeySpec='SM4', Origin='CMKD_KMS') == [disabled]
    assert ids(Origin='EXTERNAL', KeyState='Disabled') == []
    assert kms.ListKeys(Limit=1)['Keys'] == [kms.describe(waiting)]


@pytest.mark.parametrize('options', [
    {'Limit': 0}, {'Limit': 1001}, {'KeyState': 'enabled'}, {'KeyState': ''}, {'KeySpec': 'AES_128'}, {'Origin': 'ALL'},
    {'Marker': 'AAAA'}, {'Marker': '1'}, {'Marker': UNKNOWN_KEY}, {'Limit': GLib.Variant('i', 1)},
], ids=str)
def test_list_options_out_of_range(kms, options):
    with refused('InvalidParameter') as refusal:
        kms.ListKeys(**options)
    assert next(iter(options)) in refusal.message


def test_list_in_pages(machine):
    kms = machine.client(2)
    made = [kms.external_key() for _ in range(7)]
    pages, marker = [], None
    while marker != '':
        page = kms.ListKeys(Limit=3, **({'Marker': marker} if marker else {}))
        pages.append([key['KeyId'] for key in page['Keys']])
        marker = page['NextMarker']
        if len(pages) == 1:
            made.append(kms.external_key())
            kms.UpdateKeyDescription(made[0], 'changed between two pages')
    assert pages == [made[0:3], made[3:6], made[6:8]]


def test_an_altered_marker_is_refused(machine):
    kms = machine.client(3)
    for _ in range(2):
        kms.external_key()
    marker = kms.ListKeys(Limit=1)['NextMarker']
    assert marker
    altered = ('B' if marker[0] != 'B' else 'C') + marker[1:]
    with refused('InvalidParameter'):
        kms.ListKeys(Marker=altered)


def test_description_counts_characters(kms):
    longest = 'ü' * 8192
    key = kms.own_key(Description=longest)
    assert kms.describe(key)['Description'] == longest
    kms.UpdateKeyDescription(key, longest[1:] + '鑰')
    assert kms.describe(key)['Description'] == longest[1:] + '鑰'
    for call in (lambda text: kms.CreateKey(Description=text), lambda text: kms.UpdateKeyDescription(key, text)):
        with refused('InvalidParameter') as refusal:
            call(longest + 'x')
        assert '8192' in refusal.message
    assert kms.describe(key)['Description'] == longest[1:] + '鑰'


def test_signals_of_create_and_update(kms):
    with kms.signals() as signals:
        waiting, enabled = kms.external_key(), kms.own_key()
        for description in ('new', 'new'):
            assert kms.UpdateKeyDescription(enabled, description)['KeyId'] == enabled
        assert signals.so_far() == [
            ('KeyChanged', waiting, 'PendingImport', 'Created'),
            ('KeyChanged', enabled, 'Enabled', 'Created'),
            ('KeyChanged', enabled, 'Enabled', 'Updated'),
        ]


def test_every_answer_has_a_request_id_of_its_own(machine, kms):
    key = kms.own_key()
    calls = {'CreateKey': [], 'DescribeKey': [key], 'ListKeys': [], 'EnableKey': [key], 'GetStatus': []}
    ids = {method: getattr(kms, method)(*arguments)['RequestId'] for method, arguments in calls.items()}
    assert all(UUID.fullmatch(request_id) for request_id in ids.values())
    assert len(set(ids.values())) == len(ids)
    kms.GetStatus()  # entries are written behind their answers
    journal = machine.log.read_text()
    assert [method for method, request_id in ids.items() if request_id not in journal] == []

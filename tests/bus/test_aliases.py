# SPDX-License-Identifier: Apache-2.0
"""CreateAlias, UpdateAlias, DeleteAlias, ListAliases, CreateKey with an alias, and keys called by theirs."""
import os
import re

import pytest
from gi.repository import GLib

from harness import ALICE, BOB, new_machine
from client import METHODS, UNKNOWN_KEY, b64, refused, unb64
from state import edit, rows

PER_KEY = 50
LONGEST = 'alias/' + 'aZ9_/-' * 42 + 'abc'
BAD_NAMES = ['', 'alias/', 'name', 'Alias/name', 'alias', 'alias/' + 'a' * 256, 'alias/a b', 'alias/a.b', 'alias/a:b',
             'alias/ü', 'alias/a\n', 'alias/%n', ' alias/a', UNKNOWN_KEY, 'alias/' + 'q' * (1 << 16)]


@pytest.fixture(scope='module')
def bob(machine):
    return machine.client(BOB)


@pytest.fixture
def key(kms):
    return kms.own_key()


def new_alias():
    return f'alias/{os.urandom(8).hex()}'


def listed(kms, **options):
    """[(alias, key)] of all pages."""
    found, marker = [], None
    while marker != '':
        page = kms.ListAliases(**options, **({'Marker': marker} if marker else {}))
        found += [(entry['AliasName'], entry['KeyId']) for entry in page['Aliases']]
        assert all(set(entry) == {'AliasName', 'KeyId'} for entry in page['Aliases'])
        marker = page['NextMarker']
    return found


# Names

@pytest.mark.parametrize('name', [LONGEST, 'alias/a', 'alias//', 'alias/-', 'alias/_', 'alias/a/b', 'alias/alias/a'])
def test_vendors_94_names(kms, key, name):
    answer = kms.CreateAlias(name, key)
    del answer['RequestId']
    assert answer == {'AliasName': name, 'KeyId': key}
    assert kms.describe(name) == kms.describe(key)
    assert kms.describe(key)['Aliases'] == [name]
    assert kms.DeleteAlias(name)['AliasName'] == name
    assert kms.describe(key)['Aliases'] == []


@pytest.mark.parametrize('name', BAD_NAMES, ids=lambda name: name[:20])
def test_vendors_94_bad_names(kms, key, name):
    messages = set()
    for call in (lambda: kms.CreateAlias(name, key), lambda: kms.UpdateAlias(name, key), lambda: kms.DeleteAlias(name),
                 lambda: kms.CreateKey(Alias=name), lambda: kms.CreateAlias(name, UNKNOWN_KEY)):
        with refused('InvalidParameter') as refusal:
            call()
        messages.add(refusal.message)
    assert len(name) < 8 or not any(name in message for message in messages)
    assert kms.describe(key)['Aliases'] == []


def test_vendors_94_a_name_that_is_taken(kms, key):
    alias, other = new_alias(), kms.own_key()
    kms.CreateAlias(alias, key)
    before = len(listed(kms)), len(kms.ListKeys(Limit=1000)['Keys'])
    for call in (lambda: kms.CreateAlias(alias, key), lambda: kms.CreateAlias(alias, other),
                 lambda: kms.CreateKey(Alias=alias)):
        with refused('AliasAlreadyExists'):
            call()
    assert kms.describe(alias)['KeyId'] == key
    assert before == (len(listed(kms)), len(kms.ListKeys(Limit=1000)['Keys']))
    kms.CreateAlias(alias.upper().replace('ALIAS', 'alias'), other)  # another name


def test_vendors_95_no_alias_for_a_key_in_pending_deletion(kms, key):
    mine, others, other = new_alias(), new_alias(), kms.own_key()
    kms.CreateAlias(mine, key)
    kms.CreateAlias(others, other)
    kms.ScheduleKeyDeletion(key)
    for call in (lambda: kms.CreateAlias(new_alias(), key), lambda: kms.CreateAlias(new_alias(), mine),
                 lambda: kms.CreateAlias(others, key), lambda: kms.UpdateAlias(others, key)):
        with refused('KeyPendingDeletion'):
            call()
    assert kms.describe(mine)['KeyState'] == 'PendingDeletion'
    assert listed(kms, KeyId=key) == [(mine, key)]
    kms.UpdateAlias(mine, other)  # away from it
    assert kms.describe(key)['Aliases'] == []
    assert set(kms.describe(other)['Aliases']) == {mine, others}
    kms.UpdateAlias(mine, other)
    kms.DeleteAlias(mine)


def test_fifty_to_a_key(kms, key):
    names = [new_alias() for _ in range(PER_KEY)]
    for name in names:
        kms.CreateAlias(name, key)
    other = kms.own_key(Alias=(spare := new_alias()))
    for call in (lambda: kms.CreateAlias(new_alias(), key), lambda: kms.UpdateAlias(spare, key)):
        with refused('LimitExceeded'):
            call()
    assert kms.describe(spare)['KeyId'] == other
    kms.UpdateAlias(names[0], key)  # it is there already
    assert set(kms.describe(key)['Aliases']) == set(names)
    kms.DeleteAlias(names[7])
    kms.UpdateAlias(spare, key)
    assert len(listed(kms, KeyId=key)) == PER_KEY


# What is done to them

def test_create_key_with_an_alias(kms):
    alias = new_alias()
    with kms.signals() as signals:
        created = kms.CreateKey(Alias=alias)['KeyMetadata']
        assert created['Aliases'] == [alias]
        assert signals.so_far() == [('KeyChanged', created['KeyId'], 'Enabled', 'Created')]
    assert kms.describe(alias) == created
    assert listed(kms, KeyId=alias) == [(alias, created['KeyId'])]


def test_update_moves_it(kms, key):
    alias, other = new_alias(), kms.own_key(KeySpec='SM4')
    kms.CreateAlias(alias, key)
    blob = kms.Encrypt(alias, b64(b'old'))['CiphertextBlob']
    with kms.signals() as signals:
        answer = kms.UpdateAlias(alias, other)
        assert (answer['AliasName'], answer['KeyId']) == (alias, other)
        changed = {signal[1] for signal in signals.so_far()}
        assert {signal[3] for signal in signals.so_far()} == {'Updated'} and other in changed <= {key, other}
    assert (kms.describe(key)['Aliases'], kms.describe(other)['Aliases']) == ([], [alias])
    assert kms.Encrypt(alias, b64(b'new'))['KeyId'] == other
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'old'  # a blob names its key by id
    with refused('InvalidCiphertext'):
        kms.Decrypt(blob, KeyId=alias)


def test_an_alias_may_name_the_key_of_another_alias(kms, key):
    first, second = new_alias(), new_alias()
    kms.CreateAlias(first, key)
    assert kms.CreateAlias(second, first)['KeyId'] == key
    kms.DeleteAlias(first)
    assert kms.describe(second)['KeyId'] == key  # it stands for the key


def test_unknown_ones(kms, key):
    alias = new_alias()
    for call in (lambda: kms.UpdateAlias(alias, key), lambda: kms.DeleteAlias(alias), lambda: kms.DescribeKey(alias),
                 lambda: kms.CreateAlias(new_alias(), alias), lambda: kms.ListAliases(KeyId=alias)):
        with refused('AliasNotFound'):
            call()
    for call in (lambda: kms.CreateAlias(alias, UNKNOWN_KEY), lambda: kms.UpdateAlias(alias, UNKNOWN_KEY),
                 lambda: kms.ListAliases(KeyId=UNKNOWN_KEY)):
        with refused('KeyNotFound'):
            call()
    kms.CreateAlias(alias, key)
    kms.DeleteAlias(alias)
    with refused('AliasNotFound'):
        kms.DeleteAlias(alias)
    assert kms.state(key) == 'Enabled'


def test_signals(kms, key):
    alias = new_alias()
    updated = ('KeyChanged', key, 'Enabled', 'Updated')
    with kms.signals() as signals:
        kms.CreateAlias(alias, key)
        assert signals.so_far() == [updated]
        kms.UpdateAlias(alias, key)  # no change, no signal
        with refused('AliasAlreadyExists'):
            kms.CreateAlias(alias, key)
        assert signals.so_far() == [updated]
        kms.DeleteAlias(alias)
        assert signals.so_far() == [updated, updated]
        assert not any(alias in str(signal) for signal in signals.so_far())


def test_they_outlive_restart_and_kill(machine, kms, key):
    aliases = [new_alias() for _ in range(3)]
    for alias in aliases:
        kms.CreateAlias(alias, key)
    before = listed(kms)
    for stop in (machine.stop, machine.kill):
        stop()
        machine.start()
        assert listed(kms) == before
        assert set(kms.describe(aliases[2])['Aliases']) == set(aliases)


# Whose they are

def test_each_user_has_names_of_his_own(kms, bob, key):
    alias = new_alias()
    kms.CreateAlias(alias, key)
    for call in (lambda: bob.DescribeKey(alias), lambda: bob.DeleteAlias(alias), lambda: bob.Encrypt(alias, b64(b'x')),
                 lambda: bob.UpdateAlias(alias, bob.own_key())):
        with refused('AliasNotFound'):
            call()
    for call in (lambda: bob.CreateAlias(alias, key), lambda: bob.ListAliases(KeyId=key)):
        with refused('KeyNotFound'):
            call()
    theirs = bob.own_key(Alias=alias)
    assert (kms.describe(alias)['KeyId'], bob.describe(alias)['KeyId']) == (key, theirs)
    assert (alias, key) in listed(kms) and (alias, theirs) not in listed(kms)
    assert listed(bob, KeyId=alias) == [(alias, theirs)]
    bob.DeleteAlias(alias)
    assert kms.describe(alias)['KeyId'] == key


def test_root_sees_all_and_has_its_own(kms, root, key):
    mine, roots = new_alias(), new_alias()
    kms.CreateAlias(mine, key)
    with refused('AliasNotFound'):
        root.DescribeKey(mine)
    root.CreateAlias(roots, key)
    assert set(root.describe(key)['Aliases']) == {mine, roots}
    assert root.describe(roots)['KeyId'] == key
    assert kms.describe(key)['Aliases'] == [mine]
    assert [entry['Aliases'] for entry in kms.ListKeys(Limit=1000)['Keys'] if entry['KeyId'] == key] == [[mine]]
    with refused('AliasNotFound'):
        kms.DescribeKey(roots)


# Lists

def test_list_in_pages(machine):
    kms = machine.client(2)
    key, other = kms.own_key(), kms.own_key()
    made = [f'alias/{number}' for number in range(7)]
    for number, alias in enumerate(made):
        kms.CreateAlias(alias, (key, other)[number % 2])
    assert listed(kms) == [(alias, (key, other)[number % 2]) for number, alias in enumerate(made)]
    assert listed(kms, Limit=3) == listed(kms)
    assert listed(kms, Limit=2, KeyId=other) == [(alias, other) for alias in made[1::2]]
    assert listed(kms, Limit=1, KeyId=made[0]) == [(alias, key) for alias in made[0::2]]
    first = kms.ListAliases(Limit=3)
    assert (len(first['Aliases']), first['NextMarker'] != '') == (3, True)
    kms.DeleteAlias(made[4])  # between two pages
    kms.CreateAlias('alias/late', key)
    rest = kms.ListAliases(Marker=first['NextMarker'])
    assert [entry['AliasName'] for entry in rest['Aliases']] == [made[3], made[5], made[6], 'alias/late']
    assert rest['NextMarker'] == ''
    assert kms.ListAliases(Limit=7)['NextMarker'] == ''


@pytest.mark.parametrize('options', [
    {'Limit': 0}, {'Limit': 1001}, {'Limit': GLib.Variant('i', 1)}, {'Marker': 'AAAA'}, {'Marker': UNKNOWN_KEY},
    {'KeyId': ''}, {'KeyId': UNKNOWN_KEY.replace('0', 'A')}, {'KeyState': 'Enabled'},
], ids=str)
def test_list_options_out_of_range(kms, options):
    with refused('InvalidParameter') as refusal:
        kms.ListAliases(**options)
    assert next(iter(options)) in refusal.message or options.get('KeyId') is not None


def test_markers_are_no_others(machine, kms, bob):
    for user in (kms, bob):
        key = user.own_key(Alias=new_alias())
        user.CreateAlias(new_alias(), key)
    marker = kms.ListAliases(Limit=1)['NextMarker']
    for call in (lambda: bob.ListAliases(Marker=marker), lambda: kms.ListKeys(Marker=marker),
                 lambda: kms.ListAliases(Marker=kms.ListKeys(Limit=1)['NextMarker'])):
        with refused('InvalidParameter'):
            call()


# A key by its alias

def test_every_use(kms):
    material = os.urandom(32)
    key, alias = kms.imported_key(material), new_alias()
    kms.CreateAlias(alias, key)
    by_id = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    answer = kms.Encrypt(alias, b64(b'x'), EncryptionContext={'a': 'b'})
    assert answer['KeyId'] == key
    assert unb64(kms.Decrypt(answer['CiphertextBlob'], EncryptionContext={'a': 'b'}, KeyId=alias)['Plaintext']) == b'x'
    assert unb64(kms.Decrypt(by_id, KeyId=alias)['Plaintext']) == b'x'
    assert kms.ReEncrypt(by_id, alias)['KeyId'] == key
    for method in (kms.GenerateDataKey, kms.GenerateDataKeyWithoutPlaintext):
        answer = method(alias)
        assert (answer['KeyId'], len(unb64(kms.Decrypt(answer['CiphertextBlob'])['Plaintext']))) == (key, 32)
    assert kms.DisableKey(alias)['KeyId'] == key
    with refused('KeyDisabled'):
        kms.Encrypt(alias, b64(b'x'))
    assert kms.EnableKey(alias)['KeyState'] == 'Enabled'
    kms.UpdateKeyDescription(alias, 'described')
    kms.TagResource(alias, {'a': 'b'})
    kms.UntagResource(alias, ['a'])
    assert kms.ScheduleKeyDeletion(alias)['KeyId'] == key
    assert kms.CancelKeyDeletion(alias)['KeyState'] == 'Enabled'


@pytest.mark.parametrize('spec, usage', [('EC_P256', 'SIGN_VERIFY'), ('EC_SM2', 'ENCRYPT_DECRYPT'),
                                         ('HMAC_256', 'GENERATE_VERIFY_MAC')])
def test_every_use_of_the_other_kinds(kms, spec, usage):
    alias = new_alias()
    key = kms.own_key(KeySpec=spec, KeyUsage=usage, Alias=alias)
    if usage == 'SIGN_VERIFY':
        signature = kms.Sign(alias, b64(b'x'), 'ECDSA_SHA_256')['Signature']
        for name in (alias, key):
            assert kms.Verify(name, b64(b'x'), signature, 'ECDSA_SHA_256')['SignatureValid'] is True
            assert kms.GetPublicKey(name)['KeyId'] == key
    elif usage == 'ENCRYPT_DECRYPT':
        blob = kms.AsymmetricEncrypt(alias, b64(b'x'), 'SM2PKE')['CiphertextBlob']
        assert unb64(kms.AsymmetricDecrypt(alias, blob, 'SM2PKE')['Plaintext']) == b'x'
    else:
        mac = kms.GenerateMac(alias, b64(b'x'), 'HMAC_SHA_256')['Mac']
        assert kms.VerifyMac(alias, b64(b'x'), mac, 'HMAC_SHA_256')['MacValid'] is True


def test_expired_material_by_an_alias():
    """It is in the cache, and by its alias no more use than by its id."""
    with new_machine(clock=2_000_000_000) as machine:
        kms = machine.client()
        kms.imported_key(expires=2_000_000_100, Alias='alias/name')
        for now in (2_000_000_000, 2_000_000_099):
            machine.stop_clock(now)
            blob = kms.Encrypt('alias/name', b64(b'x'))['CiphertextBlob']
        machine.stop_clock(2_000_000_100)
        for call in (lambda: kms.Encrypt('alias/name', b64(b'x')), lambda: kms.Decrypt(blob, KeyId='alias/name'),
                     lambda: kms.GenerateDataKey('alias/name')):
            with refused('KeyPendingImport'):
                call()
        assert kms.state('alias/name') == 'PendingImport'


def test_no_tpm_command_for_a_key_in_use(machine, kms):
    """The alias is looked up in the database; the material is found by the id."""
    alias = new_alias()
    key = kms.own_key(Alias=alias)
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    with machine.tpm_commands() as commands:
        for _ in range(3):
            kms.Encrypt(alias, b64(b'x'))
            kms.Decrypt(blob, KeyId=alias)
            kms.GenerateDataKey(alias)
            kms.ReEncrypt(blob, alias)
    assert commands == []


def test_one_unsealing_for_a_cold_key_by_its_alias(kms, machine):
    alias = new_alias()
    kms.own_key(Alias=alias)
    with machine.tpm_commands() as commands:
        for _ in range(3):
            kms.Encrypt(alias, b64(b'x'))
    assert commands.count('Unseal') == 1


def test_vendors_14_not_in_the_import_interface(kms):
    alias = new_alias()
    key = kms.external_key(Alias=alias)
    parameters = kms.parameters(key)
    for call in (lambda: kms.parameters(alias), lambda: kms.DeleteKeyMaterial(alias),
                 lambda: kms.ImportKeyMaterial(alias, b64(bytes(256)), parameters['ImportToken'])):
        with refused('InvalidParameter'):
            call()


def test_order_of_checks(kms, key):
    """Form, key, state, limits, names taken."""
    taken = new_alias()
    kms.CreateAlias(taken, key)
    scheduled = kms.own_key()
    kms.ScheduleKeyDeletion(scheduled)
    for method, arguments, error in [
            ('CreateAlias', ('alias/a b', UNKNOWN_KEY), 'InvalidParameter'),
            ('CreateAlias', (taken, UNKNOWN_KEY), 'KeyNotFound'),
            ('CreateAlias', (taken, 'alias/none'), 'AliasNotFound'),
            ('CreateAlias', (taken, scheduled), 'KeyPendingDeletion'),
            ('CreateAlias', (taken, key), 'AliasAlreadyExists'),
            ('UpdateAlias', ('alias/none', UNKNOWN_KEY), 'KeyNotFound')]:
        with refused(error):
            getattr(kms, method)(*arguments)
    with refused('UnsupportedOperation'):
        kms.CreateKey(Alias=taken, KeySpec='EC_SM2', ProtectionLevel='TPM')
    with refused('UnsupportedOperation'):
        kms.CreateKey(Alias=taken, KeySpec='SM4', KeyUsage='SIGN_VERIFY')


def test_every_method_that_takes_a_key_takes_an_alias(kms):
    """By the contract: all but those of the Import interface. An unknown one tells that it was looked up."""
    more = {'UpdateKeyDescription': ['x'], 'TagResource': [{'a': 'b'}], 'UntagResource': [['a']],
            'Encrypt': ['AAAA'], 'Sign': ['AAAA', 'ECDSA_SHA_256'], 'Verify': ['AAAA', 'AAAA', 'ECDSA_SHA_256'],
            'AsymmetricEncrypt': ['AAAA', 'SM2PKE'], 'AsymmetricDecrypt': ['AAAA', 'SM2PKE'],
            'GenerateMac': ['AAAA', 'HMAC_SHA_256'], 'VerifyMac': ['AAAA', 'AAAA', 'HMAC_SHA_256'],
            'GrantKey': [['Encrypt'], {'User': GLib.Variant('u', BOB)}], 'RevokeGrant': [UNKNOWN_KEY]}
    tried = []
    for method, (interface, signature) in METHODS.items():
        if re.fullmatch(r'org\.cmkd\.Kms1\.(Keys|Crypto)', interface) and signature.startswith('s') and method not in (
                'Decrypt', 'ReEncrypt', 'CreateAlias', 'UpdateAlias', 'DeleteAlias'):
            with refused('AliasNotFound'):
                getattr(kms, method)('alias/none', *more.get(method, []))
            tried.append(method)
    assert len(tried) == 21


# Damage

def test_a_row_that_was_edited_is_not_followed():
    """Somebody who has the disk lets an alias name another key."""
    with new_machine() as machine:
        kms = machine.client()
        first, second = kms.own_key(Alias='alias/first'), kms.own_key(Alias='alias/second')
        machine.stop()
        edit(machine, "UPDATE aliases SET key_id = (SELECT key_id FROM aliases WHERE name = 'alias/second') "
                      "WHERE name = 'alias/first'")
        machine.start()
        with refused('StateCorrupted'):
            kms.Encrypt('alias/first', b64(b'x'))
        assert kms.Encrypt('alias/second', b64(b'x'))['KeyId'] == second
        assert kms.Encrypt(first, b64(b'x'))['KeyId'] == first
        kms.DeleteAlias('alias/first')  # and the name is free again
        kms.CreateAlias('alias/first', first)
        assert kms.Encrypt('alias/first', b64(b'x'))['KeyId'] == first
        machine.stop()
        edit(machine, "UPDATE aliases SET uid = ? WHERE name = 'alias/second'", BOB)
        machine.start()
        with refused('AliasNotFound'):
            machine.client(ALICE).DescribeKey('alias/second')
        with refused('StateCorrupted'):
            machine.client(BOB).DescribeKey('alias/second')
        assert len(rows(machine, 'SELECT * FROM aliases')) == 2

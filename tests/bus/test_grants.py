# SPDX-License-Identifier: Apache-2.0
"""GrantKey, RevokeGrant and ListGrants: what a grant lets others do, and nothing else."""
import contextlib
import os
import pwd
import uuid
from types import SimpleNamespace

import pytest
from gi.repository import GLib

from client import UNKNOWN_KEY, Client, b64, refused, unb64
from cmkctl import Cmkctl
from harness import ALICE, BOB, new_machine
from state import edit, rows
from wrapping import wrapped

CAROL = pwd.getpwnam('backup').pw_uid  # the bus lets nobody in whom the system does not know
GROUP = CAROL  # whose gid it may be as well

OPERATIONS = [
    'DescribeKey', 'GetPublicKey', 'Encrypt', 'Decrypt', 'ReEncryptFrom', 'ReEncryptTo', 'GenerateDataKey',
    'GenerateDataKeyWithoutPlaintext', 'Sign', 'Verify', 'AsymmetricEncrypt', 'AsymmetricDecrypt', 'GenerateMac',
    'VerifyMac', 'GetParametersForImport', 'ImportKeyMaterial', 'DeleteKeyMaterial', 'EnableKey', 'DisableKey']


@pytest.fixture(scope='module')
def bob(machine):
    return machine.client(BOB)


@pytest.fixture
def key(kms):
    return kms.own_key()


@contextlib.contextmanager
def member(machine, uid, *groups):
    """A connection of @uid with these supplementary groups."""
    own = os.getgroups()
    os.setgroups(groups)
    try:
        client = Client(machine.address, uid)
    finally:
        os.setgroups(own)
    yield client
    client.close()


def grant(kms, key, *operations, **grantee):
    return kms.GrantKey(key, list(operations), **grantee)['GrantId']


# What each operation is

class Material:
    """One key of Alice's for each kind of use, and what is done with them."""

    def __init__(self, kms):
        self.kms = kms
        self.symmetric, self.signing = kms.own_key(), kms.own_key(KeySpec='EC_P256')
        self.public = kms.own_key(KeySpec='EC_SM2', KeyUsage='ENCRYPT_DECRYPT')
        self.mac = kms.own_key(KeySpec='HMAC_256')
        self.external = kms.external_key()
        self.blob = kms.Encrypt(self.symmetric, b64(b'x'))['CiphertextBlob']
        self.signature = kms.Sign(self.signing, b64(b'x'), 'ECDSA_SHA_256')['Signature']
        self.ciphertext = kms.AsymmetricEncrypt(self.public, b64(b'x'), 'SM2PKE')['CiphertextBlob']
        self.tag = kms.GenerateMac(self.mac, b64(b'x'), 'HMAC_SHA_256')['Mac']
        self.parameters = kms.parameters(self.external, 'SM2PKE', 'EC_SM2')
        self.material = os.urandom(32)

    def wrapped(self):
        material = SimpleNamespace(spec='AES_256', data=self.material)
        return b64(wrapped(self.parameters, 'direct', material).encrypted_key_material)

    def all_keys(self):
        return self.symmetric, self.signing, self.public, self.mac, self.external

    def uses(self, user):
        """Operation to (its key, what it is called by)."""
        x = b64(b'x')
        return {
            'DescribeKey': (self.symmetric, lambda: user.DescribeKey(self.symmetric)),
            'GetPublicKey': (self.signing, lambda: user.GetPublicKey(self.signing)),
            'Encrypt': (self.symmetric, lambda: user.Encrypt(self.symmetric, x)),
            'Decrypt': (self.symmetric, lambda: user.Decrypt(self.blob, KeyId=self.symmetric)),
            'ReEncryptFrom': (self.symmetric, lambda: user.ReEncrypt(self.blob, user.own_key())),
            'ReEncryptTo': (self.symmetric, lambda: user.ReEncrypt(
                user.Encrypt(user.own_key(), x)['CiphertextBlob'], self.symmetric)),
            'GenerateDataKey': (self.symmetric, lambda: user.GenerateDataKey(self.symmetric)),
            'GenerateDataKeyWithoutPlaintext': (
                self.symmetric, lambda: user.GenerateDataKeyWithoutPlaintext(self.symmetric)),
            'Sign': (self.signing, lambda: user.Sign(self.signing, x, 'ECDSA_SHA_256')),
            'Verify': (self.signing, lambda: user.Verify(self.signing, x, self.signature, 'ECDSA_SHA_256')),
            'AsymmetricEncrypt': (self.public, lambda: user.AsymmetricEncrypt(self.public, x, 'SM2PKE')),
            'AsymmetricDecrypt': (
                self.public, lambda: user.AsymmetricDecrypt(self.public, self.ciphertext, 'SM2PKE')),
            'GenerateMac': (self.mac, lambda: user.GenerateMac(self.mac, x, 'HMAC_SHA_256')),
            'VerifyMac': (self.mac, lambda: user.VerifyMac(self.mac, x, self.tag, 'HMAC_SHA_256')),
            'GetParametersForImport': (self.external, lambda: user.parameters(self.external, 'SM2PKE', 'EC_SM2')),
            'ImportKeyMaterial': (self.external, lambda: user.ImportKeyMaterial(
                self.external, self.wrapped(), self.parameters['ImportToken'])),
            'DeleteKeyMaterial': (self.external, lambda: user.DeleteKeyMaterial(self.external)),
            'EnableKey': (self.symmetric, lambda: user.EnableKey(self.symmetric)),
            'DisableKey': (self.symmetric, lambda: user.DisableKey(self.symmetric)),
        }

    def owners_alone(self, user):
        key = self.symmetric
        return [
            lambda: user.ScheduleKeyDeletion(key), lambda: user.CancelKeyDeletion(key),
            lambda: user.UpdateKeyDescription(key, 'mine'), lambda: user.TagResource(key, {'a': 'b'}),
            lambda: user.UntagResource(key, ['a']), lambda: user.CreateAlias('alias/mine', key),
            lambda: user.GrantKey(key, ['Encrypt'], User=BOB), lambda: user.ListGrants(key),
            lambda: user.RevokeGrant(key, UNKNOWN_KEY)]


@pytest.fixture(scope='module')
def material(kms):
    return Material(kms)


def assert_allowed(material, user, operations):
    """These, all others being answered as if there were no such key (or no key that made the blob)."""
    for operation, (_, use) in material.uses(user).items():
        if operation in operations:
            use()
        else:
            with refused('InvalidCiphertext' if operation == 'ReEncryptFrom' else 'KeyNotFound'):
                use()
    for use in material.owners_alone(user):
        with refused('KeyNotFound'):
            use()
    material.kms.EnableKey(material.symmetric)


def test_each_operation_alone(material, kms, bob):
    """What is granted can be done, whether the key is in use already or not, and nothing else; and no more once it is
    taken back."""
    uses = material.uses(bob)
    assert list(uses) == OPERATIONS
    assert_allowed(material, bob, [])
    for operation in OPERATIONS:
        key, use = uses[operation]
        granted = grant(kms, key, operation, User=BOB)
        use()
        assert_allowed(material, bob, [operation])
        kms.RevokeGrant(key, granted)
        with refused('InvalidCiphertext' if operation == 'ReEncryptFrom' else 'KeyNotFound'):
            use()
        kms.EnableKey(material.symmetric)


def test_all_operations_leave_the_rest_to_the_owner(material, kms, bob):
    grants = [(key, grant(kms, key, *OPERATIONS, User=BOB)) for key in material.all_keys()]
    assert_allowed(material, bob, OPERATIONS)
    for key, granted in grants:
        kms.RevokeGrant(key, granted)
    assert_allowed(material, bob, [])


def test_to_a_group(machine, kms, key):
    """Whoever connects as its member; a uid of that number is not meant, nor the other way round."""
    granted = grant(kms, key, 'Encrypt', 'DescribeKey', Group=GROUP)
    to_user = grant(kms, kms.own_key(), 'Encrypt', User=GROUP)
    with member(machine, BOB, 7, GROUP) as inside, member(machine, BOB, 7) as outside, \
            member(machine, GROUP) as namesake:
        for _ in range(2):
            inside.Encrypt(key, b64(b'x'))
            assert inside.describe(key)['KeyId'] == key
        for other in outside, namesake:
            with refused('KeyNotFound'):
                other.Encrypt(key, b64(b'x'))
        assert key in [entry['KeyId'] for entry in inside.ListKeys(Limit=1000)['Keys']]
        assert key not in [entry['KeyId'] for entry in outside.ListKeys(Limit=1000)['Keys']]
        kms.RevokeGrant(key, granted)
        with refused('KeyNotFound'):
            inside.Encrypt(key, b64(b'x'))
    assert to_user != granted


def test_revoked_at_once_for_a_key_in_use(machine, kms, key):
    """Bob's calls are answered from what is cached, until the answer of RevokeGrant."""
    other = grant(kms, key, 'Decrypt', Group=GROUP)
    granted = grant(kms, key, 'Encrypt', User=BOB)
    with member(machine, BOB, GROUP) as bob:
        blob = [bob.Encrypt(key, b64(b'x')) for _ in range(3)][-1]['CiphertextBlob']
        kms.RevokeGrant(key, granted)
        with refused('KeyNotFound'):
            bob.Encrypt(key, b64(b'x'))
        assert unb64(bob.Decrypt(blob)['Plaintext']) == b'x'
        kms.RevokeGrant(key, other)
        with refused('InvalidCiphertext'):
            bob.Decrypt(blob)


def test_what_is_listed(kms, bob, root, key):
    first = grant(kms, key, 'Decrypt', 'DescribeKey', 'Decrypt', User=BOB)
    second = grant(kms, key, *reversed(OPERATIONS), Group=GROUP)
    third = grant(root, key, 'Encrypt', User=CAROL)
    grants = kms.ListGrants(key)['Grants']
    assert grants == root.ListGrants(key)['Grants']
    now = kms.describe(key)['CreationDate']
    assert all(0 <= entry.pop('CreationDate') - now < 3600 for entry in grants)
    assert grants == [
        {'GrantId': first, 'User': BOB, 'Operations': ['DescribeKey', 'Decrypt']},
        {'GrantId': second, 'Group': GROUP, 'Operations': OPERATIONS},
        {'GrantId': third, 'User': CAROL, 'Operations': ['Encrypt']}]
    shown = bob.ListKeys(Limit=1000)['Keys']
    assert key in [entry['KeyId'] for entry in shown]
    assert {entry['KeyId']: entry['Creator'] for entry in shown}[key] == ALICE
    for granted in first, second, third:
        kms.RevokeGrant(key, granted)
    assert kms.ListGrants(key)['Grants'] == []
    assert key not in [entry['KeyId'] for entry in bob.ListKeys(Limit=1000)['Keys']]


def test_pages_of_own_and_granted_keys():
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        expected = []
        for number in range(12):
            owner = bob if number % 3 == 0 else alice
            key = owner.own_key()
            if number % 3 < 2:
                expected.append(key)
            if owner is alice:
                grant(alice, key, 'DescribeKey' if number % 3 == 1 else 'Encrypt', User=BOB)
                grant(alice, key, 'DescribeKey', Group=GROUP)
        found, marker = [], ''
        while marker is not None:
            page = bob.ListKeys(Limit=3, Marker=marker)
            found += [entry['KeyId'] for entry in page['Keys']]
            marker = page['NextMarker'] or None
        assert found == expected


def test_aliases_are_the_owners(kms, bob, key):
    kms.CreateAlias('alias/shared', key)
    grant(kms, 'alias/shared', 'DescribeKey', 'Encrypt', User=BOB)
    assert bob.describe(key)['Aliases'] == []
    with refused('AliasNotFound'):
        bob.Encrypt('alias/shared', b64(b'x'))
    assert len(kms.ListGrants('alias/shared')['Grants']) == 1


def test_a_key_changed(kms, key):
    with kms.signals() as signals:
        kms.RevokeGrant(key, grant(kms, key, 'Encrypt', User=BOB))
        kms.ListGrants(key)
        assert signals.so_far() == [('KeyChanged', key, 'Enabled', 'Updated')] * 2


# What is refused

@pytest.mark.parametrize('operations, options', [
    ([], {'User': BOB}), (['encrypt'], {'User': BOB}), (['Encrypt', 'GrantKey'], {'User': BOB}),
    (['ReEncrypt'], {'User': BOB}), (['ScheduleKeyDeletion'], {'User': BOB}), ([''], {'User': BOB}),
    (['Encrypt'], {}), (['Encrypt'], {'User': BOB, 'Group': GROUP}), (['Encrypt'], {'User': (1 << 32) - 1}),
    (['Encrypt'], {'Group': (1 << 32) - 1}), (['Encrypt'], {'Marker': 'x'}),
], ids=str)
def test_form_comes_first(kms, key, operations, options):
    for named in key, UNKNOWN_KEY:
        with refused('InvalidParameter'):
            kms.call('org.cmkd.Kms1.Keys', 'GrantKey', 'sasa{sv}', named, operations, as_variants(options))
    assert kms.ListGrants(key)['Grants'] == []


def as_variants(options):
    return {name: GLib.Variant('s' if isinstance(value, str) else 'u', value) for name, value in options.items()}


def test_unknown_operation_lists_the_known_ones(kms, key):
    with refused('InvalidParameter') as refusal:
        kms.GrantKey(key, ['Destroy'], User=BOB)
    assert all(operation in refusal.message for operation in OPERATIONS)
    assert 'Destroy' not in refusal.message


def test_grants_of_others(kms, bob, root, key):
    """A grant id that is not of this key is none, whoever asks; whoever is not the owner learns nothing."""
    granted, another = grant(kms, key, 'Encrypt', User=BOB), kms.own_key()
    for grant_id in str(uuid.uuid4()), key, 'x', '', granted.upper():
        with refused('InvalidParameter'):
            kms.RevokeGrant(key, grant_id)
    with refused('InvalidParameter'):
        kms.RevokeGrant(another, granted)
    for user in bob, root:
        with refused('KeyNotFound' if user is bob else 'InvalidParameter'):
            user.RevokeGrant(key, str(uuid.uuid4()))
    assert len(kms.ListGrants(key)['Grants']) == 1
    root.RevokeGrant(key, granted)


def test_states():
    """Grants are made for any key but one that is to be deleted, and taken back from all."""
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        disabled, pending, deleted = alice.own_key(), alice.external_key(), alice.own_key()
        alice.DisableKey(disabled)
        grants = {key: grant(alice, key, 'DescribeKey', 'Encrypt', User=BOB) for key in (disabled, pending, deleted)}
        alice.ScheduleKeyDeletion(deleted, PendingWindowInDays=7)
        with refused('KeyPendingDeletion'):
            grant(alice, deleted, 'Encrypt', User=BOB)
        for key, state in ((disabled, 'KeyDisabled'), (pending, 'KeyPendingImport'), (deleted, 'KeyPendingDeletion')):
            with refused(state):
                bob.Encrypt(key, b64(b'x'))
            assert len(alice.ListGrants(key)['Grants']) == 1
        for key in disabled, pending:
            alice.RevokeGrant(key, grants[key])
            with refused('KeyNotFound'):
                bob.Encrypt(key, b64(b'x'))
        alice.CancelKeyDeletion(deleted)
        bob.Encrypt(deleted, b64(b'x'))
        alice.ScheduleKeyDeletion(deleted, PendingWindowInDays=7)
        machine.pass_time(7 * 86400)
        with refused('KeyNotFound'):
            bob.Encrypt(deleted, b64(b'x'))
        assert rows(machine, 'SELECT * FROM grants') == []


def test_limit():
    with new_machine(config={'Limits': {'GrantsPerKey': 2}}) as machine:
        alice = machine.client(ALICE)
        key, other = alice.own_key(), alice.own_key()
        first = grant(alice, key, 'Encrypt', User=BOB)
        grant(alice, key, 'Encrypt', User=CAROL)
        with refused('LimitExceeded') as refusal:
            grant(alice, key, 'Encrypt', Group=GROUP)
        assert 'GrantsPerKey' in refusal.message
        assert grant(alice, key, 'Decrypt', User=BOB) == first
        grant(alice, other, 'Encrypt', User=BOB)
        alice.RevokeGrant(key, first)
        grant(alice, key, 'Encrypt', Group=GROUP)


def test_one_grant_for_each_grantee(kms, bob, key):
    """What is granted later is added; what he has already is no change."""
    granted = grant(kms, key, 'Encrypt', User=BOB)
    group = grant(kms, key, 'Encrypt', Group=BOB)
    blob = bob.Encrypt(key, b64(b'x'))['CiphertextBlob']
    with refused('InvalidCiphertext'):
        bob.Decrypt(blob)
    with kms.signals() as signals:
        assert grant(kms, key, 'Decrypt', User=BOB) == granted
        assert unb64(bob.Decrypt(blob)['Plaintext']) == b'x'
        assert grant(kms, key, 'Encrypt', 'Decrypt', User=BOB) == granted
        assert signals.so_far() == [('KeyChanged', key, 'Enabled', 'Updated')]
    assert [(entry['GrantId'], entry['Operations']) for entry in kms.ListGrants(key)['Grants']] == [
        (granted, ['Encrypt', 'Decrypt']), (group, ['Encrypt'])]
    kms.RevokeGrant(key, group)
    kms.RevokeGrant(key, granted)
    with refused('KeyNotFound'):
        bob.Encrypt(key, b64(b'x'))


def test_rate():
    with new_machine(config={'Limits': {'KeysPerSecond': 1}}) as machine:
        alice = machine.client(ALICE)
        key = alice.own_key()
        calls = [alice.start('GrantKey', key, ['Encrypt'], Group=GROUP) for _ in range(60)]
        with refused('Throttled') as refusal:
            for call in calls:
                call.result()
        assert 'KeysPerSecond' in refusal.message


# What lasts, and what somebody with the disk can do

def test_restart_and_reboot():
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = alice.own_key()
        another = alice.own_key()
        kept, gone = grant(alice, key, 'Encrypt', User=BOB), grant(alice, another, 'DescribeKey', User=BOB)
        alice.RevokeGrant(another, gone)
        for again in machine.restart, machine.reboot:
            again()
            bob.Encrypt(key, b64(b'x'))
            with refused('KeyNotFound'):
                bob.DescribeKey(another)
            assert [entry['GrantId'] for entry in alice.ListGrants(key)['Grants']] == [kept]


@pytest.mark.parametrize('change', [
    'operations = 524287', f'grantee = {CAROL}', 'grantee_kind = 2, grantee = 0', 'mac = zeroblob (32)',
    'key_id = (SELECT id FROM keys WHERE serial = 2), key_serial = 2'])
def test_an_altered_grant_is_none(change):
    """It gives nobody anything, and is its key's only trouble: it can be taken back."""
    with new_machine() as machine:
        alice, others = machine.client(ALICE), [machine.client(uid) for uid in (BOB, CAROL)]
        key, another = alice.own_key(), alice.own_key()
        granted = grant(alice, key, 'DescribeKey', 'Encrypt', User=BOB)
        machine.stop()
        edit(machine, f'UPDATE grants SET {change}')
        machine.start()
        for named in key, another:
            for other in others:
                for use in (other.DescribeKey, other.DisableKey, lambda name, by=other: by.Encrypt(name, b64(b'x'))):
                    with refused('KeyNotFound'):
                        use(named)
            alice.Encrypt(named, b64(b'x'))
            assert alice.ListGrants(named)['Grants'] == []
        assert [other.ListKeys()['Keys'] for other in others] == [[], []]
        alice.RevokeGrant(another if 'key_id' in change else key, granted)
        assert rows(machine, 'SELECT id FROM grants') == []


@pytest.mark.parametrize('attack', ['row', 'file'])
def test_a_revoked_grant_does_not_come_back(attack):
    """An older copy of the state, or of the row alone, is one that the TPM does not know any more."""
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = alice.imported_key()
        granted = grant(alice, key, 'Encrypt', 'DescribeKey', User=BOB)
        machine.stop()
        copy = machine.copy_state()
        row = dict(rows(machine, 'SELECT * FROM grants')[0])
        machine.start()
        alice.RevokeGrant(key, granted)
        machine.stop()
        if attack == 'file':
            machine.restore_state(copy)
        else:
            edit(machine, f"INSERT INTO grants ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                 *row.values())
        machine.start()
        with refused('RollbackDetected'):
            bob.Encrypt(key, b64(b'x'))
        machine.client(0).Recover(Accept='RollbackDetected')
        with refused('KeyNotFound'):
            bob.DescribeKey(key)
        assert alice.ListGrants(key)['Grants'] == []


# cmkctl

def test_cmkctl(machine, root):
    cmkctl = Cmkctl(machine)
    key = root.own_key()
    granted = cmkctl.json('grant', key, '--user', 'news', '--operations', 'Encrypt,DescribeKey')
    assert granted['KeyId'] == key
    more = cmkctl.json('grant', key, '--group', 'backup', '--operations=Decrypt')
    assert cmkctl.json('grants', key)['Grants'] == root.ListGrants(key)['Grants']
    table = cmkctl('grants', key).decode().splitlines()
    assert len(table) == 3 and 'user news' in table[1] and 'group backup' in table[2] and 'Encrypt' in table[1]
    machine.client(BOB).Encrypt(key, b64(b'x'))
    assert granted['GrantId'] in cmkctl('revoke', key, granted['GrantId']).decode()
    assert [entry['GrantId'] for entry in cmkctl.json('grants', key)['Grants']] == [more['GrantId']]
    for arguments in (['--operations', 'Encrypt'], ['--user', 'news'], ['--user', 'no such user', '--operations', 'x'],
                      ['--user', 'news', '--group', 'news', '--operations', 'Encrypt'],
                      ['--user', '4294967295', '--operations', 'Encrypt']):
        cmkctl.refused(2, 'grant', key, *arguments)
    cmkctl.refused(1, 'grant', key, '--user', 'news', '--operations', 'Destroy')
    cmkctl.refused(3, 'grants', UNKNOWN_KEY)


@pytest.mark.parametrize('verb, operation, spec, usage, algorithm', [
    ('sign', 'Sign', 'EC_P256', 'SIGN_VERIFY', 'ECDSA_SHA_256'),
    ('mac', 'GenerateMac', 'HMAC_256', 'GENERATE_VERIFY_MAC', 'HMAC_SHA_256'),
    ('asymmetric-encrypt', 'AsymmetricEncrypt', 'EC_SM2', 'ENCRYPT_DECRYPT', 'SM2PKE')])
def test_cmkctl_asks_for_the_algorithm_of_a_key_that_it_may_not_look_at(machine, kms, verb, operation, spec, usage,
                                                                        algorithm):
    cmkctl, key = Cmkctl(machine), kms.own_key(KeySpec=spec, KeyUsage=usage)
    grant(kms, key, operation, User=BOB)
    message = cmkctl.refused(3, verb, key, stdin=b'x', user=BOB)
    assert message.startswith('cmkctl: KeyNotFound: ') and 'DescribeKey' in message and '--algorithm' in message
    assert cmkctl(verb, key, '--algorithm', algorithm, stdin=b'x', user=BOB)


def test_cmkctl_of_a_custodian_who_may_not_look_at_the_key(machine, kms):
    cmkctl, key = Cmkctl(machine), kms.external_key()
    grant(kms, key, 'GetParametersForImport', 'ImportKeyMaterial', User=BOB)
    assert '--algorithm' in cmkctl.refused(3, 'get-parameters', key, '--json', user=BOB)
    assert cmkctl.json('get-parameters', key, '--algorithm', 'RSAES_OAEP_SHA_256', user=BOB)['KeyId'] == key
    cmkctl('import', key, '--material', '-', stdin=os.urandom(32), user=BOB)
    assert kms.state(key) == 'Enabled'

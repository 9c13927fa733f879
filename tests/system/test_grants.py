# SPDX-License-Identifier: Apache-2.0
"""Named operations on a key, given to a user or a group, and taken away."""
import pytest


@pytest.fixture(scope='module')
def key(cmkd):
    return cmkd.create('alice')


def grant(cmkd, key, operations, kind, number):
    answer = cmkd.call('alice', 'Keys', 'GrantKey', 'sasa{sv}', key, len(operations), *operations, 1, kind, 'u', number)
    return answer['GrantId']


def numbers(cmkd, key):
    return [entry['GrantId'] for entry in cmkd.call('alice', 'Keys', 'ListGrants', 's', key)['Grants']]


def encrypt(cmkd, user, key):
    return cmkd.machine.run('cmkctl', 'encrypt', key, input='x', user=user, check=False).status


def test_a_user_may_do_what_was_granted_and_nothing_else(cmkd, key):
    granted = grant(cmkd, key, ['Encrypt'], 'User', cmkd.machine.uid('bob'))
    assert encrypt(cmkd, 'bob', key) == 0
    assert cmkd.fails('bob', 'show', key)[0] == 3
    blob = cmkd.machine.ask('cmkctl', 'encrypt', key, input='x', user='bob')
    assert cmkd.fails('bob', 'decrypt', input=blob)[0] != 0
    assert encrypt(cmkd, 'carol', key) == 3
    cmkd.call('alice', 'Keys', 'RevokeGrant', 'ss', key, granted)
    assert encrypt(cmkd, 'bob', key) == 3
    assert numbers(cmkd, key) == []


def test_the_members_of_a_group_may(cmkd, key):
    granted = grant(cmkd, key, ['Encrypt', 'DescribeKey'], 'Group', int(cmkd.machine.ask('getent', 'group', 'keepers').split(':')[2]))
    assert encrypt(cmkd, 'carol', key) == 0
    assert [entry['KeyId'] for entry in cmkd.ctl('carol', 'list')['Keys']] == [key]
    assert encrypt(cmkd, 'bob', key) == 3
    cmkd.call('alice', 'Keys', 'RevokeGrant', 'ss', key, granted)
    assert encrypt(cmkd, 'carol', key) == 3


def test_it_outlives_a_restart(cmkd, key):
    granted = grant(cmkd, key, ['Encrypt'], 'User', cmkd.machine.uid('bob'))
    cmkd.stop()
    assert encrypt(cmkd, 'bob', key) == 0
    cmkd.call('alice', 'Keys', 'RevokeGrant', 'ss', key, granted)


def test_who_was_granted_grants_nothing(cmkd, key):
    granted = grant(cmkd, key, ['Encrypt'], 'User', cmkd.machine.uid('bob'))
    carol = f"{{'User': <uint32 {cmkd.machine.uid('carol')}>}}"
    assert cmkd.refusal('bob', 'Keys.GrantKey', key, "['Encrypt']", carol) == 'KeyNotFound'
    cmkd.call('alice', 'Keys', 'RevokeGrant', 'ss', key, granted)


def test_whoever_gets_the_uid_later_inherits_nothing(cmkd, key):
    """An account is removed, and another of its number made."""
    run, uid = cmkd.machine.run, 58109
    run('useradd', '--uid', uid, 'dave')
    granted = grant(cmkd, key, ['Encrypt'], 'User', uid)
    own = cmkd.create('dave')
    assert encrypt(cmkd, 'dave', key) == 0
    run('userdel', 'dave')
    run('useradd', '--uid', uid, 'erin')
    assert encrypt(cmkd, 'erin', key) == 3
    assert encrypt(cmkd, 'erin', own) == 3
    assert cmkd.ctl('erin', 'list')['Keys'] == []
    run('userdel', 'erin')
    cmkd.call('alice', 'Keys', 'RevokeGrant', 'ss', key, granted)

# SPDX-License-Identifier: Apache-2.0
"""cmkctl: the verbs for the life of a key and for its names."""
import os
import re
import time
from datetime import datetime, timezone

import pytest

from cmkctl import Cmkctl
from harness import ALICE, new_machine
from client import UNKNOWN_KEY
from test_cmkctl import Monitor, fields

DAY = 86400


@pytest.fixture(scope='module')
def cmkctl(machine):
    return Cmkctl(machine)


def create(cmkctl, *options):
    return cmkctl('create', *options).decode().strip()


@pytest.fixture
def key(cmkctl):
    return create(cmkctl)


def new_alias():
    return f'alias/{os.urandom(8).hex()}'


def columns(output):
    """{heading: [value]} of a table; a column ends where the next one begins."""
    lines = output.decode().splitlines()
    starts = [match.start() for match in re.finditer(r'\S+', lines[0])]
    ends = [*starts[1:], None]
    return {lines[0][start:end].strip(): [line[start:end].strip() for line in lines[1:]]
            for start, end in zip(starts, ends)}


# Deletion

@pytest.mark.parametrize('options, days', [([], 30), (['--days', '7'], 7), (['--days=1096'], 1096)])
def test_schedule_and_cancel_deletion(cmkctl, root, key, options, days):
    before = int(time.time())
    table = fields(cmkctl('schedule-deletion', key, *options))
    date = root.describe(key)['DeleteDate']
    assert table == {'KeyId': key, 'KeyState': 'PendingDeletion',
                     'DeleteDate': datetime.fromtimestamp(date, timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')}
    assert before + days * DAY <= date <= int(time.time()) + days * DAY
    assert fields(cmkctl('show', key))['DeleteDate'] == table['DeleteDate']
    assert 'KeyPendingDeletion' in cmkctl.refused(1, 'encrypt', key, stdin=b'x')
    assert key in {entry['KeyId'] for entry in cmkctl.json('list', '--state', 'PendingDeletion')['Keys']}
    assert fields(cmkctl('cancel-deletion', key)) == {'KeyId': key, 'KeyState': 'Enabled'}
    assert fields(cmkctl('show', key))['DeleteDate'] == 'never'
    assert cmkctl.json('schedule-deletion', key, *options)['KeyState'] == 'PendingDeletion'
    assert cmkctl.json('cancel-deletion', key)['KeyState'] == 'Enabled'


def test_deletion_that_is_refused(cmkctl, key):
    for days in '6', '1097':
        assert '--days takes a number from 7 to 1096' in cmkctl.refused(2, 'schedule-deletion', key, '--days', days)
    assert 'KeyNotFound' in cmkctl.refused(3, 'schedule-deletion', UNKNOWN_KEY)
    assert 'KeyNotFound' in cmkctl.refused(3, 'cancel-deletion', UNKNOWN_KEY)
    assert 'StateNotAllowed' in cmkctl.refused(1, 'cancel-deletion', key)
    cmkctl('schedule-deletion', key)
    assert 'KeyPendingDeletion' in cmkctl.refused(1, 'schedule-deletion', key)


# Aliases

def test_alias(cmkctl, root, key):
    alias, other = new_alias(), create(cmkctl)
    assert fields(cmkctl('alias', 'create', alias, key)) == {'AliasName': alias, 'KeyId': key}
    blob = cmkctl('encrypt', alias, stdin=b'data')
    assert cmkctl('decrypt', '--key', alias, stdin=blob) == b'data'
    assert fields(cmkctl('show', alias))['Aliases'] == alias
    assert cmkctl.json('alias', 'update', alias, other)['KeyId'] == other
    assert root.describe(alias)['KeyId'] == other
    assert fields(cmkctl('alias', 'delete', alias)) == {'AliasName': alias}
    assert 'AliasNotFound' in cmkctl.refused(3, 'show', alias)


def test_alias_list(cmkctl, root):
    key, other = create(cmkctl), create(cmkctl)
    made = [new_alias() for _ in range(3)]
    for alias in made:
        cmkctl('alias', 'create', alias, key)
    cmkctl('alias', 'create', elsewhere := new_alias(), other)
    table = columns(cmkctl('alias', 'list', key))
    assert table == {'AliasName': made, 'KeyId': [key] * 3}
    everything = cmkctl.json('alias', 'list')
    assert everything['NextMarker'] == '' and everything['Aliases'] == root.ListAliases(Limit=1000)['Aliases']
    assert {'AliasName': elsewhere, 'KeyId': other} in everything['Aliases']
    assert cmkctl.json('alias', 'list', made[0])['Aliases'] == cmkctl.json('alias', 'list', key)['Aliases']
    page = cmkctl.json('alias', 'list', '--limit', 2, key)
    assert ([entry['AliasName'] for entry in page['Aliases']], page['NextMarker'] != '') == (made[:2], True)


def test_alias_list_goes_on_to_the_end():
    with new_machine() as machine:
        cmkctl, root = Cmkctl(machine), machine.client(0)
        assert cmkctl('alias', 'list').decode().split() == ['AliasName', 'KeyId']
        made = {f'alias/{number}' for number in range(1003)}
        keys = [root.own_key() for _ in range(21)]
        for number, alias in enumerate(sorted(made)):
            root.CreateAlias(alias, keys[number // 50])
        assert {entry['AliasName'] for entry in cmkctl.json('alias', 'list')['Aliases']} == made
        assert len(cmkctl('alias', 'list', '--limit=1001').splitlines()) == 1002


def test_aliases_that_are_refused(cmkctl, key):
    alias = new_alias()
    assert 'InvalidParameter' in cmkctl.refused(1, 'alias', 'create', 'payroll', key)
    assert 'KeyNotFound' in cmkctl.refused(3, 'alias', 'create', alias, UNKNOWN_KEY)
    assert 'AliasNotFound' in cmkctl.refused(3, 'alias', 'update', alias, key)
    assert 'AliasNotFound' in cmkctl.refused(3, 'alias', 'delete', alias)
    assert 'KeyNotFound' in cmkctl.refused(3, 'alias', 'list', UNKNOWN_KEY)
    cmkctl('alias', 'create', alias, key)
    assert 'AliasAlreadyExists' in cmkctl.refused(1, 'alias', 'create', alias, key)
    assert 'AliasAlreadyExists' in cmkctl.refused(1, 'create', '--alias', alias)


# Tags

def test_tag_and_untag(cmkctl, root, key):
    assert fields(cmkctl('tag', key, 'team=storage', 'owner=Ada Lovelace', 'formula=a=b', 'empty=')) == {'KeyId': key}
    assert root.describe(key)['Tags'] == {'team': 'storage', 'owner': 'Ada Lovelace', 'formula': 'a=b', 'empty': ''}
    cmkctl('tag', key, 'team=backup')
    assert cmkctl.json('untag', key, 'formula', 'empty', 'none')['KeyId'] == key
    assert root.describe(key)['Tags'] == {'team': 'backup', 'owner': 'Ada Lovelace'}
    assert set(fields(cmkctl('show', key))['Tags'].split(', ')) == {'team=backup', 'owner=Ada Lovelace'}
    cmkctl('tag', key, '--', '--dashes=x')
    assert root.describe(key)['Tags']['--dashes'] == 'x'


def test_tags_that_are_refused(cmkctl, key):
    assert 'InvalidParameter' in cmkctl.refused(1, 'tag', key, '=value')
    assert 'InvalidParameter' in cmkctl.refused(1, 'tag', key, 'a=1', 'a=2')
    assert 'InvalidParameter' in cmkctl.refused(1, 'create', '--tag', 'a=1', '--tag', 'a=2')
    assert 'LimitExceeded' in cmkctl.refused(1, 'tag', key, *(f'{number}=' for number in range(21)))
    assert 'KeyNotFound' in cmkctl.refused(3, 'tag', UNKNOWN_KEY, 'a=b')
    assert 'KeyNotFound' in cmkctl.refused(3, 'untag', UNKNOWN_KEY, 'a')
    assert 'UTF-8' in cmkctl.refused(2, 'tag', key, b'a=\xff'.decode(errors='surrogateescape'))
    assert 'UTF-8' in cmkctl.refused(2, 'untag', key, b'\xff'.decode(errors='surrogateescape'))


# What create and list make of it

def test_create_with_names(cmkctl, root):
    alias = new_alias()
    key = create(cmkctl, '--alias', alias, '--tag', 'team=storage', '--tag=owner=Ada')
    described = root.describe(key)
    assert (described['Aliases'], described['Tags']) == ([alias], {'team': 'storage', 'owner': 'Ada'})


def test_replica(cmkctl):
    with new_machine() as machine:
        there, material = Cmkctl(machine), os.urandom(32)
        key = create(cmkctl, '--origin', 'EXTERNAL')
        cmkctl('import', key, '--material', '-', stdin=material)
        blob = cmkctl('encrypt', key, stdin=b'kept')
        assert create(there, '--origin=EXTERNAL', '--key-id', key) == key
        there('import', key, '--material', '-', stdin=material)
        assert there('decrypt', stdin=blob) == b'kept'
        assert 'KeyAlreadyExists' in there.refused(1, 'create', '--origin=EXTERNAL', '--key-id', key)
        assert 'UnsupportedOperation' in there.refused(1, 'create', '--key-id', UNKNOWN_KEY)


def test_list_has_a_column_where_a_key_has_something():
    plain = ['KeyId', 'KeyState', 'KeySpec', 'Origin', 'MaterialExpireTime', 'Description']
    with new_machine() as machine:
        cmkctl = Cmkctl(machine)
        assert list(columns(cmkctl('list'))) == plain
        first, second = create(cmkctl, '--description', 'first'), create(cmkctl, '--tag', 'a=b')
        assert columns(cmkctl('list'))['Tags'] == ['', 'a=b']
        cmkctl('alias', 'create', 'alias/one', first)
        cmkctl('alias', 'create', 'alias/two', first)
        cmkctl('schedule-deletion', second)
        table = columns(cmkctl('list'))
        assert list(table) == [*plain[:-1], 'DeleteDate', 'Aliases', 'Tags', plain[-1]]
        assert table['KeyId'] == [first, second]
        assert table['Aliases'] == ['alias/one, alias/two', '']
        assert (table['DeleteDate'][0], table['Description']) == ('never', ['first', ''])
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', table['DeleteDate'][1])
        assert list(columns(cmkctl('list', '--state', 'Enabled'))) == [*plain[:-1], 'Aliases', plain[-1]]


def test_list_says_whose_keys_are_not_the_callers():
    with new_machine() as machine:
        cmkctl = Cmkctl(machine)
        theirs = machine.client(ALICE).own_key()
        assert columns(cmkctl('list'))['Owner'] == ['games']
        mine = create(cmkctl)
        table = columns(cmkctl('list'))
        assert dict(zip(table['KeyId'], table['Owner'])) == {theirs: 'games', mine: 'root'}
        assert list(table)[-2:] == ['Owner', 'Description']
        assert 'Owner' not in columns(cmkctl('list', user=ALICE))
        assert all('Owner' not in key for key in cmkctl.json('list')['Keys'])


def test_a_key_without_material_has_no_time_when_it_expires():
    with new_machine() as machine:
        cmkctl = Cmkctl(machine)
        key = create(cmkctl, '--origin', 'EXTERNAL')
        assert columns(cmkctl('list'))['MaterialExpireTime'] == ['-']
        cmkctl('import', key, '--material', '-', stdin=os.urandom(32))
        assert columns(cmkctl('list'))['MaterialExpireTime'] == ['never']
        cmkctl('delete-material', key)
        assert re.search(rb'^MaterialExpireTime +-$', cmkctl('show', key), re.MULTILINE)


def test_monitor_shows_the_life_of_a_key(machine, cmkctl):
    with Monitor(machine) as monitor:
        key = create(cmkctl, '--alias', new_alias())
        cmkctl('tag', key, 'a=b')
        cmkctl('schedule-deletion', key)
        cmkctl('cancel-deletion', key)
        assert [monitor.line() for _ in range(4)] == [
            f'KeyChanged {key} Enabled Created', f'KeyChanged {key} Enabled Updated',
            f'KeyChanged {key} PendingDeletion DeletionScheduled', f'KeyChanged {key} Enabled DeletionCancelled']

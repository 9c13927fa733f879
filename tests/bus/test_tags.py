# SPDX-License-Identifier: Apache-2.0
"""TagResource, UntagResource, and CreateKey with tags."""
import uuid

import pytest
from gi.repository import GLib

from harness import BOB, new_machine
from client import METHODS, UNKNOWN_KEY, refused
from state import edit, rows

MOST = 20
FULL = {f'name {number}': f'value {number}' for number in range(MOST)}


@pytest.fixture
def key(kms):
    return kms.own_key()


def tags(kms, key):
    return kms.describe(key)['Tags']


def pairs(*names_and_values):
    """An a{ss} that may have a name twice."""
    return GLib.Variant.new_array(GLib.VariantType('{ss}'), [
        GLib.Variant.new_dict_entry(GLib.Variant('s', name), GLib.Variant('s', value))
        for name, value in names_and_values])


def tag(kms, key, value):
    """TagResource with a ready a{ss}."""
    return kms.call_with(METHODS['TagResource'][0], 'TagResource', GLib.Variant.new_tuple(GLib.Variant('s', key), value))


def test_set_change_and_take_away(kms, key):
    updated = ('KeyChanged', key, 'Enabled', 'Updated')
    with kms.signals() as signals:
        for count, (call, left) in enumerate([
                (lambda: kms.TagResource(key, {'team': 'storage', 'owner': 'Ada'}),
                 {'team': 'storage', 'owner': 'Ada'}),
                (lambda: kms.TagResource(key, {'owner': 'Bob', 'empty': ''}),
                 {'team': 'storage', 'owner': 'Bob', 'empty': ''}),
                (lambda: kms.UntagResource(key, ['team', 'none', 'empty', 'empty']), {'owner': 'Bob'}),
                (lambda: kms.UntagResource(key, ['owner']), {})], 1):
            assert call()['KeyId'] == key
            assert tags(kms, key) == left
            assert signals.so_far() == [updated] * count


def test_no_change_no_signal(kms, key):
    kms.TagResource(key, {'a': 'b'})
    with kms.signals() as signals:
        for call in (lambda: kms.TagResource(key, {'a': 'b'}), lambda: kms.UntagResource(key, ['none']),
                     lambda: kms.UntagResource(key, []), lambda: kms.TagResource(key, {})):
            assert call()['KeyId'] == key
        assert signals.so_far() == []
    assert tags(kms, key) == {'a': 'b'}


def test_create_with_tags(kms):
    for value in (FULL, {'n' * 128: 'v' * 256}, {'ü' * 128: '鑰' * 256}, {' ': '\n', '=': '=', 'a\tb': ''},
                  {}):
        created = kms.CreateKey(Tags=value)['KeyMetadata']
        assert created['Tags'] == value
        assert kms.describe(created['KeyId']) == created
        assert [entry['Tags'] for entry in kms.ListKeys(Limit=1000)['Keys']
                if entry['KeyId'] == created['KeyId']] == [value]


@pytest.mark.parametrize('value', [
    {'': 'x'}, {'n' * 129: 'x'}, {'ü' * 129: ''}, {'n': 'v' * 257}, {'n': '鑰' * 257}, {'n': 'v' * (1 << 16)},
    {'good': 'x', '': ''},
], ids=lambda value: str(value)[:30])
def test_names_and_values_out_of_range(kms, key, value):
    keys = len(kms.ListKeys(Limit=1000)['Keys'])
    for call in (lambda: kms.TagResource(key, value), lambda: kms.TagResource(UNKNOWN_KEY, value),
                 lambda: kms.CreateKey(Tags=value)):
        with refused('InvalidParameter') as refusal:
            call()
        assert not any(name in refusal.message for name in value if len(name) > 4)
    assert tags(kms, key) == {}
    assert len(kms.ListKeys(Limit=1000)['Keys']) == keys


def test_a_name_twice(kms, key):
    for twice in (pairs(('a', '1'), ('a', '2')), pairs(('a', '1'), ('b', ''), ('a', '1'))):
        for call in (lambda: tag(kms, key, twice), lambda: kms.CreateKey(Tags=twice)):
            with refused('InvalidParameter'):
                call()
    assert tags(kms, key) == {}
    tag(kms, key, pairs(('b', '1'), ('B', '2'), ('a', '3')))
    assert tags(kms, key) == {'b': '1', 'B': '2', 'a': '3'}


def test_the_21st(kms, key):
    with refused('LimitExceeded'):
        kms.CreateKey(Tags={**FULL, 'one more': ''})
    with refused('LimitExceeded'):
        kms.TagResource(key, {**FULL, 'one more': ''})
    assert tags(kms, key) == {}
    kms.TagResource(key, dict(list(FULL.items())[:15]))
    with refused('LimitExceeded'):
        kms.TagResource(key, {f'more {number}': '' for number in range(6)})
    kms.TagResource(key, {**FULL, 'name 0': 'another'})  # the union is 20
    assert tags(kms, key) == {**FULL, 'name 0': 'another'}
    with refused('LimitExceeded'):
        kms.TagResource(key, {'one more': ''})
    kms.UntagResource(key, ['name 3'])
    kms.TagResource(key, {'one more': ''})
    assert len(tags(kms, key)) == MOST


def test_take_all_away(kms, key):
    kms.TagResource(key, FULL)
    kms.UntagResource(key, ['none', *FULL, 'none'])
    assert tags(kms, key) == {}


def test_in_every_state_but_pending_deletion(kms):
    key = kms.external_key(Tags={'a': 'b'})
    kms.TagResource(key, {'b': 'c'})
    kms.import_material(key, bytes(range(32)))
    kms.DisableKey(key)
    kms.UntagResource(key, ['a'])
    kms.ScheduleKeyDeletion(key)
    for call in (lambda: kms.TagResource(key, {'c': 'd'}), lambda: kms.TagResource(key, {'b': 'c'}),
                 lambda: kms.UntagResource(key, ['b']), lambda: kms.UntagResource(key, ['none'])):
        with refused('KeyPendingDeletion'):
            call()
    assert tags(kms, key) == {'b': 'c'}
    assert kms.CancelKeyDeletion(key)['KeyState'] == 'Disabled'
    assert tags(kms, key) == {'b': 'c'}


@pytest.mark.parametrize('key, error', [(UNKNOWN_KEY, 'KeyNotFound'), ('alias/none', 'AliasNotFound'),
                                        ('', 'InvalidParameter'), ('x', 'InvalidParameter')])
def test_what_is_not_there(kms, key, error):
    for call in (lambda: kms.TagResource(key, {'a': 'b'}), lambda: kms.UntagResource(key, ['a'])):
        with refused(error):
            call()


def test_whose_key_it_is(machine, kms, root, key):
    bob = machine.client(BOB)
    kms.TagResource(key, {'a': 'b'})
    for call in (lambda: bob.TagResource(key, {'a': 'c'}), lambda: bob.UntagResource(key, ['a'])):
        with refused('KeyNotFound'):
            call()
    assert tags(kms, key) == {'a': 'b'}
    root.TagResource(key, {'root': 'too'})
    assert tags(kms, key) == tags(root, key) == {'a': 'b', 'root': 'too'}


def test_they_outlive_restart_and_kill(machine, kms, key):
    kms.TagResource(key, FULL)
    for stop in (machine.stop, machine.kill):
        stop()
        machine.start()
        assert tags(kms, key) == FULL


def test_a_row_that_was_edited_is_not_believed():
    with new_machine() as machine:
        kms = machine.client()
        first, second = kms.own_key(Tags={'level': 'one'}), kms.own_key(Tags={'level': 'two'})
        stored = rows(machine, 'SELECT tags FROM tags WHERE key_id = ?', uuid.UUID(first).bytes)[0][0]
        machine.stop()
        edit(machine, 'UPDATE tags SET tags = ? WHERE tags = ?', stored.replace(b'one', b'six'), stored)
        machine.start()
        with refused('StateCorrupted'):
            kms.DescribeKey(first)
        assert tags(kms, second) == {'level': 'two'}


def test_a_page_of_the_largest_keys_fits_a_message(machine):
    """The system bus takes 32 MiB and throws out who sends more."""
    kms, count = machine.client(6), 600
    largest = {'Description': '\U00010348' * 8192,
               'Tags': {f'{number:02}' + '\U00010348' * 126: '\U00010348' * 256 for number in range(MOST)}}
    made = []
    for _ in range(count // 100):
        calls = [kms.start('CreateKey', Origin='EXTERNAL', **largest) for _ in range(100)]
        made += [call.result()['KeyMetadata']['KeyId'] for call in calls]
    pages, marker = [], None
    while marker != '':
        page = kms.ListKeys(Limit=1000, **({'Marker': marker} if marker else {}))
        marker = page['NextMarker']
        pages.append([entry['KeyId'] for entry in page['Keys']])
        assert all(entry['Tags'] == largest['Tags'] for entry in page['Keys'])
        assert sum(len(repr(entry).encode()) for entry in page['Keys']) < 32 << 20
    assert len(pages) > 1 and all(pages)
    assert [key for page in pages for key in page] == made

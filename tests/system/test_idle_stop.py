# SPDX-License-Identifier: Apache-2.0
"""Unused, cmkd ends; what it keeps in the kernel keyring stays, and makes the next start a warm one."""
import pytest


@pytest.fixture(scope='module')
def blob(cmkd):
    cmkd.configure(Daemon={'IdleSeconds': 1})
    return cmkd.machine.ask('cmkctl', 'encrypt', cmkd.create('alice'), input='warm', user='alice')


def ended(cmkd):
    return cmkd.machine.until(lambda: cmkd.property('ActiveState') == 'inactive', 'the end of an unused cmkd')


def contexts(cmkd):
    """The serial numbers of what cmkd keeps for its next life, in a ring of the keyring of its uid."""
    rings = cmkd.machine.ask('keyctl', 'rlist', '@u', user='cmkd').split()
    return [serial for ring in rings for serial in cmkd.machine.ask('keyctl', 'rlist', ring, user='cmkd').split()]


def test_it_ends_by_itself_and_well(cmkd, blob):
    ended(cmkd)
    assert cmkd.property('Result') == 'success'
    assert cmkd.property('NRestarts') == '0'


def test_its_entries_outlive_it(cmkd, blob):
    assert contexts(cmkd)


def test_nobody_else_gets_at_them(cmkd, blob):
    for serial in contexts(cmkd):
        for user in ('alice', 'root'):
            assert cmkd.machine.run('keyctl', 'print', serial, user=user, check=False).status != 0


def test_the_next_call_starts_it_and_finds_them(cmkd, blob):
    before = contexts(cmkd)
    assert cmkd.machine.ask('cmkctl', 'decrypt', input=blob, user='alice') == 'warm'
    assert set(before) & set(contexts(cmkd))
    ended(cmkd)

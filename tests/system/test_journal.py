# SPDX-License-Identifier: Apache-2.0
"""The journal has one entry for each call, done or refused, and cmkctl reads it back."""
import json

import pytest

SECRET = 'nobody shall read this in the journal'


@pytest.fixture(scope='module')
def key(cmkd):
    return cmkd.create('alice', '--description', SECRET)


@pytest.fixture(scope='module', autouse=True)
def calls(cmkd, key):
    cmkd.machine.run('systemd-run', '--quiet', '--collect', '--wait', '--pipe', '--uid=alice', '--unit=backup.service',
                     'cmkctl', 'encrypt', key, input=SECRET)
    assert cmkd.fails('bob', 'encrypt', key, input=SECRET)[0] == 3


def entries(cmkd, *matches):
    said = cmkd.machine.ask('journalctl', '--output=json', '_SYSTEMD_UNIT=cmkd.service', *matches)
    return [json.loads(line) for line in said.splitlines()]


def fields(cmkd, key, outcome):
    """Of the one call to Encrypt that ended so."""
    def found():
        return entries(cmkd, f'CMKD_KEY_ID={key}', 'CMKD_OPERATION=Encrypt', f'CMKD_OUTCOME={outcome}')
    entry, = cmkd.machine.until(found, 'an entry in the journal')
    return {name.removeprefix('CMKD_'): value for name, value in entry.items() if name.startswith('CMKD_')}


def test_a_call_that_was_done(cmkd, key):
    said = fields(cmkd, key, 'done')
    assert len(said.pop('REQUEST_ID')) == 36
    assert said == {'INTERFACE': 'org.cmkd.Kms1.Crypto', 'OPERATION': 'Encrypt', 'KEY_ID': key, 'OUTCOME': 'done',
                    'CALLER_UID': str(cmkd.machine.uid('alice')), 'CALLER_UNIT': 'backup.service'}


def test_a_call_that_was_refused(cmkd, key):
    said = fields(cmkd, key, 'KeyNotFound')
    assert said['CALLER_UID'] == str(cmkd.machine.uid('bob'))
    assert said['REASON']


def test_the_catalog_explains_it(cmkd, key):
    explained = cmkd.machine.ask('journalctl', '--catalog', '_SYSTEMD_UNIT=cmkd.service', f'CMKD_KEY_ID={key}')
    assert '░░ ' in explained


def test_cmkctl_reads_it_back(cmkd, key):
    said = cmkd.machine.ask('cmkctl', 'log', '--key', key)
    assert 'Encrypt' in said and 'KeyNotFound' in said, said


def test_an_ordinary_user_does_not_read_it(cmkd, key):
    assert key not in cmkd.machine.run('cmkctl', 'log', '--key', key, user='alice', check=False).out


def test_no_secret_is_in_it(cmkd):
    assert entries(cmkd)
    assert SECRET not in cmkd.machine.ask('journalctl', '--output=export', '_SYSTEMD_UNIT=cmkd.service')

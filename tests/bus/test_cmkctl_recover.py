# SPDX-License-Identifier: Apache-2.0
"""cmkctl: what it shows of a state that cannot be served, and recover."""
import json
import os
import re
import shutil

import pytest

from cmkctl import Cmkctl, refused
from harness import ALICE, new_machine
from test_cmkctl import fields
from test_cmkctl_life import columns

NO_POOL = {'WrappingKeys': {'ReadyRsa2048': 0}}


@pytest.fixture
def machine():
    with new_machine(config=NO_POOL) as machine:
        yield machine


@pytest.fixture
def cmkctl(machine):
    return Cmkctl(machine)


def told(cmkctl, *arguments, verb='recover'):
    """What it prints when something is the matter: that is told by the exit status, and is no error."""
    done = cmkctl.run(verb, *arguments)
    assert (done.returncode, done.stderr) == (1, b'')
    return done.stdout


def tables(output):
    """{heading: {column: values}} of paragraphs that end in ':' and the tables behind them."""
    paragraphs = output.decode().rstrip('\n').split('\n\n')
    return {heading: columns(table.encode()) for heading, table in zip(paragraphs, paragraphs[1:])
            if heading.endswith(':') and table.startswith('KeyId')}


def lose_tpm(machine):
    machine.stop()
    machine.replace_tpm()
    machine.start()


def test_nothing_is_the_matter(cmkctl):
    assert cmkctl('recover') == b'Nothing is the matter: there is nothing to recover from.\n'
    assert cmkctl.json('recover')['StateStatus'] == 'ok'
    for cause in ('tpm-changed', 'rollback-detected'):
        assert 'StateNotAllowed' in cmkctl.refused(1, 'recover', '--accept', cause)


@pytest.mark.parametrize('arguments', [['--accept'], ['--accept', 'TpmChanged'], ['--accept='], ['now']])
def test_usage(cmkctl, arguments):
    cmkctl.refused(2, 'recover', *arguments)


def test_another_tpm(machine, cmkctl, tmp_path):
    kms = machine.client(ALICE)
    material = tmp_path / 'material'
    material.write_bytes(os.urandom(32))
    external = cmkctl('create', '--origin', 'EXTERNAL', '--description', 'the archive').decode().strip()
    cmkctl('import', external, '--material', material)
    own = kms.own_key(Description='sessions', KeySpec='SM4')
    waiting = kms.external_key()
    blob = cmkctl('encrypt', external, stdin=b'from before')
    lose_tpm(machine)

    shown = fields(told(cmkctl, verb='status'))
    assert (shown['StateStatus'], shown['TpmState'], shown['AnchorState']) == ('tpm-changed', 'changed', 'locked')
    assert 'cmkctl recover' in shown['TpmAdvice']
    assert 'cmkctl recover' in cmkctl.refused(1, 'encrypt', external, stdin=b'x')
    assert external in cmkctl('list').decode() and 'the archive' in cmkctl('show', external).decode()

    explained = told(cmkctl)
    assert b'cmkctl recover --accept tpm-changed\n' in explained and waiting.encode() not in explained
    external_row = {'KeyId': [external], 'KeyState': ['Enabled'], 'KeySpec': ['AES_256'],
                    'Description': ['the archive']}
    own_row = {'KeyId': [own], 'KeyState': ['Enabled'], 'KeySpec': ['SM4'], 'Description': ['sessions']}
    before = tables(explained)
    assert list(before.values()) == [external_row, own_row]
    assert ['wait' in heading for heading in before] == [True, False]
    assert ['lost' in heading for heading in before] == [False, True]
    assert json.loads(told(cmkctl, '--json'))['StateStatus'] == 'tpm-changed'
    assert told(cmkctl) == explained, 'nothing was changed'

    assert 'StateNotAllowed' in cmkctl.refused(1, 'recover', '--accept', 'rollback-detected')
    for cause in ('tpm-changed', 'rollback-detected'):
        message = refused(4, cmkctl.bus, 'recover', '--accept', cause, user=ALICE, group=ALICE, extra_groups=[])
        assert 'AccessDenied' in message and 'root' in message

    after = tables(cmkctl('recover', '--accept', 'tpm-changed'))
    assert list(after.values()) == [{**external_row, 'KeyState': ['PendingImport']}, own_row]
    assert ['cmkctl import' in heading for heading in after] == [True, False]
    assert ['cmkctl schedule-deletion' in heading for heading in after] == [False, True]
    assert fields(cmkctl('status'))['StateStatus'] == 'ok'
    cmkctl('import', external, '--material', material)
    assert cmkctl('decrypt', stdin=blob) == b'from before'
    message = cmkctl.refused(1, 'encrypt', own, stdin=b'x')
    assert 'TpmChanged' in message and re.findall('`cmkctl ([a-z-]+)`', message) == ['schedule-deletion']
    assert cmkctl('recover') == b'Nothing is the matter: there is nothing to recover from.\n'


def test_as_json(machine, cmkctl):
    kms = machine.client(ALICE)
    external, own = kms.imported_key(), kms.own_key()
    lose_tpm(machine)
    answer = cmkctl.json('recover', '--accept', 'tpm-changed')
    assert (answer['PendingImport'], answer['Lost']) == ([external], [own])


def test_no_key_at_all(machine, cmkctl):
    lose_tpm(machine)
    assert tables(told(cmkctl)) == {}
    assert cmkctl('recover', '--accept=tpm-changed') == b'Done: cmkd serves again.\n'


def test_keys_of_others():
    """Who runs cmkd may recover it, and sees no more of other users' keys than their ids."""
    with new_machine(config=NO_POOL, uid=ALICE) as machine:
        own, of_root = machine.client(ALICE).own_key(Description='mine'), machine.client(0).own_key(Description='root')
        lose_tpm(machine)
        done = Cmkctl(machine).run('recover', '--accept=tpm-changed', user=ALICE, group=ALICE, extra_groups=[])
        assert (done.returncode, done.stderr) == (0, b'')
        (table,) = tables(done.stdout).values()
        assert (table['KeyId'], table['Description']) == ([own, of_root], ['mine', ''])


def test_an_older_state(machine, cmkctl):
    kms = machine.client(ALICE)
    key = kms.imported_key()
    blob = cmkctl('encrypt', key, stdin=b'from before')
    machine.stop()
    old = machine.directory / 'old-state'
    shutil.copytree(machine.state, old)
    machine.start()
    kms.UpdateKeyDescription(key, 'new')
    machine.stop()
    shutil.rmtree(machine.state)
    shutil.copytree(old, machine.state)
    machine.start()
    shown = fields(told(cmkctl, verb='status'))
    assert (shown['StateStatus'], shown['TpmState'], shown['AnchorState']) == ('rolled-back', 'ok', 'rolled-back')
    assert 'cmkctl recover' in shown['AnchorAdvice']
    explained = told(cmkctl)
    assert b'cmkctl recover --accept rollback-detected\n' in explained and key.encode() in explained
    assert cmkctl('recover', '--accept', 'rollback-detected') == b'Done: cmkd serves again.\n'
    assert cmkctl('decrypt', stdin=blob) == b'from before'


def test_no_tpm_is_no_case_for_it(machine, cmkctl):
    machine.stop()
    machine.stop_tpm()
    machine.start()
    explained = told(cmkctl)
    assert b'nothing to accept' in explained and b'--accept' not in explained
    cmkctl.refused(5, 'recover', '--accept=tpm-changed')
    assert fields(told(cmkctl, verb='status'))['TpmState'] == 'absent'
    machine.start_tpm()

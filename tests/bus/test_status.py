# SPDX-License-Identifier: Apache-2.0
"""cmkctl status, the doctor: what is told of cmkd and of the machine, and when it is worried."""
import json
import os
import re
from pathlib import Path

import pytest

from cmkctl import Cmkctl, eventually, on_terminal, run
from harness import ALICE, new_machine
from policy import NAME as POLKIT, no, policed_machine, yes

DAY = 86400
FACTS = {'Version', 'StateStatus', 'TpmState', 'TpmAdvice', 'TpmManufacturer', 'TpmFirmware', 'RootKey', 'RootKeyName',
         'StateBytes', 'AnchorState', 'AnchorAdvice', 'AnchorSteps', 'ClockState', 'KeyringStatus', 'KeyringQuota',
         'ReadyRsa2048', 'ReadyRsa3072', 'ReadyRsa4096', 'ReadyEcSm2'}


@pytest.fixture(scope='module')
def cmkctl(machine):
    return Cmkctl(machine)


def worried(cmkctl):
    done = cmkctl.run('status', '--json')
    assert (done.returncode, done.stderr) == (1, b'')
    return json.loads(done.stdout)


def section(output, heading):
    """The lines under a heading."""
    found = re.search(rf'^{heading}:\n((?:.+\n)*)', output.decode(), re.MULTILINE)
    return found.group(1).splitlines() if found else []


def test_all_is_well(machine, cmkctl):
    status = cmkctl.json('status')
    assert set(status) == FACTS | {'RequestId', 'Attention', 'Expiring', 'NotProtected'}
    assert (status['StateStatus'], status['TpmState'], status['KeyringStatus']) == ('ok', 'ok', 'ok')
    assert (status['Attention'], status['Expiring']) == ([], [])
    output = cmkctl('status')
    assert {line.split()[0] for line in output.decode().split('\n\n')[0].splitlines()} == FACTS
    assert b'Needs attention' not in output


def test_root_key_and_size(machine, cmkctl):
    status = cmkctl.json('status')
    assert status['RootKey'] == 'persistent'
    assert re.fullmatch('000b[0-9a-f]{64}', status['RootKeyName'])

    def sizes():
        files = [machine.state / 'state.db', machine.state / 'state.db-wal']
        return cmkctl.json('status')['StateBytes'], sum(path.stat().st_size for path in files if path.exists())

    assert eventually(sizes, lambda two: two[0] == two[1])[0] > 0


def test_quota_is_that_of_the_daemon(machine, cmkctl):
    users = Path('/proc/key-users').read_text()
    used, = re.findall(rf'^ *{machine.uid}: +\d+ \d+/\d+ \d+/(\d+) \d+/(\d+)$', users, re.MULTILINE)
    assert re.fullmatch(rf'\d+ of {used[0]} keys, \d+ of {used[1]} bytes', cmkctl.json('status')['KeyringQuota'])


def test_a_tpm_that_is_a_program_is_said_to_be_one(machine, cmkctl):
    assert any('this TPM is a program' in text for text in cmkctl.json('status')['NotProtected'])
    assert any('this TPM is a program' in line for line in section(cmkctl('status'), 'Not protected here'))
    assert not any('your own instance' in text for text in cmkctl.json('status')['NotProtected'])


def test_an_instance_of_ones_own(machine):
    done = run('--session', 'status', '--json', env={**os.environ, 'DBUS_SESSION_BUS_ADDRESS': machine.address})
    assert any('your own instance' in text for text in json.loads(done.stdout)['NotProtected'])


def test_what_expires_and_what_is_deleted():
    with new_machine() as machine:
        cmkctl, alice, now = Cmkctl(machine), machine.client(ALICE), machine.now()
        alice.imported_key(expires=now + 40 * DAY)
        later = alice.imported_key(expires=now + 20 * DAY, Description='in time')
        deleted = alice.own_key()
        date = alice.ScheduleKeyDeletion(deleted, PendingWindowInDays=9)['DeleteDate']
        status = cmkctl.json('status')
        assert sorted(status['Expiring'], key=lambda key: key['KeyId']) == sorted(
            [{'KeyId': later, 'MaterialExpireTime': now + 20 * DAY, 'Creator': ALICE, 'Description': 'in time'},
             {'KeyId': deleted, 'DeleteDate': date, 'Creator': ALICE, 'Description': ''}], key=lambda key: key['KeyId'])
        header, *rows = section(cmkctl('status'), 'In the next 30 days')
        assert header.split() == ['KeyId', 'MaterialExpireTime', 'DeleteDate', 'Owner', 'Description']
        assert {row.split()[0] for row in rows} == {later, deleted} and all(' games' in row for row in rows)
        header, *rows = section(cmkctl('status', user=ALICE), 'In the next 30 days')
        assert 'Owner' not in header and len(rows) == 2

        soon = alice.imported_key(expires=now + 2 * DAY)
        status = worried(cmkctl)
        assert soon in {key['KeyId'] for key in status['Expiring']}
        assert ['1 key expires within 7 days' in text for text in status['Attention']] == [True]
        done = cmkctl.run('status')
        assert done.returncode == 1 and len(section(done.stdout, 'Needs attention')) == 1


def test_no_tpm_and_no_colour_but_on_a_terminal():
    with new_machine() as machine:
        cmkctl = Cmkctl(machine)
        status, shown = on_terminal(cmkctl.bus, 'status')
        assert status == 0 and '\x1b[32mok\x1b[0m' in shown
        assert '\x1b' not in on_terminal(cmkctl.bus, 'status', NO_COLOR='1')[1]
        machine.stop()
        machine.stop_tpm()
        machine.start()
        status = worried(cmkctl)
        assert (status['TpmState'], status['RootKey']) == ('absent', '')
        assert status['Attention'] == [status['TpmAdvice']]
        assert '\x1b[31mabsent\x1b[0m' in on_terminal(cmkctl.bus, 'status')[1]
        machine.start_tpm()


def test_keys_that_may_not_be_listed_are_no_all_clear():
    with policed_machine(config={'Authorization': {'KeepSeconds': 0}}) as (machine, policy):
        policy.answer = no
        done = Cmkctl(machine).run('status', '--json', user=ALICE)
        worry, = json.loads(done.stdout)['Attention']
        assert (done.returncode, done.stderr) == (1, b'')
        assert worry.startswith('your keys could not be listed') and 'AccessDenied' in worry
        policy.answer = yes
        assert Cmkctl(machine).run('status', user=ALICE).returncode == 0


@pytest.mark.parametrize('program, is_told', [(None, False), ('/bin/false', True)], ids=['not-installed', 'broken'])
def test_root_is_told_that_polkit_does_not_start(program, is_told):
    with new_machine() as machine:
        if program is not None:
            (machine.directory / 'services' / f'{POLKIT}.service').write_text(
                f'[D-BUS Service]\nName={POLKIT}\nExec={program}\nUser=root\n')
        environment = {**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': machine.address}
        done = run('status', '--json', env=environment)
        assert ['polkit' in text for text in json.loads(done.stdout)['Attention']] == [True] * is_told
        assert (done.returncode, done.stderr) == (is_told, b'')
        assert Cmkctl(machine).run('status').returncode == 0

# SPDX-License-Identifier: Apache-2.0
"""The timer sees to it that material is erased that expires while cmkd does not run."""
import re

from service import DEPLOYMENT

ERASED = '886f8126c00c4622b93e77a17a53c1d7'  # docs/audit.md


def test_the_timer_is_set(cmkd):
    assert cmkd.property('ActiveState', 'cmkd-expiry.timer') == 'active'
    assert cmkd.property('UnitFileState', 'cmkd-expiry.timer') == 'enabled'


def test_without_a_state_it_starts_nothing(cmkd):
    cmkd.machine.run('systemctl', 'start', 'cmkd-expiry.service')
    assert cmkd.property('ActiveState') == 'inactive'
    assert cmkd.property('ConditionResult', 'cmkd-expiry.service') == 'no'


def test_what_expires_meanwhile_has_it_started(cmkd):
    """Refused at once, and erased where the clock is believed, which the kernel of a container takes from outside."""
    machine = cmkd.machine
    key = cmkd.create('alice', '--origin', 'EXTERNAL')
    machine.run('sh', '-c', """set -e
        cd
        head -c 32 /dev/urandom >material
        cmkctl get-parameters "$0" --public-key public --token token
        cmkctl wrap --public-key public --in material --out wrapped""", key, user='alice')
    expiry = int(machine.ask('date', '+%s')) + 5
    machine.run('sh', '-c', 'cd; cmkctl import "$0" --encrypted wrapped --token token --expires "$1"', key, f'@{expiry}',
                user='alice')
    cmkd.stop()
    machine.until(lambda: int(machine.ask('date', '+%s')) > expiry, 'the material expires')
    machine.run('systemctl', 'start', 'cmkd-expiry.service')
    assert cmkd.property('ActiveState') == 'active'
    assert cmkd.ctl('alice', 'show', key)['KeyMetadata']['KeyState'] == 'PendingImport'
    if machine.ask('timedatectl', 'show', '--value', '--property=NTPSynchronized') == 'yes':
        machine.until(lambda: machine.ask('journalctl', '--output=cat', f'MESSAGE_ID={ERASED}', f'CMKD_KEY_ID={key}'),
                      'the journal says that it was erased')


def test_a_state_somewhere_else_is_seen_to_as_well(cmkd):
    """By the drop-ins of the documentation."""
    machine = cmkd.machine
    cmkd.reset()
    commands, = re.findall(r'^```sh\n(install .*?)^```$', DEPLOYMENT.read_text(), re.MULTILINE | re.DOTALL)
    machine.run('bash', '-euo', 'pipefail', '-c', commands)
    try:
        machine.run('systemctl', 'start', 'cmkd-expiry.service')
        assert cmkd.property('ActiveState') == 'inactive'
        cmkd.create('alice')
        assert machine.ask('find', '/srv/cmkd', '/var/lib/cmkd', '-name', 'state.db') == '/srv/cmkd/state.db'
        cmkd.stop()
        machine.run('systemctl', 'start', 'cmkd-expiry.service')
        assert cmkd.property('ActiveState') == 'active'
    finally:
        cmkd.stop()
        machine.run('rm', '-rf', '/srv/cmkd', '/etc/systemd/system/cmkd-expiry.service.d')
        cmkd.reset()

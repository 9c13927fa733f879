# SPDX-License-Identifier: Apache-2.0
"""The package is upgraded with everything kept, removed with the state kept, and purged with nothing left."""
import re
import subprocess

import pytest

from machine import PACKAGES, WORK
from service import DEPLOYMENT, TCTI

HIGHER = '9:9.9'


@pytest.fixture(scope='module')
def blob(cmkd):
    return cmkd.machine.ask('cmkctl', 'encrypt', cmkd.create('alice'), input='kept', user='alice')


@pytest.fixture(scope='module')
def higher():
    """The same packages with a higher version."""
    made = []
    for package in PACKAGES:
        directory, result = WORK / 'higher' / package.stem, WORK / 'higher' / f'{package.stem}-higher.deb'
        directory.parent.mkdir(exist_ok=True)
        subprocess.run(['dpkg-deb', '--raw-extract', package, directory], check=True)
        control = directory / 'DEBIAN' / 'control'
        version = subprocess.run(['dpkg-deb', '--field', package, 'Version'], check=True, capture_output=True, text=True).stdout
        control.write_text(control.read_text().replace(version.strip(), HIGHER))
        subprocess.run(['dpkg-deb', '--root-owner-group', '-Znone', '--build', directory, result], check=True,
                       stdout=subprocess.DEVNULL)
        made.append(result)
    return made


def is_well(cmkd, blob):
    return cmkd.machine.ask('cmkctl', 'decrypt', input=blob, user='alice') == 'kept'


def exists(cmkd, path):
    return cmkd.machine.run('test', '-e', path, check=False).status == 0


def test_an_upgrade_keeps_state_and_configuration_and_replaces_the_process(cmkd, blob, higher):
    pid, configuration = cmkd.pid(), cmkd.machine.read('/etc/cmkd/cmkd.conf')
    cmkd.install(higher)
    assert cmkd.machine.ask('dpkg-query', '--show', '--showformat=${Version}', 'cmkd') == HIGHER
    assert cmkd.machine.read('/etc/cmkd/cmkd.conf') == configuration
    assert is_well(cmkd, blob)
    assert cmkd.pid() != pid
    assert cmkd.property('ActiveState', 'cmkd-expiry.timer') == 'active'


def test_removed_it_has_stopped_and_keeps_the_state(cmkd, blob):
    removed = cmkd.machine.run('dpkg', '--remove', 'cmkd')
    assert 'daemon-reload' not in removed.out + removed.err
    assert cmkd.property('ActiveState') == 'inactive'
    assert exists(cmkd, '/var/lib/cmkd/state.db') and exists(cmkd, '/etc/cmkd/cmkd.conf')
    assert not exists(cmkd, '/usr/libexec/cmkd')
    assert cmkd.machine.run('cmkctl', 'status', user='alice', check=False).status == 5


def test_no_call_starts_it_between_its_stop_and_the_end_of_its_files(cmkd, blob):
    """Between the scripts that dpkg runs. If it gives up in between, all is as before."""
    machine = cmkd.machine
    cmkd.install()
    machine.run('/var/lib/dpkg/info/cmkd.prerm', 'remove', DPKG_MAINTSCRIPT_PACKAGE='cmkd')
    cmkd.fails('alice', 'list')
    assert cmkd.property('ActiveState') == 'inactive'
    machine.run('/var/lib/dpkg/info/cmkd.postinst', 'abort-remove', DPKG_MAINTSCRIPT_PACKAGE='cmkd')
    assert is_well(cmkd, blob)


def test_removed_under_load_it_leaves_nothing_behind_either(cmkd, blob):
    """Each call would have the bus start it again."""
    machine = cmkd.machine
    cmkd.install()
    calls = 'until [ -e /run/enough ]; do cmkctl create; date >>/tmp/called."$0"; done'
    loops = [machine.begin('sh', '-c', calls, number, user='alice') for number in range(4)]
    try:
        for number in range(4):
            machine.until(lambda: exists(cmkd, f'/tmp/called.{number}'), 'a call')
        machine.run('dpkg', '--remove', 'cmkd')
        assert machine.run('pgrep', '--uid', 'cmkd', check=False).out == ''
        assert cmkd.property('ActiveState') == 'inactive'
        assert machine.ask('systemctl', 'list-units', '--failed', '--plain', '--no-legend', 'cmkd*') == ''
        assert machine.run('test', '-e', '/run/systemd/system/cmkd.service', check=False).status != 0
    finally:
        machine.run('touch', '/run/enough')
        for loop in loops:
            loop.end()
        machine.run('sh', '-c', 'rm /run/enough /tmp/called.*')


def test_installed_again_it_has_the_keys(cmkd, blob):
    cmkd.install()
    assert is_well(cmkd, blob)


def test_purged_nothing_is_left(cmkd, blob):
    cmkd.machine.run('dpkg', '--purge', 'cmkd', 'cmkctl')
    for path in ('/var/lib/cmkd', '/etc/cmkd', '/usr/libexec/cmkd', '/usr/bin/cmkctl'):
        assert not exists(cmkd, path), path
    left = cmkd.machine.ask('find', '/etc', '/usr', '/var/lib', '-name', '*cmkd*', '-not', '-path', '*/cmkd.service.d*')
    assert left == '', left


def test_after_a_purge_the_tpm_still_knows_of_the_state_until_root_accepts_its_loss(cmkd, blob):
    cmkd.install()
    assert cmkd.ctl('alice', 'list')['Keys'] == []
    assert 'RollbackDetected' in cmkd.fails('alice', 'create')[1]
    cmkd.machine.run('cmkctl', 'recover', '--accept', 'rollback-detected')
    assert cmkd.create('alice')


def test_or_until_the_tpm_forgets_it_as_the_documentation_says(cmkd, blob):
    cmkd.machine.run('dpkg', '--purge', 'cmkd')
    commands, = re.findall(r'^```sh\n(label=.*?)^```$', DEPLOYMENT.read_text(), re.MULTILINE | re.DOTALL)
    cmkd.machine.run('bash', '-euo', 'pipefail', '-c', commands, TPM2TOOLS_TCTI=TCTI[cmkd.machine.has_software_tpm])
    cmkd.install()
    assert cmkd.create('alice')

# SPDX-License-Identifier: Apache-2.0
"""cmkd of one user, on the session bus of that user's manager, apart from the machine's."""
import pytest

UNIT = 'cmkd-user.service'


@pytest.fixture(scope='module')
def session(cmkd):
    """Run a command in the session of bob, who may use the TPM."""
    machine = cmkd.machine
    machine.run('gpasswd', '--add', 'bob', 'tss')
    machine.run('loginctl', 'enable-linger', 'bob')
    directory = f"/run/user/{machine.uid('bob')}"
    machine.until(lambda: machine.run('test', '-S', f'{directory}/bus', check=False).status == 0, 'the session bus of bob')

    def run(*arguments, **options):
        return machine.run(*arguments, user='bob', XDG_RUNTIME_DIR=directory, DBUS_SESSION_BUS_ADDRESS=f'unix:path={directory}/bus',
                           **options)

    yield run
    machine.run('loginctl', 'disable-linger', 'bob')
    machine.run('gpasswd', '--delete', 'bob', 'tss')
    machine.until(lambda: cmkd.property('ActiveState', f"user@{machine.uid('bob')}.service") == 'inactive', 'the end of the session')


def test_it_starts_with_the_first_call(cmkd, session):
    assert session('systemctl', '--user', 'is-active', UNIT, check=False).out == 'inactive\n'
    key = session('cmkctl', '--session', 'create').out.strip()
    assert key in session('cmkctl', '--session', 'list').out
    assert session('systemctl', '--user', 'is-active', UNIT).out == 'active\n'


def test_it_keeps_its_state_with_the_user(cmkd, session):
    assert session('stat', '--format=%U %a', '/home/bob/.local/state/cmkd').out == 'bob 700\n'


def test_the_keys_of_the_machine_are_others(cmkd, session):
    assert cmkd.ctl('bob', 'list')['Keys'] == []


def test_it_stays_usable_after_a_restart(cmkd, session):
    key = session('cmkctl', '--session', 'create').out.strip()
    blob = session('cmkctl', '--session', 'encrypt', key, input='mine').out
    session('systemctl', '--user', 'restart', UNIT)
    assert session('cmkctl', '--session', 'decrypt', input=blob).out == 'mine'

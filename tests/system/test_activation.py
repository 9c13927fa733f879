# SPDX-License-Identifier: Apache-2.0
"""cmkd starts with the first call, once for all who call."""


def test_installing_starts_the_timer_and_nothing_else(cmkd):
    assert cmkd.property('ActiveState') == 'inactive'
    assert cmkd.property('ActiveState', 'cmkd-expiry.timer') == 'active'


def test_the_first_calls_start_it_once(cmkd):
    calls = [cmkd.machine.begin('cmkctl', 'list', user=user) for user in ('alice', 'bob', 'root') * 3]
    assert [call.end().status for call in calls] == [0] * 9
    started = cmkd.machine.ask('journalctl', '--output=cat', '_SYSTEMD_UNIT=init.scope', f'UNIT={cmkd.unit}', 'JOB_TYPE=start')
    assert started.count('Started') == 1, started


def test_it_has_its_name_a_user_and_a_directory_of_its_own(cmkd):
    assert cmkd.property('ActiveState') == 'active'
    assert cmkd.machine.ask('ps', '-o', 'user=', '-p', cmkd.pid()) == 'cmkd'
    assert cmkd.machine.ask('stat', '--format=%U:%G %a', '/var/lib/cmkd') == 'cmkd:cmkd 700'
    assert cmkd.property('NRestarts') == '0'


def test_it_stops_at_once_when_told_to(cmkd):
    cmkd.stop()
    assert cmkd.property('Result') == 'success'


def test_status_is_well_for_an_ordinary_user(cmkd):
    assert 'ok' in cmkd.machine.ask('cmkctl', 'status', user='alice')


def test_one_that_cannot_start_says_why(cmkd):
    """To the caller, who to ask; there, in what systemctl shows, the reason, which further attempts have not pushed out."""
    cmkd.stop()
    cmkd.configure(Daemon={'IdleSecond': 1})
    try:
        status, message = cmkd.fails('alice', 'list')
        assert status == 5 and 'journalctl -u cmkd -n 20' in message
        assert 'IdleSecond' in cmkd.machine.run('systemctl', 'status', cmkd.unit, check=False).out
        assert cmkd.property('NRestarts') == '0'
    finally:
        cmkd.configure()
        cmkd.machine.run('systemctl', 'reset-failed', cmkd.unit)
    assert cmkd.ctl('alice', 'list')['Keys'] == []

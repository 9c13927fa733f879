# SPDX-License-Identifier: Apache-2.0
"""systemd keeps cmkd alive: when it hangs, when it crashes; and what was answered for is there afterwards."""
import pytest


@pytest.fixture(scope='module')
def blob(cmkd):
    return cmkd.machine.ask('cmkctl', 'encrypt', cmkd.create('alice'), input='still here', user='alice')


@pytest.fixture(autouse=True)
def fresh_count(cmkd):
    cmkd.machine.run('systemctl', 'reset-failed', cmkd.unit)
    cmkd.start()


def is_well(cmkd, blob):
    return cmkd.machine.ask('cmkctl', 'decrypt', input=blob, user='alice') == 'still here'


def restarted(cmkd, pid):
    return cmkd.machine.until(lambda: cmkd.pid() not in (0, pid) and cmkd.property('ActiveState') == 'active', 'another cmkd')


def test_it_is_restarted_after_a_crash(cmkd, blob):
    pid = cmkd.pid()
    cmkd.machine.run('kill', '-SEGV', pid)
    restarted(cmkd, pid)
    assert cmkd.property('NRestarts') == '1'
    assert is_well(cmkd, blob)


def test_it_is_restarted_when_it_hangs(cmkd, blob):
    cmkd.drop_in('[Service]\nWatchdogSec=1s\n')
    cmkd.stop()
    assert is_well(cmkd, blob)
    pid = cmkd.pid()
    cmkd.machine.run('kill', '-STOP', pid)
    restarted(cmkd, pid)
    assert cmkd.property('NRestarts') == '1'
    assert 'watchdog' in cmkd.machine.ask('journalctl', '--output=cat', f'UNIT={cmkd.unit}', '--lines=40').lower()
    assert is_well(cmkd, blob)
    cmkd.drop_in(None)


def test_it_feeds_the_watchdog(cmkd, blob):
    """The unit asks for it, and cmkd, which does nothing, is left alone for several of its intervals."""
    assert cmkd.property('WatchdogUSec') not in ('0', 'infinity')
    cmkd.drop_in('[Service]\nWatchdogSec=200ms\n')
    cmkd.stop()
    assert is_well(cmkd, blob)
    pid = cmkd.pid()
    fed = cmkd.property('WatchdogTimestampMonotonic')
    for _ in range(5):
        fed = cmkd.machine.until(lambda: (now := cmkd.property('WatchdogTimestampMonotonic')) != fed and now, 'the watchdog is fed')
    assert cmkd.pid() == pid
    cmkd.drop_in(None)


def test_who_calls_while_it_stops_is_answered(cmkd, blob):
    """By this cmkd or by the next, for which systemd may well give up the stop."""
    calls = [cmkd.machine.begin('cmkctl', 'list', user='alice') for _ in range(5)]
    cmkd.machine.run('systemctl', 'stop', cmkd.unit, check=False)
    assert [call.end().status for call in calls] == [0] * 5
    assert is_well(cmkd, blob)

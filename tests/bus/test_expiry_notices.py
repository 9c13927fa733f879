# SPDX-License-Identifier: Apache-2.0
"""KeyMaterialExpiring: notices ahead of the expiry of material."""
import os

import pytest

from harness import new_machine
from test_cmkctl import Monitor

START, DAY = 2_000_000_000, 86400


@pytest.fixture
def own():
    """A machine whose clock stands still at START."""
    with new_machine(clock=START) as machine:
        yield machine


def expiring(signals):
    return [signal[1:] for signal in signals.so_far() if signal[0] == 'KeyMaterialExpiring']


@pytest.mark.parametrize('restart', ['no', 'restart', 'kill'])
def test_notices_of_expiry(own, restart):
    """7 days and 1 day ahead, once each, whatever happens in between."""
    kms = own.client()
    expires = START + 10 * DAY
    key, other = kms.imported_key(expires=expires), kms.imported_key()
    with kms.signals() as signals:
        seen = []
        for days, notices in ((9, 0), (7.01, 0), (7, 1), (6, 1), (2, 1), (1, 2), (0.5, 2)):
            own.stop_clock(expires - int(days * DAY))
            kms.describe(other)
            if restart == 'restart':
                own.restart()
            if restart == 'kill':
                expiring(signals)  # a notice counts as sent when it has been
                kms.describe(other)
                own.kill()
                own.start()
            kms.describe(other)
            seen = expiring(signals)
            assert seen == [(key, expires)] * notices, days


def test_a_notice_that_is_late(own):
    """Nobody ran at the time; and both that were missed are one."""
    kms = own.client()
    first, second = kms.imported_key(expires=START + 8 * DAY), kms.imported_key(expires=START + 11 * DAY)
    with kms.signals() as signals:
        own.stop()
        own.pass_time(7 * DAY + 3600)
        own.start()
        assert sorted(expiring(signals)) == sorted([(first, START + 8 * DAY), (second, START + 11 * DAY)])


@pytest.mark.parametrize('at_start', [False, True])
def test_a_kill_swallows_no_notice(own, at_start):
    """Whenever it comes: it may be sent twice, then."""
    kms = own.client()
    for _ in range(5):
        expires = own.now() + 8 * DAY
        key = kms.imported_key(expires=expires)
        with kms.signals() as signals:
            if at_start:
                own.stop()
                own.pass_time(DAY)
                own.start()
            else:
                own.pass_time(DAY)
                kms.describe(key)
            own.kill()
            own.start()
            signals.wait_for('KeyMaterialExpiring', key, expires)


def test_a_notice_for_each_expiry(own):
    """Material that is imported with another date is another case; with less than a day ahead nobody needs a notice."""
    kms, material = own.client(), os.urandom(32)
    key = kms.imported_key(material, expires=START + 8 * DAY)
    with kms.signals() as signals:
        own.pass_time(DAY)
        kms.describe(key)
        assert expiring(signals) == [(key, START + 8 * DAY)]
        kms.import_material(key, material, KeyMaterialExpireUnix=START + 18 * DAY)
        own.pass_time(6 * DAY)
        kms.describe(key)
        assert len(expiring(signals)) == 1
        own.pass_time(4 * DAY)
        kms.describe(key)
        assert expiring(signals)[1:] == [(key, START + 18 * DAY)]
        kms.import_material(key, material, KeyMaterialExpireUnix=START + 11 * DAY + 3600)
        kms.describe(key)
        assert len(expiring(signals)) == 2


def test_no_notice_by_a_wrong_clock(own):
    kms = own.client()
    key = kms.imported_key(expires=START + 30 * DAY)
    with kms.signals() as signals:
        own.set_clock(25 * DAY)
        kms.describe(key)
        assert expiring(signals) == []
        own.set_clock(0)
        own.pass_time(23 * DAY)
        kms.describe(key)
        assert expiring(signals) == [(key, START + 30 * DAY)]


@pytest.mark.parametrize('days, notices', [('', []), ('30;2', [30, 2]), ('1', [1])])
def test_notice_days_of_the_configuration(days, notices):
    with new_machine(config={'Expiry': {'NoticeDays': days}}, clock=START) as own:
        kms = own.client()
        key = kms.imported_key(expires=START + 40 * DAY)
        with kms.signals() as signals:
            for left in range(39, 0, -1):
                own.stop_clock(START + (40 - left) * DAY)
                kms.describe(key)
                assert len(expiring(signals)) == sum(day >= left for day in notices)


@pytest.mark.parametrize('days', ['0', '1;7', '7;7', 'x', '3651', '7;1;', '9;8;7;6;5;4;3;2;1'])
def test_notice_days_that_are_none(days):
    with new_machine(config={'Expiry': {'NoticeDays': days}}, start=False) as machine:
        status, output = machine.run_daemon()
        assert status == 1
        assert 'NoticeDays' in output


def test_cmkctl_monitor_shows_it(own):
    kms = own.client()
    key = kms.imported_key(expires=START + 7 * DAY + 100)
    with Monitor(own) as monitor:
        own.pass_time(100)
        kms.describe(key)
        assert monitor.line() == f'KeyMaterialExpiring {key} 2033-05-25T03:35:00Z'

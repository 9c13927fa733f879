# SPDX-License-Identifier: Apache-2.0
"""A clock that is wrong, in either direction, at run time, over restarts and reboots: what has expired stays so, and what
cannot be undone is done by time that has really passed. The clocks of a test are those of harness.Machine."""
import os

import pytest

import cmkctl
from harness import BOB, new_machine
from client import b64, iterate_until, refused, unb64
from state import row_of_key, rows

START, DAY, YEAR = 2_000_000_000, 86400, 365 * 86400
EARLIEST = 1_735_689_600  # of daemon/base/clock.c
DATE = START + 7 * DAY


@pytest.fixture
def own():
    """A machine whose clock stands still at START."""
    with new_machine(clock=START) as machine:
        yield machine


def has_material(machine, key):
    return row_of_key(machine, key)['envelope'] is not None


def clock_state(kms):
    return kms.GetStatus()['ClockState']


def warnings(machine):
    return [line for line in machine.log.read_text().splitlines() if 'WARNING' in line and 'system clock' in line]


def expired_key_and_token(machine):
    """A key whose material has expired, with its blob, and a token that has."""
    kms = machine.client()
    parameters = kms.parameters(kms.external_key())
    key = kms.imported_key(expires=START + 100)
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    machine.pass_time(DAY)
    with refused('KeyPendingImport'):
        kms.Decrypt(blob)
    return kms, key, blob, parameters


def assert_still_expired(kms, key, blob, parameters):
    assert kms.state(key) == 'PendingImport'
    with refused('KeyPendingImport'):
        kms.Decrypt(blob)
    with refused('ExpiredImportToken'):
        kms.import_with(parameters, os.urandom(32))


@pytest.mark.parametrize('back', [DAY, YEAR, START])
def test_cl_01_back_at_run_time(own, back):
    kms, *expired = expired_key_and_token(own)
    assert (clock_state(kms), warnings(own)) == ('ok', [])
    own.set_clock(-back)
    assert_still_expired(kms, *expired)
    assert clock_state(kms) == 'behind'
    assert len(warnings(own)) == 1
    own.set_clock(0)
    assert_still_expired(kms, *expired)
    assert clock_state(kms) == 'ok'


def test_cl_01_refused_before_it_is_erased(own):
    """What is cached knows nothing of the sweep: the time alone refuses."""
    kms = own.client()
    key = kms.imported_key(expires=START + 100)
    kms.Encrypt(key, b64(b'x'))
    own.pass_time(100)
    own.set_clock(-DAY)
    with refused('KeyPendingImport'):
        kms.Encrypt(key, b64(b'x'))


@pytest.mark.parametrize('how', ['restart', 'kill', 'reboot'])
@pytest.mark.parametrize('back', [DAY, YEAR])
def test_cl_02_back_across_restart(own, how, back):
    kms, *expired = expired_key_and_token(own)
    lives, dies = kms.imported_key(expires=START + DAY + 1000), kms.imported_key(expires=START + DAY + 100)
    own.pass_time(DAY)
    assert kms.state(lives) == 'PendingImport'  # by a timer, in earnest
    late = kms.imported_key(expires=START + 2 * DAY + 50)
    if how == 'kill':
        own.kill()
    else:
        own.stop()
    own.set_clock(-back)
    if how == 'reboot':
        own.boot()
    else:
        own.pass_time(50)
    own.start()
    assert_still_expired(kms, *expired)
    assert [kms.state(key) for key in (lives, dies)] == ['PendingImport'] * 2
    assert clock_state(kms) == 'behind'
    if how == 'reboot':
        own.pass_time(50)
    assert kms.state(late) == 'PendingImport'


def test_cl_02_time_goes_on_while_cmkd_is_down(own):
    """Within one boot nothing needs to be kept: CLOCK_BOOTTIME knows how long it was."""
    kms = own.client()
    key = kms.imported_key(expires=START + 3 * DAY)
    own.kill()
    own.pass_time(3 * DAY)
    own.set_clock(-10 * DAY)
    own.start()
    assert kms.state(key) == 'PendingImport'
    assert not has_material(own, key)


@pytest.mark.parametrize('synchronised', [True, False])
def test_cl_03_forward_past_expiry(own, synchronised):
    kms = own.client()
    key = kms.imported_key(expires=START + 100)
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    with kms.signals() as signals:
        own.synchronise_clock(synchronised)
        own.set_clock(100)
        with refused('KeyPendingImport'):
            kms.Decrypt(blob)
        assert kms.state(key) == 'PendingImport'
        assert [entry['KeyId'] for entry in kms.ListKeys(KeyState='PendingImport')['Keys']] == [key]
        assert kms.ListKeys(KeyState='Enabled')['Keys'] == []
        if synchronised:
            signals.wait_for('KeyChanged', key, 'PendingImport', 'MaterialExpired')
        assert has_material(own, key) is not synchronised
        own.set_clock(0)
        if synchronised:
            assert_refused_for_good(own, kms, key, blob)
        else:
            own.pass_time(100)
            assert kms.state(key) == 'PendingImport'
            signals.wait_for('KeyChanged', key, 'PendingImport', 'MaterialExpired')
            assert not has_material(own, key)


def assert_refused_for_good(machine, kms, key, blob):
    machine.restart()
    with refused('KeyPendingImport'):
        kms.Decrypt(blob)
    assert kms.state(key) == 'PendingImport'


MEANWHILE = {
    'nothing': lambda machine, kms, key: None,
    'restart': lambda machine, kms, key: machine.restart(),
    'reboot': lambda machine, kms, key: machine.reboot(),
    'UpdateKeyDescription': lambda machine, kms, key: kms.UpdateKeyDescription(key, 'x'),
    'TagResource': lambda machine, kms, key: kms.TagResource(key, {'a': 'b'}),
    'ScheduleKeyDeletion': lambda machine, kms, key: (kms.ScheduleKeyDeletion(key), kms.CancelKeyDeletion(key)),
    'almost 12 hours': lambda machine, kms, key: machine.pass_time(12 * 3600 - 1),
    'another jump at the last moment': lambda machine, kms, key: (
        machine.pass_time(12 * 3600 - 1), machine.set_clock(0), kms.state(key), machine.set_clock(20 * YEAR)),
}


@pytest.mark.parametrize('meanwhile', MEANWHILE)
def test_cl_04_forward_20_years_and_back(own, meanwhile):
    kms = own.client()
    key = kms.imported_key(expires=START + 30 * DAY)
    blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
    own.set_clock(20 * YEAR)
    assert kms.state(key) == 'PendingImport'
    assert clock_state(kms) == 'unconfirmed'
    MEANWHILE[meanwhile](own, kms, key)
    with refused('KeyPendingImport'):
        kms.Decrypt(blob)
    assert kms.state(key) == 'PendingImport'
    assert has_material(own, key)
    assert len(warnings(own)) >= 1
    own.set_clock(0)
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
    assert (kms.state(key), clock_state(kms)) == ('Enabled', 'ok')
    assert kms.describe(key)['MaterialExpireTime'] == START + 30 * DAY
    own.restart()
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
    own.pass_time(30 * DAY)
    assert kms.state(key) == 'PendingImport'
    assert not has_material(own, key)


@pytest.mark.parametrize('restart', ['no', 'restart', 'reboot'])
def test_a_clock_that_stands_for_12_hours_is_believed(own, restart):
    kms = own.client()
    key = kms.imported_key(expires=START + 30 * DAY)
    own.set_clock(YEAR)
    for hour in range(12):
        assert has_material(own, key), hour
        assert kms.state(key) == 'PendingImport'
        own.pass_time(3600)
        kms.GetStatus()
        if restart != 'no':
            kms.state(key)
            getattr(own, restart)()
    assert kms.state(key) == 'PendingImport'
    assert not has_material(own, key)
    assert clock_state(kms) == 'ok'
    own.set_clock(0)
    assert clock_state(kms) == 'behind'


def test_what_was_put_on_top_of_a_claim_is_another_one(own):
    """A minute that has stood for hours does not vouch for the years that came to it."""
    kms = own.client()
    key = kms.imported_key(expires=START + 30 * DAY)
    own.set_clock(2 * 3600)
    kms.state(key)
    own.pass_time(11 * 3600)
    own.set_clock(20 * YEAR)
    kms.state(key)
    own.pass_time(3600)
    assert kms.state(key) == 'PendingImport'
    assert has_material(own, key)
    own.set_clock(2 * 3600)
    assert clock_state(kms) == 'ok'  # the two hours are confirmed
    assert kms.state(key) == 'Enabled'


def test_steps_within_the_tolerance_lead_nowhere(own):
    kms = own.client()
    key = kms.imported_key(expires=START + 600)
    for step in range(1, 12):
        own.set_clock(step * 55)
        assert kms.state(key) in ('Enabled', 'PendingImport')
    assert has_material(own, key)
    own.set_clock(0)
    assert kms.state(key) == 'Enabled'


def test_cl_04_a_jump_deletes_no_key(own):
    kms = own.client()
    key = kms.own_key()
    kms.ScheduleKeyDeletion(key, PendingWindowInDays=7)
    own.set_clock(20 * YEAR)
    own.restart()
    assert (kms.state(key), kms.describe(key)['DeleteDate']) == ('PendingDeletion', DATE)
    assert kms.CancelKeyDeletion(key)['KeyState'] == 'Enabled'


@pytest.mark.parametrize('how', ['synchronised', 'off'])
def test_a_key_that_came_due_by_a_leap_can_be_kept_for_a_day(how):
    """Of running: a machine that was off for years, or whose clock was far behind."""
    with new_machine(clock=START) as own:
        kms = own.client()
        kept, gone = kms.own_key(), kms.own_key()
        for key in (kept, gone):
            kms.ScheduleKeyDeletion(key, PendingWindowInDays=7)
        own.synchronise_clock()
        if how == 'off':
            own.reboot(seconds_off=3 * YEAR)
        else:
            own.set_clock(3 * YEAR)
        for _ in range(2):
            assert kms.state(kept) == 'PendingDeletion'
            own.pass_time(12 * 3600 - 60)
        own.reboot()
        assert kms.CancelKeyDeletion(kept)['KeyState'] == 'Enabled'
        assert kms.state(gone) == 'PendingDeletion'
        own.pass_time(120)
        with refused('KeyNotFound'):
            kms.DescribeKey(gone)
        assert kms.state(kept) == 'Enabled'


def test_a_short_time_off_delays_nothing(own):
    kms = own.client()
    key = kms.own_key()
    kms.ScheduleKeyDeletion(key, PendingWindowInDays=7)
    own.pass_time(7 * DAY - 1800)
    own.synchronise_clock()
    own.reboot(seconds_off=1800)
    with refused('KeyNotFound'):
        kms.DescribeKey(key)


@pytest.mark.parametrize('expires', [2_147_443_200, 2**31 - 1, 2**31, 4_000_000_000])
def test_cl_05_64_bit(own, expires):
    kms = own.client()
    key, material = kms.external_key(), os.urandom(32)
    answer = kms.import_material(key, material, KeyMaterialExpireUnix=expires)
    assert answer['MaterialExpireTime'] == kms.describe(key)['MaterialExpireTime'] == expires
    assert row_of_key(own, key)['expires_at'] == expires
    own.restart()
    assert kms.describe(key)['MaterialExpireTime'] == expires
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    own.stop_clock(expires - 1)
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'
    own.stop_clock(expires)
    with refused('KeyPendingImport'):
        kms.Decrypt(blob)
    assert kms.state(key) == 'PendingImport'


def test_cl_06_one_now_decides(own):
    """Calls on both sides of the second, while it comes: each is wholly before or wholly after."""
    kms, material = own.client(), os.urandom(32)
    key = kms.imported_key(material, expires=START + 100)
    blob = kms.Encrypt(key, b64(b'whole'))['CiphertextBlob']
    own.stop_clock(START + 99)
    early = [kms.start('ReEncrypt', blob, key) for _ in range(50)]
    own.stop_clock(START + 100)
    late = [kms.start('ReEncrypt', blob, key) for _ in range(50)]
    answers = [call.answer for call in early + late if wait_for(call) is None]
    assert len(answers) <= 50
    assert {call.error.name for call in early + late if call.error} == {'KeyPendingImport'}
    kms.import_material(key, material)
    for answer in answers:
        assert unb64(kms.Decrypt(answer['CiphertextBlob'])['Plaintext']) == b'whole'


def wait_for(call):
    iterate_until(lambda: call.done, 'the answer to a call')
    return call.error


def test_cl_07_suspend_over_expiry(own):
    """CLOCK_BOOTTIME counts it, CLOCK_MONOTONIC does not; no timer has fired when the first call comes."""
    kms = own.client()
    key = kms.imported_key(expires=START + 100)
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    own.pass_time(3600)
    with refused('KeyPendingImport'):
        kms.Decrypt(blob)
    assert kms.state(key) == 'PendingImport'
    assert not has_material(own, key)


N_AT_ONCE = 210  # more than two slices of the sweep


def test_cl_08_many_expire_in_one_second():
    """In slices: others are served in between, and what is left is done without a further call."""
    with new_machine(config={'Limits': {'ImportSetsPerUser': N_AT_ONCE}}, clock=START) as own:
        kms, bob = own.client(), own.client(BOB)
        theirs = bob.own_key()
        keys = [kms.external_key() for _ in range(N_AT_ONCE)]
        for key in keys:
            parameters = kms.parameters(key, 'SM2PKE', 'EC_SM2')
            kms.import_with({**parameters, 'WrappingAlgorithm': []}, os.urandom(32), KeyMaterialExpireUnix=START + 100)
        with kms.signals() as signals:
            own.stop_clock(START + 100)
            calls = [bob.start('DescribeKey', theirs) for _ in range(5)]
            for call in calls:
                assert call.result()['KeyMetadata']['KeyState'] == 'Enabled'
            for key in keys:
                signals.wait_for('KeyChanged', key, 'PendingImport', 'MaterialExpired')
            assert len(signals.so_far()) == N_AT_ONCE
        assert rows(own, 'SELECT count (*) AS n FROM keys WHERE envelope IS NOT NULL')[0]['n'] == 1
        assert len(kms.ListKeys(KeyState='PendingImport', Limit=1000)['Keys']) == N_AT_ONCE


def test_cl_09_first_start_in_1970(own):
    """Nothing is known of the time, but that it is not before cmkd was made."""
    with new_machine(start=False) as machine:
        machine.synchronise_clock(False)
        machine.set_clock(-machine.now())
        machine.start()
        kms = machine.client()
        created = kms.describe(kms.own_key())['CreationDate']
        assert created >= EARLIEST
        assert clock_state(kms) == 'behind'
        machine.synchronise_clock()
        machine.set_clock(0)
        assert kms.describe(kms.own_key())['CreationDate'] >= machine.now() - 60
        assert clock_state(kms) == 'ok'


@pytest.mark.parametrize('restart', ['no', 'restart', 'kill', 'reboot'])
def test_cl_09_first_start_ten_years_ahead(restart):
    """A wall clock that nobody vouches for is a claim, also if it is the first: put right, it has left no harm."""
    with new_machine(start=False, clock=START) as machine:
        machine.synchronise_clock(False)
        machine.set_clock(10 * YEAR)
        machine.start()
        kms = machine.client()
        assert clock_state(kms) == 'unconfirmed'
        old = kms.own_key()
        parameters = kms.parameters(kms.external_key())
        machine.pass_time(12 * 3600 - 1)
        assert clock_state(kms) == 'unconfirmed'
        machine.set_clock(0)
        if restart == 'kill':
            machine.kill()
            machine.start()
        elif restart != 'no':
            getattr(machine, restart)()
        with refused('InvalidImportToken'):
            kms.import_with(parameters, os.urandom(32))
        assert kms.describe(kms.own_key())['CreationDate'] == machine.now()
        key = kms.imported_key(expires=machine.now() + YEAR)
        blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
        machine.synchronise_clock()
        assert (kms.state(old), clock_state(kms)) == ('Enabled', 'ok')
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
        machine.pass_time(YEAR)
        with refused('KeyPendingImport'):
            kms.Decrypt(blob)
        assert kms.state(key) == 'PendingImport'
        assert not has_material(machine, key)


def test_a_right_clock_that_nobody_vouches_for():
    """From the first start on all works by it, but for what cannot be undone: that waits for 12 hours of running, and
    the deletion of a key for 24 more."""
    with new_machine(start=False, clock=START) as machine:
        machine.synchronise_clock(False)
        machine.start()
        kms = machine.client()
        assert kms.describe(kms.own_key())['CreationDate'] == START
        parameters = kms.parameters(kms.external_key())
        assert parameters['TokenExpireTime'] == START + DAY
        with refused('InvalidParameter'):
            kms.imported_key(expires=START)
        key, doomed = kms.imported_key(expires=START + 100), kms.own_key()
        assert kms.ScheduleKeyDeletion(doomed, PendingWindowInDays=7)['DeleteDate'] == DATE
        blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
        machine.pass_time(100)
        with refused('KeyPendingImport'):
            kms.Decrypt(blob)
        assert has_material(machine, key)
        machine.restart()
        machine.pass_time(12 * 3600)
        assert kms.state(key) == 'PendingImport'
        assert not has_material(machine, key)
        assert clock_state(kms) == 'ok'
        machine.pass_time(DAY - 200)
        with refused('ExpiredImportToken'):
            kms.import_with(parameters, os.urandom(32))
        machine.stop_clock(DATE - 1)
        assert kms.state(doomed) == 'PendingDeletion'
        machine.stop_clock(DATE)
        with refused('KeyNotFound'):
            kms.DescribeKey(doomed)


def test_what_is_due_is_done_before_serving(own):
    """After a boot too, by a clock that is synchronised by then; a key was due by time that is proven."""
    kms = own.client()
    expired, doomed = kms.imported_key(expires=START + 7 * DAY - 60), kms.own_key()
    kms.ScheduleKeyDeletion(doomed, PendingWindowInDays=7)
    own.pass_time(7 * DAY - 1800)
    own.synchronise_clock()
    own.reboot(seconds_off=1800)
    assert not has_material(own, expired)
    assert len(rows(own, 'SELECT id FROM keys')) == 1
    assert kms.state(expired) == 'PendingImport'


def test_cl_09_boot_in_1970(own):
    kms = own.client()
    key = kms.imported_key(expires=START + 100)
    parameters = kms.parameters(kms.external_key())
    own.pass_time(DAY)
    own.stop()
    own.set_clock(-own.now())
    own.boot()
    own.start()
    assert kms.state(key) == 'PendingImport'
    with refused('ExpiredImportToken'):
        kms.import_with(parameters, os.urandom(32))
    assert kms.describe(kms.own_key())['CreationDate'] >= START + DAY - 3600


@pytest.mark.parametrize('restart', [False, True])
def test_cl_09_token_of_the_future(restart):
    """Issued by a clock that was put right since: neither is it good for years, nor does it use up the limit."""
    with new_machine(config={'Limits': {'ImportSetsPerKey': 2}}, clock=START) as own:
        kms = own.client()
        key = kms.external_key()
        own.set_clock(20 * YEAR)
        future = [kms.parameters(key) for _ in range(2)]
        kms.import_with(future[0], b'M' * 32)
        own.set_clock(0)
        if restart:
            own.restart()
        for parameters in future:
            with refused('InvalidImportToken'):
                kms.import_with(parameters, b'M' * 32)
        present = [kms.parameters(key) for _ in range(2)]
        assert kms.import_with(present[1], b'M' * 32)['KeyState'] == 'Enabled'
        with refused('LimitExceeded'):
            kms.parameters(key)
        if restart:
            assert len(rows(own, 'SELECT id FROM import_sets')) == 2


@pytest.mark.parametrize('zone', ['UTC', 'Asia/Shanghai', 'America/New_York', ':/usr/share/zoneinfo/right/UTC'])
def test_cl_10_always_utc(zone):
    """Neither the zone of cmkd nor that of cmkctl changes a second, on the days of a change to summer time either."""
    with new_machine(clock=1_899_000_000, environment={'TZ': zone}) as machine:
        kms = machine.client(0)
        key = kms.imported_key(expires=1_899_432_000)
        assert kms.describe(key)['CreationDate'] == 1_899_000_000
        assert kms.describe(key)['MaterialExpireTime'] == 1_899_432_000
        shown = cmkctl.run(f'--address={machine.address}', 'show', key, env={**os.environ, 'TZ': zone}).stdout.decode()
        assert '2030-03-06T04:00:00Z' in shown
        assert '2030-03-11T04:00:00Z' in shown

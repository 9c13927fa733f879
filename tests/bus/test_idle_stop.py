# SPDX-License-Identifier: Apache-2.0
"""cmkd ends when nobody needs it, and the bus starts it again with the next call: nothing is lost and nobody notices."""
import fcntl
import os
import random
import signal

import pytest
from gi.repository import Gio, GLib

from activation import activated
from cmkctl import Cmkctl
from client import BUS_NAME, DEADLINE, OBJECT_PATH, DBusError, b64, iterate_until, refused, unb64
from harness import ALICE, BOB, new_machine, wait_for_end
from state import row_of_key
from test_cmkctl import Monitor

START, DAY = 2_000_000_000, 86400
IDLE = 0.1  # seconds; no test depends on it being short or long
ROUNDS = int(os.environ.get('CMKD_IDLE_ROUNDS', 25))


# The end

@pytest.mark.parametrize('said', ['by-option', 'by-configuration'])
def test_unused_it_ends_with_0(said):
    with new_machine(start=False, config={'Daemon': {'IdleSeconds': 1 if said == 'by-configuration' else 0}}) as machine:
        machine.wrapper = ['sh', '-c', 'exec "$@" --idle-timeout=0.1', 'sh'] if said == 'by-option' else []
        machine.launch()
        daemon, machine.daemon = machine.daemon, None
        assert wait_for_end(daemon, 'cmkd') == 0
        assert not machine.owned()
        assert 'ending until the next call' in machine.log_tail()
        machine.assert_clean_log()


@pytest.mark.parametrize('seconds', ['-1', 'soon', '', 'nan', 'inf', '5 minutes', '604801'])
def test_a_timeout_that_is_none(machine, seconds):
    status, output = machine.run_daemon(f'--idle-timeout={seconds}')
    assert (status, '--idle-timeout' in output) == (2, True)


@pytest.mark.parametrize('seconds', ['-1', '0.5', '604801'])
def test_a_configured_timeout_that_is_none(seconds):
    with new_machine(start=False, config={'Daemon': {'IdleSeconds': seconds}}) as machine:
        status, output = machine.run_daemon()
        assert status == 1
        assert 'IdleSeconds' in output


def test_who_only_watches_or_asks_for_the_status_does_not_keep_it():
    with activated(idle=IDLE) as machine:
        kms = machine.client()
        with kms.signals():
            machine.client().own_key()
            while machine.is_running():
                for interface, method, body in (
                        (f'{BUS_NAME}.Service', 'GetStatus', None),
                        ('org.freedesktop.DBus.Properties', 'GetAll', GLib.Variant('(s)', (f'{BUS_NAME}.Service',)))):
                    try:
                        kms.connection.call_sync(BUS_NAME, OBJECT_PATH, interface, method, body, None,
                                                 Gio.DBusCallFlags.NO_AUTO_START, DEADLINE * 1000, None)
                    except GLib.Error as error:
                        assert DBusError.from_glib(error).name == 'org.freedesktop.DBus.Error.NameHasNoOwner'
                GLib.MainContext.default().iteration(False)
            machine.wait_for_end()


def test_sigterm_while_it_ends_by_itself():
    """As systemd does as soon as the name is gone."""
    with activated(idle=IDLE) as machine:
        with machine.when_name_goes(lambda: machine.signal(signal.SIGTERM)):
            for _ in range(6):
                machine.client().own_key()
                machine.wait_for_end()
        assert len(machine.client().ListKeys()['Keys']) == 6


def test_what_has_come_when_it_is_told_to_end_is_done():
    """More than the main loop is given at once, in the moment in which the answer of the bus that the name is gone comes."""
    with new_machine() as machine:
        kms = machine.client()
        key = kms.own_key()
        machine.daemon.send_signal(signal.SIGSTOP)
        calls = [kms.start('Encrypt', key, b64(b'x')) for _ in range(200)]
        kms.connection.call_sync('org.freedesktop.DBus', '/', 'org.freedesktop.DBus', 'GetId', None, None,
                                 Gio.DBusCallFlags.NONE, DEADLINE * 1000, None)  # the bus has passed them on
        machine.daemon.send_signal(signal.SIGTERM)
        machine.daemon.send_signal(signal.SIGCONT)
        for call in calls:
            assert call.result()['KeyId'] == key
        machine.stop()


def test_whoever_waits_for_its_start_does_not_prevent_it():
    """The bus hands over the calls before its answers to what cmkd asks when it starts."""
    with activated(idle=IDLE) as machine:
        kms = machine.client()
        calls = [kms.start('DescribeKey', 'A' * 100_000) for _ in range(120)]
        machine.client(BOB).own_key()
        for call in calls:
            with pytest.raises(DBusError, match='InvalidParameter|Throttled'):
                call.result()


# What it stays for

def stays(machine, reason):
    """It looks again and again, and does not end. False: it was about to end when it was called, and has ended."""
    def count():
        return machine.log.read_text(errors='replace').count(f'not ending yet: {reason}')

    wanted = count() + 2
    iterate_until(lambda: count() >= wanted or not machine.is_running(), f'cmkd stays: {reason}')
    return machine.is_running()


def call_one_that_stays(machine, reason, call):
    """Whoever has given back its name just then answers as well, and ends all the same: so call again. Its answer."""
    for _ in range(10):
        answer = call()
        if stays(machine, reason):
            return answer
    raise AssertionError(f'it does not stay: {reason}')


def test_it_stays_for_an_import_until_it_is_done():
    with activated(idle=IDLE) as machine:
        kms = machine.client()
        key = kms.external_key()
        parameters = call_one_that_stays(machine, 'an import is under way', lambda: kms.parameters(key))
        with refused('IncorrectKeyMaterial'):
            kms.import_with(parameters, b'short')
        assert stays(machine, 'an import is under way')
        kms.import_with(parameters, os.urandom(32))
        machine.wait_for_end()


def test_it_stays_for_an_import_for_a_quarter_of_an_hour():
    with activated(idle=IDLE, clock=START) as machine:
        kms = machine.client()
        key = kms.external_key()
        parameters = call_one_that_stays(machine, 'an import is under way', lambda: kms.parameters(key))
        machine.pass_time(15 * 60 - 1)
        assert stays(machine, 'an import is under way')
        machine.pass_time(1)
        machine.wait_for_end()
        kms.import_with(parameters, os.urandom(32))
        assert kms.state(key) == 'Enabled'


def test_it_stays_until_what_expires_is_erased():
    with activated(idle=IDLE, clock=START) as machine:
        kms = machine.client()
        key = kms.imported_key(expires=START + 2)
        call_one_that_stays(machine, 'something is due soon', kms.ListKeys)
        started = machine.pids()
        assert row_of_key(machine, key)['envelope'] is not None
        machine.stop_clock(START + 2)
        machine.wait_for_end()
        assert row_of_key(machine, key)['envelope'] is None
        assert machine.pids() == started


def test_it_stays_until_a_notice_is_sent():
    with activated(idle=IDLE, clock=START, config={'Expiry': {'NoticeDays': 7}}) as machine:
        kms = machine.client()
        expires = START + 7 * DAY + 2
        key = kms.imported_key(expires=expires)
        call_one_that_stays(machine, 'something is due soon', kms.ListKeys)
        with kms.signals() as signals:
            machine.stop_clock(START + 2)
            signals.wait_for('KeyMaterialExpiring', key, expires)
            machine.wait_for_end()


def test_it_stays_until_a_key_is_deleted():
    with activated(idle=IDLE, clock=START) as machine:
        kms = machine.client()
        key = kms.own_key()
        kms.ScheduleKeyDeletion(key, PendingWindowInDays=7)
        machine.wait_for_end()  # the kernel's timers do not follow the clock of tests: the next one sets its own
        machine.stop_clock(START + 7 * DAY - 2)
        assert call_one_that_stays(machine, 'something is due soon', lambda: kms.state(key)) == 'PendingDeletion'
        started = machine.pids()
        machine.stop_clock(START + 7 * DAY)
        machine.wait_for_end()
        assert machine.pids() == started
        with refused('KeyNotFound'):
            kms.DescribeKey(key)


def test_it_stays_for_a_tpm_that_is_absent():
    with activated(idle=IDLE) as machine:
        kms = machine.client()
        machine.stop_tpm()
        assert kms.GetStatus()['TpmState'] == 'absent'
        assert stays(machine, 'the TPM has not opened the state yet')
        machine.start_tpm()
        kms.own_key()
        machine.wait_for_end()


def test_its_end_gives_nobody_a_new_budget_of_steps():
    with activated(idle=IDLE, config={'Anchor': {'StepsPerDay': 1}}) as machine:
        kms = machine.client()
        keys = [kms.own_key() for _ in range(10)]
        call_one_that_stays(machine, 'a budget is not full again yet', lambda: kms.DisableKey(keys.pop()))
        with refused('Throttled'):
            kms.DisableKey(keys.pop())


def test_its_end_gives_nobody_a_new_budget_of_failures():
    with activated(idle=IDLE) as machine:
        kms = machine.client()
        key = kms.own_key(KeySpec='RSA_2048', KeyUsage='ENCRYPT_DECRYPT')

        def fail():
            with refused('InvalidCiphertext'):
                kms.AsymmetricDecrypt(key, b64(bytes(256)), 'RSAES_OAEP_SHA_256')

        call_one_that_stays(machine, 'a budget is not full again yet', fail)
        machine.wait_for_end()


def test_its_end_gives_nobody_a_new_budget_of_tpm_keys():
    with activated(idle=IDLE, config={'Limits': {'TpmKeysPerHour': 1}}) as machine:
        kms = machine.client()

        def create():
            return kms.own_key(KeySpec='RSA_2048', ProtectionLevel='TPM')

        call_one_that_stays(machine, 'a budget is not full again yet', create)
        with refused('Throttled'):
            create()


def test_a_long_call_is_not_cut_off():
    with activated(idle=0.001, config={'WrappingKeys': {'ReadyRsa2048': 0}}) as machine:
        kms = machine.client()
        key = kms.external_key()
        machine.wait_for_end()
        kms.import_with(kms.parameters(key, spec='RSA_4096'), os.urandom(32))
        assert kms.state(key) == 'Enabled'


# The return

def test_nothing_is_lost():
    with activated(idle=IDLE) as machine:
        kms, material = machine.client(), os.urandom(32)
        key = kms.imported_key(material)
        blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
        kms.CreateAlias('alias/kept', key)
        kms.TagResource(key, {'a': 'tag'})
        pending = kms.external_key()
        used, unused = kms.parameters(pending), kms.parameters(pending)
        kms.import_with(used, material)
        before = kms.describe(key)
        machine.pass_time(15 * 60)
        machine.wait_for_end()

        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
        assert kms.describe(key) == before
        assert kms.describe('alias/kept')['KeyId'] == key
        for parameters in (used, unused):
            kms.import_with(parameters, material)
        with refused('MaterialMismatch'):
            kms.import_with(unused, os.urandom(32))


def test_cmkctl_does_not_notice():
    with activated(idle=IDLE) as machine, Monitor(machine) as monitor:
        machine.wait_for_end()
        cmkctl = Cmkctl(machine)
        key = cmkctl('create').decode().strip()
        assert monitor.line() == f'KeyChanged {key} Enabled Created'
        machine.wait_for_end()
        blob = cmkctl('encrypt', key, stdin=b'x')
        machine.wait_for_end()
        assert cmkctl('decrypt', stdin=blob) == b'x'


def test_what_expires_while_nobody_runs_is_erased_by_the_next():
    with activated(idle=IDLE, clock=START) as machine:
        kms, material = machine.client(), os.urandom(32)
        key = kms.imported_key(material, expires=START + DAY)
        blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
        machine.wait_for_end()
        machine.stop_clock(START + DAY)
        assert row_of_key(machine, key)['envelope'] is not None
        machine.client().GetStatus()  # as cmkd-expiry.timer has it called
        assert row_of_key(machine, key)['envelope'] is None
        with refused('KeyPendingImport'):
            kms.Decrypt(blob)
        kms.import_material(key, material)
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'


class Caller:
    """Calls about when cmkd is about to end, again and again, and checks each answer."""

    def __init__(self, machine, uid):
        self.kms = machine.new_client(uid)
        self.key = self.kms.own_key()
        self.made = 1
        self.calls = []

    def call(self):
        operation = random.choice((self.encrypt, self.create, self.describe, self.properties))
        operation()
        return GLib.SOURCE_REMOVE

    def encrypt(self):
        self.calls.append((self.kms.start('Encrypt', self.key, b64(b'race')), self.check_blob))

    def create(self):
        self.calls.append((self.kms.start('CreateKey'), self.check_made))

    def describe(self):
        self.calls.append((self.kms.start('DescribeKey', self.key), self.check_described))

    def properties(self):
        self.calls.append((self.kms.start('ListKeys'), self.check_list))

    def check_blob(self, answer):
        assert unb64(self.kms.Decrypt(answer['CiphertextBlob'])['Plaintext']) == b'race'

    def check_made(self, answer):
        assert answer['KeyMetadata']['KeyState'] == 'Enabled'
        self.made += 1

    def check_described(self, answer):
        assert answer['KeyMetadata']['KeyId'] == self.key

    def check_list(self, answer):
        assert self.key in [key['KeyId'] for key in answer['Keys']]

    def finish(self):
        calls, self.calls = self.calls, []
        for call, check in calls:
            check(call.result())


def run_round(callers, idle):
    at = idle + random.uniform(-0.005, 0.01)
    for caller in callers:
        GLib.timeout_add(int(1000 * max(0, at + random.uniform(0, 0.004))), caller.call)
    iterate_until(lambda: all(caller.calls for caller in callers), 'the calls of a round')
    for caller in callers:
        caller.finish()


def test_calls_race_with_the_end():
    """Rounds of calls that come when the last ones are just as long ago as cmkd waits for more, and at the moment at which
    its name goes: before the end, in the midst of it, after it. Each is answered, once, by one or the other."""
    with activated(idle=0.03) as machine:
        callers = [Caller(machine, uid) for uid in (ALICE, BOB) for _ in range(3)]
        with machine.when_name_goes(lambda: random.choice(callers).call()):
            while len(machine.ends()) < ROUNDS:
                run_round(callers, machine.idle)
        for caller in callers:
            caller.finish()
        for uid in (ALICE, BOB):
            made = sum(caller.made for caller in callers if caller.kms.uid == uid)
            assert len(machine.client(uid).ListKeys(Limit=1000)['Keys']) == made


# Two at once

def test_a_second_one_beside_one_that_serves_fails_at_once(machine):
    for options, message in (({}, f'another cmkd uses {machine.state}'),
                             ({'state_dir': machine.make_directory('other')}, f'the name {BUS_NAME} is taken')):
        status, output = machine.run_daemon(**options)
        assert status == 1
        assert message in output
        assert 'waiting' not in output


def test_the_next_one_waits_for_one_that_is_ending(machine):
    with new_machine(start=False) as machine:
        machine.start()
        machine.stop()
        with open(machine.state / 'lock', 'r+b') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            machine.launch()
            iterate_until(lambda: 'waiting for it to end' in machine.log_tail(), 'it waits')
            assert not machine.owned()
        iterate_until(machine.owned, 'it serves')
        machine.client().own_key()

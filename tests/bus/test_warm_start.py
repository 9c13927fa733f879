# SPDX-License-Identifier: Apache-2.0
"""Sessions that stay open from call to call, and what a cmkd that stops leaves to the next start."""
import contextlib
import os
import random
import shutil
import time

import pytest

from harness import LOADED_SESSION, SAVED_SESSION, TRANSIENT, new_machine
from client import DBusError, b64, iterate_until
from ring import Ring

CONFIG = {'WrappingKeys': {'ReadyRsa2048': 0}, 'Anchor': {'AnchorSeconds': 86400},
          'Cache': {'MaterialSeconds': 0, 'SessionSeconds': 300, 'SessionAfterStopSeconds': 300}}
USE = ['ContextLoad', 'Unseal', 'FlushContext']
COLD_USE = ['Load', 'ContextSave', 'Unseal', 'FlushContext']
OPEN_STORE = ['Load', 'Unseal', 'FlushContext', 'NV_ReadPublic', 'NV_Read']
COLD_START = ['GetCapability', 'ReadPublic', 'StartAuthSession', *OPEN_STORE]
SEALED = b64(b'message')


@pytest.fixture
def machine():
    with new_machine(config=CONFIG) as machine:
        yield machine


@pytest.fixture
def ring(machine):
    return Ring(machine)


@pytest.fixture
def key(machine):
    key = machine.client().own_key()
    machine.client().Encrypt(key, SEALED)
    return key


def use(machine, key):
    with machine.tpm_commands() as commands:
        machine.client().Encrypt(key, SEALED)
    return commands


def start(machine):
    """What a start sends before it serves; what an errand sends after that is not waited for."""
    with machine.tpm_commands() as commands:
        machine.start()
        machine.client().GetStatus()
        machine.client().external_key()  # behind the errands in the queue
    return commands


def sessions(machine):
    return len(machine.tpm_handles(LOADED_SESSION)), len(machine.tpm_handles(SAVED_SESSION))


def left(ring):
    """{name: serial} of what the last cmkd left."""
    return {name.partition(':')[2]: serial for serial, name in ring.entries().items() if name.startswith('left:')}


def put(ring, serial, data):
    """In place of what is there, as padd does it: keyctl pupdate takes no data with a zero byte at the end."""
    name = ring.entries()[serial]
    ring.keyctl('padd', 'user', name, ring.serial, stdin=data)


def test_calls_share_a_session(machine, key):
    for _ in range(3):
        assert use(machine, key) == USE
    assert sessions(machine) == (1, 0)
    assert machine.tpm_handles(TRANSIENT) == ()


def test_warm_start(machine, ring, key):
    for _ in range(3):
        with machine.tpm_commands() as commands:
            machine.stop()
        assert commands[-1] == 'ContextSave' and set(commands[:-1]) == {'NV_Write'}
        assert sessions(machine) == (0, 1)
        assert set(left(ring)) == {'tpm', 'session', 'session-state'}
        assert start(machine) == ['ContextLoad', *OPEN_STORE]
        assert left(ring) == {}
        assert use(machine, key) == USE
        assert sessions(machine) == (1, 0)


def test_cold_start_after_a_crash(machine, ring, key):
    """It finds the session of the last one, and gives it back."""
    machine.kill()
    assert left(ring) == {}
    assert start(machine) == ['ReadClock', 'GetCapability', 'FlushContext', *COLD_START]
    assert sessions(machine) == (1, 0)
    assert use(machine, key) == USE


def test_unused_session_is_given_back():
    config = {**CONFIG, 'Cache': {'SessionSeconds': 1, 'MaterialSeconds': 0}}
    with new_machine(config=config) as machine:
        with machine.tpm_commands() as commands:
            key = machine.client().own_key()
            iterate_until(lambda: sessions(machine) == (0, 0), 'the session is given back')
        assert commands[-1] == 'FlushContext'
        machine.client().Encrypt(key, SEALED)


@pytest.mark.parametrize('gone', ['session-state', 'session', 'tpm'])
def test_what_is_missing_is_made_anew(machine, ring, key, gone):
    machine.stop()
    ring.keyctl('invalidate', left(ring)[gone])
    first = {'session-state': ['StartAuthSession', *OPEN_STORE, 'ContextLoad', 'FlushContext'],
             'session': ['StartAuthSession', *OPEN_STORE],
             'tpm': [*COLD_START, 'ContextLoad', 'FlushContext']}[gone]
    assert start(machine) == first
    assert use(machine, key) == USE
    assert sessions(machine) == ((1, 1) if gone == 'session' else (1, 0))


def test_without_the_digests_nothing_is_believed(machine, ring, key):
    machine.stop()
    (machine.state / 'handover').unlink()
    assert start(machine) == [*COLD_START, 'ContextLoad', 'FlushContext']
    assert sessions(machine) == (1, 0)
    assert use(machine, key) == USE


@pytest.mark.parametrize('name', ['tpm', 'session-state', 'session'])
@pytest.mark.parametrize('how', ['flip', 'cut', 'long', 'tiny'])
def test_kr_03_altered_by_another_process(machine, ring, key, name, how):
    machine.stop()
    entry = left(ring)[name]
    data = ring.read(entry)
    altered = {'flip': data[:-1] + bytes([data[-1] ^ 1]), 'cut': data[:-1], 'long': data + b'\0' * 5000,
               'tiny': b'\0'}[how]
    put(ring, entry, altered)
    commands = start(machine)
    assert 'StartAuthSession' in commands
    assert use(machine, key) == USE
    assert sessions(machine)[0] == 1
    assert 'by another process of this user; dropped it' in machine.log.read_text()


def test_kr_05_older_session_put_back(machine, ring, key):
    machine.stop()
    old = {name: ring.read(serial) for name, serial in left(ring).items()}
    shutil.copy2(machine.state / 'handover', machine.directory / 'handover')
    machine.start()
    machine.stop()
    for name, serial in left(ring).items():
        put(ring, serial, old[name])
    shutil.copy2(machine.directory / 'handover', machine.state / 'handover')
    assert start(machine) == ['ContextLoad:0x1cb', 'StartAuthSession', *OPEN_STORE]
    assert use(machine, key) == USE


def test_reboot(machine, key):
    machine.reboot()
    assert use(machine, key) == ['ContextLoad:0x1df', *COLD_USE]
    machine.stop()
    machine.boot()
    assert start(machine) == ['ContextLoad:0x1df', 'StartAuthSession', *OPEN_STORE]
    assert sessions(machine) == (1, 0)


def test_tpm_reset_under_an_open_session(machine, key):
    machine.restart_tpm()
    assert 'StartAuthSession' in use(machine, key)
    assert use(machine, key) == USE
    assert sessions(machine) == (1, 0)


def test_start_with_much_to_do():
    """A session to take out of the TPM and a key to erase: one after the other, each TPM has one user at a time."""
    with new_machine(config=CONFIG) as machine:
        kms, ring = machine.client(), Ring(machine)
        key = kms.imported_key(expires=machine.now() + 100)
        machine.stop()
        ring.keyctl('invalidate', left(ring)['session-state'])
        machine.synchronise_clock()
        machine.pass_time(200)
        machine.tpm_fault('ContextLoad 1-1 delay-300')
        commands = start(machine)
        assert 'NV_Write' in commands and commands[-2:] == ['ContextLoad', 'FlushContext']
        assert kms.state(key) == 'PendingImport'


def test_another_tpm_meanwhile(machine, key):
    machine.stop()
    machine.replace_tpm()
    machine.start()
    status = machine.client().GetStatus()
    assert (status['TpmState'], status['StateStatus']) == ('changed', 'tpm-changed')
    with pytest.raises(DBusError) as refusal:
        machine.client().Encrypt(key, SEALED)
    assert refusal.value.name == 'TpmChanged' and 'cmkctl recover' in refusal.value.message
    assert machine.client().state(key) == 'Enabled'


def test_session_that_cannot_be_used_is_not_lost(machine, ring, key):
    """No answer at a start: a later one takes the session out of the TPM."""
    machine.stop()
    machine.tpm_fault('* 1-1000 io')
    machine.start()
    with pytest.raises(DBusError) as refusal:
        machine.client().Encrypt(key, SEALED)
    assert refusal.value.name == 'TpmUnavailable'
    machine.stop()
    assert set(left(ring)) == {'session'} and sessions(machine) == (0, 1)
    machine.tpm_fault('')
    start(machine)
    assert sessions(machine) == (1, 0)
    assert use(machine, key) == USE


def test_session_ends_with_the_daemon():
    """Unless it is told to leave it."""
    with new_machine(config={**CONFIG, 'Cache': {'SessionSeconds': 300}}) as machine:
        machine.client().own_key()
        with machine.tpm_commands() as commands:
            machine.stop()
        assert commands[-1] == 'FlushContext' and sessions(machine) == (0, 0)
        assert set(left(Ring(machine))) == {'tpm'}
        assert start(machine) == ['StartAuthSession', *OPEN_STORE]


def test_ring_that_ends_before_the_session():
    with new_machine(config={**CONFIG, 'Cache': {'ContextSeconds': 1, 'SessionSeconds': 300,
                                                 'SessionAfterStopSeconds': 300}}) as machine:
        ring, key = Ring(machine), machine.client().own_key()
        machine.stop()
        iterate_until(lambda: 'tpm' not in left(ring), 'what is no secret ends')
        assert start(machine)[:3] == COLD_START[:3]
        assert sessions(machine) == (1, 0)
        machine.client().Encrypt(key, SEALED)


def test_no_keyring_no_handover(machine):
    with new_machine(config={**CONFIG, 'Cache': {'ContextSeconds': 0, 'SessionSeconds': 300,
                                                 'SessionAfterStopSeconds': 300}}) as machine:
        machine.client().own_key()
        machine.stop()
        assert sessions(machine) == (0, 0)
        assert start(machine) == COLD_START


CRASHES = int(os.environ.get('CMKD_SESSION_CRASHES', '60'))


def test_kr_08_crashes():
    """Killed at any moment of a call, in between clean stops: what it held is flushed, what it left is used or taken out
    of the TPM, so that there is never more than the one session that a cmkd may leave to the next."""
    seed = os.environ.get('CMKD_CRASH_SEED', str(random.random()))
    print(f'CMKD_CRASH_SEED={seed}')
    chance = random.Random(seed)
    with new_machine(config=CONFIG, manager='abrmd') as machine:
        key = machine.client().own_key()
        for number in range(CRASHES):
            machine.client().Encrypt(key, SEALED)
            call = machine.client().start('Encrypt', key, SEALED)
            time.sleep(chance.uniform(0, 0.02))  # which moment it is does not matter
            machine.kill()
            with contextlib.suppress(DBusError):
                call.result()
            if number % 4 == 0:
                machine.start()
                machine.client().Encrypt(key, SEALED)
                machine.stop()
            iterate_until(lambda: machine.tpm_handles(LOADED_SESSION) == () and len(machine.tpm_handles(SAVED_SESSION)) < 2,
                          'the resource manager flushes what the dead has held')
            machine.start()
        assert use(machine, key)[-3:] == USE

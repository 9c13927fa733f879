# SPDX-License-Identifier: Apache-2.0
"""cmkd on a bare TPM, behind tpm2-abrmd and behind an emulation of the kernel's resource manager: everything works, costs
what docs/resource-managers.md says, and leaves what belongs to others alone."""
import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import LOADED_SESSION, SAVED_SESSION, TRANSIENT, new_machine
from client import DEADLINE, SOURCE_ROOT, b64, iterate_until, refused, unb64
from neighbour import CREATE_PRIMARY, NO_SESSIONS, START_SESSION, Neighbour, command, flush_context, read_public
from openssl_keys import key_of
from ring import Ring
from state import ROOT_KEY, flush_objects, tpm_tool
from tpm_costs import CHIP_COMMANDS, COMMANDS
from tpm_trace import Trace
from wrapping import send, wrapped

NO_POOL = {'WrappingKeys': {'ReadyRsa2048': 0}, 'Anchor': {'AnchorSeconds': 86400}}
KEPT = 300  # SessionSeconds, and over a stop as well
MANAGERS = {'bare': ('none', 0), 'bare, session kept': ('none', KEPT), 'abrmd': ('abrmd', KEPT),
            'kernel': ('kernel', KEPT)}
MOST_OBJECTS, MOST_SESSIONS = 2, 1  # of cmkd's at a time, but for what test_what_takes_most() is about


@pytest.fixture(params=MANAGERS)
def place(request):
    return MANAGERS[request.param]


def in_tpm(machine):
    """(objects, sessions loaded or saved) that the TPM holds."""
    return (len(machine.tpm_handles(TRANSIENT)),
            len(machine.tpm_handles(LOADED_SESSION)) + len(machine.tpm_handles(SAVED_SESSION)))


def assert_left(machine, objects=0, sessions=0):
    """cmkd has ended, and left nothing but what others have there, and a session for the next where it keeps one. A
    resource manager takes its time."""
    def is_clean():
        found_objects, found_sessions = in_tpm(machine)
        return found_objects <= objects and sessions <= found_sessions <= sessions + (machine.session_seconds > 0)
    iterate_until(is_clean, f'no more than {objects} objects and {sessions} sessions are left')


def parameters(kms, key):
    """SM2 pairs are made in no time."""
    return kms.parameters(key, 'SM2PKE', 'EC_SM2')


def imported_key(kms, again=False):
    parts, material = parameters(kms, kms.external_key()), key_of('AES_256')
    for _ in range(2 if again else 1):
        send(kms, parts, wrapped(parts, 'direct', material))
    return parts['KeyId']


@contextlib.contextmanager
def traced_machine(place):
    """A machine that never has more in the TPM at a time than it may, and leaves nothing."""
    manager, seconds = place
    cache = {'MaterialSeconds': 0, 'SessionSeconds': seconds, 'SessionAfterStopSeconds': seconds}
    with new_machine(manager=manager, start=False, config={**NO_POOL, 'Cache': cache}) as machine:
        machine.session_seconds, machine.orphans = seconds, 0
        machine.trace = Trace(machine)
        machine.start()
        machine.key = imported_key(machine.client())
        machine.blob = machine.client().Encrypt(machine.key, b64(b'kept'))['CiphertextBlob']
        yield machine
        stop(machine)
        assert_left(machine, sessions=machine.orphans)


def stop(machine):
    machine.stop()
    assert_held(machine)


def assert_held(machine):
    objects, sessions = machine.trace.read()
    assert 1 <= objects <= MOST_OBJECTS
    assert 1 <= sessions <= MOST_SESSIONS


def assert_works(machine):
    kms = machine.client()
    assert unb64(kms.Decrypt(machine.blob)['Plaintext']) == b'kept'
    key = imported_key(kms, again=True)
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'
    data_key = kms.GenerateDataKey(machine.key)
    assert kms.Decrypt(data_key['CiphertextBlob'])['Plaintext'] == data_key['Plaintext']
    kms.DeleteKeyMaterial(key)


def test_the_import_flow_and_a_restart(place):
    with traced_machine(place) as machine:
        assert_works(machine)
        stop(machine)
        assert_left(machine)
        machine.start()
        assert_works(machine)
        machine.client().imported_key()  # with an RSA pair
        stop(machine)
        if machine.manager == 'kernel':
            held = [line.split()[1:] for line in machine.chip_log.read_text().splitlines() if line.startswith('held')]
            assert machine.trace.read() == tuple(max(map(int, numbers)) for numbers in zip(*held))


def test_a_reboot(place):
    """The TPM begins anew, and whoever manages it, and cmkd."""
    with traced_machine(place) as machine:
        stop(machine)
        if machine.manager == 'abrmd':
            machine.stop_manager()
        machine.boot()
        machine.start_manager()
        machine.start()
        assert_works(machine)


def test_a_reset_under_cmkd(place):
    """As after a hibernation that the TPM was not told of."""
    with traced_machine(place) as machine:
        if machine.manager == 'abrmd':
            machine.stop_manager()  # it does not survive a reset
        machine.stop_tpm()
        machine.trace.forget()
        machine.start_tpm()
        machine.start_manager()
        assert_works(machine)


@pytest.mark.parametrize('root', ['persistent', 'transient'])
def test_what_takes_most(place, root):
    """Keys inside the TPM, and attested wrapping keys: attesting one under a root key that has to be loaded fills the TPM."""
    manager, seconds = place
    cache = {'SessionSeconds': seconds, 'SessionAfterStopSeconds': seconds}
    with new_machine(manager=manager, start=False, config={**NO_POOL, 'Cache': cache}) as machine:
        if root == 'transient':
            occupy_root_place(machine)
        machine.session_seconds = seconds
        machine.trace = Trace(machine)
        machine.start()
        kms = machine.client()
        for spec, usage in ('AES_256', 'ENCRYPT_DECRYPT'), ('EC_P256', 'SIGN_VERIFY'), ('RSA_2048', 'SIGN_VERIFY'):
            key = kms.own_key(ProtectionLevel='TPM', KeySpec=spec, KeyUsage=usage)
            if spec == 'AES_256':
                blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
            else:
                kms.Sign(key, b64(b'x'), 'ECDSA_SHA_256' if spec == 'EC_P256' else 'RSA_PSS_SHA_256')
        key = kms.external_key(ProtectionLevel='TPM')
        assert machine.trace.read()[0] == (2 if root == 'transient' else 1)
        parts = kms.GetParametersForImport(key, 'RSAES_OAEP_SHA_256', 'RSA_2048', Attest=True, Nonce=b64(bytes(32)))
        kms.import_with(parts, bytes(32))
        machine.restart()
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
        machine.stop()
        assert machine.trace.read() == (3 if root == 'transient' else 2, 1)
        assert_left(machine)


def cut_connection(machine):
    """The emulation of the kernel serves a connection in a process of its own."""
    for child in children(machine.daemon.pid):
        os.kill(child, signal.SIGTERM)
        iterate_until(lambda: child not in children(machine.daemon.pid), 'the connection is cut')


def children(pid):
    """Those that have not ended."""
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, parent, *_ = path.read_text().rpartition(')')[2].split()
            if int(parent) == pid and state != 'Z':
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize('seconds', [0, KEPT])
def test_a_restart_of_abrmd(seconds):
    """cmkd connects again without being started again. However abrmd ends, it leaves the sessions that it has saved in the
    TPM, and nobody can load them: the kept one, if there is one."""
    with traced_machine(('abrmd', seconds)) as machine:
        for restarts, number in enumerate([signal.SIGTERM, signal.SIGKILL], 1):
            machine.stop_manager(number)
            machine.trace.forget()
            machine.orphans = in_tpm(machine)[1]
            assert machine.orphans == (restarts if seconds > 0 else 0)
            with refused('TpmUnavailable'):
                machine.client().Decrypt(machine.blob)
            machine.start_manager()
            assert_works(machine)


@pytest.mark.parametrize('seconds', [0, KEPT])
def test_a_connection_to_the_kernel_that_is_cut(seconds):
    with traced_machine(('kernel', seconds)) as machine:
        for _ in range(2):
            cut_connection(machine)
            machine.trace.forget()
            assert_works(machine)


def assert_died(machine):
    assert machine.daemon.wait(DEADLINE) == -signal.SIGKILL
    machine.daemon = None
    machine.trace.forget()


def crash(machine, command, when):
    """In the middle of a call that sends such a command."""
    machine.tpm_fault(f'{command} 1-1 kill-{when}')
    kms = machine.client()
    with contextlib.suppress(Exception):
        kms.Encrypt(imported_key(kms), b64(b'x'))
    assert_died(machine)


def test_a_crash_at_rest(place):
    with traced_machine(place) as machine:
        machine.daemon.kill()
        assert_died(machine)
        machine.start()
        assert_works(machine)


def test_a_crash_in_a_call(place):
    """What was loaded is gone when the next cmkd has ended at the latest."""
    with traced_machine(place) as machine:
        for command in 'Load', 'ContextSave', 'Unseal', 'HMAC', 'FlushContext', 'Create':
            for when in 'before', 'after':
                crash(machine, command, when)
                machine.start()
        assert_works(machine)


def test_a_crash_while_it_starts(place):
    """On a bare TPM nobody but the answer tells of a new session."""
    unheard = 'before' if place[0] == 'none' else 'after'
    with traced_machine(place) as machine:
        for command, when in ('StartAuthSession', unheard), ('Load', 'after'):
            stop(machine)
            Ring(machine).clear()
            machine.orphans += machine.session_seconds > 0  # only what was in the ring could have told of it
            machine.tpm_fault(f'{command} 1-1 kill-{when}')
            machine.launch()
            assert_died(machine)
            machine.start()
            assert_works(machine)


@pytest.mark.parametrize('seconds', [0, KEPT])
def test_ten_crashes_on_a_bare_tpm(seconds):
    """Two would fill it beside somebody else."""
    with traced_machine(('none', seconds)) as machine:
        others = Neighbour(machine)
        for when in ['before', 'after'] * 5:
            crash(machine, 'Unseal', when)
            machine.start()
            others.check()
        assert_works(machine)
        assert 'loaded' in Ring(machine).entries().values()
        stop(machine)
        assert 'loaded' not in Ring(machine).entries().values()
        others.check()
        others.leave()


def test_what_others_have_is_left_alone(place):
    """Objects and sessions of another program that is connected, and those that tools have saved and put away."""
    with traced_machine(place) as machine:
        stop(machine)
        assert_left(machine)
        others = Neighbour(machine)
        context, session = machine.directory / 'object', machine.directory / 'session'
        through_manager(machine, 'startauthsession', '--policy-session', '-S', session)
        through_manager(machine, 'createprimary', '-C', 'n', '-G', 'ecc', '-c', context)
        if machine.manager == 'none':
            through_manager(machine, 'flushcontext', '0x80000001')
        machine.start()
        assert_works(machine)
        others.check()
        crash(machine, 'Unseal', 'before')
        machine.start()
        assert_works(machine)
        others.check()
        stop(machine)
        others.check()
        assert_left(machine, objects=1, sessions=2)
        through_manager(machine, 'readpublic', '-c', context)
        if machine.manager == 'none':
            through_manager(machine, 'flushcontext', '0x80000001')
        through_manager(machine, 'policypcr', '-S', session, '-l', 'sha256:7')
        through_manager(machine, 'flushcontext', session)
        others.leave()
        machine.start()


def test_the_emulation_of_the_kernel():
    """What its users see of drivers/char/tpm/tpm2-space.c."""
    with new_machine(manager='kernel', start=False) as machine:
        one, other = Neighbour(machine), Neighbour(machine)
        assert one.object == other.object == 0x80ffffff
        assert one.session != other.session
        assert one.handles(TRANSIENT) == [one.object]
        one.check()
        assert (one.new_object(), one.new_object()) == (0x80fffffe, 0x80fffffd)
        one.ask(flush_context(0x80fffffe))
        assert one.handles(TRANSIENT) == [0x80ffffff, 0x80fffffd]
        assert one.send(read_public(0x80fffffe)) == (None, b'')  # it is not in the space: the write fails
        assert one.send(one.use_session())[0] == 0x910  # which costs the space its sessions
        assert one.new_object() == 0x80fffffe
        assert one.send(CREATE_PRIMARY)[0] == 0x902  # three fill the chip
        for _ in range(3):
            one.session = one.new_session()
        assert one.send(START_SESSION)[0] == 0x903
        one.check()
        assert one.send(command(NO_SESSIONS, 0x1ff, b''))[0] == 0xb0143
        other.check()
        assert in_tpm(machine)[0] == 0  # between two commands
        one.process.kill()
        one.end()
        iterate_until(lambda: in_tpm(machine) == (0, 1), 'its space is flushed')
        other.check()
        machine.stop_tpm()
        machine.start_tpm()
        for _ in range(2):
            assert other.send(read_public(other.object)) == (None, b'')  # the object of before the reset
        other.end()


def occupy_root_place(machine):
    """Something that is no storage root key lies where one belongs."""
    context = machine.directory / 'foreign'
    tpm_tool(machine, 'createprimary', '-C', 'o', '-G', 'ecc256:ecdsa-sha256', '-a',
             'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign', '-c', context)
    flush_objects(machine)
    tpm_tool(machine, 'evictcontrol', '-C', 'o', '-c', context, ROOT_KEY)
    flush_objects(machine)


def through_manager(machine, name, *arguments):
    return tpm_tool(machine, name, *arguments, tcti=machine.shared_tcti, environment=machine.tpm_environment)


# The tables of docs/resource-managers.md and docs/tpm-latency.md

@pytest.mark.parametrize('manager', ['none', 'abrmd', 'kernel'])
@pytest.mark.parametrize('sessions, seconds', [('session of each call', 0), ('session kept', KEPT)])
def test_commands(manager, sessions, seconds):
    """In the order of a day: each step finds what the one before has left."""
    cache = {'SessionSeconds': seconds, 'SessionAfterStopSeconds': seconds}
    with new_machine(manager=manager, config={**NO_POOL, 'Cache': cache}) as machine:
        seen = costs_of_a_day(machine)
    assert {name: commands for name, (commands, _) in seen.items()} == COMMANDS[sessions]
    if manager == 'kernel':
        assert {name: chip for name, (_, chip) in seen.items()} == CHIP_COMMANDS[sessions]


def costs_of_a_day(machine):
    kms = machine.client()
    key = imported_key(kms)
    ready = [(parts, wrapped(parts, 'direct', key_of('AES_256')))
             for parts in (parameters(kms, kms.external_key()) for _ in range(2))]
    machine.stop()
    seen = {}
    for name in 'cold', 'warm':
        if name == 'cold':
            Ring(machine).clear()
        seen[f'start, {name}'] = cost(machine, machine.start)
        seen[f'first Encrypt, {name}'] = cost(machine, lambda: kms.Encrypt(key, b64(b'x')))
        seen['next Encrypt'] = cost(machine, lambda: kms.Encrypt(key, b64(b'x')))
        seen[f'stop, {name}'] = cost(machine, machine.stop)
    for name, sent in zip(['cold', 'warm'], ready):
        if name == 'cold':
            Ring(machine).clear()
        machine.start()
        seen[f'import, {name}'] = cost(machine, lambda: send(kms, *sent))
        machine.stop()
    machine.start()
    return seen


def cost(machine, act):
    """The commands of cmkd, and those that reach the chip, counted."""
    with machine.tpm_commands() as commands, machine.chip_commands() as chip:
        act()
    for line in chip:
        if line.startswith('held'):
            _, objects, sessions = line.split()
            assert int(objects) <= MOST_OBJECTS and int(sessions) <= MOST_SESSIONS
    # The space asks the chip to save what a command has just flushed, and so learns that it has gone.
    names = collections.Counter(line.split(':')[0] for line in chip if not line.startswith('held'))
    return ' '.join(commands), ' '.join(f'{count} {name}' for name, count in sorted(names.items()))


def test_the_documents_have_these_numbers():
    """docs/tpm-latency.md the tables that tests/benchmark/tpm_latency.py makes, docs/resource-managers.md the counts."""
    latencies = (SOURCE_ROOT / 'docs' / 'tpm-latency.md').read_text()
    for name in 'published', 'bare', 'kernel', 'machines':
        table = subprocess.run([sys.executable, SOURCE_ROOT / 'tests' / 'benchmark' / 'tpm_latency.py', name],
                               check=True, capture_output=True, text=True).stdout
        assert table.strip() in latencies
    managers = (SOURCE_ROOT / 'docs' / 'resource-managers.md').read_text()
    for step in COMMANDS['session kept']:
        cells = [cell for sessions in COMMANDS for cell in (
            len(COMMANDS[sessions][step].split()), sum(map(int, re.findall(r'\d+', CHIP_COMMANDS[sessions][step]))))]
        assert f"| {step} | {' | '.join(map(str, cells))} |\n" in managers

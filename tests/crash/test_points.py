# SPDX-License-Identifier: Apache-2.0
"""cmkd is killed at every point of everything it does: at the entry of each system call that changes its state, before
and after each TPM command, and as its answer is about to leave. Then all is as before the call or as after it."""
import itertools
import os
from types import SimpleNamespace

import pytest

from harness import ALICE
from client import DBusError
from state import rows
from test_storage import assert_nowhere
from crash import DEAD, START, CrashMachine, Tally, ask_again, assert_all_or_nothing, make_canaries, outcome, view
from scenarios import SCENARIOS, new_case

NV_INDEX, PERSISTENT = 0x01, 0x81


def at_file(machine, number):
    machine.arm(kill_at=number)


def before_command(machine, number):
    machine.tpm_fault(f'* {number}-{number} kill-before')


def after_command(machine, number):
    machine.tpm_fault(f'* {number}-{number} kill-after')


def at_answer(machine, _number):
    machine.arm(kill_at_answer=1)


NAMES = {at_file: 'at files', at_answer: 'at answers', before_command: 'before TPM commands',
         after_command: 'after TPM commands'}


@pytest.fixture(scope='module')
def base():
    """A machine with canaries put aside as 'base', and their proofs."""
    machine = CrashMachine()
    try:
        machine.save('empty')
        machine.start()
        machine.restart()
        machine.stop()
        machine.save('provisioned')
        machine.start()
        proofs = make_canaries(machine.client())
        machine.stop()
        machine.save('base')
        yield SimpleNamespace(machine=machine, proofs=proofs)
    finally:
        machine.shut_down()


def prepare(base, scenario):
    """Put the machine aside as 'ready' for the call; what there is to know of it."""
    machine = base.machine
    case = new_case(machine, {} if scenario.empty else base.proofs)
    machine.stop_clock(START)
    machine.load('base' if not scenario.empty else 'provisioned' if scenario.edit else 'empty')
    case.before, case.charges_before, case.places, held = None, [], [], set()
    if not scenario.empty:
        machine.start()
        scenario.prepare(machine.client(ALICE), case)
        machine.stop()
    if scenario.edit:
        scenario.edit(machine)
    if not scenario.empty:
        machine.start()
        case.before, case.charges_before = look(machine, case)
        case.places.append(places(machine))
        held = secrets(machine)
        machine.stop()
    machine.save('ready')
    run(machine, scenario, case)
    machine.start()
    case.after, case.charges_after = look(machine, case)
    case.places.append(places(machine))
    case.erased = held - secrets(machine)
    machine.stop()
    return case


def places(machine):
    return [len(machine.tpm_handles(kind)) for kind in (NV_INDEX, PERSISTENT)]


def secrets(machine):
    """What can be unsealed by this TPM and no other."""
    return {row[0] for table in ('keys', 'import_sets')
            for row in rows(machine, f'SELECT sealed_key FROM {table} WHERE sealed_key IS NOT NULL')}


def look(machine, case):
    """All that can be seen, and the failures that are counted against each pair."""
    failures = sorted(row[0] for row in rows(machine, 'SELECT failures FROM import_sets'))
    return view(machine.client(ALICE), case.proofs), failures


def run(machine, scenario, case, strike=None, number=0):
    """From 'ready' to a machine that is down in the middle of it, or right after: (was it killed, was it answered)."""
    kms = machine.client(ALICE)
    machine.stop_clock(scenario.clock if scenario.at_start else START)
    machine.load('ready')
    if not scenario.at_start:
        machine.start()
        machine.stop_clock(scenario.clock)
    if strike:
        strike(machine, number)
    if scenario.at_start:
        answered = served = machine.start_or_die()
    else:
        _, error = outcome(lambda: scenario.call(kms, case))
        assert error == scenario.refusal or error in DEAD, f'the call was refused: {error}'
        answered = error == scenario.refusal
        served = outcome(kms.ListKeys)[1] not in DEAD  # it may have died since
    case.last_call = machine.last_call()
    machine.disarm()
    if served:
        machine.daemon.kill()
    if machine.daemon:
        machine.bury()
    return not served, answered


def charged(failures):
    """What they may be when an attempt was charged and neither refunded nor concluded."""
    return [sorted([*failures[:place], count + 1, *failures[place + 1:]]) for place, count in enumerate(failures)]


def check(machine, scenario, case, answered):
    """After the crash, and again when whoever had no answer has asked again."""
    kms = machine.client(ALICE)
    machine.start()
    seen, charges = look(machine, case)
    assert_all_or_nothing(seen, scenario, case, answered)
    if answered:
        assert charges == case.charges_after
    else:
        assert charges in (case.charges_before, case.charges_after, *charged(case.charges_before))
    assert places(machine) in case.places, 'more is left in the TPM than what belongs there'
    if seen == case.after and charges == case.charges_after:
        assert_nowhere(machine, *case.erased)
    ask_again(kms, scenario, case)
    machine.stop()
    machine.assert_no_handles()


# At every so many-th system call: a machine that has not the time for all says so.
STRIDE = int(os.environ.get('CMKD_CRASH_STRIDE', 1))


def kill_everywhere(base, name, strikes):
    """Returns the tally."""
    machine, scenario, tally = base.machine, SCENARIOS[name], Tally()
    case = prepare(base, scenario)
    for strike in strikes:
        if strike is at_answer and scenario.at_start:
            continue
        for number in itertools.count(1, STRIDE if strike is at_file else 1):
            killed, answered = run(machine, scenario, case, strike, number)
            try:
                check(machine, scenario, case, answered)
            except (AssertionError, DBusError) as error:
                raise AssertionError(f'{name}: killed {NAMES[strike]}, number {number} {case.last_call}, '
                                     f'{"after" if answered else "before"} the answer: {error}') from error
            if not killed:
                break
            tally.points[NAMES[strike]] += 1
            if strike is at_answer:
                break
    return tally


@pytest.mark.parametrize('name', SCENARIOS,
                         ids=[f'{name}, half-{place % 2 + 1}' for place, name in enumerate(SCENARIOS)])
def test_killed_at_every_system_call(base, name, capsys):
    tally = kill_everywhere(base, name, [at_file, at_answer])
    assert tally.points, 'nothing was tried'
    with capsys.disabled():
        print(f'# {name}: {tally}', flush=True)


@pytest.mark.parametrize('name', SCENARIOS)
def test_killed_around_every_tpm_command(base, name, capsys):
    """Much takes none."""
    tally = kill_everywhere(base, name, [before_command, after_command])
    with capsys.disabled():
        print(f'# {name}: {tally}', flush=True)

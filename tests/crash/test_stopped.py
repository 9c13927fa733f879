# SPDX-License-Identifier: Apache-2.0
"""CR-13: cmkd is stopped at any point, for longer than its caller waits, and goes on."""
import itertools
import signal
import threading

import pytest
from gi.repository import Gio

import client
from harness import ALICE, BOB
from crash import START, CrashMachine, Tally, make_canaries, outcome, view
from scenarios import SCENARIOS, new_case

STOPPED_FOR = 60  # by the clock of cmkd
TIMED_OUT = f'g-io-error-quark:{int(Gio.IOErrorEnum.TIMED_OUT)}'


@pytest.fixture(scope='module')
def base():
    machine = CrashMachine()
    try:
        machine.start()
        proofs = make_canaries(machine.client(ALICE))
        machine.stop()
        machine.save('base')
        yield machine, proofs
    finally:
        machine.shut_down()


def impatiently(call, results):
    """What the caller of @call has when he does not wait for long."""
    results.append(outcome(call)[1])


def resume(machine):
    """It may stop just now, at a point after its answer: wait for an answer that comes later still."""
    machine.disarm()
    caller = threading.Thread(target=machine.client(BOB).ListKeys)
    caller.start()
    while caller.is_alive():
        machine.daemon.send_signal(signal.SIGCONT)
        caller.join(0.001)


@pytest.mark.parametrize('name', ['CreateKey AES_256', 'ImportKeyMaterial first', 'DeleteKeyMaterial', 'DisableKey'])
def test_caller_gives_up_and_the_call_is_done_once(base, name, capsys, monkeypatch):
    machine, proofs = base
    kms, scenario, case, tally = machine.client(ALICE), SCENARIOS[name], new_case(machine, proofs), Tally()
    machine.stop_clock(START)
    machine.load('base')
    machine.start()
    scenario.prepare(kms, case)
    machine.stop()
    machine.save('ready')
    machine.start()
    scenario.call(kms, case)
    after = view(kms, case.proofs)
    for number in itertools.count(1):
        machine.stop()
        machine.stop_clock(START)
        machine.load('ready')
        machine.start()
        results = []
        machine.arm(stop_at=number)
        with monkeypatch.context() as patch:
            patch.setattr(client, 'DEADLINE', 1)
            caller = threading.Thread(target=impatiently, args=(lambda: scenario.call(kms, case), results))
            caller.start()
            while not (stopped := machine.has_stopped()) and caller.is_alive():
                caller.join(0.001)
            machine.stop_clock(START + STOPPED_FOR)
            caller.join()
        resume(machine)
        if not stopped:
            break
        assert results in ([TIMED_OUT], [None])
        assert view(kms, case.proofs) == after, f'stopped at {number}'
        tally.points['stops'] += 1
    assert results == [None]
    machine.stop()
    machine.assert_no_handles()
    assert tally.points
    with capsys.disabled():
        print(f'# {name}: {tally}', flush=True)

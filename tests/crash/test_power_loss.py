# SPDX-License-Identifier: Apache-2.0
"""The power fails at every point of everything that cmkd does to its state. What the disk has by then - its journal is
replayed, as after any power failure - is as before the call or as after it, and what was answered is there."""
import os
import shutil

import pytest

from harness import ALICE
from client import DBusError
from crash import START, CrashMachine, Tally, ask_again, assert_all_or_nothing, make_canaries, view
from disk import DiskMachine, keep_mounts_private
from scenarios import SCENARIOS, new_case

# In a mount namespace of its own: there the copy is where the original is.
MOUNT = 'mount -o loop "$0" "$1" && shift && exec "$@"'


@pytest.fixture(scope='module')
def machines():
    """One that loses its power, put aside as 'empty' and 'base', one that its disks are taken to; and the proofs."""
    keep_mounts_private()
    machine = DiskMachine()
    other = CrashMachine()
    other.booted = machine.booted  # the power was away for so short a time that their clocks agree
    shutil.copy(machine.directory / 'clock.boot-id', other.directory)
    try:
        machine.save('empty')
        machine.start()
        proofs = make_canaries(machine.client(ALICE))
        machine.stop()
        machine.save('base')
        image = other.directory / 'image'
        # The two share a uid's keyring, and what one caches there is no use to the other.
        other.wrapper = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', MOUNT, image, machine.state,
                         os.environ['CMKD_DENY_KEYCTL'], '1']
        own_state, other.state = other.state, machine.state
        yield machine, other, proofs
        other.state = own_state
    finally:
        other.shut_down()
        machine.shut_down()


def insert(other, copy):
    """Switch the other machine on with that disk and that TPM."""
    other.switch_off()
    shutil.rmtree(other.tpm_directory)
    other.make_directory('tpm')
    for name, content in copy.tpm.items():
        (other.tpm_directory / name).write_bytes(content)
    (other.directory / 'image').write_bytes(copy.image)
    other.start_tpm()
    other.start()


def check(other, scenario, case, copy):
    insert(other, copy)
    kms = other.client(ALICE)
    seen = view(kms, case.proofs)
    assert_all_or_nothing(seen, scenario, case, copy.answered)
    ask_again(kms, scenario, case)
    other.stop()
    other.assert_no_handles()


@pytest.mark.parametrize('name', [name for name, scenario in SCENARIOS.items() if not scenario.edit])
def test_power_fails_at_every_point(machines, name, capsys):
    machine, other, proofs = machines
    scenario, tally, kms = SCENARIOS[name], Tally(), machine.client(ALICE)
    case = new_case(machine, {} if scenario.empty else proofs)
    for one in machines[:2]:
        one.stop_clock(START)
    machine.load('empty' if scenario.empty else 'base')
    if not scenario.empty:
        machine.start()
        scenario.prepare(kms, case)
        case.before = view(kms, case.proofs)
        if scenario.at_start:
            machine.stop()
    for one in machines[:2]:
        one.stop_clock(scenario.clock)
    copies = (machine.watch_start(kms.ListKeys) if scenario.at_start else
              machine.watch_call(lambda: scenario.call(kms, case), kms.ListKeys))
    case.after = view(kms, case.proofs)
    machine.stop()
    disks = 0
    for number, copy in enumerate(copies):
        if number + 1 < len(copies) and (copy.image, copy.tpm) == (copies[number + 1].image, copies[number + 1].tpm):
            continue  # of the same disk the later moment asks for more
        disks += 1
        try:
            check(other, scenario, case, copy)
        except (AssertionError, DBusError) as error:
            raise AssertionError(f'{name}: at point {number + 1} of {len(copies)}, '
                                 f'{"after" if copy.answered else "before"} the answer: {error}') from error
    tally.points['power failures'] = len(copies)
    with capsys.disabled():
        print(f'# {name}: {tally}, {disks} different disks', flush=True)

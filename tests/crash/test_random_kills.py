# SPDX-License-Identifier: Apache-2.0
"""cmkd, and now and then its TPM with it, is killed at any moment under eight writers: whatever they were told is
so."""
import os
import random
import time

import pytest
from gi.repository import GLib

from harness import ALICE, BOB
from crash import CrashMachine, metadata_of_all
from writers import Writer

KILLS = int(os.environ.get('CMKD_CRASH_KILLS', 2000))
SEED = os.environ.get('CMKD_CRASH_SEED') or str(random.SystemRandom().randrange(10**9))
PROCESSES = 2
KILLS_OF_A_MACHINE = 200  # its keys grow more with every one
ANSWERS = 24  # at most, from one death to the next
CONFIG = {'Limits': {'ImportSetsPerKey': 1000, 'ImportSetsPerUser': 10000}}


def write(machine, writers, answers):
    """Let them write until so many calls were answered. cmkd is killed at any moment after that."""
    context = GLib.MainContext.default()
    wanted = answers + sum(writer.answered for writer in writers)
    deadline = time.monotonic() + 60
    while sum(writer.answered for writer in writers) < wanted:
        for writer in writers:
            writer.pump()
        context.iteration(True)
        assert time.monotonic() < deadline, 'cmkd does not answer'


def kill(machine, writers, chance):
    """And its TPM, every fourth time."""
    machine.daemon.kill()
    if chance.random() < 0.25:
        machine.stop_tpm()
    machine.bury()
    for writer in writers:
        if writer.call:
            while not writer.call.done:
                GLib.MainContext.default().iteration(True)
            writer.conclude()


def check(machine, writers):
    for uid in {writer.kms.uid for writer in writers}:
        seen = {entry['KeyId']: entry for entry in metadata_of_all(machine.client(uid))}
        for writer in writers:
            if writer.kms.uid == uid:
                writer.compare(seen)
        assert seen == {}, 'keys that nobody made, or that were refused'


def kill_while_it_starts(machine, chance):
    machine.launch()
    time.sleep(chance.uniform(0, 0.04))
    machine.daemon.kill()
    machine.bury()


def torment(machine, kills, chance):
    """Returns how many calls were answered."""
    writers = [Writer(machine.new_client(ALICE if number % 2 else BOB), f'w{number}', chance) for number in range(8)]
    for _ in range(kills):
        write(machine, writers, chance.randrange(ANSWERS))
        time.sleep(chance.uniform(0, 0.003))
        kill(machine, writers, chance)
        if chance.random() < 0.125:
            kill_while_it_starts(machine, chance)
        machine.start()
        check(machine, writers)
        chance.choice(writers).prove()
    for writer in writers:
        writer.prove()
    machine.stop()
    machine.assert_no_handles()
    return sum(writer.answered for writer in writers)


@pytest.mark.parametrize('process', range(1, PROCESSES + 1))
def test_killed_at_any_moment(process, capsys):
    chance = random.Random(f'{SEED}/{process}')
    began, answered, killed = time.monotonic(), 0, 0
    try:
        while killed < KILLS // PROCESSES:
            kills = min(KILLS_OF_A_MACHINE, KILLS // PROCESSES - killed)
            machine = CrashMachine(config=CONFIG)
            try:
                machine.start()
                answered += torment(machine, kills, chance)
            finally:
                machine.shut_down()
            killed += kills
    finally:
        with capsys.disabled():
            print(f'# CMKD_CRASH_SEED={SEED}: {killed} kills at random in {time.monotonic() - began:.0f} s, '
                  f'{answered} calls answered', flush=True)

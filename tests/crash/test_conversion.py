# SPDX-License-Identifier: Apache-2.0
"""cmkd is killed while it converts a state of an earlier format (UP-02): the next start converts it. The states are the
golden ones of tests/golden."""
import itertools

import pytest

from client import unb64
from golden import FORMATS, Golden, install, load
from state import rows
from test_golden import ENVELOPES, FORMAT
from test_points import NAMES, after_command, at_file, before_command, places
from test_storage import assert_nowhere
from crash import CrashMachine, Tally

# Between the first and the last write of a transaction one death is like another.
STEPS = {at_file: 5, before_command: 1, after_command: 1}


def run(machine, strike, number):
    """A first start that ends there. Was it killed?"""
    machine.load('ready')
    strike(machine, number)
    killed = not machine.start_or_die()
    machine.disarm()
    if not killed:
        machine.kill()
        machine.release_handles()
    return killed


def check(machine, manifest, envelopes):
    machine.start()
    golden = Golden(machine, manifest)
    golden.check(uses=3)
    assert machine.client(0).GetStatus()['AnchorState'] == 'ok'
    assert rows(machine, 'PRAGMA user_version')[0][0] == FORMAT
    assert_nowhere(machine, *envelopes)
    key = next(key for key in golden.keys if key.material and key.metadata['KeyState'] == 'Enabled')
    key.kms.DeleteKeyMaterial(key.id)
    assert places(machine) == [1, 1]  # the NV index, the storage root key
    golden.import_again(key, unb64(key.material))
    machine.stop()
    machine.assert_no_handles()


@pytest.mark.parametrize('number', [number for number in FORMATS if number < FORMAT])
@pytest.mark.parametrize('strike', STEPS, ids=lambda strike: strike.__name__)
def test_killed_while_converting(number, strike, capsys):
    machine, tally = CrashMachine(), Tally()
    try:
        install(machine, number)
        # Format 4 put them into slots.
        envelopes = [row['envelope'] for row in rows(machine, ENVELOPES)] if number < 4 else []
        machine.save('ready')
        for place in itertools.count(1, STEPS[strike]):
            killed = run(machine, strike, place)
            try:
                check(machine, load(number), envelopes)
            except AssertionError as error:
                raise AssertionError(f'killed {NAMES[strike]}, number {place}: {error}') from error
            if not killed:
                break
            tally.points[NAMES[strike]] += 1
    finally:
        machine.shut_down()
    with capsys.disabled():
        print(f'# format {number}: {tally}', flush=True)
    assert tally.points[NAMES[strike]] >= (10 if number < 4 else 3)

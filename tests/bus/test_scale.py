# SPDX-License-Identifier: Apache-2.0
"""A store of 10,000 keys costs no more TPM commands at the start than one of ten, and pages through all of them."""
from pathlib import Path

import pytest

from harness import new_machine
from client import refused

FEW, MANY = 10, 10_000  # as many as a user may have
IN_FLIGHT = 200  # calls of one user; cmkd refuses more than 256


def create_keys(kms, number):
    keys = []
    while len(keys) < number:
        calls = [kms.start('CreateKey', Origin='EXTERNAL') for _ in range(min(IN_FLIGHT, number - len(keys)))]
        keys += [call.result()['KeyMetadata']['KeyId'] for call in calls]
    return keys


def bytes_read(machine):
    """By the system calls of cmkd so far, from whatever file."""
    fields = dict(line.split(': ') for line in Path(f'/proc/{machine.daemon.pid}/io').read_text().splitlines())
    return int(fields['rchar'])


def start_cost(machine):
    machine.stop()
    with machine.tpm_commands() as commands:
        machine.start()
    return len(commands), bytes_read(machine)


@pytest.fixture(scope='module')
def machine():
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}) as machine:
        yield machine


@pytest.fixture(scope='module')
def cost_with_few(machine, kms):
    create_keys(kms, FEW)
    return start_cost(machine)


@pytest.fixture(scope='module')
def keys(machine, kms, cost_with_few):
    """The ids of all keys, in the order they were made."""
    return [key['KeyId'] for key in kms.ListKeys(Limit=1000)['Keys']] + create_keys(kms, MANY - FEW)


def test_a_start_sends_no_more_tpm_commands(machine, cost_with_few, keys):
    """That no row is older than the rest is found out from all of them, so they are read: once."""
    commands, read = start_cost(machine)
    assert commands == cost_with_few[0]
    assert read - cost_with_few[1] < (machine.state / 'state.db').stat().st_size


def test_pages_hold_each_key_once(kms, keys):
    listed, marker, pages = [], '', 0
    while pages == 0 or marker:
        answer = kms.ListKeys(Limit=1000, Marker=marker) if marker else kms.ListKeys(Limit=1000)
        listed += [key['KeyId'] for key in answer['Keys']]
        marker, pages = answer['NextMarker'], pages + 1
    assert listed == keys
    assert pages == MANY // 1000


def test_one_key_more_is_refused(kms, keys):
    with refused('LimitExceeded'):
        kms.CreateKey(Origin='EXTERNAL')

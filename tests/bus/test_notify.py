# SPDX-License-Identifier: Apache-2.0
"""What cmkd tells the service manager that started it, which is a datagram socket here."""
import contextlib
import os
import signal
import socket
import uuid

import pytest

from activation import activated
from client import DEADLINE
from harness import new_machine


@contextlib.contextmanager
def manager(machine, kind='path', watchdog=None):
    """Listen as systemd does; cmkd is told of it when it is started."""
    address = f'@cmkd-{uuid.uuid4()}' if kind == 'abstract' else str(machine.directory / 'notify')
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind('\0' + address[1:] if kind == 'abstract' else address)
    if kind == 'path':
        os.chown(address, machine.uid, machine.uid)
    listener.settimeout(DEADLINE)
    machine.environment['NOTIFY_SOCKET'] = address
    if watchdog is not None:
        machine.environment['WATCHDOG_USEC'] = str(watchdog)
    with listener:
        yield listener


def hear(listener):
    """One message, {name: value}."""
    return dict(line.split('=', 1) for line in listener.recv(4096).decode().splitlines())


def hear_until(listener, name):
    """The first message with it, and those before."""
    messages = [hear(listener)]
    while name not in messages[-1]:
        messages.append(hear(listener))
    return messages.pop(), messages


@pytest.mark.parametrize('kind', ['path', 'abstract'])
def test_it_is_ready_when_it_serves_and_stops_when_it_is_told_to(kind):
    with new_machine(start=False) as machine, manager(machine, kind) as listener:
        machine.launch()
        ready = hear(listener)
        assert machine.owned()
        assert ready == {'READY': '1', 'STATUS': f'serving the store in {machine.state}'}
        machine.client().ListKeys()
        machine.stop()
        assert hear(listener)['STOPPING'] == '1'


def test_it_says_when_the_tpm_opens_the_store():
    with new_machine() as machine, manager(machine) as listener:
        machine.stop()
        machine.stop_tpm()
        machine.launch()
        ready = hear(listener)
        assert ready['READY'] == '1' and f'the store in {machine.state} is locked' in ready['STATUS']
        machine.start_tpm()
        machine.client(0).CreateKey()
        assert hear(listener) == {'STATUS': f'serving the store in {machine.state}'}
        machine.stop()
        assert hear(listener)['STOPPING'] == '1'


def test_whoever_does_not_come_up_is_not_ready():
    with new_machine(start=False) as machine, manager(machine) as listener:
        (machine.directory / 'cmkd.conf').write_text('junk\n')
        assert machine.run_daemon()[0] == 1
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(4096)


def test_one_that_ends_by_itself_says_so():
    with activated(idle=0.1) as machine, manager(machine) as listener:
        machine.offer_service()
        machine.client().ListKeys()
        assert hear(listener)['READY'] == '1'
        assert hear(listener)['STOPPING'] == '1'
        machine.wait_for_end()


def test_the_watchdog_hears_of_a_living_main_loop_only():
    with new_machine(start=False) as machine, manager(machine, watchdog=20_000) as listener:
        machine.launch()
        assert 'READY' in hear(listener)
        assert [hear(listener) for _ in range(3)] == [{'WATCHDOG': '1'}] * 3
        # One that is stopped says nothing: when all is heard that it had said, nothing comes.
        machine.daemon.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, machine.daemon.pid, os.WSTOPPED | os.WNOWAIT)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                assert hear(listener) == {'WATCHDOG': '1'}
        listener.settimeout(DEADLINE)
        machine.daemon.send_signal(signal.SIGCONT)
        assert hear(listener) == {'WATCHDOG': '1'}
        machine.daemon.terminate()
        # Read as it comes: the kernel keeps few datagrams for who does not.
        assert all(message == {'WATCHDOG': '1'} for message in hear_until(listener, 'STOPPING')[1])
        machine.stop()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(4096)


def test_without_a_watchdog_there_are_no_signs_of_life():
    with new_machine(start=False) as machine, manager(machine) as listener:
        machine.launch()
        assert 'READY' in hear(listener)
        machine.client().ListKeys()
        machine.stop()
        assert hear_until(listener, 'STOPPING')[1] == []

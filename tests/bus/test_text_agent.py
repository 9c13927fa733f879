# SPDX-License-Identifier: Apache-2.0
"""Which cmkctl starts polkit's agent on its terminal, and what becomes of that; tests/system has it ask for passwords."""
import json
import os
import pty
import shutil
import signal
import subprocess
import threading
import time

import pytest
from gi.repository import Gio

from client import DEADLINE, UNKNOWN_KEY
from cmkctl import CMKCTL, Cmkctl, Impostor
from harness import ALICE, new_machine

# Runs another program in the place of the agent.
EXECUTE_ANOTHER = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

int
execv (const char *path, char *const arguments[])
{
  int (*next) (const char *, char *const[]) = (int (*) (const char *, char *const[])) dlsym (RTLD_NEXT, "execv");

  return next (strcmp (path, "/usr/bin/pkttyagent") == 0 ? getenv ("AGENT") : path, arguments);
}
'''

AGENT = r'''#!/usr/bin/python3 -I
import json, os, signal, sys

status = dict(line.split(':\t') for line in open('/proc/self/status').read().splitlines())
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
fds = {fd: os.readlink(f'/proc/self/fd/{fd}') for fd in range(20) if os.path.exists(f'/proc/self/fd/{fd}')}
said = {'arguments': sys.argv[1:], 'ignored': int(status['SigIgn'], 16), 'blocked': int(status['SigBlk'], 16), 'fds': fds}
with open(os.environ['AGENT_LOG'], 'a') as log:
    print(json.dumps(said), file=log, flush=True)
    os.close(3)
    signal.sigwait([signal.SIGTERM])
    print('ended', file=log)
'''


class Place:
    """A bus that is the system bus of a user, with a program in the place of the agent."""

    def __init__(self, machine):
        self.machine = machine
        self.cmkctl = shutil.copy(CMKCTL, machine.directory / 'cmkctl')  # where everybody can run it
        self.write('execute.c', EXECUTE_ANOTHER)
        subprocess.run(['cc', '-shared', '-fPIC', '-o', machine.directory / 'execute.so', machine.directory / 'execute.c'],
                       check=True)
        self.agent = self.write('agent', AGENT)
        self.agent.chmod(0o755)
        self.write('ssh', '#!/bin/sh\nexit 255\n').chmod(0o755)
        self.log = self.write('log', '')
        os.chown(self.log, ALICE, ALICE)
        self.environment = {
            'DBUS_SYSTEM_BUS_ADDRESS': machine.address, 'DBUS_SESSION_BUS_ADDRESS': machine.address,
            'PATH': f'{machine.directory}:{os.environ["PATH"]}', 'LD_PRELOAD': f'{machine.directory}/execute.so', 'AGENT': str(self.agent), 'AGENT_LOG': str(self.log)}

    def write(self, name, text):
        path = self.machine.directory / name
        path.write_text(text)
        return path

    def start(self, *arguments, user=ALICE, on_terminal=True, around=(), **options):
        self.log.write_text('')
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [*around, self.cmkctl, *arguments], user=user, stdin=follower if on_terminal else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **self.environment}, **options)
        os.close(follower)
        process.terminal = leader
        return process

    def run(self, *arguments, **options):
        """Run it to its end, and answer its status and what the agent has said: nothing if there was none."""
        process = self.start(*arguments, **options)
        process.communicate(timeout=DEADLINE)
        os.close(process.terminal)
        return process.returncode, self.log.read_text().splitlines()


@pytest.fixture(scope='module')
def place(machine):
    return Place(machine)


def test_the_agent_lives_as_long_as_cmkctl_and_has_nothing_of_it(place, tmp_path):
    secret = os.open(tmp_path / 'secret', os.O_RDWR | os.O_CREAT)
    status, (said, end) = place.run('list', pass_fds=[secret], around=['env', '--ignore-signal=HUP', '--block-signal=TERM'])
    os.close(secret)
    said = json.loads(said)
    assert (status, end) == (0, 'ended')
    assert said['arguments'] == ['--notify-fd', '3', '--fallback']
    assert said['blocked'] == 0 and not said['ignored'] & 1 << signal.SIGHUP - 1
    assert said['fds'].pop('3').startswith('pipe:')
    assert said['fds'] == {str(fd): '/dev/null' for fd in range(3)}


def test_two_calls_of_a_command_have_one_agent(place):
    assert place.run('create', '--spec', 'HMAC_256', '--usage', 'GENERATE_VERIFY_MAC', '--alias', 'alias/mac')[0] == 0
    status, (_, end) = place.run('mac', 'alias/mac', '--in', place.write('data', 'data'))
    assert (status, end) == (0, 'ended')


@pytest.mark.parametrize('arguments, options', [
    (['list'], {'user': 0}),
    (['list'], {'on_terminal': False}),
    (['list', '--no-ask-password'], {}),
    (['list', '--session'], {}),
    (['list', '--address={bus}'], {}),
    (['list', '--host=web1'], {}),
    (['status'], {}),
    (['complete', '--', 'show', ''], {}),
    (['complete', '--', '--system', 'show', ''], {}),
    (['list', '--version'], {}),
    (['list', '--help'], {}),
    (['wrap', '--public-key', 'x'], {}),
], ids=lambda value: ' '.join(value) if isinstance(value, list) else ' '.join(map(str, value)))
def test_no_agent_is_started(place, arguments, options):
    _, said = place.run(*(argument.format(bus=place.machine.address) for argument in arguments), **options)
    assert said == []


def test_without_the_agent_there_is_what_needs_none(place, monkeypatch):
    monkeypatch.setitem(place.environment, 'AGENT', '/nowhere')
    assert place.run('list') == (0, [])
    monkeypatch.setitem(place.environment, 'AGENT', '/bin/false')
    assert place.run('list') == (0, [])


def has_ended(log):
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if log.read_text().endswith('ended\n'):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_ends_the_agent_as_well(number):
    with new_machine(start=False) as machine:
        impostor, place, called = Impostor(machine), Place(machine), threading.Event()
        impostor.answer = lambda _message: called.set()
        process = place.start('disable', UNKNOWN_KEY)
        assert called.wait(DEADLINE)
        process.send_signal(number)
        assert process.wait(DEADLINE) == -number
        # Before cmkctl ends, unless it has no time for that.
        assert has_ended(place.log) if number == signal.SIGKILL else place.log.read_text().endswith('ended\n')
        process.stderr.close()
        os.close(process.terminal)


def test_whether_a_call_may_be_interactive():
    flag = Gio.DBusMessageFlags.ALLOW_INTERACTIVE_AUTHORIZATION
    with new_machine(start=False) as machine:
        impostor = Impostor(machine)
        impostor.answer = ('org.cmkd.Kms1.Error.AccessDenied', 'somebody has to authenticate')
        for options, is_allowed in (([], True), (['--no-ask-password'], False)):
            Cmkctl(machine).refused(4, 'disable', UNKNOWN_KEY, *options)
            assert bool(impostor.calls[-1][0] & flag) == is_allowed

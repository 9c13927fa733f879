# SPDX-License-Identifier: Apache-2.0
"""cmkctl as a test calls it."""
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from gi.repository import Gio, GLib

from client import BUS_NAME, DEADLINE

CMKCTL = os.environ['CMKD_CLIENT']


def run(*arguments, stdin=b'', **options):
    return subprocess.run([CMKCTL, *map(str, arguments)], input=stdin, capture_output=True, timeout=DEADLINE, **options)


def help_of(*verb):
    """Of the verb, or the overview."""
    done = run(*verb, '--help')
    assert (done.returncode, done.stderr) == (0, b'')
    return done.stdout.decode()


def verbs():
    """All that there are."""
    table = re.search(r'\nVerbs:\n(.*?)\n\n', help_of(), re.DOTALL).group(1)
    return [line.split()[0] for line in table.splitlines()]


def eventually(ask, is_good=bool):
    """What @ask() answers once that is good: for what is given up for a while where a machine is busy."""
    deadline = time.monotonic() + DEADLINE
    while not is_good(answer := ask()):
        assert time.monotonic() < deadline, answer
    return answer


class Cmkctl:
    """cmkctl on the bus of a machine, as root."""

    def __init__(self, machine):
        self.bus = f'--address={machine.address}'

    def run(self, *arguments, **options):
        return run(self.bus, *arguments, **options)

    def __call__(self, *arguments, **options):
        """What it prints; it must succeed, and say nothing else."""
        done = self.run(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, b'')
        return done.stdout

    def json(self, *arguments, **options):
        answer = json.loads(self(*arguments, '--json', **options))
        assert re.fullmatch('[0-9a-f-]{36}', answer['RequestId'])
        return answer

    def refused(self, code, *arguments, **options):
        """Its message; it must end with @code, print nothing, and need one line to say why."""
        return refused(code, self.bus, *arguments, **options)


def refused(code, *arguments, **options):
    done = run(*arguments, **options)
    assert (done.returncode, done.stdout) == (code, b''), done.stderr
    message = done.stderr.decode()
    assert re.fullmatch(r'cmkctl: [^\n]+\n', message)
    return message


def on_terminal(*arguments, answer=None, columns=80, **environment):
    """Its exit status and what it prints to a terminal of so many columns, where somebody types @answer once the
    terminal echoes nothing."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 25, columns, 0, 0))
        os.execve(CMKCTL, [CMKCTL, *map(str, arguments)], {**os.environ, 'TERM': 'xterm', 'NO_COLOR': '', **environment})
    output, deadline = b'', time.monotonic() + DEADLINE
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
        while time.monotonic() < deadline:
            if answer is not None and output and not termios.tcgetattr(terminal)[3] & termios.ECHO:
                os.write(terminal, f'{answer}\n'.encode())
                answer = None
            if select.select([terminal], [], [], 0.01)[0]:
                output += os.read(terminal, 4096)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), output.decode().replace('\r\n', '\n')


class Impostor:
    """Owns cmkd's name and gives every call the same answer: a GLib.Variant, (name of an error, message), what returns one
    of them for a message, or none at all."""

    def __init__(self, machine, uid=0):
        self.connection = machine.new_client(uid).connection
        self.answer = None
        self.calls = []
        # A filter, as an object of GDBus would refuse to send what the XML does not have. It has a thread of its own.
        self.connection.add_filter(self.on_message)
        self.requested = self.connection.call_sync(
            'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName',
            GLib.Variant('(su)', (BUS_NAME, 0)), None, Gio.DBusCallFlags.NONE, -1, None).unpack()[0]

    def on_message(self, connection, message, incoming):
        if not incoming or message.get_message_type() != Gio.DBusMessageType.METHOD_CALL:
            return message
        body = message.get_body()
        self.calls.append((message.get_flags(), body and body.unpack()))
        answer = self.answer(message) if callable(self.answer) else self.answer
        if answer is None:
            return None
        reply = message.new_method_error_literal(*answer) if isinstance(answer, tuple) else message.new_method_reply()
        if not isinstance(answer, tuple):
            reply.set_body(answer)
        connection.send_message(reply, Gio.DBusSendMessageFlags.NONE)
        return None

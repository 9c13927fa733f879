# SPDX-License-Identifier: Apache-2.0
"""cmkd that the bus starts for a call, and that ends by itself.

    with activated(idle=0.1) as machine:
        machine.client().own_key()   # the bus starts cmkd
        machine.wait_for_end()       # nobody calls any more
        machine.client().ListKeys()  # and again"""
import contextlib
import os
import shlex
import signal

from gi.repository import Gio

from client import BUS_NAME, iterate_until
from harness import Machine, run_as


class ActivatedMachine(Machine):
    """@idle: seconds. Its cmkd is no child of the test, so whoever starts it keeps a book of starts and exit statuses.
    Budgets, for which it would stay, are not limited unless @config says so."""

    def __init__(self, idle, config=None, **options):
        super().__init__(start=False, config={'Anchor': {'StepsPerDay': 0}, **(config or {})}, **options)
        self.idle = idle
        self.book = self.directory / 'book'
        self.book.touch()
        self.offer_service()

    @contextlib.contextmanager
    def when_name_goes(self, react):
        """Call @react, from the main context, each time at which cmkd has given back its name."""
        subscription = self.watch.connection.signal_subscribe(
            'org.freedesktop.DBus', 'org.freedesktop.DBus', 'NameOwnerChanged', '/org/freedesktop/DBus', BUS_NAME,
            Gio.DBusSignalFlags.NONE, lambda *signal: signal[-1].unpack()[2] or react())
        try:
            yield
        finally:
            self.watch.connection.signal_unsubscribe(subscription)

    def offer_service(self):
        starter = self.directory / 'starter'
        environment = (f'{name}={value}' for name, value in self.daemon_environment().items())
        command = run_as(self.uid, self.gid, ['env', *environment, *self.command(idle_timeout=self.idle)])
        note_and_execute = shlex.quote(f'echo start $$ >>{self.book}; exec "$@"')
        starter.write_text(f'#!/bin/sh\nsh -c {note_and_execute} sh {shlex.join(command)} >>{self.log} 2>&1\n'
                           f'status=$?\necho end $status >>{self.book}\nexit $status\n')
        starter.chmod(0o755)
        (self.directory / 'services' / f'{BUS_NAME}.service').write_text(
            f'[D-BUS Service]\nName={BUS_NAME}\nExec={starter}\n')

    def entries(self, kind):
        return [int(line.split()[1]) for line in self.book.read_text().splitlines() if line.startswith(kind)]

    def pids(self):
        """Of all that were started so far."""
        return self.entries('start')

    def ends(self):
        """Exit statuses of those that have ended."""
        return self.entries('end')

    def is_running(self):
        return len(self.pids()) > len(self.ends())

    def wait_for_end(self):
        """Of whoever was started for a call that has been answered."""
        iterate_until(lambda: not self.is_running(), 'cmkd ends by itself')
        assert set(self.ends()) <= {0}, f'{self.ends()}\n{self.log_tail()}'
        assert not self.owned()
        self.assert_clean_log()

    def signal(self, number):
        """To the last one, if it is still there."""
        with contextlib.suppress(IndexError, ProcessLookupError):
            os.kill(self.pids()[-1], number)

    def close(self):
        """Ended by SIGTERM, if something keeps it."""
        try:
            self.signal(signal.SIGTERM)
            self.wait_for_end()
        finally:
            self.shut_down()

    def shut_down(self):
        self.signal(signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            iterate_until(lambda: not self.is_running(), 'the end of cmkd', seconds=10)
        super().shut_down()


@contextlib.contextmanager
def activated(**options):
    """A machine of a test's own, whose bus starts cmkd."""
    machine = ActivatedMachine(**options)
    try:
        yield machine
    except BaseException:
        machine.shut_down()
        raise
    machine.close()

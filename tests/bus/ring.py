# SPDX-License-Identifier: Apache-2.0
"""The kernel keys of cmkd, as another process of its uid meets them - or one of another uid."""
import subprocess
from typing import NamedTuple

from state import store_id

SECONDS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}


class Ring:
    """The keyring of a machine's store in the user keyring of the uid that cmkd runs as."""

    def __init__(self, machine):
        self.machine = machine
        self.name = f'cmkd:{store_id(machine)}'

    def run(self, *arguments, uid=None, stdin=None):
        """keyctl as that uid, or @uid, in a session of its own with the user keyring in it."""
        uid = self.machine.uid if uid is None else uid
        return subprocess.run(
            ['keyctl', 'session', '-', 'sh', '-c', 'keyctl link @u @s && exec keyctl "$@"', 'sh',
             *map(str, arguments)], input=stdin, capture_output=True, user=uid, group=uid, extra_groups=[])

    def keyctl(self, *arguments, stdin=None):
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def serial(self):
        return int(self.keyctl('search', '@u', 'keyring', self.name))

    def exists(self):
        return self.run('search', '@u', 'keyring', self.name).returncode == 0

    def entries(self):
        """{serial: name} of what is in it, less what is about to be collected."""
        serials = map(int, self.keyctl('rlist', self.serial).split())
        found = {serial: self.run('rdescribe', serial) for serial in serials}
        return {serial: done.stdout.decode().rstrip('\n').split(';', 4)[4]
                for serial, done in found.items() if done.returncode == 0}

    def describe(self, serial):
        """type;uid;gid;permissions;name"""
        return self.keyctl('rdescribe', serial).decode().rstrip('\n')

    def read(self, serial):
        return self.keyctl('pipe', serial)

    def clear(self):
        """As if the daemon had never run: every object is cold."""
        self.keyctl('clear', self.serial)


class SeenKey(NamedTuple):
    serial: int
    left: int  # seconds; None: for ever
    uid: int
    gid: int
    type: str
    description: str


def seen_keys(uid):
    """What /proc/keys shows a process of @uid."""
    text = subprocess.run(['cat', '/proc/keys'], user=uid, group=uid, extra_groups=[], check=True,
                          capture_output=True, text=True).stdout
    return [SeenKey(int(fields[0], 16), left(fields[3]), int(fields[5]), int(fields[6]), *fields[7:])
            for fields in (line.split(None, 8) for line in text.splitlines())]


def left(text):
    if text == 'perm':
        return None
    return 0 if text == 'expd' else int(text[:-1]) * SECONDS[text[-1]]

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The journal, as a service sees it: what cmkd sends there is read here.

    with journal.attached() as (machine, entries):
        machine.client(ALICE).GetStatus()
        [entry] = entries()

Run as a program, it is what starts cmkd: in a mount namespace of its own, with a standard error that leads to the journal."""
import contextlib
import os
import queue
import socket
import struct
import subprocess
import sys
import threading
import uuid
from pathlib import Path

PLACE = Path('/run/systemd/journal')


class Journal:
    """What was sent to the socket in @directory, by the native protocol of the journal."""

    def __init__(self, directory):
        self.path = directory / 'socket'
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.path.chmod(0o666)
        self.received = queue.Queue()
        # Few datagrams fit into a socket, and then their sender waits: so it is emptied all the time.
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while (datagram := self.socket.recv(1 << 20)) != b'end':
            self.received.put(datagram)

    def send(self, datagram):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(datagram, str(self.path))

    def datagrams(self):
        """All that were sent since the last time, and before this."""
        mark = uuid.uuid4().bytes
        self.send(mark)
        return list(iter(self.received.get, mark))

    def entries(self):
        return [parse(datagram) for datagram in self.datagrams()]

    def close(self):
        self.send(b'end')
        self.reader.join()
        self.socket.close()


def parse(datagram):
    """Field -> value; a list of values for a field that is there more than once."""
    entry = {}
    while datagram:
        line, _, datagram = datagram.partition(b'\n')
        name, equals, value = line.partition(b'=')
        if not equals:
            size = struct.unpack_from('<Q', datagram)[0]
            value, datagram = datagram[8:8 + size], datagram[8 + size + 1:]
        name, value = name.decode(), value.decode()
        if name in entry:
            entry[name] = [*([entry[name]] if isinstance(entry[name], str) else entry[name]), value]
        else:
            entry[name] = value
    return entry


@contextlib.contextmanager
def attached(new_machine, **options):
    """(a machine whose cmkd has a journal, that journal)."""
    with new_machine(start=False, **options) as machine:
        directory = machine.directory / 'journal'
        directory.mkdir()
        journal = Journal(directory)
        machine.wrapper = ['unshare', '--mount', '/usr/bin/python3', __file__, directory]
        try:
            machine.start()
            yield machine, journal
        finally:
            journal.close()


def main(directory, *command):
    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', '/run'], check=True)
    PLACE.mkdir(parents=True)
    subprocess.run(['mount', '--bind', directory, PLACE], check=True)
    # GLib knows the journal by the name of the other end. Nobody takes what is written there: it says nothing else.
    listener, stream = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    (PLACE / 'stdout').unlink(missing_ok=True)
    listener.bind(str(PLACE / 'stdout'))
    listener.listen(1)
    listener.set_inheritable(True)
    stream.connect(str(PLACE / 'stdout'))
    os.dup2(stream.fileno(), 2)
    os.execv(command[0], command)


if __name__ == '__main__':
    main(*sys.argv[1:])

# SPDX-License-Identifier: Apache-2.0
"""Somebody on the wires between processor and TPM, who hears everything and may change everything."""
import contextlib
import os
import socket
import struct
import threading
from typing import NamedTuple

import harness

HEADER = 10
SIZE_FIELD, HANDLE_END = range(2, 6), 14
NV_READ, READ_PUBLIC = 0x14E, 0x173  # TPM_CC
GIVES_HANDLE = {0x131, 0x157, 0x161, 0x176}  # CreatePrimary, Load, ContextLoad, StartAuthSession
PASSWORD = 0x40000009  # TPM_RS_PW


class Message(NamedTuple):
    command: bytes
    answer: bytes

    @property
    def code(self):
        return struct.unpack_from('>I', self.command, 6)[0]


class Interposer:
    """@change_command and @change_answer see what passes, as functions of (command) and of (command, answer), and say
    what is passed on in its place."""

    def __init__(self, machine):
        self.machine = machine
        self.path = machine.directory / 'wires'
        os.symlink(machine.tpm_directory / 'sock.ctrl', f'{self.path}.ctrl')
        self.heard = []
        self.leave()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.path))
        self.server.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def leave(self):
        """Only listen from now on."""
        self.change_command = lambda command: command
        self.change_answer = lambda command, answer: answer

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                while command := read_message(connection):
                    connection.sendall(self.pass_on(command))

    def pass_on(self, command):
        answer = self.machine.ask_tpm(self.change_command(command))
        self.heard.append(Message(command, answer))
        return self.change_answer(command, answer)

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()

    @contextlib.contextmanager
    def hearing(self):
        """The Messages that pass while inside."""
        messages, before = [], len(self.heard)
        yield messages
        messages.extend(self.heard[before:])

    def flip_bit(self, place, of_answer, position):
        """Once, in the command number @place from now on, or in its answer. A message that is shorter is left alone."""
        left = [place]

        def change(data):
            left[0] -= 1
            if left[0] != -1 or position >= len(data):
                return data
            return data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1:]

        self.leave()
        if of_answer:
            self.change_answer = lambda command, answer: change(answer)
        else:
            self.change_command = change


def read_message(connection):
    data = connection.recv(4096)
    while 0 < len(data) < HEADER or len(data) >= HEADER and len(data) < struct.unpack_from('>I', data, 2)[0]:
        more = connection.recv(4096)
        if not more:
            return b''
        data += more
    return data


class TappedMachine(harness.Machine):
    """The TPM is only reached through @interposer."""

    def start_tpm(self):
        super().start_tpm()
        if not hasattr(self, 'interposer'):
            self.interposer = Interposer(self)

    @property
    def tcti(self):
        return f'{self.directory}/CMKD_TCTI_COUNT.so:swtpm:path={self.interposer.path}'

    def lockout_counter(self):
        """How many failed authorisations the TPM has counted."""
        answer = self.ask_tpm(struct.pack('>HIIIII', 0x8001, 22, 0x17A, 6, 0x20E, 1))  # TPM2_GetCapability
        found, value = struct.unpack_from('>II', answer, 19)
        assert found == 0x20E
        return value

    def shut_down(self):
        self.interposer.close()
        super().shut_down()

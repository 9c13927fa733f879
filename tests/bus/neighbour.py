# SPDX-License-Identifier: Apache-2.0
"""Another program that uses the TPM beside cmkd, and stays connected: an object and a session of its own are loaded."""
import ctypes
import os
import struct
import subprocess
import sys

NULL, NO_SESSIONS, SESSIONS = 0x40000007, 0x8001, 0x8002
PASSWORD = bytes.fromhex('00000009 40000009 0000 00 0000')
P256_STORAGE = bytes.fromhex('0023 000b 00030072 0000 0006 0080 0043 0010 0003 0010 0000 0000')


def command(tag, code, body):
    return struct.pack('>HII', tag, 10 + len(body), code) + body


def read_public(handle):
    return command(NO_SESSIONS, 0x173, struct.pack('>I', handle))


def flush_context(handle):
    return command(NO_SESSIONS, 0x165, struct.pack('>I', handle))


def new_handle(answer):
    return int.from_bytes(answer[10:14], 'big')


CREATE_PRIMARY = command(SESSIONS, 0x131, struct.pack('>I', NULL) + PASSWORD + bytes.fromhex('0004 0000 0000') +
                         struct.pack('>H', len(P256_STORAGE)) + P256_STORAGE + bytes(6))
START_SESSION = command(NO_SESSIONS, 0x176, struct.pack('>IIH', NULL, NULL, 16) + bytes(16) +
                        bytes.fromhex('0000 01 0010 000b'))


class Neighbour:
    """A process of its own, because a connection to a resource manager belongs to one."""

    def __init__(self, machine, empty=False):
        self.process = subprocess.Popen([sys.executable, __file__, machine.shared_tcti], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **machine.tpm_environment})
        if not empty:
            self.object, self.session = self.new_object(), self.new_session()

    def send(self, request):
        """The answer: (code, bytes), or (None, b'') if there is none."""
        self.process.stdin.write(request.hex() + '\n')
        self.process.stdin.flush()
        answer = bytes.fromhex(self.process.stdout.readline())
        return int.from_bytes(answer[6:10], 'big') if answer else None, answer

    def ask(self, request):
        code, answer = self.send(request)
        assert code == 0, f'the neighbour was refused: {code}'
        return answer

    def new_object(self):
        return new_handle(self.ask(CREATE_PRIMARY))

    def new_session(self):
        return new_handle(self.ask(START_SESSION))

    def handles(self, kind):
        """TPM2_GetCapability: the handles of a kind (TPM_HT), as this program may see them."""
        answer = self.ask(command(NO_SESSIONS, 0x17a, struct.pack('>III', 1, kind << 24, 254)))
        return list(struct.unpack_from(f">{int.from_bytes(answer[15:19], 'big')}I", answer, 19))

    def check(self):
        """Both are what they were."""
        self.ask(read_public(self.object))
        self.ask(self.use_session())

    def use_session(self):
        """TPM2_PolicyGetDigest"""
        return command(NO_SESSIONS, 0x189, struct.pack('>I', self.session))

    def leave(self):
        """Without a resource manager one has to clean up oneself."""
        for handle in (self.object, self.session):
            self.ask(flush_context(handle))
        self.end()

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Tcti(ctypes.Structure):
    """TSS2_TCTI_CONTEXT_COMMON_V1, as far as it is used."""
    _fields_ = [('magic', ctypes.c_uint64), ('version', ctypes.c_uint64),
                ('transmit', ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)),
                ('receive', ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t),
                                             ctypes.c_char_p, ctypes.c_int32))]


def main(configuration):
    """Pass on commands in hexadecimal, line by line, and their answers. An empty answer: there was none."""
    loader = ctypes.CDLL('libtss2-tctildr.so.0')
    context = ctypes.POINTER(Tcti)()
    assert loader.Tss2_TctiLdr_Initialize(configuration.encode(), ctypes.byref(context)) == 0
    for line in sys.stdin:
        request = bytes.fromhex(line)
        size, answer = ctypes.c_size_t(4096), ctypes.create_string_buffer(4096)
        done = (context.contents.transmit(context, len(request), request) == 0 and
                context.contents.receive(context, ctypes.byref(size), answer, -1) == 0)
        print(answer.raw[:size.value].hex() if done else '', flush=True)
    loader.Tss2_TctiLdr_Finalize(ctypes.byref(context))


if __name__ == '__main__':
    main(sys.argv[1])

# SPDX-License-Identifier: Apache-2.0
"""What cmkd holds in the TPM at a time, from the commands that it sends."""
import struct

NO_SESSIONS, SESSIONS = 0x8001, 0x8002
CONTEXT_SAVE, FLUSH_CONTEXT = 0x162, 0x165
CONTINUE_SESSION = 1


class Trace:
    """Made before the connection that it is to see; see FILE.raw in tests/tpm/tcti-count.c."""

    def __init__(self, machine):
        self.path = machine.tpm_log.with_name(machine.tpm_log.name + '.raw')
        self.path.touch()
        self.attributes = command_attributes(machine)
        self.offset, self.command = 0, None
        self.handles = set()
        self.most_objects = self.most_sessions = 0

    def forget(self):
        """The connection has gone, or cmkd: what was held is another's business now."""
        self.read()
        self.command = None
        self.handles = set()

    def read(self):
        """Follow what was sent since the last time: (most objects, most sessions) at a time."""
        content = self.path.read_bytes()[self.offset:]
        self.offset += len(content)
        while content:
            size, code = struct.unpack_from('>II', content, 2)
            message, content = content[:size], content[size:]
            if self.command and (code == 0 or size == 10):  # an error is nothing but its code
                self.follow(self.command, message)
                self.command = None
            else:
                self.command = message  # the last was not answered
        return self.most_objects, self.most_sessions

    def follow(self, command, answer):
        tag, _, code = struct.unpack_from('>HII', command)
        if answer[6:10] != bytes(4):
            return
        attributes = self.attributes[code]
        if attributes >> 28 & 1:  # rHandle
            self.handles.add(struct.unpack_from('>I', answer, 10)[0])
        first = struct.unpack_from('>I', command, 10)[0] if len(command) >= 14 else 0
        if code == FLUSH_CONTEXT or (code == CONTEXT_SAVE and is_session(first)):
            self.handles.discard(first)
        if tag == SESSIONS:
            self.handles -= set(ended_sessions(command, 10 + 4 * (attributes >> 25 & 7)))  # cHandles
        sessions = sum(map(is_session, self.handles))
        self.most_objects = max(self.most_objects, len(self.handles) - sessions)
        self.most_sessions = max(self.most_sessions, sessions)


def is_session(handle):
    return handle >> 24 in (0x02, 0x03)


def ended_sessions(command, offset):
    """Those of the authorisation area that the command ends."""
    end = offset + 4 + struct.unpack_from('>I', command, offset)[0]
    offset += 4
    while offset < end:
        handle, nonce_size = struct.unpack_from('>IH', command, offset)
        offset += 6 + nonce_size
        attributes, hmac_size = struct.unpack_from('>BH', command, offset)
        offset += 3 + hmac_size
        if not attributes & CONTINUE_SESSION:
            yield handle


def command_attributes(machine):
    """{command code: TPMA_CC} of what this TPM has."""
    found, first, more = {}, 0x11f, True
    while more:
        answer = machine.ask_tpm(struct.pack('>HIIIII', NO_SESSIONS, 22, 0x17A, 2, first, 64))  # TPM2_GetCapability
        more, _, count = struct.unpack_from('>BII', answer, 10)
        for attributes in struct.unpack_from(f'>{count}I', answer, 19):
            found[attributes & 0xffff] = attributes
        first = max(found) + 1
    return found

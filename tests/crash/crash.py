# SPDX-License-Identifier: Apache-2.0
"""A machine whose cmkd dies where a test wants it to, and what must be true of it afterwards."""
import mmap
import os
import shutil
import signal
import socket
import struct
import time
from collections import Counter

from harness import LOADED_SESSION, SAVED_SESSION, TRANSIENT, Machine
from client import DEADLINE, DBusError, b64
from openssl_keys import SIGNING

START = 2_000_000_000
# Nothing is made in advance: what happens, happens for the call.
CONFIG = {'WrappingKeys': {'ReadyRsa2048': 0}}
FLUSH_CONTEXT = 0x165
MESSAGE = b64(b'a message')
DEAD = {f'org.freedesktop.DBus.Error.{name}' for name in ('NoReply', 'ServiceUnknown', 'NameHasNoOwner')}
POINTS = '=4q32s'  # as in points.c

KILLED = -signal.SIGKILL


class CrashMachine(Machine):
    """Its clock stands still at START."""

    def __init__(self, **options):
        environment = options.pop('environment', {})
        config = {**CONFIG, **options.pop('config', {})}
        super().__init__(start=False, config=config, environment=environment, clock=START, **options)
        shutil.copy(os.environ['CMKD_POINTS_PRELOAD'], self.directory / 'points.so')
        path = self.directory / 'points'
        path.write_bytes(bytes(struct.calcsize(POINTS)))
        with open(path, 'r+b') as file:
            self.points = mmap.mmap(file.fileno(), struct.calcsize(POINTS))
        self.environment |= {
            'LD_PRELOAD': f'{self.directory}/CMKD_CLOCK_PRELOAD.so:{self.directory}/points.so',
            'CMKD_POINTS': str(path), 'CMKD_POINTS_DIRECTORY': str(self.state)}

    # Where it dies

    def arm(self, kill_at=0, stop_at=0, kill_at_answer=0):
        """Count anew, and strike there; see points.c. Without arguments: nowhere."""
        self.points[:] = struct.pack(POINTS, 0, 0, 0, 0, b'')  # nothing strikes while it is half written
        self.points[:] = struct.pack(POINTS, 0, kill_at, stop_at, kill_at_answer, b'')

    def last_call(self):
        """The system call of the last point."""
        return struct.unpack(POINTS, self.points)[-1].rstrip(b'\0').decode()

    def disarm(self):
        self.arm()
        self.tpm_fault('')

    def has_stopped(self):
        """At a point. Tells it once."""
        return os.waitid(os.P_PID, self.daemon.pid, os.WSTOPPED | os.WNOHANG) is not None

    # Death, and what the machine does about it

    def start_or_die(self):
        """Whether it serves. If not it was killed."""
        try:
            self.start()
        except AssertionError:
            if self.daemon.poll() != KILLED:
                raise
            self.bury()
            return False
        return True

    def bury(self):
        """cmkd was killed; and its TPM, if that is down."""
        assert self.daemon.wait(DEADLINE) == KILLED, f'cmkd ended by itself:\n{self.log_tail()}'
        self.daemon = None
        deadline = time.monotonic() + DEADLINE
        while self.owned():
            assert time.monotonic() < deadline, 'the bus does not notice that cmkd is gone'
        self.assert_clean_log()
        os.truncate(self.log, 0)
        if self.tpm.poll() is None:
            self.release_handles()
        else:
            self.start_tpm()

    def release_handles(self):
        """What a resource manager does with what a dead process has left in the TPM. There is none before a swtpm."""
        for kind in (TRANSIENT, LOADED_SESSION, SAVED_SESSION):
            for handle in self.tpm_handles(kind):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(self.tpm_directory / 'sock'))
                    connection.sendall(struct.pack('>HIII', 0x8001, 14, FLUSH_CONTEXT, handle))
                    assert struct.unpack_from('>I', connection.recv(4096), 6) == (0,)

    def assert_no_handles(self):
        for kind in (TRANSIENT, LOADED_SESSION, SAVED_SESSION):
            assert self.tpm_handles(kind) == (), 'cmkd left something in the TPM'

    # The whole machine, put aside and taken back

    def save(self, name):
        """Keep the state of cmkd, which is down, and of its TPM."""
        self.copy_to(self.directory / name)

    def copy_to(self, place):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.state, place / 'state')
        shutil.copytree(self.tpm_directory, place / 'tpm', ignore=shutil.ignore_patterns('sock*', '.lock'))

    def switch_off(self):
        """Whatever a test that failed has left running."""
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None
        self.stop_tpm()

    def load(self, name):
        """The machine as it was, just switched on; cmkd is down."""
        self.switch_off()
        self.forget_kernel_keys()
        for part, place in (('state', self.state), ('tpm', self.tpm_directory)):
            shutil.rmtree(place)
            shutil.copytree(self.directory / name / part, place)
        self.start_tpm()


def make_canaries(kms):
    """Keys of each kind, and what was made with them: what they must open whatever happens to others."""
    keys = [kms.own_key(KeySpec=spec) for spec in ('AES_256', 'EC_P256', 'HMAC_256')] + [kms.imported_key(spec='SM4')]
    return {key: make_proof(kms, kms.describe(key)) for key in keys}


def make_proof(kms, metadata):
    """Something made with the key that nobody makes without it."""
    key, spec = metadata['KeyId'], metadata['KeySpec']
    if metadata['KeyUsage'] == 'SIGN_VERIFY':
        return kms.Sign(key, MESSAGE, SIGNING[spec][0])['Signature']
    if metadata['KeyUsage'] == 'GENERATE_VERIFY_MAC':
        return kms.GenerateMac(key, MESSAGE, spec.replace('_', '_SHA_'))['Mac']
    return kms.Encrypt(key, MESSAGE)['CiphertextBlob']


def check_proof(kms, metadata, proof):
    """'works', or the name of the error. The secret half of the key is used, whatever the proof."""
    key, spec = metadata['KeyId'], metadata['KeySpec']
    if metadata['KeyUsage'] == 'SIGN_VERIFY':
        good, error = outcome(lambda: all(
            kms.Verify(key, MESSAGE, signature, SIGNING[spec][0])['SignatureValid']
            for signature in (proof, make_proof(kms, metadata))))
    elif metadata['KeyUsage'] == 'GENERATE_VERIFY_MAC':
        good, error = outcome(lambda: kms.VerifyMac(key, MESSAGE, proof, spec.replace('_', '_SHA_'))['MacValid'])
    else:
        good, error = outcome(lambda: kms.Decrypt(proof)['Plaintext'] == MESSAGE)
    return error or ('works' if good else 'wrong')


def metadata_of_all(kms):
    entries, marker = [], ''
    while True:
        answer = kms.ListKeys(Limit=1000, **({'Marker': marker} if marker else {}))
        entries += answer['Keys']
        marker = answer['NextMarker']
        if not marker:
            return entries


def view(kms, proofs):
    """All that can be seen through the bus: {key: (metadata, does it work)}. Of a key that is not in @proofs the id was
    chosen by cmkd in the call that made it: 'new', 'new 2', ..."""
    seen, count = {}, 0
    for entry in metadata_of_all(kms):
        key = entry['KeyId']
        name = key
        if key not in proofs:
            count += 1
            name = f'new {count}'
        proof, error = (proofs[key], None) if proofs.get(key) else outcome(lambda: make_proof(kms, entry))
        seen[name] = ({**entry, 'KeyId': name}, error or check_proof(kms, entry, proof))
    return seen


def outcome(call):
    """(the answer, None) or (None, name of the error)."""
    try:
        return call(), None
    except DBusError as error:
        return None, error.name


# After a crash

def assert_all_or_nothing(seen, scenario, case, answered):
    if answered or scenario.at_start or scenario.clock != START:
        assert seen == case.after, 'what was answered, or has become due, is not there'
    else:
        assert seen in (case.before, case.after), 'neither as before the call nor as after it'


def ask_again(kms, scenario, case):
    """As whoever had no answer does."""
    if scenario.again and not scenario.at_start:
        _, error = outcome(lambda: scenario.call(kms, case))
        assert error in scenario.again, f'asked again: {error}'
        assert view(kms, case.proofs) == case.after, 'asking again does not lead to the same'
    elif scenario.empty:
        kms.Encrypt(kms.own_key(), 'eA==')


class Tally:
    """How many points were tried, for the person who reads the output: comments to whoever parses it."""

    def __init__(self):
        self.points = Counter()
        self.began = time.monotonic()

    def __str__(self):
        kinds = ', '.join(f'{number} {kind}' for kind, number in sorted(self.points.items()))
        return f'{sum(self.points.values())} points ({kinds}) in {time.monotonic() - self.began:.0f} s'

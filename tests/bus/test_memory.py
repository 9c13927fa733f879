# SPDX-License-Identifier: Apache-2.0
"""Who else could get at secrets: other programs of cmkd's user, the swap, core files, listeners on the bus, ps. ME-03, ME-04,
ME-06, ME-07 and ME-09, the way docs/memory.md tells them. What a core would hold is in test_secrecy_core.py (ME-01, ME-02)."""
import array
import ctypes
import fcntl
import json
import os
import re
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from client import b64, iterate_until, unb64
from cmkctl import CMKCTL
from harness import ALICE, BOB, new_machine, run_as, spawn
from search import find, secrets_of_material, secrets_of_pair, secrets_of_store

# What a program of the same user may try; prints {what: 0, or errno}.
TRIES = '''
import ctypes, json, os, sys
pid, libc = int(sys.argv[1]), ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_SEIZE, PIDFD_GETFD, KCMP = 16, 0x4206, 438, 312
class Range(ctypes.Structure):
    _fields_ = [('start', ctypes.c_void_p), ('size', ctypes.c_size_t)]
def call(function, *arguments):
    return 0 if function(*arguments) != -1 else ctypes.get_errno()
def look(name, place=0):
    try:
        os.pread(os.open(f'/proc/{pid}/{name}', os.O_RDONLY), 64, place)
    except OSError as error:
        return error.errno
    return 0
def follow(name):
    try:
        os.readlink(f'/proc/{pid}/{name}')
    except OSError as error:
        return error.errno
    return 0
buffer = ctypes.create_string_buffer(64)
here = Range(ctypes.addressof(buffer), 64)
there = Range(int(sys.argv[2], 16), 64)
print(json.dumps({
    'mem': look('mem', there.start), 'maps': look('maps'), 'environ': look('environ'),
    'exe': follow('exe'), 'fd/0': follow('fd/0'),
    'process_vm_readv': call(libc.process_vm_readv, pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0),
    'process_vm_writev': call(libc.process_vm_writev, pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0),
    'pidfd_getfd': call(libc.syscall, PIDFD_GETFD, os.pidfd_open(pid), 0, 0),
    'kcmp': call(libc.syscall, KCMP, pid, os.getpid(), 0, 0, 0),
    'PTRACE_SEIZE': call(libc.ptrace, PTRACE_SEIZE, pid, None, None),
    'PTRACE_ATTACH': call(libc.ptrace, PTRACE_ATTACH, pid, None, None),
}))
'''
DENIED = {1, 13}  # EPERM, EACCES


def a_mapping(pid):
    """The address of one that is read and written; root may look."""
    for line in Path(f'/proc/{pid}/maps').read_text().splitlines():
        if ' rw-p ' in line:
            return line.split('-')[0]
    raise AssertionError('nothing is writable')


def tries(pid, uid, gid):
    done = subprocess.run(run_as(uid, gid, ['/usr/bin/python3', '-I', '-c', TRIES, pid, a_mapping(pid)]), check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.fixture(scope='module')
def machine():
    """cmkd as an ordinary user."""
    with new_machine(uid=ALICE) as machine:
        yield machine


@pytest.fixture(scope='module')
def secrets(machine, kms):
    """{name: secret} of a machine on which everything was done once."""
    key, material, plaintext = kms.external_key(), os.urandom(32), os.urandom(48)
    parameters = kms.parameters(key)
    kms.import_with(parameters, material)
    kms.Decrypt(kms.Encrypt(key, b64(plaintext))['CiphertextBlob'])
    data_key = kms.GenerateDataKey(key)['Plaintext']
    return {**secrets_of_store(machine), **secrets_of_pair(machine, parameters),
            **secrets_of_material(machine, key, material), 'plaintext': plaintext, 'data key': unb64(data_key)}


def test_the_tries_succeed_where_nothing_is_done_against_them(machine):
    sleeper = spawn(ALICE, ['/usr/bin/python3', '-I', '-c', 'print(flush=True); import time; time.sleep(1e6)'],
                    stdout=subprocess.PIPE)
    try:
        sleeper.stdout.readline()  # what it maps stays as it is from now on
        results = tries(sleeper.pid, ALICE, ALICE)
        assert {name for name, error in results.items() if error} == {'PTRACE_ATTACH'}, results  # it has it already
        assert tries(sleeper.pid, BOB, BOB)['process_vm_readv'] in DENIED
    finally:
        sleeper.kill()
        sleeper.communicate()


def test_me_03_another_program_of_its_user(machine, secrets):
    results = tries(machine.daemon.pid, ALICE, machine.gid)
    assert all(error in DENIED for error in results.values()), results


def test_me_04_what_is_secret_is_locked(machine, secrets):
    """The arena: locked, in no core, empty in a child. scripts/check-swap looks into a swap."""
    text = Path(f'/proc/{machine.daemon.pid}/smaps').read_text()
    flags = [set(line.split()) for line in re.findall(r'^Size: +4096 kB\n(?:.*\n)*?VmFlags: (.*)$', text, re.MULTILINE)]
    assert [kinds for kinds in flags if {'lo', 'dd', 'wf'} <= kinds], flags
    locked = int(re.search(r'^VmLck:\s+(\d+) kB', Path(f'/proc/{machine.daemon.pid}/status').read_text(), re.MULTILINE)[1])
    assert locked >= 4096


def test_me_06_who_listens_on_the_bus(machine, kms):
    """Root, and on a session bus the user himself: sees what is on the wire, and never the material or a private key."""
    heard = machine.directory / 'heard'
    with open(heard, 'wb') as file:
        monitor = spawn(0, ['stdbuf', '-o0', 'dbus-monitor', '--address', machine.address, '--pcap'], stdout=file)
    try:
        key, material, plaintext = kms.external_key(), os.urandom(32), os.urandom(48)

        def is_heard():
            kms.UpdateKeyDescription(key, 'is anybody there')
            return b'is anybody there' in heard.read_bytes()
        iterate_until(is_heard, 'the monitor hears')
        parameters = kms.parameters(key)
        kms.import_with(parameters, material)
        blob = kms.Encrypt(key, b64(plaintext))['CiphertextBlob']
        kms.UpdateKeyDescription(key, 'encrypted')
        iterate_until(lambda: b'encrypted' in heard.read_bytes(), 'the monitor has heard it')
        secret = {**secrets_of_store(machine), **secrets_of_pair(machine, parameters),
                  **secrets_of_material(machine, key, material)}
        before = heard.read_bytes()
        assert before.count(b64(plaintext).encode()) == 1, 'the argument of Encrypt, and nowhere else'
        kms.Decrypt(blob)
        data_key = kms.GenerateDataKey(key)['Plaintext']
        kms.GenerateDataKeyWithoutPlaintext(key)
        kms.UpdateKeyDescription(key, 'decrypted')
        iterate_until(lambda: b'decrypted' in heard.read_bytes(), 'the monitor has heard it')
        after = heard.read_bytes()
        assert after.count(b64(plaintext).encode()) == 2, 'and the answer of Decrypt'
        assert after.count(data_key.encode()) == 1, 'the answer of GenerateDataKey'
        assert find(secret, after) == []
    finally:
        monitor.kill()
        monitor.wait()


@pytest.mark.parametrize('number', [signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT])
def test_me_07_no_core(number):
    """Whatever limit it is started with."""
    with new_machine(wrapper=['prlimit', '--core=unlimited:unlimited'], uid=ALICE) as machine:
        limits = Path(f'/proc/{machine.daemon.pid}/limits').read_text()
        assert re.search(r'^Max core file size +0 +0 ', limits, re.MULTILINE)
        machine.daemon.send_signal(number)
        ended = os.waitid(os.P_PID, machine.daemon.pid, os.WEXITED | os.WNOWAIT)
        assert (ended.si_code, ended.si_status) == (os.CLD_KILLED, number)  # else CLD_DUMPED
        machine.daemon.wait()
        machine.daemon = None
        assert not [path for path in machine.directory.rglob('core*')]


def seen_by_ps(pid):
    """What anybody, or whoever may, is told of a process."""
    return b''.join(Path(f'/proc/{pid}/{name}').read_bytes() for name in (
        'cmdline', 'environ', 'comm', 'status', 'stat', 'maps', 'limits', 'mountinfo', 'wchan'))


def test_me_09_what_is_told_of_cmkd(machine, secrets):
    told = seen_by_ps(machine.daemon.pid)
    assert b'--state-dir' in told and b'GLIBC_TUNABLES' in told
    assert find(secrets, told) == []
    assert Path(f'/proc/{machine.daemon.pid}/comm').read_text() == 'cmkd\n'


def in_pipe(descriptor):
    number = array.array('i', [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, number)
    return number[0]


def test_me_09_what_is_told_of_cmkctl(machine, kms):
    """It has read a plaintext and waits for an answer: nothing of it is in what is told, and its memory is closed."""
    key, plaintext = kms.own_key(), os.urandom(48)
    machine.daemon.send_signal(signal.SIGSTOP)
    client = subprocess.Popen(run_as(ALICE, ALICE, [CMKCTL, f'--address={machine.address}', 'encrypt', key]),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        client.stdin.write(plaintext)
        client.stdin.flush()
        iterate_until(lambda: in_pipe(client.stdin.fileno()) == 0, 'the plaintext is read')
        client.stdin.close()
        told = seen_by_ps(client.pid)
        assert key.encode() in told and find({'plaintext': plaintext}, told) == []
        results = tries(client.pid, ALICE, ALICE)
        assert all(error in DENIED for error in results.values()), results
    finally:
        machine.daemon.send_signal(signal.SIGCONT)
        client.stdin = None
        blob, _ = client.communicate()
    assert unb64(kms.Decrypt(blob.decode().strip())['Plaintext']) == plaintext

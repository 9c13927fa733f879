# SPDX-License-Identifier: Apache-2.0
"""More of what can happen to the kernel keyring while cmkd uses it: the quota runs out and comes back, entries go away
between two system calls, and what is in them is genuine by its MAC and nonsense otherwise. test_keyring.py has the rest."""
import fcntl
import hashlib
import hmac
import json
import os
import pwd
import random
import shutil
import struct
import subprocess

import pytest

from cmkctl import Cmkctl
from harness import new_machine
from client import b64, iterate_until, unb64
from ring import Ring
from state import derived_key

# Nothing else runs as these, no other test either: what an ordinary uid may keep in the kernel is shared by all of its.
ORDINARY, POOR = pwd.getpwnam('uucp').pw_uid, pwd.getpwnam('proxy').pw_uid
NO_MATERIAL = {'WrappingKeys': {'ReadyRsa2048': 0}, 'Cache': {'MaterialSeconds': 0}}
MAC_SIZE = 32
LARGEST = 32767  # bytes that the kernel takes for a key
SESSION, TRANSIENT, PERSISTENT = 0x02000000, 0x80000000, 0x81000001


@pytest.fixture(scope='module', autouse=True)
def alone():
    """The user keyrings are the kernel's: two runs of these tests at once would meet in them."""
    with open(shutil.which('setpriv')) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for uid in ORDINARY, POOR:
            as_user(uid, 'clear', '@u')
        yield
        for uid in ORDINARY, POOR:
            as_user(uid, 'clear', '@u')


@pytest.fixture(scope='module')
def machine(alone):
    with new_machine(uid=ORDINARY, config=NO_MATERIAL) as machine:
        yield machine


@pytest.fixture(scope='module')
def ring(machine):
    return Ring(machine)


@pytest.fixture
def key(kms):
    return kms.own_key()


def as_user(uid, *arguments, stdin=b''):
    return subprocess.run(['keyctl', *map(str, arguments)], user=uid, group=uid, extra_groups=[], input=stdin,
                          capture_output=True)


def use(machine, key):
    """The TPM commands of a use of the key, which must succeed."""
    with machine.tpm_commands() as commands:
        assert machine.client().Encrypt(key, b64(b'x'))['KeyId'] == key
    return commands


def new_entry(machine, ring, key):
    """The serial of the entry that a use of @key makes, where there is none."""
    before = set(ring.entries())
    assert 'Load' in use(machine, key)
    entry, = set(ring.entries()) - before
    return entry


def find(ring, name):
    return int(ring.keyctl('search', ring.serial, 'user', name))


def is_warm(machine, key):
    return 'Load' not in use(machine, key)


# KR-01: the quota

def fill(uid):
    """Until not one byte can be added: the descriptions of what does."""
    names, size = [], 16384
    while size > 0:
        name = f'filler-{len(names)}'
        if as_user(uid, 'padd', 'user', name, '@u', stdin=bytes(size)).returncode == 0:
            names.append(name)
        else:
            size //= 2
    return names


def test_kr_01_the_quota_runs_out_and_comes_back():
    with new_machine(uid=POOR, config=NO_MATERIAL) as machine:
        kms = machine.client()
        key = kms.own_key()
        use(machine, key)
        assert is_warm(machine, key)
        assert Cmkctl(machine).json('status')['Attention'] == []
        fillers = fill(POOR)
        done = Cmkctl(machine).run('status', '--json')
        assert done.returncode == 1 and ['KeyringQuota' in text for text in json.loads(done.stdout)['Attention']] == [True]
        for other in [kms.own_key() for _ in range(4)]:
            use(machine, other)
            use(machine, key)
        material = os.urandom(32)
        imported = kms.external_key()
        kms.import_material(imported, material)
        blob = kms.Encrypt(imported, b64(b'kept'))['CiphertextBlob']
        machine.restart()
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
        for name in fillers:
            serial = as_user(POOR, 'search', '@u', 'user', name).stdout.decode().strip()
            assert as_user(POOR, 'unlink', serial, '@u').returncode == 0
        use(machine, imported)
        # The kernel gives the quota of what was unlinked back when it collects it.
        iterate_until(lambda: is_warm(machine, imported), 'contexts are kept again')


# KR-02: entries that go away at any moment

@pytest.mark.parametrize('how', ['revoke $entry', 'unlink $entry $ring', 'invalidate $entry', 'timeout $entry 1'])
def test_kr_02_entries_vanish_between_find_and_read(machine, ring, kms, how):
    """Another process of the uid does away with every entry as soon as it sees it, all the time."""
    keys = [kms.own_key() for _ in range(3)]
    for key in keys:
        use(machine, key)
    script = (f'keyctl link @u @s; ring={ring.serial}; while echo; do '
              f'for entry in $(keyctl rlist $ring); do keyctl {how}; done; done')
    vandal = subprocess.Popen(['keyctl', 'session', '-', 'sh', '-c', script], user=ORDINARY, group=ORDINARY,
                              extra_groups=[], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    try:
        for _ in range(10):
            vandal.stdout.read(1)  # it has gone round once more
            for key in keys:
                use(machine, key)
    finally:
        vandal.kill()
        vandal.wait()
        vandal.stdout.close()
    for key in keys:
        use(machine, key)
    assert kms.GetStatus()['KeyringStatus'] == 'ok'


# KR-04: nonsense under a valid MAC

@pytest.fixture(scope='module')
def mac_key(machine):
    return bytes(derived_key(machine, 'context'))


def signed(mac_key, name, context):
    """An entry as cmkd writes it."""
    name = name.removeprefix('context:').encode()
    return hmac.new(mac_key, name + b'\0' + context, hashlib.sha256).digest() + context


def forged_contexts(genuine):
    """Nonsense in the place of a marshalled TPMS_CONTEXT: sequence, savedHandle, hierarchy, contextBlob."""
    choose = random.Random(4)
    sequence, handle, hierarchy, size = struct.unpack_from('>QIIH', genuine)
    blob = genuine[18:]
    assert handle >> 24 == 0x80 and size == len(blob)
    for length in 1, 17, 18, 19, 500, 3000:
        yield f'{length} random bytes', choose.randbytes(length)
    for length in 0, 1, len(blob) - 1, len(blob) + 1, 0xffff:
        yield f'a blob said to be of {length} bytes', struct.pack('>QIIH', sequence, handle, hierarchy, length) + blob
    for other in 0, SESSION, SESSION + 0x01000000, PERSISTENT, TRANSIENT + 1, 0xffffffff:
        yield f'of handle 0x{other:x}', struct.pack('>QIIH', sequence, other, hierarchy, size) + blob
    yield 'of another hierarchy', struct.pack('>QIIH', sequence, handle, 0x4000000c, size) + blob
    yield 'of another sequence', struct.pack('>QIIH', sequence + 1, handle, hierarchy, size) + blob
    yield 'without a blob', struct.pack('>QIIH', sequence, handle, hierarchy, 0)
    yield 'cut short', genuine[:-1]
    yield 'longer', genuine + b'x'
    for _ in range(12):
        place = choose.randrange(len(genuine))
        bit = 1 << choose.randrange(8)
        yield f'bit 0x{bit:x} of byte {place}', genuine[:place] + bytes([genuine[place] ^ bit]) + genuine[place + 1:]


def test_kr_04_nonsense_with_a_valid_mac(machine, ring, key, mac_key):
    """It goes as far as the TPM at most, and the call succeeds all the same."""
    entry = new_entry(machine, ring, key)
    name, content = ring.entries()[entry], ring.read(entry)
    genuine = content[MAC_SIZE:]
    assert content == signed(mac_key, name, genuine)
    for what, context in forged_contexts(genuine):
        ring.keyctl('pupdate', entry, stdin=signed(mac_key, name, context))
        assert use(machine, key), what
        assert is_warm(machine, key), what
        entry = find(ring, name)


def test_kr_04_nothing_is_no_entry(machine, ring, key):
    """The kernel takes no key of 0 bytes, and keeps the one that is there."""
    entry = new_entry(machine, ring, key)
    done = ring.run('pupdate', entry, stdin=b'')
    assert done.returncode != 0 and b'Invalid argument' in done.stderr
    assert is_warm(machine, key)


def test_kr_04_the_largest_entry():
    """As root, for an ordinary uid may not have as much. KEYCTL_UPDATE takes a page at most, add_key() all of it."""
    with new_machine(config=NO_MATERIAL) as machine:
        ring, key = Ring(machine), machine.client().own_key()
        entry = new_entry(machine, ring, key)
        name = ring.entries()[entry]
        mac_key = bytes(derived_key(machine, 'context'))
        for content in bytes(LARGEST), signed(mac_key, name, bytes(LARGEST - MAC_SIZE)):
            for after_restart in False, True:
                if after_restart:
                    machine.stop()
                ring.keyctl('padd', 'user', name, ring.serial, stdin=content)
                if after_restart:
                    machine.start()
                assert 'Load' in use(machine, key)
                assert is_warm(machine, key)
                assert len(ring.read(find(ring, name))) < LARGEST

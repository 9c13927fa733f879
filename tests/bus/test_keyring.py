# SPDX-License-Identifier: Apache-2.0
"""The kernel keyring makes things fast and nothing else: whatever happens to it or is done to it, calls succeed."""
import errno
import fcntl
import os
import pwd
import shutil
import subprocess

import pytest

from harness import ALICE, new_machine
from client import b64, iterate_until, unb64
from ring import Ring, seen_keys

# Only these tests run as these: what an ordinary uid may keep in the kernel is little, and shared by all that runs as it.
ORDINARY, POOR = pwd.getpwnam('list').pw_uid, pwd.getpwnam('irc').pw_uid

NO_POOL = {'WrappingKeys': {'ReadyRsa2048': 0}}
NO_MATERIAL = {**NO_POOL, 'Cache': {'MaterialSeconds': 0}}
COLD = ['StartAuthSession', 'Load', 'ContextSave', 'Unseal', 'FlushContext']
WARM_CONTEXT = ['StartAuthSession', 'ContextLoad', 'Unseal', 'FlushContext']
UNCACHED = ['StartAuthSession', 'Load', 'Unseal', 'FlushContext']
ALTERED = 'was altered by another process'


@pytest.fixture(scope='module', autouse=True)
def alone():
    """Two runs of these tests at once would meet in the user keyrings, which a kernel has one of for each uid."""
    with open(shutil.which('keyctl')) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        empty_user_keyring(ORDINARY)
        empty_user_keyring(POOR)
        yield


@pytest.fixture(scope='module')
def machine(alone):
    """An ordinary uid, and material that is never kept: each use goes through a context of the ring."""
    with new_machine(uid=ORDINARY, config=NO_MATERIAL) as machine:
        yield machine


@pytest.fixture(scope='module')
def ring(machine):
    return Ring(machine)


@pytest.fixture
def key(kms):
    return kms.own_key()


def empty_user_keyring(uid):
    """Of what an earlier run left, or this one."""
    subprocess.run(['keyctl', 'clear', '@u'], user=uid, group=uid, extra_groups=[], check=True)


def use(machine, key):
    """Use a key; the TPM commands that it took."""
    kms = machine.client()
    with machine.tpm_commands() as commands:
        assert unb64(kms.Decrypt(kms.Encrypt(key, b64(b'x'))['CiphertextBlob'])['Plaintext']) == b'x'
    return commands


def use_once(machine, key):
    with machine.tpm_commands() as commands:
        machine.client().Encrypt(key, b64(b'x'))
    return commands


def new_context(machine, ring, key):
    """The serial of the entry that the first use of @key makes."""
    before = set(ring.entries())
    assert use_once(machine, key) == COLD
    new, = set(ring.entries()) - before
    return new


# What is there, and for whom

def test_contexts_expire_and_are_of_nobody_elses_business(machine, ring, key):
    new_context(machine, ring, key)
    entries = ring.entries()
    for serial in (ring.serial, *entries):
        kind, uid, _, permissions, _ = ring.describe(serial).split(';', 4)
        assert (kind, int(uid)) == ('user' if serial in entries else 'keyring', ORDINARY)
        assert permissions == '3f090000'  # the owner sees and finds it; who possesses it may do all; nobody else
    seconds = {key.serial: key.left for key in seen_keys(ORDINARY)}
    assert all(0 < seconds[serial] <= 86400 for serial in (ring.serial, *entries))


def test_kr_06_another_uid_gets_nothing(machine, ring, key):
    entry = new_context(machine, ring, key)
    for command in (['read', entry], ['pipe', entry], ['link', entry, '@s'], ['link', ring.serial, '@s'],
                    ['rlist', ring.serial], ['update', entry, 'x'], ['revoke', entry], ['invalidate', entry],
                    ['timeout', entry, 1], ['setperm', entry, '0x3f3f3f3f'], ['chown', entry, ALICE],
                    ['unlink', entry, ring.serial], ['clear', ring.serial], ['describe', entry]):
        done = ring.run(*command, uid=ALICE)
        assert done.returncode != 0, command
        assert b'Permission denied' in done.stderr, command
    assert entry not in {key.serial for key in seen_keys(ALICE)}
    assert use_once(machine, key) == WARM_CONTEXT


def test_material_is_seen_by_no_other_process():
    """It is in the process keyring: a second use without any TPM command shows that it is there."""
    with new_machine(uid=ORDINARY, config=NO_POOL) as machine:
        ring, kms = Ring(machine), machine.client()
        key = kms.own_key()
        kms.Encrypt(key, b64(b'x'))
        assert use(machine, key) == []
        for uid in (ORDINARY, 0):
            assert not [seen for seen in seen_keys(uid) if key in seen.description]
        # Of its own uid alone: a new kernel key shows its name until its permissions are set, and root's are made all the time.
        assert not [seen for seen in seen_keys(ORDINARY) if 'material' in seen.description]
        for keyring in ('@u', '@us', '@s', ring.serial):
            assert key.encode() not in ring.run('show', keyring).stdout
        machine.kill()
        machine.start()
        assert use_once(machine, key) == WARM_CONTEXT  # it has died with the process


# Timeouts

def test_material_is_kept_for_its_seconds():
    with new_machine(config={**NO_POOL, 'Cache': {'MaterialSeconds': 1}}) as machine:
        kms = machine.client()
        key = kms.own_key()
        iterate_until(lambda: use_once(machine, key) != [], 'material is forgotten')
        assert use_once(machine, key) == []  # and kept anew


def test_contexts_are_kept_for_their_seconds():
    with new_machine(config={**NO_POOL, 'Cache': {'MaterialSeconds': 0, 'ContextSeconds': 1}}) as machine:
        key = machine.client().own_key()
        ring = Ring(machine)
        use_once(machine, key)
        iterate_until(lambda: not ring.exists(), 'the ring expires')
        assert use_once(machine, key) == COLD
        assert machine.client().GetStatus()['KeyringStatus'] == 'ok'


def test_nothing_is_kept_for_0_seconds():
    with new_machine(config={**NO_POOL, 'Cache': {'MaterialSeconds': 0, 'ContextSeconds': 0}}) as machine:
        key = machine.client().own_key()
        assert use(machine, key) == UNCACHED + UNCACHED
        assert not Ring(machine).exists()
        assert machine.client().GetStatus()['KeyringStatus'] == 'ok'


# KR-02: entries that go away between two calls

@pytest.mark.parametrize('after_restart', [False, True])
@pytest.mark.parametrize('command', ['revoke {entry}', 'invalidate {entry}', 'unlink {entry} {ring}',
                                     'timeout {entry} 1', 'clear {ring}', 'revoke {ring}', 'unlink {ring} @u'])
def test_kr_02_an_entry_that_went_away_is_a_miss(machine, ring, key, command, after_restart):
    places = {'entry': new_context(machine, ring, key), 'ring': ring.serial}
    if after_restart:
        machine.stop()
    ring.keyctl(*command.format(**places).split())
    if 'timeout' in command:
        iterate_until(lambda: ring.run('describe', places['entry']).returncode != 0, 'it expires')
    if after_restart:
        machine.start()
    assert use(machine, key) == COLD + WARM_CONTEXT
    assert machine.client().GetStatus()['KeyringStatus'] == 'ok'


# KR-03: entries that are not what cmkd wrote

FORGERIES = {
    'a bit of the MAC': lambda content: bytes([content[0] ^ 1]) + content[1:],
    'a bit of the context': lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    'one byte': lambda content: b'x',
    'cut short': lambda content: content[:-1],
    'longer': lambda content: content + b'x',
    'a MAC alone': lambda content: content[:32],
    'much longer': lambda content: bytes(3000),
}


@pytest.mark.parametrize('after_restart', [False, True])
@pytest.mark.parametrize('forgery', FORGERIES)
def test_kr_03_an_entry_that_was_overwritten(machine, ring, key, forgery, after_restart):
    entry = new_context(machine, ring, key)
    warnings = machine.log.read_text().count(ALTERED)
    if after_restart:
        machine.stop()
    ring.keyctl('pupdate', entry, stdin=FORGERIES[forgery](ring.read(entry)))
    if after_restart:
        machine.start()
    assert use_once(machine, key) == COLD  # no ContextLoad: it does not get as far as tpm2-tss
    assert machine.log.read_text().count(ALTERED) == warnings + 1
    assert use_once(machine, key) == WARM_CONTEXT


def test_kr_03_an_entry_of_another_object(machine, ring, kms, key):
    """Genuine, but of another name."""
    entry, other = new_context(machine, ring, key), new_context(machine, ring, kms.own_key())
    ring.keyctl('pupdate', entry, stdin=ring.read(other))
    assert use_once(machine, key) == COLD


def test_kr_03_an_entry_in_the_place_of_ours(machine, ring, key):
    """The ring takes another key of the same name; a new daemon finds only that one."""
    entry = new_context(machine, ring, key)
    name = ring.entries()[entry]
    ring.keyctl('padd', 'user', name, ring.serial, stdin=b'junk')
    machine.restart()
    assert use_once(machine, key) == COLD


# KR-01, KR-07: no cache to be had

def assert_works_uncached(machine):
    kms = machine.client()
    assert use(machine, kms.own_key()) == COLD + COLD
    assert kms.GetStatus()['KeyringStatus'] == 'unavailable'
    key, material = kms.external_key(), os.urandom(32)
    kms.import_material(key, material)
    blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
    data_key = kms.GenerateDataKey(key)
    machine.restart()
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
    assert kms.Decrypt(data_key['CiphertextBlob'])['Plaintext'] == data_key['Plaintext']
    kms.import_material(key, material)
    kms.DeleteKeyMaterial(key)


def use_up_quota(uid):
    """Until not one byte can be added. What fills it is gone when its keyring is."""
    size = 16384
    number = 0
    while size > 0:
        done = subprocess.run(['keyctl', 'padd', 'user', f'filler-{number}', '@u'], input=bytes(size),
                              user=uid, group=uid, extra_groups=[], capture_output=True)
        if done.returncode == 0:
            number += 1
        else:
            assert b'quota' in done.stderr
            size //= 2


def test_kr_01_without_quota():
    use_up_quota(POOR)
    try:
        with new_machine(uid=POOR, config=NO_POOL) as machine:
            assert_works_uncached(machine)
    finally:
        empty_user_keyring(POOR)


@pytest.mark.parametrize('code', [errno.EPERM, errno.ENOSYS])
def test_kr_07_without_the_system_calls(code):
    with new_machine(config=NO_POOL, wrapper=[os.environ['CMKD_DENY_KEYCTL'], code]) as machine:
        assert_works_uncached(machine)


def test_no_more_is_kept_than_fits():
    """More objects than the ring holds: the ones used last are in it. As root, whose quota is not what limits it."""
    with new_machine(config=NO_MATERIAL) as machine:
        kms = machine.client()
        keys = [kms.own_key() for _ in range(20)]
        for key in keys:
            assert use_once(machine, key) == COLD
        assert use_once(machine, keys[-1]) == WARM_CONTEXT
        assert use_once(machine, keys[0]) == COLD
        assert sum(name.startswith('context:') for name in Ring(machine).entries().values()) <= 16

# SPDX-License-Identifier: Apache-2.0
"""AU-11, who is who: an account is a name under a uid, and what it has nobody gets who has the uid later."""
import contextlib
import os
import pwd
import shutil

from client import b64, refused
from golden import golden_machine
from harness import ALICE, BOB, new_machine
from state import edit, rows
from test_grants import CAROL, GROUP, grant, member


class People:
    """The password database of a cmkd, in a mount namespace of its own. Nothing else knows users there: what
    is changed in the file is so for whoever connects from then on."""

    def __init__(self, directory):
        self.passwd = directory / 'passwd'
        self.entries = {uid: pwd.getpwuid(uid).pw_name for uid in (0, ALICE, BOB)}
        self.write()

    def write(self):
        self.passwd.write_text(''.join(f'{name}:x:{uid}:{uid}::/:/bin/sh\n' for uid, name in self.entries.items()))

    def name(self, uid, name):
        self.entries[uid] = name
        self.write()

    def drop(self, uid):
        del self.entries[uid]
        self.write()

    def wrapper(self):
        return ['unshare', '--mount', 'sh', '-c', f'mount --bind {self.passwd} /etc/passwd && exec "$@"', 'sh']


@contextlib.contextmanager
def peopled_machine(tmp_path):
    with new_machine(start=False) as machine:
        people = People(tmp_path)
        machine.wrapper = people.wrapper()
        machine.people = people
        machine.start()
        yield machine


def connect(machine, name):
    """Carol's uid is that of @name from now on, and he connects and calls: then it is looked up who he is."""
    machine.people.name(CAROL, name)
    client = machine.new_client(CAROL)
    client.ListKeys()
    return client


def test_au_11_another_account_with_the_uid_has_nothing(tmp_path):
    with peopled_machine(tmp_path) as machine:
        alice, carol = machine.client(ALICE), connect(machine, 'carol')
        key = carol.own_key(Alias='alias/own', Tags={'of': 'carol'})
        shared = alice.own_key()
        grant(alice, shared, 'Encrypt', User=CAROL)
        granted = grant(carol, key, 'Encrypt', User=ALICE)
        blob = carol.Encrypt(key, b64(b'x'))['CiphertextBlob']
        for again in (lambda: None, machine.restart):
            again()
            carol, mallory = connect(machine, 'carol'), connect(machine, 'mallory')
            for _ in range(2):
                carol.Encrypt(key, b64(b'x'))
                carol.Encrypt(shared, b64(b'x'))
                assert mallory.ListKeys()['Keys'] == [] and mallory.ListAliases()['Aliases'] == []
                for use in (lambda: mallory.DescribeKey(key), lambda: mallory.Encrypt(key, b64(b'x')),
                            lambda: mallory.Encrypt(shared, b64(b'x')), lambda: mallory.ListGrants(key),
                            lambda: mallory.RevokeGrant(key, granted), lambda: mallory.ScheduleKeyDeletion(key)):
                    with refused('KeyNotFound'):
                        use()
                with refused('InvalidCiphertext'):
                    mallory.Decrypt(blob)
                with refused('AliasNotFound'):
                    mallory.DescribeKey('alias/own')


def test_au_11_each_has_his_own(tmp_path):
    """The second account under a uid begins anew, and the first has what he had when the uid is his again."""
    with peopled_machine(tmp_path) as machine:
        keys = {}
        for name in ('carol', 'mallory', 'trudy'):
            keys[name] = connect(machine, name).own_key(Alias='alias/own')
        root = machine.client(0)
        for again in (lambda: None, machine.restart):
            again()
            for name, key in keys.items():
                client = connect(machine, name)
                metadata = client.describe('alias/own')
                assert (metadata['KeyId'], metadata['Creator']) == (key, CAROL)
                assert [entry['KeyId'] for entry in client.ListKeys()['Keys']] == [key]
                client.Encrypt('alias/own', b64(b'x'))
                grant(root, key, 'DescribeKey', User=CAROL)
                assert root.describe(key)['Creator'] == CAROL
        owners = [tuple(row) for row in rows(machine, 'SELECT owner, uid, name FROM accounts ORDER BY owner')]
        assert owners == [(CAROL, CAROL, 'carol'), (1 << 32, CAROL, 'mallory'), ((1 << 32) + 1, CAROL, 'trudy')]


def account_rows(machine):
    return [tuple(row) for row in rows(machine, 'SELECT owner, uid, name FROM accounts ORDER BY owner')]


def test_au_11_nobody_is_served_unknown(tmp_path):
    """While the password database does not know a uid nothing is written for it, and who has it has it afterwards."""
    with peopled_machine(tmp_path) as machine:
        alice, carol = machine.client(ALICE), connect(machine, 'carol')
        key = alice.own_key()
        before = account_rows(machine)
        machine.people.drop(CAROL)
        unknown = machine.new_client(CAROL)
        for use in unknown.own_key, unknown.ListKeys:
            with refused('AccessDenied') as refusal:
                use()
            assert 'no account' in refusal.message
        with refused('InvalidParameter') as refusal:
            grant(alice, key, 'Encrypt', User=CAROL)
        assert 'User' in refusal.message
        assert account_rows(machine) == before
        own = carol.own_key()  # who she is was known when she connected
        machine.people.name(CAROL, 'carol')
        unknown.Encrypt(own, b64(b'x'))
        grant(alice, key, 'Encrypt', User=CAROL)
        assert account_rows(machine) == before + [(CAROL, CAROL, 'carol')]


def test_au_11_a_newcomer_has_a_number_before_anything_is_his(tmp_path):
    with peopled_machine(tmp_path) as machine:
        alice = machine.client(ALICE)
        connect(machine, 'carol').own_key()
        key = alice.external_key()
        grant(alice, key, 'GetParametersForImport', Group=GROUP)
        machine.people.name(CAROL, 'mallory')
        with member(machine, CAROL, GROUP) as mallory:
            mallory.parameters(key, 'SM2PKE', 'EC_SM2')
        assert (1 << 32, CAROL, 'mallory') in account_rows(machine)
        assert [row[0] for row in rows(machine, 'SELECT uid FROM import_sets')] == [1 << 32]


def test_au_11_owners_of_an_older_state():
    """Who had keys before there were accounts is written down when he first names one."""
    with golden_machine(4) as golden:
        keys = {key.metadata['Creator']: key.id for key in golden.keys}
        for uid in ALICE, BOB:
            golden.machine.client(uid).DescribeKey(keys[uid])
        named = [(uid, uid, pwd.getpwuid(uid).pw_name) for uid in sorted((ALICE, BOB))]
        assert account_rows(golden.machine) == named
        golden.machine.restart()
        for uid in ALICE, BOB:
            golden.machine.client(uid).DescribeKey(keys[uid])
        assert account_rows(golden.machine) == named


def test_accounts_that_have_nothing_are_forgotten():
    """What is refused leaves no row, and one that nothing names goes at the next start."""
    with new_machine(config={'Limits': {'GrantsPerKey': 1}}) as machine:
        alice = machine.client(ALICE)
        key = alice.own_key()
        granted = grant(alice, key, 'Encrypt', User=BOB)
        with refused('LimitExceeded'):
            grant(alice, key, 'Encrypt', User=CAROL)
        assert [uid for uid, *_ in account_rows(machine)] == sorted([ALICE, BOB])
        alice.RevokeGrant(key, granted)
        machine.restart()
        alice.Encrypt(key, b64(b'x'))
        assert [uid for uid, *_ in account_rows(machine)] == [ALICE]


@contextlib.contextmanager
def stalled_machine():
    """machine.stall(uid): who that is is not said from now on."""
    with new_machine(start=False) as machine:
        preload = machine.directory / 'accounts.so'
        shutil.copy(os.environ['CMKD_ACCOUNTS_PRELOAD'], preload)
        machine.environment = {'CMKD_ACCOUNTS': str(machine.directory),
                               'LD_PRELOAD': f'{preload} {machine.directory}/CMKD_CLOCK_PRELOAD.so'}
        machine.stall = lambda uid: os.mkfifo(machine.directory / str(uid))
        machine.start()
        yield machine


def test_an_account_that_is_not_said_keeps_nobody_else():
    """Who asks for it waits, and has no second one under way; others, and the end of cmkd, do not wait for it."""
    with stalled_machine() as machine:
        alice = machine.client(ALICE)
        key = alice.own_key()
        machine.stall(CAROL)
        machine.stall(100000)
        waiting = [alice.start('GrantKey', key, ['Encrypt'], User=100000) for _ in range(50)]
        waiting.append(machine.new_client(CAROL).start('ListKeys'))
        with refused('Throttled'):
            grant(alice, key, 'Encrypt', User=BOB)
        machine.new_client(BOB).own_key()
        with refused('AccessDenied') as refusal:
            machine.new_client(CAROL).ListKeys()
        assert 'seconds' in refusal.message
        for call in waiting:
            with refused('AccessDenied'):
                call.result()
        with refused('Throttled'):  # its thread is still there
            grant(alice, key, 'Encrypt', User=BOB)
        machine.stall(BOB)
        call = machine.new_client(BOB).start('ListKeys')
        writer = os.open(machine.directory / str(BOB), os.O_WRONLY)  # which waits for who reads
        machine.stop()
        os.close(writer)
        with refused('AccessDenied'):
            call.result()


# What somebody with the disk can do

def test_a_deleted_account_row_is_a_rollback():
    with new_machine() as machine:
        key = machine.client(ALICE).own_key()
        machine.stop()
        edit(machine, 'DELETE FROM accounts')
        machine.start()
        with refused('RollbackDetected'):
            machine.client(ALICE).Encrypt(key, b64(b'x'))


def test_an_altered_account_row_refuses_the_start():
    with new_machine() as machine:
        machine.client(ALICE).own_key()
        machine.stop()
        edit(machine, "UPDATE accounts SET name = 'mallory'")
        status, output = machine.run_daemon()
        assert status == 1 and 'accounts' in output

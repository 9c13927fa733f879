# SPDX-License-Identifier: Apache-2.0
"""Who waits for wrapping keys keeps nobody else waiting. Nothing here depends on how long anything takes: it is the
order of the answers that counts."""
from harness import ALICE, BOB, new_machine
from client import DBusError, b64, refused

WAITING = 20
PER_KEY = 10  # below the 16 sets of a key


def ask_for_pairs(kms):
    """20 calls that wait: there is no RSA_4096 pair. They have all reached cmkd when this returns."""
    keys = [kms.external_key() for _ in range(WAITING // PER_KEY)]
    calls = [kms.start('GetParametersForImport', keys[number % len(keys)], 'RSAES_OAEP_SHA_256', 'RSA_4096')
             for number in range(WAITING)]
    kms.call('org.freedesktop.DBus.Peer', 'Ping', '')
    return calls


def answered(calls):
    return sum(call.done for call in calls)


def test_others_are_answered_before_any_that_waits_for_a_pair():
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = bob.imported_key()
        blob = bob.Encrypt(key, b64(b'warm'))['CiphertextBlob']
        waiting = ask_for_pairs(alice)
        for call in (bob.start('DescribeKey', key), bob.start('Encrypt', key, b64(b'x')), bob.start('Decrypt', blob),
                     bob.start('GetStatus'), bob.start('CreateKey'), alice.start('ListKeys')):
            call.result()
            assert answered(waiting) == 0
        parameters = waiting[0].result()  # and those that wait are served, one after the other
        assert parameters['WrappingKeySpec'] == 'RSA_4096'
        assert answered(waiting) < WAITING


def test_who_waits_for_a_small_pair_does_not_wait_for_large_ones():
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = bob.external_key()
        waiting = ask_for_pairs(alice)
        for _ in range(2):
            bob.parameters(key)
        assert answered(waiting) < WAITING


def test_who_waits_counts_towards_the_limit_of_the_key():
    with new_machine() as machine:
        kms = machine.client()
        key = kms.external_key()
        waiting = [kms.start('GetParametersForImport', key, 'RSAES_OAEP_SHA_256', 'RSA_4096') for _ in range(16)]
        kms.call('org.freedesktop.DBus.Peer', 'Ping', '')
        kms.DescribeKey(key)  # by now the worker has seen them all
        with refused('LimitExceeded'):
            kms.GetParametersForImport(key, 'RSAES_OAEP_SHA_256', 'RSA_4096')
        assert answered(waiting) < len(waiting)


def test_users_that_wait_are_served_in_turn():
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = bob.external_key()
        waiting = ask_for_pairs(alice)
        bob.GetParametersForImport(key, 'RSAES_OAEP_SHA_256', 'RSA_4096')
        assert answered(waiting) < WAITING // 2


def test_who_waits_is_answered_when_cmkd_ends():
    with new_machine() as machine:
        waiting = ask_for_pairs(machine.client())
        machine.stop()
        refusals = set()
        for call in waiting:
            try:
                call.result()
            except DBusError as error:
                refusals.add(error.name)
        assert refusals == {'Throttled'}

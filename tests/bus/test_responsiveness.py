# SPDX-License-Identifier: Apache-2.0
"""Who waits for RSA pairs, or for signatures, keeps nobody else waiting. Nothing here depends on how long anything
takes: it is the order of the answers that counts."""
import contextlib

import pytest

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


def ask_for_keys(kms):
    """The same of those who want such a pair for a key of cmkd's own."""
    calls = [kms.start('CreateKey', KeySpec='RSA_4096') for _ in range(WAITING)]
    kms.call('org.freedesktop.DBus.Peer', 'Ping', '')
    return calls


def answered(calls):
    return sum(call.done for call in calls)


@pytest.mark.parametrize('ask', [ask_for_pairs, ask_for_keys])
def test_others_are_answered_before_any_that_waits_for_a_pair(ask):
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = bob.imported_key()
        blob = bob.Encrypt(key, b64(b'warm'))['CiphertextBlob']
        waiting = ask(alice)
        for call in (bob.start('DescribeKey', key), bob.start('Encrypt', key, b64(b'x')), bob.start('Decrypt', blob),
                     bob.start('GetStatus'), bob.start('CreateKey'), alice.start('ListKeys')):
            call.result()
            assert answered(waiting) == 0
        answer = waiting[0].result()  # and those that wait are served, one after the other
        assert 'RSA_4096' in (answer.get('WrappingKeySpec'), answer.get('KeyMetadata', {}).get('KeySpec'))
        assert answered(waiting) < WAITING


@pytest.mark.parametrize('ask', [ask_for_pairs, ask_for_keys])
def test_who_waits_for_a_small_pair_does_not_wait_for_large_ones(ask):
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = bob.external_key()
        waiting = ask(alice)
        for _ in range(2):
            bob.parameters(key)
            bob.own_key(KeySpec='RSA_2048')
        bob.parameters(key, 'SM2PKE', 'EC_SM2')
        bob.own_key(KeySpec='EC_P256')
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


@pytest.mark.parametrize('ask', [ask_for_pairs, ask_for_keys])
def test_users_that_wait_are_served_in_turn(ask):
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = bob.external_key()
        waiting = ask(alice)
        bob.GetParametersForImport(key, 'RSAES_OAEP_SHA_256', 'RSA_4096')
        assert answered(waiting) < WAITING // 2


@pytest.mark.parametrize('ask', [ask_for_pairs, ask_for_keys])
def test_who_waits_is_answered_when_cmkd_ends(ask):
    with new_machine() as machine:
        waiting = ask(machine.client())
        machine.stop()
        refusals = set()
        for call in waiting:
            try:
                call.result()
            except DBusError as error:
                refusals.add(error.name)
        assert refusals == {'Throttled'}


def test_a_key_that_was_not_made_is_not_there():
    """Who ends before the pair is ready gets no key, and none is left over."""
    with new_machine() as machine:
        kms = machine.client()
        waiting = ask_for_keys(kms)
        machine.stop()
        made = []
        for call in waiting:
            with contextlib.suppress(DBusError):
                made.append(call.result()['KeyMetadata'])
        assert len(made) < WAITING
        machine.start()
        assert kms.ListKeys()['Keys'] == made


def test_signatures_do_not_hold_up_others():
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        signing, key = alice.own_key(KeySpec='RSA_4096'), bob.own_key()
        alice.Sign(signing, b64(b'warm'), 'RSA_PSS_SHA_512')
        blob = bob.Encrypt(key, b64(b'warm'))['CiphertextBlob']
        calls = [alice.start('Sign', signing, b64(b'x'), 'RSA_PSS_SHA_512') for _ in range(200)]
        alice.call('org.freedesktop.DBus.Peer', 'Ping', '')
        for call in (bob.start('Encrypt', key, b64(b'x')), bob.start('Decrypt', blob), bob.start('GetStatus'),
                     bob.start('DescribeKey', key), bob.start('CreateKey')):
            call.result()
            assert answered(calls) < len(calls)
        for call in calls:
            call.result()

# SPDX-License-Identifier: Apache-2.0
"""RSA keys that the TPM makes, and credentials that it opens, take it seconds, and there is one TPM for everybody: a user
has one such call under way, and so many in an hour. Who waits for too long is told so in time. Nothing here depends on how
long anything takes: a TPM that hangs goes on when the test says so, and what counts is the order of the answers."""
import os

from harness import ALICE, BOB, new_machine
from client import DBusError, b64, refused

NO_POOL = {'WrappingKeys': {'ReadyRsa2048': 0}}
LONG = {'KeySpec': 'RSA_2048', 'ProtectionLevel': 'TPM'}
NOT_ALONE = 'another key of yours is being made by the TPM'
# For no TPM; that takes an endorsement key to find out.
CREDENTIAL = b64(b'\0\x40' + bytes(64) + b'\1\0' + b'\x11' * 256)


def limited(number, **limits):
    return new_machine(config={**NO_POOL, 'Limits': {'TpmKeysPerHour': number, **limits}})


def attested(kms, key, spec='RSA_2048', **options):
    return kms.GetParametersForImport(key, 'RSAES_OAEP_SHA_256', spec, Attest=True, Nonce=b64(os.urandom(32)), **options)


def start_and_hang(machine, kms):
    """A call that has begun, and goes on when there is no fault any more."""
    machine.tpm_fault('Create 1-1 hang')
    call = kms.start('CreateKey', **LONG)
    kms.call('org.freedesktop.DBus.Peer', 'Ping', '')
    return call


def assert_throttled(machine, call):
    with machine.tpm_commands() as commands, refused('Throttled') as refusal:
        call()
    assert 'try again in ' in refusal.message and 'TpmKeysPerHour=' in refusal.message
    assert not {'Create', 'CreatePrimary'} & set(commands)


def test_one_such_call_of_a_user_at_a_time():
    with new_machine(config=NO_POOL) as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = alice.external_key()
        bob.external_key()
        hung = start_and_hang(machine, alice)
        of_bob, short = bob.start('CreateKey', **LONG), alice.start('CreateKey')
        for call in (lambda: alice.CreateKey(**LONG), lambda: attested(alice, key),
                     lambda: machine.new_client(ALICE).CreateKey(**LONG)):
            with refused('Throttled') as refusal:
                call()
            assert NOT_ALONE in refusal.message
        assert not (hung.done or of_bob.done or short.done)
        machine.tpm_fault('')
        for call in (hung, of_bob, short):
            call.result()
        attested(alice, key)  # and when it is done, the next


def test_who_waits_for_too_long_is_told_while_the_other_call_goes_on():
    with new_machine(config=NO_POOL) as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        mine, of_bob = alice.own_key(), bob.own_key()
        hung = start_and_hang(machine, alice)
        waiting = [bob.start('CreateKey'), bob.start('CreateKey', **LONG), bob.start('DisableKey', of_bob),
                   alice.start('DisableKey', mine)]
        for call in waiting:
            with refused('Throttled') as refusal:
                call.result()
            assert 'too busy' in refusal.message
        assert not hung.done  # it has begun: it is not given up, however long it takes
        again = bob.start('CreateKey', **LONG)  # the one that was given up is under way no more
        machine.tpm_fault('')
        made = hung.result()['KeyMetadata']['KeyId']
        made_again = again.result()['KeyMetadata']['KeyId']
        # Nothing was done of what was refused.
        assert {key['KeyId'] for key in alice.ListKeys()['Keys']} == {mine, made}
        assert {key['KeyId'] for key in bob.ListKeys()['Keys']} == {of_bob, made_again}
        assert alice.state(mine) == bob.state(of_bob) == 'Enabled'


def test_a_user_has_so_many_in_an_hour():
    with limited(1, ImportSetsPerKey=1) as machine:
        for uid in (ALICE, BOB, 0):
            kms = machine.client(uid)
            key = kms.external_key()
            parameters = attested(kms, key)
            for _ in range(8):  # the quota of import sets is given back, but this is not
                with refused('IncorrectKeyMaterial'):
                    kms.ImportKeyMaterial(key, b64(b'\1' * 256), parameters['ImportToken'])
            assert_throttled(machine, lambda: attested(kms, key))
            assert_throttled(machine, lambda: kms.CreateKey(**LONG))
            assert_throttled(machine, lambda: machine.new_client(uid).CreateKey(**LONG))


def test_what_takes_no_time_is_not_counted():
    with limited(1) as machine:
        kms = machine.client()
        for _ in range(2):
            for spec in ('AES_256', 'HMAC_512', 'EC_P256'):
                kms.own_key(KeySpec=spec, ProtectionLevel='TPM')
            kms.external_key(**LONG)
            kms.own_key(KeySpec='RSA_2048')
            kms.parameters(kms.external_key())
            with refused('UnsupportedOperation'):
                kms.CreateKey(**LONG, KeyUsage='GENERATE_VERIFY_MAC')
            with refused('UnsupportedOperation'):
                attested(kms, kms.external_key(), 'RSA_4096')
            with refused('KeyNotFound'):
                attested(machine.client(BOB), kms.external_key())
        kms.CreateKey(**LONG)
        assert_throttled(machine, lambda: kms.CreateKey(**LONG))


def test_a_credential_counts_as_a_key():
    with limited(2) as machine:
        kms = machine.client()
        key = kms.external_key()
        with refused('InvalidParameter'):
            attested(kms, key, Credential=CREDENTIAL)
        assert_throttled(machine, lambda: attested(kms, key))


def test_what_fails_in_the_tpm_is_counted():
    with limited(1) as machine:
        kms = machine.client()
        machine.tpm_fault('Create 1-1 0x101')
        try:
            kms.CreateKey(**LONG)
            raise AssertionError('the TPM did not fail')
        except DBusError as error:
            assert error.name.startswith('Tpm')
        assert_throttled(machine, lambda: kms.CreateKey(**LONG))


def test_zero_is_no_limit():
    with limited(0) as machine:
        kms = machine.client()
        key = kms.external_key()
        for _ in range(2):
            with refused('InvalidParameter'):
                attested(kms, key, Credential=CREDENTIAL)
        for _ in range(3):
            attested(kms, key)

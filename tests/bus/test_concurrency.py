# SPDX-License-Identifier: Apache-2.0
"""Many calls at once, calls whose caller has gone, two daemons, and the end of one in the middle of work."""
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import ALICE, BOB, LOADED_SESSION, SAVED_SESSION, TRANSIENT, new_machine
from client import DBusError, b64, iterate_until, refused, unb64, wrap

IN_FLIGHT = 200  # calls of one user; cmkd refuses more than 256


def results(calls):
    """(answers, names of the errors) of calls under way."""
    answers, errors = [], []
    for call in calls:
        try:
            answers.append(call.result())
        except DBusError as error:
            errors.append(error.name)
    return answers, errors


def wrap_all(pairs):
    """[(public key, material)] to ciphertexts; openssl runs two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda pair: wrap('RSAES_OAEP_SHA_256', *pair), pairs))


def test_cc_01_parallel_first_imports_of_different_materials(machine, kms):
    key = kms.external_key()
    sets = [kms.parameters(key) for _ in range(16)]  # a pair is used up by eight failures, so one will not do
    materials = [os.urandom(32) for _ in range(100)]
    chosen = [sets[number % len(sets)] for number in range(len(materials))]
    wrapped = wrap_all([(parameters['PublicKey'], material) for parameters, material in zip(chosen, materials)])
    users = [machine.new_client() for _ in range(10)]
    with kms.signals() as signals:
        answers, errors = results([
            users[number % len(users)].start('ImportKeyMaterial', key, ciphertext, parameters['ImportToken'])
            for number, (ciphertext, parameters) in enumerate(zip(wrapped, chosen))])
        assert len(answers) == 1
        assert errors == ['MaterialMismatch'] * 99
        assert signals.so_far() == [('KeyChanged', key, 'Enabled', 'MaterialImported')]
    blob = kms.Encrypt(key, b64(b'the winner'))['CiphertextBlob']
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'the winner'
    kms.DeleteKeyMaterial(key)
    winners = 0
    for parameters in sets:  # the winner's pair is left, and what it brings back is the winner's material
        for ciphertext in (text for text, of in zip(wrapped, chosen) if of is parameters):
            try:
                kms.ImportKeyMaterial(key, ciphertext, parameters['ImportToken'])
                winners += 1
            except DBusError as error:
                assert error.name in ('MaterialMismatch', 'InvalidImportToken')
    assert winners == 1
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'the winner'


@pytest.mark.parametrize('cache_seconds', [0, 300])
def test_cc_03_delete_during_encrypt(cache_seconds):
    with new_machine(config={'Cache': {'MaterialSeconds': cache_seconds}}) as machine:
        kms, other = machine.client(), machine.new_client()
        key, material = kms.external_key(), os.urandom(32)
        parameters = kms.parameters(key)
        blobs = []
        for _ in range(5):
            kms.import_with(parameters, material)
            before = [kms.start('Encrypt', key, b64(b'whole')) for _ in range(50)]
            deletion = other.start('DeleteKeyMaterial', key)
            after = [kms.start('Encrypt', key, b64(b'whole')) for _ in range(50)]
            assert deletion.result()['KeyState'] == 'PendingImport'
            with refused('KeyPendingImport'):
                kms.Encrypt(key, b64(b'late'))
            answers, errors = results(before + after)
            assert set(errors) <= {'KeyPendingImport'}
            blobs += [answer['CiphertextBlob'] for answer in answers]
        kms.import_with(parameters, material)
        assert blobs
        assert {unb64(kms.Decrypt(blob)['Plaintext']) for blob in blobs} == {b'whole'}


def test_cc_04_pairs_of_many_clients_are_never_mixed(machine, kms):
    shared = kms.external_key()
    users = [machine.new_client() for _ in range(50)]
    keys = [shared if number < 10 else user.external_key() for number, user in enumerate(users)]
    calls = [user.start('GetParametersForImport', key, 'RSAES_OAEP_SHA_256', 'RSA_2048')
             for user, key in zip(users, keys)]
    sets = [call.result() for call in calls]
    assert [parameters['KeyId'] for parameters in sets] == keys
    assert len({parameters['PublicKey'] for parameters in sets}) == len(sets)
    materials = [b'S' * 32 if key == shared else os.urandom(32) for key in keys]
    wrapped = wrap_all([(parameters['PublicKey'], material) for parameters, material in zip(sets, materials)])
    imports = [user.start('ImportKeyMaterial', key, ciphertext, parameters['ImportToken'])
               for user, key, ciphertext, parameters in zip(users, keys, wrapped, sets)]
    assert [call.result()['KeyState'] for call in imports] == ['Enabled'] * len(users)


def test_cc_05_second_daemon_on_the_same_state():
    with new_machine() as machine, new_machine(start=False) as other:
        kms = machine.client()
        key = kms.own_key()
        status, output = machine.run_daemon(bus_address=other.address)
        assert status == 1
        assert str(machine.state) in output and 'use' in output
        kms.Encrypt(key, b64(b'x'))
        machine.restart()
        kms.Encrypt(key, b64(b'x'))


def test_cc_06_sigterm_with_64_operations_in_flight():
    with new_machine(config={'Cache': {'MaterialSeconds': 0}}) as machine:
        kms = machine.client()
        keys = [kms.external_key() for _ in range(8)]
        sets = [kms.parameters(key) for key in keys]
        wrapped = wrap_all([(parameters['PublicKey'], os.urandom(32)) for parameters in sets])
        used = kms.own_key()
        blob = kms.Encrypt(used, b64(b'kept'))['CiphertextBlob']
        imports = [kms.start('ImportKeyMaterial', key, ciphertext, parameters['ImportToken'])
                   for key, ciphertext, parameters in zip(keys, wrapped, sets)]
        others = [call for _ in range(14) for call in (
            kms.start('Encrypt', used, b64(b'x')), kms.start('Decrypt', blob), kms.start('CreateKey'),
            kms.start('GenerateDataKey', used))]
        kms.call('org.freedesktop.DBus.Peer', 'Ping', '')  # cmkd has taken all that was sent before this
        machine.stop()
        answers, errors = results(imports + others)
        assert not [name for name in errors if name.startswith('org.freedesktop')], 'calls were left without an answer'
        machine.start()
        for key, call in zip(keys, imports):
            assert kms.state(key) == ('Enabled' if call.answer else 'PendingImport')
        known = {entry['KeyId'] for entry in kms.ListKeys(Limit=1000)['Keys']}
        assert {answer['KeyMetadata']['KeyId'] for answer in answers if 'KeyMetadata' in answer} <= known
        assert len(answers) + len(errors) == 64


def test_cc_07_dropped_calls_leave_nothing_in_the_tpm():
    with new_machine(config={'Cache': {'MaterialSeconds': 0}}) as machine:
        kms = machine.client()
        key, material = kms.external_key(), os.urandom(32)
        parameters = kms.parameters(key)
        wrapped = wrap('RSAES_OAEP_SHA_256', parameters['PublicKey'], material)
        kms.import_with(parameters, material)
        blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
        for number in range(10_000 // IN_FLIGHT):
            gone = machine.new_client()
            for _ in range(IN_FLIGHT // 4):
                gone.start('Encrypt', key, b64(b'x'))
                gone.start('Decrypt', blob)
                gone.start('CreateKey')
                gone.start('ImportKeyMaterial', key, wrapped, parameters['ImportToken'])
            gone.connection.flush_sync(None)
            gone.close()
            if number % 10 == 0:  # the others meet a daemon that is busy
                iterate_until(lambda: served(kms, key), 'an end of the calls that were dropped', seconds=300)
        machine.stop()  # when everything that was taken has been done
        for kind in (TRANSIENT, LOADED_SESSION, SAVED_SESSION):
            assert machine.tpm_handles(kind) == ()
        assert machine.log.read_text().count(': done [request') > 500


def served(kms, key):
    """Is there room for another call of this user? Its turn comes when what was sent before it has been done."""
    try:
        kms.Encrypt(key, b64(b'x'))
        return True
    except DBusError as error:
        assert error.name == 'Throttled'
        return False


def test_a_busy_user_does_not_keep_others_out(machine):
    alice, bob = machine.client(ALICE), machine.client(BOB)
    key = bob.own_key()
    calls = [alice.start('CreateKey') for _ in range(IN_FLIGHT)]
    bob.start('DisableKey', key).result()  # takes its turn at the worker and the disk
    assert not all(call.done for call in calls)
    answers, errors = results(calls)
    assert (len(answers), errors) == (IN_FLIGHT, [])

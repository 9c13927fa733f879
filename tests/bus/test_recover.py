# SPDX-License-Identifier: Apache-2.0
"""A TPM that was lost, and an older state: what can still be seen, what an administrator's Recover does, and what the
same material brings back."""
import os
import shutil

import pytest
from gi.repository import GLib

from client import METHODS, UNKNOWN_KEY, DBusError, b64, refused, unb64
from harness import ALICE, BOB, new_machine, wait_for_end
from openssl_keys import key_of
from state import rows, store_id, tpm_tool
from test_storage import fill, small_disk
from wrapping import import_key, send, wrapped

NO_POOL = {'WrappingKeys': {'ReadyRsa2048': 0}}
ALGORITHM = 'RSAES_OAEP_SHA_256'
# These, and Recover, are answered whatever has become of TPM and state.
READING = {'DescribeKey', 'ListKeys', 'GetStatus'}


def lose_tpm(machine):
    machine.stop()
    machine.replace_tpm()
    machine.start()


def clear_tpm(machine):
    machine.stop()
    tpm_tool(machine, 'clear', '-c', 'p')
    machine.restart_tpm()
    machine.start()


def lose_tpm_under_way(machine):
    machine.replace_tpm()


def clear_tpm_under_way(machine):
    machine.restart_tpm()  # cmkd, which has nothing to do, does not hold the connection while this is done
    tpm_tool(machine, 'clear', '-c', 'p')
    machine.restart_tpm()


def keep_tpm(machine, name):
    """A copy of what the TPM keeps."""
    copy = machine.directory / name
    shutil.copytree(machine.tpm_directory, copy, ignore=shutil.ignore_patterns('sock*', '.lock'))
    return copy


def recover(machine, cause='TpmChanged'):
    """The ids of the keys to import again, and of those that are lost."""
    answer = machine.client(0).Recover(Accept=cause)
    assert set(answer) == {'PendingImport', 'Lost', 'RequestId'}
    return answer['PendingImport'], answer['Lost']


def encrypt(kms, key, plaintext=b'from before'):
    return kms.Encrypt(key, b64(plaintext))['CiphertextBlob']


def decrypt(kms, blob):
    return unb64(kms.Decrypt(blob)['Plaintext'])


def status(machine, *names):
    answer = machine.client(0).GetStatus()
    return tuple(answer[name] for name in names)


def arguments_of(kms, method, key):
    """Such that nothing is wrong with them but, perhaps, the state."""
    alias, message, token = 'alias/other', b64(b'x'), b64(bytes(200))
    return {
        'CreateKey': (), 'ListAliases': (), 'ListKeys': (), 'GetStatus': (),
        'UpdateKeyDescription': (key, 'other'), 'CreateAlias': (alias, key), 'UpdateAlias': (alias, key),
        'DeleteAlias': (alias,), 'TagResource': (key, {'a': 'b'}), 'UntagResource': (key, ['a']),
        'GetParametersForImport': (key, ALGORITHM, 'RSA_2048'), 'ImportKeyMaterial': (key, b64(bytes(256)), token),
        'Encrypt': (key, message), 'Sign': (key, message, 'ECDSA_SHA_256'), 'GenerateMac': (key, message, 'HMAC_SHA_256'),
        'Verify': (key, message, message, 'ECDSA_SHA_256'), 'VerifyMac': (key, message, message, 'HMAC_SHA_256'),
        'GrantKey': (key, ['Encrypt'], {'User': GLib.Variant('u', BOB)}), 'RevokeGrant': (key, UNKNOWN_KEY),
        'AsymmetricEncrypt': (key, message, ALGORITHM), 'AsymmetricDecrypt': (key, message, ALGORITHM),
    }.get(method, (key,))


def assert_only_reading(machine, error, key, blob):
    """Every method but READING is refused with @error, which says what to do; Recover is of no user's."""
    kms = machine.client(ALICE)
    for method in set(METHODS) - READING - {'Recover'}:
        arguments = {'Decrypt': (blob,), 'ReEncrypt': (blob, key)}.get(method) or arguments_of(kms, method, key)
        with refused(error) as refusal:
            getattr(kms, method)(*arguments)
        assert 'cmkctl recover' in refusal.message, method
    with refused('AccessDenied'):
        kms.Recover(Accept=error)


# Another TPM

def test_metadata_stays_readable_and_nothing_else_is_done():
    with new_machine(config=NO_POOL) as machine:
        kms, bob, root = (machine.client(uid) for uid in (ALICE, BOB, 0))
        key = kms.imported_key(Alias='alias/seen', Tags={'team': 'storage'}, Description='of before')
        others = [kms.own_key(), kms.external_key(), kms.own_key(KeySpec='EC_P256')]
        kms.DisableKey(others[0])
        kms.ScheduleKeyDeletion(others[2])
        bobs = bob.own_key()
        blob = encrypt(kms, key)
        before = {user: user.ListKeys()['Keys'] for user in (kms, bob, root)}
        lose_tpm(machine)
        stored = rows(machine, 'SELECT * FROM keys')

        assert status(machine, 'StateStatus', 'TpmState', 'AnchorState') == ('tpm-changed', 'changed', 'locked')
        assert 'cmkctl recover' in status(machine, 'TpmAdvice')[0]
        assert_only_reading(machine, 'TpmChanged', key, blob)
        for user, keys in before.items():
            assert user.ListKeys()['Keys'] == keys
        assert kms.describe('alias/seen') == kms.describe(key) == next(
            entry for entry in before[kms] if entry['KeyId'] == key)
        with refused('KeyNotFound'):
            kms.DescribeKey(bobs)
        assert [entry['KeyId'] for entry in kms.ListKeys(KeyState='Disabled')['Keys']] == [others[0]]
        first = kms.ListKeys(Limit=3)
        assert kms.ListKeys(Marker=first['NextMarker'])['Keys'] == before[kms][3:]
        for user, marker in ((bob, first['NextMarker']), (kms, b64(bytes(40)))):
            with refused('InvalidParameter'):
                user.ListKeys(Marker=marker)
        assert rows(machine, 'SELECT * FROM keys') == stored


@pytest.mark.parametrize('lose', [lose_tpm, clear_tpm, lose_tpm_under_way, clear_tpm_under_way])
def test_the_same_material_opens_the_old_ciphertexts(lose):
    with new_machine(config=NO_POOL) as machine:
        kms = machine.client()
        material = os.urandom(32)
        key = kms.imported_key(material, Alias='alias/kept', Tags={'team': 'storage'}, Description='kept')
        other, own, unused = kms.imported_key(), kms.own_key(), kms.external_key()
        parameters = kms.parameters(key)
        blob, other_blob, own_blob = (encrypt(kms, name) for name in (key, other, own))
        before, store = kms.describe(key), store_id(machine)
        lose(machine)
        with kms.signals() as signals:
            assert recover(machine) == ([key, other], [own])
            assert [signal for signal in signals.so_far() if signal[0] == 'KeyChanged'] == [
                ('KeyChanged', key, 'PendingImport', 'MaterialDeleted'),
                ('KeyChanged', other, 'PendingImport', 'MaterialDeleted'), ('KeyChanged', own, 'Enabled', 'Updated')]
        assert status(machine, 'StateStatus', 'TpmState', 'AnchorState') == ('ok', 'ok', 'ok')
        assert kms.describe('alias/kept') == {**before, 'KeyState': 'PendingImport'}
        assert store_id(machine) == store
        for name in (key, other, unused):
            with refused('KeyPendingImport'):
                kms.Encrypt(name, b64(b'x'))
        with refused('KeyPendingImport'):
            kms.Decrypt(blob)
        with refused('InvalidImportToken'):
            kms.import_with(parameters, material)

        kms.import_material(key, material)
        assert decrypt(kms, blob) == b'from before'
        kms.import_material(other, os.urandom(32))  # it cannot be told any more that this is another
        with refused('InvalidCiphertext'):
            kms.Decrypt(other_blob)
        with refused('MaterialMismatch'):  # the first import binds again
            kms.import_material(key, os.urandom(32))
        kms.import_material(unused, os.urandom(32))
        new_key = kms.own_key()
        new_blob = encrypt(kms, new_key, b'from after')
        machine.restart()
        assert decrypt(kms, blob) == b'from before' and decrypt(kms, new_blob) == b'from after'
        with refused('TpmChanged'):
            kms.Decrypt(own_blob)


def test_each_state_before():
    with new_machine(config=NO_POOL) as machine:
        kms = machine.client()
        enabled, disabled, expiring = (kms.imported_key(b'M' * 32, expires=expires)
                                       for expires in (0, 0, machine.now() + 10**6))
        leaving, disabled_leaving, empty_leaving = kms.imported_key(), kms.imported_key(), kms.external_key()
        emptied = kms.imported_key(b'E' * 32)
        for key in (disabled, disabled_leaving):
            kms.DisableKey(key)
        for key in (leaving, disabled_leaving, empty_leaving):
            kms.ScheduleKeyDeletion(key)
        kms.DeleteKeyMaterial(emptied)
        before = {entry['KeyId']: entry for entry in kms.ListKeys()['Keys']}
        lose_tpm(machine)
        assert recover(machine) == ([enabled, disabled, expiring, leaving, disabled_leaving], [])
        for key in (enabled, disabled, expiring, emptied):
            assert kms.describe(key) == {**before[key], 'KeyState': 'PendingImport', 'MaterialExpireTime': 0}
        for key in (leaving, disabled_leaving, empty_leaving):
            assert kms.describe(key) == before[key]
            assert kms.CancelKeyDeletion(key)['KeyState'] == 'PendingImport'
        kms.import_material(disabled, b'M' * 32)
        assert kms.state(disabled) == 'Enabled'
        kms.import_material(emptied, b'F' * 32)  # nothing is left that it was bound to


def test_private_keys():
    with new_machine(config=NO_POOL) as machine:
        kms = machine.client()
        key = import_key(kms, key_of('EC_P256'))
        public_key = kms.GetPublicKey(key)['PublicKey']
        message = b64(b'message')
        signature = kms.Sign(key, message, 'ECDSA_SHA_256')['Signature']
        lose_tpm(machine)
        assert recover(machine) == ([key], [])
        for call in (lambda: kms.GetPublicKey(key), lambda: kms.Verify(key, message, signature, 'ECDSA_SHA_256')):
            with refused('KeyPendingImport'):
                call()
        parameters = kms.parameters(key, 'RSA_AES_KEY_WRAP_SHA_256')
        send(kms, parameters, wrapped(parameters, 'key wrap', key_of('EC_P256')))
        assert kms.GetPublicKey(key)['PublicKey'] == public_key
        assert kms.Verify(key, message, signature, 'ECDSA_SHA_256')['SignatureValid'] is True


def test_lost_keys():
    """Their material was made here: nothing brings it back, and everything that needs it says so."""
    with new_machine(config=NO_POOL) as machine:
        kms = machine.client()
        usages = {'Encrypt': {}, 'Sign': {'KeySpec': 'EC_P256'}, 'GenerateMac': {'KeySpec': 'HMAC_256'}}
        keys = {method: kms.own_key(Alias=f'alias/{method}', **options) for method, options in usages.items()}
        leaving = kms.own_key()
        kms.DisableKey(leaving)
        kms.ScheduleKeyDeletion(leaving)
        blob = encrypt(kms, keys['Encrypt'])
        before = {key: kms.describe(key) for key in (*keys.values(), leaving)}
        lose_tpm(machine)
        assert recover(machine) == ([], [*keys.values(), leaving])
        for key, metadata in before.items():
            assert kms.describe(key) == metadata
        calls = [(method, key) for method, key in keys.items()]
        calls += [('Verify', keys['Sign']), ('GetPublicKey', keys['Sign']), ('VerifyMac', keys['GenerateMac'])]
        calls += [(method, keys['Encrypt']) for method in ('GenerateDataKey', 'EnableKey', 'DisableKey')]
        for method, key in calls:
            with refused('TpmChanged') as refusal:
                getattr(kms, method)(*arguments_of(kms, method, key))
            assert 'ScheduleKeyDeletion' in refusal.message
        with refused('TpmChanged'):
            kms.Decrypt(blob)
        with refused('NotExternalKey'):
            kms.parameters(keys['Encrypt'])
        with refused('KeyPendingDeletion'):
            kms.EnableKey(leaving)
        assert kms.CancelKeyDeletion(leaving)['KeyState'] == 'Disabled'
        with refused('TpmChanged'):
            kms.EnableKey(leaving)

        kms.TagResource(leaving, {'lost': 'yes'})
        kms.UpdateKeyDescription(leaving, 'lost')
        kms.ScheduleKeyDeletion('alias/Encrypt', PendingWindowInDays=7)
        assert kms.state(keys['Encrypt']) == 'PendingDeletion'


def test_who_may_and_what_must_be_said():
    with new_machine(config=NO_POOL) as machine:
        kms, root = machine.client(), machine.client(0)
        kms.own_key()
        for cause in ('TpmChanged', 'RollbackDetected'):
            with refused('StateNotAllowed'):  # nothing is the matter
                root.Recover(Accept=cause)
        blob = encrypt(kms, kms.imported_key())
        assert decrypt(kms, blob) == b'from before'
        lose_tpm(machine)
        with refused('AccessDenied') as refusal:
            kms.Recover(Accept='TpmChanged')
        assert 'root' in refusal.message
        for user in (kms, root):  # the form comes first
            for options in ({}, {'Accept': ''}, {'Accept': 'tpm-changed'}, {'Accept': 'TpmUnavailable'}):
                with refused('InvalidParameter') as refusal:
                    user.Recover(**options)
                assert 'Accept' in refusal.message and 'TpmChanged' in refusal.message
        with refused('StateNotAllowed'):
            root.Recover(Accept='RollbackDetected')
        assert status(machine, 'StateStatus') == ('tpm-changed',)
        assert recover(machine)[1] != []
        with refused('StateNotAllowed'):
            root.Recover(Accept='TpmChanged')
        machine.restart()
        with refused('StateNotAllowed'):
            root.Recover(Accept='TpmChanged')


def test_who_runs_it_may_too():
    """As far as the bus is not the system's."""
    with new_machine(config=NO_POOL, uid=ALICE) as machine:
        key = machine.client(BOB).own_key()
        lose_tpm(machine)
        with refused('AccessDenied'):
            machine.client(BOB).Recover(Accept='TpmChanged')
        assert machine.client(ALICE).Recover(Accept='TpmChanged')['Lost'] == [key]


def test_the_journal_has_it():
    with new_machine(config=NO_POOL) as machine:
        kms = machine.client()
        lost, kept = kms.own_key(Description='what it is for is no affair of the journal'), kms.imported_key()
        lose_tpm(machine)
        with refused('AccessDenied'):
            kms.Recover(Accept='TpmChanged')
        answer = machine.client(0).Recover(Accept='TpmChanged')
        log = machine.log.read_text()
        for line in (f'Recover by uid {ALICE}: AccessDenied',
                     'uid 0 accepted TpmChanged: 1 keys wait for another import of their material, 1 keys are lost',
                     f'key {lost} is lost', f'Recover by uid 0: done [request {answer["RequestId"]}]'):
            assert line in log, line
        assert f'key {kept} is lost' not in log and 'no affair' not in log


def test_the_old_tpm_comes_back():
    with new_machine(config=NO_POOL) as machine:
        kms = machine.client()
        material = os.urandom(32)
        key = kms.imported_key(material)
        blob = encrypt(kms, key)
        machine.stop()
        old = keep_tpm(machine, 'old-tpm')
        machine.replace_tpm()
        machine.start()
        with refused('TpmChanged'):
            kms.Decrypt(blob)

        def put_back(tpm):
            machine.stop()
            machine.stop_tpm()
            shutil.rmtree(machine.tpm_directory)
            shutil.copytree(tpm, machine.tpm_directory)
            machine.start_tpm()
            machine.start()

        put_back(old)  # before anything was accepted: as if nothing had been
        assert decrypt(kms, blob) == b'from before'
        lose_tpm(machine)
        recover(machine)
        kms.import_material(key, material)
        machine.stop()
        new = keep_tpm(machine, 'new-tpm')
        machine.start()
        put_back(old)  # it is the foreign one now
        with refused('TpmChanged'):
            kms.Decrypt(blob)
        put_back(new)
        assert decrypt(kms, blob) == b'from before'
        put_back(old)  # and can be accepted like any other
        assert recover(machine) == ([key], [])
        kms.import_material(key, material)
        machine.restart()
        assert decrypt(kms, blob) == b'from before'


@pytest.mark.parametrize('command', ['StartAuthSession', 'Create'])
def test_a_tpm_that_fails_meanwhile(command):
    """Nothing is done then, and it can be tried again."""
    with new_machine(config=NO_POOL) as machine:
        kms = machine.client()
        key = kms.imported_key(b'M' * 32)
        blob = encrypt(kms, key)
        lose_tpm(machine)
        before = rows(machine, 'SELECT * FROM keys')
        machine.tpm_fault(f'{command} 1-1000 0x101')
        with refused('TpmUnavailable'):
            machine.client(0).Recover(Accept='TpmChanged')
        assert rows(machine, 'SELECT * FROM keys') == before
        assert kms.state(key) == 'Enabled'
        machine.tpm_fault('')
        assert recover(machine) == ([key], [])
        kms.import_material(key, b'M' * 32)
        assert decrypt(kms, blob) == b'from before'


def test_a_full_disk():
    with new_machine(config=NO_POOL, start=False) as machine, small_disk(machine.state):
        machine.start()
        kms = machine.client()
        key = kms.imported_key(b'M' * 32)
        blob = encrypt(kms, key)
        lose_tpm(machine)
        filler = machine.state / 'filler'
        fill(filler)
        for _ in range(2):
            with refused('StorageFull'):
                machine.client(0).Recover(Accept='TpmChanged')
            assert status(machine, 'StateStatus') == ('tpm-changed',)
            assert kms.state(key) == 'Enabled'
            with refused('TpmChanged'):
                kms.EnableKey(key)
        filler.unlink()
        assert recover(machine) == ([key], [])
        kms.import_material(key, b'M' * 32)
        assert decrypt(kms, blob) == b'from before'
        machine.stop()


@pytest.mark.parametrize('moment', ['Create 1-1 kill-before', 'Create 2-2 kill-after', 'NV_DefineSpace 1-1 kill-before',
                                    'NV_DefineSpace 1-1 kill-after', 'NV_Write 1-1 kill-after'])
def test_a_crash_leaves_all_or_nothing(moment):
    with new_machine(config=NO_POOL) as machine:
        kms, root = machine.client(), machine.client(0)
        key, own = kms.imported_key(b'M' * 32), kms.own_key()
        blob = encrypt(kms, key)
        lose_tpm(machine)
        machine.tpm_fault(moment)
        call = root.start('Recover', Accept='TpmChanged')
        wait_for_end(machine.daemon, 'cmkd')
        machine.daemon = None
        with pytest.raises(DBusError):
            call.result()
        machine.tpm_fault('')
        machine.restart_tpm()
        machine.start()
        if status(machine, 'StateStatus') == ('tpm-changed',):
            assert kms.state(key) == 'Enabled'
            assert recover(machine) == ([key], [own])
        with refused('StateNotAllowed'):
            root.Recover(Accept='TpmChanged')
        assert status(machine, 'StateStatus', 'AnchorState') == ('ok', 'ok')
        kms.import_material(key, b'M' * 32)
        assert decrypt(kms, blob) == b'from before'
        with refused('TpmChanged'):
            kms.Encrypt(own, b64(b'x'))


def test_many_keys():
    """More than are read at a time."""
    with new_machine(config={**NO_POOL, 'Limits': {'KeysPerUser': 3000}}) as machine:
        kms = machine.client()
        keys = []
        for _ in range(11):
            calls = [kms.start('CreateKey') for _ in range(100)]
            keys += [call.result()['KeyMetadata']['KeyId'] for call in calls]
        lose_tpm(machine)
        pending, lost = recover(machine)
        assert pending == [] and sorted(lost) == sorted(keys)


# An older state

@pytest.mark.parametrize('readable', [True, False])
def test_an_older_state_is_accepted(readable):
    """If nothing was erased since, its material can still be opened."""
    with new_machine(config=NO_POOL) as machine:
        kms = machine.client()
        key, own, erased = kms.imported_key(b'M' * 32), kms.own_key(), kms.imported_key(b'E' * 32)
        blob, own_blob = encrypt(kms, key), encrypt(kms, own)
        parameters = kms.parameters(key)
        kms.UpdateKeyDescription(key, 'old')
        machine.stop()
        old = machine.directory / 'old-state'
        shutil.copytree(machine.state, old)
        machine.start()
        kms.UpdateKeyDescription(key, 'new')
        if not readable:
            kms.DeleteKeyMaterial(erased)
        machine.stop()
        shutil.rmtree(machine.state)
        shutil.copytree(old, machine.state)
        machine.start()

        assert status(machine, 'StateStatus', 'TpmState', 'AnchorState') == ('rolled-back', 'ok', 'rolled-back')
        assert kms.describe(key)['Description'] == 'old' and len(kms.ListKeys()['Keys']) == 3
        assert_only_reading(machine, 'RollbackDetected', key, blob)
        with refused('StateNotAllowed'):
            machine.client(0).Recover(Accept='TpmChanged')
        assert recover(machine, 'RollbackDetected') == (([], []) if readable else ([key, erased], [own]))
        assert status(machine, 'StateStatus', 'AnchorState') == ('ok', 'ok')
        with refused('InvalidImportToken'):
            kms.import_with(parameters, b'M' * 32)
        if not readable:
            with refused('MaterialMismatch'):  # that it is bound is known still
                kms.import_material(key, b'N' * 32)
            kms.import_material(key, b'M' * 32)
            with refused('TpmChanged'):
                kms.Decrypt(own_blob)
        for _ in range(2):
            assert decrypt(kms, blob) == b'from before'
            if readable:
                assert decrypt(kms, own_blob) == b'from before'
            with refused('StateNotAllowed'):
                machine.client(0).Recover(Accept='RollbackDetected')
            machine.restart()

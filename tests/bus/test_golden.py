# SPDX-License-Identifier: Apache-2.0
"""States that this and earlier versions of cmkd left behind, with the TPMs that they belong to: cmkd opens them, and
everything in them is as it was. tests/golden/README.md tells of them; tests/crash kills cmkd while it converts one."""
import contextlib
import os

import pytest

from client import b64, refused, unb64
from golden import DAY, FORMATS, OWNERS, Golden, golden_machine, install, load, make_proofs, unpack
from harness import new_machine
from openssl_keys import MATERIAL_BYTES, SIGNING, key_of
from state import SLOTS_PER_PAGE, erasure_keys, reveal, row_of_key, rows
from test_storage import assert_nowhere

FORMAT = 5
ENVELOPES = 'SELECT id, envelope FROM keys WHERE envelope NOT NULL UNION ALL SELECT id, envelope FROM import_sets'


@pytest.fixture(params=FORMATS)
def golden(request):
    with golden_machine(request.param) as golden:
        yield golden


def test_there_are_those_of_all_since_3():
    assert FORMATS == list(range(3, FORMAT + 1))


def test_up_01_all_is_as_it_was(golden):
    """And stays so, with what is done then, when cmkd and the machine start again."""
    golden.check()
    assert rows(golden.machine, 'PRAGMA user_version')[0][0] == FORMAT
    status = golden.machine.client(0).GetStatus()
    assert (status['AnchorState'], status['TpmState'], status['StateStatus']) == ('ok', 'ok', 'ok')
    golden.machine.restart()
    golden.check()
    golden.machine.reboot()
    golden.check(uses=4)


def test_grants_hold(golden):
    """For whom they were made, and for nothing else; and one that is taken away is gone."""
    granted = [(key, grant) for key in golden.keys for grant in key.grants if grant.get('User') in OWNERS]
    assert (len(granted) == 3) == (golden.number >= 5)
    for key, grant in granted:
        other, key_id = golden.machine.client(grant['User']), key.id
        for operation, use in {
                'DescribeKey': lambda: other.DescribeKey(key_id), 'Sign': lambda: other.Sign(
                    key_id, b64(b'x'), 'ECDSA_SHA_256'), 'Encrypt': lambda: other.Encrypt(key_id, b64(b'x')),
                'DisableKey': lambda: other.DisableKey(key_id)}.items():
            with contextlib.nullcontext() if operation in grant['Operations'] else refused('KeyNotFound'):
                use()
        key.kms.RevokeGrant(key_id, grant['GrantId'])
        key.grants.remove(grant)
        with refused('KeyNotFound'):
            other.DescribeKey(key_id)
    golden.machine.restart()
    golden.check(uses=2)


def test_keys_go_on_with_their_lives(golden):
    """Those that were put away come back, and change as if they had been made here."""
    for key in golden.keys:
        if key.metadata['KeyState'] == 'Disabled':
            key.metadata['KeyState'] = key.kms.EnableKey(key.id)['KeyState']
        elif key.metadata['KeyState'] == 'PendingDeletion':
            key.metadata['KeyState'] = key.kms.CancelKeyDeletion(key.id)['KeyState']
            key.metadata['DeleteDate'] = 0
        else:
            continue
        assert key.metadata['KeyState'] == 'Enabled'
        golden.check_use(key)
    for number, key in enumerate(golden.keys):
        if not key.metadata['Aliases']:
            continue
        first, *others = key.metadata['Aliases']
        key.kms.DeleteAlias(first)
        key.kms.CreateAlias(f'alias/new/{number}', key.id)
        key.kms.UpdateKeyDescription(key.id, 'another')
        key.kms.UntagResource(key.id, list(key.metadata['Tags']))
        key.kms.TagResource(key.id, {'größe': 'another'})
        key.metadata |= {'Aliases': [*others, f'alias/new/{number}'], 'Description': 'another',
                         'Tags': {'größe': 'another'}}
    golden.machine.restart()
    golden.check(uses=0)


def other_material(golden, key):
    """Of the same spec."""
    spec = key.metadata['KeySpec']
    others = [other.material for other in golden.keys
              if other.metadata['KeySpec'] == spec and other.material not in (None, key.material)]
    return unb64(others[0]) if others else key_of(spec).data


def test_only_the_same_material_comes_back(golden):
    """What was deleted or had expired stays so until its material is imported again, and that alone."""
    external = [key for key in golden.keys if key.proofs and key.material
                and key.metadata['KeyState'] in ('Enabled', 'PendingImport')]
    assert {key.metadata['KeySpec'] for key in external} == {*MATERIAL_BYTES, *SIGNING}
    assert {key.metadata['KeyState'] for key in external} == {'Enabled', 'PendingImport'}
    for key in external:
        with refused('MaterialMismatch'):
            golden.import_again(key, other_material(golden, key))
        assert key.kms.describe(key.id) == key.metadata
        golden.import_again(key, unb64(key.material))
    golden.check()


def test_what_is_deleted_now_stays_deleted(golden):
    key = next(key for key in golden.keys if key.material and key.metadata['KeyState'] == 'Enabled')
    row = row_of_key(golden.machine, key.id)
    key.metadata['KeyState'] = key.kms.DeleteKeyMaterial(key.id)['KeyState']
    assert_nowhere(golden.machine, row['envelope'], row['sealed_key'])
    golden.check_use(key)
    golden.machine.restart()
    golden.check(uses=len(golden.keys) // 4)
    golden.import_again(key, unb64(key.material))
    golden.check_use(key)


def test_up_05_tokens_are_valid_until_their_expiry(golden):
    """Their pairs are in the state."""
    by_id = {key.id: key for key in golden.keys}
    *good, late = golden.manifest['Tokens']
    assert len(good) >= 2
    for token in good:
        key = by_id[token['KeyId']]
        arguments = token['KeyId'], token['EncryptedKeyMaterial'], token['ImportToken']
        assert key.kms.ImportKeyMaterial(*arguments)['KeyState'] == 'Enabled'
        if key.publickey:
            assert key.kms.GetPublicKey(key.id)['PublicKey'] == key.publickey
        golden.import_again(key, unb64(key.material))
        golden.check_use(key)
    golden.machine.stop_clock(golden.manifest['MadeAt'] + DAY)
    with refused('ExpiredImportToken'):
        by_id[late['KeyId']].kms.ImportKeyMaterial(late['KeyId'], late['EncryptedKeyMaterial'], late['ImportToken'])


def test_cl_09_a_clock_ten_years_ahead_when_it_is_converted():
    """Format 3 has no mark of the time: what has expired by such a clock, or is to be deleted, is there once it is put
    right."""
    with new_machine(start=False) as machine:
        install(machine, 3)
        materials = len(rows(machine, 'SELECT id FROM keys WHERE envelope NOT NULL'))
        machine.synchronise_clock(False)
        machine.set_clock(3650 * DAY)
        machine.start()
        golden = Golden(machine, load(3))
        expiring = [key for key in golden.keys if key.metadata['MaterialExpireTime']]
        assert expiring
        for key in expiring:
            assert key.kms.describe(key.id)['MaterialExpireTime'] == 0
        machine.pass_time(3600)
        machine.restart()
        machine.set_clock(-3600)
        golden.check()
        assert len(rows(machine, 'SELECT id FROM keys WHERE envelope NOT NULL')) == materials


def test_new_keys_beside_the_old_ones(golden):
    kms = golden.keys[0].kms
    new = [kms.own_key(), kms.imported_key(os.urandom(32)), kms.own_key(KeySpec='EC_P256')]
    blob = kms.Encrypt(new[1], b64(b'x'))['CiphertextBlob']
    golden.machine.restart()
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'
    listed = [entry['KeyId'] for entry in golden.machine.client(0).ListKeys(Limit=1000)['Keys']]
    assert listed == [key.id for key in golden.keys] + new


def test_envelopes_of_format_3_are_put_into_slots():
    """Each into one of its own; and as it was it is not left anywhere."""
    with new_machine(start=False) as machine:
        install(machine, 3)
        before = {row['id']: row['envelope'] for row in rows(machine, ENVELOPES)}
        machine.start()
        machine.client().GetStatus()
        after = {row['id']: row['envelope'] for row in rows(machine, ENVELOPES)}
        assert len(after) > 40 and after.keys() <= before.keys()
        slots = {int.from_bytes(envelope[:8], 'big') for envelope in after.values()}
        assert len(slots) == len(after) and min(slots) >= SLOTS_PER_PAGE
        root_key = erasure_keys(machine)[0]
        for name, envelope in after.items():
            assert reveal(machine, envelope, root_key) == before[name]
        assert_nowhere(machine, *before.values())


def test_a_copy_of_format_3_is_an_older_copy():
    """Once the TPM vouches for the state; what an administrator does about it is as with any other."""
    with golden_machine(3) as golden:
        machine = golden.machine
        machine.stop()
        copy = machine.directory / 'older'
        unpack(3, copy)
        machine.restore_state(copy / 'state')
        machine.start()
        assert machine.client(0).GetStatus()['AnchorState'] == 'rolled-back'
        assert [machine.client(0).describe(key.id) for key in golden.keys] == [key.metadata for key in golden.keys]
        with refused('RollbackDetected'):
            make_proofs(golden.keys[0].kms, golden.keys[0].id, 'AES_256', 'ENCRYPT_DECRYPT')
        check_recovered(golden, 'RollbackDetected')


def test_a_state_of_format_3_whose_tpm_is_gone():
    with new_machine(start=False) as machine:
        install(machine, 3)
        machine.replace_tpm()
        machine.start()
        golden = Golden(machine, load(3))
        for key in golden.keys:
            assert key.kms.describe(key.id)['Tags'] == key.metadata['Tags']
        check_recovered(golden, 'TpmChanged')


def check_recovered(golden, accepted):
    root = golden.machine.client(0)
    answer = root.Recover(Accept=accepted)
    assert root.GetStatus()['AnchorState'] == 'ok'
    returned = 0
    for key in golden.keys:
        metadata = key.kms.describe(key.id)
        if key.material and key.proofs and metadata['KeyState'] == 'PendingImport':
            assert key.id in answer['PendingImport'] or key.metadata['KeyState'] == 'PendingImport'
            key.metadata = metadata
            golden.import_again(key, unb64(key.material))
            golden.check_use(key)
            returned += 1
    assert returned >= 16
    lost = [key for key in golden.keys if key.id in answer['Lost']]
    assert all(not key.material for key in lost) and len(lost) >= 16
    golden.machine.restart()
    for key in golden.keys:
        if key.material and key.metadata['KeyState'] == 'Enabled':
            golden.check_use(key)

# SPDX-License-Identifier: Apache-2.0
"""What cmkd does to its state, each thing once: how it is made ready, and the call in the middle of which cmkd dies."""
import contextlib
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

from client import UNKNOWN_KEY, b64, wrap
from openssl_keys import key_of
from state import tpm_tool
from wrapping import wrapped
from crash import START, make_proof

DAY = 86400
DATE = START + 7 * DAY
NV_INDEX = 0x01
WRONG = b64(bytes(255) + b'\2')  # as long as an RSA_2048 modulus, and nobody's padding


def nothing(_kms, _case):
    pass


@dataclass
class Scenario:
    """@call and @prepare take a client and the case: a SimpleNamespace with `proofs` (crash.view) and `root`, a client,
    to which @prepare adds what it likes."""
    call: Callable = nothing
    prepare: Callable = nothing
    refusal: str = None     # what the call is answered with
    again: tuple = (None,)  # what it may be answered with after a crash; () = do not ask again, it would do more
    clock: int = START      # of the call, and from then on
    at_start: bool = False  # there is no call: starting does it
    edit: Callable = None   # of the machine, when it is down
    empty: bool = False     # there is no state before


def external(kms, case, **options):
    """A key with a token, and its material wrapped for it."""
    case.key = kms.external_key(**options)
    case.proofs[case.key] = None
    case.parameters = kms.parameters(case.key)
    case.material = os.urandom(32)
    case.wrapped = wrap('RSAES_OAEP_SHA_256', case.parameters['PublicKey'], case.material)


def imported(kms, case, expires=0, **options):
    external(kms, case, **options)
    import_it(kms, case, KeyMaterialExpireUnix=expires)
    case.proofs[case.key] = make_proof(kms, kms.describe(case.key))


def import_it(kms, case, **options):
    return kms.ImportKeyMaterial(case.key, case.wrapped, case.parameters['ImportToken'], **options)


def private_key(kms, case):
    case.key = kms.external_key(KeySpec='EC_P256')
    case.proofs[case.key] = None
    case.parameters = kms.parameters(case.key, 'RSA_AES_KEY_WRAP_SHA_256')
    case.wrapped = b64(wrapped(case.parameters, 'key wrap', key_of('EC_P256')).encrypted_key_material)


def mismatching(kms, case):
    imported(kms, case)
    case.wrapped = wrap('RSAES_OAEP_SHA_256', case.parameters['PublicKey'], os.urandom(32))


def seven_failures(kms, case):
    external(kms, case)
    case.wrapped = WRONG
    for _ in range(7):
        with contextlib.suppress(Exception):
            import_it(kms, case)


def wrong(kms, case):
    external(kms, case)
    case.wrapped = WRONG


def disabled(kms, case):
    imported(kms, case)
    kms.DisableKey(case.key)


def with_names(kms, case):
    imported(kms, case, Alias='alias/one', Tags={'name': 'value', 'other': 'value'})
    kms.CreateAlias('alias/two', case.key)
    case.other = kms.own_key()
    case.proofs[case.other] = make_proof(kms, kms.describe(case.other))


def scheduled(kms, case):
    with_names(kms, case)
    kms.ScheduleKeyDeletion(case.key, PendingWindowInDays=7)


def expiring(kms, case):
    imported(kms, case, expires=DATE)


def back_to_version_2(machine):
    """A state without keys; so are the places that a later version took in the TPM."""
    with contextlib.closing(sqlite3.connect(machine.state / 'state.db', isolation_level=None)) as connection:
        for name, in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN "
                                        "('meta', 'keys', 'import_sets', 'public_keys', 'sqlite_sequence')").fetchall():
            connection.execute(f'DROP TABLE {name}')
        connection.execute('PRAGMA user_version = 2')
    for handle in machine.tpm_handles(NV_INDEX):
        if handle >> 8 == 0x018c6d:
            tpm_tool(machine, 'nvundefine', '-C', 'o', hex(handle))


def create(**options):
    return Scenario(lambda kms, case: kms.CreateKey(**options), again=())


SCENARIOS = {
    'first start': Scenario(at_start=True, empty=True),
    'migration': Scenario(at_start=True, empty=True, edit=back_to_version_2),
    'CreateKey AES_256': create(Alias='alias/new', Tags={'name': 'value'}),
    'CreateKey EC_P256': create(KeySpec='EC_P256'),
    'CreateKey HMAC_512': create(KeySpec='HMAC_512'),
    'CreateKey EXTERNAL': create(Origin='EXTERNAL', Description='from elsewhere'),
    'CreateKey KeyId': Scenario(lambda kms, case: kms.CreateKey(Origin='EXTERNAL', KeyId=UNKNOWN_KEY),
                                again=(None, 'KeyAlreadyExists')),
    'GetParametersForImport RSA_2048': Scenario(lambda kms, case: kms.parameters(case.key), external),
    'GetParametersForImport EC_SM2': Scenario(lambda kms, case: kms.parameters(case.key, 'SM2PKE', 'EC_SM2'), external),
    'ImportKeyMaterial first': Scenario(import_it, external),
    'ImportKeyMaterial private key': Scenario(import_it, private_key),
    'ImportKeyMaterial again': Scenario(import_it, expiring),
    'ImportKeyMaterial new expiry': Scenario(
        lambda kms, case: import_it(kms, case, KeyMaterialExpireUnix=START + 100), expiring),
    'ImportKeyMaterial wrong': Scenario(import_it, wrong, 'IncorrectKeyMaterial', ('IncorrectKeyMaterial',)),
    'ImportKeyMaterial mismatch': Scenario(import_it, mismatching, 'MaterialMismatch', ('MaterialMismatch',)),
    'ImportKeyMaterial eighth failure': Scenario(import_it, seven_failures, 'IncorrectKeyMaterial',
                                                 ('IncorrectKeyMaterial', 'InvalidImportToken')),
    'DeleteKeyMaterial': Scenario(lambda kms, case: kms.DeleteKeyMaterial(case.key), imported),
    'EnableKey': Scenario(lambda kms, case: kms.EnableKey(case.key), disabled),
    'DisableKey': Scenario(lambda kms, case: kms.DisableKey(case.key), imported),
    'ScheduleKeyDeletion': Scenario(lambda kms, case: kms.ScheduleKeyDeletion(case.key, PendingWindowInDays=7),
                                    imported, again=(None, 'KeyPendingDeletion')),
    'CancelKeyDeletion': Scenario(lambda kms, case: kms.CancelKeyDeletion(case.key), scheduled,
                                  again=(None, 'StateNotAllowed')),
    'deletion by a call': Scenario(lambda kms, case: kms.DescribeKey(case.key), scheduled, 'KeyNotFound',
                                   ('KeyNotFound',), DATE),
    'deletion at start': Scenario(prepare=scheduled, clock=DATE, at_start=True),
    'expiry by a call': Scenario(lambda kms, case: kms.DescribeKey(case.key), expiring, clock=DATE),
    'expiry at start': Scenario(prepare=expiring, clock=DATE, at_start=True),
    'expiry of a token': Scenario(lambda kms, case: kms.DescribeKey(case.key), external, clock=START + 2 * DAY),
    'CreateAlias': Scenario(lambda kms, case: kms.CreateAlias('alias/three', case.key), with_names,
                            again=(None, 'AliasAlreadyExists')),
    'UpdateAlias': Scenario(lambda kms, case: kms.UpdateAlias('alias/two', case.other), with_names),
    'DeleteAlias': Scenario(lambda kms, case: kms.DeleteAlias('alias/two'), with_names, again=(None, 'AliasNotFound')),
    'TagResource': Scenario(lambda kms, case: kms.TagResource(case.key, {'name': 'other', 'new': ''}), with_names),
    'UntagResource': Scenario(lambda kms, case: kms.UntagResource(case.key, ['name', 'other']), with_names),
    'Recover': Scenario(lambda _, case: case.root.Recover(Accept='TpmChanged'), with_names,
                        again=(None, 'StateNotAllowed'), edit=lambda machine: machine.replace_tpm()),
    'UpdateKeyDescription': Scenario(lambda kms, case: kms.UpdateKeyDescription(case.key, 'what it is for'), imported),
}


def new_case(machine, proofs):
    return SimpleNamespace(proofs=dict(proofs), root=machine.client(0))

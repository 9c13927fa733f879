# SPDX-License-Identifier: Apache-2.0
"""What each call costs in TPM commands, exactly: docs/tpm-commands.md is made of these numbers. And that no handle and
no session is left in the TPM after any of them."""
import contextlib
import os

import pytest

from harness import BOB, LOADED_SESSION, SAVED_SESSION, TRANSIENT, new_machine
from client import UNKNOWN_KEY, DBusError, b64, iterate_until, unb64, wrap
from openssl_keys import key_of
from ring import Ring
from state import ROOT_KEY, tpm_tool
from wrapping import ASYMMETRIC_SPECS, forms_of, send, wrapped

ALGORITHM = 'RSAES_OAEP_SHA_256'
MESSAGE = b64(b'message')
NO_POOL = {'WrappingKeys': {'ReadyRsa2048': 0}, 'Anchor': {'AnchorSeconds': 86400}}  # no step but those asked for
NO_MATERIAL = {'Cache': {'MaterialSeconds': 0}}

# What the steps of a call send. Begin and end differ with the place of the storage root key.
PERSISTENT = {'begin': ['StartAuthSession'], 'end': []}
TRANSIENT_ROOT = {'begin': ['ContextLoad', 'StartAuthSession'], 'end': ['FlushContext']}
LOAD_COLD = ['Load', 'ContextSave']
LOAD_WARM = ['ContextLoad']
LOAD_ONCE = ['Load']  # of what is used once: keeping its context would not pay
FLUSH = ['FlushContext']
SEAL = ['Create']  # ends the session
UNSEAL = ['Unseal']  # ends the session where it is the last command


def step(cost, first=False):
    """The TPM takes note of a change: in a session of its own, and twice if it is the first time of a process."""
    return [*cost['begin'], *['NV_Write'] * (2 if first else 1), *cost['end']]


def occupy_root_place(machine):
    """Something that is no storage root key lies where one belongs."""
    context = machine.directory / 'foreign'
    tpm_tool(machine, 'createprimary', '-C', 'o', '-G', 'ecc256:ecdsa-sha256', '-a',
             'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign', '-c', context)
    tpm_tool(machine, 'flushcontext', '--transient-object')
    tpm_tool(machine, 'evictcontrol', '-C', 'o', '-c', context, ROOT_KEY)
    tpm_tool(machine, 'flushcontext', '--transient-object')


@contextlib.contextmanager
def counted(machine):
    """The commands of what is inside; it leaves nothing in the TPM."""
    with machine.tpm_commands() as commands:
        yield commands
    for kind in (TRANSIENT, LOADED_SESSION, SAVED_SESSION):
        assert machine.tpm_handles(kind) == ()


@contextlib.contextmanager
def costs(machine, *steps):
    with counted(machine) as commands:
        yield
    assert commands == [command for step in steps for command in step]


@pytest.fixture(params=['persistent', 'transient'], scope='module')
def place(request):
    return request.param


@pytest.fixture(scope='module')
def cost(place):
    return PERSISTENT if place == 'persistent' else TRANSIENT_ROOT


@pytest.fixture(scope='module')
def machine(place):
    """Pairs are made when they are asked for only, so that a count holds nothing but its call."""
    with new_machine(start=False, config=NO_POOL) as machine:
        if place == 'transient':
            occupy_root_place(machine)
        machine.start()
        yield machine


def grow_cold(machine):
    """A new daemon, and nothing in the kernel keyring."""
    machine.stop()
    Ring(machine).clear()
    machine.start()


def parameters_in_peace(machine, key, algorithm=ALGORITHM, spec='RSA_2048'):
    """Where none is ready, both threads of the pool may make a pair. What is not done by now ends with this cmkd."""
    parameters = machine.client().parameters(key, algorithm, spec)
    machine.restart()
    return parameters


def imported_key(machine):
    """Enabled and warm."""
    kms = machine.client()
    key = kms.external_key()
    kms.import_with(parameters_in_peace(machine, key), os.urandom(32))
    return key


def outcome(call, *arguments):
    try:
        call(*arguments)
    except DBusError as error:
        return error.name
    return 'done'


# Calls

def test_first_start(place, cost):
    """It makes the storage root key, persistent if it can, provisions the store, and anchors it."""
    look = ['GetCapability', 'ReadPublic:0x18b' if place == 'persistent' else 'ReadPublic']
    make = ['CreatePrimary', *(['EvictControl', 'FlushContext'] if place == 'persistent' else [
        'ContextSave', 'FlushContext', 'ContextLoad'])]
    end = FLUSH if place == 'transient' else []
    find = ['GetCapability']
    define = [*cost['begin'], 'GetCapability', 'NV_DefineSpace', 'NV_Write', *cost['end']]
    with new_machine(start=False, config=NO_POOL) as machine:
        if place == 'transient':
            occupy_root_place(machine)
        with costs(machine, look, make, ['StartAuthSession', 'Create', 'Create'], end, find, define):
            machine.start()


OPEN_STORE = ['Load', 'Unseal', 'FlushContext', 'NV_ReadPublic', 'NV_Read']


def test_start(machine, cost):
    """What the TPM is, and its root key, is known from the last stop."""
    machine.stop()
    with costs(machine, cost['begin'], OPEN_STORE, cost['end']):
        machine.start()


def test_cold_start(machine, place, cost):
    """The one before has left nothing."""
    transient = ['CreatePrimary', 'ContextSave', 'FlushContext']
    machine.kill()
    with costs(machine, ['GetCapability', 'ReadPublic'], transient if place == 'transient' else [], cost['begin'],
               OPEN_STORE, cost['end']):
        machine.start()


def test_warm_use(machine, kms):
    key, other = imported_key(machine), imported_key(machine)
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    with costs(machine):
        kms.Encrypt(key, b64(b'x' * 6144))
        kms.Decrypt(blob)
        kms.ReEncrypt(blob, other)
        kms.GenerateDataKey(key)
        kms.GenerateDataKeyWithoutPlaintext(key)


def test_calls_that_need_no_secret(machine, kms):
    key = imported_key(machine)
    with costs(machine):
        kms.external_key()
        kms.DescribeKey(key)
        kms.ListKeys()
        kms.external_key(KeyId=UNKNOWN_KEY, Alias='alias/replica', Tags={'a': 'b'})
        kms.CreateAlias('alias/name', key)
        kms.UpdateAlias('alias/replica', key)
        kms.ListAliases()
        kms.Encrypt('alias/name', b64(b'x'))
        kms.DeleteAlias('alias/name')
        kms.TagResource(key, {'a': 'b'})
        kms.UntagResource(key, ['a'])
        kms.UpdateKeyDescription(key, 'described')
        kms.GrantKey(key, ['Encrypt'], User=BOB)
        kms.ListGrants(key)
        kms.GetStatus()
        for refusal in (lambda: kms.Encrypt(key, ''), lambda: kms.Sign(key, b64(b'x'), 'none'), lambda: kms.EnableKey(
                UNKNOWN_KEY), lambda: kms.ImportKeyMaterial(key, b64(bytes(256)), b64(bytes(150)))):
            assert outcome(refusal) != 'done'


def test_calls_that_the_tpm_takes_note_of(machine, kms, cost):
    """Before they are answered. What changes nothing costs nothing; what need not be noted at once goes along."""
    key = imported_key(machine)
    first = True
    for take_away, give_back in (kms.DisableKey, kms.EnableKey), (kms.ScheduleKeyDeletion, kms.CancelKeyDeletion):
        with costs(machine, step(cost, first)):
            take_away(key)
        with costs(machine):
            outcome(take_away, key)
            give_back(key)
        first = False
    grant = kms.GrantKey(key, ['Encrypt'], User=BOB)['GrantId']
    with costs(machine, step(cost)):
        kms.RevokeGrant(key, grant)
    with costs(machine, step(cost)):
        kms.DeleteKeyMaterial(key)
    with costs(machine):
        kms.DeleteKeyMaterial(key)


def test_a_key_in_use_by_a_grant(machine, kms):
    """As by its owner."""
    key, bob = imported_key(machine), machine.client(BOB)
    kms.GrantKey(key, ['Encrypt', 'Decrypt'], User=BOB)
    blob = bob.Encrypt(key, b64(b'x'))['CiphertextBlob']
    with costs(machine):
        bob.Encrypt(key, b64(b'x'))
        kms.Decrypt(blob)
        bob.Decrypt(blob)


def test_a_clean_stop_sees_to_what_is_left(machine, kms, cost):
    machine.restart()
    with costs(machine):
        kms.external_key()
    with costs(machine, step(cost, first=True)):
        machine.stop()
    machine.start()
    with costs(machine):
        machine.stop()
    machine.start()


def test_create_key_of_own_material(machine, kms, cost):
    with costs(machine, cost['begin'], SEAL, cost['end']):
        kms.CreateKey()


@pytest.mark.parametrize('algorithm', ['RSAES_PKCS1_V1_5', 'RSAES_OAEP_SHA_1', ALGORITHM])
def test_import_cold(machine, kms, cost, algorithm):
    """Nine commands with a persistent root key, and no more may it be."""
    key, material = kms.external_key(), os.urandom(32)
    parameters = parameters_in_peace(machine, key, algorithm)
    wrapped = wrap(algorithm, parameters['PublicKey'], material)
    grow_cold(machine)
    with costs(machine, cost['begin'], LOAD_ONCE, UNSEAL, FLUSH, LOAD_COLD, ['HMAC'], FLUSH, SEAL, cost['end']):
        kms.ImportKeyMaterial(key, wrapped, parameters['ImportToken'])


def test_later_imports(machine, kms, cost):
    """The context of the fingerprint key is there; that of the pair is not, for most pairs are used once. Those that
    replace material are followed by a step."""
    imported_key(machine)
    key, material = kms.external_key(), os.urandom(32)
    parameters = parameters_in_peace(machine, key)
    for follows in [], step(cost, first=True), step(cost):
        with costs(machine, cost['begin'], LOAD_ONCE, UNSEAL, FLUSH, LOAD_WARM, ['HMAC'], FLUSH, SEAL, cost['end'],
                   follows):
            kms.import_with(parameters, material)


def test_the_context_of_the_fingerprint_key_outlives_the_daemon(machine, kms, cost):
    imported_key(machine)
    key, material = kms.external_key(), os.urandom(32)
    parameters = parameters_in_peace(machine, key)
    machine.restart()
    with costs(machine, cost['begin'], LOAD_ONCE, UNSEAL, FLUSH, LOAD_WARM, ['HMAC'], FLUSH, SEAL, cost['end']):
        kms.import_with(parameters, material)


def test_failed_unwraps(machine, kms, cost):
    """The first keeps the context of the pair for those that follow; the eighth has no need to."""
    parameters = parameters_in_peace(machine, kms.external_key())
    wrong = b64(b'\0' + os.urandom(255))
    for number in range(1, 10):
        steps = ([cost['begin'], LOAD_ONCE, UNSEAL, FLUSH, LOAD_COLD, FLUSH, FLUSH, cost['end']] if number == 1 else
                 [cost['begin'], LOAD_WARM, UNSEAL, FLUSH, FLUSH, cost['end']] if number <= 8 else [])
        with costs(machine, *steps):
            assert outcome(kms.ImportKeyMaterial, parameters['KeyId'], wrong, parameters['ImportToken']) == (
                'IncorrectKeyMaterial' if number <= 8 else 'InvalidImportToken')


def test_other_material(machine, kms, cost):
    key = imported_key(machine)
    parameters = parameters_in_peace(machine, key)
    with costs(machine, cost['begin'], LOAD_ONCE, UNSEAL, FLUSH, LOAD_WARM, ['HMAC'], FLUSH, LOAD_COLD, FLUSH, FLUSH,
               cost['end']):
        assert outcome(kms.import_with, parameters, os.urandom(32)) == 'MaterialMismatch'


def test_first_use_after_a_restart(machine, kms, cost):
    """Cold: at most five commands where the root key is persistent. Then the context is in the kernel keyring."""
    key = imported_key(machine)
    blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
    calls = [lambda: kms.Encrypt(key, b64(b'x')), lambda: kms.Decrypt(blob), lambda: kms.GenerateDataKey(key),
             lambda: kms.ReEncrypt(blob, key)]
    for call in calls:
        grow_cold(machine)
        with costs(machine, cost['begin'], LOAD_COLD, UNSEAL, FLUSH, cost['end']):
            call()
    for call in calls:
        machine.restart()
        with costs(machine, cost['begin'], LOAD_WARM, UNSEAL, FLUSH, cost['end']):
            call()
        with costs(machine):
            call()


# Other kinds of keys

@pytest.mark.parametrize('spec, algorithm, wrapping_spec', [
    ('RSA_2048', 'RSAES_OAEP_SHA_256', 'RSA_2048'), ('EC_P256', 'RSA_AES_KEY_WRAP_SHA_256', 'RSA_2048'),
    ('EC_SM2', 'SM2PKE', 'EC_SM2'), ('EC_SM2', 'SM2PKE_SM4_ECB', 'EC_SM2'),
    ('HMAC_512', 'RSA_AES_KEY_WRAP_SHA_1', 'RSA_2048')])
def test_import_of_other_kinds(machine, kms, cost, spec, algorithm, wrapping_spec):
    """What a symmetric key costs, whatever is wrapped and how: nine commands cold, eight then."""
    key = kms.external_key(KeySpec=spec)
    parameters = parameters_in_peace(machine, key, algorithm, wrapping_spec)
    sent = wrapped(parameters, forms_of(algorithm, spec)[0], key_of(spec))
    grow_cold(machine)
    for load, follows in (LOAD_COLD, []), (LOAD_WARM, step(cost, first=True)):
        with costs(machine, cost['begin'], LOAD_ONCE, UNSEAL, FLUSH, load, ['HMAC'], FLUSH, SEAL, cost['end'], follows):
            send(kms, parameters, sent)


# Spec, usage, and the calls of it that need the secret and those that do not.
USES = {
    'RSA_2048 SIGN_VERIFY': ([lambda kms, key: kms.Sign(key, MESSAGE, 'RSA_PSS_SHA_256')],
                             [lambda kms, key: kms.Verify(key, MESSAGE, MESSAGE, 'RSA_PKCS1_SHA_256')]),
    'EC_P256 SIGN_VERIFY': ([lambda kms, key: kms.Sign(key, MESSAGE, 'ECDSA_SHA_256')],
                            [lambda kms, key: kms.Verify(key, MESSAGE, MESSAGE, 'ECDSA_SHA_256')]),
    'RSA_2048 ENCRYPT_DECRYPT': ([lambda kms, key: outcome(kms.AsymmetricDecrypt, key, MESSAGE, 'RSAES_OAEP_SHA_1')],
                                 [lambda kms, key: kms.AsymmetricEncrypt(key, MESSAGE, 'RSAES_OAEP_SHA_256')]),
    'EC_SM2 ENCRYPT_DECRYPT': ([lambda kms, key: outcome(kms.AsymmetricDecrypt, key, MESSAGE, 'SM2PKE')],
                               [lambda kms, key: kms.AsymmetricEncrypt(key, MESSAGE, 'SM2PKE')]),
    'HMAC_256 GENERATE_VERIFY_MAC': ([lambda kms, key: kms.GenerateMac(key, MESSAGE, 'HMAC_SHA_256'),
                                      lambda kms, key: kms.VerifyMac(key, MESSAGE, MESSAGE, 'HMAC_SHA_256')], []),
}


@pytest.mark.parametrize('kind', USES)
def test_use_of_other_kinds(machine, kms, cost, kind):
    """The public key is no secret, and needs no TPM, cold or not. The rest is as for Encrypt."""
    spec, usage = kind.split()
    private, public = USES[kind]
    parameters = parameters_in_peace(machine, kms.external_key(KeySpec=spec, KeyUsage=usage), 'RSA_AES_KEY_WRAP_SHA_1')
    send(kms, parameters, wrapped(parameters, 'key wrap', key_of(spec)))
    key = parameters['KeyId']
    if spec in ASYMMETRIC_SPECS:
        public = [*public, lambda kms, key: kms.GetPublicKey(key)]
    with costs(machine):
        for call in (*private, *public):
            call(kms, key)
    grow_cold(machine)
    with costs(machine):
        for call in public:
            call(kms, key)
    for call in private:
        grow_cold(machine)
        with costs(machine, cost['begin'], LOAD_COLD, UNSEAL, FLUSH, cost['end']):
            call(kms, key)
        machine.restart()
        with costs(machine, cost['begin'], LOAD_WARM, UNSEAL, FLUSH, cost['end']):
            call(kms, key)
        with costs(machine):
            for again in (*private, *public):
                again(kms, key)


@pytest.mark.parametrize('spec', ['SM4', 'HMAC_384', 'EC_P256', 'EC_P384', 'EC_P256K', 'EC_SM2'])
def test_create_key_of_other_kinds(machine, kms, cost, spec):
    with costs(machine, cost['begin'], SEAL, cost['end']):
        kms.CreateKey(KeySpec=spec)


def test_contexts_from_before_a_reboot(machine, kms, cost, place):
    key = imported_key(machine)
    machine.restart()
    kms.Encrypt(key, b64(b'x'))
    machine.reboot()
    with costs(machine, cost['begin'], ['ContextLoad:0x1df'], LOAD_COLD, UNSEAL, FLUSH, cost['end']):
        kms.Encrypt(key, b64(b'x'))


# The pool

def ready(machine):
    return machine.client().GetStatus()['ReadyRsa2048']


def test_parameters_from_the_pool(place, cost):
    """The call costs nothing: what is sent is the pair that takes the place of the one that was given away."""
    with new_machine(start=False, config={'WrappingKeys': {'ReadyRsa2048': 1}}) as machine:
        if place == 'transient':
            occupy_root_place(machine)
        machine.start()
        kms = machine.client()
        keys = [kms.external_key() for _ in range(3)]
        iterate_until(lambda: ready(machine) == 1, 'the pool is full')
        for key in keys:
            with costs(machine, cost['begin'], SEAL, cost['end']):
                kms.parameters(key)
                iterate_until(lambda: ready(machine) == 1, 'the pool is full')


def test_the_last_pair_of_a_pool_that_cannot_be_filled():
    """And so the commands are not the call's: while the TPM refuses to seal, the ready pair is given away."""
    with new_machine(config={'WrappingKeys': {'ReadyRsa2048': 1}}) as machine:
        kms = machine.client()
        key = kms.external_key()
        iterate_until(lambda: ready(machine) == 1, 'the pool is full')
        machine.tpm_fault('* 1-1000 0x101')
        assert kms.parameters(key)['KeyId'] == key
        machine.tpm_fault('')


# TP-13

# How many failures of each kind, and who sends the command and so meets them: more than 2,000 in all, fewer of those
# that take many commands to get to. Nothing is kept in the kernel keyring here: all is loaded each time.
FAILURES = {
    'StartAuthSession': (240, ['Encrypt', 'Decrypt', 'CreateKey', 'ImportKeyMaterial']),
    'Load': (70, ['Encrypt', 'Decrypt']),
    'Unseal': (70, ['Encrypt', 'Decrypt']),
    'Create': (70, ['CreateKey']),
    'HMAC': (12, ['ImportKeyMaterial']),
    'NV_Write': (12, ['ImportKeyMaterial']),
}
ACTIONS = ['0x101', '0x9a2', 'io', 'drop', 'garble']


def test_tp_13_nothing_is_left_after_thousands_of_failures():
    with new_machine(config={**NO_POOL, 'Cache': {'MaterialSeconds': 0, 'ContextSeconds': 0}}) as machine:
        kms = machine.client()
        key, material = kms.external_key(), os.urandom(32)
        parameters = parameters_in_peace(machine, key)
        kms.import_with(parameters, material)
        blob = kms.Encrypt(key, b64(b'kept'))['CiphertextBlob']
        arguments = {
            'Encrypt': (key, b64(b'x')),
            'Decrypt': (blob,),
            'CreateKey': (),
            'ImportKeyMaterial': (key, wrap(ALGORITHM, parameters['PublicKey'], material), parameters['ImportToken']),
        }
        for command, (number, methods) in FAILURES.items():
            for action in ACTIONS if command != 'StartAuthSession' else ACTIONS[:-1]:  # its answer has no HMAC yet
                machine.tpm_fault(f'{command} 1-1000000 {action}')
                calls = [kms.start(method, *arguments[method]) for _ in range(number // len(methods))
                         for method in methods]
                assert {outcome(call.result) for call in calls} <= {'TpmUnavailable', 'TpmChanged'}
                for kind in (TRANSIENT, LOADED_SESSION, SAVED_SESSION):
                    assert machine.tpm_handles(kind) == (), f'{command} {action}'
        machine.tpm_fault('')
        with counted(machine):
            assert unb64(kms.Decrypt(blob)['Plaintext']) == b'kept'
            kms.import_with(parameters, material)


@pytest.mark.parametrize('command, number', [('ContextLoad', 1), ('ContextSave', 1), *(
    ('FlushContext', number) for number in range(1, 4))])
@pytest.mark.parametrize('action', ['0x101', 'io', 'drop', 'garble'])
def test_tp_13_what_need_not_succeed(command, number, action):
    """Contexts only save time, and what could not be flushed is flushed a moment later. When the connection goes with
    the command, the session of the call is lost, and so may be the call."""
    with new_machine(config={**NO_POOL, **NO_MATERIAL}) as machine:
        kms = machine.client()
        key, material = kms.external_key(), os.urandom(32)
        parameters = parameters_in_peace(machine, key)
        kms.import_with(parameters, material)
        machine.tpm_fault(f'{command} {number}-{number} {action}')
        with counted(machine) as commands:
            outcomes = [outcome(kms.import_with, parameters, material), outcome(kms.Encrypt, key, b64(b'x'))]
        assert sum(name.startswith(command) for name in commands) >= number
        assert set(outcomes) <= ({'done', 'TpmUnavailable'} if action in ('io', 'drop') else {'done'})
        with counted(machine):
            kms.import_with(parameters, material)
            kms.Encrypt(key, b64(b'x'))

# SPDX-License-Identifier: Apache-2.0
"""ProtectionLevel TPM, seen from the TPM: which commands it gets, what it lacks, what becomes of a call that it fails."""
import pytest

from client import DBusError, b64, refused
from harness import LOADED_SESSION, SAVED_SESSION, TRANSIENT, new_machine
from openssl_keys import key_of
from state import row_of_key
from test_protection_level import (DECRYPT, MESSAGE, NO_POOL, SPECS, WRAPPING, bring, form_of,  # noqa: F401
                                   machine, tpm_client, use)
from test_tpm_commands import occupy_root_place
from wrapping import send, wrapped

SESSION = ['StartAuthSession', 'FlushContext']


def done_in_session(commands):
    """Without those that keep a session, which is not of one key's making."""
    return [command for command in commands if command not in SESSION]


# TPMA_CC as the TPM of tests tells it: handles and flags above the number of the command.
LACKS = {
    'TPM2_HMAC command': ('02000155', ['AES_256', 'SM4', 'HMAC_256', 'HMAC_512']),
    'TPM2_RSA_Decrypt command': ('02000159', ['RSA_2048', 'RSA_3072']),
    'TPM2_Sign command': ('0200015d', ['EC_P256', 'EC_P384']),
    'TPM2_Import command': ('02000156', ['RSA_2048', 'EC_P256']),
}


@pytest.mark.parametrize('what', LACKS)
def test_a_chip_that_lacks_a_command(what):
    hidden, specs = LACKS[what]
    with new_machine(config=NO_POOL) as machine:
        kms = machine.client()
        machine.tpm_fault(f'GetCapability 1-3 hide-{hidden}')
        for spec in specs:
            with refused('UnsupportedOperation') as refusal:
                kms.CreateKey(Origin='EXTERNAL', KeySpec=spec, ProtectionLevel='TPM')
            assert what in refusal.message and 'ProtectionLevel SOFTWARE' in refusal.message
        others = 'EC_P256' if what == 'TPM2_HMAC command' else 'AES_256'
        kms.own_key(KeySpec=others, ProtectionLevel='TPM')
        assert kms.ListKeys()['Keys'][0]['KeySpec'] == others


def test_a_command_that_the_chip_refuses_after_all(machine, kms):
    """The list said that it can; the code says that it cannot."""
    cmk = bring(kms, key_of('EC_P256'))
    machine.tpm_fault('Sign 1-2 0x143')
    with refused('TpmUnavailable'):
        kms.Sign(cmk, b64(MESSAGE), 'ECDSA_SHA_256')
    machine.tpm_fault('none 1-1 io')
    use(kms, cmk, key_of('EC_P256'))


@pytest.mark.parametrize('spec, command', [('AES_256', 'Create'), ('EC_P256', 'Import')])
def test_an_import_that_the_tpm_fails(machine, kms, spec, command):
    """Nothing is bound, the attempt does not count, nothing is left in the TPM."""
    key = key_of(spec)
    cmk = kms.external_key(KeySpec=spec)
    parameters = kms.parameters(cmk, *WRAPPING)
    machine.restart()  # who else would make objects is done
    for _ in range(9):
        machine.tpm_fault(f'{command} 1-99 0x101')
        with refused('TpmUnavailable'):
            send(kms, parameters, wrapped(parameters, form_of(key), key))
        machine.tpm_fault('none 1-1 io')
        assert machine.tpm_handles(TRANSIENT) == ()
    row = row_of_key(machine, cmk)
    assert (kms.state(cmk), row['envelope'], row['fingerprint']) == ('PendingImport', None, None)
    other = key_of(spec, 1)  # so it is not bound to the first one
    send(kms, parameters, wrapped(parameters, form_of(other), other))
    use(kms, cmk, other)


@pytest.mark.parametrize('action', ['0x101', '0x902', 'io', 'drop'])
def test_a_use_that_the_tpm_fails(machine, kms, action):
    """Once is made good where it can be; after it everything is as before."""
    cmks = {spec: bring(kms, key_of(spec)) for spec in ('AES_256', 'RSA_2048', 'EC_P256')}
    for spec, cmk in cmks.items():
        for command in ('Load', 'ContextLoad', 'HMAC', 'RSA_Decrypt', 'Sign', 'FlushContext'):
            machine.tpm_fault(f'{command} 1-1 {action}')
            try:
                use(kms, cmk, key_of(spec))
            except DBusError as error:
                assert error.name == 'TpmUnavailable'
            machine.tpm_fault('none 1-1 io')
            use(kms, cmk, key_of(spec))
            assert machine.tpm_handles(TRANSIENT) == ()


def test_with_a_transient_root_key():
    """Something else lies where the storage root key belongs: one object more is loaded."""
    with new_machine(config=NO_POOL, start=False) as machine:
        occupy_root_place(machine)
        machine.start()
        kms = tpm_client(machine)
        for spec in SPECS:
            cmk = bring(kms, key_of(spec))
            use(kms, cmk, key_of(spec))
            use(kms, cmk, key_of(spec))
        assert machine.tpm_handles(TRANSIENT) == ()


@pytest.mark.parametrize('manager', ['abrmd', 'kernel'])
def test_behind_a_resource_manager(manager):
    with new_machine(config=NO_POOL, manager=manager) as machine:
        kms = tpm_client(machine)
        cmks = {spec: bring(kms, key_of(spec)) for spec in SPECS}
        for again in (lambda: None, machine.restart):
            again()
            for spec, cmk in cmks.items():
                use(kms, cmk, key_of(spec))


# TPM commands: see docs/tpm-commands.md

@pytest.mark.parametrize('spec, method, arguments, command', [
    ('AES_256', 'Encrypt', (b64(MESSAGE),), 'HMAC'), ('SM4', 'GenerateDataKey', (), 'HMAC'),
    ('HMAC_256', 'GenerateMac', (b64(MESSAGE), 'HMAC_SHA_256'), 'HMAC'),
    ('RSA_2048', 'Sign', (b64(MESSAGE), 'RSA_PSS_SHA_256'), 'RSA_Decrypt'),
    ('EC_P256', 'Sign', (b64(MESSAGE), 'ECDSA_SHA_256'), 'Sign')])
def test_tpm_commands_of_a_use(machine, kms, spec, method, arguments, command):
    cmk = kms.own_key(KeySpec=spec)
    machine.restart()  # nothing of other tests goes on
    for steps in (['Load', 'ContextSave', command, 'FlushContext'], *[['ContextLoad', command, 'FlushContext']] * 2):
        with machine.tpm_commands() as commands:
            getattr(kms, method)(cmk, *arguments)
        assert done_in_session(commands) == done_in_session(steps)
        assert machine.tpm_handles(TRANSIENT) == machine.tpm_handles(SAVED_SESSION) == ()
        assert len(machine.tpm_handles(LOADED_SESSION)) <= 1


def test_public_halves_need_no_tpm(machine, kms):
    signing, decrypting = kms.own_key(KeySpec='RSA_2048'), kms.own_key(KeySpec='RSA_2048', KeyUsage=DECRYPT)
    signature = kms.Sign(signing, b64(MESSAGE), 'RSA_PSS_SHA_256')['Signature']
    machine.stop_tpm()
    try:
        assert kms.Verify(signing, b64(MESSAGE), signature, 'RSA_PSS_SHA_256')['SignatureValid']
        kms.GetPublicKey(decrypting)
        kms.AsymmetricEncrypt(decrypting, b64(MESSAGE), 'RSAES_OAEP_SHA_256')
        with refused('TpmUnavailable'):
            kms.Sign(signing, b64(MESSAGE), 'RSA_PSS_SHA_256')
    finally:
        machine.start_tpm()
    assert kms.Verify(signing, b64(MESSAGE), kms.Sign(signing, b64(MESSAGE), 'RSA_PSS_SHA_256')['Signature'],
                      'RSA_PSS_SHA_256')['SignatureValid']

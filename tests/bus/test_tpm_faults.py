# SPDX-License-Identifier: Apache-2.0
"""Every fault of a TPM under every call that needs one: what the caller is told, and that nothing is changed or left
behind and the next call works. docs/tpm-failures.md is the table; what each code means is tested in tests/tpm. Case ids
are those of the security catalogue: TP-06 and TP-14 are in test_listening_in.py, TP-15 in test_anchor.py, TP-12, TP-13
and TP-16 in tests/tpm."""
import contextlib
import os

import pytest

from client import DBusError, b64, iterate_until, refused, unb64, wrap
from harness import ALICE, BOB, LOADED_SESSION, SAVED_SESSION, TRANSIENT, new_machine
from neighbour import Neighbour
from state import tpm_tool

SM2 = 'SM2PKE', 'EC_SM2'  # its pairs are made in no time
MESSAGE = b64(b'message')
NO_POOL = {'WrappingKeys': {'ReadyRsa2048': 0}}
# Every call asks the TPM, and nothing else does.
NOTHING_KEPT = {'Cache': {'MaterialSeconds': 0, 'ContextSeconds': 0}, **NO_POOL,
                'Anchor': {'AnchorSeconds': 86400}, 'Limits': {'ImportSetsPerKey': 10000, 'ImportSetsPerUser': 10000}}
BEGUN, OVER = 'the TPM is in trouble: ', 'the TPM works again'
SILENT = 'has not answered for'


class Calls:
    """Each call that needs the TPM: NAME() makes ready, in peace, and gives what makes the call."""

    def __init__(self, kms):
        self.kms = kms
        self.aes, self.inside = kms.own_key(), kms.own_key(ProtectionLevel='TPM')
        self.pair = kms.own_key(KeySpec='EC_P256', KeyUsage='SIGN_VERIFY')
        self.pair_inside = kms.own_key(KeySpec='EC_P256', KeyUsage='SIGN_VERIFY', ProtectionLevel='TPM')
        self.sm2 = kms.own_key(KeySpec='EC_SM2', KeyUsage='ENCRYPT_DECRYPT')
        self.hmac = kms.own_key(KeySpec='HMAC_256', KeyUsage='GENERATE_VERIFY_MAC')
        self.external, self.material = kms.external_key(), os.urandom(32)
        self.blob, self.blob_inside = (kms.Encrypt(key, MESSAGE)['CiphertextBlob'] for key in (self.aes, self.inside))
        self.asymmetric_blob = kms.AsymmetricEncrypt(self.sm2, MESSAGE, 'SM2PKE')['CiphertextBlob']
        self.mac = kms.GenerateMac(self.hmac, MESSAGE, 'HMAC_SHA_256')['Mac']

    def import_material(self):
        parameters = self.kms.parameters(self.external, *SM2)
        wrapped = wrap([], parameters['PublicKey'], self.material)
        return lambda: self.kms.ImportKeyMaterial(self.external, wrapped, parameters['ImportToken'])

    def prepare(self, name):
        kms = self.kms
        return {
            'Encrypt': lambda: kms.Encrypt(self.aes, MESSAGE),
            'Encrypt, inside': lambda: kms.Encrypt(self.inside, MESSAGE),
            'Decrypt': lambda: kms.Decrypt(self.blob),
            'Decrypt, inside': lambda: kms.Decrypt(self.blob_inside),
            'ReEncrypt': lambda: kms.ReEncrypt(self.blob, self.inside),
            'GenerateDataKey': lambda: kms.GenerateDataKey(self.aes, NumberOfBytes=32),
            'GenerateDataKeyWithoutPlaintext':
                lambda: kms.GenerateDataKeyWithoutPlaintext(self.aes, NumberOfBytes=32),
            'Sign': lambda: kms.Sign(self.pair, MESSAGE, 'ECDSA_SHA_256'),
            'Sign, inside': lambda: kms.Sign(self.pair_inside, MESSAGE, 'ECDSA_SHA_256'),
            'AsymmetricDecrypt': lambda: kms.AsymmetricDecrypt(self.sm2, self.asymmetric_blob, 'SM2PKE'),
            'GenerateMac': lambda: kms.GenerateMac(self.hmac, MESSAGE, 'HMAC_SHA_256'),
            'VerifyMac': lambda: kms.VerifyMac(self.hmac, MESSAGE, self.mac, 'HMAC_SHA_256'),
            'CreateKey': kms.CreateKey,
            'CreateKey, inside': lambda: kms.CreateKey(ProtectionLevel='TPM'),
            'GetParametersForImport': lambda: kms.parameters(self.external, *SM2),
            'ImportKeyMaterial': self.import_material() if name == 'ImportKeyMaterial' else None,
        }[name]

    def everything(self):
        """Which keys there are, and what those are that the calls are made with."""
        used = (self.aes, self.inside, self.pair, self.pair_inside, self.sm2, self.hmac, self.external)
        return self.kms.ListKeys(Limit=1000)['Keys'], [self.kms.describe(key) for key in used]


METHODS = ['Encrypt', 'Encrypt, inside', 'Decrypt', 'Decrypt, inside', 'ReEncrypt', 'GenerateDataKey',
           'GenerateDataKeyWithoutPlaintext', 'Sign', 'Sign, inside', 'AsymmetricDecrypt', 'GenerateMac', 'VerifyMac',
           'CreateKey', 'CreateKey, inside', 'GetParametersForImport', 'ImportKeyMaterial']


def assert_nothing_left(machine):
    for kind in (TRANSIENT, LOADED_SESSION, SAVED_SESSION):
        assert machine.tpm_handles(kind) == ()


@contextlib.contextmanager
def journal(machine):
    """The lines about trouble with the TPM that are written while inside."""
    lines, before = [], machine.log.stat().st_size
    yield lines
    with open(machine.log) as log:
        log.seek(before)
        lines.extend(line for line in log.read().splitlines() if BEGUN in line or OVER in line)


def status(machine):
    answer = machine.client().GetStatus()
    return answer['TpmState'], answer['TpmAdvice']


@pytest.fixture(scope='module')
def machine():
    with new_machine(config=NOTHING_KEPT) as machine:
        yield machine


@pytest.fixture(scope='module')
def calls(machine):
    return Calls(machine.client())


# The table: what the TPM does to every command, and what the caller is told

LASTING = {
    '0x101': 'TpmUnavailable', '0x143': 'TpmUnavailable', '0xb0143': 'TpmUnavailable',
    '0x902': 'TpmUnavailable', '0x903': 'TpmUnavailable', '0x905': 'TpmUnavailable', '0x901': 'TpmUnavailable',
    '0xb0902': 'TpmUnavailable', '0x910': 'TpmUnavailable', '0x918': 'TpmUnavailable', '0x100': 'TpmUnavailable',
    '0x9a2': 'TpmUnavailable', '0x921': 'TpmLockout',
    'io': 'TpmUnavailable',     # TP-02
    'cut': 'TpmUnavailable', 'huge': 'TpmUnavailable', 'random': 'TpmUnavailable', 'short': 'TpmUnavailable',  # TP-09
}


@pytest.mark.parametrize('action', LASTING)
def test_what_lasts(machine, calls, action):
    for method in METHODS:
        call = calls.prepare(method)
        before = calls.everything()
        machine.tpm_fault(f'* 1-1000000 {action}')
        with refused(LASTING[action]) as refusal:
            call()
        assert 'cannot ' in refusal.message and ('; ' in refusal.message or ': ' in refusal.message), refusal.message
        machine.tpm_fault('')
        assert calls.everything() == before, method
        assert_nothing_left(machine)
        call()
        assert_nothing_left(machine)


@pytest.mark.parametrize('action', ['drop', 'garble', 'random', 'reset'])  # TP-02, TP-10, TP-09, TP-03
@pytest.mark.parametrize('nth', [2, 3, 5])
def test_what_happens_once(machine, calls, action, nth):
    for method in METHODS:
        call = calls.prepare(method)
        machine.tpm_fault(f'* {nth}-{nth} {action}')
        before = calls.everything()
        try:
            call()
        except DBusError as error:
            assert error.name == 'TpmUnavailable', f'{method}: {error}'
            assert action != 'reset', f'{method}: {error}'  # no call is to notice it
            machine.tpm_fault('')
            assert calls.everything() == before, method
        machine.tpm_fault('')
        assert_nothing_left(machine)
        calls.prepare(method)()
    assert_nothing_left(machine)


@pytest.mark.parametrize('code', ['0x922', '0x908', '0x90a', '0x920', '0x923', '0x902', '0x905'])  # TP-07, TP-08
def test_what_passes(machine, calls, code):
    # ESYS itself sends the rest five times, without a pause.
    times = {'0x902': 1, '0x905': 1, '0x920': 4, '0x923': 4}.get(code, 11)
    for method in ('Encrypt', 'Sign, inside', 'ImportKeyMaterial'):
        call = calls.prepare(method)
        machine.tpm_fault(f'* 1-{times} {code}')
        call()
        assert_nothing_left(machine)


# What else a caller and an administrator see

@pytest.mark.parametrize('action, state, words', [
    ('0x921', 'lockout', '--clear-lockout'), ('0x905', 'failed', 'tpm2_flushcontext -s'),
    ('0x902', 'failed', '/dev/tpmrm0'), ('garble', 'failed', 'altered the traffic'), ('cut', 'failed', 'none'),
    ('io', 'failed', 'cannot be reached'), ('0x101', 'failed', 'gettestresult')])
def test_each_cause_is_told_once(machine, calls, action, state, words):
    """In the error, in the journal when it begins and when it is over, and in the status."""
    calls.prepare('Encrypt')()
    with journal(machine) as lines:
        machine.tpm_fault(f'* 1-1000000 {action}')
        for _ in range(3):
            with pytest.raises(DBusError) as refusal:
                calls.prepare('Encrypt')()
            assert words in refusal.value.message
            assert status(machine)[0] == state and words in status(machine)[1]
        machine.tpm_fault('')
        for _ in range(3):
            calls.prepare('Encrypt')()
        assert status(machine) == ('ok', 'nothing to do')
    assert len(lines) == 2 and BEGUN in lines[0] and words in lines[0] and OVER in lines[1]


def test_tp_01_absent_at_the_start():
    with new_machine() as machine:
        key = machine.client().own_key()
        machine.stop()
        machine.stop_tpm()
        machine.start()
        state, advice = status(machine)
        assert state == 'absent' and '--tcti' in advice
        for call in (machine.client().CreateKey, lambda: machine.client().Encrypt(key, MESSAGE)):
            with refused('TpmUnavailable') as refusal:
                call()
            assert '--tcti' in refusal.message
        machine.start_tpm()
        machine.client().Encrypt(key, MESSAGE)
        assert status(machine)[0] == 'ok'


def test_tp_03_a_reset_between_calls_is_not_noticed():
    """The contexts that are kept are of no use any more."""
    with new_machine(config={**NOTHING_KEPT, 'Cache': {'MaterialSeconds': 0}}) as machine:
        calls = Calls(machine.client())
        with journal(machine) as lines:
            for method in METHODS:
                calls.prepare(method)()
                call = calls.prepare(method)
                machine.restart_tpm()
                call()
        assert lines == []


def test_tp_04_cleared():
    """The keys are lost to that TPM, and nothing is done to them: with the TPM as it was all is as before."""
    with new_machine(config=NOTHING_KEPT) as machine:
        calls = Calls(machine.client())
        before = calls.everything()
        copy = machine.copy_state('tpm-copy', of='tpm')
        tpm_tool(machine, 'clear', '-c', 'p')
        for method in ('Encrypt', 'Sign, inside', 'CreateKey', 'Decrypt'):
            with refused('TpmChanged'):
                calls.prepare(method)()
        assert status(machine)[0] == 'changed' and 'cmkctl recover' in status(machine)[1]
        machine.stop()
        machine.stop_tpm()
        for path in copy.iterdir():
            (machine.tpm_directory / path.name).write_bytes(path.read_bytes())
        machine.start_tpm()
        machine.start()
        assert calls.everything() == before
        assert unb64(machine.client().Decrypt(calls.blob)['Plaintext']) == b'message'


def test_tp_08_a_neighbour_who_holds_every_slot(machine, calls):
    """There is no resource manager: what others have is not touched, and cmkd goes on when they have left."""
    neighbour = Neighbour(machine)
    objects = [neighbour.object, neighbour.new_object(), neighbour.new_object()]
    with refused('TpmUnavailable') as refusal:
        calls.prepare('Encrypt')()
    assert '/dev/tpmrm0' in refusal.message
    neighbour.check()
    assert set(machine.tpm_handles(TRANSIENT)) == set(objects)
    tpm_tool(machine, 'flushcontext', '--transient-object')
    tpm_tool(machine, 'flushcontext', '--loaded-session')
    neighbour.end()
    calls.prepare('Encrypt')()
    assert_nothing_left(machine)


def until_it_works(call):
    def works():
        with contextlib.suppress(DBusError):
            call()
            return True
        return False
    iterate_until(works, 'a call is served again')


@pytest.mark.parametrize('command', ['StartAuthSession', 'Unseal'])
def test_tp_11_no_answer(command):
    """Who needs the TPM is refused before he gives up, and those after him at once. All else goes on meanwhile."""
    with new_machine(config=NO_POOL) as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        warm, cold = bob.own_key(), [alice.own_key() for _ in range(2)]
        bob.Encrypt(warm, MESSAGE)
        blobs = [alice.Encrypt(key, MESSAGE)['CiphertextBlob'] for key in cold]
        machine.configure({**NO_POOL, 'Tpm': {'AnswerSeconds': 4}})
        machine.restart()
        until_it_works(lambda: bob.Encrypt(warm, MESSAGE))
        machine.tpm_fault(f'{command} 1-1 hang')
        waiting = alice.start('CreateKey' if command == 'StartAuthSession' else 'Decrypt',
                              *([] if command == 'StartAuthSession' else [blobs[0]]))
        for _ in range(20):
            bob.Encrypt(warm, MESSAGE)
            assert bob.describe(warm)['KeyState'] == 'Enabled'
            bob.GetStatus()
        with refused('TpmUnavailable') as refusal:
            waiting.result()
        assert SILENT in refusal.message
        with machine.tpm_commands() as commands:
            for call in (alice.CreateKey, bob.CreateKey):
                with refused('TpmUnavailable') as refusal:
                    call()
                assert SILENT in refusal.message
            assert SILENT in status(machine)[1]
            bob.Encrypt(warm, MESSAGE)
        assert commands == []
        machine.tpm_fault('')
        until_it_works(alice.CreateKey)
        assert unb64(alice.Decrypt(blobs[0])['Plaintext']) == b'message'
        assert_nothing_left(machine)
        assert status(machine)[0] == 'ok'


def test_tp_11_no_answer_at_the_start():
    """It is not D-Bus activation that fails."""
    with new_machine(config=NO_POOL) as machine:
        key = machine.client().own_key()
        machine.stop()
        machine.configure({**NO_POOL, 'Tpm': {'AnswerSeconds': 2}})
        hang = machine.tpm_log.with_name(machine.tpm_log.name + '.hang')
        hang.touch()
        machine.start()
        state, advice = status(machine)
        assert state == 'absent' and SILENT in advice
        with refused('TpmUnavailable'):
            machine.client().Encrypt(key, MESSAGE)
        hang.unlink()
        until_it_works(lambda: machine.client().Encrypt(key, MESSAGE))


def test_a_tpm_that_hangs_does_not_keep_cmkd_from_ending():
    with new_machine(config=NOTHING_KEPT) as machine:
        key = machine.client().own_key()
        machine.configure({**NOTHING_KEPT, 'Tpm': {'AnswerSeconds': 2}})
        machine.restart()
        machine.tpm_fault('Unseal 1-1 hang')
        with refused('TpmUnavailable'):
            machine.client().Encrypt(key, MESSAGE)
        machine.stop()


def test_a_key_that_the_tpm_makes_does_not_keep_cmkd_from_ending():
    """It may take minutes, and whoever is told to end does not have them."""
    with new_machine(config={**NO_POOL, 'Tpm': {'AnswerSeconds': 2}}) as machine:
        kms = machine.client()
        kms.own_key(KeySpec='HMAC_256', ProtectionLevel='TPM')
        before = len(machine.tpm_log.read_text())
        machine.tpm_fault('Create 1-1 hang')
        call = kms.start('CreateKey', KeySpec='RSA_2048', ProtectionLevel='TPM')
        iterate_until(lambda: 'StartAuthSession' in machine.tpm_log.read_text()[before:], 'the TPM is to make a key')
        machine.stop()
        with refused('TpmUnavailable'):
            call.result()


@pytest.mark.parametrize('seconds', [0, 601])
def test_answer_seconds_that_cannot_be(seconds):
    with new_machine(config={'Tpm': {'AnswerSeconds': seconds}}, start=False) as machine:
        code, output = machine.run_daemon()
        assert code == 1 and '[Tpm] AnswerSeconds must be a whole number from 1 to 600' in output

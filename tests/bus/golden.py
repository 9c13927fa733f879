# SPDX-License-Identifier: Apache-2.0
"""The golden states of tests/golden: a machine that has one, and what must be true of it. See the README there."""
import contextlib
import json
import os
import shutil
from types import SimpleNamespace

from client import SOURCE_ROOT, b64, refused, unb64
from harness import ALICE, BOB, new_machine
from openssl_keys import ENCRYPTION, MAC, SIGNING, PublicKey
from wrapping import RSA_SPECS, send, wrapped

DIRECTORY = SOURCE_ROOT / 'tests' / 'golden'
FORMATS = sorted(int(path.stem.partition('-')[2]) for path in DIRECTORY.glob('format-*.json'))
DAY = 86400
OWNERS = [ALICE, BOB, 0]
CONTEXT = {'purpose': 'golden', 'größe': '☃'}
REFUSALS = {'Disabled': 'KeyDisabled', 'PendingImport': 'KeyPendingImport', 'PendingDeletion': 'KeyPendingDeletion'}


# What is done with a key, and written down

def make_proofs(kms, key, spec, usage):
    """What only this key can have made, or can open."""
    message = b64(os.urandom(32))
    if usage == 'GENERATE_VERIFY_MAC':
        return [{'Message': message, 'Algorithm': MAC[spec], 'Mac': kms.GenerateMac(key, message, MAC[spec])['Mac']}]
    if usage == 'SIGN_VERIFY':
        return [{'Message': message, 'Algorithm': name, 'Signature': kms.Sign(key, message, name)['Signature']}
                for name in SIGNING[spec]]
    if spec in ENCRYPTION:
        return [{'Plaintext': message, 'Algorithm': name,
                 'CiphertextBlob': kms.AsymmetricEncrypt(key, message, name)['CiphertextBlob']}
                for name in ENCRYPTION[spec]]
    data_key = kms.GenerateDataKey(key, EncryptionContext=CONTEXT)
    return [
        {'Plaintext': message, 'EncryptionContext': {}, 'CiphertextBlob': kms.Encrypt(key, message)['CiphertextBlob']},
        {'Plaintext': data_key['Plaintext'], 'EncryptionContext': CONTEXT,
         'CiphertextBlob': data_key['CiphertextBlob']},
    ]


def check_proof(kms, key, proof):
    if 'Mac' in proof:
        assert kms.VerifyMac(key, proof['Message'], proof['Mac'], proof['Algorithm'])['MacValid']
        assert kms.GenerateMac(key, proof['Message'], proof['Algorithm'])['Mac'] == proof['Mac']
    elif 'Signature' in proof:
        assert kms.Verify(key, proof['Message'], proof['Signature'], proof['Algorithm'])['SignatureValid']
        assert not kms.Verify(key, b64(b'another'), proof['Signature'], proof['Algorithm'])['SignatureValid']
    elif 'Algorithm' in proof:
        opened = kms.AsymmetricDecrypt(key, proof['CiphertextBlob'], proof['Algorithm'])
        assert opened['Plaintext'] == proof['Plaintext']
    else:
        opened = kms.Decrypt(proof['CiphertextBlob'], EncryptionContext=proof['EncryptionContext'])
        assert (opened['KeyId'], opened['Plaintext']) == (key, proof['Plaintext'])
        with refused('InvalidCiphertext'):
            kms.Decrypt(proof['CiphertextBlob'], EncryptionContext={'another': 'context'})


def form_for(spec):
    """Of wrapping: what is too long for a wrapping key itself goes under a temporary key."""
    return 'separate' if spec in RSA_SPECS else 'direct'


# A machine that has one

def load(number):
    return json.loads((DIRECTORY / f'format-{number}.json').read_text())


def unpack(number, directory):
    """state/ and tpm/."""
    shutil.unpack_archive(DIRECTORY / f'format-{number}.tar.gz', directory)


def install(machine, number):
    """Put the golden state in the place of that of @machine and its TPM, which it boots some hours after it was made.
    Its clocks stand still from then on: what the state says has the same outcome whenever the test is run."""
    machine.stop_tpm()
    unpack(number, machine.directory)
    for path in [*machine.state.iterdir(), *machine.tpm_directory.iterdir()]:
        os.chown(path, machine.uid, machine.uid)
    machine.stop_clock(load(number)['OpenedAt'])
    machine.boot()


@contextlib.contextmanager
def golden_machine(number):
    with new_machine(start=False) as machine:
        install(machine, number)
        machine.start()
        golden = Golden(machine, load(number))
        golden.number = number
        yield golden


class Golden:
    """@keys: the entries of the manifest, with what must be true of them now."""

    def __init__(self, machine, manifest):
        self.machine, self.manifest = machine, manifest
        self.keys = [SimpleNamespace(**{name.lower(): value for name, value in entry.items()})
                     for entry in manifest['Keys']]
        for key in self.keys:
            key.grants = getattr(key, 'grants', [])  # format 5 brought them
            key.id, key.kms = key.metadata['KeyId'], machine.client(key.metadata['Creator'])
            if 0 < key.metadata['MaterialExpireTime'] <= manifest['OpenedAt']:
                key.metadata |= {'KeyState': 'PendingImport', 'MaterialExpireTime': 0}

    def check(self, uses=None):
        """All of it, and nothing else; of the first @uses keys that they work."""
        for uid in OWNERS[:2]:
            listed = self.machine.client(uid).ListKeys(Limit=1000)['Keys']
            assert listed == [key.metadata if key.metadata['Creator'] == uid else key.metadata | {'Aliases': []}
                              for key in self.keys if self.is_shown(key, uid)]
        listed = self.machine.client(0).ListKeys(Limit=1000)['Keys']
        assert listed == [key.metadata for key in self.keys]
        for key in self.keys:
            assert key.kms.describe(key.id) == key.metadata
            assert key.kms.ListGrants(key.id)['Grants'] == key.grants
            for alias in key.metadata['Aliases']:
                assert key.kms.describe(alias) == key.metadata
        for gone in self.manifest['DeletedKeys']:
            with refused('KeyNotFound'):
                self.machine.client(0).DescribeKey(gone['KeyId'])
            with refused('InvalidCiphertext'):
                self.machine.client(gone['Creator']).Decrypt(gone['CiphertextBlob'])
        for key in self.keys[:uses]:
            self.check_use(key)

    @staticmethod
    def is_shown(key, uid):
        return key.metadata['Creator'] == uid or any(
            grant.get('User') == uid and 'DescribeKey' in grant['Operations'] for grant in key.grants)

    @staticmethod
    def check_use(key):
        """What was made with it is understood, and what it makes now is that of the same key; or it is refused."""
        spec, usage = key.metadata['KeySpec'], key.metadata['KeyUsage']
        if key.metadata['KeyState'] != 'Enabled':
            with refused(REFUSALS[key.metadata['KeyState']]):
                make_proofs(key.kms, key.id, spec, usage)
            return
        made_now = make_proofs(key.kms, key.id, spec, usage)
        for proof in key.proofs + made_now:
            check_proof(key.kms, key.id, proof)
        if key.publickey:
            assert key.kms.GetPublicKey(key.id)['PublicKey'] == key.publickey
        for proof in made_now if usage == 'SIGN_VERIFY' else []:
            assert PublicKey(spec, unb64(key.publickey)).verify(
                proof['Algorithm'], unb64(proof['Message']), unb64(proof['Signature']))

    @staticmethod
    def import_again(key, material):
        """By SM2PKE, whose pairs are made at once."""
        parameters = key.kms.parameters(key.id, 'SM2PKE', 'EC_SM2')
        imported = SimpleNamespace(spec=key.metadata['KeySpec'], data=material)
        send(key.kms, parameters, wrapped(parameters, form_for(imported.spec), imported))
        key.metadata |= {'KeyState': 'Enabled', 'MaterialExpireTime': 0}

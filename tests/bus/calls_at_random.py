# SPDX-License-Identifier: Apache-2.0
"""Calls at random for test_model.py: what somebody may ask for, most of it sensible, given what a model knows.

Everything is drawn from one generator and from the model, whose course does not depend on what cmkd makes up: the same
seed gives the same calls."""
import uuid

from client import b64
from harness import ALICE, BOB
from model import ALGORITHMS, ASYMMETRIC, DAY, LAST_SECOND, STATES, SYMMETRIC, USAGES, Altered, Wrapping
from openssl_keys import key_of

USERS, SHARES = (ALICE, BOB, 0), (45, 40, 15)
BAD_NAMES = ['', 'x', 'alias/', 'Alias/x', 'alias/a b', 'alias/' + 'a' * 256, '0' * 36,
             'AAAAAAAA-0000-4000-8000-000000000000', '00000000-0000-4000-8000-00000000000']
TEXTS = ['', 'a', 'b', 'Schlüssel', '鑰' * 100, 'x' * 8192]
# How often, of 1000.
WEIGHTS = {
    'Encrypt': 110, 'Decrypt': 150, 'ReEncrypt': 40, 'GenerateDataKey': 35, 'GenerateDataKeyWithoutPlaintext': 15,
    'GenerateMac': 30, 'VerifyMac': 30, 'Sign': 15, 'Verify': 20, 'AsymmetricEncrypt': 10, 'AsymmetricDecrypt': 10,
    'GetPublicKey': 15, 'DescribeKey': 120, 'ListKeys': 15, 'ListAliases': 20, 'EnableKey': 35, 'DisableKey': 25,
    'ScheduleKeyDeletion': 30, 'CancelKeyDeletion': 30, 'UpdateKeyDescription': 20, 'CreateAlias': 30, 'UpdateAlias': 20,
    'DeleteAlias': 22, 'TagResource': 30, 'UntagResource': 20, 'CreateKey': 25, 'GetParametersForImport': 25,
    'ImportKeyMaterial': 50, 'DeleteKeyMaterial': 10}


class Calls:
    def __init__(self, rng, model):
        self.rng, self.model = rng, model
        # Few, so that the same material comes again.
        self.materials = {spec: [rng.randbytes(size) for _ in range(3)]
                          for spec, size in (('AES_256', 32), ('SM4', 16), ('HMAC_256', 32))}
        self.materials.update({spec: [key_of(spec, number) for number in range(2)] for spec in ASYMMETRIC})

    def next(self):
        """(uid, method, arguments, options). The methods of this class are those of cmkd; one that has nothing to send back
        yet gives None."""
        uid, = self.rng.choices(USERS, SHARES)
        while True:
            method, = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
            call = getattr(self, method)(uid)
            if call is not None:
                return uid, method, *call

    def chance(self, percent):
        return self.rng.random() * 100 < percent

    def visible(self, uid, specs=tuple(USAGES), **facts):
        return [key for key in self.model.keys.values() if uid in (0, key.owner) and key.spec in specs
                and all(getattr(key, name) == value for name, value in facts.items())]

    # Arguments

    def id(self, uid, *specs, wrong=8, **facts):
        """An id: mostly of a key of these @specs and @facts that @uid may see; @wrong percent of anything else."""
        fitting = self.visible(uid, specs or tuple(USAGES), **facts)
        if fitting and not self.chance(wrong):
            return self.rng.choice(fitting).id
        anything = [key.id for key in self.model.keys.values()]
        return self.rng.choice([*self.rng.sample(anything, min(4, len(anything))), *self.model.gone[-2:],
                                str(uuid.UUID(int=self.rng.getrandbits(128), version=4)), self.rng.choice(BAD_NAMES)])

    def key(self, uid, *specs, **facts):
        """An id or an alias."""
        own = [name for owner, name in self.model.aliases if owner == uid]
        return self.rng.choice(own) if own and self.chance(12) else self.id(uid, *specs, **facts)

    def alias(self):
        if self.chance(3):
            return self.rng.choice(BAD_NAMES)
        return f'alias/{self.rng.randrange(60)}'

    def own_alias(self, uid):
        own = [name for owner, name in self.model.aliases if owner == uid]
        return self.rng.choice(own) if own and self.chance(80) else self.alias()

    def text(self):
        return b64(self.rng.randbytes(self.rng.choice([1, 1, 16, 40, 200]))) if self.chance(98) else ''

    def context(self, name='EncryptionContext', percent=30):
        return {name: self.rng.choice([{}, {'a': 'b'}, {'a': 'c', 'b': ''}])} if self.chance(percent) else {}

    def tags(self, most=3):
        if self.chance(3):
            return self.rng.choice([{'': 'x'}, {'n' * 129: ''}, {'n': 'v' * 257}])
        return {f'name {self.rng.randrange(23)}': self.rng.choice(TEXTS[:4]) for _ in range(self.rng.randrange(most + 1))}

    def sent(self, memory, uid):
        """One of those that were answered before; mostly of a key that is there for @uid."""
        usable = [item for item in memory if uid in (0, getattr(self.model.keys.get(item.key_id), 'owner', -1))]
        return self.rng.choice(usable if usable and not self.chance(8) else memory) if memory else None

    # Use

    def Encrypt(self, uid):
        return (self.key(uid, *SYMMETRIC), self.text()), self.context()

    def blob(self, uid):
        blob = self.sent(self.model.blobs, uid)
        if blob is None or self.chance(2):
            return self.rng.choice(['', 'A', 'AAAA=']), {}
        context = dict(blob.context) if not self.chance(3) else {'other': 'x'}
        return Altered(blob) if self.chance(3) else blob, context

    def Decrypt(self, uid):
        blob, context = self.blob(uid)
        options = {'EncryptionContext': context} if context or self.chance(10) else {}
        if self.chance(15):
            right = getattr(getattr(blob, 'source', blob), 'key_id', None)
            options['KeyId'] = right if right and self.chance(70) else self.key(uid)
        return (blob,), options

    def ReEncrypt(self, uid):
        blob, context = self.blob(uid)
        source = {'SourceEncryptionContext': context} if context else {}
        return (blob, self.key(uid, *SYMMETRIC)), {**source, **self.context('DestinationEncryptionContext')}

    def GenerateDataKeyWithoutPlaintext(self, uid):
        options = self.context()
        if self.chance(30):
            options['NumberOfBytes'] = self.rng.choice([1, 16, 24, 64, 1024, 0, 1025])
        if self.chance(30):
            options['KeySpec'] = self.rng.choice(['AES_256', 'AES_128', 'AES_128', 'SM4'])
        return (self.key(uid, *SYMMETRIC),), options

    GenerateDataKey = GenerateDataKeyWithoutPlaintext

    def message(self):
        return b64(bytes([self.rng.randrange(4)]) * 20)

    def GenerateMac(self, uid):
        return (self.key(uid, 'HMAC_256'), self.message(), 'HMAC_SHA_256'), {}

    def VerifyMac(self, uid):
        if not self.model.macs:
            return None
        mac = self.rng.choice(self.model.macs)
        return (self.key(uid, 'HMAC_256'), mac.message if self.chance(80) else self.message(), mac, 'HMAC_SHA_256'), {}

    def Sign(self, uid):
        return (self.key(uid, *ASYMMETRIC, usage='SIGN_VERIFY'), self.message(),
                self.rng.choice(['ECDSA_SHA_256', 'SM2DSA'])), {}

    def Verify(self, uid):
        if not self.model.signatures:
            return None
        signature = self.rng.choice(self.model.signatures)
        return (self.key(uid, signature.spec, usage='SIGN_VERIFY'),
                signature.message if self.chance(80) else self.message(), signature, ALGORITHMS[signature.spec][0]), {}

    def AsymmetricEncrypt(self, uid):
        return (self.key(uid, 'EC_SM2', usage='ENCRYPT_DECRYPT'), self.message(), 'SM2PKE'), {}

    def AsymmetricDecrypt(self, uid):
        if not self.model.ciphertexts:
            return None
        ciphertext = self.rng.choice(self.model.ciphertexts)
        return (self.key(uid, 'EC_SM2', usage='ENCRYPT_DECRYPT'), ciphertext, 'SM2PKE'), {}

    def GetPublicKey(self, uid):
        return (self.key(uid, *ASYMMETRIC),), {}

    # Keys

    def CreateKey(self, uid):
        options = {'Origin': self.rng.choice(['EXTERNAL', 'CMKD_KMS', 'NONE'][:2 + self.chance(3)])}
        options['KeySpec'], = self.rng.choices([*USAGES, 'AES_512'], [8, 4, 3, 2, 3, .5])
        if self.chance(40):
            options['KeyUsage'] = self.rng.choice(
                USAGES.get(options['KeySpec'], ['SIGN_VERIFY']) if self.chance(80) else ['SIGN_VERIFY'])
        if self.chance(40):
            options['Description'] = self.rng.choice([*TEXTS, 'x' * 8193])
        if self.chance(30):
            options['Alias'] = self.alias()
        if self.chance(30):
            options['Tags'] = self.tags()
        if self.chance(3):
            options['Tags'] = {f'name {number}': '' for number in range(self.rng.choice([20, 21]))}
        if self.chance(8):
            options['ProtectionLevel'] = self.rng.choice(['SOFTWARE', 'TPM', 'TPM', 'TPM', 'HSM'][:4 + self.chance(10)])
        if self.chance(25):
            options['KeyId'] = self.id(uid, wrong=30) if self.chance(20) else self.rng.choice(
                [*self.model.gone[-10:], str(uuid.UUID(int=self.rng.getrandbits(128), version=4))])
        return (), options

    def DescribeKey(self, uid):
        return (self.key(uid),), {}

    def listing(self, uid, kind):
        options = {'Limit': self.rng.choice([1, 2, 3, 5, 20, 1000, 0, 1001])} if self.chance(70) else {}
        markers = [marker for marker in self.model.markers if marker.list == (kind, uid)]
        if markers and self.chance(50):
            options['Marker'] = self.rng.choice(markers)
        elif self.model.markers and self.chance(5):
            options['Marker'] = self.rng.choice([*self.model.markers, 'AAAA'])
        return options

    def ListKeys(self, uid):
        options = self.listing(uid, 'Keys')
        for name, values in (('KeyState', [*STATES, 'Gone']), ('KeySpec', USAGES), ('Origin', ['EXTERNAL', 'CMKD_KMS'])):
            if self.chance(15):
                options[name] = self.rng.choice(list(values))
        return (), options

    def EnableKey(self, uid):
        return (self.key(uid, state=self.rng.choice(STATES[:2] * 3 + STATES)),), {}

    def DisableKey(self, uid):
        return (self.key(uid),), {}

    def ScheduleKeyDeletion(self, uid):
        options = {'PendingWindowInDays': self.rng.choice([7, 7, 8, 30, 1096, 6, 1097])} if self.chance(80) else {}
        return (self.key(uid),), options

    def CancelKeyDeletion(self, uid):
        return (self.key(uid, state='PendingDeletion') if self.chance(85) else self.key(uid),), {}

    def UpdateKeyDescription(self, uid):
        return (self.key(uid), self.rng.choice([*TEXTS, *TEXTS, 'x' * 8193])), {}

    # Aliases and tags

    def CreateAlias(self, uid):
        return (self.alias(), self.key(uid)), {}

    def UpdateAlias(self, uid):
        return (self.own_alias(uid), self.key(uid)), {}

    def DeleteAlias(self, uid):
        return (self.own_alias(uid),), {}

    def ListAliases(self, uid):
        return (), {**self.listing(uid, 'Aliases'), **({'KeyId': self.key(uid)} if self.chance(40) else {})}

    def TagResource(self, uid):
        return (self.key(uid), self.tags(8)), {}

    def UntagResource(self, uid):
        return (self.key(uid), [f'name {self.rng.randrange(23)}' for _ in range(self.rng.randrange(8))]), {}

    # Import

    def GetParametersForImport(self, uid):
        pair = ('SM2PKE', 'EC_SM2') if self.chance(95) else self.rng.choice(
            [('SM2PKE', 'RSA_2048'), ('RSAES_OAEP_SHA_256', 'EC_SM2'), ('SM2PKE', 'EC_P256'), ('', '')])
        facts = {'state': 'PendingImport'} if self.chance(60) else {}
        name = self.id(uid, origin='EXTERNAL', **facts) if self.chance(95) else self.key(uid)
        return (name, *pair), {}

    def ImportKeyMaterial(self, uid):
        sets = [one for one in self.model.every_set if one.uid == uid or uid == 0]
        if not sets:
            return None
        usable = [one for one in sets if one.there and one.expires > self.model.now]
        used = self.rng.choice(usable if usable and self.chance(90) else sets)
        key_id = used.key.id if self.chance(93) else self.id(uid)
        known = self.model.keys.get(used.key.id)
        data = known.bound if known and known.bound and self.chance(75) else self.rng.choice(
            self.materials[used.key.spec] if self.chance(94) else self.rng.choice(list(self.materials.values())))
        wrapping = Wrapping(used if self.chance(96) else self.rng.choice(sets), data,
                            self.rng.choice(['altered', 'altered', 'short']) if self.chance(8) else None)
        token = used.token if self.chance(97) else self.rng.choice([Altered(used.token), '', 'x'])
        options = {}
        if self.chance(50):
            options['KeyMaterialExpireUnix'] = self.rng.choice([
                0, LAST_SECOND, self.model.now, LAST_SECOND + 1, self.model.now + 1,
                *(self.model.now + self.rng.randrange(1, seconds) for seconds in (3600, DAY, 10 * DAY, 40 * DAY))])
        if self.chance(20):
            options['Sequence'] = self.rng.choice(['0123456789-abcdefghijklmnopqrstuvwxyz'[:36], 'short'])
        return (key_id, wrapping if self.chance(98) else '', token), options

    def DeleteKeyMaterial(self, uid):
        return (self.id(uid, origin='EXTERNAL') if self.chance(93) else self.key(uid),), {}

# SPDX-License-Identifier: Apache-2.0
"""What cmkd has to answer: a reference model of its keys, aliases, tags, import sets and ciphertexts.

It is written from the contract (design 1.3, 1.4 and 1.7, dbus/org.cmkd.Kms1.xml) and shares no code with cmkd. Model.call()
says what a call will be answered, before it is sent: the fields, or the name of the error. What cmkd makes up by itself -
ids, tokens, ciphertexts - is a Fresh in the answer, which learns its value when the answer is there and is an argument of
calls to come."""
import base64
import hmac
import re

DAY = 86400
LAST_SECOND = 253402300799
FAILURES = 8  # of one wrapping key
ENCRYPTING, SIGNING, AUTHENTICATING = 'ENCRYPT_DECRYPT', 'SIGN_VERIFY', 'GENERATE_VERIFY_MAC'
USAGES = {'AES_256': [ENCRYPTING], 'SM4': [ENCRYPTING], 'HMAC_256': [AUTHENTICATING], 'EC_P256': [SIGNING],
          'EC_SM2': [SIGNING, ENCRYPTING]}  # the default first; the specs that the model knows
SYMMETRIC, ASYMMETRIC = ('AES_256', 'SM4'), ('EC_P256', 'EC_SM2')
SIZES = {'AES_256': 32, 'SM4': 16, 'HMAC_256': 32}
STATES = ('Enabled', 'Disabled', 'PendingImport', 'PendingDeletion')
ALGORITHMS = {'EC_P256': ['ECDSA_SHA_256'], 'EC_SM2': ['SM2DSA', 'SM2PKE'], 'HMAC_256': ['HMAC_SHA_256']}
ALIAS, KEY_ID = r'alias/[A-Za-z0-9_/-]{1,255}', r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
BASE64 = r'[A-Za-z0-9+/]+={0,2}'


class Refused(Exception):
    """Of a call; its one argument is the name of the error."""


class Fresh:
    """Something that cmkd will make up, of a @form (regular expression); if @unique, nothing before was equal to it.
    @facts are attributes for the model."""

    known = set()

    def __init__(self, form, unique=True, **facts):
        self.form, self.unique, self.value = form, unique, None
        self.__dict__.update(facts)

    def takes(self, value):
        """Whether the value of an answer is this one; the first value is learnt."""
        if self.value is None and isinstance(value, str) and re.fullmatch(self.form, value):
            if self.unique and value in self.known:
                return False
            self.known.add(value)
            self.value = value
        return value == self.value

    def __repr__(self):
        return 'something new' if self.value is None else repr(self.value)


class Altered:
    """An argument made of a Fresh by changing its last byte."""

    def __init__(self, source):
        self.source = source


class Wrapping:
    """Material as it is encrypted to the public key of @import_set. @flaw: None, 'altered', or 'short' for what is too
    short for any ciphertext."""

    def __init__(self, import_set, data, flaw=None):
        self.import_set, self.data, self.flaw = import_set, data, flaw


class Key:
    def __init__(self, serial, owner, key_id, spec, usage, origin, now):
        self.serial, self.owner, self.id, self.spec, self.usage, self.origin = serial, owner, key_id, spec, usage, origin
        self.created, self.description, self.tags = now, '', {}
        self.expires = self.delete_at = 0
        self.state_before = None
        if origin == 'EXTERNAL':
            self.state, self.material, self.bound = 'PendingImport', None, None
        else:  # what nobody else knows is like nothing but itself
            self.state, self.material, self.bound = 'Enabled', object(), None
        self.own_public = Fresh(BASE64)

    @property
    def public(self):
        return self.own_public if self.origin == 'CMKD_KMS' else base64.b64encode(self.material.public).decode()

    def lose_material(self):
        self.material, self.expires = None, 0
        if self.state != 'PendingDeletion':
            self.state = 'PendingImport'


class ImportSet:
    """What a GetParametersForImport call made."""

    def __init__(self, key, uid, now):
        self.key, self.uid, self.expires, self.failures, self.there = key, uid, now + DAY, 0, True
        self.public_key, self.token = Fresh(BASE64), Fresh(r'[A-Za-z0-9+/]{200,6144}={0,2}', import_set=self)


def form(condition):
    if not condition:
        raise Refused('InvalidParameter')


def need(condition, error):
    if not condition:
        raise Refused(error)


def specs_of(algorithm):
    return [spec for spec, algorithms in ALGORITHMS.items() if algorithm in algorithms]


class Model:
    def __init__(self, now, limits):
        """@limits: KeysPerUser, ImportSetsPerKey, ImportSetsPerUser."""
        self.now, self.limits = now, limits
        self.keys, self.aliases, self.sets = {}, {}, []  # {id: Key}, {(uid, name): (serial, Key)}
        self.serial = 0
        self.every_set = []  # those that are no more, too
        self.gone = []  # ids of keys that were deleted
        # To be sent back, the latest last.
        self.blobs, self.ciphertexts, self.signatures, self.macs, self.markers = [], [], [], [], []

    def call(self, uid, method, arguments, options):
        """The answer, without its RequestId; Refused if it is an error."""
        return getattr(self, method)(uid, *arguments, **options)

    def move_clock(self, now):
        self.now = now
        for key in list(self.keys.values()):
            if key.delete_at and key.delete_at <= now:
                self.delete(key)
            elif key.expires and key.expires <= now:
                key.lose_material()

    def delete(self, key):
        del self.keys[key.id]
        self.gone.append(key.id)
        self.aliases = {name: entry for name, entry in self.aliases.items() if entry[1] is not key}
        for one in self.sets:
            one.there &= one.key is not key

    def remember(self, memory, item):
        memory.append(item)
        del memory[:-100]

    def next_serial(self):
        self.serial += 1
        return self.serial

    # What is looked at first

    def check_name(self, name, takes_alias=True):
        """The form of what names a key."""
        if isinstance(name, str):
            form(re.fullmatch(KEY_ID, name) or (takes_alias and re.fullmatch(ALIAS, name)))

    def find(self, uid, name):
        """The Key that @name stands for, with this caller."""
        if isinstance(name, str) and name.startswith('alias/'):
            need((uid, name) in self.aliases, 'AliasNotFound')
            return self.aliases[uid, name][1]
        key = self.keys.get(name)
        need(key and uid in (0, key.owner), 'KeyNotFound')
        return key

    def named(self, uid, name, takes_alias=True):
        self.check_name(name, takes_alias)
        return self.find(uid, name)

    def changeable(self, uid, name):
        key = self.named(uid, name)
        need(key.state != 'PendingDeletion', 'KeyPendingDeletion')
        return key

    def external(self, uid, key_id):
        key = self.named(uid, key_id, takes_alias=False)
        need(key.origin == 'EXTERNAL', 'NotExternalKey')
        return key

    @staticmethod
    def check_use(key, usage, specs):
        need(key.usage == usage and key.spec in specs, 'UnsupportedOperation')
        need(key.state == 'Enabled', f'Key{key.state}')

    def usable(self, uid, name, usage, specs):
        key = self.named(uid, name)
        self.check_use(key, usage, specs)
        return key

    # Keys

    def describe(self, uid, key):
        return {'KeyId': key.id, 'KeyState': key.state, 'KeySpec': key.spec, 'KeyUsage': key.usage, 'Origin': key.origin,
                'ProtectionLevel': key.level, 'Description': key.description, 'Creator': key.owner,
                'CreationDate': key.created, 'DeleteDate': key.delete_at, 'MaterialExpireTime': key.expires,
                'Aliases': [name for _, name in sorted((serial, name) for (owner, name), (serial, of)
                                                       in self.aliases.items() if of is key and uid in (0, owner))],
                'Tags': dict(key.tags)}

    def CreateKey(self, uid, Origin='CMKD_KMS', KeySpec='AES_256', KeyUsage=None, Description='', Alias=None, Tags=None,
                  KeyId=None, ProtectionLevel='SOFTWARE'):
        form(Origin in ('EXTERNAL', 'CMKD_KMS') and KeySpec in USAGES and ProtectionLevel in ('SOFTWARE', 'TPM'))
        form(len(Description) <= 8192 and (Alias is None or re.fullmatch(ALIAS, Alias)))
        self.check_tags(Tags or {})
        self.check_name(KeyId, takes_alias=False)
        usage = KeyUsage or USAGES[KeySpec][0]
        need(usage in USAGES[KeySpec] and (ProtectionLevel == 'SOFTWARE' or KeySpec != 'EC_SM2'), 'UnsupportedOperation')
        need(KeyId is None or Origin == 'EXTERNAL', 'UnsupportedOperation')
        need(sum(key.owner == uid for key in self.keys.values()) < self.limits['KeysPerUser'], 'LimitExceeded')
        need(len(Tags or {}) <= 20, 'LimitExceeded')
        need(Alias is None or (uid, Alias) not in self.aliases, 'AliasAlreadyExists')
        need(KeyId not in self.keys, 'KeyAlreadyExists')
        key = Key(self.next_serial(), uid, KeyId if KeyId is not None else Fresh(KEY_ID), KeySpec, usage, Origin, self.now)
        key.level, key.description, key.tags = ProtectionLevel, Description, dict(Tags or {})
        self.keys[key.id] = key
        if Alias is not None:
            self.aliases[uid, Alias] = (self.next_serial(), key)
        return {'KeyMetadata': self.describe(uid, key)}

    def DescribeKey(self, uid, name):
        return {'KeyMetadata': self.describe(uid, self.named(uid, name))}

    def page(self, uid, kind, entries, limit, marker):
        """The next @limit of @entries, (serial, what is told), and the marker to go on from."""
        after = 0
        if marker is not None:
            form(isinstance(marker, Fresh) and marker.list == (kind, uid))
            after = marker.after
        left = [entry for entry in sorted(entries, key=lambda entry: entry[0]) if entry[0] > after]
        next_marker = ''
        if len(left) > limit:
            next_marker = Fresh(BASE64, unique=False, list=(kind, uid), after=left[limit - 1][0])
            self.remember(self.markers, next_marker)
        return {kind: [told for _, told in left[:limit]], 'NextMarker': next_marker}

    def ListKeys(self, uid, Limit=100, Marker=None, KeyState=None, KeySpec=None, Origin=None):
        form(1 <= Limit <= 1000 and KeyState in (None, *STATES) and KeySpec in (None, *USAGES))
        form(Origin in (None, 'EXTERNAL', 'CMKD_KMS'))
        return self.page(uid, 'Keys', [
            (key.serial, self.describe(uid, key)) for key in self.keys.values()
            if uid in (0, key.owner) and KeyState in (None, key.state) and KeySpec in (None, key.spec)
            and Origin in (None, key.origin)], Limit, Marker)

    def switch(self, uid, name, state):
        key = self.named(uid, name)
        need(key.state in ('Enabled', 'Disabled'), f'Key{key.state}')
        key.state = state
        return {'KeyId': key.id, 'KeyState': state}

    def EnableKey(self, uid, name):
        return self.switch(uid, name, 'Enabled')

    def DisableKey(self, uid, name):
        return self.switch(uid, name, 'Disabled')

    def ScheduleKeyDeletion(self, uid, name, PendingWindowInDays=30):
        self.check_name(name)
        form(7 <= PendingWindowInDays <= 1096)
        key = self.changeable(uid, name)
        key.state, key.state_before, key.delete_at = 'PendingDeletion', key.state, self.now + PendingWindowInDays * DAY
        return {'KeyId': key.id, 'KeyState': key.state, 'DeleteDate': key.delete_at}

    def CancelKeyDeletion(self, uid, name):
        key = self.named(uid, name)
        need(key.state == 'PendingDeletion', 'StateNotAllowed')
        key.state, key.delete_at = key.state_before if key.material else 'PendingImport', 0
        return {'KeyId': key.id, 'KeyState': key.state}

    def UpdateKeyDescription(self, uid, name, description):
        self.check_name(name)
        form(len(description) <= 8192)
        key = self.changeable(uid, name)
        key.description = description
        return {'KeyId': key.id}

    # Aliases and tags

    def has_room(self, key):
        need(sum(of is key for _, of in self.aliases.values()) < 50, 'LimitExceeded')

    def CreateAlias(self, uid, alias, name):
        form(re.fullmatch(ALIAS, alias))
        key = self.changeable(uid, name)
        self.has_room(key)
        need((uid, alias) not in self.aliases, 'AliasAlreadyExists')
        self.aliases[uid, alias] = (self.next_serial(), key)
        return {'AliasName': alias, 'KeyId': key.id}

    def UpdateAlias(self, uid, alias, name):
        form(re.fullmatch(ALIAS, alias))
        key = self.named(uid, name)
        need((uid, alias) in self.aliases, 'AliasNotFound')
        need(key.state != 'PendingDeletion', 'KeyPendingDeletion')
        serial, before = self.aliases[uid, alias]
        if before is not key:
            self.has_room(key)
        self.aliases[uid, alias] = (serial, key)
        return {'AliasName': alias, 'KeyId': key.id}

    def DeleteAlias(self, uid, alias):
        form(re.fullmatch(ALIAS, alias))
        need(self.aliases.pop((uid, alias), None), 'AliasNotFound')
        return {'AliasName': alias}

    def ListAliases(self, uid, KeyId=None, Limit=100, Marker=None):
        form(1 <= Limit <= 1000)
        key = self.named(uid, KeyId) if KeyId is not None else None
        return self.page(uid, 'Aliases', [
            (serial, {'AliasName': name, 'KeyId': of.id}) for (owner, name), (serial, of) in self.aliases.items()
            if owner == uid and key in (None, of)], Limit, Marker)

    @staticmethod
    def check_tags(tags):
        form(all(1 <= len(name) <= 128 and len(value) <= 256 for name, value in tags.items()))

    def TagResource(self, uid, name, tags):
        self.check_name(name)
        self.check_tags(tags)
        key = self.changeable(uid, name)
        need(len({**key.tags, **tags}) <= 20, 'LimitExceeded')
        key.tags.update(tags)
        return {'KeyId': key.id}

    def UntagResource(self, uid, name, names):
        key = self.changeable(uid, name)
        key.tags = {tag: value for tag, value in key.tags.items() if tag not in names}
        return {'KeyId': key.id}

    # Import

    def GetParametersForImport(self, uid, key_id, algorithm, spec):
        self.check_name(key_id, takes_alias=False)
        form((algorithm, spec) == ('SM2PKE', 'EC_SM2'))  # the one pair that the model knows
        key = self.external(uid, key_id)
        need(key.state != 'PendingDeletion', 'KeyPendingDeletion')
        self.sets = [one for one in self.sets if one.there and one.expires > self.now]
        need(sum(one.key is key for one in self.sets) < self.limits['ImportSetsPerKey'], 'LimitExceeded')
        need(sum(one.uid == uid for one in self.sets) < self.limits['ImportSetsPerUser'], 'LimitExceeded')
        made = ImportSet(key, uid, self.now)
        self.sets.append(made)
        self.remember(self.every_set, made)
        return {'KeyId': key.id, 'ImportToken': made.token, 'PublicKey': made.public_key, 'TokenExpireTime': made.expires,
                'WrappingAlgorithm': algorithm, 'WrappingKeySpec': spec}

    def ImportKeyMaterial(self, uid, key_id, wrapping, token, KeyMaterialExpireUnix=0, Sequence=None):
        self.check_name(key_id, takes_alias=False)
        form(not isinstance(wrapping, str) and not isinstance(token, str))
        form(KeyMaterialExpireUnix == 0 or self.now < KeyMaterialExpireUnix <= LAST_SECOND)
        form(Sequence is None or re.fullmatch('[0-9A-Za-z-]{36}', Sequence))
        key = self.external(uid, key_id)
        need(key.state in ('Enabled', 'PendingImport'), f'Key{key.state}')
        need(isinstance(token, Fresh) and token.import_set.key.id == key.id, 'InvalidImportToken')
        used = token.import_set
        need(used.expires > self.now, 'ExpiredImportToken')
        need(used.there, 'InvalidImportToken')
        form(wrapping.flaw != 'short')
        try:
            need(wrapping.import_set is used and not wrapping.flaw and self.fits(key, wrapping.data),
                 'IncorrectKeyMaterial')
            need(key.bound in (None, wrapping.data), 'MaterialMismatch')
        except Refused:
            used.failures += 1
            used.there = used.failures < FAILURES
            raise
        key.material = key.bound = wrapping.data
        key.state, key.expires = 'Enabled', KeyMaterialExpireUnix
        answer = {'KeyId': key.id, 'KeyState': key.state, 'MaterialExpireTime': key.expires}
        return answer if Sequence is None else {**answer, 'Sequence': Sequence}

    @staticmethod
    def fits(key, data):
        """@data: bytes, or a PrivateKey of openssl_keys."""
        return len(data) == SIZES.get(key.spec) if isinstance(data, bytes) else data.spec == key.spec

    def DeleteKeyMaterial(self, uid, key_id):
        key = self.external(uid, key_id)
        key.lose_material()
        return {'KeyId': key.id, 'KeyState': key.state}

    # Use

    def new_blob(self, key, plaintext, context):
        blob = Fresh(BASE64, key_id=key.id, material=key.material, plaintext=plaintext, context=context or {})
        self.remember(self.blobs, blob)
        return blob

    def Encrypt(self, uid, name, plaintext, EncryptionContext=None):
        form(plaintext)
        key = self.usable(uid, name, ENCRYPTING, SYMMETRIC)
        return {'KeyId': key.id, 'CiphertextBlob': self.new_blob(key, plaintext, EncryptionContext)}

    def open(self, uid, blob, context):
        """(Key, plaintext)"""
        intact = not isinstance(blob, Altered)
        blob = blob if intact else blob.source
        key = self.keys.get(blob.key_id)
        need(key and uid in (0, key.owner), 'InvalidCiphertext')
        self.check_use(key, ENCRYPTING, SYMMETRIC)
        need(intact and blob.context == (context or {}) and blob.material == key.material, 'InvalidCiphertext')
        return key, blob.plaintext

    def Decrypt(self, uid, blob, EncryptionContext=None, KeyId=None):
        form(not isinstance(blob, str))
        if KeyId is not None:
            key = self.named(uid, KeyId)
            need(key.id == getattr(blob, 'source', blob).key_id, 'InvalidCiphertext')
        key, plaintext = self.open(uid, blob, EncryptionContext)
        return {'KeyId': key.id, 'Plaintext': plaintext}

    def ReEncrypt(self, uid, blob, name, SourceEncryptionContext=None, DestinationEncryptionContext=None):
        form(not isinstance(blob, str))
        self.check_name(name)
        source, plaintext = self.open(uid, blob, SourceEncryptionContext)
        key = self.usable(uid, name, ENCRYPTING, SYMMETRIC)
        return {'KeyId': key.id, 'SourceKeyId': source.id,
                'CiphertextBlob': self.new_blob(key, plaintext, DestinationEncryptionContext)}

    def GenerateDataKey(self, uid, name, NumberOfBytes=None, KeySpec='AES_256', EncryptionContext=None):
        self.check_name(name)
        form(NumberOfBytes is None or 1 <= NumberOfBytes <= 1024)
        form(KeySpec in ('AES_256', 'AES_128'))
        key = self.usable(uid, name, ENCRYPTING, SYMMETRIC)
        size = NumberOfBytes or {'AES_256': 32, 'AES_128': 16}[KeySpec]
        plaintext = Fresh('[A-Za-z0-9+/]{%d}={%d}' % (-(-size * 8 // 6), -size % 3), unique=size >= 16)
        return {'KeyId': key.id, 'CiphertextBlob': self.new_blob(key, plaintext, EncryptionContext),
                'Plaintext': plaintext}

    def GenerateDataKeyWithoutPlaintext(self, uid, name, **options):
        answer = self.GenerateDataKey(uid, name, **options)
        del answer['Plaintext']
        return answer

    def GenerateMac(self, uid, name, message, algorithm):
        key = self.usable(uid, name, AUTHENTICATING, specs_of(algorithm))
        mac = Fresh('[A-Za-z0-9+/]{43}=', unique=False, material=key.material, message=message)
        if isinstance(key.material, bytes):
            mac.value = base64.b64encode(hmac.digest(key.material, base64.b64decode(message), 'sha256')).decode()
        self.remember(self.macs, mac)
        return {'KeyId': key.id, 'Mac': mac}

    def VerifyMac(self, uid, name, message, mac, algorithm):
        key = self.usable(uid, name, AUTHENTICATING, specs_of(algorithm))
        return {'KeyId': key.id, 'MacValid': (mac.material, mac.message) == (key.material, message)}

    def Sign(self, uid, name, message, algorithm):
        key = self.usable(uid, name, SIGNING, specs_of(algorithm))
        signature = Fresh(BASE64, spec=key.spec, material=key.material, message=message)
        self.remember(self.signatures, signature)
        return {'KeyId': key.id, 'Signature': signature}

    def Verify(self, uid, name, message, signature, algorithm):
        key = self.usable(uid, name, SIGNING, specs_of(algorithm))
        return {'KeyId': key.id, 'SignatureValid': (signature.material, signature.message) == (key.material, message)}

    def AsymmetricEncrypt(self, uid, name, plaintext, algorithm):
        form(plaintext)
        key = self.usable(uid, name, ENCRYPTING, specs_of(algorithm))
        ciphertext = Fresh(BASE64, material=key.material, plaintext=plaintext)
        self.remember(self.ciphertexts, ciphertext)
        return {'KeyId': key.id, 'CiphertextBlob': ciphertext}

    def AsymmetricDecrypt(self, uid, name, ciphertext, algorithm):
        key = self.usable(uid, name, ENCRYPTING, specs_of(algorithm))
        need(isinstance(ciphertext, Fresh) and ciphertext.material == key.material, 'InvalidCiphertext')
        return {'KeyId': key.id, 'Plaintext': ciphertext.plaintext}

    def GetPublicKey(self, uid, name):
        key = self.named(uid, name)
        need(key.spec in ASYMMETRIC, 'UnsupportedOperation')
        need(key.material, f'Key{key.state}')
        return {'KeyId': key.id, 'PublicKey': key.public, 'KeySpec': key.spec}

# SPDX-License-Identifier: Apache-2.0
"""Callers that do what comes into their heads, and keep a journal of what they were told is done."""
import copy
import itertools
import os

from client import b64
from wrapping import to_wrapping_key
from crash import DEAD, START, outcome

DAY = 86400
MOST_KEYS = 24  # of one writer
COMPARED = ('KeyState', 'Description', 'DeleteDate', 'MaterialExpireTime', 'Aliases', 'Tags')


def comparable(metadata):
    return {name: sorted(metadata[name]) if name == 'Aliases' else metadata[name] for name in COMPARED}


class Writer:
    """One connection, with keys that nobody else touches. @facts: {key: what DescribeKey must say}."""

    def __init__(self, kms, name, random):
        self.kms, self.name, self.random = kms, name, random
        self.facts, self.blobs, self.imports, self.before = {}, {}, {}, {}
        self.numbers = itertools.count(1)
        self.answered = 0
        self.call = self.changes = self.created = None
        for _ in range(2):
            self.make_importable()

    def make_importable(self):
        """A key to import into: its pair is good for many imports."""
        key = self.kms.external_key(Description=f'{self.name} imports')
        parameters = self.kms.parameters(key, 'SM2PKE', 'EC_SM2')
        material = b64(to_wrapping_key(parameters, os.urandom(32)))
        self.kms.ImportKeyMaterial(key, material, parameters['ImportToken'])
        self.imports[key] = (material, parameters['ImportToken'])
        self.blobs[key] = self.kms.Encrypt(key, b64(self.name.encode()))['CiphertextBlob']
        self.facts[key] = comparable(self.kms.describe(key))

    # Calls

    def pump(self):
        """See to it that a call is under way."""
        if self.call and self.call.done:
            self.conclude()
        while self.call is None:  # what came to mind first may not be possible now
            self.choose()()

    def choose(self):
        changes = [self.describe, self.tag, self.untag, self.add_alias, self.drop_alias, self.move_alias, self.switch,
                   self.switch, self.schedule, self.cancel, self.import_again, self.import_again, self.erase, self.ask]
        if len(self.facts) < MOST_KEYS:
            changes += [self.create, self.create]
        return self.random.choice(changes)

    def send(self, changes, method, *arguments, **options):
        """@changes: the facts as they will be once the call is answered."""
        self.changes = changes
        self.call = self.kms.start(method, *arguments, **options)

    def some(self, *states):
        keys = [key for key, fact in self.facts.items() if not states or fact['KeyState'] in states]
        return self.random.choice(keys) if keys else None

    def changed(self, key, **fields):
        return {key: {**copy.deepcopy(self.facts[key]), **fields}}

    def create(self):
        description = f'{self.name} {next(self.numbers)}'
        origin = self.random.choice(['EXTERNAL', 'CMKD_KMS'])
        self.created = {
            'KeyState': 'PendingImport' if origin == 'EXTERNAL' else 'Enabled', 'Description': description,
            'DeleteDate': 0, 'MaterialExpireTime': 0, 'Aliases': [], 'Tags': {'by': self.name}}
        self.send({}, 'CreateKey', Origin=origin, Description=description, Tags={'by': self.name})

    def alive(self):
        return self.some('Enabled', 'Disabled', 'PendingImport')

    def describe(self):
        if key := self.alive():
            text = f'{self.name} {next(self.numbers)}'
            self.send(self.changed(key, Description=text), 'UpdateKeyDescription', key, text)

    def tag(self):
        if key := self.alive():
            more = {self.random.choice('abcd'): str(next(self.numbers))}
            self.send(self.changed(key, Tags={**self.facts[key]['Tags'], **more}), 'TagResource', key, more)

    def untag(self):
        if key := self.alive():
            names = self.random.sample('abcd', 2)
            left = {name: value for name, value in self.facts[key]['Tags'].items() if name not in names}
            self.send(self.changed(key, Tags=left), 'UntagResource', key, names)

    def add_alias(self):
        if key := self.alive():
            alias = f'alias/{self.name}/{next(self.numbers)}'
            if len(self.facts[key]['Aliases']) < 5:
                self.send(self.changed(key, Aliases=sorted([*self.facts[key]['Aliases'], alias])), 'CreateAlias', alias,
                          key)

    def aliases(self):
        return [(alias, key) for key, fact in self.facts.items() for alias in fact['Aliases']]

    def without(self, key, alias):
        return self.changed(key, Aliases=[other for other in self.facts[key]['Aliases'] if other != alias])

    def drop_alias(self):
        if aliases := self.aliases():
            alias, key = self.random.choice(aliases)
            self.send(self.without(key, alias), 'DeleteAlias', alias)

    def move_alias(self):
        aliases, key = self.aliases(), self.alive()
        if aliases and key:
            alias, old = self.random.choice(aliases)
            changes = self.without(old, alias)
            if key != old:
                changes |= self.changed(key, Aliases=sorted([*self.facts[key]['Aliases'], alias]))
                self.send(changes, 'UpdateAlias', alias, key)

    def switch(self):
        if key := self.some('Enabled', 'Disabled'):
            to = self.random.choice(['Enabled', 'Disabled'])
            self.send(self.changed(key, KeyState=to), to[:-1] + 'Key', key)

    def schedule(self):
        if key := self.alive():
            days = self.random.randint(7, 30)
            self.before[key] = self.facts[key]['KeyState']
            self.send(self.changed(key, KeyState='PendingDeletion', DeleteDate=START + days * DAY),
                      'ScheduleKeyDeletion', key, PendingWindowInDays=days)

    def cancel(self):
        if key := self.some('PendingDeletion'):
            self.send(self.changed(key, KeyState=self.before[key], DeleteDate=0), 'CancelKeyDeletion', key)

    def import_again(self):
        key = self.random.choice(list(self.imports))
        if self.facts[key]['KeyState'] in ('Enabled', 'PendingImport'):
            expires = self.random.choice([0, START + self.random.randint(DAY, 9 * DAY)])
            wrapped, token = self.imports[key]
            self.send(self.changed(key, KeyState='Enabled', MaterialExpireTime=expires), 'ImportKeyMaterial', key,
                      wrapped, token, KeyMaterialExpireUnix=expires)

    def erase(self):
        key = self.random.choice(list(self.imports))
        if self.facts[key]['KeyState'] != 'PendingDeletion':
            self.send(self.changed(key, KeyState='PendingImport', MaterialExpireTime=0), 'DeleteKeyMaterial', key)

    def ask(self):
        """Changes nothing that can be seen."""
        key = self.random.choice(list(self.imports))
        if self.facts[key]['KeyState'] != 'PendingDeletion' and self.random.random() < 0.1:
            self.send({}, 'GetParametersForImport', key, 'SM2PKE', 'EC_SM2')

    # Answers

    def conclude(self):
        """The call was answered, or cmkd died over it: then its changes are left for compare()."""
        call, self.call = self.call, None
        if call.error:
            assert call.error.name in DEAD, f'{self.name} was refused: {call.error}'
            return
        self.answered += 1
        self.facts |= self.changes
        if self.created:
            self.facts[call.answer['KeyMetadata']['KeyId']] = self.created
        self.changes = self.created = None

    def compare(self, seen):
        """@seen: {key: metadata} of all keys of this writer's uid. Takes out those that are explained."""
        found = {key: comparable(seen.pop(key)) for key in self.facts if key in seen}
        assert found.keys() == self.facts.keys(), f'{self.name} lost {self.facts.keys() - found.keys()}'
        if self.created:
            for key in [key for key, metadata in seen.items() if comparable(metadata) == self.created]:
                self.facts[key] = found[key] = comparable(seen.pop(key))
        if self.changes and found == {**self.facts, **self.changes}:
            self.facts |= self.changes
        for key, fact in self.facts.items():
            assert found[key] == fact, f'{self.name} was told that {key} is {fact}, and not {found[key]}'
        self.changes = self.created = None

    def prove(self):
        """Material that is there opens what it made; what is deleted or disabled does not."""
        key = self.random.choice(list(self.blobs))
        _, error = outcome(lambda: self.kms.Decrypt(self.blobs[key]))
        state = self.facts[key]['KeyState']
        assert error == (None if state == 'Enabled' else f'Key{state}'), f'{state}: {error}'

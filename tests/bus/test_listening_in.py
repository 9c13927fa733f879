# SPDX-License-Identifier: Apache-2.0
"""Somebody between processor and TPM: what he hears, and what becomes of what he changes. test_secrecy.py has what he
hears of imports and of use."""
import contextlib
import os
import struct
import subprocess

import pytest

from blob import derive
from client import DBusError, b64, refused, unb64
from harness import TRANSIENT
from interposer import GIVES_HANDLE, HANDLE_END, NV_READ, PASSWORD, READ_PUBLIC, SIZE_FIELD, TappedMachine
from search import find, secrets_of_store
from state import ROOT_KEY, erasure_keys, meta, rows, tpm_tool
from wrapping import to_wrapping_key

CONFIG = {'WrappingKeys': {'ReadyRsa2048': 0}, 'Cache': {'MaterialSeconds': 0}, 'Anchor': {'StepsPerDay': 0},
          'Limits': {'ImportSetsPerKey': 10000, 'ImportSetsPerUser': 10000}}
STORAGE = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
ALTERED = 'something altered the traffic'


@pytest.fixture
def machine():
    """What a test is about begins when the TPM has been provisioned. Nothing may be counted as a failed
    authorisation, whatever happens to it."""
    machine = TappedMachine(config=CONFIG)
    try:
        counted = machine.lockout_counter()
        yield machine
        assert machine.lockout_counter() == counted
    except BaseException:
        machine.shut_down()
        raise
    machine.close()


@pytest.fixture
def kms(machine):
    return machine.client()


def import_material(kms, key, material):
    parameters = kms.parameters(key, 'SM2PKE', 'EC_SM2')
    kms.ImportKeyMaterial(key, b64(to_wrapping_key(parameters, material)), parameters['ImportToken'])


# What he hears

def test_what_the_tpm_notes_is_not_heard(machine, kms):
    """The secrets of erasure, before and after each step, and what authorises reading them."""
    key, material, noted = kms.external_key(), os.urandom(32), set(erasure_keys(machine))
    import_material(kms, key, material)
    for step in kms.DisableKey, kms.EnableKey, kms.DisableKey, kms.DeleteKeyMaterial:
        step(key)
        noted.update(erasure_keys(machine))
    machine.restart()
    import_material(kms, key, material)
    noted.update(erasure_keys(machine))
    assert len(noted) >= 4
    heard = b''.join(message.command + message.answer for message in machine.interposer.heard)
    assert find({**secrets_of_store(machine), **dict(enumerate(noted)), 'material': material}, heard) == []


def test_what_a_key_inside_the_tpm_computes_is_not_heard(machine, kms):
    """The TPM answers with the key of each message, docs/ciphertext-format.md."""
    key, material = kms.external_key(ProtectionLevel='TPM'), os.urandom(32)
    import_material(kms, key, material)
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    start, commitment = unb64(blob)[4:37], unb64(blob)[37:69]
    message_key = derive(material, b'cmkd/v1/message', start, 32)
    assert derive(message_key, b'cmkd/v1/expand', b'', 76)[-32:] == commitment
    for begin in (lambda: None, machine.restart):
        begin()
        with machine.tpm_commands() as commands:
            assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'
        assert 'HMAC' in commands
    heard = b''.join(message.command + message.answer for message in machine.interposer.heard)
    assert find({'material': material, 'key of the message': message_key}, heard) == []


def test_what_is_read_in_clear_is_heard(machine):
    """That the search above would find something: the same by a program that opens no session."""
    secrets, handle = secrets_of_store(machine), rows(machine, 'SELECT nv_handle FROM anchor')[0][0]
    authorisation = struct.pack('>IHBH', PASSWORD, 0, 0, 32) + secrets['nv-index']
    command = struct.pack('>III', handle, handle, len(authorisation)) + authorisation + struct.pack('>HH', 96, 0)
    machine.interposer.pass_on(struct.pack('>HII', 0x8002, 10 + len(command), NV_READ) + command)
    heard = b''.join(message.command + message.answer for message in machine.interposer.heard)
    assert {found.split(',')[0] for found in find(secrets, heard)} == {
        'root key of erasure', 'next root key of erasure', 'nv-index'}


# The pin

def make_persistent(machine, place, attributes, *template):
    context = machine.directory / 'other'
    tpm_tool(machine, 'createprimary', '-C', 'o', '-a', attributes, *template, '-c', context)
    tpm_tool(machine, 'flushcontext', '--transient-object')
    tpm_tool(machine, 'evictcontrol', '-C', 'o', '-c', context, place)
    tpm_tool(machine, 'flushcontext', '--transient-object')


def put_in_the_place_of_the_root_key(machine, template):
    evict_root_key(machine)
    make_persistent(machine, ROOT_KEY, *template)


def evict_root_key(machine):
    tpm_tool(machine, 'evictcontrol', '-C', 'o', '-c', ROOT_KEY)


def provisioned(machine):
    """What cmkd has made in the TPM, and what it has sealed the store with."""
    return (tpm_tool(machine, 'getcap', 'handles-persistent'), tpm_tool(machine, 'getcap', 'handles-nv-index'),
            tpm_tool(machine, 'readpublic', '-c', ROOT_KEY), meta(machine, 'root-sealed-key'))


# As standard as ours, with another name: a TPM that was cleared would have one like it. (The second differs in nothing
# else; a session salted to ours opens, and fails at its first use.)
OTHERS = {'RSA_2048': (STORAGE, '-G', 'rsa2048:aes128cfb'),
          'P-256': (f'{STORAGE}|adminwithpolicy', '-G', 'ecc256:aes128cfb'),
          'P-256 that counts guesses': (STORAGE.replace('noda|', ''), '-G', 'ecc256:aes128cfb')}
# Nothing that cmkd would ever use, so it goes on with its own, which it can make at any time.
STRANGERS = {'P-384': (STORAGE, '-G', 'ecc384:aes128cfb'),
             'signing key': (STORAGE.replace('restricted|decrypt', 'sign'), '-G', 'ecc256:ecdsa-sha256')}


@pytest.mark.parametrize('other', OTHERS)
def test_another_key_in_the_place_of_the_root_key(machine, kms, other):
    key = kms.own_key()
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    put_in_the_place_of_the_root_key(machine, OTHERS[other])
    before = provisioned(machine)
    for begin in (lambda: None, machine.restart):
        begin()
        for _ in range(2):
            with refused('TpmChanged') as refusal:
                kms.own_key()
            assert ALTERED not in refusal.message
    with refused('TpmChanged'):
        kms.Decrypt(blob)
    assert provisioned(machine) == before
    assert machine.client(0).describe(key)['KeyState'] == 'Enabled'
    evict_root_key(machine)
    machine.restart()
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'


@pytest.mark.parametrize('stranger', [None, *STRANGERS])
def test_a_root_key_that_is_not_in_its_place_is_made_again(machine, kms, stranger):
    key = kms.own_key()
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    if stranger is None:
        evict_root_key(machine)
    else:
        put_in_the_place_of_the_root_key(machine, STRANGERS[stranger])
    sealed = meta(machine, 'root-sealed-key')
    for begin in (lambda: None, machine.restart):
        begin()
        kms.own_key()
        assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'
    assert meta(machine, 'root-sealed-key') == sealed


def answer_for_other_key(machine):
    """What the TPM says of a key that somebody else has, at another place."""
    make_persistent(machine, '0x81000123', *OTHERS['P-256'])
    answer = machine.ask_tpm(struct.pack('>HIII', 0x8001, 14, READ_PUBLIC, 0x81000123))
    tpm_tool(machine, 'evictcontrol', '-C', 'o', '-c', '0x81000123')
    return answer


def public_end(answer):
    return 12 + int.from_bytes(answer[10:12], 'big')


@pytest.mark.parametrize('name, error, text', [('his', 'TpmChanged', 'cleared'), ('ours', 'TpmUnavailable', ALTERED)])
def test_an_interposer_who_says_that_his_key_is_the_root_key(machine, kms, name, error, text):
    """Under its own name it is another key. Under the name of ours it is a lie. No session is salted to it, and nothing
    is brought under it."""
    key, blob = kms.own_key(), None
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    his = answer_for_other_key(machine)

    def lie(command, answer):
        if int.from_bytes(command[6:10], 'big') != READ_PUBLIC:
            return answer
        return his if name == 'his' else his[:public_end(his)] + answer[public_end(answer):]

    machine.stop()
    (machine.state / 'handover').unlink()  # or the root key would not be asked for
    sealed = meta(machine, 'root-sealed-key')
    machine.interposer.change_answer = lie
    with machine.tpm_commands() as commands:
        machine.start()
        for _ in range(2):
            with refused(error) as refusal:
                kms.Decrypt(blob)
            assert text in refusal.message
    assert not {'Create', 'CreatePrimary', 'EvictControl', 'Unseal', 'NV_Write', 'NV_DefineSpace'} & set(commands)
    machine.interposer.leave()
    machine.restart()
    assert unb64(kms.Decrypt(blob)['Plaintext']) == b'x'
    assert meta(machine, 'root-sealed-key') == sealed


# What others did to the TPM

def lock_out(machine):
    """Guess the authorisation of an object that is protected against that, until the TPM lets nobody try any more."""
    context, counted = machine.directory / 'guarded', machine.lockout_counter() - 1
    tpm_tool(machine, 'createprimary', '-C', 'o', '-p', 'secret', '-G', 'ecc256:aes128cfb', '-c', context)
    while machine.lockout_counter() > counted:
        counted = machine.lockout_counter()
        tpm_tool(machine, 'flushcontext', '--transient-object')
        with pytest.raises(subprocess.CalledProcessError):
            tpm_tool(machine, 'create', '-C', context, '-P', 'guess')
    tpm_tool(machine, 'flushcontext', '--transient-object')
    return counted


def test_tp_06_lockout_is_not_ours(machine, kms):
    use, use_inside, note = using(kms), using(kms, ProtectionLevel='TPM'), noting(kms)
    counted = lock_out(machine)
    assert counted > 0
    for begin in (lambda: None, machine.restart):
        begin()
        for call in use, use_inside, note, importing(kms), kms.own_key:
            call()
        assert machine.lockout_counter() == counted
    tpm_tool(machine, 'dictionarylockout', '--clear-lockout')


# What he changes
AGAIN = 20  # commands for a second attempt, with all that goes before it


def positions(message, of_answer, distance):
    """Where a bit is flipped. Not in the size: then one side waits for the other. And not where it makes a new handle
    unknown, which then nobody could flush but the resource manager that is not there."""
    size = len(message.answer if of_answer else message.command)
    left_out = range(HANDLE_END) if of_answer and message.code in GIVES_HANDLE else SIZE_FIELD
    return sorted(place for place in {*range(0, size, distance), *range(6, 10), size - 1}
                  if place not in left_out)


def flips(messages, distance):
    return [(place, of_answer, position) for place, message in enumerate(messages) for of_answer in (False, True)
            for position in positions(message, of_answer, distance)]


def using(kms, **options):
    key, plaintext = kms.own_key(**options), os.urandom(32)
    blob = kms.Encrypt(key, b64(plaintext))['CiphertextBlob']

    def use():
        assert unb64(kms.Decrypt(blob)['Plaintext']) == plaintext
    return use


def importing(kms):
    parameters = kms.parameters(kms.external_key(), 'SM2PKE', 'EC_SM2')
    material = b64(to_wrapping_key(parameters, os.urandom(32)))
    return lambda: kms.ImportKeyMaterial(parameters['KeyId'], material, parameters['ImportToken'])


def noting(kms):
    key = kms.own_key()

    def note():
        kms.EnableKey(key)
        kms.DisableKey(key)
        assert kms.state(key) == 'Disabled'
    return note


def stand_in_for_resource_manager(machine, messages, flip):
    """ESYS does not say what handle is in an answer that it does not believe; a resource manager knows."""
    place, of_answer, _ = flip
    if of_answer and messages[place].code in GIVES_HANDLE:
        tpm_tool(machine, 'flushcontext', '--transient-object')


@pytest.mark.parametrize('begin, distance', [
    (using, 5), (lambda kms: using(kms, ProtectionLevel='TPM'), 5), (lambda kms: kms.own_key, 5), (noting, 5),
    (importing, 97)], ids=['use', 'use inside', 'seal', 'note', 'import'])
def test_every_message_is_protected(machine, kms, begin, distance):
    """A flipped bit is told, or it changes nothing. There is no other answer, no endless retry, and nothing is left
    that the next call would stumble on."""
    call, wires, told = begin(kms), machine.interposer, 0
    call()
    indexes = tpm_tool(machine, 'getcap', 'handles-nv-index')
    with wires.hearing() as messages:
        call()
    for flip in flips(messages, distance):
        wires.flip_bit(*flip)
        with wires.hearing() as heard:
            try:
                call()
            except DBusError as error:
                assert error.name == 'TpmUnavailable', (flip, error)
                told += ALTERED in error.message
        wires.leave()
        assert len(heard) <= len(messages) + AGAIN, flip
        stand_in_for_resource_manager(machine, messages, flip)
        call()
        assert machine.tpm_handles(TRANSIENT) == (), flip
    assert told > len(messages)
    assert tpm_tool(machine, 'getcap', 'handles-nv-index') == indexes


SESSIONS = b'\x80\x02'


def spoil(data):
    """The HMAC at the end of a message in a session."""
    return data[:-1] + bytes([data[-1] ^ 1]) if data.startswith(SESSIONS) else data


@pytest.mark.parametrize('what', ['commands', 'answers'])
def test_an_interposer_who_does_not_stop(machine, kms, what):
    use, note, wires = using(kms), noting(kms), machine.interposer
    use()
    note()
    if what == 'commands':
        wires.change_command = spoil
    else:
        wires.change_answer = lambda command, answer: spoil(answer)
    for call in use, kms.own_key, note, use:
        with wires.hearing() as heard, refused('TpmUnavailable') as refusal:
            call()
        assert ALTERED in refusal.message
        assert len(heard) <= AGAIN
    wires.leave()
    tpm_tool(machine, 'flushcontext', '--transient-object')  # in the place of a resource manager, see above
    for call in use, kms.own_key, note:
        call()
    assert machine.tpm_handles(TRANSIENT) == ()


@pytest.mark.parametrize('seconds', [0, 300])
def test_root_key_with_a_password(seconds):
    """It is said what is the matter, and guessed at once at most: each guess at a key that is guarded counts for everybody."""
    cache = {'MaterialSeconds': 0, 'SessionSeconds': seconds}
    with contextlib.closing(TappedMachine(start=False, config={**CONFIG, 'Cache': cache})) as machine:
        context = machine.directory / 'guarded'
        tpm_tool(machine, 'createprimary', '-C', 'o', '-p', 'secret', '-G', 'ecc256:aes128cfb', '-c', context)
        tpm_tool(machine, 'evictcontrol', '-C', 'o', '-c', context, ROOT_KEY)
        tpm_tool(machine, 'flushcontext', '--transient-object')
        machine.start()
        for _ in range(3):
            with refused('TpmUnavailable') as refusal:
                machine.client().own_key()
            assert 'has a password' in refusal.message
        assert 'has a password' in machine.client().GetStatus()['TpmAdvice']
        assert machine.lockout_counter() <= 1

# SPDX-License-Identifier: Apache-2.0
"""The audit log: one entry in the journal for each call, done or refused, of what docs/audit.md promises and nothing else."""
import json
import os
import pwd
import re
import shutil
import subprocess
import types

import pytest
from gi.repository import Gio, GLib

import cmkctl
import journal
from client import METHODS, SOURCE_ROOT, UNKNOWN_KEY, b64, iterate_until, refused, unb64
from harness import ALICE, BOB, new_machine

IDS = dict(re.findall(r'#define CMKD_MESSAGE_(\w+)\s+"(\w+)"', (SOURCE_ROOT / 'include' / 'cmkd-journal.h').read_text()))
SEQUENCE = '6a1f2c3d-4e5b-4c6d-8e7f-901234567890'
START = 2_000_000_000

# What a caller may write as he likes, or must not be known.
DESCRIPTION, TAG, CONTEXT, NAME = 'words-of-the-caller', 'a-tag-of-the-caller', 'a-context-of-the-caller', 'alias/own-name'
PLAINTEXT, MATERIAL = b'a plaintext of the caller', b'material of the caller, 32 bytes'
NOTICE, INFO, DEBUG = '5', '6', '7'


@pytest.fixture(scope='module')
def own():
    with journal.attached(new_machine) as (machine, log):
        yield types.SimpleNamespace(machine=machine, log=log, kms=machine.client(ALICE), root=machine.client(0))


@pytest.fixture(scope='module')
def keys(own):
    """What the calls below need."""
    kms = own.kms
    context = {'EncryptionContext': {'purpose': CONTEXT}}
    made = types.SimpleNamespace(
        key=kms.own_key(Description=DESCRIPTION, Tags={'tag': TAG}), other=kms.own_key(), waiting=kms.external_key(),
        signer=kms.own_key(KeySpec='EC_P256'), cipher=kms.own_key(KeySpec='EC_SM2', KeyUsage='ENCRYPT_DECRYPT'),
        mac=kms.own_key(KeySpec='HMAC_256'), context=context)
    made.blob = kms.Encrypt(made.key, b64(PLAINTEXT), **context)['CiphertextBlob']
    made.signature = kms.Sign(made.signer, b64(PLAINTEXT), 'ECDSA_SHA_256')['Signature']
    made.tag = kms.GenerateMac(made.mac, b64(PLAINTEXT), 'HMAC_SHA_256')['Mac']
    made.ciphertext = kms.AsymmetricEncrypt(made.cipher, b64(PLAINTEXT), 'SM2PKE')['CiphertextBlob']
    made.grant = kms.GrantKey(made.key, ['Decrypt'], User=GLib.Variant('u', BOB))['GrantId'] \
        if 'GrantKey' in METHODS else None
    return made


def done(priority, call, *named):
    return priority, call, named


# Each method, in an order that goes: the priority of its entry, a call that is done, and the keys that the entry has.
DONE = {
    'CreateKey': done(NOTICE, lambda kms, keys: kms.CreateKey(Description=DESCRIPTION), 'made'),
    'DescribeKey': done(DEBUG, lambda kms, keys: kms.DescribeKey(keys.key), 'key'),
    'ListKeys': done(DEBUG, lambda kms, keys: kms.ListKeys()),
    'DisableKey': done(NOTICE, lambda kms, keys: kms.DisableKey(keys.other), 'other'),
    'EnableKey': done(NOTICE, lambda kms, keys: kms.EnableKey(keys.other), 'other'),
    'ScheduleKeyDeletion': done(NOTICE, lambda kms, keys: kms.ScheduleKeyDeletion(keys.other), 'other'),
    'CancelKeyDeletion': done(NOTICE, lambda kms, keys: kms.CancelKeyDeletion(keys.other), 'other'),
    'UpdateKeyDescription': done(NOTICE, lambda kms, keys: kms.UpdateKeyDescription(keys.key, DESCRIPTION), 'key'),
    'CreateAlias': done(NOTICE, lambda kms, keys: kms.CreateAlias(NAME, keys.key), 'key'),
    'UpdateAlias': done(NOTICE, lambda kms, keys: kms.UpdateAlias(NAME, keys.key), 'key'),
    'ListAliases': done(DEBUG, lambda kms, keys: kms.ListAliases()),
    'DeleteAlias': done(NOTICE, lambda kms, keys: kms.DeleteAlias(NAME), 'key'),
    'TagResource': done(NOTICE, lambda kms, keys: kms.TagResource(keys.key, {'tag': TAG}), 'key'),
    'UntagResource': done(NOTICE, lambda kms, keys: kms.UntagResource(keys.key, [TAG]), 'key'),
    'GrantKey': done(NOTICE, lambda kms, keys: kms.GrantKey(keys.key, ['Encrypt'], User=GLib.Variant('u', BOB)), 'key'),
    'ListGrants': done(DEBUG, lambda kms, keys: kms.ListGrants(keys.key), 'key'),
    'RevokeGrant': done(NOTICE, lambda kms, keys: kms.RevokeGrant(keys.key, keys.grant), 'key'),
    'GetParametersForImport': done(NOTICE, lambda kms, keys: kms.parameters(keys.waiting), 'waiting'),
    'ImportKeyMaterial': done(NOTICE, lambda kms, keys: kms.import_with(keys.parameters, MATERIAL), 'waiting'),
    'DeleteKeyMaterial': done(NOTICE, lambda kms, keys: kms.DeleteKeyMaterial(keys.waiting), 'waiting'),
    'Encrypt': done(INFO, lambda kms, keys: kms.Encrypt(keys.key, b64(PLAINTEXT), **keys.context), 'key'),
    'Decrypt': done(INFO, lambda kms, keys: kms.Decrypt(keys.blob, **keys.context), 'key'),
    'ReEncrypt': done(INFO, lambda kms, keys: kms.ReEncrypt(
        keys.blob, keys.other, SourceEncryptionContext={'purpose': CONTEXT}), 'key', 'other'),
    'GenerateDataKey': done(INFO, lambda kms, keys: kms.GenerateDataKey(keys.key), 'key'),
    'GenerateDataKeyWithoutPlaintext': done(
        INFO, lambda kms, keys: kms.GenerateDataKeyWithoutPlaintext(keys.key), 'key'),
    'Sign': done(INFO, lambda kms, keys: kms.Sign(keys.signer, b64(PLAINTEXT), 'ECDSA_SHA_256'), 'signer'),
    'Verify': done(INFO, lambda kms, keys: kms.Verify(
        keys.signer, b64(PLAINTEXT), keys.signature, 'ECDSA_SHA_256'), 'signer'),
    'AsymmetricEncrypt': done(
        INFO, lambda kms, keys: kms.AsymmetricEncrypt(keys.cipher, b64(PLAINTEXT), 'SM2PKE'), 'cipher'),
    'AsymmetricDecrypt': done(
        INFO, lambda kms, keys: kms.AsymmetricDecrypt(keys.cipher, keys.ciphertext, 'SM2PKE'), 'cipher'),
    'GenerateMac': done(INFO, lambda kms, keys: kms.GenerateMac(keys.mac, b64(PLAINTEXT), 'HMAC_SHA_256'), 'mac'),
    'VerifyMac': done(INFO, lambda kms, keys: kms.VerifyMac(
        keys.mac, b64(PLAINTEXT), keys.tag, 'HMAC_SHA_256'), 'mac'),
    'GetPublicKey': done(INFO, lambda kms, keys: kms.GetPublicKey(keys.signer), 'signer'),
    'GetStatus': done(DEBUG, lambda kms, keys: kms.GetStatus()),
}

# Refused calls of each: what is wrong with them is in every text that a caller can write.
EVIL = 'evil\nPRIORITY=0\nCMKD_OUTCOME=done'
REFUSED_KEY = {
    'DescribeKey': [], 'EnableKey': [], 'DisableKey': [], 'ScheduleKeyDeletion': [], 'CancelKeyDeletion': [],
    'UpdateKeyDescription': [DESCRIPTION], 'TagResource': [{'tag': TAG}], 'UntagResource': [[TAG]],
    'GrantKey': [['Encrypt'], {'User': GLib.Variant('u', BOB)}], 'ListGrants': [], 'RevokeGrant': [UNKNOWN_KEY],
    'GetParametersForImport': ['RSAES_OAEP_SHA_256', 'RSA_2048'],
    'ImportKeyMaterial': ['A' * 344, 'A' * 200], 'DeleteKeyMaterial': [], 'Encrypt': [b64(PLAINTEXT)],
    'GenerateDataKey': [], 'GenerateDataKeyWithoutPlaintext': [], 'Sign': [b64(PLAINTEXT), 'ECDSA_SHA_256'],
    'Verify': [b64(PLAINTEXT), 'AAAA', 'ECDSA_SHA_256'], 'AsymmetricEncrypt': [b64(PLAINTEXT), 'SM2PKE'],
    'AsymmetricDecrypt': ['A' * 200, 'SM2PKE'], 'GenerateMac': [b64(PLAINTEXT), 'HMAC_SHA_256'],
    'VerifyMac': [b64(PLAINTEXT), 'AAAA', 'HMAC_SHA_256'], 'GetPublicKey': [],
}


def evil_arguments(method):
    """Of the right types, each text as bad as can be."""
    values = {'s': EVIL, 'as': [EVIL], 'a{ss}': {EVIL: EVIL}, 'a{sv}': {EVIL: GLib.Variant('s', EVIL)}}
    return [values[kind] for kind in re.findall(r'a\{s[sv]\}|as|s', METHODS[method][1])]


def text_of(ids):
    """As an entry has them that is named once or twice."""
    return ids[0] if len(ids) == 1 else sorted(ids)


def check_common(entry, method, uid=ALICE):
    assert entry['CMKD_INTERFACE'] == METHODS[method][0]
    assert entry['CMKD_OPERATION'] == method
    assert entry['CMKD_CALLER_UID'] == str(uid)
    assert entry['CMKD_CALLER_EXE'] == os.readlink('/proc/self/exe')
    assert entry['GLIB_DOMAIN'] == 'cmkd'
    assert re.fullmatch(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', entry['CMKD_REQUEST_ID'])


def test_the_tables_have_every_method():
    assert set(METHODS) - set(DONE) == {'Recover'}
    assert set(METHODS) - set(REFUSED_KEY) == {'Recover', 'CreateKey', 'ListKeys', 'CreateAlias', 'UpdateAlias',
                                               'DeleteAlias', 'ListAliases', 'Decrypt', 'ReEncrypt', 'GetStatus'}


@pytest.mark.parametrize('method', [method for method in DONE if method in METHODS])
def test_a_call_that_is_done(own, keys, method):
    if method == 'ImportKeyMaterial':
        keys.parameters = own.kms.parameters(keys.waiting)
    own.log.entries()
    priority, call, named = DONE[method]
    answer = call(own.kms, keys)
    [entry] = own.log.entries()
    check_common(entry, method)
    assert (entry['MESSAGE_ID'], entry['PRIORITY'], entry['CMKD_OUTCOME']) == (IDS['CALL_DONE'], priority, 'done')
    assert entry['CMKD_REQUEST_ID'] == answer['RequestId']
    ids = [answer['KeyMetadata']['KeyId'] if name == 'made' else getattr(keys, name) for name in named]
    found = entry.get('CMKD_KEY_ID', [])
    assert (sorted(found) if isinstance(found, list) else found) == (text_of(ids) if ids else [])
    assert 'CMKD_REASON' not in entry and 'CMKD_SEQUENCE' not in entry


@pytest.mark.parametrize('method', [method for method in REFUSED_KEY if method in METHODS])
def test_a_key_that_is_not_there(own, keys, method):
    own.log.entries()
    with refused('KeyNotFound') as refusal:
        getattr(own.kms, method)(UNKNOWN_KEY, *REFUSED_KEY[method])
    [entry] = own.log.entries()
    check_common(entry, method)
    assert (entry['MESSAGE_ID'], entry['CMKD_OUTCOME']) == (IDS['CALL_REFUSED'], 'KeyNotFound')
    assert (entry['CMKD_REASON'], entry['CMKD_KEY_ID']) == (refusal.message, UNKNOWN_KEY)
    assert entry['PRIORITY'] == {NOTICE: NOTICE, INFO: INFO, DEBUG: INFO}[DONE[method][0]]


@pytest.mark.parametrize('method', [method for method, (_, signature) in METHODS.items() if signature])
def test_what_makes_no_sense(own, keys, method):
    own.log.entries()
    with refused('InvalidParameter') as refusal:
        getattr(own.kms, method)(*evil_arguments(method))
    [datagram] = own.log.datagrams()
    assert b'evil' not in datagram
    entry = journal.parse(datagram)
    check_common(entry, method)
    assert (entry['MESSAGE_ID'], entry['CMKD_OUTCOME']) == (IDS['CALL_REFUSED'], 'InvalidParameter')
    assert entry['CMKD_REASON'] == refusal.message


def test_denied_and_the_sequence(own, keys):
    own.log.entries()
    with refused('AccessDenied'):
        own.kms.Recover(Accept='TpmChanged')
    parameters = own.kms.parameters(keys.waiting)
    own.kms.import_with(parameters, MATERIAL, Sequence=SEQUENCE)
    denied, _, imported = own.log.entries()
    check_common(denied, 'Recover')
    assert (denied['MESSAGE_ID'], denied['PRIORITY'], denied['CMKD_OUTCOME']) == (IDS['ACCESS_DENIED'], '4', 'AccessDenied')
    assert imported['CMKD_SEQUENCE'] == SEQUENCE


def test_grants_say_which_to_whom_and_what_for(own, keys):
    def facts():
        [entry] = own.log.entries()
        return tuple(entry.get(f'CMKD_{name}') for name in ('OUTCOME', 'GRANT_ID', 'GRANTEE', 'GRANTED_OPERATIONS'))

    own.log.entries()
    to_group = own.kms.GrantKey(keys.other, ['Verify', 'Decrypt', 'Verify'], Group=GLib.Variant('u', BOB))['GrantId']
    assert facts() == ('done', to_group, f'gid:{BOB}', 'Decrypt,Verify')
    to_user = own.kms.GrantKey(keys.other, ['Encrypt'], User=GLib.Variant('u', BOB))['GrantId']
    assert facts() == ('done', to_user, f'uid:{BOB}', 'Encrypt')
    own.kms.GrantKey(keys.other, ['DescribeKey'], User=GLib.Variant('u', BOB))
    assert facts() == ('done', to_user, f'uid:{BOB}', 'DescribeKey')
    with refused('KeyNotFound'):
        own.machine.client(BOB).GrantKey(keys.other, ['Decrypt'], User=GLib.Variant('u', BOB))
    assert facts() == ('KeyNotFound', None, f'uid:{BOB}', 'Decrypt')
    with refused('InvalidParameter'):
        own.kms.GrantKey(keys.other, ['Decrypt', EVIL], User=GLib.Variant('u', BOB))
    assert facts() == ('InvalidParameter', None, None, None)
    own.kms.RevokeGrant(keys.other, to_group)
    assert facts() == ('done', to_group, None, None)
    with refused('InvalidParameter'):
        own.kms.RevokeGrant(keys.other, to_group)
    assert facts() == ('InvalidParameter', to_group, None, None)
    own.kms.RevokeGrant(keys.other, to_user)


def test_everybody_is_told_apart(own, keys):
    own.log.entries()
    own.root.Encrypt(keys.other, b64(PLAINTEXT))
    with refused('KeyNotFound'):
        own.machine.client(BOB).Encrypt(keys.other, b64(PLAINTEXT))
    by_root, by_bob = own.log.entries()
    check_common(by_root, 'Encrypt', 0)
    check_common(by_bob, 'Encrypt', BOB)
    assert (by_root['CMKD_KEY_ID'], by_bob['CMKD_KEY_ID']) == (keys.other, keys.other)


def test_me_05_no_secret_and_nothing_unchecked(own, keys):
    """Of each method once more."""
    kms, secrets = own.kms, [PLAINTEXT, MATERIAL, b64(PLAINTEXT)[:-2].encode(), b64(MATERIAL)[:-2].encode()]
    own.log.entries()
    data_key = kms.GenerateDataKey(keys.key)
    parameters = kms.parameters(keys.waiting)
    for text in (data_key['Plaintext'], data_key['CiphertextBlob'], parameters['ImportToken'], parameters['PublicKey'],
                 keys.blob, keys.signature, keys.ciphertext):
        secrets += [text[:32].encode(), unb64(text)[:16]]
    keys.parameters = parameters
    for method, (_, call, _) in DONE.items():
        if method in METHODS and method != 'RevokeGrant':
            call(kms, keys)
    told = own.log.datagrams()
    assert {journal.parse(datagram)['CMKD_OPERATION'] for datagram in told} >= set(DONE) & set(METHODS) - {'RevokeGrant'}
    for forbidden in [*secrets, *(text.encode() for text in (DESCRIPTION, TAG, CONTEXT, NAME))]:
        assert not any(forbidden in datagram for datagram in told), forbidden
    fields = {name for datagram in told for name in journal.parse(datagram)}
    documented = set(re.findall(r'^\| `(\w+)` \|', (SOURCE_ROOT / 'docs' / 'audit.md').read_text(), re.MULTILINE))
    assert fields - {'GLIB_DOMAIN'} <= documented, 'docs/audit.md lists the fields'


def test_a_program_whose_name_is_no_text(own):
    """cmkctl under a path that would be lines of an entry."""
    directory = own.machine.directory / 'bin\nCMKD_OUTCOME=forged'
    directory.mkdir()
    program = shutil.copy(os.environ['CMKD_CLIENT'], directory)
    own.log.entries()
    subprocess.run([program, '--address', own.machine.address, 'status'], check=True, stdout=subprocess.DEVNULL)
    told = own.log.datagrams()
    assert told and not any(b'forged' in datagram for datagram in told)
    assert 'CMKD_CALLER_EXE' not in journal.parse(told[-1])


# The unit, by a systemd on the bus

SYSTEMD = '''<node><interface name="org.freedesktop.systemd1.Manager">
<method name="GetUnitByPID"><arg type="u" direction="in"/><arg type="o" direction="out"/></method></interface></node>'''


class Systemd:
    """Says of each process that its unit is @unit, an object path; NULL: says nothing, ever."""

    def __init__(self, machine, unit):
        self.connection = machine.new_client(0).connection
        self.unit, self.asked = unit, []
        interface = Gio.DBusNodeInfo.new_for_xml(SYSTEMD).interfaces[0]
        self.connection.register_object('/org/freedesktop/systemd1', interface, self.answer, None, None)
        self.connection.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName',
                                  GLib.Variant('(su)', ('org.freedesktop.systemd1', 4)), None, 0, -1, None)

    def answer(self, _connection, _sender, _path, _interface, _method, arguments, invocation):
        self.asked.append(arguments.unpack()[0])
        if self.unit is not None:
            invocation.return_value(GLib.Variant('(o)', (self.unit,)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close_sync(None)


@pytest.mark.parametrize('path, unit', [
    ('/org/freedesktop/systemd1/unit/back_2dup_2eservice', 'back-up.service'),
    ('/org/freedesktop/systemd1/unit/user_401000_2eservice', 'user@1000.service'),
    ('/org/freedesktop/systemd1/unit/a_0aMESSAGE_3dforged', None),  # no text
    ('/somewhere/else', 'of the control group'),
    (None, 'of the control group'),
])
def test_the_unit_of_who_calls(own, path, unit):
    with Systemd(own.machine, path) as systemd:
        own.log.entries()
        user = own.machine.new_client(ALICE)
        user.start('GetStatus').result()
        [entry] = own.log.entries()
        assert systemd.asked == [os.getpid()]
        user.close()
    if unit == 'of the control group':
        groups = [part for part in re.split('[/\n]', open('/proc/self/cgroup').read())
                  if part.endswith(('.service', '.scope'))]
        unit = groups[-1] if groups else None
    assert entry.get('CMKD_CALLER_UNIT') == unit
    assert not any('forged' in value for value in entry.values())


# What happens without a call

def events(log):
    return [(entry['MESSAGE_ID'], entry.get('CMKD_KEY_ID')) for entry in log.entries()
            if 'CMKD_OPERATION' not in entry and entry.get('MESSAGE_ID')]


def test_what_happens_without_a_call():
    with journal.attached(new_machine, clock=START) as (machine, log):
        kms, root = machine.client(ALICE), machine.client(0)
        kms.GetStatus()  # cmkd has its name a moment before it tells that it serves
        assert events(log) == [(IDS['SERVING'], None)]
        expiring, going = kms.imported_key(expires=START + 1000), kms.own_key()
        kms.ScheduleKeyDeletion(going, PendingWindowInDays=7)
        machine.pass_time(1000)
        kms.GetStatus()
        kms.ListKeys()
        assert events(log) == [(IDS['MATERIAL_EXPIRED'], expiring)]
        machine.pass_time(7 * 86400)
        kms.ListKeys()
        assert events(log) == [(IDS['KEY_DELETED'], going)]
        machine.stop()
        copy = machine.copy_state()
        machine.start()
        kms.DisableKey(kms.own_key())
        machine.stop()
        log.entries()
        machine.restore_state(copy)
        machine.start()
        answer = root.Recover(Accept='RollbackDetected')
        root.GetStatus()  # what was recovered is served a moment after the answer
        told = [entry for entry in log.entries() if 'MESSAGE_ID' in entry]
        assert [entry['MESSAGE_ID'] for entry in told] == [
            IDS['ROLLBACK_DETECTED'], IDS['RECOVERED'], IDS['CALL_DONE'], IDS['SERVING'], IDS['CALL_DONE']]
        check_common(told[2], 'Recover', 0)
        assert (told[2]['PRIORITY'], told[2]['CMKD_REQUEST_ID']) == (NOTICE, answer['RequestId'])


# cmkctl log. Whether journalctl gives it the right entries is seen where there is a journal: tests/system.

JOURNALCTL = '''#!/bin/sh
printf '%s\\n' "$@" > {directory}/arguments
env > {directory}/environment
cat {directory}/export
exit $(cat {directory}/status)
'''


class Reader:
    """cmkctl where journalctl is one of ours, in a mount namespace of its own."""

    def __init__(self, machine, name):
        self.machine, self.directory = machine, machine.make_directory(name)
        self.directory.chmod(0o755)
        self.script = self.directory / 'journalctl'
        self.script.write_text(JOURNALCTL.format(directory=self.directory))
        self.script.chmod(0o755)
        (self.directory / 'status').write_text('0')
        (self.directory / 'export').write_bytes(b'')

    def run(self, *arguments, journal='/run/log/journal/0123/system.journal', replace=True, as_user=()):
        script = ['mount -t tmpfs tmpfs /run', 'mount -t tmpfs tmpfs /var/log',
                  *([f'mkdir -p $(dirname {journal}) && touch {journal} && chmod 600 {journal}']
                    if journal else []),
                  f'mount --bind {self.script if replace else "/dev/null"} $(readlink -f /usr/bin/journalctl)']
        return subprocess.run(['unshare', '--mount', 'sh', '-c', ' && '.join([*script, 'exec "$@"']), 'sh', *as_user,
                               cmkctl.CMKCTL, *arguments], capture_output=True, text=True, timeout=60)

    def arguments(self):
        return (self.directory / 'arguments').read_text().splitlines()


@pytest.fixture(scope='module')
def reader(own):
    return Reader(own.machine, 'reader')


def export(entry):
    return ''.join(f'{name}={value}\n' for name, value in entry.items()).encode()


def test_log_asks_only_for_what_cmkd_has_written(own, reader, keys):
    assert reader.run('log').returncode == 0
    asked = reader.arguments()
    for fixed in ('--output=export', '--no-pager', '--quiet', '_SYSTEMD_UNIT=cmkd.service'):
        assert fixed in asked
    first = asked[:asked.index('+')]
    assert {text for text in first if text.startswith('MESSAGE_ID=')} == {f'MESSAGE_ID={text}' for text in IDS.values()}
    environment = (reader.directory / 'environment').read_text()
    assert 'LD_' not in environment and 'HOME' not in environment

    assert reader.run('log', '--since', '-x; reboot', '--key', keys.key, '--user', 'games', '--operation', 'Decrypt',
                      '--refused', '--limit', '7', '--follow').returncode == 0
    asked = reader.arguments()
    first = asked[:asked.index('+')]
    assert {'--since=-x; reboot', f'CMKD_KEY_ID={keys.key}', f'CMKD_CALLER_UID={ALICE}', 'CMKD_OPERATION=Decrypt',
            '--lines=7', '--follow'} <= set(first)
    assert [text for text in first if text.startswith('MESSAGE_ID=')] == [
        f'MESSAGE_ID={IDS["CALL_REFUSED"]}', f'MESSAGE_ID={IDS["ACCESS_DENIED"]}']

    assert reader.run('log', '--session', '--user', '12345').returncode == 0
    assert {'_SYSTEMD_USER_UNIT=cmkd-user.service', '_UID=0', 'CMKD_CALLER_UID=12345'} <= set(reader.arguments())
    for wrong in (['--key', 'x=y'], ['--user', '*'], ['--operation', 'A=B'], ['--operation', 'decrypt'], ['--operation', ''],
                  ['--operation', 'Crypt'], ['--operation', 'Encrypt Decrypt'], ['--address', 'unix:path=/x']):
        assert reader.run('log', *wrong).returncode == 2, wrong


def test_log_prints_what_cmkd_has_told(own, reader, keys):
    own.log.entries()
    blob = own.kms.Encrypt(keys.key, b64(PLAINTEXT))['CiphertextBlob']
    own.kms.ReEncrypt(blob, keys.other)
    with refused('KeyNotFound') as refusal:
        own.kms.Decrypt(blob, KeyId=UNKNOWN_KEY)
    datagrams = own.log.datagrams()
    told = [journal.parse(datagram) for datagram in datagrams]
    stamp = b'__REALTIME_TIMESTAMP=2000000000123456\n'
    binary = b'MESSAGE\n\x05\0\0\0\0\0\0\0a\nb\0c\n'
    event = export({'MESSAGE_ID': IDS['KEY_DELETED'], 'CMKD_KEY_ID': keys.key, 'MESSAGE': 'key went \x1b[31m'})
    (reader.directory / 'export').write_bytes(
        b'\n'.join(stamp + datagram for datagram in [*datagrams, binary + event, event]) + b'\n')
    lines = reader.run('log').stdout.splitlines()
    assert lines[0].split() == ['2033-05-18T03:33:20Z', 'games', 'Encrypt', keys.key, 'done',
                                *([told[0]['CMKD_CALLER_UNIT']] if 'CMKD_CALLER_UNIT' in told[0] else [])]
    assert keys.key in lines[1] and keys.other in lines[1]
    assert 'KeyNotFound' in lines[2] and refusal.message in lines[2] and UNKNOWN_KEY in lines[2]
    assert lines[3].startswith('2033-05-18T03:33:20Z key went ?[31m') and len(lines) == 5

    objects = [json.loads(line) for line in reader.run('log', '--json').stdout.splitlines()]
    assert [entry['Time'] for entry in objects] == ['2033-05-18T03:33:20.123456Z'] * 5
    assert [entry.get('Outcome') for entry in objects] == ['done', 'done', 'KeyNotFound', None, None]
    assert objects[0]['RequestId'] == told[0]['CMKD_REQUEST_ID']
    assert (objects[0]['CallerUid'], objects[0]['KeyIds']) == (ALICE, [keys.key])
    assert sorted(objects[1]['KeyIds']) == sorted([keys.key, keys.other])
    assert objects[2]['Reason'] == refusal.message


def test_log_shows_grants(own, reader, keys):
    own.log.entries()
    grant = own.kms.GrantKey(keys.other, ['Encrypt', 'Decrypt'], User=GLib.Variant('u', BOB))['GrantId']
    own.kms.RevokeGrant(keys.other, grant)
    datagrams = own.log.datagrams()
    (reader.directory / 'export').write_bytes(
        b'\n'.join(b'__REALTIME_TIMESTAMP=2000000000123456\n' + datagram for datagram in datagrams) + b'\n')
    made, revoked = reader.run('log').stdout.splitlines()
    name = pwd.getpwuid(BOB).pw_name
    assert f'done {grant} user {name} Encrypt,Decrypt' in ' '.join(made.split())
    assert f'done {grant}' in ' '.join(revoked.split())
    made, revoked = [json.loads(line) for line in reader.run('log', '--json').stdout.splitlines()]
    assert (made['GrantId'], made['Grantee'], made['GrantedOperations']) == (grant, f'uid:{BOB}', 'Encrypt,Decrypt')
    assert revoked['GrantId'] == grant and 'Grantee' not in revoked


def test_log_knows_a_time_from_garbage(own, reader):
    told = reader.run('log', '--since', 'yesterday')
    assert told.returncode == 0 and '--since=yesterday' in reader.arguments()
    (reader.directory / 'status').write_text('1')
    told = reader.run('log', '--since', 'yesterday')
    assert told.returncode == 1 and 'systemd.time' not in told.stderr, 'what fails for another reason'
    export = (reader.directory / 'export').read_bytes()
    (reader.directory / 'export').write_text('Failed to parse timestamp: garbage\n')
    told = reader.run('log', '--since', 'garbage')
    assert (told.returncode, told.stdout) == (2, '') and 'systemd.time' in told.stderr
    assert reader.arguments()[-1] == '--lines=0', 'nothing else was asked for'
    (reader.directory / 'export').write_bytes(export)
    (reader.directory / 'status').write_text('0')


def test_log_where_there_is_no_journal(own):
    reader = Reader(own.machine, 'no-journal')
    told = reader.run('log', journal=None)
    assert told.returncode == 5 and 'no journal' in told.stderr
    told = reader.run('log', as_user=['setpriv', f'--reuid={ALICE}', '--clear-groups'])
    assert told.returncode == 4 and 'systemd-journal' in told.stderr
    told = reader.run('log', replace=False)
    assert told.returncode == 5 and 'journalctl' in told.stderr
    (reader.directory / 'status').write_text('1')
    assert reader.run('log').returncode == 1
    (reader.directory / 'status').write_text('0')
    for damaged in (b'MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffx', b'MESSAGE=cut', b'A\0=b\n\n'):
        (reader.directory / 'export').write_bytes(damaged)
        assert reader.run('log').returncode == 1, damaged

# SPDX-License-Identifier: Apache-2.0
"""The administrator's policy on the system bus: what polkit is asked, by which name, and what follows from its answers."""
import contextlib
import os

import pytest
from gi.repository import Gio, GLib

import journal
from client import BUS_NAME, METHODS, OBJECT_PATH, UNKNOWN_KEY, Call, DBusError, b64, complete, iterate_until, refused
from harness import ALICE, BOB, new_machine
from policy import FAILURE, SILENCE, Policy, challenge, no, policed_machine, put_on_system_bus, yes

USE, MANAGE, OTHERS, RECOVER = 'use-own-keys', 'manage-own-keys', 'manage-others-keys', 'recover'


@pytest.fixture(scope='module')
def policed():
    with policed_machine(config={'Authorization': {'KeepSeconds': 0}}) as machine_and_policy:
        yield machine_and_policy


@pytest.fixture
def machine(policed):
    return policed[0]


@pytest.fixture
def policy(policed):
    policed[1].answer = yes
    policed[1].questions.clear()
    policed[1].cancelled.clear()
    return policed[1]


@pytest.fixture
def kms(machine):
    return machine.client(ALICE)


@pytest.fixture
def bob(machine):
    return machine.client(BOB)


class Keys:
    """One key of each kind that a method takes, and what belongs to them."""

    def __init__(self, user):
        self.external = user.imported_key()
        self.signing = user.own_key(KeySpec='EC_P256')
        self.decrypting = user.own_key(KeySpec='EC_SM2', KeyUsage='ENCRYPT_DECRYPT')
        self.mac = user.own_key(KeySpec='HMAC_256')
        self.blob = user.Encrypt(self.external, b64(b'x'))['CiphertextBlob']
        self.grant = user.GrantKey(self.external, ['Encrypt'], User=BOB)['GrantId']


@pytest.fixture(scope='module')
def keys(policed):
    return Keys(policed[0].client(ALICE))


# Method -> (what it is an intent of, a call of it). A method of the XML that is not here fails its test.
CALLS = {
    'CreateKey': (MANAGE, lambda user, keys: user.CreateKey()),
    'DescribeKey': (USE, lambda user, keys: user.DescribeKey(keys.external)),
    'ListKeys': (USE, lambda user, keys: user.ListKeys()),
    'EnableKey': (MANAGE, lambda user, keys: user.EnableKey(keys.external)),
    'DisableKey': (MANAGE, lambda user, keys: user.DisableKey(keys.external)),
    'ScheduleKeyDeletion': (MANAGE, lambda user, keys: user.ScheduleKeyDeletion(keys.external)),
    'CancelKeyDeletion': (MANAGE, lambda user, keys: user.CancelKeyDeletion(keys.external)),
    'UpdateKeyDescription': (MANAGE, lambda user, keys: user.UpdateKeyDescription(keys.external, 'text')),
    'CreateAlias': (MANAGE, lambda user, keys: user.CreateAlias('alias/a', keys.external)),
    'UpdateAlias': (MANAGE, lambda user, keys: user.UpdateAlias('alias/a', keys.external)),
    'DeleteAlias': (MANAGE, lambda user, keys: user.DeleteAlias('alias/a')),
    'ListAliases': (USE, lambda user, keys: user.ListAliases()),
    'TagResource': (MANAGE, lambda user, keys: user.TagResource(keys.external, {'a': 'b'})),
    'UntagResource': (MANAGE, lambda user, keys: user.UntagResource(keys.external, ['a'])),
    'GrantKey': (MANAGE, lambda user, keys: user.GrantKey(keys.external, ['Encrypt'], User=BOB)),
    'RevokeGrant': (MANAGE, lambda user, keys: user.RevokeGrant(keys.external, keys.grant)),
    'ListGrants': (USE, lambda user, keys: user.ListGrants(keys.external)),
    'GetParametersForImport': (MANAGE, lambda user, keys: user.parameters(keys.external)),
    'ImportKeyMaterial': (MANAGE, lambda user, keys: user.ImportKeyMaterial(keys.external, b64(bytes(256)),
                                                                           b64(bytes(200)))),
    'DeleteKeyMaterial': (MANAGE, lambda user, keys: user.DeleteKeyMaterial(keys.external)),
    'Encrypt': (USE, lambda user, keys: user.Encrypt(keys.external, b64(b'x'))),
    'Decrypt': (USE, lambda user, keys: user.Decrypt(keys.blob)),
    'ReEncrypt': (USE, lambda user, keys: user.ReEncrypt(keys.blob, keys.external)),
    'GenerateDataKey': (USE, lambda user, keys: user.GenerateDataKey(keys.external)),
    'GenerateDataKeyWithoutPlaintext': (USE, lambda user, keys: user.GenerateDataKeyWithoutPlaintext(keys.external)),
    'Sign': (USE, lambda user, keys: user.Sign(keys.signing, b64(b'x'), 'ECDSA_SHA_256')),
    'Verify': (USE, lambda user, keys: user.Verify(keys.signing, b64(b'x'), b64(b'x'), 'ECDSA_SHA_256')),
    'AsymmetricEncrypt': (USE, lambda user, keys: user.AsymmetricEncrypt(keys.decrypting, b64(b'x'), 'SM2PKE')),
    'AsymmetricDecrypt': (USE, lambda user, keys: user.AsymmetricDecrypt(keys.decrypting, b64(bytes(200)), 'SM2PKE')),
    'GenerateMac': (USE, lambda user, keys: user.GenerateMac(keys.mac, b64(b'x'), 'HMAC_SHA_256')),
    'VerifyMac': (USE, lambda user, keys: user.VerifyMac(keys.mac, b64(b'x'), b64(bytes(32)), 'HMAC_SHA_256')),
    'GetPublicKey': (USE, lambda user, keys: user.GetPublicKey(keys.signing)),
    'Recover': (RECOVER, lambda user, keys: user.Recover(Accept='TpmChanged')),
    'GetStatus': (None, lambda user, keys: user.GetStatus()),
}


@pytest.mark.parametrize('method', METHODS)
def test_au_02_no_is_no_to_every_method(policy, kms, keys, method):
    action, call = CALLS[method]
    before = kms.describe(keys.external)
    policy.questions.clear()
    policy.answer = no
    if action is None:
        call(kms, keys)
        assert policy.questions == []
        return
    with refused('AccessDenied') as refusal:
        call(kms, keys)
    assert [question.action for question in policy.questions] == [action]
    assert action in refusal.message and 'rules.d' in refusal.message
    policy.answer = yes
    assert kms.describe(keys.external) == before


@pytest.mark.parametrize('method', METHODS)
def test_yes_to_every_method(policy, kms, keys, method):
    """Whatever comes after the permission."""
    action, call = CALLS[method]
    try:
        call(kms, keys)
    except DBusError as error:
        assert error.name != 'AccessDenied' and error.name != 'Internal'
    assert {question.action for question in policy.questions} == ({action} if action else set())
    if method in ('ScheduleKeyDeletion', 'DisableKey', 'DeleteKeyMaterial'):
        keys.__init__(kms)


def test_details_that_rules_decide_on(policy, kms):
    expiry = 4_000_000_000
    key = kms.imported_key(expires=expiry)
    policy.questions.clear()
    kms.Encrypt(key, b64(b'x'))
    question, = policy.questions
    assert question.subject == ('system-bus-name', {'name': kms.connection.get_unique_name()})  # AU-07: no process id
    assert question.details == {
        'operation': 'Encrypt', 'key_id': key, 'origin': 'EXTERNAL', 'spec': 'AES_256', 'usage': 'ENCRYPT_DECRYPT',
        'expiry': str(expiry), 'owner': str(ALICE)}
    kms.CreateKey(KeySpec='EC_P256')
    assert policy.questions[-1].details == {
        'operation': 'CreateKey', 'origin': 'CMKD_KMS', 'spec': 'EC_P256', 'usage': 'SIGN_VERIFY', 'expiry': '0',
        'owner': str(ALICE)}


def test_permission_comes_after_the_key_and_before_all_else(policy, kms, bob):
    policy.answer = no
    with refused('InvalidParameter'):
        kms.Encrypt('no id', b64(b'x'))
    with refused('KeyNotFound'):
        kms.Encrypt(UNKNOWN_KEY, b64(b'x'))
    assert policy.questions == []
    policy.answer = yes
    key = kms.external_key()
    policy.answer = no
    with refused('AccessDenied'):  # not KeyPendingImport
        kms.Encrypt(key, b64(b'x'))
    with refused('AccessDenied'):  # not UnsupportedOperation
        kms.GetPublicKey(key)
    with refused('AccessDenied'):
        kms.CreateKey(KeySpec='AES_256', KeyUsage='SIGN_VERIFY')


def test_rule_by_key(policy, kms):
    allowed, forbidden = kms.own_key(), kms.own_key()
    policy.answer = lambda question: (question.details.get('key_id') != forbidden, False, {})
    blob = kms.Encrypt(allowed, b64(b'x'))['CiphertextBlob']
    with refused('AccessDenied'):
        kms.Encrypt(forbidden, b64(b'x'))
    with refused('AccessDenied'):
        kms.ReEncrypt(blob, forbidden)
    policy.answer = yes
    kms.ReEncrypt(blob, forbidden)
    policy.answer = lambda question: (question.details.get('key_id') != allowed, False, {})
    with refused('AccessDenied'):
        kms.ReEncrypt(blob, forbidden)
    with refused('AccessDenied'):
        kms.Decrypt(blob)


def test_root_is_not_asked_about(policy, machine, kms):
    policy.answer = no
    root = machine.client(0)
    key = root.own_key()
    root.Encrypt(key, b64(b'x'))
    assert policy.questions == []


def test_a_yes_is_for_one_method():
    """Also where grants make no difference between two."""
    with policed_machine(config={'Authorization': {'KeepSeconds': 3600}}) as (machine, policy):
        kms = machine.client(ALICE)
        keys = Keys(kms)
        others = set(METHODS) - {'GetStatus', 'Recover', 'ReEncrypt', 'Decrypt'}
        for method in sorted(others):
            policy.tell_changed()
            policy.answer = lambda question, method=method: (question.details['operation'] == method, False, {})
            with contextlib.suppress(DBusError):
                CALLS[method][1](kms, keys)
            for other in sorted(others - {method}):
                if other not in ('ScheduleKeyDeletion', 'DeleteKeyMaterial'):
                    with refused('AccessDenied'):
                        CALLS[other][1](kms, keys)
            if method in ('ScheduleKeyDeletion', 'DeleteKeyMaterial', 'DisableKey'):
                policy.tell_changed()
                policy.answer = yes
                keys = Keys(kms)


# Other people's keys

def test_keys_of_others_are_not_there_unless_policy_opens_them(policy, kms, bob):
    key = kms.own_key()
    policy.answer = lambda question: (question.action != OTHERS, False, {})
    messages = set()
    for key_id in (key, UNKNOWN_KEY):
        policy.questions.clear()
        with refused('KeyNotFound') as refusal:
            bob.DescribeKey(key_id)
        messages.add(refusal.message)
        assert [question.action for question in policy.questions] == [OTHERS]
    assert len(messages) == 1
    policy.answer = yes
    assert bob.describe(key)['Creator'] == ALICE
    bob.DisableKey(key)
    assert kms.state(key) == 'Disabled'
    with refused('KeyNotFound'):
        bob.DescribeKey(UNKNOWN_KEY)


def test_nobody_else_uses_a_key_whatever_the_policy_says(policy, kms, bob):
    key = kms.own_key()
    blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
    policy.questions.clear()
    with refused('KeyNotFound'):
        bob.Encrypt(key, b64(b'x'))
    with refused('InvalidCiphertext'):
        bob.Decrypt(blob)
    assert policy.questions == []


def test_a_granted_key_is_asked_about_as_well(policy, kms, bob):
    key = kms.own_key()
    kms.GrantKey(key, ['Encrypt'], User=BOB)
    policy.questions.clear()
    bob.Encrypt(key, b64(b'x'))
    question, = policy.questions
    assert (question.action, question.details['owner']) == (USE, str(ALICE))
    policy.answer = no
    with refused('AccessDenied'):
        bob.Encrypt(key, b64(b'x'))
    with refused('KeyNotFound'):
        bob.GenerateDataKey(key)


def test_a_grant_that_was_denied_is_on_record():
    with journal.attached(new_machine) as (machine, log), contextlib.closing(Policy(machine.address)) as policy:
        machine.stop()
        put_on_system_bus(machine)
        machine.start()
        alice = machine.client(ALICE)
        key = alice.own_key()
        policy.answer = no
        log.entries()
        with refused('AccessDenied'):
            alice.GrantKey(key, ['Decrypt', 'Encrypt'], User=BOB)
        [entry] = log.entries()
    assert (entry['CMKD_OUTCOME'], entry['CMKD_KEY_ID']) == ('AccessDenied', key)
    assert (entry['CMKD_GRANTEE'], entry['CMKD_GRANTED_OPERATIONS']) == (f'uid:{BOB}', 'Encrypt,Decrypt')
    assert 'CMKD_GRANT_ID' not in entry


def test_who_manages_other_peoples_keys_cannot_grant_himself_their_use(policy, kms, bob):
    key = kms.own_key()
    with refused('KeyNotFound'):
        bob.GrantKey(key, ['Decrypt'], User=BOB)


def test_a_dialog_tells_nothing_of_other_peoples_keys(policy, kms, bob):
    """polkit hands its details to the agent of whoever calls."""
    key = kms.own_key()
    policy.questions.clear()
    policy.answer = lambda question: (question.interactive, not question.interactive, {})
    for key_id in (key, UNKNOWN_KEY):
        with contextlib.suppress(DBusError):
            start_interactive(bob, 'DescribeKey', key_id).result()
    asked = [{**question.details, 'key_id': ''} for question in policy.questions if question.interactive]
    assert len(asked) == 2 and asked[0] == asked[1]


# Dialogs

def start_interactive(client, method, *arguments, **options):
    interface, signature = METHODS[method]
    call = Call()
    client.connection.call(BUS_NAME, OBJECT_PATH, interface, method,
                           GLib.Variant(f'({signature})', complete(signature, arguments, options)), None,
                           Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION, 60000, None, call.finish)
    return call


def test_a_challenge_is_put_only_to_who_allows_it(policy, kms):
    policy.answer = lambda question: (True, False, {}) if question.interactive else (False, True, {})
    with refused('AccessDenied') as refusal:
        kms.CreateKey()
    assert 'agent' in refusal.message
    assert [question.interactive for question in policy.questions] == [False]
    policy.questions.clear()
    start_interactive(kms, 'CreateKey').result()
    assert [question.interactive for question in policy.questions] == [False, True]


def test_dismissed_dialog(policy, kms):
    policy.answer = lambda question: (False, True, {'polkit.dismissed': 'true'} if question.interactive else {})
    with refused('AccessDenied') as refusal:
        start_interactive(kms, 'CreateKey').result()
    assert 'dismissed' in refusal.message


def test_nobody_answers_a_dialog():
    """polkit works well: the caller is not sent to look why it does not."""
    with policed_machine(config={'WrappingKeys': {'ReadyRsa2048': 0}}) as (machine, policy):
        kms = machine.client(ALICE)
        policy.answer = lambda question: SILENCE if question.interactive else challenge(question)
        call = start_interactive(kms, 'CreateKey')
        policy.wait_for_questions(2)
        machine.run_out_timers(60)
        kms.GetStatus()
        assert not call.done and not policy.cancelled
        machine.run_out_timers(61)
        kms.GetStatus()
        with refused('AccessDenied') as refusal:
            call.result()
        assert 'nobody has authenticated in 120 seconds for org.cmkd.Kms1.manage-own-keys' in refusal.message
        iterate_until(lambda: policy.cancelled == [policy.questions[-1].cancellation_id], 'the dialog is called off')
        policy.answer_late((True, False, {}))
        policy.answer = yes
        assert kms.ListKeys()['Keys'] == []


def test_au_04_calls_that_wait_for_a_dialog_are_judged_each_by_itself(policy, kms):
    key = kms.own_key()
    policy.questions.clear()
    policy.answer = lambda question: SILENCE if question.interactive else challenge(question)
    first = start_interactive(kms, 'UpdateKeyDescription', key, 'first')
    policy.wait_for_questions(2)
    second = start_interactive(kms, 'DisableKey', key)
    policy.wait_for_questions(4)
    policy.answer = yes
    assert kms.describe(key)['Description'] == ''  # nothing was done, and others are served meanwhile
    policy.waiting.pop(0).return_value(GLib.Variant('((bba{ss}))', ((True, False, {}),)))
    first.result()
    policy.answer_late((False, False, {}))
    with refused('AccessDenied'):
        second.result()
    described = kms.describe(key)
    assert (described['Description'], described['KeyState']) == ('first', 'Enabled')


def test_what_was_permitted_was_another_key(policy, kms):
    """The alias moves while the administrator is asked."""
    first, second = kms.own_key(), kms.own_key()
    kms.CreateAlias('alias/moving', first)
    policy.questions.clear()

    def answer(question):
        return SILENCE if question.details.get('key_id') == first and question.interactive else \
            (not question.interactive and question.details['operation'] != 'Encrypt', True, {})
    policy.answer = answer
    call = start_interactive(kms, 'Encrypt', 'alias/moving', b64(b'x'))
    policy.wait_for_questions(2)
    kms.UpdateAlias('alias/moving', second)
    policy.answer = no
    policy.answer_late((True, False, {}))
    with refused('AccessDenied'):
        call.result()
    assert policy.questions[-1].details['key_id'] == second
    policy.answer = yes
    kms.DeleteAlias('alias/moving')


# What is no answer

GARBAGE = {
    'other type': GLib.Variant('(s)', ('yes',)),
    'nothing': GLib.Variant('()', ()),
    'booleans alone': GLib.Variant('(bb)', (True, True)),
    'more than asked': GLib.Variant('((bba{ss})b)', ((True, False, {}), True)),
}


@pytest.mark.parametrize('name', GARBAGE)
def test_au_05_garbage(policy, kms, name):
    policy.answer = lambda _question: GARBAGE[name]
    with refused('AccessDenied') as refusal:
        kms.CreateKey()
    assert 'polkit' in refusal.message


def test_au_06_failure(policy, kms):
    """As for an action whose policy file is malformed; that ours is not, tests/house/check_policy.py sees to."""
    policy.answer = lambda _question: FAILURE
    with refused('AccessDenied'):
        kms.CreateKey()


def test_au_05_hung(policy, machine, kms, bob):
    """Within its time, with others served meanwhile, and nothing comes of an answer that is late."""
    key = kms.own_key()
    policy.answer = lambda question: SILENCE if question.details['operation'] == 'DisableKey' else yes(question)
    call = kms.start('DisableKey', key)
    policy.wait_for_questions(2)
    bob.own_key()
    with refused('AccessDenied') as refusal:
        call.result()
    assert 'did not answer' in refusal.message
    policy.answer_late((True, False, {}))
    policy.answer = yes
    assert kms.state(key) == 'Enabled'


def test_au_05_absent_or_gone():
    with policed_machine() as (machine, policy):
        kms = machine.client(ALICE)
        key = kms.own_key()
        blob = kms.Encrypt(key, b64(b'x'))['CiphertextBlob']
        policy.leave()
        iterate_until(lambda: not machine.owned('org.freedesktop.PolicyKit1'), 'polkit is gone')
        for call in (lambda: kms.Encrypt(key, b64(b'x')), lambda: kms.Decrypt(blob), kms.CreateKey, kms.ListKeys):
            with refused('AccessDenied') as refusal:  # the yes that was kept went with polkit
                call()
            assert 'root' in refusal.message
        kms.GetStatus()
        machine.client(0).Encrypt(key, b64(b'x'))


def test_stop_does_not_wait_for_a_dialog(machine, policy, kms):
    policy.answer = lambda question: SILENCE if question.interactive else challenge(question)
    call = start_interactive(kms, 'CreateKey')
    policy.wait_for_questions(2)
    machine.restart()
    with refused('AccessDenied') as refusal:
        call.result()
    assert 'call again' in refusal.message
    iterate_until(lambda: policy.cancelled, 'the dialog is called off')


def test_au_03_sender_leaves(machine, policy):
    """Before, during and after the question: nothing is done for it, and cmkd goes on."""
    kms = machine.client(ALICE)
    made = len(kms.ListKeys(Limit=1000)['Keys'])
    policy.questions.clear()
    policy.answer = lambda question: SILENCE if question.details['operation'] == 'CreateKey' else yes(question)
    for _ in range(20):
        leaving = machine.new_client(ALICE)
        asked = len(policy.questions)
        leaving.start('CreateKey')
        policy.wait_for_questions(asked + 1)
        leaving.close()
    policy.answer_late((True, False, {}))
    policy.answer = yes
    for number in range(int(os.environ.get('CMKD_POLKIT_DISCONNECTS', 200))):
        leaving = machine.new_client(ALICE)
        leaving.start('DescribeKey', UNKNOWN_KEY)
        leaving.connection.flush_sync(None)
        leaving.close()
        if number % 50 == 49:
            kms.GetStatus()
    assert len(kms.ListKeys(Limit=1000)['Keys']) == made


# Answers that are kept

def test_a_yes_is_kept_until_polkit_says_changed():
    with policed_machine(config={'Authorization': {'KeepSeconds': 3600}}) as (machine, policy):
        kms = machine.client(ALICE)
        key, other = kms.own_key(), kms.own_key()
        policy.questions.clear()
        for _ in range(3):
            kms.Encrypt(key, b64(b'x'))
        assert len(policy.questions) == 1
        kms.Encrypt(other, b64(b'x'))
        kms.GenerateDataKey(key)
        machine.new_client(ALICE).Encrypt(key, b64(b'x'))
        assert len(policy.questions) == 4  # another key, another operation, another connection
        policy.answer = no
        kms.Encrypt(key, b64(b'x'))
        policy.tell_changed()

        def is_refused():
            try:
                kms.Encrypt(key, b64(b'x'))
            except DBusError as error:
                assert error.name == 'AccessDenied'
                return True
            return False
        iterate_until(is_refused, 'the yes is forgotten')


def test_a_yes_from_before_a_change_is_not_kept():
    with policed_machine(config={'Authorization': {'KeepSeconds': 3600}}) as (machine, policy):
        kms = machine.client(ALICE)
        key = kms.own_key()
        policy.questions.clear()
        policy.answer = lambda _question: SILENCE
        call = kms.start('Encrypt', key, b64(b'x'))
        policy.wait_for_questions(1)
        policy.tell_changed()
        kms.GetStatus()  # cmkd has had the signal
        policy.answer = no
        policy.answer_late((True, False, {}))
        call.result()
        with refused('AccessDenied'):
            kms.Encrypt(key, b64(b'x'))


def test_what_somebody_authenticated_for_is_not_kept():
    with policed_machine(config={'Authorization': {'KeepSeconds': 3600}}) as (machine, policy):
        kms = machine.client(ALICE)
        key = kms.own_key()
        policy.questions.clear()
        policy.answer = lambda _question: (True, False, {'polkit.temporary_authorization_id': 'tmpauthz1'})
        for _ in range(2):
            kms.Encrypt(key, b64(b'x'))
        assert len(policy.questions) == 2

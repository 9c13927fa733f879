# SPDX-License-Identifier: Apache-2.0
"""The administrator's rules decide, and without an answer of polkit nobody but root is served."""
import contextlib
import re

import pytest

USE, MANAGE, OTHERS = (f'org.cmkd.Kms1.{name}' for name in ('use-own-keys', 'manage-own-keys', 'manage-others-keys'))


@pytest.fixture(scope='module')
def key(cmkd):
    return cmkd.create('alice')


@contextlib.contextmanager
def rule(cmkd, condition, result):
    """A rule of an administrator's, in force."""
    cmkd.rule(f'polkit.addRule(function(action, subject) {{\n  if ({condition})\n    return polkit.Result.{result};\n}});\n')
    try:
        yield
    finally:
        cmkd.rule('')


def encrypt(cmkd, key, user='alice', **options):
    return cmkd.machine.run('cmkctl', 'encrypt', key, input='x', user=user, check=False, **options)


def denied(result):
    """Refused, with advice; 4 is the status of cmkctl for it."""
    return result.status == 4


def test_without_rules_users_have_their_own_keys(cmkd, key):
    assert encrypt(cmkd, key).status == 0


def test_no(cmkd, key):
    with rule(cmkd, f'action.id == "{USE}" && subject.user == "alice"', 'NO'):
        refused = encrypt(cmkd, key)
        assert denied(refused) and '/etc/polkit-1/rules.d' in refused.err
        assert cmkd.ctl('alice', 'enable', key)['KeyState'] == 'Enabled'
        assert encrypt(cmkd, cmkd.create('bob'), user='bob').status == 0
        assert encrypt(cmkd, key, user='root').status == 0
    assert encrypt(cmkd, key).status == 0


def test_yes_to_the_keys_of_others(cmkd, key):
    assert encrypt(cmkd, key, user='bob').status == 3
    with rule(cmkd, f'action.id == "{OTHERS}" && subject.user == "bob"', 'YES'):
        assert cmkd.ctl('bob', 'show', key)['KeyMetadata']['KeyId'] == key
        assert encrypt(cmkd, key, user='carol').status == 3
    assert encrypt(cmkd, key, user='bob').status == 3


@pytest.mark.parametrize('name, value', [
    ('operation', 'Encrypt'), ('key_id', None), ('origin', 'CMKD_KMS'), ('spec', 'AES_256'), ('usage', 'ENCRYPT_DECRYPT'),
    ('expiry', '0')])
def test_a_rule_decides_on_what_is_known_of_the_key(cmkd, key, name, value):
    with rule(cmkd, f'action.id == "{USE}" && action.lookup("{name}") == "{value or key}"', 'NO'):
        assert denied(encrypt(cmkd, key))
    with rule(cmkd, f'action.id == "{USE}" && action.lookup("{name}") == "another"', 'NO'):
        assert encrypt(cmkd, key).status == 0


def test_a_rule_by_group(cmkd, key):
    own = cmkd.create('carol')
    with rule(cmkd, f'action.id == "{MANAGE}" && !subject.isInGroup("keepers")', 'NO'):
        assert denied(cmkd.machine.run('cmkctl', 'disable', key, user='alice', check=False))
        assert cmkd.ctl('carol', 'disable', own)['KeyState'] == 'Disabled'


def test_a_rule_that_is_broken_leaves_the_defaults(cmkd, key):
    cmkd.rule('polkit.addRule(function(action, subject) { return polkit.Result.NO')
    assert encrypt(cmkd, key).status == 0
    cmkd.rule('')


def test_a_challenge_that_nobody_can_answer(cmkd, key):
    with rule(cmkd, f'action.id == "{USE}"', 'AUTH_ADMIN'):
        refused = encrypt(cmkd, key)
        assert denied(refused) and 'authenticat' in refused.err


def on_terminal(cmkd, *arguments):
    """cmkctl in a session of alice's, on a terminal that it tells."""
    return cmkd.machine.converse('systemd-run', '--quiet', '--collect', '--wait', '--pty', '--property=PAMName=login', '--uid=alice',
                                 'sh', '-c', 'tty; exec cmkctl "$@"', 'sh', *arguments)


def type_password(machine, dialog, password):
    """The agent asks first, and then switches the echo off, which throws away what was typed before."""
    dialog.read_until('Password: ')
    terminal = re.search(r'/dev/pts/\d+', dialog.said).group()
    machine.until(lambda: '-echo' in machine.ask('stty', '-F', terminal, '-a').split(), 'the echo of the terminal is off')
    dialog.type(password)


def test_a_challenge_is_answered_on_the_terminal(cmkd, key):
    """In the agent that cmkctl brings along."""
    cmkd.machine.run('chpasswd', input='alice:open sesame\n')
    with rule(cmkd, f'action.id == "{USE}"', 'AUTH_SELF'):
        for password, status in (('open sesame', 0), ('close sesame', 4)):
            dialog = on_terminal(cmkd, 'data-key', key, '--without-plaintext')
            type_password(cmkd.machine, dialog, password)
            ended = dialog.end()
            journal = cmkd.machine.run('journalctl', '--no-pager', '--lines=40', '--unit=cmkd', '--unit=polkit').out
            assert ended.status == status, f'{ended}\n{journal}'


def test_nobody_is_asked_who_does_not_want_to_be(cmkd, key):
    with rule(cmkd, f'action.id == "{USE}"', 'AUTH_SELF'):
        refused = on_terminal(cmkd, 'data-key', key, '--without-plaintext', '--no-ask-password').end()
        assert denied(refused) and 'cmkctl on a terminal' in refused.out and 'Password' not in refused.out


def test_a_rule_for_the_one_at_the_seat(cmkd, key):
    with rule(cmkd, f'action.id == "{USE}" && !subject.active', 'NO'):
        assert denied(encrypt(cmkd, key))
        cmkd.machine.run('systemd-run', '--quiet', '--collect', '--wait', '--pipe', '--property=PAMName=login', '--uid=alice',
                         '--property=Environment=XDG_SEAT=seat0', 'cmkctl', 'data-key', key, '--without-plaintext')


def test_absent(cmkd, key):
    """Stopped, and masked so that the bus cannot start it."""
    cmkd.machine.run('systemctl', 'mask', '--now', '--quiet', 'polkit')
    try:
        refused = encrypt(cmkd, key)
        assert denied(refused) and 'polkit' in refused.err
        assert encrypt(cmkd, key, user='root').status == 0
    finally:
        cmkd.machine.run('systemctl', 'unmask', '--quiet', 'polkit')
    assert encrypt(cmkd, key).status == 0


def test_hung(cmkd, key):
    """Stopped by a signal: the call ends with a refusal before its caller gives up, and root does not wait for it."""
    cmkd.machine.run('systemctl', 'kill', '--signal=SIGSTOP', 'polkit')
    try:
        waiting = cmkd.machine.begin('cmkctl', 'data-key', key, '--without-plaintext', user='alice')
        assert encrypt(cmkd, key, user='root').status == 0
        assert waiting.is_running()
        refused = waiting.end()
        assert denied(refused) and 'polkit' in refused.err
    finally:
        cmkd.machine.run('systemctl', 'kill', '--signal=SIGCONT', 'polkit')
    assert encrypt(cmkd, key).status == 0

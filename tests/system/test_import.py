# SPDX-License-Identifier: Apache-2.0
"""An ordinary user brings a key with stock openssl and busctl over the system bus; to others it does not exist."""
import base64

import pytest

MATERIAL = bytes(range(100, 132))


@pytest.fixture(scope='module')
def key(cmkd):
    """A key of alice's with imported material, wrapped and imported without any program of cmkd's."""
    key = cmkd.call('alice', 'Keys', 'CreateKey', 'a{sv}', 1, 'Origin', 's', 'EXTERNAL')['KeyMetadata']['KeyId']
    pair = cmkd.call('alice', 'Import', 'GetParametersForImport', 'sssa{sv}', key, 'RSAES_OAEP_SHA_256', 'RSA_2048', 0)
    wrapped = cmkd.machine.ask('sh', '-c', '''set -e
        cd $(mktemp -d)
        echo "$0" | base64 --decode >public.der
        echo "$1" | base64 --decode >material
        openssl pkeyutl -encrypt -pubin -keyform DER -inkey public.der -in material \\
          -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 | base64 --wrap=0''',
        pair['PublicKey'], base64.b64encode(MATERIAL).decode(), user='alice')
    done = cmkd.call('alice', 'Import', 'ImportKeyMaterial', 'sssa{sv}', key, wrapped, pair['ImportToken'], 0)
    assert done['KeyState'] == 'Enabled'
    return key


@pytest.fixture(scope='module')
def blob(cmkd, key):
    return cmkd.machine.ask('cmkctl', 'encrypt', key, input='a secret of alice', user='alice')


def test_what_she_encrypts_she_decrypts(cmkd, blob):
    assert cmkd.machine.ask('cmkctl', 'decrypt', input=blob, user='alice') == 'a secret of alice'


def test_and_after_a_restart(cmkd, blob):
    cmkd.stop()
    assert cmkd.machine.ask('cmkctl', 'decrypt', input=blob, user='alice') == 'a secret of alice'


def test_a_data_key_opens_to_what_it_was(cmkd, key):
    made = cmkd.ctl('alice', 'data-key', key)
    assert cmkd.ctl('alice', 'decrypt', input=made['CiphertextBlob'])['Plaintext'] == made['Plaintext']


@pytest.mark.parametrize('arguments', [('show',), ('encrypt',), ('data-key', '--without-plaintext'), ('disable',), ('delete-material',),
                                       ('schedule-deletion',),
                                       ('get-parameters', '--public-key', '/dev/null', '--token', '/dev/null')])
def test_to_another_user_the_key_does_not_exist(cmkd, key, arguments):
    status, said = cmkd.fails('bob', arguments[0], key, *arguments[1:], input='x')
    unknown = '00000000-0000-4000-8000-000000000000'
    assert (status, said) == cmkd.fails('bob', arguments[0], unknown, *arguments[1:], input='x')
    assert status == 3


def test_another_user_cannot_open_it_or_see_it(cmkd, blob):
    assert cmkd.refusal('bob', 'Crypto.Decrypt', blob, '{}') == 'InvalidCiphertext'
    assert cmkd.ctl('bob', 'list')['Keys'] == []


def test_root_sees_it(cmkd, key):
    assert [entry['KeyId'] for entry in cmkd.ctl('root', 'list')['Keys']] == [key]


def test_nobody_but_cmkd_reads_the_state(cmkd, key):
    assert cmkd.machine.run('ls', '/var/lib/cmkd', user='alice', check=False).status != 0


def test_nobody_else_owns_the_name(cmkd):
    cmkd.stop()
    refusal = cmkd.machine.run('busctl', 'call', 'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                               'RequestName', 'su', 'org.cmkd.Kms1', 0, user='alice', check=False)
    assert refusal.status != 0 and 'Access denied' in refusal.err, refusal

# SPDX-License-Identifier: Apache-2.0
"""cmkctl, verb by verb, against cmkd."""
import json
import os
import re
import subprocess
import time
from datetime import datetime, timezone

import pytest
from gi.repository import GLib

from cmkctl import CMKCTL, Cmkctl, run
from harness import ALICE, new_machine
from client import DEADLINE, PADDINGS, UNKNOWN_KEY, b64, openssl, unb64

ALGORITHMS = ['RSAES_PKCS1_V1_5', 'RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256']


@pytest.fixture(scope='module')
def cmkctl(machine):
    return Cmkctl(machine)


@pytest.fixture
def external(cmkctl):
    return cmkctl('create', '--origin', 'EXTERNAL').decode().strip()


@pytest.fixture
def key(cmkctl):
    return cmkctl('create').decode().strip()


def fields(output):
    """The fields of a table of one answer."""
    return dict(line.split(None, 1) for line in output.decode().splitlines() if len(line.split()) > 1)


# Keys

def test_create_prints_the_id_alone(cmkctl, root):
    output = cmkctl('create', '--origin', 'EXTERNAL', '--spec=SM4', '--usage', 'ENCRYPT_DECRYPT', '--description', 'ä "x"\n')
    assert re.fullmatch(rb'[0-9a-f-]{36}\n', output)
    key = root.describe(output.decode().strip())
    assert (key['Origin'], key['KeySpec'], key['Description']) == ('EXTERNAL', 'SM4', 'ä "x"\n')


def test_create_takes_a_protection_level(cmkctl, root):
    for level in ('SOFTWARE', 'TPM'):
        key = cmkctl('create', '--protection-level', level).decode().strip()
        assert root.describe(key)['ProtectionLevel'] == level


def test_create_as_json_is_the_whole_answer(cmkctl, root):
    metadata = cmkctl.json('create', '--description', '\x01\t"\\/é日')['KeyMetadata']
    assert metadata == root.describe(metadata['KeyId'])
    assert metadata['Description'] == '\x01\t"\\/é日'


def test_show_is_a_table_of_all_fields(cmkctl, root, external):
    expected = root.describe(external)
    table = fields(cmkctl('show', external))
    assert table['KeyState'] == 'PendingImport'
    assert table['MaterialExpireTime'] == '-'
    assert table['CreationDate'] == datetime.fromtimestamp(
        expected['CreationDate'], timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')
    lines = cmkctl('show', external).decode().splitlines()
    assert {line.split()[0] for line in lines} == set(expected)
    assert len({len(line) - len(line.split(None, 1)[1]) for line in lines if len(line.split()) > 1}) == 1
    assert cmkctl.json('show', external)['KeyMetadata'] == expected


def test_a_table_does_not_steer_the_terminal(cmkctl):
    key = cmkctl('create', '--description', 'a\x1b[2Jb\nc\x9b').decode().strip()
    assert b'a?[2Jb?c?\n' in cmkctl('show', key)


def test_list(cmkctl, root):
    mine = [cmkctl('create', '--origin', 'EXTERNAL', '--spec', 'SM4', '--description', f'number {i}').decode().strip()
            for i in range(3)]
    lines = cmkctl('list').decode().splitlines()
    assert lines[0].split() == ['KeyId', 'KeyState', 'KeySpec', 'Origin', 'MaterialExpireTime', 'Description']
    assert set(mine) <= {line.split()[0] for line in lines[1:]}
    column = lines[0].index('KeySpec')
    assert {line[column:].split()[0] for line in lines[1:]} <= {'AES_256', 'SM4'}

    answer = cmkctl.json('list', '--state', 'PendingImport', '--spec', 'SM4', '--origin', 'EXTERNAL')
    assert answer['NextMarker'] == ''
    assert set(mine) <= {key['KeyId'] for key in answer['Keys']}
    assert {(key['KeyState'], key['KeySpec']) for key in answer['Keys']} == {('PendingImport', 'SM4')}
    assert answer['Keys'] == root.ListKeys(Limit=1000, KeySpec='SM4', Origin='EXTERNAL', KeyState='PendingImport')['Keys']


def test_list_goes_on_to_the_end_and_stops_at_the_limit():
    with new_machine() as machine:
        cmkctl, root = Cmkctl(machine), machine.client(0)
        keys = set()
        while len(keys) < 1003:
            calls = [root.start('CreateKey', Origin='EXTERNAL') for _ in range(min(200, 1003 - len(keys)))]
            keys |= {call.result()['KeyMetadata']['KeyId'] for call in calls}
        assert {key['KeyId'] for key in cmkctl.json('list')['Keys']} == keys
        for limit in (1, 1000, 1001):
            answer = cmkctl.json('list', '--limit', limit)
            assert len({key['KeyId'] for key in answer['Keys']}) == limit
            assert answer['NextMarker'] != ''
        assert len(cmkctl('list', '--limit=2000').splitlines()) == 1004


def test_enable_and_disable(cmkctl, key):
    assert fields(cmkctl('disable', key)) == {'KeyId': key, 'KeyState': 'Disabled'}
    assert 'KeyDisabled' in cmkctl.refused(1, 'encrypt', key, stdin=b'x')
    assert cmkctl.json('enable', key)['KeyState'] == 'Enabled'
    cmkctl('encrypt', key, stdin=b'x')


def test_set_description(cmkctl, root, key):
    cmkctl('set-description', key, '--', '--new one')
    assert root.describe(key)['Description'] == '--new one'
    cmkctl('set-description', key, '')
    assert root.describe(key)['Description'] == ''


# Import

@pytest.mark.parametrize('spec', ['RSA_2048', 'RSA_3072', 'RSA_4096'])
@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_import_in_one_step(cmkctl, external, tmp_path, algorithm, spec):
    file = tmp_path / 'material'
    file.write_bytes(os.urandom(32))
    table = fields(cmkctl('import', external, '--material', file, '--algorithm', algorithm, '--wrapping-spec', spec))
    assert table == {'KeyId': external, 'KeyState': 'Enabled', 'MaterialExpireTime': 'never'}


def test_import_from_standard_input_with_every_option(cmkctl, external):
    serial = '0123456789-abcdefghij-ABCDEFGHIJ-012'
    answer = cmkctl.json('import', external, '--material', '-', '--sequence', serial, '--expires=@4000000000',
                         stdin=os.urandom(32))
    assert (answer['KeyState'], answer['MaterialExpireTime'], answer['Sequence']) == ('Enabled', 4000000000, serial)


@pytest.mark.parametrize('text, expected', [
    ('never', 0),
    ('@4102444800', 4102444800),
    ('2100-01-01T00:00:00Z', 4102444800),
    ('2100-01-01t00:00:00.999z', 4102444800),
    ('2100-01-01T01:30:00+01:30', 4102444800),
    ('2099-12-31T23:00:00-01:00', 4102444800),
    ('9999-12-31T23:59:59Z', 253402300799),
])
def test_expiry(cmkctl, external, text, expected):
    assert cmkctl.json('import', external, '--material=-', '--expires', text,
                       stdin=os.urandom(32))['MaterialExpireTime'] == expected


@pytest.mark.parametrize('text, seconds', [('90s', 90), ('5m', 300), ('12h', 43200), ('30d', 2592000), ('2w', 1209600)])
def test_expiry_from_now_on(cmkctl, external, text, seconds):
    before = int(time.time())
    expiry = cmkctl.json('import', external, '--material=-', '--expires', text, stdin=os.urandom(32))['MaterialExpireTime']
    assert before + seconds <= expiry <= int(time.time()) + seconds


@pytest.mark.parametrize('text', [
    '', 'tomorrow', '30', '30x', 'd', '-1d', '+1d', ' 1d', '1d ', '1d1h', '@', '@x', '@-1', '@0', '2030-01-01',
    '2030-01-01T00:00:00', '2030-01-01T00:00:00+1:00', '2030-02-30T00:00:00Z', '2030-01-01T24:00:00Z',
    '2030-13-01T00:00:00Z', '2030-01-01T00:00:00Zx', '2030-01-01T00:00:00.Z',
])
def test_bad_expiry_is_a_usage_error(cmkctl, external, root, text):
    assert '--expires' in cmkctl.refused(2, 'import', external, '--material', '-', f'--expires={text}', stdin=bytes(32))
    assert root.state(external) == 'PendingImport'


@pytest.mark.parametrize('text', ['@1', '1970-01-02T00:00:00Z', '@253402300800', '999999999999999999999w'])
def test_expiry_that_the_daemon_refuses(cmkctl, external, text):
    assert 'InvalidParameter' in cmkctl.refused(1, 'import', external, '--material', '-', '--expires', text,
                                                stdin=bytes(32))


@pytest.mark.parametrize('algorithm', ALGORITHMS)
@pytest.mark.parametrize('form', ['der', 'pem'])
def test_the_flow_in_four_steps(cmkctl, external, tmp_path, algorithm, form):
    material, public_key, token, wrapped = (tmp_path / name for name in ('material', 'key', 'token', 'wrapped'))
    material.write_bytes(os.urandom(32))
    output = cmkctl('get-parameters', external, '--algorithm', algorithm, '--public-key', public_key, '--token', token,
                    *(['--pem'] if form == 'pem' else []))
    assert re.fullmatch(r'TokenExpireTime  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n', output.decode())

    options = [word for option in PADDINGS[algorithm] for word in ('-pkeyopt', option)]
    openssl('pkeyutl', '-encrypt', '-pubin', '-keyform', form, '-inkey', public_key, *options, '-in', material,
            '-out', wrapped)
    assert cmkctl.json('import', external, '--encrypted', wrapped, '--token', token)['KeyState'] == 'Enabled'

    # The same by cmkctl alone, from stream to stream; the same material again is allowed.
    own = run('wrap', '--public-key', public_key, '--algorithm', algorithm, stdin=material.read_bytes())
    assert (own.returncode, own.stderr) == (0, b'')
    cmkctl('import', external, '--encrypted', '-', '--token', token, stdin=own.stdout)
    for base64 in (b64(own.stdout), openssl('base64', stdin=own.stdout).decode()):
        cmkctl('import', external, '--encrypted', '-', '--token', token, stdin=base64.encode())


def test_get_parameters_as_json(cmkctl, root, external, tmp_path):
    answer = cmkctl.json('get-parameters', external, '--wrapping-spec', 'RSA_3072', '--token', tmp_path / 'token')
    assert (tmp_path / 'token').read_text() == answer['ImportToken'] + '\n'
    assert (answer['WrappingKeySpec'], answer['WrappingAlgorithm']) == ('RSA_3072', 'RSAES_OAEP_SHA_256')
    root.import_with(answer, os.urandom(32))


def test_delete_material(cmkctl, external):
    material = os.urandom(32)
    cmkctl('import', external, '--material', '-', stdin=material)
    blob = cmkctl('encrypt', external, stdin=b'kept')
    assert fields(cmkctl('delete-material', external)) == {'KeyId': external, 'KeyState': 'PendingImport'}
    assert 'KeyPendingImport' in cmkctl.refused(1, 'decrypt', stdin=blob)
    assert 'MaterialMismatch' in cmkctl.refused(1, 'import', external, '--material', '-', stdin=os.urandom(32))
    cmkctl('import', external, '--material', '-', stdin=material)
    assert cmkctl('decrypt', stdin=blob) == b'kept'


def test_material_that_cannot_be(cmkctl, external, tmp_path):
    assert 'this has 31' in cmkctl.refused(1, 'import', external, '--material', '-', stdin=bytes(31))
    assert 'empty' in cmkctl.refused(1, 'import', external, '--material', '-')
    assert 'this has 200' in cmkctl.refused(1, 'import', external, '--material', '-', stdin=bytes(200))
    assert 'right file' in cmkctl.refused(1, 'import', external, '--material', '/dev/zero')
    assert 'No such file' in cmkctl.refused(1, 'import', external, '--material', tmp_path / 'none')


# Wrapping needs no daemon

@pytest.fixture(scope='module')
def wrapping_key(tmp_path_factory):
    path = tmp_path_factory.mktemp('wrapping')
    openssl('genrsa', '-out', path / 'private.pem', '2048')
    openssl('pkey', '-in', path / 'private.pem', '-pubout', '-out', path / 'public.pem')
    openssl('pkey', '-in', path / 'private.pem', '-pubout', '-outform', 'DER', '-out', path / 'public.der')
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', path / 'ec-private.pem')
    openssl('pkey', '-in', path / 'ec-private.pem', '-pubout', '-out', path / 'ec.pem')
    return path


@pytest.mark.parametrize('algorithm', ALGORITHMS)
@pytest.mark.parametrize('form', ['pem', 'der'])
def test_wrap_is_undone_by_openssl(wrapping_key, tmp_path, algorithm, form):
    material = os.urandom(32)
    (tmp_path / 'material').write_bytes(material)
    done = run('wrap', '--public-key', wrapping_key / f'public.{form}', '--algorithm', algorithm,
               '--in', tmp_path / 'material', '--out', tmp_path / 'wrapped', env={})
    assert (done.returncode, done.stdout, done.stderr) == (0, b'', b'')
    options = [word for option in PADDINGS[algorithm] for word in ('-pkeyopt', option)]
    assert openssl('pkeyutl', '-decrypt', '-inkey', wrapping_key / 'private.pem', *options,
                   '-in', tmp_path / 'wrapped') == material


@pytest.mark.parametrize('public_key, algorithm, material, message', [
    ('public.pem', 'RSAES_OAEP_SHA_512', b'x', 'wrapping algorithm'),
    ('private.pem', 'RSAES_OAEP_SHA_256', b'x', 'public key'),
    ('ec.pem', 'RSAES_OAEP_SHA_256', b'x', 'public key'),
    ('public.der', 'RSAES_OAEP_SHA_256', bytes(191), 'does not fit'),
    ('public.der', 'RSAES_OAEP_SHA_256', b'', 'empty'),
])
def test_wrap_refuses(wrapping_key, public_key, algorithm, material, message):
    done = run('wrap', '--public-key', wrapping_key / public_key, '--algorithm', algorithm, stdin=material)
    assert (done.returncode, done.stdout) == (1, b'')
    assert message in done.stderr.decode()


# Use

CONTEXT = ['--context', 'file=notes', '--context=empty=', '--context', 'a=b=c']


def test_encrypt_and_decrypt_through_streams(cmkctl, root, key):
    data = os.urandom(6144)
    blob = cmkctl('encrypt', key, *CONTEXT, stdin=data)
    assert blob.endswith(b'\n')
    assert cmkctl('decrypt', *reversed(['a=b=c', '--context', 'file=notes', '--context', 'empty=', '--context']),
                  stdin=blob) == data
    context = {'file': 'notes', 'empty': '', 'a': 'b=c'}
    assert unb64(root.Decrypt(blob.decode().strip(), EncryptionContext=context)['Plaintext']) == data
    assert 'InvalidCiphertext' in cmkctl.refused(1, 'decrypt', '--context', 'file=notes', stdin=blob)


def test_encrypt_and_decrypt_through_files(cmkctl, key, tmp_path):
    plain, blob, back = (tmp_path / name for name in ('plain', 'blob', 'back'))
    plain.write_bytes(b'\0\xff\n')
    back.touch(mode=0o644)
    assert cmkctl('encrypt', key, '--in', plain, '--out', blob) == b''
    assert cmkctl('decrypt', '--in', blob, '--out', back, '--key', key) == b''
    assert back.read_bytes() == b'\0\xff\n'
    assert back.stat().st_mode & 0o777 == 0o600
    assert back.stat().st_size == 3


def test_encrypt_and_decrypt_as_json(cmkctl, key):
    answer = cmkctl.json('encrypt', key, stdin=b'data')
    assert answer['KeyId'] == key
    blob = openssl('base64', stdin=unb64(answer['CiphertextBlob']))  # in lines
    assert cmkctl.json('decrypt', stdin=blob)['Plaintext'] == b64(b'data')


def test_decrypt_takes_a_blob_of_the_named_key_only(cmkctl, key):
    blob = cmkctl('encrypt', key, stdin=b'data')
    other = cmkctl('create').decode().strip()
    assert 'InvalidCiphertext' in cmkctl.refused(1, 'decrypt', '--key', other, stdin=blob)
    assert 'not Base64' in cmkctl.refused(1, 'decrypt', stdin=b'\xff\xfe')
    assert 'is empty' in cmkctl.refused(1, 'decrypt')


def test_plaintext_limits(cmkctl, key):
    assert '6144' in cmkctl.refused(1, 'encrypt', key, stdin=bytes(6145))
    assert 'is empty' in cmkctl.refused(1, 'encrypt', key)


@pytest.mark.parametrize('options, before, after', [
    (['--context', 'a=1'], ['--context', 'a=1'], ['--context', 'a=1']),
    (['--source-context', 'a=1', '--destination-context', 'b=2'], ['--context', 'a=1'], ['--context', 'b=2']),
    (['--destination-context', 'b=2'], [], ['--context', 'b=2']),
])
def test_re_encrypt(cmkctl, key, options, before, after):
    other = cmkctl('create').decode().strip()
    blob = cmkctl('encrypt', key, *before, stdin=b'data')
    moved = cmkctl('re-encrypt', other, *options, stdin=blob)
    assert cmkctl('decrypt', '--key', other, *after, stdin=moved) == b'data'
    assert cmkctl.json('re-encrypt', other, *options, stdin=blob)['SourceKeyId'] == key


@pytest.mark.parametrize('options, size', [([], 32), (['--spec', 'AES_128'], 16), (['--bytes=1024'], 1024)])
def test_data_key(cmkctl, key, tmp_path, options, size):
    plain, blob = tmp_path / 'plain', tmp_path / 'blob'
    assert cmkctl('data-key', key, '--plaintext', plain, '--out', blob, '--context', 'a=b', *options) == b''
    assert (plain.stat().st_size, plain.stat().st_mode & 0o777) == (size, 0o600)
    assert cmkctl('decrypt', '--in', blob, '--context', 'a=b') == plain.read_bytes()


def test_data_key_streams(cmkctl, key, tmp_path):
    answer = cmkctl.json('data-key', key)
    assert cmkctl('decrypt', stdin=answer['CiphertextBlob'].encode()) == unb64(answer['Plaintext'])
    blob = cmkctl('data-key', key, '--without-plaintext')
    assert len(cmkctl('decrypt', stdin=blob)) == 32
    assert 'Plaintext' not in cmkctl.json('data-key', key, '--without-plaintext')
    plain = cmkctl('data-key', key, '--plaintext', '-', '--out', tmp_path / 'blob')
    assert cmkctl('decrypt', '--in', tmp_path / 'blob') == plain


# The daemon

class Monitor:
    def __init__(self, machine, *options):
        self.process = subprocess.Popen([CMKCTL, f'--address={machine.address}', 'monitor', *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr.readline().startswith('Watching')

    def __enter__(self):
        return self

    def line(self):
        """The next one; it arrives without the pipe being closed."""
        return self.process.stdout.readline().rstrip('\n')

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def test_monitor(machine, cmkctl, external):
    with Monitor(machine) as plain, Monitor(machine, '--json') as lines:
        cmkctl('import', external, '--material', '-', '--expires', '1h', stdin=os.urandom(32))
        cmkctl('disable', external)
        expected = [('Enabled', 'MaterialImported'), ('Disabled', 'Disabled')]
        seen, objects = [], []
        while len(seen) < 2 or len(objects) < 2:
            if len(seen) < 2 and (line := plain.line()).startswith('KeyChanged '):
                seen.append(line)
            if len(objects) < 2 and (signal := json.loads(lines.line()))['Signal'] == 'KeyChanged':
                objects.append(signal)
        assert seen == [f'KeyChanged {external} {state} {reason}' for state, reason in expected]
        assert objects == [{'Signal': 'KeyChanged', 'KeyId': external, 'KeyState': state, 'Reason': reason}
                           for state, reason in expected]


def test_monitor_follows_a_restart_and_au_09_ignores_others():
    with new_machine() as machine, Monitor(machine) as monitor:
        cmkctl, stranger = Cmkctl(machine), machine.new_client(ALICE).connection
        monitored = stranger.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                                       'ListNames', None, None, 0, -1, None).unpack()[0]
        machine.restart()
        for name in [None, *(name for name in monitored if name.startswith(':'))]:
            stranger.emit_signal(name, '/org/cmkd/Kms1', 'org.cmkd.Kms1.Keys', 'KeyChanged',
                                 GLib.Variant('(sss)', (UNKNOWN_KEY, 'Enabled', 'Created')))
        stranger.flush_sync(None)
        key = cmkctl('create').decode().strip()
        assert monitor.line() == f'KeyChanged {key} Enabled Created'


def test_monitor_ends_when_the_bus_does():
    with new_machine(start=False) as machine:
        machine.start()
        with Monitor(machine) as monitor:
            machine.kill()
            machine.bus.kill()
            assert monitor.process.wait(DEADLINE) == 5


def test_json_has_no_secret_that_went_to_a_file(cmkctl, key, tmp_path):
    blob = cmkctl('encrypt', key, stdin=b'secret')
    answer = cmkctl.json('decrypt', '--out', tmp_path / 'plain', stdin=blob)
    assert answer['KeyId'] == key and 'Plaintext' not in answer
    assert (tmp_path / 'plain').read_bytes() == b'secret'
    assert unb64(cmkctl.json('decrypt', stdin=blob)['Plaintext']) == b'secret'

    answer = cmkctl.json('data-key', key, '--plaintext', tmp_path / 'key', '--out', tmp_path / 'blob')
    assert 'Plaintext' not in answer and answer['CiphertextBlob'] == (tmp_path / 'blob').read_text().strip()
    assert cmkctl('decrypt', '--in', tmp_path / 'blob') == (tmp_path / 'key').read_bytes()
    private = cmkctl('create', '--spec', 'EC_SM2', '--usage', 'ENCRYPT_DECRYPT').decode().strip()
    sealed = cmkctl('asymmetric-encrypt', private, stdin=b'secret')
    answer = cmkctl.json('asymmetric-decrypt', private, '--out', tmp_path / 'opened', stdin=sealed)
    assert 'Plaintext' not in answer and (tmp_path / 'opened').read_bytes() == b'secret'


def test_a_wrong_file_is_told_by_its_size_and_kind(cmkctl, external, root):
    message = cmkctl.refused(1, 'import', external, '--material', '-', stdin=os.urandom(65))
    assert message == 'cmkctl: material for a key of AES_256 has 32 bytes, and this has 65\n'
    private = openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256')
    assert 'no material for a key of AES_256' in cmkctl.refused(1, 'import', external, '--material', '-', stdin=private)
    assert root.state(external) == 'PendingImport'

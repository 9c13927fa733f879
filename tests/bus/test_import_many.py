# SPDX-License-Identifier: Apache-2.0
"""cmkctl import --from: a directory of key material in one run, and in several if need be."""
import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import termios

import pytest

from client import DEADLINE, ERROR_PREFIX, openssl
from cmkctl import CMKCTL, Cmkctl, Impostor, on_terminal
from harness import new_machine

TAG = 'imported-from'


@pytest.fixture(scope='module')
def cmkctl(machine):
    return Cmkctl(machine)


def fill(directory, count=0, size=32, **files):
    """Material of our own making, under names that no other test has; NAME_ENDING=content."""
    prefix = os.urandom(4).hex()
    for number in range(count):
        (directory / f'{prefix}-{number}.key').write_bytes(os.urandom(size))
    for name, content in files.items():
        (directory / f"{prefix}-{name.replace('_', '.')}").write_bytes(content)
    return prefix


def import_from(cmkctl, directory, *options):
    """Exit status and the answer."""
    done = cmkctl.run('import', '--from', directory, '--json', *options)
    return done.returncode, json.loads(done.stdout)


def identity(directory):
    """The id by which the keys of a directory are known, which nobody else may read."""
    path = directory / '.cmkctl-import'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and re.fullmatch('[0-9a-f]{32}', path.read_text())
    return path.read_text()


def results(answer):
    """[(what became of it, why not)] of each file."""
    return [(one['Result'], one.get('Error', '').partition(':')[0]) for one in answer['Keys']]


def described(root, prefix):
    """{alias: key} of what has the prefix."""
    return {alias: key for key in root.ListKeys(Limit=1000)['Keys'] for alias in key['Aliases'] if prefix in alias}


def test_each_file_becomes_a_key(cmkctl, root, tmp_path):
    prefix = fill(tmp_path, 3)
    (tmp_path / 'README').write_text('what is not material is left alone')
    (tmp_path / '.hidden').write_text('as this is')
    done = cmkctl('import', '--from', tmp_path).decode().splitlines()
    keys = described(root, prefix)
    assert set(keys) == {f'alias/{prefix}-{number}' for number in range(3)}
    assert done == [f"{keys[f'alias/{prefix}-{number}']['KeyId']} Imported {prefix}-{number}.key"
                    for number in range(3)] + ['3 imported, 0 already there, 0 failed']
    for number in range(3):
        key = keys[f'alias/{prefix}-{number}']
        assert (key['KeyState'], key['Origin'], key['KeySpec']) == ('Enabled', 'EXTERNAL', 'AES_256')
        assert key['Tags'] == {TAG: f'{identity(tmp_path)}/{prefix}-{number}.key'} and key['MaterialExpireTime'] == 0
        # The right material is in the right key: it takes no other.
        cmkctl('import', key['KeyId'], '--material', tmp_path / f'{prefix}-{number}.key')
    assert 'MaterialMismatch' in cmkctl.refused(1, 'import', key['KeyId'], '--material', tmp_path / f'{prefix}-0.key')


def test_a_second_run_does_what_is_left(cmkctl, root, tmp_path):
    prefix = fill(tmp_path, 2)
    code, first = import_from(cmkctl, tmp_path)
    assert (code, first['Imported'], first['AlreadyThere'], first['Failed']) == (0, 2, 0, 0)
    more = fill(tmp_path, 1)
    lost = first['Keys'][1]['KeyId']
    root.DeleteKeyMaterial(lost)
    root.DisableKey(first['Keys'][0]['KeyId'])
    code, second = import_from(cmkctl, tmp_path)
    became = {one['File']: (one['KeyId'], one['Result']) for one in second['Keys']}
    assert (code, second['Imported'], second['AlreadyThere'], second['Failed']) == (1, 2, 0, 1)
    assert became[f'{prefix}-0.key'] == (first['Keys'][0]['KeyId'], 'Failed')  # nobody can tell what it has
    assert became[f'{prefix}-1.key'] == (lost, 'Imported')
    assert ('Failed', 'KeyDisabled') in results(second)
    root.EnableKey(first['Keys'][0]['KeyId'])
    assert len(described(root, prefix)) == 2 and len(described(root, more)) == 1
    assert cmkctl('import', '--from', tmp_path).endswith(b'\n0 imported, 3 already there, 0 failed\n')


def test_bad_files_among_good_ones(cmkctl, root, tmp_path):
    prefix = fill(tmp_path, 1, short_key=b'short', empty_bin=b'', good_bin=os.urandom(32))
    (tmp_path / f'{prefix}-white space.key').write_bytes(os.urandom(32))
    (tmp_path / f'{prefix}-directory.key').mkdir()
    (tmp_path / f'{prefix}-nowhere.key').symlink_to('/nowhere')
    (tmp_path / f'{prefix}-private.pem').write_bytes(openssl('genpkey', '-algorithm', 'EC', '-pkeyopt',
                                                             'ec_paramgen_curve:P-256'))
    code, answer = import_from(cmkctl, tmp_path)
    failed = {one['File'].removeprefix(f'{prefix}-'): one['Error'] for one in answer['Keys'] if 'Error' in one}
    assert (code, answer['Imported'], answer['Failed']) == (1, 2, 6)
    assert {name: re.search('32 bytes|empty|rename|directory|No such file|--spec', error).group(0)
            for name, error in failed.items()} == {
        'short.key': '32 bytes', 'empty.bin': 'empty', 'white space.key': 'rename', 'directory.key': 'directory',
        'nowhere.key': 'No such file', 'private.pem': '--spec'}
    assert set(described(root, prefix)) == {f'alias/{prefix}-0', f'alias/{prefix}-good'}  # no key for a bad file

    done = cmkctl.run('import', '--from', tmp_path)
    assert done.returncode == 1 and done.stdout.endswith(b'\n0 imported, 2 already there, 6 failed\n')
    assert len(done.stderr.splitlines()) == 6 and all(line.startswith(b'cmkctl: ') for line in done.stderr.splitlines())
    (tmp_path / f'{prefix}-short.key').write_bytes(os.urandom(32))
    assert import_from(cmkctl, tmp_path)[1]['Imported'] == 1


def test_material_that_the_daemon_refuses(cmkctl, root, tmp_path):
    """The key is there then, and waits for the right file."""
    def private_key(curve):
        return openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', f'ec_paramgen_curve:{curve}')
    prefix = fill(tmp_path, key_pem=private_key('P-384'))
    code, answer = import_from(cmkctl, tmp_path, '--spec', 'EC_P256')
    assert code == 1 and answer['Keys'][0]['Error'].startswith('IncorrectKeyMaterial')
    (tmp_path / f'{prefix}-key.pem').write_bytes(private_key('P-256'))
    code, second = import_from(cmkctl, tmp_path, '--spec', 'EC_P256', '--usage', 'SIGN_VERIFY')
    assert (code, second['Imported'], second['Keys'][0]['KeyId']) == (0, 1, answer['Keys'][0]['KeyId'])
    code, third = import_from(cmkctl, tmp_path)
    assert code == 1 and '--spec EC_P256' in third['Keys'][0]['Error']


def test_an_alias_of_another_key_is_not_taken(cmkctl, root, tmp_path):
    prefix = fill(tmp_path, 1, same_key=os.urandom(32), same_bin=os.urandom(32))
    root.external_key(Alias=f'alias/{prefix}-0')
    code, answer = import_from(cmkctl, tmp_path)
    assert (code, answer['Imported'], answer['Failed']) == (1, 1, 2)
    assert all('another key' in one['Error'] for one in answer['Keys'] if one['Result'] == 'Failed')


def test_other_material_is_not_already_there(cmkctl, root, tmp_path):
    """That a key has material says nothing about which: the same is imported once more, and gets the expiry."""
    prefix = fill(tmp_path, 2)
    assert import_from(cmkctl, tmp_path)[1]['Imported'] == 2
    (tmp_path / f'{prefix}-1.key').write_bytes(os.urandom(32))
    code, answer = import_from(cmkctl, tmp_path, '--expires', '30d')
    assert (code, results(answer)) == (1, [('AlreadyThere', ''), ('Failed', 'MaterialMismatch')])
    keys = described(root, prefix)
    assert keys[f'alias/{prefix}-0']['MaterialExpireTime'] > 0 == keys[f'alias/{prefix}-1']['MaterialExpireTime']


def test_a_file_of_the_same_name_in_another_directory(cmkctl, root, tmp_path):
    """Neither a key that has its material nor one that still waits for it is the key of that file."""
    one, other = tmp_path / 'one', tmp_path / 'other'
    one.mkdir()
    prefix = fill(one, 1, waits_key=os.urandom(32))
    assert import_from(cmkctl, one)[1]['Imported'] == 2
    waiting = described(root, prefix)[f'alias/{prefix}-waits']['KeyId']
    root.DeleteKeyMaterial(waiting)  # as an interrupted run leaves it
    shutil.copytree(one, other, ignore=shutil.ignore_patterns('.cmkctl-import'))
    code, answer = import_from(cmkctl, other)
    assert (code, answer['Failed']) == (1, 2) and all("another key's" in key['Error'] for key in answer['Keys'])
    assert root.state(waiting) == 'PendingImport' and identity(one) != identity(other)
    assert import_from(cmkctl, one)[1] | {'Keys': 0} == {'Imported': 1, 'AlreadyThere': 1, 'Failed': 0, 'Keys': 0}


@pytest.mark.parametrize('options, error', [
    ({'Origin': 'CMKD_KMS'}, "another key's"), ({'KeySpec': 'SM4'}, '--spec SM4')], ids=['origin', 'spec'])
def test_a_key_of_another_kind_is_not_taken(cmkctl, root, tmp_path, options, error):
    prefix = fill(tmp_path, 1)
    (tmp_path / '.cmkctl-import').write_text('0' * 32)
    root.CreateKey(**{'Origin': 'EXTERNAL', 'Alias': f'alias/{prefix}-0', **options,
                      'Tags': {TAG: f"{'0' * 32}/{prefix}-0.key"}})
    assert error in import_from(cmkctl, tmp_path)[1]['Keys'][0]['Error']


def test_an_id_that_is_none(cmkctl, tmp_path):
    fill(tmp_path, 1)
    (tmp_path / '.cmkctl-import').write_text('../' * 4)
    assert 'remove it' in cmkctl.refused(1, 'import', '--from', tmp_path)


def test_pipes_and_names_that_are_no_text(cmkctl, tmp_path):
    """Nobody is waited for, and what is printed is JSON and steers no terminal, whatever a file is called."""
    fill(tmp_path, 1)
    os.mkfifo(tmp_path / 'pipe.key')
    for name in (b'\xff\xfe.key', b'\xc2\x9b31m.key', '\u202eyek.key'.encode()):
        with open(os.fsencode(tmp_path) + b'/' + name, 'wb') as file:
            file.write(os.urandom(32))
    done = cmkctl.run('import', '--from', tmp_path, '--json')
    answer = json.loads(done.stdout.decode())
    assert (answer['Imported'], answer['Failed']) == (1, 4)
    assert {'\ufffd\ufffd.key', '\x9b31m.key', '\u202eyek.key', 'pipe.key'} < {key['File'] for key in answer['Keys']}
    for control in ('\x9b', '\u202e', '\x1b'):
        assert control not in done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_at_a_passphrase(cmkctl, tmp_path, number):
    """It names the file, and is the end of the run; the terminal shows what is typed again."""
    locked = openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-aes256', '-pass', 'pass:open')
    prefix = fill(tmp_path, one_pem=locked, two_pem=locked)
    process, terminal = pty.fork()
    if process == 0:
        os.execv(CMKCTL, [CMKCTL, cmkctl.bus, 'import', '--from', str(tmp_path), '--spec', 'EC_P256'])
    shown = b''
    while b'one.pem: ' not in shown:
        shown += os.read(terminal, 4096)
    assert f'passphrase of {tmp_path}/{prefix}-one.pem: '.encode() in shown
    assert not termios.tcgetattr(terminal)[3] & termios.ECHO
    if number == signal.SIGINT:
        os.write(terminal, b'\x03')
    else:
        os.kill(process, number)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == number
    assert termios.tcgetattr(terminal)[3] & termios.ECHO
    os.close(terminal)


def test_options_of_the_import(cmkctl, root, tmp_path):
    prefix = fill(tmp_path, 1, size=48)
    code, _ = import_from(cmkctl, tmp_path, '--spec=HMAC_384', '--expires=30d', '--algorithm', 'RSAES_OAEP_SHA_1')
    key, = described(root, prefix).values()
    assert (code, key['KeySpec']) == (0, 'HMAC_384') and key['MaterialExpireTime'] > 0


@pytest.mark.parametrize('options', [
    ['alias/x'], ['--material', 'file'], ['--encrypted', 'file'], ['--token', 'file'], ['--spec', 'AES_257'],
    ['--expires', 'soon']], ids=' '.join)
def test_what_does_not_go_with_it(cmkctl, tmp_path, options):
    cmkctl.refused(2, 'import', '--from', tmp_path, *options)


def test_directories_without_anything(cmkctl, tmp_path):
    assert 'no file' in cmkctl.refused(1, 'import', '--from', tmp_path)
    assert 'cannot read the directory' in cmkctl.refused(1, 'import', '--from', tmp_path / 'nowhere')
    assert 'leave' not in cmkctl.refused(2, 'import')
    assert '--from' in cmkctl.refused(2, 'import', 'KEY', '--material', 'file', '--spec', 'SM4')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_killed_and_run_again(cmkctl, root, tmp_path, number):
    """Whatever was under way: no file has two keys, and all are imported at the end."""
    prefix, count, runs = fill(tmp_path, 4), 4, 0
    while len(done := {key['KeyId'] for key in described(root, prefix).values()
                       if key['KeyState'] == 'Enabled'}) < count:
        process = subprocess.Popen([CMKCTL, cmkctl.bus, 'import', '--from', tmp_path], stdout=subprocess.PIPE)
        for line in process.stdout:  # the first that is new
            if line.split()[1] == b'Imported':
                break
        process.send_signal(number)
        process.communicate(timeout=DEADLINE)
        runs += 1
        assert runs <= 2 * count  # a call of the run before may still be under way
    assert import_from(cmkctl, tmp_path)[1]['AlreadyThere'] == count
    tagged = [key['Tags'][TAG] for key in root.ListKeys(Limit=1000)['Keys'] if prefix in key['Tags'].get(TAG, '')]
    assert len(tagged) == len(set(tagged)) == len(done) == count


def test_the_daemon_goes_away(tmp_path):
    with new_machine() as machine:
        cmkctl = Cmkctl(machine)
        fill(tmp_path, 3)
        machine.stop()
        done = cmkctl.run('import', '--from', tmp_path)
        assert done.returncode == 5 and done.stdout == b'0 imported, 0 already there, 1 failed\n'
        machine.start()
        assert cmkctl('import', '--from', tmp_path).endswith(b'\n3 imported, 0 already there, 0 failed\n')


def test_throttled_means_come_back(tmp_path):
    """The call is made again, once it may be, and nothing else before it."""
    fill(tmp_path, 2)
    with new_machine(start=False) as machine:
        impostor = Impostor(machine)
        answers = [('Throttled', 'too many calls: try again in 1 second; or not'),
                   ('Throttled', 'too many calls: try again in 607 milliseconds; or not'),
                   ('Throttled', 'nothing was done: try again'),
                   ('StorageFull', 'no room'), ('Throttled', 'try again in 3600 seconds; or not')]
        impostor.answer = lambda _message: (ERROR_PREFIX + answers[len(impostor.calls) - 1][0],
                                            answers[len(impostor.calls) - 1][1])
        code, answer = import_from(Cmkctl(machine), tmp_path)
        asked = [arguments[0] for _, arguments in impostor.calls]
    assert asked[0] == asked[1] == asked[2] == asked[3] != asked[4] and len(asked) == 5
    assert code == 1 and [one['Error'].split(':')[0] for one in answer['Keys']] == ['StorageFull', 'Throttled']


def test_a_rate_limit_only_slows_it_down(tmp_path):
    fill(tmp_path, 3)
    with new_machine(config={'Limits': {'KeysPerSecond': 1, 'ImportsPerSecond': 1}}) as machine:
        assert Cmkctl(machine)('import', '--from', tmp_path).endswith(b'\n3 imported, 0 already there, 0 failed\n')


def test_where_it_came_from_takes_no_room_in_a_list(cmkctl, tmp_path):
    fill(tmp_path, 1)
    cmkctl('import', '--from', tmp_path)
    assert identity(tmp_path).encode() not in cmkctl('list')
    assert any(key['Tags'].get(TAG, '').startswith(identity(tmp_path)) for key in cmkctl.json('list')['Keys'])


def test_on_a_terminal(cmkctl, tmp_path):
    """Lines stay whole, whatever is shown in between."""
    prefix = fill(tmp_path, 3)
    status, shown = on_terminal(cmkctl.bus, 'import', '--from', tmp_path)
    lines = [line.rpartition('\x1b[K')[2] for line in shown.rstrip('\n').split('\n')]
    assert status == 0 and lines[-1] == '3 imported, 0 already there, 0 failed'
    assert [line.split()[1:] for line in lines[:-1]] == [['Imported', f'{prefix}-{number}.key'] for number in range(3)]

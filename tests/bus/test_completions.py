# SPDX-License-Identifier: Apache-2.0
"""What bash, zsh and fish offer on the command line of cmkctl."""
import contextlib
import os
import pty
import re
import select
import shlex
import subprocess
import time

import pytest
from gi.repository import Gio

from cmkctl import CMKCTL, Cmkctl, Impostor, eventually, help_of, run, verbs
from client import DEADLINE, ERROR_PREFIX, SOURCE_ROOT
from harness import new_machine

COMPLETIONS = SOURCE_ROOT / 'client' / 'completions'
END = ':end'  # of the candidates of one line
SHELLS = ['bash', 'zsh', 'fish']
ENVIRONMENT = {**os.environ, 'PATH': f"{os.path.dirname(CMKCTL)}:{os.environ['PATH']}", 'TERM': 'xterm'}

# What an argument may be of which nothing is known beforehand.
FREE = {'ACTION', 'ADDRESS', 'HOST', 'ID', 'NAME', 'NAME=VALUE', 'NUMBER', 'SERIAL', 'TEXT', 'TIME', 'WORD', '...'}


def bash_script(lines):
    """bash calls our function with the words of the line, taken apart at each = and : as well."""
    yield f'. {COMPLETIONS}/cmkctl.bash; compopt() {{ :; }}'
    for words in lines:
        parts = [part for word in words for part in re.findall('[=:]|[^=:]+|^$', word)]
        line = ' '.join(words)
        yield (f'COMP_WORDS=({shlex.join(parts)}); COMP_CWORD={len(parts) - 1}; COMP_LINE={shlex.quote(line)}; '
               f'COMP_POINT={len(line)}; COMPREPLY=(); _cmkctl; printf "%s\\n" "${{COMPREPLY[@]}}"; echo {END}')


def zsh_script(lines):
    """zsh calls our function with the words of the line; what that would hand to the line editor is printed, and
    whole if it has a colon with no description behind it."""
    yield (f'fpath=({COMPLETIONS} $fpath); autoload -Uz _cmkctl; '
           '_describe() { print -rl -- "${(@P)${@[-1]}%%:*}" "${(@M)${(@P)@[-1]}:#*:}" }; '
           'compset() { PREFIX=${PREFIX#--*=} }; _files() { if [[ $1 = -/ ]] { print -rl -- $PREFIX*(N/) } else '
           '{ print -rl -- $PREFIX*(N) } }')
    for words in lines:
        yield (f'words=({shlex.join(words)}); CURRENT={len(words)}; PREFIX={shlex.quote(words[-1])}; '
               f'_cmkctl; print {END}')


def fish_script(lines):
    yield f'source {COMPLETIONS}/cmkctl.fish'
    for words in lines:
        yield f'complete --do-complete "{" ".join(words)}" | string replace --regex "\\t.*" ""; echo {END}'


def offers(shell, *lines, cwd=None):
    """What the shell offers for the last word of each line."""
    script = {'bash': bash_script, 'zsh': zsh_script, 'fish': fish_script}[shell](lines)
    options = {'bash': ['--norc'], 'zsh': ['-f'], 'fish': ['--no-config']}[shell]
    done = subprocess.run([shell, *options, '-c', '\n'.join(script)], capture_output=True, text=True, check=True,
                          timeout=DEADLINE, env=ENVIRONMENT, cwd=cwd)
    assert done.stderr == ''
    answers = done.stdout.split(f'{END}\n')[:-1]
    assert len(answers) == len(lines)
    return [[text for text in answer.splitlines() if text] for answer in answers]


@pytest.fixture(scope='module')
def keys(machine):
    """The ids of two keys; the first has an alias."""
    cmkctl = Cmkctl(machine)
    found = [cmkctl('create', '--description', 'a: b').decode().strip() for _ in range(2)]
    cmkctl('alias', 'create', 'alias/first', found[0])
    return found


@pytest.mark.parametrize('shell', SHELLS)
def test_every_verb_and_every_option(shell):
    names = verbs()
    overview, *options = offers(shell, ['cmkctl', ''], *(['cmkctl', verb, '--'] for verb in names))
    assert overview == names
    for verb, offered in zip(names, options):
        assert sorted(offered) == sorted(re.findall('^  (--[a-z0-9-]+)', help_of(verb), re.MULTILINE)), verb


@pytest.mark.parametrize('shell', SHELLS)
def test_choices(shell):
    cases = {
        'en': ['enable', 'encrypt', 'encrypt-file'],
        '--session import KEY --w': ['--wrapping-spec'],
        'list --state=Enabled --st': [],
        'create --tag a=b --ta': ['--tag'],
        'import --algorithm RSAES_P': ['RSAES_PKCS1_V1_5'],
        'wrap --algorithm SM2': ['SM2PKE', 'SM2PKE_SM4_ECB'],
        'sign --algorithm RSA_PSS': [f'RSA_PSS_SHA_{bits}' for bits in (256, 384, 512)],
        'mac --algorithm HMAC_SHA_3': ['HMAC_SHA_384'],
        'asymmetric-encrypt --algorithm S': ['SM2PKE'],
        'create --spec EC_P2': ['EC_P256', 'EC_P256K'],
        'data-key --spec AES': ['AES_256', 'AES_128'],
        'create --usage S': ['SIGN_VERIFY'],
        'create --protection-level T': ['TPM'],
        'get-parameters --wrapping-spec E': ['EC_SM2'],
        'list --state P': ['PendingImport', 'PendingDeletion'],
        'list --origin E': ['EXTERNAL'],
        'recover --accept t': ['tpm-changed'],
        'log --user roo': ['root'],
        'grant KEY --operations GetPu': ['GetPublicKey'],
        'grant KEY --operations Sign,Veri': ['Sign,Verify', 'Sign,VerifyMac'],
        'alias c': ['create'],
        'alias create alias/new --lim': ['--limit'],
        'list -- --s': [],
        'bogus --lim': [],
        'create --bogus --spec SM': ['SM4'],
    }
    answers = offers(shell, *(['cmkctl', *line.split(' ')] for line in cases))
    assert dict(zip(cases, answers)) == cases
    whole = offers(shell, ['cmkctl', 'create', '--spec=SM'])[0]
    assert whole == ['SM4' if shell == 'bash' else '--spec=SM4']  # bash completes what follows the '='


@pytest.mark.parametrize('shell', SHELLS)
def test_keys_and_aliases(machine, keys, shell):
    bus = ['cmkctl', f'--address={machine.address}']
    lines = [[*bus, 'show', ''], [*bus, 'import', ''], [*bus, 'decrypt', '--key', ''], [*bus, 'alias', 'delete', ''],
             [*bus, 'alias', 'create', 'alias/x', ''], [*bus, 'tag', ''],
             ['cmkctl', '--address', machine.address, 'disable', 'alias/f'], [*bus, 'show', keys[0], '']]
    sizes = [3, 2, 3, 1, 3, 3, 1, 0]
    either, ids, by_option, aliases, second, tagged, begun, done = eventually(
        lambda: offers(shell, *lines), lambda answers: [len(offered) for offered in answers] == sizes)
    for offered in (either, by_option, second, tagged):
        assert sorted(offered) == sorted([*keys, 'alias/first'])
    assert sorted(ids) == sorted(keys)
    assert aliases == begun == ['alias/first']
    assert done == []


@pytest.mark.parametrize('shell', SHELLS)
def test_the_grants_of_a_key(machine, keys, shell):
    cmkctl = Cmkctl(machine)
    grants = [cmkctl.json('grant', keys[0], option, name, '--operations', 'Sign')['GrantId']
              for option, name in (('--user', 'games'), ('--group', 'games'))]
    bus = ['cmkctl', f'--address={machine.address}', 'revoke']
    lines = [[*bus, keys[0], ''], [*bus, 'alias/first', grants[0][:18]], [*bus, keys[1], ''], [*bus, keys[0], grants[0], ''],
             [*bus, 'nonsense', '']]
    of_key, begun, *others = eventually(
        lambda: offers(shell, *lines), lambda answers: [len(offered) for offered in answers] == [2, 1, 0, 0, 0])
    assert sorted(of_key) == sorted(grants) and begun == grants[:1] and others == [[], [], []]
    described = eventually(lambda: run('complete', '--', bus[1], 'revoke', keys[0], '').stdout.decode().splitlines())
    assert sorted(described) == sorted(f'{grant}\t{kind} games' for grant, kind in zip(grants, ('user', 'group')))


@pytest.mark.parametrize('shell', SHELLS)
def test_files(shell, tmp_path):
    (tmp_path / 'material.bin').touch()
    (tmp_path / 'much').mkdir()
    offered = offers(shell, ['cmkctl', 'import', 'KEY', '--material', 'm'], ['cmkctl', 'wrap', '--in=ma'],
                     ['cmkctl', 'verify-attestation', 'mat'], ['cmkctl', 'create', '--description', 'm'], cwd=tmp_path)
    assert [{name.rstrip('/') for name in names} for names in offered] == [
        {'material.bin', 'much'}, {'--in=material.bin' if shell == 'fish' else 'material.bin'}, {'material.bin'}, set()]


def test_every_placeholder_has_values_or_can_have_none(machine, keys):
    """A new option cannot be forgotten."""
    def offered(*words):
        return run('complete', '--', f'--address={machine.address}', *words, '').stdout

    for verb in verbs():
        for option, placeholder in re.findall('^  (--[a-z0-9-]+) ([^ ]+)', help_of(verb), re.MULTILINE):
            if placeholder not in FREE:
                assert eventually(lambda: offered(verb, option)), (verb, option)
        for placeholder in re.match(r'Usage: cmkctl \S+ \[OPTION\.\.\.\](.*)', help_of(verb)).group(1).split():
            if placeholder.removesuffix('...') not in FREE:
                assert eventually(lambda: offered(verb)), (verb, placeholder)
                break


def test_no_daemon_is_nothing_to_offer():
    with new_machine(start=False) as machine:
        for shell in SHELLS:
            assert offers(shell, ['cmkctl', f'--address={machine.address}', 'show', '']) == [[]]


def test_nobody_is_asked_for_a_password_or_waits():
    with new_machine(start=False) as machine:
        impostor = Impostor(machine)
        impostor.answer = (ERROR_PREFIX + 'AccessDenied', '')
        assert run('complete', '--', f'--address={machine.address}', 'show', '').stdout == b''
        assert not impostor.calls[0][0] & Gio.DBusMessageFlags.ALLOW_INTERACTIVE_AUTHORIZATION
        impostor.answer = None  # to nobody, ever
        assert run('complete', '--', f'--address={machine.address}', 'show', '').stdout == b''


@pytest.mark.parametrize('shell, begin', [
    ('bash', f'. {COMPLETIONS}/cmkctl.bash'),
    ('zsh', f'fpath=({COMPLETIONS} $fpath); autoload -Uz compinit; compinit -D -u'),
    ('fish', f'source {COMPLETIONS}/cmkctl.fish'),
])
def test_on_a_terminal(shell, begin):
    """The tab key completes the word, and what stands there then runs."""
    process, terminal = pty.fork()
    if process == 0:
        options = {'bash': ['--norc'], 'zsh': ['-f'], 'fish': ['--no-config']}[shell]
        os.execvpe(shell, [shell, *options, '-i'], {**ENVIRONMENT, 'HOME': '/nonexistent'})
    os.write(terminal, f'{begin}\ncmkctl --vers\t\n'.encode())
    shown, deadline = b'', time.monotonic() + DEADLINE
    with contextlib.closing(os.fdopen(terminal, 'rb', buffering=0)) as screen:
        while not re.search(rb'cmkctl \d+\.\d+\.\d+', shown) and time.monotonic() < deadline:
            if select.select([screen], [], [], 1)[0]:
                shown += screen.read(4096)
    os.kill(process, 9)
    os.waitpid(process, 0)
    assert re.search(rb'cmkctl \d+\.\d+\.\d+', shown), shown

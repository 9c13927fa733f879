# SPDX-License-Identifier: Apache-2.0
"""cmkctl encrypt-file, decrypt-file and re-encrypt-file, and their format as docs/envelope-file-format.md has it."""
import configparser
import hashlib
import os
import pty
import re
import resource
import signal
import stat
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from client import DEADLINE, SOURCE_ROOT, openssl, unb64
from cmkctl import CMKCTL, Cmkctl
from harness import ALICE

CHUNK, TAG = 65536, 16
FIXED = 39  # bytes of the header before the blob
CONTEXT = ['--context', 'host=web1', '--context', 'file=notes']
WIPE = b'\r\x1b[K'


@pytest.fixture(scope='module')
def cmkctl(machine):
    return Cmkctl(machine)


@pytest.fixture(scope='module')
def material():
    return os.urandom(32)


@pytest.fixture(scope='module')
def key(root, material):
    return root.imported_key(material)


@pytest.fixture
def opener(tmp_path_factory, material):
    """What scripts/open-envelope-file makes of a file."""
    path = tmp_path_factory.mktemp('material') / 'material'
    path.write_bytes(material)
    return lambda file, *pairs: run_opener(path, file, *pairs)


def run_opener(material, file, *pairs):
    return subprocess.run([SOURCE_ROOT / 'scripts' / 'open-envelope-file', material, *pairs], input=file,
                          capture_output=True)


def split(file):
    """Header and chunks."""
    start = FIXED + int.from_bytes(file[5:7], 'big')
    return file[:start], [file[at:at + CHUNK + TAG] for at in range(start, len(file), CHUNK + TAG)]


def make(cmkctl, key, data):
    return cmkctl('encrypt-file', key, *CONTEXT, stdin=data)


# Round trips

@pytest.mark.parametrize('size', [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 77])
def test_sizes(cmkctl, key, opener, tmp_path, size):
    """By files and by streams; the file is as long as it should be, and opens without cmkd."""
    data = os.urandom(size)
    (tmp_path / 'data').write_bytes(data)
    assert cmkctl('encrypt-file', key, '--in', tmp_path / 'data', '--out', tmp_path / 'sealed', *CONTEXT) == b''
    assert cmkctl('decrypt-file', '--in', tmp_path / 'sealed', '--out', tmp_path / 'opened', *CONTEXT) == b''
    assert (tmp_path / 'opened').read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ['data', 'opened', 'sealed']
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ('sealed', 'opened')} == {0o600}

    streamed = make(cmkctl, key, data)
    header, chunks = split(streamed)
    assert [len(chunk) - TAG for chunk in chunks] == [min(CHUNK, size - at) for at in range(0, size or 1, CHUNK)]
    assert cmkctl('decrypt-file', *CONTEXT[2:], *CONTEXT[:2], stdin=streamed) == data
    opened = opener(streamed, 'file=notes', 'host=web1')
    assert (opened.returncode, opened.stdout) == (0, data), opened.stderr
    other_header, other_chunks = split((tmp_path / 'sealed').read_bytes())
    assert header[7:] != other_header[7:] and set(chunks).isdisjoint(other_chunks)


def test_a_key_of_sm4(cmkctl, root, tmp_path):
    key, material = root.own_key(KeySpec='SM4', Origin='EXTERNAL'), os.urandom(16)
    root.import_material(key, material)
    (tmp_path / 'material').write_bytes(material)
    sealed = cmkctl('encrypt-file', key, stdin=b'data')
    assert cmkctl('decrypt-file', stdin=sealed) == b'data'
    assert run_opener(tmp_path / 'material', sealed).stdout == b'data'


def test_a_large_file_takes_no_more_memory(cmkctl, key, tmp_path):
    """Sparse, and never whole on a disk: encrypted, decrypted and compared as it passes."""
    size = 192 * 1024 * 1024
    with open(tmp_path / 'large', 'wb') as large:
        large.write(b'begin')
        large.seek(size - 3)
        large.write(b'end')
    encrypt = subprocess.Popen([CMKCTL, cmkctl.bus, 'encrypt-file', key, '--in', tmp_path / 'large'],
                               stdout=subprocess.PIPE)
    decrypt = subprocess.Popen([CMKCTL, cmkctl.bus, 'decrypt-file'], stdin=encrypt.stdout, stdout=subprocess.PIPE)
    encrypt.stdout.close()
    digest = hashlib.sha256()
    while data := decrypt.stdout.read(1 << 20):
        digest.update(data)
    assert (encrypt.wait(DEADLINE), decrypt.wait(DEADLINE)) == (0, 0)
    with open(tmp_path / 'large', 'rb') as large:
        assert digest.digest() == hashlib.file_digest(large, 'sha256').digest()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < size


def test_vectors(cmkctl, root, tmp_path):
    """The files of the page, put together from its values by stock openssl."""
    page = (SOURCE_ROOT / 'docs' / 'envelope-file-format.md').read_text()
    vectors = configparser.ConfigParser(delimiters='=')
    vectors.read_string(re.search(r'^```ini\n(.*?)^```$', page, re.MULTILINE | re.DOTALL).group(1))
    assert len(vectors.sections()) >= 4
    replicas = set()
    for name in vectors.sections():
        vector = vectors[name]
        pairs = list(filter(None, vector['pairs'].split(';')))
        data = bytes(i % 251 for i in range(int(vector['plaintext_bytes'])))
        blob, tags = unb64(vector['blob']), vector['tags'].split(';')
        file = b'CMKF\x01' + len(blob).to_bytes(2, 'big') + bytes.fromhex(vector['commitment']) + blob
        for number, tag in enumerate(tags):
            counter = number.to_bytes(11, 'big') + bytes([number + 1 == len(tags)]) + b'\0\0\0\2'
            file += openssl('enc', '-aes-256-ctr', '-K', vector['file_key'], '-iv', counter.hex(),
                            stdin=data[number * CHUNK:(number + 1) * CHUNK]) + bytes.fromhex(tag)
        assert hashlib.sha256(file).hexdigest() == vector['file_sha256'], name

        if vector['key_id'] not in replicas:
            replicas.add(root.external_key(KeyId=vector['key_id']))
            root.import_material(vector['key_id'], bytes.fromhex(vector['material']))
        context = [word for pair in pairs for word in ('--context', pair)]
        assert cmkctl('decrypt-file', *context, stdin=file) == data
        (tmp_path / 'material').write_bytes(bytes.fromhex(vector['material']))
        assert run_opener(tmp_path / 'material', file, *pairs).stdout == data


# Whatever is not as it was written

def refused_file(cmkctl, file, directory, *options, code=1):
    """Refused, and nothing is left of the attempt."""
    message = cmkctl.refused(code, 'decrypt-file', '--out', directory / 'opened', *(options or CONTEXT), stdin=file)
    assert list(directory.iterdir()) == []
    return message


def test_every_byte_counts(cmkctl, key, opener, tmp_path):
    file = make(cmkctl, key, b'all of it')
    for at in range(len(file)):
        refused_file(cmkctl, file[:at] + bytes([file[at] ^ 1 << at % 8]) + file[at + 1:], tmp_path)
    for at in (0, 4, 5, 7, FIXED - 1, FIXED, len(file) - 1):
        done = opener(file[:at] + bytes([file[at] ^ 1]) + file[at + 1:], 'file=notes', 'host=web1')
        assert done.returncode != 0 and done.stdout == b'', at


def test_every_cut_is_noticed(cmkctl, key, tmp_path):
    file = make(cmkctl, key, b'all of it')
    for size in range(len(file)):
        refused_file(cmkctl, file[:size], tmp_path)


def test_chunks_stay_where_they_are(cmkctl, key, opener, tmp_path):
    data = os.urandom(3 * CHUNK)
    header, (first, second, third) = split(make(cmkctl, key, data))
    other_header, (other_first, other_second, other_third) = split(make(cmkctl, key, data))
    empty_header, (empty,) = split(make(cmkctl, key, b''))
    cases = {
        'swapped': [second, first, third],
        'first left out': [second, third],
        'middle left out': [first, third],
        'last left out': [first, second],
        'nothing left': [],
        'repeated': [first, first, second, third],
        'last repeated': [first, second, third, third],
        'byte behind the end': [first, second, third, b'\0'],
        'empty chunk behind the end': [first, second, third, empty],
        'cut in a chunk': [first, second[:-1]],
        'cut in a tag': [first, second, third[:-TAG]],
        'chunk of another file': [first, other_second, third],
        'all of another file': [other_first, other_second, other_third],
    }
    for name, chunks in cases.items():
        file = header + b''.join(chunks)
        refused_file(cmkctl, file, tmp_path)
        done = cmkctl.run('decrypt-file', *CONTEXT, stdin=file)
        assert done.returncode == 1 and data.startswith(done.stdout), name
        if name in ('swapped', 'last left out', 'last repeated', 'byte behind the end'):  # it takes its time
            done = opener(file, 'file=notes', 'host=web1')
            assert done.returncode == 1 and data.startswith(done.stdout), name
    assert 'altered or cut short' in refused_file(cmkctl, other_header + first + second + third, tmp_path)
    # A blob that is not that of the file, though of the same key and context.
    refused_file(cmkctl, header[:FIXED] + other_header[FIXED:] + first + second + third, tmp_path)
    refused_file(cmkctl, other_header[:FIXED] + header[FIXED:] + first + second + third, tmp_path)


def test_what_is_no_envelope_file(cmkctl, key, opener, tmp_path):
    blob = cmkctl('encrypt', key, stdin=b'0' * 31)
    for file in (b'', b'CMKF', b'CMKF\2' + bytes(200), b'CMKF\1\xff\xff' + bytes(70000), b'CMKF\1\0\0' + bytes(60), blob):
        assert 'not an envelope file' in refused_file(cmkctl, file, tmp_path)
        assert b'not an envelope file' in opener(file).stderr
    # A blob that somebody may well have encrypted, but not a data key.
    short = unb64(blob.decode().strip())
    refused_file(cmkctl, b'CMKF\1' + len(short).to_bytes(2, 'big') + bytes(32) + short + bytes(16), tmp_path,
                 '--context', 'a=b')
    assert 'no data key' in cmkctl.refused(1, 'decrypt-file',
                                           stdin=b'CMKF\1' + len(short).to_bytes(2, 'big') + bytes(32) + short)
    assert b'no data key' in opener(b'CMKF\1' + len(short).to_bytes(2, 'big') + bytes(32) + short).stderr


def test_context_and_key(cmkctl, root, tmp_path):
    key, other = root.own_key(), root.own_key()
    file = make(cmkctl, key, b'data')
    for options in (['--context', 'host=web1'], ['--context', 'host=web2', '--context', 'file=notes'], ['--key', key]):
        assert 'InvalidCiphertext' in refused_file(cmkctl, file, tmp_path, *options)
    assert 'InvalidCiphertext' in refused_file(cmkctl, file, tmp_path, *CONTEXT, '--key', other)
    assert cmkctl('decrypt-file', *CONTEXT, '--key', key, stdin=file) == b'data'
    root.DisableKey(key)
    assert 'KeyDisabled' in refused_file(cmkctl, file, tmp_path)
    assert 'KeyDisabled' in cmkctl.refused(1, 'encrypt-file', key, '--out', tmp_path / 'sealed', stdin=b'data')
    assert list(tmp_path.iterdir()) == []


def test_re_encrypt_file(cmkctl, root, key, tmp_path):
    """The header gets another blob; the data stays as it is, and needs only the new key."""
    old, data = root.own_key(), os.urandom(CHUNK + 5)
    (tmp_path / 'old').write_bytes(make(cmkctl, old, data))
    answer = cmkctl.json('re-encrypt-file', key, '--in', tmp_path / 'old', '--out', tmp_path / 'new', *CONTEXT)
    assert (answer['KeyId'], answer['SourceKeyId'], len(answer)) == (key, old, 3)
    root.DisableKey(old)
    new = (tmp_path / 'new').read_bytes()
    assert split(new)[1] == split((tmp_path / 'old').read_bytes())[1]
    assert cmkctl('decrypt-file', '--key', key, *CONTEXT, stdin=new) == data
    assert 'InvalidCiphertext' in cmkctl.refused(1, 're-encrypt-file', key, stdin=new)
    assert 'not an envelope file' in cmkctl.refused(1, 're-encrypt-file', key, stdin=b'data')


def test_json(cmkctl, key, tmp_path):
    (tmp_path / 'data').write_bytes(b'data')
    answer = cmkctl.json('encrypt-file', key, '--in', tmp_path / 'data', '--out', tmp_path / 'sealed')
    assert (answer['KeyId'], set(answer)) == (key, {'KeyId', 'RequestId'})
    answer = cmkctl.json('decrypt-file', '--in', tmp_path / 'sealed', '--out', tmp_path / 'opened')
    assert (answer['KeyId'], set(answer)) == (key, {'KeyId', 'RequestId'})
    assert '--out' in cmkctl.refused(2, 'encrypt-file', key, '--json', stdin=b'data')


# Files that are there, and files that cannot be written

def test_a_file_that_is_there_stays(cmkctl, key, tmp_path):
    kept = tmp_path / 'kept'
    kept.write_bytes(b'kept')
    sealed = make(cmkctl, key, b'data')
    assert '--force' in cmkctl.refused(1, 'encrypt-file', key, '--out', kept, stdin=b'data')
    assert '--force' in cmkctl.refused(1, 'decrypt-file', '--out', kept, *CONTEXT, stdin=sealed)
    cmkctl.refused(1, 'decrypt-file', '--out', kept, '--force', *CONTEXT, stdin=sealed[:-1])
    assert kept.read_bytes() == b'kept'
    cmkctl('decrypt-file', '--out', kept, '--force', *CONTEXT, stdin=sealed)
    assert kept.read_bytes() == b'data' and list(tmp_path.iterdir()) == [kept]
    cmkctl('encrypt-file', key, '--in', kept, '--out', kept, '--force')
    cmkctl('decrypt-file', '--in', kept, '--out', kept, '--force')
    assert kept.read_bytes() == b'data'


def test_a_file_that_comes_meanwhile_stays(cmkctl, key, tmp_path):
    process = start(cmkctl, 'encrypt-file', key, '--out', tmp_path / 'sealed')
    feed(process, bytes(4 * CHUNK))
    (tmp_path / 'sealed').write_bytes(b'faster')
    _, error = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1 and b'--force' in error
    assert (tmp_path / 'sealed').read_bytes() == b'faster' and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk(cmkctl, key, tmp_path):
    assert 'No space' in cmkctl.refused(1, 'encrypt-file', key, '--out', '/dev/full', stdin=b'data')
    limit = 2 * CHUNK

    def limit_files():  # Python ignores SIGXFSZ, and with restore_signals=False so does the child
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    message = cmkctl.refused(1, 'encrypt-file', key, '--out', tmp_path / 'sealed', stdin=bytes(3 * CHUNK),
                             preexec_fn=limit_files, restore_signals=False)
    assert 'cannot write' in message and list(tmp_path.iterdir()) == []


def test_paths_that_lead_nowhere(cmkctl, key, tmp_path):
    assert 'cannot open' in cmkctl.refused(1, 'encrypt-file', key, '--in', tmp_path / 'nowhere', '--out', '-')
    assert 'cannot read' in cmkctl.refused(1, 'encrypt-file', key, '--in', '/', '--out', tmp_path / 'out')
    assert 'cannot write' in cmkctl.refused(1, 'encrypt-file', key, '--out', tmp_path / 'no' / 'where', stdin=b'data')
    assert 'cannot write' in cmkctl.refused(1, 'encrypt-file', key, '--out', tmp_path, stdin=b'data')
    assert list(tmp_path.iterdir()) == []


# Interrupted

def start(cmkctl, *arguments, **options):
    return subprocess.Popen([CMKCTL, cmkctl.bus, *map(str, arguments)],
                            **{name: subprocess.PIPE for name in ('stdin', 'stdout', 'stderr')} | options)


def feed(process, data):
    """More than pipe and cmkctl hold, so that some of it has been written when this returns."""
    process.stdin.write(data)
    process.stdin.flush()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize('verb', ['encrypt-file', 'decrypt-file'])
def test_a_signal_leaves_nothing_behind(cmkctl, key, tmp_path, verb, number):
    check_nothing_is_left(cmkctl, key, tmp_path, verb, number)


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGXCPU, signal.SIGXFSZ, signal.SIGALRM, signal.SIGUSR1])
def test_nor_does_one_that_nobody_listens_to(cmkctl, key, number):
    """Where the file system has files without names, as this one does."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as directory:
        check_nothing_is_left(cmkctl, key, Path(directory), 'decrypt-file', number)


def check_nothing_is_left(cmkctl, key, directory, verb, number):
    data = bytes(16 * CHUNK)
    sealed = make(cmkctl, key, data)
    process = start(cmkctl, verb, *([key] if verb == 'encrypt-file' else CONTEXT), '--out', directory / 'out')
    feed(process, data if verb == 'encrypt-file' else sealed[:-1])
    process.send_signal(number)
    assert process.wait(DEADLINE) == -number
    assert list(directory.iterdir()) == []
    process.communicate()


# What somebody else has put in place of a file

@pytest.mark.parametrize('verb', ['decrypt-file', 'decrypt'])
def test_a_pipe_of_somebody_else_gets_nothing(cmkctl, key, tmp_path, verb):
    pipe = tmp_path / 'out'
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sealed = make(cmkctl, key, b'data') if verb == 'decrypt-file' else cmkctl('encrypt', key, *CONTEXT, stdin=b'data')
    cmkctl(verb, '--out', pipe, *CONTEXT, stdin=sealed)  # our own
    assert os.read(reader, 100) == b'data'
    os.chown(pipe, ALICE, ALICE)
    assert 'no pipe of yours' in cmkctl.refused(1, verb, '--out', pipe, *CONTEXT, stdin=sealed)
    assert os.read(reader, 100) == b''
    os.close(reader)


# On a terminal

class Terminal:
    """Standard error of a process as a terminal, and what was shown on it."""

    def __init__(self):
        self.leader, self.follower = pty.openpty()
        self.shown = b''
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            while data := os.read(self.leader, 4096):
                with self.changed:
                    self.shown += data
                    self.changed.notify()
        except OSError:  # EIO: nobody has the terminal open any more
            pass
        with self.changed:
            self.shown += b'\0'
            self.changed.notify()

    def wait_for(self, text):
        with self.changed:
            assert self.changed.wait_for(lambda: text in self.shown, DEADLINE), self.shown
            return self.shown


@pytest.mark.parametrize('ends_by', ['end', 'signal', 'failure'])
def test_progress_is_shown_and_wiped(cmkctl, key, tmp_path, ends_by):
    terminal = Terminal()
    process = start(cmkctl, 'decrypt-file', '--out', tmp_path / 'out', *CONTEXT, stderr=terminal.follower)
    os.close(terminal.follower)
    sealed = make(cmkctl, key, bytes(4 * CHUNK))
    feed(process, sealed[:-CHUNK])
    terminal.wait_for(b'cmkctl: decrypting, ')
    if ends_by == 'signal':
        process.send_signal(signal.SIGINT)
    process.communicate(sealed[-CHUNK:] if ends_by == 'end' else None, timeout=DEADLINE)
    shown = terminal.wait_for(b'\0')
    if ends_by == 'failure':
        assert re.search(re.escape(WIPE) + rb'cmkctl: standard input was altered.*\r\n\0$', shown)
    else:
        assert shown.endswith(WIPE + b'\0')
    assert process.returncode == {'end': 0, 'signal': -signal.SIGINT, 'failure': 1}[ends_by]


def test_nothing_binary_on_a_terminal(cmkctl, key):
    leader, follower = pty.openpty()
    process = start(cmkctl, 'encrypt-file', key, stdout=follower)
    _, error = process.communicate(b'data', timeout=DEADLINE)
    assert process.returncode == 2 and b'--out' in error
    os.close(follower)
    os.close(leader)

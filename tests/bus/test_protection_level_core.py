# SPDX-License-Identifier: Apache-2.0
"""The material of keys of level TPM is nowhere in the memory of cmkd - locked, left out of cores or not - once it has
been imported: neither afterwards nor in the middle of a use, where that of other keys is.

Not for builds with a sanitizer: they keep freed memory as it was, on purpose."""
import subprocess

import pytest

from blob import derive
from client import b64, iterate_until, refused, unb64
from harness import new_machine
from openssl_keys import ENCRYPTION, MAC, SIGNING, key_of
from search import find, read_core
from test_protection_level import DECRYPT, EC, HMAC, NO_POOL, RSA, SYMMETRIC, bring, import_again, secrets_of, use

MESSAGE = b'what is signed, encrypted or authenticated'

# All that a process can write to, with the pages that no core has, but without empty ones.
DUMP = '''
import re, sys
pid, path = sys.argv[1:]
with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as memory, open(path, 'wb') as dump:
    for line in maps:
        match = re.match('([0-9a-f]+)-([0-9a-f]+) rw', line)
        if match:
            start, end = (int(number, 16) for number in match.groups())
            for page in range(start, end, 4096):
                memory.seek(page)
                content = memory.read(4096)
                if content.count(0) < 4096:
                    dump.write(content)
'''


@pytest.fixture(scope='module')
def machine():
    with new_machine(config=NO_POOL) as machine:
        yield machine


def memory_of(machine, directory, function=None, call=None):
    """The memory of cmkd now; or when it comes to @function in what @call starts, and the answer of that."""
    (directory / 'dump.py').write_text(DUMP)
    place, ready = directory / 'memory', directory / 'ready'
    stop = ['-ex', f'break {function}', '-ex', f'shell touch {ready}', '-ex', 'continue'] if function else []
    gdb = subprocess.Popen(
        ['gdb', '-nx', '-batch', '-p', str(machine.daemon.pid), *stop, '-ex',
         f'shell python3 {directory}/dump.py {machine.daemon.pid} {place}', '-ex', 'detach'],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if function:
        iterate_until(lambda: ready.exists() or gdb.poll() is not None, 'the breakpoint is set')
        ready.unlink()
        call = call()
    output = gdb.communicate()[0]
    assert gdb.returncode == 0 and (not function or f' {function} (' in output), output
    memory = place.read_bytes()
    place.unlink()
    return (memory, call.result()) if function else memory


def call_of(key, usage=None):
    """The method that uses the secret of a key, and its arguments."""
    if key.spec in SYMMETRIC:
        return 'Encrypt', (b64(MESSAGE),)
    if key.spec in HMAC:
        return 'GenerateMac', (b64(MESSAGE), MAC[key.spec])
    algorithm = (ENCRYPTION if usage == DECRYPT else SIGNING)[key.spec][0]
    if usage == DECRYPT:
        return 'AsymmetricDecrypt', (b64(key.encrypt(algorithm, MESSAGE)), algorithm)
    return 'Sign', (b64(MESSAGE), algorithm)


def memory_in_use(machine, kms, directory, function, cmk, key, usage=None):
    method, arguments = call_of(key, usage)
    return memory_of(machine, directory, function, lambda: kms.start(method, cmk, *arguments))


@pytest.mark.parametrize('spec, usage, function', [
    ('AES_256', None, 'cmk_hmac'), ('HMAC_512', None, 'cmk_hmac'), ('RSA_2048', None, 'EVP_DigestSign'),
    ('RSA_2048', DECRYPT, 'EVP_PKEY_decrypt'), ('EC_P256', None, 'EVP_DigestSign')])
def test_the_search_finds_what_other_keys_have_there(machine, kms, tmp_path, spec, usage, function):
    key = key_of(spec)
    cmk = bring(kms, key, **({'KeyUsage': usage} if usage else {}))
    memory, _ = memory_in_use(machine, kms, tmp_path, function, cmk, key, usage)
    found = find(secrets_of(key), memory)
    assert {name for name in secrets_of(key) if any(line.startswith(f'{name}, ') for line in found)} >= {
        'RSA': {'p', 'q', 'd mod p-1', 'd mod q-1', '1/q mod p'}, 'EC_': {'scalar'}}.get(spec[:3], {'material'})
    assert find(secrets_of(key), memory_of(machine, tmp_path)) == []


# While the TPM is at work, and when it is done.
ESYS = {**dict.fromkeys(SYMMETRIC + HMAC, 'Esys_HMAC_Finish'), **dict.fromkeys(RSA, 'Esys_RSA_Decrypt_Finish'),
        **dict.fromkeys(EC, 'Esys_Sign_Finish')}


@pytest.mark.parametrize('spec, usage', [
    ('AES_256', None), ('HMAC_384', None), ('RSA_2048', None), ('RSA_2048', DECRYPT), ('EC_P256', None)])
def test_nothing_during_and_after_a_use(machine, kms, tmp_path, spec, usage):
    key = key_of(spec)
    cmk = bring(kms, key, ProtectionLevel='TPM', **({'KeyUsage': usage} if usage else {}))
    secrets = secrets_of(key)
    for function in (ESYS[spec], 'cmk_tpm_session_end'):
        memory, _ = memory_in_use(machine, kms, tmp_path, function, cmk, key, usage)
        assert find(secrets, memory) == []
    use(kms, cmk, key, usage)
    assert find(secrets, memory_of(machine, tmp_path)) == []
    assert find(secrets, read_core(machine)) == []


def test_the_keys_of_a_message_are_there_while_they_are_needed(machine, kms, tmp_path):
    """They open one blob; the material, which they were made with, is in the TPM."""
    key = key_of('AES_256')
    cmk = bring(kms, key, ProtectionLevel='TPM')
    memory, answer = memory_in_use(machine, kms, tmp_path, 'cmk_gcm_seal', cmk, key)
    message_key = derive(key.data, b'cmkd/v1/message', unb64(answer['CiphertextBlob'])[4:37], 32)
    keys = {'message key': message_key, 'keys of the message': derive(message_key, b'cmkd/v1/expand', b'', 76)[:32]}
    assert any(found.startswith('keys of the message') for found in find(keys, memory))
    assert find(secrets_of(key), memory) == []
    assert find(keys, memory_of(machine, tmp_path)) == []


@pytest.mark.parametrize('spec', ['AES_256', 'RSA_2048'])
def test_nothing_after_other_imports(machine, kms, tmp_path, spec):
    """Another time, other material, a restart, a new expiry: all that brings it through memory once more."""
    key, other = key_of(spec), key_of(spec, 1)
    cmk = bring(kms, key, ProtectionLevel='TPM')
    import_again(kms, cmk, key, KeyMaterialExpireUnix=machine.now() + 1000)
    with refused('MaterialMismatch'):
        import_again(kms, cmk, other)
    assert find({**secrets_of(key), **{f'other {name}': value for name, value in secrets_of(other).items()}},
                memory_of(machine, tmp_path)) == []

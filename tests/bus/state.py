# SPDX-License-Identifier: Apache-2.0
"""What cmkd keeps, read by somebody who has the disk, and opened by somebody who has the TPM as well.

It is done by docs/record-format.md with sqlite, tpm2-tools and openssl: a test that finds a secret here and nowhere
else knows that it looked for the right thing."""
import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import uuid
from pathlib import Path

from client import openssl

ROOT_KEY = '0x81000001'
NONCE, TAG = 12, 16  # bytes around the ciphertext of an envelope
STAGE, KEY, SLOTS_PER_PAGE = 16, 32, 128  # of erasure


@contextlib.contextmanager
def database(machine):
    """A copy of the database with its log: cmkd, which holds the lock of its own, may go on meanwhile."""
    with tempfile.TemporaryDirectory(dir='/tmp') as directory:
        for path in machine.state.glob('state.db*'):
            shutil.copy(path, directory)
        with contextlib.closing(sqlite3.connect(f'{directory}/state.db')) as connection:
            connection.row_factory = sqlite3.Row
            yield connection


def rows(machine, query, *arguments):
    with database(machine) as connection:
        return connection.execute(query, arguments).fetchall()


def edit(machine, statement, *arguments):
    """As somebody who has the disk; cmkd is down."""
    with contextlib.closing(sqlite3.connect(machine.state / 'state.db', isolation_level=None)) as connection:
        connection.execute(statement, arguments)


def meta(machine, name):
    return rows(machine, 'SELECT value FROM meta WHERE name = ?', name)[0][0]


def store_id(machine):
    return uuid.UUID(bytes=meta(machine, 'store-id'))


def row_of_key(machine, key):
    return rows(machine, 'SELECT * FROM keys WHERE id = ?', uuid.UUID(key).bytes)[0]


def row_of_set(machine, set_id):
    return rows(machine, 'SELECT * FROM import_sets WHERE id = ?', set_id)[0]


def tpm_tool(machine, name, *arguments, tcti=None, environment=None):
    return subprocess.run([f'tpm2_{name}', *map(str, arguments)], check=True, capture_output=True,
                          env={**os.environ, **(environment or {}),
                               'TPM2TOOLS_TCTI': tcti or machine.stock_tcti}).stdout


def flush_objects(machine):
    """There is no resource manager between these tools and the TPM: what they load stays."""
    tpm_tool(machine, 'flushcontext', '--transient-object')


def unseal(machine, sealed_key):
    """The data key in a sealed object: TPM2B_PUBLIC || TPM2B_PRIVATE."""
    public_size = 2 + int.from_bytes(sealed_key[:2], 'big')
    with tempfile.TemporaryDirectory(dir='/tmp') as directory:
        public, private, context = (Path(directory) / name for name in ('public', 'private', 'context'))
        public.write_bytes(sealed_key[:public_size])
        private.write_bytes(sealed_key[public_size:])
        tpm_tool(machine, 'load', '-C', ROOT_KEY, '-u', public, '-r', private, '-c', context)
        flush_objects(machine)
        data_key = tpm_tool(machine, 'unseal', '-c', context)
        flush_objects(machine)
        return data_key


def open_envelope(data_key, envelope):
    """The payload of nonce || AES-256-GCM ciphertext || tag. GCM counts from 2; the tag is not looked at."""
    return openssl('enc', '-d', '-aes-256-ctr', '-K', data_key.hex(), '-iv', envelope[:NONCE].hex() + '00000002',
                   stdin=envelope[NONCE:-TAG])


# The outer layer: what erasure takes the key of

def root_secret(machine):
    return open_envelope(unseal(machine, meta(machine, 'root-sealed-key')), meta(machine, 'root-envelope'))


def derived_key(machine, purpose):
    return openssl('kdf', '-binary', '-keylen', 32, '-kdfopt', 'digest:SHA256', '-kdfopt',
                   f'hexkey:{root_secret(machine).hex()}', '-kdfopt', f'info:cmkd/{purpose}/v1', 'HKDF')


def erasure_keys(machine):
    """The root keys of erasure that the TPM holds, the current and the next, read by who has the state and the TPM."""
    handle = hex(rows(machine, 'SELECT nv_handle FROM anchor')[0][0])
    authorisation = derived_key(machine, 'nv-index').hex()
    index = tpm_tool(machine, 'nvread', '-C', handle, '-P', f'hex:{authorisation}', handle)
    return index[2 * STAGE:2 * STAGE + KEY], index[2 * STAGE + KEY:]


def erasure_page(machine, number, key):
    """The keys in a page, by their places."""
    content = rows(machine, 'SELECT content FROM erasure_pages WHERE page = ?', number)[0][0]
    page = open_envelope(key, content)
    return [page[place:place + KEY] for place in range(0, len(page), KEY)]


def reveal(machine, stored, key=None):
    """The envelope that was stored in a slot; @key: what is taken for the root key of erasure."""
    slot = int.from_bytes(stored[:8], 'big')
    number, place = divmod(slot, SLOTS_PER_PAGE)
    page_key = erasure_page(machine, 0, key or erasure_keys(machine)[0])[number]
    return open_envelope(erasure_page(machine, number, page_key)[place], stored[8:])

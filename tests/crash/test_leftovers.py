# SPDX-License-Identifier: Apache-2.0
"""CR-14: what an earlier cmkd, a crash or somebody else has left in the state directory is cleaned up or recovered, and
never trusted."""
import contextlib
import os
import shutil
import sqlite3

import pytest

from harness import ALICE
from crash import CrashMachine, make_canaries, view

FILES = ('state.db.new', 'state.db.new-journal', 'state.db.new-wal', 'state.db-journal', 'state.db-wal', 'state.db-shm',
         'lock')


def names(machine):
    return {path.name for path in machine.state.iterdir()}


@pytest.fixture(scope='module')
def base():
    machine = CrashMachine()
    try:
        machine.start()
        proofs = make_canaries(machine.client(ALICE))
        seen = view(machine.client(ALICE), proofs)
        machine.own_files = names(machine)
        machine.stop()
        machine.save('base')
        yield machine, proofs, seen
    finally:
        machine.shut_down()


def foreign_database(machine, path):
    """Of another program, with a log of its own."""
    place = machine.directory / 'foreign.db'
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute('PRAGMA journal_mode = WAL')
        connection.execute('CREATE TABLE IF NOT EXISTS keys (id)')
        connection.execute("INSERT INTO keys VALUES ('foreign')")
        source = f'{place}-wal' if path.name.endswith('-wal') else place
        shutil.copy(source, path)


CONTENTS = {
    'nothing': lambda _, path: path.write_bytes(b''),
    'zeros': lambda _, path: path.write_bytes(bytes(8192)),
    'noise': lambda _, path: path.write_bytes(os.urandom(8192)),
    'the database': lambda machine, path: shutil.copy(machine.state / 'state.db', path),
    'a foreign database': foreign_database,
}


def test_log_of_another_database_is_refused_and_does_no_harm(base):
    machine, proofs, seen = base
    machine.load('base')
    log = machine.state / 'state.db-wal'
    foreign_database(machine, log)
    log.chmod(0o600)
    for _ in range(2):
        status, output = machine.run_daemon()
        assert status == 1 and 'restore' in output, output
    log.unlink()
    machine.start()
    assert view(machine.client(ALICE), proofs) == seen
    machine.stop()


# A log without its database is refused (test-store-files.c), and that of another one, see above.
@pytest.mark.parametrize('state, name, content', [
    (state, name, content) for state in ('base', 'empty') for name in FILES for content in CONTENTS
    if not (name == 'state.db-wal' and (state == 'empty' or content == 'a foreign database'))])
def test_stale_file_at_start(base, state, name, content):
    machine, proofs, seen = base
    machine.load('base')
    path = machine.state / name
    CONTENTS[content](machine, path)
    if state == 'empty':
        machine.replace_tpm()
        (machine.state / 'state.db').unlink()
    path.chmod(0o600)
    machine.start()
    kms = machine.client(ALICE)
    if state == 'base':
        assert view(kms, proofs) == seen
    kms.DescribeKey(kms.own_key())
    machine.kill()
    assert names(machine) <= {*machine.own_files, name}
    machine.release_handles()
    machine.start()
    assert len(kms.ListKeys()['Keys']) == (len(seen) if state == 'base' else 0) + 1
    machine.stop()
    machine.assert_no_handles()

# SPDX-License-Identifier: Apache-2.0
"""cmkctl --host: the bus of another machine through ssh, for which a script stands here that runs the bridge at once."""
import json
import os
import subprocess

import pytest

from cmkctl import CMKCTL, refused, run

SSH = '''#!/bin/sh
printf '%s\\n' "$@" >{directory}/arguments
exec systemd-stdio-bridge --bus-path={address}
'''


@pytest.fixture
def far(machine, tmp_path):
    """What cmkctl needs in its environment to get there; nothing else leads to the bus."""
    ssh = tmp_path / 'ssh'
    ssh.write_text(SSH.format(directory=tmp_path, address=machine.address))
    ssh.chmod(0o755)
    return {'PATH': f"{tmp_path}:{os.environ['PATH']}", 'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nowhere'}


def test_calls_reach_the_other_machine(root, far, tmp_path):
    done = run('--host', 'ada@web1.example', 'create', env=far)
    assert (done.returncode, done.stderr) == (0, b'')
    key = done.stdout.decode().strip()
    assert root.state(key) == 'Enabled'
    assert (tmp_path / 'arguments').read_text().splitlines() == ['-xT', '--', 'ada@web1.example', 'systemd-stdio-bridge']
    blob = run('--host=web1', 'encrypt', key, stdin=b'data', env=far).stdout
    assert run('decrypt', '--host=[fe80::1%eth0]', stdin=blob, env=far).stdout == b'data'
    assert (tmp_path / 'arguments').read_text().splitlines()[2] == '[fe80::1%eth0]'
    assert 'KeyPendingDeletion' not in refused(3, '--host=web1', 'show', 'alias/unknown', env=far)


def test_material_is_wrapped_here(root, far):
    key, material = root.external_key(), os.urandom(32)
    done = run('--host', 'web1', 'import', key, '--material', '-', stdin=material, env=far)
    assert (done.returncode, done.stderr) == (0, b'') and root.state(key) == 'Enabled'


@pytest.mark.parametrize('host', ['', '-oProxyCommand=x', '@web1', 'ada@', 'ada@-oProxyCommand=x', '-x@web1', 'a@b@c',
                                  'web1;id', 'web1 id', 'web1,argv5=x', 'web1\nid', '$(id)', 'wéb1', 'ssh://web1/'])
def test_odd_names_are_refused(far, tmp_path, host):
    assert '--host' in refused(2, f'--host={host}', 'list', env=far)
    assert not (tmp_path / 'arguments').exists()


def test_status_says_nothing_of_this_machine(far):
    status = json.loads(run('--host=web1', 'status', '--json', env=far).stdout)
    assert status['TpmState'] == 'ok' and 'KeyringQuota' not in status
    assert not [text for text in status['NotProtected'] if 'TPM is a program' not in text]


@pytest.mark.parametrize('option', ['--system', '--session', '--address=unix:path=/nowhere'])
def test_one_bus_at_a_time(far, option):
    assert 'only one of' in refused(2, '--host=web1', option, 'list', env=far)


def test_a_machine_that_cannot_be_reached(far, tmp_path):
    (tmp_path / 'ssh').write_text('#!/bin/sh\nexit 255\n')
    assert 'ssh' in refused(5, '--host=web1', 'list', env=far)
    (tmp_path / 'ssh').unlink()
    done = run('--host=web1', 'list', env={**far, 'PATH': str(tmp_path)})  # libdbus says itself what it cannot run
    assert (done.returncode, done.stdout) == (5, b'')


def test_completion_does_not_connect(far, tmp_path):
    """Nobody wants to be asked for a password for pressing Tab."""
    done = subprocess.run([CMKCTL, 'complete', '--', '--host=web1', 'show', ''], capture_output=True, env=far)
    assert (done.returncode, done.stdout) == (0, b'') and not (tmp_path / 'arguments').exists()

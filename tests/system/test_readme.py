# SPDX-License-Identifier: Apache-2.0
"""The five commands of README.md, as they stand there, on a machine that has no cmkd yet."""
import re
from pathlib import Path

from machine import PACKAGES

README = Path(__file__).resolve().parents[2] / 'README.md'


def test_from_readme_to_an_imported_key(cmkd, machine):
    block = re.search(r'^## Five commands$.*?^```bash$(.*?)^```$', README.read_text(), re.MULTILINE | re.DOTALL).group(1)
    build, install, *use = block.strip().splitlines()
    assert build == 'scripts/package'  # which has built these packages
    assert len(use) == 3

    machine.run('dpkg', '--purge', 'cmkd', 'cmkctl')
    machine.run('mkdir', '-p', '/root/build-package')
    for package in PACKAGES:
        machine.put(package, '/root/build-package')
    machine.run('bash', '-euc', f'cd; sudo() {{ "$@"; }}; {install}')
    cmkd.choose_tpm()
    shown = machine.ask('bash', '-euc', '\n'.join(['cd "$(mktemp -d)"', *use, 'cmkctl show $key']), user='alice')
    assert re.search(r'^KeyState +Enabled$', shown, re.MULTILINE)

# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/import-cookbook.md and README.md, run as they stand.

A recipe is what stands under one heading: its blocks marked `sh`, in order, in one shell and one fresh directory, after
those under PROLOGUE. A block that is not run is fenced as something else and says why in a comment before it; NOT_RUN
lists them."""
import os
import re
import subprocess
from pathlib import Path

import pytest

from client import DEADLINE, SOURCE_ROOT, openssl

COOKBOOK = SOURCE_ROOT / 'docs' / 'import-cookbook.md'
README = SOURCE_ROOT / 'README.md'
PROLOGUE = 'Before you begin'

# (page, heading): why its block is not run, as the comment before it says.
NOT_RUN = {('README.md', 'Five commands'):
           'it installs packages; tests/system/test_readme.py runs these very lines on a Debian of its own'}

FENCE = re.compile(r'^```(.*)$')
REASON = re.compile(r'^<!-- not run: (.+) -->$')


def blocks(page):
    """(heading, what the fence says, the comment before it, text) of every fenced block."""
    heading, opening, before, text = None, None, '', []
    for line in page.read_text().splitlines():
        fence = FENCE.match(line)
        if opening is not None and fence:
            yield heading, opening, REASON.match(before), '\n'.join(text)
            opening, before = None, ''
        elif opening is not None:
            text.append(line)
        elif fence:
            opening, text = fence.group(1), []
        elif line.startswith('#'):
            heading = line.lstrip('#').strip()
        elif line:
            before = line
    assert opening is None, f'{page.name}: the block under {heading} has no end'


def recipes(page):
    """Heading -> script."""
    scripts = {}
    for heading, language, _, text in blocks(page):
        if language == 'sh':
            scripts[heading] = scripts.get(heading, '') + text + '\n'
    return scripts


@pytest.fixture
def shell(machine, tmp_path):
    """Run a script as a person's shell would, but end at the first command that fails."""
    environment = {
        **{name: value for name, value in os.environ.items() if 'DBUS_' not in name},
        'PATH': f"{Path(os.environ['CMKD_CLIENT']).parent}:{os.environ['PATH']}",
        'DBUS_SYSTEM_BUS_ADDRESS': machine.address,  # busctl and libdbus take it for the system bus
    }

    def run(script):
        # A session of its own has no terminal to ask for anything.
        done = subprocess.run(['bash', '-xeuo', 'pipefail', '-c', script], cwd=tmp_path, env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              start_new_session=True, timeout=3 * DEADLINE, text=True, errors='replace')
        assert done.returncode == 0, done.stdout
        return done.stdout
    return run


def test_every_block_is_run_or_says_why_not():
    unrun = {}
    for page in (COOKBOOK, README):
        for heading, language, reason, text in blocks(page):
            if language != 'sh':
                assert reason, f'{page.name}, {heading}: mark the block as sh or say why it is not run:\n{text}'
                unrun[page.name, heading] = reason.group(1)
    assert unrun == NOT_RUN


COOKBOOK_RECIPES = recipes(COOKBOOK)


def test_recipes_are_found():
    """Every wrapping algorithm of the contract is in one."""
    text = ''.join(COOKBOOK_RECIPES.values())
    names = re.findall(r'{ CMK_WRAPPING_\w+, "(RSA\w*_\w+|SM2\w+)" }', (SOURCE_ROOT / 'daemon/base/spec.c').read_text())
    algorithms = {name for name in names if not re.fullmatch(r'RSA_\d+', name)}
    assert len(algorithms) == 8
    assert [name for name in sorted(algorithms) if not re.search(rf'[ "]{name}[ "\n]', text)] == []


@pytest.mark.parametrize('heading', [heading for heading in COOKBOOK_RECIPES if heading != PROLOGUE])
def test_cookbook(shell, heading):
    shell(COOKBOOK_RECIPES[PROLOGUE] + COOKBOOK_RECIPES[heading])


def test_readme(shell, tmp_path):
    """The import flow leaves material for the daily use, which begins with a text, a private key and other files as well."""
    (tmp_path / 'secret.txt').write_text('what is secret\n')
    (tmp_path / 'disk.image').write_bytes(os.urandom(200_000))
    (tmp_path / 'materials').mkdir()
    for name in ('tapes', 'disks'):
        (tmp_path / 'materials' / f'{name}.key').write_bytes(os.urandom(32))
    openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', tmp_path / 'key.pem')
    output = shell(''.join(recipes(README).values()))
    assert output.count('what is secret\n') == 2  # decrypted, and decrypted with a private key
    assert (tmp_path / 'restored.image').read_bytes() == (tmp_path / 'disk.image').read_bytes()
    assert (tmp_path / 'public.pem').read_bytes() == openssl('ec', '-in', tmp_path / 'key.pem', '-pubout')

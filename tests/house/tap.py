# SPDX-License-Identifier: Apache-2.0
"""Tests of the house: each a function that returns the list of what it found wrong, empty when all is well."""
import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(os.environ['CMKD_SOURCE_ROOT'])
BUILD = Path(os.environ['CMKD_BUILD_ROOT'])


def run(*command, env=None):
    """(exit status, output and errors together) of a command."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, **(env or {})}, check=False)
    return done.returncode, done.stdout


def report(cases):
    """Run each case and print its result as TAP; what is wrong to stderr, where meson looks for it."""
    print(f'1..{len(cases)}')
    failed = False
    for number, case in enumerate(cases, 1):
        wrong = case()
        failed = failed or bool(wrong)
        name = case.__name__.replace('_', '-')
        print('not ok' if wrong else 'ok', number, name, flush=True)
        for line in '\n'.join(wrong).splitlines():
            print(f'{name}: {line}', file=sys.stderr)
    sys.exit(failed)

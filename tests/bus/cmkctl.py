# SPDX-License-Identifier: Apache-2.0
"""cmkctl as a test calls it."""
import json
import os
import re
import subprocess

from client import DEADLINE

CMKCTL = os.environ['CMKD_CLIENT']


def run(*arguments, stdin=b'', **options):
    return subprocess.run([CMKCTL, *map(str, arguments)], input=stdin, capture_output=True, timeout=DEADLINE, **options)


class Cmkctl:
    """cmkctl on the bus of a machine, as root."""

    def __init__(self, machine):
        self.bus = f'--address={machine.address}'

    def run(self, *arguments, **options):
        return run(self.bus, *arguments, **options)

    def __call__(self, *arguments, **options):
        """What it prints; it must succeed, and say nothing else."""
        done = self.run(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, b'')
        return done.stdout

    def json(self, *arguments, **options):
        answer = json.loads(self(*arguments, '--json', **options))
        assert re.fullmatch('[0-9a-f-]{36}', answer['RequestId'])
        return answer

    def refused(self, code, *arguments, **options):
        """Its message; it must end with @code, print nothing, and need one line to say why."""
        return refused(code, self.bus, *arguments, **options)


def refused(code, *arguments, **options):
    done = run(*arguments, **options)
    assert (done.returncode, done.stdout) == (code, b''), done.stderr
    message = done.stderr.decode()
    assert re.fullmatch(r'cmkctl: [^\n]+\n', message)
    return message

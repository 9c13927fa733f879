# SPDX-License-Identifier: Apache-2.0
"""The system calls of a process, counted by strace."""
import subprocess
import tempfile
from pathlib import Path


def count_system_calls(pid, work):
    """Do @work under strace: {system call of the process: how often}."""
    with tempfile.NamedTemporaryFile() as output:
        strace = subprocess.Popen(['strace', '-f', '-c', '-o', output.name, '-p', str(pid)], stderr=subprocess.PIPE,
                                  text=True)
        strace.stderr.readline()  # "attached"
        try:
            work()
        finally:
            strace.terminate()
            strace.communicate()
        lines = [line.split() for line in Path(output.name).read_text().splitlines()]
    return {fields[-1]: int(fields[3]) for fields in lines if len(fields) >= 5 and fields[3].isdigit()}


def flushes(counts):
    return counts.get('fsync', 0) + counts.get('fdatasync', 0)

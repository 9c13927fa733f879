# SPDX-License-Identifier: Apache-2.0
"""The programs of the benchmark, which meson has built."""
import os
import subprocess
from pathlib import Path

PROGRAMS = Path(os.environ['CMKD_BENCHMARK_PROGRAMS'])
ECHO_NAME = 'org.cmkd.Benchmark.Echo'


def program(name, *arguments):
    return subprocess.run([PROGRAMS / name, *map(str, arguments)], check=True, stdout=subprocess.PIPE,
                          text=True).stdout

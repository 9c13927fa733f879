# SPDX-License-Identifier: Apache-2.0
"""Every C file is as clang-format leaves it. usage: check_format.py CLANG_FORMAT"""
import subprocess
import sys

import tap

FILES = sorted(path for room in ('client', 'common', 'daemon', 'include', 'tests')
               for path in (tap.SOURCE / room).glob('**/*.[ch]'))


def formatted():
    if not FILES:
        return ['no files found']
    status, text = tap.run(sys.argv[1], '--dry-run', '-Werror', *FILES)
    return [] if status == 0 else [text]


def the_formatter_finds_an_offence():
    done = subprocess.run([sys.argv[1], '--dry-run', '-Werror', '--assume-filename', FILES[0]], input='int  a ;\n',
                          text=True, capture_output=True, check=False)
    return [] if done.returncode != 0 else ['it accepts "int  a ;"']


tap.report([formatted, the_formatter_finds_an_offence])

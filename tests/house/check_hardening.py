# SPDX-License-Identifier: Apache-2.0
"""What the linker and the compiler were told to do for safety, seen in what they made.

usage: check_hardening.py CPU_FAMILY PROGRAM..."""
import json
import re
import sys
from pathlib import Path

import tap

CPU, PROGRAMS = sys.argv[1], sys.argv[2:]

# These leave no trace in the program, so they are looked for in the commands.
FLAGS = ['-D_FORTIFY_SOURCE=3', '-fstack-clash-protection', '-fstack-protector-strong', '-ftrivial-auto-var-init=zero',
         '-fzero-call-used-regs=used-gpr', '-Wformat=2', '-Werror=format-security']


def readelf(option, path):
    status, text = tap.run('readelf', '--wide', option, path, env={'LC_ALL': 'C'})
    if status != 0:
        raise RuntimeError(f'readelf {option} {path}: {text}')
    return text


def without(option, pattern):
    """Programs in whose readelf output the pattern is missing."""
    return [f'{program}: no {pattern}' for program in PROGRAMS if not re.search(pattern, readelf(option, program))]


def having(option, pattern):
    return [f'{program}: {match.group()}' for program in PROGRAMS
            if (match := re.search(pattern, readelf(option, program)))]


def position_independent():
    return without('--file-header', r'Type:\s+DYN') + without('--dynamic', r'\(FLAGS_1\).*\bPIE\b')


def relocations_are_read_only_and_bound_at_start():
    return without('--program-headers', r'GNU_RELRO') + without('--dynamic', r'BIND_NOW')


def no_executable_stack_or_writable_code():
    return (without('--program-headers', r'GNU_STACK.* RW ') + having('--program-headers', r'LOAD.* RWE .*')
            + having('--dynamic', r'TEXTREL'))


def stack_protector():
    return without('--dyn-syms', r'__stack_chk_fail')


def fortified_functions():
    return without('--dyn-syms', r'__(?!stack_)\w+_chk\b')


def no_library_path():
    return having('--dynamic', r'\((RPATH|RUNPATH)\).*')


def control_flow_protection():
    """Read from our objects: the C runtime's own start files lack the mark on some systems, and so do whole programs."""
    if CPU != 'x86_64':
        return []
    objects = [path for room in ('client', 'common', 'daemon') for path in (tap.BUILD / room).glob('**/*.o')]
    if not objects:
        return ['no object files found']
    return [str(path) for path in objects if not re.search(r'IBT, SHSTK', readelf('--notes', path))]


def commands_carry_the_flags():
    commands = json.loads((tap.BUILD / 'compile_commands.json').read_text())
    ours = [entry for entry in commands if re.search(r'(^|/)(client|common|daemon)/', entry['file'])]
    wrong = [f"{Path(entry['file']).name}: {flag}" for entry in ours for flag in FLAGS if flag not in entry['command']]
    return wrong or ([] if ours else ['no commands found'])


tap.report([position_independent, relocations_are_read_only_and_bound_at_start, no_executable_stack_or_writable_code,
            stack_protector, fortified_functions, no_library_path, control_flow_protection, commands_carry_the_flags])

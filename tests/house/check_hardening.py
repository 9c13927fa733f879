# SPDX-License-Identifier: Apache-2.0
"""What is installed is in its place, and what the linker and the compiler were told to do for safety is seen in it.

usage: check_hardening.py MESON CPU_FAMILY"""
import json
import re
import stat
import sys
import tempfile
from pathlib import Path

import tap

MESON, CPU = sys.argv[1:]
INSTALLED = tempfile.TemporaryDirectory()
PROGRAMS, MODULES = [], []

# These leave no trace in the program, so they are looked for in the commands.
FLAGS = ['-D_FORTIFY_SOURCE=3', '-fstack-clash-protection', '-fstack-protector-strong', '-ftrivial-auto-var-init=zero',
         '-fzero-call-used-regs=used-gpr', '-Wformat=2', '-Werror=format-security']


PLACES = [
    'lib/systemd/catalog/cmkd.catalog', 'lib/systemd/system-preset/50-cmkd.preset',
    'lib/systemd/user-preset/50-cmkd.preset', 'lib/sysusers.d/cmkd.conf',
    'lib/udev/rules.d/70-cmkd.rules', 'share/dbus-1/interfaces/org.cmkd.Kms1.xml',
    'share/dbus-1/services/org.cmkd.Kms1.service', 'share/dbus-1/system-services/org.cmkd.Kms1.service',
    'share/dbus-1/system.d/org.cmkd.Kms1.conf', 'share/polkit-1/actions/org.cmkd.Kms1.policy',
    'share/bash-completion/completions/cmkctl', 'share/fish/vendor_completions.d/cmkctl.fish',
    'share/zsh/site-functions/_cmkctl', 'share/man/man1/cmkctl.1', 'share/man/man5/cmkd.conf.5',
    'share/man/man5/org.cmkd.Kms1.5', 'share/man/man8/cmkd.8', 'share/doc/cmkd/cmkd.conf',
    'share/doc/cmkd/examples/swtpm.conf',
    'share/doc/cmkd/examples/swtpm.service', 'share/doc/cmkctl/examples/verify-attestation',
    *(f'lib/systemd/{unit}' for unit in (
        'system/cmkd.service', 'system/cmkd-expiry.service', 'system/cmkd-expiry.timer', 'user/cmkd-user.service',
        'user/cmkd-user-expiry.service', 'user/cmkd-user-expiry.timer')),
]


def readelf(option, path):
    status, text = tap.run('readelf', '--wide', option, path, env={'LC_ALL': 'C'})
    if status != 0:
        raise RuntimeError(f'readelf {option} {path}: {text}')
    return text


def without(files, option, pattern):
    """Files in whose readelf output the pattern is missing."""
    return [f'{path.name}: no {pattern}' for path in files if not re.search(pattern, readelf(option, path))]


def having(files, option, pattern):
    return [f'{path.name}: {match.group()}' for path in files if (match := re.search(pattern, readelf(option, path)))]


def everything_can_be_installed():
    status, text = tap.run(MESON, 'install', '-C', tap.BUILD, '--no-rebuild', '--quiet', '--destdir', INSTALLED.name)
    for path in Path(INSTALLED.name).rglob('*'):
        if path.is_file() and path.read_bytes()[:4] == b'\x7fELF':
            (PROGRAMS if 'INTERP' in readelf('--program-headers', path) else MODULES).append(path)
    names = {path.name for path in PROGRAMS}
    return ([text] if status != 0 else []) + [f'no {name}' for name in ('cmkd', 'cmkctl') if name not in names]


def nothing_is_setuid_or_open_to_all():
    modes = {path: path.stat().st_mode for path in Path(INSTALLED.name).rglob('*')}
    unwanted = stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH
    return [f'{path}: {mode:o}' for path, mode in modes.items() if mode & unwanted]


def the_rest_is_where_the_system_looks_for_it():
    found = {str(path.relative_to(INSTALLED.name)) for path in Path(INSTALLED.name).rglob('*') if path.is_file()}
    return [f'no {path}' for path in PLACES if not any(name.endswith(f'/{path}') for name in found)]


def position_independent():
    return (without(PROGRAMS + MODULES, '--file-header', r'Type:\s+DYN')
            + without(PROGRAMS, '--dynamic', r'\(FLAGS_1\).*\bPIE\b'))


def relocations_are_read_only_and_bound_at_start():
    return (without(PROGRAMS + MODULES, '--program-headers', r'GNU_RELRO')
            + without(PROGRAMS + MODULES, '--dynamic', r'BIND_NOW'))


def no_executable_stack_or_writable_code():
    return (without(PROGRAMS + MODULES, '--program-headers', r'GNU_STACK.* RW ')
            + having(PROGRAMS + MODULES, '--program-headers', r'LOAD.* RWE .*')
            + having(PROGRAMS + MODULES, '--dynamic', r'TEXTREL'))


def stack_protector():
    return without(PROGRAMS + MODULES, '--dyn-syms', r'__stack_chk_fail')


def fortified_functions():
    return without(PROGRAMS, '--dyn-syms', r'__(?!stack_)\w+_chk\b')


def no_library_path_but_our_own():
    """cmkctl finds its module in a directory of cmkd's, and nothing else is looked for in odd places."""
    return having(PROGRAMS + MODULES, '--dynamic', r'\((RPATH|RUNPATH)\).*\[(?!/[^:\]]*/cmkd\]).*')


def control_flow_protection():
    """Read from our objects: the C runtime's start files lack the mark on some systems, and so do whole programs."""
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


tap.report([everything_can_be_installed, nothing_is_setuid_or_open_to_all, the_rest_is_where_the_system_looks_for_it,
            position_independent, relocations_are_read_only_and_bound_at_start, no_executable_stack_or_writable_code,
            stack_protector, fortified_functions, no_library_path_but_our_own, control_flow_protection,
            commands_carry_the_flags])

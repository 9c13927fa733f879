# SPDX-License-Identifier: Apache-2.0
"""The rules of CONTRIBUTING.md that a machine can see in the source."""
import re
import tempfile
from pathlib import Path

import tap

# A room includes only rooms of a lower floor, and itself.
FLOORS = {'base': 0, 'crypto': 1, 'tpm': 1, 'keyring': 1, 'store': 1, 'kms': 2, 'bus': 3}

# Library headers and the only places that may include them.
DOORS = {
    r'openssl/': r'daemon/crypto/|client/',
    r'tss2/': r'daemon/tpm/',
    r'keyutils\.h': r'daemon/keyring/',
    r'sqlite3\.h': r'daemon/store/',
    r'dbus/': r'client/bus(-\w+)?\.[ch]$',
    r'cmk-dbus\.h': r'daemon/bus/',
    r'(glib|gio|gobject)': r'daemon/',
}

LONGEST_FILE = 600
LONGEST_FUNCTION = 60
PRODUCT = ('client', 'common', 'daemon', 'include')
C = ('client/**/*.[ch]', 'common/**/*.[ch]', 'daemon/**/*.[ch]', 'include/**/*.[ch]', 'tests/**/*.[ch]')
PYTHON = ('tests/**/*.py', 'scripts/*')
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.MULTILINE)


def files(root, *patterns):
    """Files of the source tree, as paths relative to it."""
    return sorted({path.relative_to(root).as_posix() for pattern in patterns for path in root.glob(pattern)
                   if path.is_file()})


def product_code(root):
    return [name for name in files(root, *C) if name.split('/')[0] in PRODUCT]


def code(text):
    """C without comments and strings."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', ' ', text, flags=re.DOTALL)


def includes(root):
    """(file, header as written, the file of ours that it is or None) for each #include."""
    for name in product_code(root):
        for header in INCLUDE.findall((root / name).read_text()):
            candidates = [(root / name).parent / header, *(root / room / header for room in PRODUCT)]
            found = next((path for path in candidates if path.is_file()), None)
            yield name, header, found and found.resolve().relative_to(root.resolve()).as_posix()


def room_of(name):
    """daemon/kms/keys.c lives in the room kms; daemon/main.c in none."""
    parts = name.split('/')
    return parts[1] if parts[0] == 'daemon' and len(parts) > 2 else None


def includes_point_downwards(root):
    wrong = [f'{name}: its room is on no floor, see FLOORS' for name in product_code(root)
             if room_of(name) not in (None, *FLOORS)]
    for name, header, target in includes(root):
        here, there = room_of(name), room_of(target or '')
        if here in FLOORS and target and target.startswith('daemon/'):
            if there not in FLOORS or (there != here and FLOORS[there] >= FLOORS[here]):
                wrong.append(f'{name} includes {header}')
    return wrong


def client_and_common_know_nothing_of_the_daemon(root):
    return [f'{name} includes {header}' for name, header, target in includes(root)
            if not name.startswith('daemon/') and target and target.startswith('daemon/')]


def each_library_has_one_door(root):
    return [f'{name} includes <{header}>: only {door} may' for name, header, _ in includes(root)
            for library, door in DOORS.items() if re.match(library, header) and not re.match(door, name)]


def rules_know_no_bus(root):
    return [f'{name} names {match}' for name in product_code(root) if room_of(name) not in (None, 'bus')
            for match in re.findall(r'\b(?:GDBus|g_dbus_)\w+', code((root / name).read_text()))]


def own_header_comes_first(root):
    """So that each header is seen to stand alone. The internal.h of a room, which begins with the others, will do."""
    wrong = []
    for name in product_code(root):
        path = root / name
        if name.endswith('.c') and path.with_suffix('.h').exists():
            first = INCLUDE.search(path.read_text())
            if not first or Path(first.group(1)).name not in (path.with_suffix('.h').name, 'internal.h'):
                wrong.append(name)
    return wrong


def headers_guard_themselves(root):
    return [name for name in product_code(root) if name.endswith('.h')
            and not re.search(r'^#pragma once$', (root / name).read_text(), re.MULTILINE)]


def no_goto(root):
    return [name for name in files(root, *C) if re.search(r'\bgoto\b', code((root / name).read_text()))]


def no_file_is_too_long(root):
    lengths = ((name, len((root / name).read_text().splitlines()))
               for name in files(root, *C, *PYTHON))
    return [f'{name}: {length} lines, at most {LONGEST_FILE}' for name, length in lengths if length > LONGEST_FILE]


def no_function_is_too_long(root):
    """Layout is clang-format's, so a function's braces are those in the first column."""
    wrong = []
    for name in files(root, *C):
        start = 0
        for number, line in enumerate((root / name).read_text().splitlines(), 1):
            if line.startswith('{'):
                start = number
            elif line.startswith('}') and start:
                if number - start - 1 > LONGEST_FUNCTION:
                    wrong.append(f'{name}:{start}: {number - start - 1} lines, at most {LONGEST_FUNCTION}')
                start = 0
    return wrong


def no_drawer_for_everything(root):
    return [name for name in files(root, *C, *PYTHON) if re.search(r'[/_-](utils?|helpers?|misc)\.', name)]


def each_file_names_its_licence(root):
    names = files(root, *C, *PYTHON, '*/meson.build', '*/*/meson.build', 'meson*', '.ci/*', '.clang-format',
                  '.editorconfig', 'config/*', 'dbus/*', 'docs/man/*', 'systemd/*')
    return [name for name in names if 'SPDX-License-Identifier: Apache-2.0' not in (root / name).read_text()[:300]]


RULES = [includes_point_downwards, client_and_common_know_nothing_of_the_daemon, each_library_has_one_door,
         rules_know_no_bus, own_header_comes_first, headers_guard_themselves, no_goto, no_file_is_too_long,
         no_function_is_too_long, no_drawer_for_everything, each_file_names_its_licence]

# One offence against each rule, to see that each is found.
OFFENCES = {
    includes_point_downwards: ('daemon/crypto/a.c', '#include "tpm/tpm.h"\n'),
    client_and_common_know_nothing_of_the_daemon: ('client/a.c', '#include "tpm/tpm.h"\n'),
    each_library_has_one_door: ('daemon/kms/a.c', '#include <sqlite3.h>\n'),
    rules_know_no_bus: ('daemon/kms/b.c', 'GDBusConnection *bus;\n'),
    own_header_comes_first: ('daemon/tpm/tpm.c', '#include <glib.h>\n#include "tpm/tpm.h"\n'),
    headers_guard_themselves: ('daemon/tpm/tpm.h', '\n'),
    no_goto: ('tests/a.c', 'void f (void) { goto out; out: return; }\n'),
    no_file_is_too_long: ('common/long.c', '\n' * (LONGEST_FILE + 1)),
    no_function_is_too_long: ('common/longer.c', 'int\nf (void)\n{\n' + '  ;\n' * (LONGEST_FUNCTION + 1) + '}\n'),
    no_drawer_for_everything: ('daemon/base/util.c', '\n'),
    each_file_names_its_licence: ('scripts/a', 'echo\n'),
}


def every_rule_finds_an_offence():
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for name, text in OFFENCES.values():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return [rule.__name__ for rule in RULES
                if rule not in OFFENCES or not any(OFFENCES[rule][0] in line for line in rule(root))]


def on_this_tree(rule):
    def case():
        return rule(tap.SOURCE)
    case.__name__ = rule.__name__
    return case


tap.report([*map(on_this_tree, RULES), every_rule_finds_an_offence])

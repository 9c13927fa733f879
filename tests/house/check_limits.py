# SPDX-License-Identifier: Apache-2.0
"""docs/limits.md has the numbers of the source."""
import re

import tap

ROWS = [line for line in (tap.SOURCE / 'docs/limits.md').read_text().splitlines() if line.startswith('| ')]


def rows(what):
    """The cells of the rows that have @what in one, joined."""
    return ' | '.join(row for row in ROWS if what in row)


def settings_have_their_defaults():
    limits = (tap.SOURCE / 'config/cmkd.conf').read_text().partition('[Limits]\n')[2].partition('\n[')[0]
    settings = re.findall(r'^#(\w+)=(\d+)$', limits, re.MULTILINE)
    return [f'{name}={value}' for name, value in settings if not re.search(rf'\| {value}\b', rows(f'`{name}`'))]


def bounds_of_calls_are_those_of_the_filter():
    source = (tap.SOURCE / 'daemon/bus/admission.c').read_text()
    wrong = []
    for who, what in ('user', 's of a user'), ('unknown', 'of senders'), ('all', 'of all users'):
        calls, mebibytes = re.search(rf'most_of_{who} = {{ (\d+), (\d+) \* 1024 \* 1024 }}', source).groups()
        if f'| {calls} ' not in rows(what) or f' {mebibytes} MiB' not in rows(what):
            wrong.append(f'most_of_{who}: {calls} calls, {mebibytes} MiB')
    longest = re.search(r'MAX_CALL_BYTES \((\d+) \* 1024\)', source)[1]
    if f'| {longest} KiB ' not in rows('length of a call'):
        wrong.append(f'MAX_CALL_BYTES: {longest} KiB')
    return wrong


def constants_are_those_of_the_contract():
    source = (tap.SOURCE / 'include/cmkd.h').read_text()
    names = {'MAX_ALIASES_PER_KEY': 'aliases of a key', 'MAX_TAGS_PER_KEY': 'tags of a key',
             'UNWRAP_FAILURE_BUDGET': 'failed unwraps'}
    found = {name: re.search(rf'CMKD_{name} +(\d+)', source)[1] for name in names}
    return [f'{name}: {found[name]}' for name, what in names.items() if f'| {found[name]} |' not in rows(what)]


tap.report([settings_have_their_defaults, bounds_of_calls_are_those_of_the_filter, constants_are_those_of_the_contract])

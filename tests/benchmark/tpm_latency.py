# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/tpm-latency.md: published latencies of real chips (tpm-latency.json) times the commands that
tests/bus/test_resource_managers.py asserts.

    /usr/bin/python3 tests/benchmark/tpm_latency.py

A command for which nothing is published counts at least what the shortest published command of that chip takes: a
GetRandom of 32 bytes. What moves and encrypts a whole object or session is put beside the one published command that
does as much, EncryptDecrypt2 of 1 KiB, where the chip has it."""
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / 'bus'))
from tpm_costs import CHIP_COMMANDS, COMMANDS  # noqa: E402

RANDOM_BYTES, AES_BYTES = 32, 1024
WHOLE_OBJECTS = ['ContextLoad', 'ContextSave', 'Load', 'Create']
OWN, KEPT = 'session of each call', 'session kept'
# A life of cmkd from its start to its stop, with one use of a key in it; and an import.
COLUMNS = {
    'cold': (OWN, ['start, cold', 'first Encrypt, cold', 'stop, cold']),
    'warm': (OWN, ['start, warm', 'first Encrypt, warm', 'stop, warm']),
    'import': (OWN, ['import, warm']),
    'cold, kept': (KEPT, ['start, cold', 'first Encrypt, cold', 'stop, cold']),
    'warm, kept': (KEPT, ['start, warm', 'first Encrypt, warm', 'stop, warm']),
    'import, kept': (KEPT, ['import, warm']),
}


def milliseconds(kb_per_s, size):
    return 1000 * size / 1024 / kb_per_s


def at_least(chip, command):
    return chip['ecdh_ms'] if command == 'StartAuthSession' else milliseconds(chip['random_kb_per_s'], RANDOM_BYTES)


def probably(chip, command):
    if command in WHOLE_OBJECTS and chip['aes_kb_per_s']:
        return max(at_least(chip, command), milliseconds(chip['aes_kb_per_s'], AES_BYTES))
    return at_least(chip, command)


def sent(column):
    sessions, steps = COLUMNS[column]
    return ' '.join(COMMANDS[sessions][step] for step in steps).split()


def on_the_chip(column):
    sessions, steps = COLUMNS[column]
    return [name for step in steps for count, name in re.findall(r'(\d+) (\w+)', CHIP_COMMANDS[sessions][step])
            for _ in range(int(count))]


def cost(chip, commands):
    low, likely = (sum(price(chip, command) for command in commands) for price in (at_least, probably))
    return f'{low:.0f} to {likely:.0f}' if chip['aes_kb_per_s'] else f'{low:.0f}'


def table(head, rows):
    return '\n'.join(f"| {' | '.join(row)} |" for row in [head, ['---'] * len(head), *rows]) + '\n'


def published(chips):
    return table(['chip', 'bus', 'GetRandom, 32 B', 'EncryptDecrypt2, 1 KiB', 'ECDH P-256', 'ECDSA P-256 sign',
                  'RSA-2048 private'],
                 [[chip['name'], chip['bus'], f"{milliseconds(chip['random_kb_per_s'], RANDOM_BYTES):.1f}",
                   f"{milliseconds(chip['aes_kb_per_s'], AES_BYTES):.0f}" if chip['aes_kb_per_s'] else '-',
                   *(f'{chip[name]:.0f}' for name in ('ecdh_ms', 'ecdsa_ms', 'rsa_ms'))] for chip in chips])


def applied(chips, commands_of):
    rows = [[chip['name'], *(cost(chip, commands_of(column)) for column in COLUMNS)] for chip in chips]
    return table(['chip', *COLUMNS], [['commands', *(str(len(commands_of(column))) for column in COLUMNS)], *rows])


def machines(rows):
    return table(['machine', 'mean of a command', *COLUMNS],
                 [[row['name'], f"{row['ms'] / row['commands']:.0f}",
                   *(f"{len(sent(column)) * row['ms'] / row['commands']:.0f}" for column in COLUMNS)]
                  for row in rows])


def main():
    data = json.loads((HERE / 'tpm-latency.json').read_text())
    parts = {'published': published(data['chips']), 'bare': applied(data['chips'], sent),
             'kernel': applied(data['chips'], on_the_chip), 'machines': machines(data['machines'])}
    for name in sys.argv[1:] or parts:
        print(parts[name])


if __name__ == '__main__':
    main()

# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/tpm-latency.md: published latencies of real chips (tpm-latency.json) times the commands that
tests/bus/test_resource_managers.py asserts.

    python3 tests/benchmark/tpm_latency.py

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
FIRST_USE = {'cold': ['start, cold', 'first Encrypt, cold'], 'warm': ['start, warm', 'first Encrypt, warm'],
             'import': ['import, warm']}


def milliseconds(kb_per_s, size):
    return 1000 * size / 1024 / kb_per_s


def at_least(chip, command):
    return chip['ecdh_ms'] if command == 'StartAuthSession' else milliseconds(chip['random_kb_per_s'], RANDOM_BYTES)


def probably(chip, command):
    if command in WHOLE_OBJECTS and chip['aes_kb_per_s']:
        return max(at_least(chip, command), milliseconds(chip['aes_kb_per_s'], AES_BYTES))
    return at_least(chip, command)


def sent(step):
    return COMMANDS[step].split()


def on_the_chip(step):
    return [name for count, name in re.findall(r'(\d+) (\w+)', CHIP_COMMANDS[step]) for _ in range(int(count))]


def cost(chip, commands):
    low, likely = (sum(price(chip, command) for command in commands) for price in (at_least, probably))
    return f'{low:.0f} to {likely:.0f}' if chip['aes_kb_per_s'] else f'{low:.0f}'


def commands_of(steps, of_step):
    return [command for step in steps for command in of_step(step)]


def table(head, rows):
    return '\n'.join(f"| {' | '.join(row)} |" for row in [head, ['---'] * len(head), *rows]) + '\n'


def published(chips):
    return table(['chip', 'bus', 'GetRandom, 32 B', 'EncryptDecrypt2, 1 KiB', 'ECDH P-256', 'ECDSA P-256 sign',
                  'RSA-2048 private'],
                 [[chip['name'], chip['bus'], f"{milliseconds(chip['random_kb_per_s'], RANDOM_BYTES):.1f}",
                   f"{milliseconds(chip['aes_kb_per_s'], AES_BYTES):.0f}" if chip['aes_kb_per_s'] else '-',
                   *(f'{chip[name]:.0f}' for name in ('ecdh_ms', 'ecdsa_ms', 'rsa_ms'))] for chip in chips])


def applied(chips):
    return table(['chip', *(f'{name}, {place}' for place in ('bare', '/dev/tpmrm0') for name in FIRST_USE)],
                 [[chip['name'], *(cost(chip, commands_of(steps, of_step))
                                   for of_step in (sent, on_the_chip) for steps in FIRST_USE.values())]
                  for chip in chips])


def sessions(chips):
    """What it saves that a start finds a session: the salt, less a context that is loaded, and one saved at the stop."""
    def saved(chip, price):
        return price(chip, 'StartAuthSession') - price(chip, 'ContextLoad') - price(chip, 'ContextSave')
    return table(['chip', 'saved in each start'],
                 [[chip['name'], f"{saved(chip, probably):.0f} to {saved(chip, at_least):.0f}" if chip['aes_kb_per_s']
                   else f"up to {saved(chip, at_least):.0f}"] for chip in chips])


def machines(rows):
    return table(['machine', 'mean of a command', *FIRST_USE],
                 [[row['name'], f"{row['ms'] / row['commands']:.0f}",
                   *(f"{len(commands_of(steps, sent)) * row['ms'] / row['commands']:.0f}"
                     for steps in FIRST_USE.values())] for row in rows])


def main():
    data = json.loads((HERE / 'tpm-latency.json').read_text())
    parts = {'published': published(data['chips']), 'applied': applied(data['chips']),
             'sessions': sessions(data['chips']), 'machines': machines(data['machines'])}
    for name in sys.argv[1:] or parts:
        print(parts[name])


if __name__ == '__main__':
    main()

# SPDX-License-Identifier: Apache-2.0
"""What it costs that the TPM takes note of the state: commands and flushes of each call, and the part of a start that
reads every row, beside SQLite alone."""
import os

from programs import program
from report import ratio, ratio_of_minima, read_samples
from system_calls import count_system_calls, flushes

BURST = 32
ROW_NUMBERS = (10, 10000, 100000)


def imported(machine, number):
    """Keys with material, and the parameters that they were imported with."""
    parameters = [machine.kms.parameters(machine.kms.external_key()) for _ in range(number)]
    materials = [os.urandom(32) for _ in parameters]
    for those, material in zip(parameters, materials):
        machine.kms.import_with(those, material)
    return parameters, materials


def count(machine, work, times):
    """[TPM commands, writes of the index, flushes] of a call, if @work makes so many."""
    with machine.tpm_commands() as commands:
        counts = count_system_calls(machine.daemon.pid, work)
    return [f'{number / times:.3g}' for number in (len(commands), commands.count('NV_Write'), flushes(counts))]


def together(kms, keys):
    calls = [kms.start('DeleteKeyMaterial', key) for key in keys]
    for call in calls:
        call.result()


def measure_notes(report, new_machine):
    machine = new_machine(ready_pairs=0, counting=True)
    kms = machine.kms
    (first, *parameters), (material, *_) = imported(machine, BURST + 2)
    keys = [those['KeyId'] for those in parameters]
    fresh, other = kms.external_key(), kms.own_key()
    unused = kms.parameters(fresh)
    machine.restart()  # which ends the pool's work, too
    kms.external_key()  # a new log costs a flush once
    cases = [
        ('CreateKey, EXTERNAL', kms.external_key),
        ('ImportKeyMaterial, the first', lambda: kms.import_with(unused, os.urandom(32))),
        ('DisableKey, the first change of a process', lambda: kms.DisableKey(other)),
        ('EnableKey', lambda: kms.EnableKey(other)),
        ('DisableKey', lambda: kms.DisableKey(other)),
        ('ImportKeyMaterial, again', lambda: kms.import_with(first, material)),
        ('DeleteKeyMaterial', lambda: kms.DeleteKeyMaterial(first['KeyId'])),
    ]
    rows = [[name, *count(machine, call, 1)] for name, call in cases]
    rows.append([f'DeleteKeyMaterial, each of {BURST} at once',
                 *count(machine, lambda: together(kms, keys[:BURST]), BURST)])
    machine.close()
    report.table('What it costs that the TPM takes note of a change, per call',
                 ['call', 'TPM commands', 'NV_Write', 'flushes'], rows)


def measure_rows(report):
    """The part of a start that grows with the number of keys, all of them with material."""
    cases = read_samples(program('rows', *ROW_NUMBERS))
    rows = []
    for number in ROW_NUMBERS:
        ours, sqlite = cases[f'{number} cmkd'], cases[f'{number} SQLite']
        rows.append([number, f'{ours.median / 1000:.1f}', f'{sqlite.median / 1000:.1f}', ratio(ours, sqlite),
                     ratio_of_minima(ours, sqlite)])
    report.table('Opening the store with the sum of its rows (ms); floor = SQLite alone, opening it and reading all rows',
                 ['keys', 'cmkd', 'SQLite', 'ratio', 'by minima'], rows)

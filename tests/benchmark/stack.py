# SPDX-License-Identifier: Apache-2.0
"""What tpm2-tss costs beside the TPM, with and without daemon/tpm/esys-hashing.c."""
from programs import program
from report import SAMPLE_COLUMNS, ratio, ratio_of_minima, read_samples

ROUNDS, CALLS = 15, 20


def measure_stack(report, machine):
    """In turns, so that what else the machine does falls on all alike."""
    output = ''.join(program(name, machine.stock_tcti, CALLS) for _ in range(ROUNDS)
                     for name in ('unseal', 'unseal-without-esys-hashing'))
    cases = read_samples(output)
    floor = cases['without a session']
    report.table('Unsealing a data key, a software TPM (us)',
                 ['unseal', *SAMPLE_COLUMNS, 'to floor', 'by minima'],
                 [[name, *samples.columns(), ratio(samples, floor), ratio_of_minima(samples, floor)]
                  for name, samples in sorted(cases.items())])

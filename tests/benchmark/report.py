# SPDX-License-Identifier: Apache-2.0
"""What the benchmark has to say: tables of aligned columns for people, and the same as JSON."""
import collections
import statistics


class Samples:
    """Microseconds of one case."""

    def __init__(self, values):
        self.values = sorted(values)

    def quantile(self, fraction):
        return self.values[min(int(len(self.values) * fraction), len(self.values) - 1)]

    @property
    def median(self):
        return statistics.median(self.values)

    def columns(self):
        return [len(self.values), *(micros(value) for value in
                                    (self.values[0], self.median, self.quantile(0.9), self.quantile(0.99)))]


SAMPLE_COLUMNS = ['n', 'min', 'median', 'p90', 'p99']


def read_samples(output):
    """{case: Samples} from the lines of latency, calls and start-to-end; a case may have more than one."""
    micros_of = collections.defaultdict(list)
    for line in output.splitlines():
        name, *values = line.split('\t')
        micros_of[name] += map(float, values)
    return {name: Samples(values) for name, values in micros_of.items() if values}


def micros(value):
    return f'{value:.0f}' if value >= 100 else f'{value:.1f}'


def ratio(samples, floor):
    """Of the medians."""
    return f'{samples.median / floor.median:.2f}'


def ratio_of_minima(samples, floor):
    """What a busy machine changes least."""
    return f'{samples.values[0] / floor.values[0]:.2f}'


class Report:
    def __init__(self):
        self.tables = []

    def table(self, title, columns, rows):
        """Print a table at once, so that whoever waits sees how far it is. The first column is the name of the row."""
        rows = [[str(cell) for cell in row] for row in rows]
        self.tables.append({'title': title, 'columns': columns, 'rows': rows})
        widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
        print(f'\n{title}')
        for row in [columns, *rows]:
            first, *rest = (cell.ljust(width) if i == 0 or not is_number(rows[0][i]) else cell.rjust(width)
                            for i, (cell, width) in enumerate(zip(row, widths)))
            print('  ' + '  '.join([first, *rest]).rstrip(), flush=True)


def is_number(text):
    return text.replace('.', '', 1).isdigit()

# SPDX-License-Identifier: Apache-2.0
"""How fast and how big cmkd is, each time beside a server that does nothing, on the same bus in the same run:

    meson test -C BUILD --benchmark --verbose
    meson devenv -C BUILD /usr/bin/python3 tests/benchmark/benchmark.py --json=FILE

Ratios within a table can be compared between machines, times cannot: docs/performance.md. Fails only if something does
not work, never because it took long."""
import argparse
import collections
import functools
import json
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from gi.repository import Gio

import harness
from anchor import measure_notes, measure_rows
from client import BUS_NAME, OBJECT_PATH, b64, iterate_until
from kinds import measure_forms, measure_uses, uses
from programs import ECHO_NAME, PROGRAMS, program
from report import SAMPLE_COLUMNS, Report, Samples, micros, ratio, ratio_of_minima, read_samples
from stack import measure_stack
from system_calls import count_system_calls, flushes

PLAINTEXT = b64(bytes(range(256)) * 16)
LIMITS = {'KeysPerUser': 100000, 'ImportSetsPerKey': 100000, 'ImportSetsPerUser': 100000}
KEY_NUMBERS = (10, 1000, 10000)
READY_PAIRS = 24  # as many as one table imports
PATIENCE = 300  # seconds, for what takes long on a small machine


class Machine(harness.Machine):
    """cmkd as it is run in earnest: no clock of the tests, no messages for debugging."""

    def __init__(self, ready_pairs, counting=False, state=None):
        self.counting = counting
        self.ready_pairs = ready_pairs
        self.elsewhere = state
        super().__init__(config={'WrappingKeys': {'ReadyRsa2048': ready_pairs}, 'Limits': LIMITS})
        self.echo = self.start_echo()
        self.kms = self.client(0)

    @property
    def tcti(self):
        return super().tcti if self.counting else self.stock_tcti

    def make_directory(self, name):
        return Path(self.elsewhere) if name == 'state' and self.elsewhere else super().make_directory(name)

    def daemon_environment(self):
        return {'PATH': os.environ['PATH'], 'CMKD_TPM_LOG': str(self.tpm_log)}

    def owner_after(self, name, begin):
        """Call @begin, wait until somebody owns @name: (what @begin answered, seconds)."""
        owners = []
        subscription = self.watch.connection.signal_subscribe(
            'org.freedesktop.DBus', 'org.freedesktop.DBus', 'NameOwnerChanged', '/org/freedesktop/DBus', name,
            Gio.DBusSignalFlags.NONE, lambda *signal: owners.append(signal[-1].unpack()[2]))
        self.owned()  # the bus has taken the match rule when a later call is answered
        start = time.monotonic()
        begun = begin()
        iterate_until(lambda: any(owners), f'somebody owns {name}', PATIENCE)
        seconds = time.monotonic() - start
        self.watch.connection.signal_unsubscribe(subscription)
        return begun, seconds

    def start_echo(self):
        self.echo, self.echo_start_seconds = self.owner_after(
            ECHO_NAME, lambda: harness.spawn(0, [PROGRAMS / 'echo-server', self.address]))
        return self.echo

    def stop_echo(self):
        self.echo.kill()
        self.echo.wait()

    def start(self):
        with open(self.log, 'a') as log:
            self.daemon, self.start_seconds = self.owner_after(BUS_NAME, lambda: self.spawn_daemon(
                self.command(), stdout=log, stderr=log))

    def wait_for_pairs(self):
        iterate_until(lambda: self.kms.GetStatus()['ReadyRsa2048'] >= self.ready_pairs, 'the wrapping keys', PATIENCE)

    @staticmethod
    def memory(process):
        """[RSS, PSS, private dirty, locked] in kB."""
        process = Path(f'/proc/{process.pid}')
        text = (process / 'smaps_rollup').read_text() + (process / 'status').read_text()
        return [int(re.search(rf'^{field}:\s+(\d+)', text, re.MULTILINE)[1])
                for field in ('Rss', 'Pss', 'Private_Dirty', 'VmLck')]

    def shut_down(self):
        self.stop_echo()
        super().shut_down()


# The tables, in the order in which they are printed

def measure_round_trips(report, machine):
    cases = read_samples(program('latency', machine.address, 'warm', 150, 20))
    floors = {'Encrypt 4 KB': 'echo as Encrypt', 'Decrypt 4 KB': 'echo as Encrypt'}
    rows = []
    for name, samples in cases.items():
        floor = cases[floors.get(name, 'empty')]
        rows.append([name, *samples.columns(), ratio(samples, cases['empty']), ratio(samples, floor),
                     ratio_of_minima(samples, floor), floors.get(name, 'empty')])
    report.table('Round trips, GDBus client, warm (us)',
                 ['call', *SAMPLE_COLUMNS, 'to empty', 'to its floor', 'by minima', 'floor'], rows)


def measure_imports(report, machine, directory, where):
    cases = read_samples(program('latency', machine.address, 'import', READY_PAIRS // 3, 3, directory))
    report.table(f'The import flow, GDBus client, a fresh key and pair each time, state {where} (us)',
                 ['call', *SAMPLE_COLUMNS, 'to empty'],
                 [[name, *samples.columns(), ratio(samples, cases['empty'])] for name, samples in cases.items()])


def measure_imports_in_memory(report):
    """What is left of an import when the disk costs nothing."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as directory:
        machine = Machine(READY_PAIRS, state=directory)
        machine.wait_for_pairs()
        measure_imports(report, machine, directory, 'in memory')
        measure_forms(report, machine, 'in memory')
        machine.close()


def measure_beside(report, machine):
    cases = read_samples(program('latency', machine.address, 'beside', 8, 1500))
    alone = cases['alone']
    report.table('Encrypt 4 KB of one client while another imports (us)',
                 ['Encrypt', *SAMPLE_COLUMNS, 'median to alone', 'p99 to alone', 'imports/s'],
                 [[name, *cases[name].columns(), ratio(cases[name], alone),
                   f'{cases[name].quantile(0.99) / alone.quantile(0.99):.2f}',
                   f'{cases[rate].median:.1f}' if rate else '0']
                  for name, rate in [('alone', None), ('beside imports with fresh pairs', 'imports/s with fresh pairs'),
                                     ('beside imports with one token', 'imports/s with one token')]])


def measure_throughput(report, machine):
    key = machine.kms.own_key()
    machine.kms.Encrypt(key, PLAINTEXT)
    cases = {'empty': ['empty'], 'echo as Encrypt': ['echo', key, PLAINTEXT], 'Encrypt 4 KB': ['encrypt', key, PLAINTEXT]}
    rows = []
    for clients in 1, 8, 16:
        rates = collections.defaultdict(list)
        for _ in range(3):
            for name, words in cases.items():
                rates[name].append(float(program('throughput', machine.address, clients, 0.8, *words)))
        median = {name: statistics.median(values) for name, values in rates.items()}
        rows.append([clients, *(f'{median[name]:.0f}' for name in cases),
                     f"{median['Encrypt 4 KB'] / median['echo as Encrypt']:.2f}"])
    report.table('Calls per second, libdbus clients that wait for each answer',
                 ['clients', *cases, 'Encrypt to its echo'], rows)


def measure_system_calls(report, machine):
    kms = machine.kms
    key, calls = kms.own_key(), 200
    blob = kms.Encrypt(key, PLAINTEXT)['CiphertextBlob']
    keys = [kms.external_key() for _ in range(5)]
    machine.wait_for_pairs()
    parameters = []

    def echo():
        for _ in range(calls):
            kms.connection.call_sync(ECHO_NAME, '/org/cmkd/Benchmark/Echo', ECHO_NAME, 'Empty', None, None, 0, -1, None)

    def repeat(call, *arguments):
        return lambda: [call(*arguments) for _ in range(calls)]

    cases = [
        ('empty echo', machine.echo.pid, calls, echo),
        ('DescribeKey', machine.daemon.pid, calls, repeat(kms.DescribeKey, key)),
        ('Encrypt 4 KB', machine.daemon.pid, calls, repeat(kms.Encrypt, key, PLAINTEXT)),
        ('Decrypt 4 KB', machine.daemon.pid, calls, repeat(kms.Decrypt, blob)),
        ('GenerateDataKey', machine.daemon.pid, calls, repeat(kms.GenerateDataKey, key)),
        ('CreateKey, EXTERNAL', machine.daemon.pid, 5, lambda: [kms.external_key() for _ in range(5)]),
        ('GetParametersForImport', machine.daemon.pid, 5, lambda: parameters.extend(map(kms.parameters, keys))),
        ('ImportKeyMaterial', machine.daemon.pid, 5,
         lambda: [kms.import_with(those, os.urandom(32)) for those in parameters]),
    ]
    rows = []
    for name, pid, times, work in cases:
        counts = count_system_calls(pid, work)
        flushed = flushes(counts)
        total = counts.pop('total')
        most = collections.Counter(counts).most_common(8)
        rows.append([name, f'{total / times:.1f}', f'{flushed / times:g}',
                     ' '.join(f'{call}:{count / times:.1f}' for call, count in most if count >= times)])
    report.table('System calls of the server per call; flushes are fsync and fdatasync',
                 ['call', 'all', 'flushes', 'most'], rows)


def short(commands):
    return ' '.join(commands) or '-'


def measure_tpm_commands(report):
    rows = []

    def count(name, call):
        with machine.tpm_commands() as commands:
            answer = call()
        rows.append([name, len(commands), short(commands)])
        return answer

    def flow(note):
        key = kms.external_key()
        parameters = count(f'GetParametersForImport from the pool{note}', lambda: kms.parameters(key))
        machine.wait_for_pairs()
        count(f'ImportKeyMaterial{note}', lambda: kms.import_with(parameters, os.urandom(32)))
        return key

    machine = Machine(ready_pairs=2, counting=True)
    kms = machine.kms
    machine.wait_for_pairs()
    key = flow(', cold')
    flow(', warm context')
    count('CreateKey, EXTERNAL', kms.external_key)
    count('CreateKey, CMKD_KMS', kms.own_key)
    calls = warm_calls(kms, key)
    for call in calls.values():
        call()
    machine.wait_for_pairs()
    for name, call in calls.items():
        count(f'{name}, warm', call)
    machine.stop()
    count('start', machine.start)
    machine.wait_for_pairs()
    count('first Encrypt after a restart, cold', calls['Encrypt'])
    for name in 'Verify 4 KB, RSA_2048', 'Sign 4 KB, RSA_2048':
        count(f'first {name} after a restart, cold', calls[name])
    machine.restart()
    machine.wait_for_pairs()
    count('first Encrypt after a restart, warm context', calls['Encrypt'])
    machine.close()
    report.table('TPM commands', ['call', 'number', 'which'], rows)


def warm_calls(kms, key):
    blob = kms.Encrypt(key, PLAINTEXT)['CiphertextBlob']
    return {
        'DescribeKey': lambda: kms.DescribeKey(key),
        'Encrypt': lambda: kms.Encrypt(key, PLAINTEXT),
        'Decrypt': lambda: kms.Decrypt(blob),
        'GenerateDataKey': lambda: kms.GenerateDataKey(key),
        **{use.name: functools.partial(use.call, kms) for use in uses(kms)},
    }


def create_keys(kms, number):
    """With many calls under way; cmkd takes 256 of one user."""
    calls = collections.deque()
    for _ in range(number):
        calls.append(kms.start('CreateKey'))
        if len(calls) == 200:
            calls.popleft().result()
    while calls:
        calls.popleft().result()


def time_starts(machine, rounds):
    """Starts of cmkd and of the echo server, in turns: Samples of each."""
    cmkd, echo = [], []
    for _ in range(rounds):
        machine.restart()
        machine.stop_echo()
        machine.start_echo()
        cmkd.append(machine.start_seconds * 1e6)
        echo.append(machine.echo_start_seconds * 1e6)
    return Samples(cmkd), Samples(echo)


def measure_growth(report):
    machine = Machine(ready_pairs=0)
    sizes = [['echo server', *machine.memory(machine.echo), '-', '-']]
    times, number = [], 0
    for wanted in KEY_NUMBERS:
        begin = time.monotonic()
        create_keys(machine.kms, wanted - number)
        rate = (wanted - number) / (time.monotonic() - begin)
        number = wanted
        start, echo_start = time_starts(machine, 7)
        at_start = machine.memory(machine.daemon)
        cases = read_samples(program('latency', machine.address, 'warm', 25, 20))
        number += 1  # latency makes one
        sizes.append([wanted, *at_start, machine.memory(machine.daemon)[0], (machine.state / 'state.db').stat().st_size // 1024])
        machine.counting = True
        with machine.tpm_commands() as commands:
            machine.restart()
        machine.counting = False
        times.append([wanted, f'{rate:.0f}', f'{start.median / 1000:.1f}', f'{echo_start.median / 1000:.1f}',
                      ratio(start, echo_start), len(commands),
                      *(f'{micros(cases[name].median)} ({ratio(cases[name], cases["empty"])}x)' for name in
                        ('empty', 'DescribeKey', 'Encrypt 4 KB', 'ListKeys, 100 keys'))])
    machine.close()
    report.table('Memory with the number of keys (kB)',
                 ['keys', 'RSS at start', 'PSS', 'private dirty', 'locked', 'RSS in use', 'state.db'], sizes)
    report.table('Times with the number of keys',
                 ['keys', 'CreateKey/s', 'start (ms)', 'echo server (ms)', 'ratio', 'TPM commands of a start',
                  'empty (us)', 'DescribeKey', 'Encrypt 4 KB', 'ListKeys, 100 keys'], times)


def measure_one_shots(report, machine):
    key, external = machine.kms.own_key(), machine.kms.external_key()
    data = machine.directory / 'data'
    data.write_bytes(bytes(4096))
    material = machine.directory / 'material'
    material.write_bytes(bytes(32))
    machine.wait_for_pairs()
    cmkctl = [os.environ['CMKD_CLIENT'], f'--address={machine.address}']
    keys = f'{BUS_NAME}.Keys'
    commands = {
        'nothing (true)': ['true'],
        'libdbus, one empty call': [PROGRAMS / 'one-call', machine.address],
        'cmkctl show': [*cmkctl, 'show', key],
        'cmkctl list': [*cmkctl, 'list', '--limit=10'],
        'cmkctl encrypt 4 KB': [*cmkctl, 'encrypt', key, '--in', data],
        'dbus-send DescribeKey': ['dbus-send', f'--bus={machine.address}', f'--dest={BUS_NAME}', '--print-reply',
                                  OBJECT_PATH, f'{keys}.DescribeKey', f'string:{key}'],
        'gdbus DescribeKey': ['gdbus', 'call', '--address', machine.address, '--dest', BUS_NAME, '--object-path',
                              OBJECT_PATH, '--method', f'{keys}.DescribeKey', key],
        'busctl DescribeKey': ['busctl', f'--address={machine.address}', 'call', BUS_NAME, OBJECT_PATH, keys,
                               'DescribeKey', 's', key],
        'openssl version': ['openssl', 'version'],
    }
    floor = 'libdbus, one empty call'
    imports = {floor: commands[floor],
               'cmkctl import --material': [*cmkctl, 'import', external, '--material', material]}
    rows = []
    for rounds, some in (75, commands), (READY_PAIRS, imports):
        words = [word for name, command in some.items() for word in ('--', name, *command)][1:]
        cases = read_samples(program('start-to-end', rounds, *words))
        rows += [[name, *samples.columns(), ratio(samples, cases[floor]), ratio_of_minima(samples, cases[floor])]
                 for name, samples in cases.items()]
    report.table('Programs, from spawn to end (us)', ['program', *SAMPLE_COLUMNS, 'to one empty call', 'by minima'], rows)


def describe_machine(report):
    cpu = re.search(r'model name\s*: (.*)', Path('/proc/cpuinfo').read_text())
    version = subprocess.run([os.environ['CMKD_DAEMON'], '--version'], check=True, capture_output=True, text=True)
    libraries = subprocess.run(['pkg-config', '--print-errors', '--modversion', 'glib-2.0', 'tss2-esys', 'libcrypto',
                                'sqlite3', 'dbus-1'], check=True, capture_output=True, text=True).stdout.split()
    report.table('This run', ['what', ''], [
        ['cmkd', version.stdout.strip()],
        ['build', os.environ['CMKD_BUILD']],
        ['date', time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())],
        ['processor', f'{os.cpu_count()} x {cpu[1] if cpu else platform.machine()}'],
        ['kernel', platform.release()],
        ['GLib, tpm2-tss, OpenSSL, SQLite, D-Bus', ', '.join(libraries)],
        ['TPM', 'swtpm on a unix socket'],
    ])


def main():
    parser = argparse.ArgumentParser(description='Measure cmkd beside an echo server.')
    parser.add_argument('--json', metavar='FILE', help='write the tables there, too')
    options = parser.parse_args()
    report = Report()
    describe_machine(report)
    machine = Machine(READY_PAIRS)
    machine.wait_for_pairs()
    measure_round_trips(report, machine)
    measure_uses(report, machine)
    measure_imports(report, machine, machine.state, 'on disk')
    measure_throughput(report, machine)
    measure_beside(report, machine)
    measure_system_calls(report, machine)
    measure_one_shots(report, machine)
    machine.wait_for_pairs()
    measure_stack(report, machine)
    machine.close()
    measure_imports_in_memory(report)
    measure_tpm_commands(report)
    measure_growth(report)
    measure_notes(report, Machine)
    measure_rows(report)
    if options.json:
        Path(options.json).write_text(json.dumps(report.tables, indent=2) + '\n')


if __name__ == '__main__':
    main()

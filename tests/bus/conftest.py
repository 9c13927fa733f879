# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests through the bus, and their results as TAP."""
import os
import signal
import sys

import pytest

import harness

# Who runs the tests by nohup, or in the background, has these ignored, and so would have every program that they start.
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='session', autouse=True)
def nothing_stays_in_the_kernel():
    """It would for a day, and thousands of keys slow it down."""
    yield
    left = [serial for machine in harness.Machine.made for serial in machine.kernel_keyrings()]
    assert left == []

# What the tests open is a terminal that can do everything, wherever they run.
os.environ['TERM'] = 'xterm'


@pytest.fixture(scope='module')
def machine():
    """One machine for all tests of a file; tests that disturb others make their own with harness.new_machine()."""
    with harness.new_machine() as machine:
        yield machine


@pytest.fixture(scope='module')
def kms(machine):
    """An ordinary user's connection."""
    return machine.client(harness.ALICE)


@pytest.fixture(scope='module')
def root(machine):
    return machine.client(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        report.sections += [('cmkd', machine.log_tail()) for machine in harness.Machine.running]


def pytest_addoption(parser):
    parser.addoption('--tap', action='store_true', help='print the results as TAP')


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    if config.getoption('--tap'):
        tap = Tap(config.get_terminal_writer())
        config.pluginmanager.unregister(name='terminalreporter')
        config.pluginmanager.register(tap, 'terminalreporter')


class Tap:
    """Test Anything Protocol, one line per test, for `meson test`. Debian has no package of pytest-tap."""

    def __init__(self, writer):
        self._tw = writer  # without which pytest 8 explains no assertion
        self.count = 0
        self.phases = []

    def pytest_collectreport(self, report):
        if report.failed:
            self.diagnose(report)
            print('Bail out! the tests could not be read', flush=True)

    def pytest_collection_finish(self, session):
        print(f'1..{len(session.items)}', flush=True)

    def pytest_runtest_logreport(self, report):
        self.phases.append(report)
        if report.when != 'teardown':
            return
        phases, self.phases = self.phases, []
        failed = [phase for phase in phases if phase.failed]
        skipped = any(phase.skipped for phase in phases)
        self.count += 1
        name = report.nodeid.partition('::')[2].replace('#', '_')
        print(f"{'not ok' if failed else 'ok'} {self.count} {name}{' # SKIP' if skipped else ''}", flush=True)
        for phase in failed:
            self.diagnose(phase)

    @staticmethod
    def diagnose(report):
        """To standard error, which `meson test --print-errorlogs` shows."""
        print(report.nodeid, report.longreprtext, sep='\n', file=sys.stderr)
        for name, content in report.sections:
            print(f'--- {name}', content, sep='\n', file=sys.stderr)

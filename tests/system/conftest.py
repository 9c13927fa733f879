# SPDX-License-Identifier: Apache-2.0
"""The machine and cmkd on it, and one line for each check."""
import pytest

import service
from machine import CommandFailed, boot


@pytest.fixture(scope='session')
def machine():
    try:
        with boot() as machine:
            yield machine
    except Exception as failure:
        pytest.exit(f'The machine did not start or did not stop: {failure}')


@pytest.fixture(scope='module')
def cmkd(machine):
    """cmkd installed, with nothing that an earlier file changed, and not running."""
    cmkd = service.Service(machine)
    try:
        if not cmkd.is_installed():
            cmkd.install()
    except CommandFailed as failure:
        pytest.exit(f'The package cannot be installed: {failure}')
    cmkd.reset()
    return cmkd


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and 'machine' in item.funcargs:
        journal = item.funcargs['machine'].run('journalctl', '--lines=40', f'--since=@{call.start}', check=False).out
        report.sections.append(('journal', journal))


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    lines = Lines(config.get_terminal_writer())
    config.pluginmanager.unregister(name='terminalreporter')
    config.pluginmanager.register(lines, 'terminalreporter')


class Lines:
    """One line for each check, and what there is to say of those that failed."""

    def __init__(self, writer):
        self._tw = writer  # without which pytest 8 explains no assertion
        self.count = {'passed': 0, 'failed': 0}
        self.bad = False

    def pytest_collectreport(self, report):
        if report.failed:
            self.count['failed'] += 1
            print(f'failed: {report.nodeid}', report.longreprtext, sep='\n', flush=True)

    def pytest_runtest_logreport(self, report):
        if not report.passed:  # a skip as well: nothing may be left out here
            self.bad = True
            print(report.nodeid, report.longreprtext, sep='\n')
            for name, content in report.sections:
                print(f'--- {name}', content, sep='\n')
        if report.when == 'teardown':
            outcome = 'failed' if self.bad else 'passed'
            self.count[outcome] += 1
            self.bad = False
            print(f'{outcome}: {report.nodeid}', flush=True)

    def pytest_keyboard_interrupt(self, excinfo):  # also pytest.exit()
        self.count['failed'] += 1
        print(excinfo.value, flush=True)

    def pytest_sessionfinish(self, session):
        session.exitstatus = session.exitstatus or int(self.count['failed'] > 0)

    def pytest_unconfigure(self):
        print(f"{self.count['passed']} passed, {self.count['failed']} failed", flush=True)

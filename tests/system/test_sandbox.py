# SPDX-License-Identifier: Apache-2.0
"""What the unit leaves to cmkd, and to whoever takes it over: seen at the process, and tried out by a probe in its place."""
import re

import pytest

PROBE = 'cmkd-probe.service'


@pytest.fixture(scope='module')
def status(cmkd):
    """/proc/PID/status of the running daemon."""
    cmkd.start()
    return dict(re.findall(r'^(\w+):\s*(.*)$', cmkd.machine.read(f'/proc/{cmkd.pid()}/status'), re.MULTILINE))


@pytest.fixture(scope='module')
def probe(cmkd):
    """Run a shell command under the unit of cmkd, changed in nothing but what is executed."""
    machine = cmkd.machine
    cmkd.stop()
    unit = machine.ask('systemctl', 'cat', cmkd.unit)
    start = 'Type=oneshot\nExecStart=sh /usr/local/lib/cmkd-probe'
    limits = 'StartLimitIntervalSec=0'  # a probe that is not started finds everything closed
    changed = re.sub(r'^(Type|BusName|ExecStart|Restart\w*|WatchdogSec|NotifyAccess|Sockets?)=.*\n', '', unit, flags=re.MULTILINE)
    for section, lines in (('Unit', limits), ('Service', start)):
        changed = re.sub(rf'^\[{section}\]$', f'[{section}]\n{lines}', changed, count=1, flags=re.MULTILINE)
    machine.write(f'/run/systemd/system/{PROBE}', changed)

    def run(command):
        machine.write('/usr/local/lib/cmkd-probe', command + '\n')
        machine.run('systemctl', 'daemon-reload')
        since = machine.ask('date', '+@%s.%N')
        done = machine.run('systemctl', 'start', PROBE, check=False).status == 0
        return done, machine.ask('journalctl', '--output=cat', f'--since={since}', f'_SYSTEMD_UNIT={PROBE}')

    yield run
    machine.run('rm', f'/run/systemd/system/{PROBE}', '/usr/local/lib/cmkd-probe')
    machine.run('systemctl', 'daemon-reload')


def test_it_has_no_capabilities_and_gets_none(status):
    assert {name: int(status[name], 16) for name in ('CapEff', 'CapPrm', 'CapInh', 'CapBnd', 'CapAmb')} == {
        'CapEff': 0, 'CapPrm': 0, 'CapInh': 0, 'CapBnd': 0, 'CapAmb': 0}
    assert status['NoNewPrivs'] == '1'


def test_its_system_calls_are_filtered(status):
    assert status['Seccomp'] == '2'


def test_it_leaves_no_core_and_nobody_looks_into_it(cmkd, status):
    assert re.search(r'^Max core file size\s+0\s+0\s', cmkd.machine.read(f'/proc/{cmkd.pid()}/limits'), re.MULTILINE)
    # What is not dumpable belongs to root, not to its own user.
    assert cmkd.machine.ask('stat', '--format=%U', f'/proc/{cmkd.pid()}/mem') == 'root'
    assert cmkd.machine.run('cat', f'/proc/{cmkd.pid()}/environ', user='cmkd', check=False).status != 0


def test_the_probe_is_where_cmkd_would_be(probe):
    done, said = probe('id --user --name; id --groups --name; touch /var/lib/cmkd/probe && rm /var/lib/cmkd/probe && echo wrote')
    assert done and said.split()[0] == 'cmkd' and 'tss' in said and said.endswith('wrote'), said


@pytest.mark.parametrize('path', ['/etc', '/usr', '/var', '/var/lib', '/boot', '/run', '/opt', '/root', '/home', '/sys'])
def test_it_writes_nowhere_else(probe, path):
    done, said = probe(f'touch {path}/probe')
    assert not done and re.search('Read-only|Permission denied|No such file', said), said


@pytest.mark.parametrize('path', ['/home/alice', '/root/.bashrc', '/run/user'])
def test_homes_are_not_to_be_seen(probe, path):
    done, said = probe(f'ls {path}/')
    assert not done or said == '', said


def test_there_is_no_network(probe):
    done, said = probe("cat /proc/net/dev; bash -c 'echo >/dev/udp/127.0.0.1/9'")
    assert not done and 'not supported' in said and 'eth' not in said, said


@pytest.mark.parametrize('command', [
    'unshare --user true', 'mount -t tmpfs tmpfs /tmp', 'chroot / true', 'nsenter --target 1 --mount true', 'date --set=2030-01-01',
    'hostname probe', 'strace true', 'swapon /etc/hostname', 'dmesg', 'modprobe dummy', 'chmod u+s /var/lib/cmkd', 'setpriv --reuid 0 true'])
def test_what_a_burglar_would_do_next_fails(probe, command):
    done, said = probe(command)
    assert not done, said


def test_other_processes_are_not_to_be_seen(probe):
    assert probe('kill -0 1')[0] is False
    done, said = probe('grep -l systemd /proc/1/cmdline')
    assert not done, said


def test_of_the_devices_it_has_those_of_no_consequence(probe):
    done, said = probe('cd /dev; for device in $(find . -type c -o -type b); do (: <$device) 2>/dev/null && echo $device; done; true')
    assert done
    assert set(said.split()) <= {'./null', './zero', './full', './random', './urandom', './tty', './ptmx', './pts/ptmx',
                                 './tpmrm0'}, said


def test_systemd_finds_little_exposed(cmkd):
    said = cmkd.machine.run('systemd-analyze', 'security', '--no-pager', cmkd.unit, check=False).out
    exposure = float(re.search(r'Overall exposure level.*?(\d+\.\d+)', said).group(1))
    assert exposure <= 1.0, said

# SPDX-License-Identifier: Apache-2.0
"""A Debian with systemd as PID 1 to run commands in, made by scripts/check-system, which says where in the environment.

    with Container() as machine:
        machine.run('systemctl', 'is-system-running')
        machine.run('cmkctl', 'list', user='alice')

Run as a program it opens a shell there, with cmkd installed."""
import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
WORK = Path(os.environ['CMKD_SYSTEM_WORK'])  # a tmpfs
TREE = Path(os.environ['CMKD_SYSTEM_TREE'])
PACKAGES = sorted(path for path in Path(os.environ['CMKD_SYSTEM_PACKAGES']).glob('*.deb') if 'dbgsym' not in path.name)
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
# Kernel keyrings go by uid and are shared with whatever runs outside, so these are nobody's.
USERS = {'alice': 58101, 'bob': 58102, 'carol': 58103}


class CommandFailed(Exception):
    pass


class Result:
    def __init__(self, arguments, status, out, err):
        self.arguments, self.status, self.out, self.err = arguments, status, out, err

    def __repr__(self):
        return f"{' '.join(self.arguments)}: status {self.status}\n{self.out}{self.err}"


class Begun:
    """A command under way, to which nothing is said."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def is_running(self):
        return self.process.poll() is None

    def end(self):
        """Wait for its end."""
        out, err = self.process.communicate(timeout=120)
        return Result(self.arguments, self.process.returncode, out.decode(), err.decode())


class Dialog:
    """A command on a terminal."""

    def __init__(self, arguments):
        self.arguments, self.said = arguments, ''
        self.terminal, theirs = pty.openpty()
        self.process = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)

    def type(self, line):
        os.write(self.terminal, line.encode() + b'\n')

    def read_until(self, ending=None):
        """Read what it prints, up to @ending, or to its end."""
        while ending is None or not self.said.endswith(ending):
            assert select.select([self.terminal], [], [], 60)[0], f'nothing more after: {self.said}'
            try:
                self.said += os.read(self.terminal, 1000).decode(errors='replace')
            except OSError:  # the other side is closed
                assert ending is None, self.said
                return

    def end(self):
        self.read_until()
        os.close(self.terminal)
        return Result(self.arguments, self.process.wait(timeout=60), self.said, '')


class Machine:
    """What a container and a virtual machine have in common: everything but how a command gets in."""

    deadline = 60  # seconds, for what takes a fraction of one

    def run(self, *arguments, user='root', input='', check=True, **environment):
        """Run a command to its end. Fails if the command does, unless it need not be checked."""
        result = self.execute(self.as_user(user, environment) + [str(part) for part in arguments], input.encode())
        if check and result.status != 0:
            raise CommandFailed(repr(result))
        return result

    def begin(self, *arguments, user='root', **environment):
        """Start a command without waiting for it."""
        return Begun(self.prefix() + self.as_user(user, environment) + [str(part) for part in arguments])

    def converse(self, *arguments):
        """Start a command on a terminal."""
        return Dialog(self.prefix() + self.as_user('root', {'TERM': 'dumb'}) + [str(part) for part in arguments])

    def ask(self, *arguments, **options):
        """What a command that must succeed prints."""
        return self.run(*arguments, **options).out.strip()

    @staticmethod
    def as_user(user, environment):
        variables = [f'{name}={value}' for name, value in environment.items()]
        if user == 'root':
            return ['env', '-i', f'PATH={PATH}', 'HOME=/root', 'LC_ALL=C.UTF-8', *variables]
        return ['setpriv', f'--reuid={user}', f'--regid={user}', '--init-groups', '--inh-caps=-all', '--reset-env',
                '--no-new-privs', 'env', 'LC_ALL=C.UTF-8', *variables]

    def write(self, path, text):
        """Make a file, and the directory for it."""
        self.run('sh', '-c', 'mkdir -p "$(dirname "$0")" && cat >"$0"', path, input=text)

    def uid(self, user):
        return int(self.ask('id', '--user', user))

    def read(self, path):
        return self.run('cat', path).out

    def until(self, condition, what):
        """Wait until @condition() is true, and answer what it answered."""
        end = time.monotonic() + self.deadline
        while not (value := condition()):
            if time.monotonic() > end:
                raise AssertionError(f'waited {self.deadline} seconds in vain: {what}')
            time.sleep(0.05)
        return value

    def prepare(self):
        self.run('systemctl', 'is-system-running', '--wait', check=False)  # what does not run, and matters, is seen later
        for name, uid in USERS.items():
            self.run('useradd', '--create-home', '--shell', '/bin/bash', '--uid', uid, name)
        self.run('groupadd', 'keepers')
        self.run('gpasswd', '--add', 'carol', 'keepers')


class Container(Machine):
    """systemd-nspawn on an overlay of the tree; commands enter its namespaces."""

    has_software_tpm = True

    def __enter__(self):
        for name in ('upper', 'inner', 'root'):
            (WORK / name).mkdir()
        call('mount', '-t', 'overlay', 'overlay', '-o',
             f'lowerdir={TREE},upperdir={WORK}/upper,workdir={WORK}/inner', WORK / 'root')
        # systemd inside wants a pure hierarchy of version 2, whatever this machine has, and a group to be its root.
        call('mount', '-t', 'cgroup2', 'cgroup2', '/sys/fs/cgroup')
        self.group = Path(f'/sys/fs/cgroup/{WORK.name}')
        self.group.mkdir()
        (self.group / 'cgroup.procs').write_text('0')
        # nspawn's filter of system calls forbids what cmkd needs (keyctl, mlock) and without bpf(2) units' DeviceAllow= is
        # silently not enforced. The filters of the units themselves stay.
        self.nspawn = subprocess.Popen(
            ['systemd-nspawn', '--quiet', '--boot', '--register=no', '--keep-unit', '--private-network', '--machine=cmkd-system',
             '--console=pipe', f'--directory={WORK}/root', '--capability=CAP_IPC_LOCK,CAP_SYSLOG,CAP_BPF,CAP_PERFMON'],
            stdin=subprocess.DEVNULL, stdout=open(WORK / 'console', 'w'), stderr=subprocess.STDOUT,
            env={'PATH': PATH, 'SYSTEMD_SECCOMP': '0', 'SYSTEMD_NSPAWN_UNIFIED_HIERARCHY': '1'})
        self.leader = self.until(self.find_leader, 'PID 1 of the container')
        self.until(lambda: self.run('systemctl', 'is-system-running', check=False).out.strip() not in ('', 'offline'),
                   'the bus of systemd')
        self.prepare()
        self.put(HERE / 'swtpm.service', '/etc/systemd/system')
        self.run('systemctl', 'start', 'swtpm')
        return self

    def __exit__(self, *_):
        os.kill(self.leader, 37)  # SIGRTMIN+3: halt
        self.nspawn.wait(timeout=self.deadline)
        Path('/sys/fs/cgroup/cgroup.procs').write_text('0')
        for path in sorted(self.group.rglob('*/'), reverse=True):
            path.rmdir()
        self.group.rmdir()

    @staticmethod
    def put(source, directory):
        """Copy a file of the outside."""
        (WORK / 'root' / directory.lstrip('/') / source.name).write_bytes(source.read_bytes())

    def find_leader(self):
        if self.nspawn.poll() is not None:
            raise AssertionError((WORK / 'console').read_text())
        for pid in Path(f'/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children').read_text().split():
            namespaces = re.search(r'^NSpid:(.*)', Path(f'/proc/{pid}/status').read_text(), re.MULTILINE).group(1).split()
            if namespaces[-1] == '1' and Path(f'/proc/{pid}/comm').read_text() == 'systemd\n':
                return int(pid)
        return None

    def prefix(self):
        return ['nsenter', f'--target={self.leader}', '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--']

    def shell(self):
        subprocess.run([*self.prefix(), *self.as_user('root', {'TERM': os.environ.get('TERM', 'dumb')}), 'bash', '-i'])

    def execute(self, arguments, data):
        done = subprocess.run(self.prefix() + arguments, input=data, capture_output=True, timeout=self.deadline)
        return Result(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())


def call(*arguments):
    subprocess.run([str(part) for part in arguments], check=True)


def boot():
    if os.environ['CMKD_SYSTEM_KIND'] == 'container':
        return Container()
    from virtual import VirtualMachine
    return VirtualMachine()


if __name__ == '__main__':
    from service import Service

    with boot() as machine:
        cmkd = Service(machine)
        cmkd.install()
        cmkd.reset()
        machine.shell()

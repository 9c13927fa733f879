# SPDX-License-Identifier: Apache-2.0
"""A machine for tests: a software TPM, a private bus and cmkd, in a directory of their own.

    machine = Machine()                       # everything is up when this returns
    kms = machine.client(ALICE)               # a connection of that uid
    key = kms.CreateKey(Origin='EXTERNAL')['KeyMetadata']['KeyId']
    with refused('KeyPendingImport'):
        kms.Encrypt(key, b64(b'hello'))
    machine.close()                           # fails if cmkd did not end well

Methods of a Client are those of dbus/org.cmkd.Kms1.xml: positional arguments in order, the trailing a{sv} as keywords.
The paths of what was built come from the environment, which `meson test` and `meson devenv` set:

    meson devenv -C BUILD /usr/bin/python3 -m pytest tests/bus/test_keys.py -k name
"""
import contextlib
import mmap
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from gi.repository import Gio, GLib

from client import BUS_NAME, DEADLINE, Client, iterate_until
from ring import seen_keys

# The bus takes no uid that the system does not know; these two every Debian has, and nothing runs as them.
ALICE = pwd.getpwnam('games').pw_uid
BOB = pwd.getpwnam('news').pw_uid
ABRMD_NAME = 'com.intel.tss2.Tabrmd'  # of its own bus, so that it need be no other
SECOND = 1_000_000_000  # nanoseconds
FIRST_GID = 1 << 30  # above all that anybody has
TRANSIENT, LOADED_SESSION, SAVED_SESSION = 0x80, 0x02, 0x03  # TPM_HT, for tpm_handles()

BUS_CONFIG = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{services}</servicedir>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
  <limit name="max_replies_per_connection">100000</limit>
  <limit name="max_match_rules_per_connection">50000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_message_size">134217728</limit>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
</busconfig>
'''

# Ready pairs cost CPU time; tests that want more ask for them. How fast tests call depends on the machine.
DEFAULT_CONFIG = {'WrappingKeys': {'ReadyRsa2048': 1, 'ReadyRsa3072': 0, 'ReadyRsa4096': 0},
                  'Limits': {'KeysPerSecond': 0, 'ParametersPerSecond': 0, 'ImportsPerSecond': 0}}

SANITIZER_REPORT = re.compile(r'ERROR: (Address|Leak)Sanitizer|runtime error:|SUMMARY: \w+Sanitizer')


def run_as(uid, gid, arguments):
    """The command of a child that dies with this process: a killed test run leaves nothing running."""
    return ['setpriv', '--pdeathsig=KILL', f'--reuid={uid}', f'--regid={gid}', '--clear-groups', *map(str, arguments)]


def spawn(uid, arguments, gid=None, **options):
    return subprocess.Popen(run_as(uid, uid if gid is None else gid, arguments), stdin=subprocess.DEVNULL, **options)


class Machine:
    """swtpm, dbus-daemon and cmkd.

    @config: {section: {key: value}} on top of DEFAULT_CONFIG; @uid: who runs swtpm and cmkd; @start: start cmkd;
    @environment: more variables for cmkd; @wrapper: a command that executes cmkd; @clock: its clocks stand still at
    this Unix second; @manager: what stands between cmkd and the TPM: 'none', 'abrmd' (tpm2-abrmd on the private bus), or
    'kernel' (an emulation of /dev/tpmrm0, see tests/tpm/tcti-krm.c)."""

    running, made = [], []  # for conftest.py

    def __init__(self, config=None, uid=0, start=True, environment=None, wrapper=(), clock=None, manager='none'):
        self.uid = uid
        self.manager = manager
        self.gid = FIRST_GID + secrets.randbelow(FIRST_GID)  # of this cmkd alone, and so of its kernel keys
        self.directory = Path(tempfile.mkdtemp(prefix='cmkd-', dir='/tmp'))  # short: a socket's path has 107 bytes
        self.directory.chmod(0o755)
        self.log = self.directory / 'cmkd.log'
        self.log.touch()
        self.state = self.make_directory('state')
        self.tpm_directory = self.make_directory('tpm')
        self.tpm_log = self.directory / 'tpm-commands'  # written by the counting TCTI
        self.chip_log = self.directory / 'chip-commands'  # written by the emulation of the kernel
        for log in (self.tpm_log, self.chip_log):
            log.touch()
            os.chown(log, uid, uid)
        libraries = ['CMKD_TCTI_COUNT', 'CMKD_CLOCK_PRELOAD', *['CMKD_TCTI_KRM'] * (manager == 'kernel')]
        for library in libraries:  # where the daemon's user can read them
            shutil.copy(os.environ[library], self.directory / f'{library}.so')
        self.environment = environment or {}
        self.wrapper = wrapper
        self.configure(config or {})
        self.make_clock()
        if clock is not None:
            self.stop_clock(clock)
        self.clients = {}
        self.daemon = self.abrmd = None
        Machine.running.append(self)
        Machine.made.append(self)
        self.start_bus()
        self.start_tpm()
        self.watch = Client(self.address, 0)
        self.start_manager()
        if start:
            self.start()

    def make_directory(self, name):
        path = self.directory / name
        path.mkdir(mode=0o700)
        os.chown(path, self.uid, self.uid)
        return path

    def configure(self, config):
        """Write cmkd.conf; takes effect at the next start."""
        merged = {section: {**DEFAULT_CONFIG.get(section, {}), **config.get(section, {})}
                  for section in {**DEFAULT_CONFIG, **config}}
        (self.directory / 'cmkd.conf').write_text(''.join(
            f'[{section}]\n' + ''.join(f'{key}={value}\n' for key, value in keys.items())
            for section, keys in merged.items()))

    # The clocks of cmkd. The time that has really passed moves the wall clock and CLOCK_BOOTTIME; the wall clock may be
    # wrong on top of that. The kernel says that it is synchronised until the first start, so that a new store knows what time
    # it is, and from then on that it is not, unless a test wants it to.

    def make_clock(self):
        path = self.directory / 'clock'
        path.write_bytes(bytes(40))
        with open(path, 'r+b') as file:
            self.clock = mmap.mmap(file.fileno(), 40)
        self.passed, self.wrong, self.stopped_at, self.synchronised, self.leap = 0, 0, None, None, 0
        self.first_boot = self.booted = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.new_boot_id()
        self.write_clock()

    def new_boot_id(self):
        (self.directory / 'clock.boot-id').write_text(f'{uuid.uuid4()}\n')

    def write_clock(self):
        if self.stopped_at is None:
            realtime, boottime = self.passed + self.wrong, self.passed + self.first_boot - self.booted
        else:
            realtime, boottime = self.stopped_at + self.wrong, self.stopped_at - self.booted
        self.clock[:] = struct.pack('=qqqqq', self.stopped_at is not None, realtime, boottime,
                                    self.synchronised is not False, self.leap)

    def set_clock(self, ahead):
        """The wall clock alone is put: so many seconds ahead of what it should show, or behind."""
        self.wrong = int(ahead) * SECOND
        self.write_clock()

    def pass_time(self, seconds):
        """So much time passes, for every clock."""
        if self.stopped_at is None:
            self.passed += int(seconds) * SECOND
        else:
            self.stopped_at += int(seconds) * SECOND
        self.write_clock()

    def stop_clock(self, second):
        """Time passes until this Unix second, for every clock, and there it stands still, for tests of the very second."""
        if self.booted == self.first_boot:
            self.booted -= SECOND // 2  # so that no clock falls short of that second by a fraction
        self.stopped_at = int(second) * SECOND
        self.write_clock()

    def start_clock(self):
        """Time goes on from where it stood."""
        self.passed = self.stopped_at - time.time_ns()
        self.stopped_at = None
        self.write_clock()

    def synchronise_clock(self, synchronised=True):
        """The kernel says that the wall clock is synchronised; that does not put it right."""
        self.synchronised = synchronised
        self.write_clock()

    def run_out_timers(self, seconds):
        """Those of cmkd that would end within so many seconds end; it notices when it next wakes, as for a call."""
        self.leap += int(seconds) * SECOND
        self.write_clock()

    def true_time(self):
        """In whole seconds."""
        return (time.time_ns() + self.passed if self.stopped_at is None else self.stopped_at) // SECOND

    def now(self):
        """What cmkd's wall clock shows, in whole seconds."""
        return self.true_time() + self.wrong // SECOND

    # The bus

    def start_bus(self):
        path = self.directory / 'bus'
        config = self.directory / 'bus.conf'
        services = self.directory / 'services'  # what the bus may start: nothing, but for test_idle_stop.py
        services.mkdir()
        config.write_text(BUS_CONFIG.format(path=path, services=services))
        readable, writable = os.pipe()
        self.bus = spawn(0, ['dbus-daemon', f'--config-file={config}', '--nofork', '--nopidfile',
                             f'--print-address={writable}'], pass_fds=[writable], stderr=subprocess.DEVNULL)
        os.close(writable)
        with open(readable) as answer:
            self.address = answer.readline().strip()  # ends when the bus listens, or has died
        assert self.address, 'dbus-daemon did not start'

    def client(self, uid=ALICE):
        """The connection of @uid, made at the first use."""
        if uid not in self.clients:
            self.clients[uid] = Client(self.address, uid)
        return self.clients[uid]

    def new_client(self, uid=ALICE):
        """A connection of its own, for tests that need several or close them."""
        return Client(self.address, uid)

    # The TPM

    def start_tpm(self):
        for stale in self.tpm_directory.glob('sock*'):
            stale.unlink()
        self.tpm = spawn(self.uid, ['swtpm', 'socket', '--tpm2', '--tpmstate', f'dir={self.tpm_directory}',
                                    '--server', f'type=unixio,path={self.tpm_directory}/sock',
                                    '--ctrl', f'type=unixio,path={self.tpm_directory}/sock.ctrl',
                                    '--flags', 'not-need-init,startup-clear'],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + DEADLINE
        while not all(listens(self.tpm_directory / name) for name in ('sock', 'sock.ctrl')):
            assert self.tpm.poll() is None, 'swtpm did not start'
            assert time.monotonic() < deadline, 'swtpm does not listen'
            time.sleep(0.005)

    def stop_tpm(self):
        self.tpm.kill()
        self.tpm.wait()

    def restart_tpm(self):
        """What a reboot does to a TPM: same state, everything volatile gone."""
        self.stop_tpm()
        self.start_tpm()

    def replace_tpm(self):
        """Another TPM in place of this one."""
        self.stop_tpm()
        shutil.rmtree(self.tpm_directory)
        self.make_directory('tpm')
        self.start_tpm()

    # What other programs and cmkd share it by

    def start_manager(self):
        if self.manager != 'abrmd':
            return
        self.abrmd = spawn(self.uid, ['tpm2-abrmd', '--session', '--allow-root', f'--dbus-name={ABRMD_NAME}',
                                      f'--tcti={self.stock_tcti}'],
                           env={**os.environ, **self.tpm_environment}, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        iterate_until(lambda: self.abrmd.poll() is not None or self.owned(ABRMD_NAME), 'tpm2-abrmd owns its name')
        assert self.abrmd.poll() is None, 'tpm2-abrmd did not start'

    def stop_manager(self, number=signal.SIGKILL):
        """Nothing but abrmd can be stopped."""
        self.abrmd.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it is not abrmd that is tested
            self.abrmd.wait(DEADLINE)
        self.abrmd.kill()
        self.abrmd.wait()
        iterate_until(lambda: not self.owned(ABRMD_NAME), 'the name of tpm2-abrmd is free')

    @property
    def shared_tcti(self):
        """For other programs, through the resource manager; with what it needs in the environment."""
        return {'none': self.stock_tcti, 'abrmd': f'tabrmd:bus_type=session,bus_name={ABRMD_NAME}',
                'kernel': f'{self.directory}/CMKD_TCTI_KRM.so:{self.stock_tcti}'}[self.manager]

    @property
    def tpm_environment(self):
        if self.manager == 'abrmd':
            return {'DBUS_SESSION_BUS_ADDRESS': self.address}
        return {'CMKD_CHIP_LOG': str(self.chip_log)}

    def ask_tpm(self, command):
        """The answer of the TPM itself, whatever stands before it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.tpm_directory / 'sock'))
            connection.sendall(command)
            return connection.recv(4096)

    def tpm_handles(self, kind):
        """The handles of a kind (TRANSIENT, LOADED_SESSION, SAVED_SESSION) that the TPM holds now."""
        answer = self.ask_tpm(struct.pack('>HIIIII', 0x8001, 22, 0x17A, 1, kind << 24, 254))  # TPM2_GetCapability
        code, count = struct.unpack_from('>I', answer, 6)[0], struct.unpack_from('>I', answer, 15)[0]
        assert code == 0, f'TPM2_GetCapability: 0x{code:x}'
        return struct.unpack_from(f'>{count}I', answer, 19)

    @property
    def stock_tcti(self):
        """For others that talk to the TPM itself."""
        return f'swtpm:path={self.tpm_directory}/sock'

    @property
    def tcti(self):
        return f'{self.directory}/CMKD_TCTI_COUNT.so:{self.shared_tcti}'

    def tpm_fault(self, rule):
        """Let the counting TCTI fail a command: "NAME FIRST-LAST ACTION", see tests/tpm/tcti-count.c."""
        path = Path(f'{self.tpm_log}.fault')
        path.write_text(rule)
        os.chown(path, self.uid, self.uid)

    def tpm_commands(self):
        """The names of the TPM commands that were sent while inside, in order; "NAME:0xRC" if one failed."""
        return added_lines(self.tpm_log)

    def chip_commands(self):
        """Those that the emulation of the kernel made of them, with lines "held OBJECTS SESSIONS" in between."""
        return added_lines(self.chip_log)

    # cmkd

    def command(self, **options):
        """Its command line; @options replace or add: state_dir='/elsewhere'."""
        options = {'bus_address': self.address, 'tcti': self.tcti, 'state_dir': self.state,
                   'config': self.directory / 'cmkd.conf', **options}
        return [os.environ['CMKD_DAEMON'],
                *(f"--{name.replace('_', '-')}={value}" for name, value in options.items())]

    def daemon_environment(self):
        inherited = {name: value for name, value in os.environ.items()
                     if name not in ('STATE_DIRECTORY', 'XDG_STATE_HOME', 'NOTIFY_SOCKET') and 'DBUS_' not in name}
        return {**inherited, 'G_MESSAGES_DEBUG': 'all', 'LD_PRELOAD': str(self.directory / 'CMKD_CLOCK_PRELOAD.so'),
                'CMKD_CLOCK': str(self.directory / 'clock'), 'CMKD_TPM_LOG': str(self.tpm_log),
                **self.tpm_environment, **self.environment}

    def run_daemon(self, *more, **options):
        """Run another cmkd, which must end by itself: (exit status, its messages)."""
        process = self.spawn_daemon([*self.command(**options), *more], stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True)
        output, _ = process.communicate(timeout=DEADLINE)
        return process.returncode, output

    def spawn_daemon(self, command, **options):
        return spawn(self.uid, command, self.gid, env=self.daemon_environment(), **options)

    def launch(self):
        """Start cmkd, and do not wait for it."""
        with open(self.log, 'a') as log:
            self.daemon = self.spawn_daemon([*self.wrapper, *self.command()], stdout=log, stderr=log)

    def start(self):
        """Start cmkd; it serves when this returns."""
        self.launch()
        owners = []
        subscription = self.watch.connection.signal_subscribe(
            'org.freedesktop.DBus', 'org.freedesktop.DBus', 'NameOwnerChanged', '/org/freedesktop/DBus', BUS_NAME,
            Gio.DBusSignalFlags.NONE, lambda *signal: owners.append(signal[-1].unpack()[2]))
        try:
            iterate_until(lambda: self.daemon.poll() is not None or any(owners) or self.owned(), 'cmkd owns its name')
        finally:
            self.watch.connection.signal_unsubscribe(subscription)
        assert self.daemon.poll() is None, f'cmkd did not start:\n{self.log_tail()}'
        if self.synchronised is None:
            self.synchronise_clock(False)

    def owned(self, name=BUS_NAME):
        return self.watch.connection.call_sync(
            'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'NameHasOwner',
            GLib.Variant('(s)', (name,)), None, Gio.DBusCallFlags.NONE, -1, None).unpack()[0]

    def stop(self):
        """SIGTERM; it must end with 0 and without a sanitizer's report."""
        if self.daemon is None:
            return
        daemon, self.daemon = self.daemon, None
        daemon.terminate()
        status = wait_for_end(daemon, 'cmkd')
        assert status == 0, f'cmkd ended with {status}:\n{self.log_tail()}'
        self.assert_clean_log()

    def kill(self):
        """SIGKILL."""
        self.daemon.kill()
        self.daemon.wait()
        self.daemon = None
        self.assert_clean_log()

    def restart(self):
        self.stop()
        self.start()

    def reboot(self, seconds_off=0):
        """cmkd ends well, the machine is off for a while, the TPM restarts on its state, cmkd starts."""
        self.stop()
        self.boot(seconds_off)
        self.start()

    def boot(self, seconds_off=0):
        """What a machine that was off starts with, but for cmkd."""
        self.restart_tpm()
        self.pass_time(seconds_off)
        self.booted = time.time_ns() + self.passed if self.stopped_at is None else self.stopped_at
        self.new_boot_id()
        self.write_clock()

    def assert_clean_log(self):
        report = SANITIZER_REPORT.search(self.log.read_text(errors='replace'))
        assert report is None, f'a sanitizer found something:\n{self.log_tail()}'

    def log_tail(self, lines=60):
        return '\n'.join(self.log.read_text(errors='replace').splitlines()[-lines:])

    def resident_bytes(self):
        """Memory of cmkd now."""
        fields = Path(f'/proc/{self.daemon.pid}/statm').read_text().split()
        return int(fields[1]) * os.sysconf('SC_PAGE_SIZE')

    def peak_bytes(self):
        """The most memory that cmkd has ever had."""
        status = Path(f'/proc/{self.daemon.pid}/status').read_text()
        return int(re.search(r'^VmHWM:\s*(\d+) kB$', status, re.M)[1]) * 1024

    # Copies of the state, as a backup, a thief or a test makes them. Others may not change it meanwhile.

    def copy_state(self, name='copy', of='state'):
        """The path of a copy of the state directory, or of that of the TPM, beside it."""
        copy = self.directory / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.directory / of, copy, symlinks=True, ignore=shutil.ignore_patterns('sock*'))
        return copy

    def restore_state(self, copy, names=('state.db', 'state.db-wal')):
        """Put these files of @copy in the place of those that are there; cmkd is down."""
        for name in names:
            (self.state / name).unlink(missing_ok=True)
            if (copy / name).exists():
                shutil.copy2(copy / name, self.state / name)
                os.chown(self.state / name, self.uid, self.uid)

    # Kernel keys

    def keyctl(self, *arguments, stdin=None):
        """keyctl as the uid of cmkd: (exit status, output)."""
        done = subprocess.run(['keyctl', *map(str, arguments)], input=stdin, capture_output=True, user=self.uid,
                              group=self.uid, extra_groups=[])
        return done.returncode, done.stdout

    def close(self):
        try:
            if self.daemon is not None:
                self.stop()
        finally:
            self.shut_down()

    def shut_down(self):
        for process in (self.daemon, self.abrmd, self.tpm, self.bus):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        Machine.running.remove(self)
        self.forget_kernel_keys()
        shutil.rmtree(self.directory)

    def kernel_keyrings(self):
        """In the user keyring, where they outlive cmkd."""
        _, linked = self.keyctl('rlist', '@u')
        return {key.serial for key in seen_keys(self.uid) if key.gid == self.gid} & set(map(int, linked.split()))

    def forget_kernel_keys(self):
        for serial in self.kernel_keyrings():
            self.keyctl('unlink', serial, '@u')


@contextlib.contextmanager
def added_lines(path):
    """What is appended to a file while inside, line by line."""
    lines = []
    before = path.stat().st_size
    yield lines
    with open(path) as log:
        log.seek(before)
        lines.extend(log.read().splitlines())


def wait_for_end(process, what):
    try:
        return process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f'{what} did not end within {DEADLINE} s') from None


def listens(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@contextlib.contextmanager
def new_machine(**options):
    """A machine of a test's own: closed well when the test passes, just shut down when it fails."""
    machine = Machine(**options)
    try:
        yield machine
    except BaseException:
        machine.shut_down()
        raise
    machine.close()

# SPDX-License-Identifier: Apache-2.0
"""The unit files are sound, and the bus policy lets through what it should and nothing else.

usage: check_units.py CMKD"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from gi.repository import Gio, GLib

import tap

DAEMON = str(Path(sys.argv[1]).resolve())
NAME, PATH = 'org.cmkd.Kms1', '/org/cmkd/Kms1'
INTERFACES = ['Keys', 'Import', 'Crypto', 'Service']


def lay_out(directory, *units):
    """The units as they were made, with the program that was built, beside a bus of any kind."""
    for unit in units:
        text = (tap.BUILD / 'systemd' / unit).read_text()
        (Path(directory) / unit).write_text(re.sub(r'^(ExecStart=)/\S+', rf'\1{DAEMON}', text, flags=re.MULTILINE))
    (Path(directory) / 'dbus.socket').write_text('[Socket]\nListenStream=/run/dbus/system_bus_socket\n')
    (Path(directory) / 'dbus.service').write_text('[Service]\nExecStart=/bin/true\n')
    return Path(directory) / units[0]


def verify(manager, unit, *others):
    with tempfile.TemporaryDirectory() as directory:
        path = lay_out(directory, unit, *others)
        status, output = tap.run('systemd-analyze', manager, '--man=no', 'verify', path,
                                 env={'XDG_RUNTIME_DIR': directory, 'HOME': directory})
        return [output] if status != 0 or unit in output else []


def system_unit():
    return verify('--system', 'cmkd.service')


def user_unit():
    return verify('--user', 'cmkd-user.service')


def timer_of_expiry(manager, prefix, bus):
    """It starts, hourly and after a time off, what has the bus start cmkd; who enables cmkd enables it."""
    text = (tap.BUILD / 'systemd' / f'{prefix}-expiry.timer').read_text()
    wrong = [f'no {line}' for line in ('OnCalendar=hourly', 'Persistent=true', 'WantedBy=timers.target')
             if line not in text.splitlines()]
    service = f'{prefix}-expiry.service'
    command = rf'^ExecStart=busctl{bus} .* org.cmkd.Kms1.Service GetStatus$'
    if not re.search(command, (tap.BUILD / 'systemd' / service).read_text(), re.MULTILINE):
        wrong.append('the service calls nothing')
    if f'Also={prefix}-expiry.timer' not in (tap.BUILD / 'systemd' / f'{prefix}.service').read_text().splitlines():
        wrong.append('it is not enabled with cmkd')
    return wrong + verify(manager, f'{prefix}-expiry.timer', service) + verify(manager, service)


def system_timer_of_expiry():
    return timer_of_expiry('--system', 'cmkd', '')


def user_timer_of_expiry():
    return timer_of_expiry('--user', 'cmkd-user', ' --user')


def system_unit_with_a_software_tpm():
    """As docs/deployment.md has it."""
    with tempfile.TemporaryDirectory() as directory:
        path = lay_out(directory, 'cmkd.service')
        (Path(directory) / 'swtpm.service').write_text((tap.SOURCE / 'systemd' / 'swtpm.service').read_text())
        (Path(directory) / 'cmkd.service.d').mkdir()
        (path.parent / 'cmkd.service.d' / 'swtpm.conf').write_text((tap.SOURCE / 'systemd' / 'swtpm.conf').read_text())
        status, output = tap.run('systemd-analyze', '--system', '--man=no', 'verify', path)
        return [output] if status != 0 or 'cmkd' in output or 'swtpm' in output else []


def little_is_exposed():
    """Of what systemd asks for, as few of its tenths as it is told."""
    with tempfile.TemporaryDirectory() as directory:
        path = lay_out(directory, 'cmkd.service')
        _, output = tap.run('systemd-analyze', 'security', '--offline=true', '--no-pager', path,
                            env={'LC_ALL': 'C.UTF-8'})
        found = re.search(r'exposure level for cmkd\.service: (\d+\.\d)', output)
        return [] if found and float(found.group(1)) <= 1.0 else [output]


def nothing_is_taken_that_cmkd_needs():
    needed = {
        'ProtectClock': 'adjtimex(), to ask whether the clock is synchronised',
        'PrivateUsers': 'the user keyring, which ends with its user namespace',
        'ProcSubset': '/proc/sys/kernel/random/boot_id',
        'DynamicUser': 'a user whom the bus policy can name',
    }
    units = {unit: (tap.BUILD / 'systemd' / unit).read_text() for unit in ('cmkd.service', 'cmkd-user.service')}
    return [f'{unit}: {name}= takes {what}' for unit, text in units.items() for name, what in needed.items()
            if re.search(rf'^{name}=', text, re.MULTILINE)]


def unit_and_activation_belong_together():
    def value(name, key):
        return re.search(rf'^{key}=(.*)$', (tap.BUILD / name).read_text(), re.MULTILINE).group(1)

    wrong = []
    for activation, unit in (('system-activation.service', 'cmkd.service'),
                             ('session-activation.service', 'cmkd-user.service')):
        if value(f'dbus/{activation}', 'SystemdService') != unit:
            wrong.append(f'{activation}: SystemdService')
        for ours, theirs in (('Name', 'BusName'), ('Exec', 'ExecStart')):
            if value(f'dbus/{activation}', ours) != value(f'systemd/{unit}', theirs):
                wrong.append(f'{activation}: {ours}')
    return wrong


def policy_is_well_formed():
    status, text = tap.run('xmllint', '--noout', '--nonet', tap.SOURCE / 'dbus' / 'org.cmkd.Kms1.conf')
    return [] if status == 0 else [text]


class Bus:
    """A bus that denies by default, as the system bus does, with our policy; @owner stands in for the user cmkd."""

    def __init__(self, owner):
        self.directory = tempfile.TemporaryDirectory()
        policy = (tap.SOURCE / 'dbus' / 'org.cmkd.Kms1.conf').read_text().replace('user="cmkd"', f'user="{owner}"')
        (Path(self.directory.name) / 'policy.conf').write_text(policy)
        config = Path(self.directory.name) / 'bus.conf'
        config.write_text(f'''<busconfig>
          <type>system</type>
          <listen>unix:path={self.directory.name}/bus</listen>
          <policy context="default">
            <allow user="*"/>
            <deny own="*"/>
            <deny send_type="method_call"/>
            <allow send_destination="org.freedesktop.DBus"/>
            <allow send_type="signal"/>
            <allow send_requested_reply="true" send_type="method_return"/>
            <allow send_requested_reply="true" send_type="error"/>
            <allow receive_type="method_call"/>
            <allow receive_type="method_return"/>
            <allow receive_type="error"/>
            <allow receive_type="signal"/>
          </policy>
          <include>policy.conf</include>
        </busconfig>''')
        command = ['dbus-daemon', f'--config-file={config}', '--nofork', '--print-address=1']
        self.process = subprocess.Popen(['setpriv', '--pdeathsig=KILL', *command], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.directory.cleanup()

    def connect(self):
        flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
        return Gio.DBusConnection.new_for_address_sync(self.address, flags, None, None)


def call(connection, destination, path, interface, member, arguments=None):
    """The D-Bus error's name, or None."""
    try:
        connection.call_sync(destination, path, interface, member, arguments, None, Gio.DBusCallFlags.NONE, 20000, None)
    except GLib.Error as error:
        return Gio.DBusError.get_remote_error(error)
    return None


def own(connection):
    return call(connection, 'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName',
                GLib.Variant('(su)', (NAME, 4)))


def only_the_user_may_own_the_name():
    wrong = []
    with Bus('nobody') as bus:
        if own(bus.connect()) != 'org.freedesktop.DBus.Error.AccessDenied':
            wrong.append('another user may own it')
    with Bus('root') as bus:
        if own(bus.connect()) is not None:
            wrong.append('its own user may not')
    return wrong


def the_four_interfaces_are_open_and_nothing_else():
    properties = 'org.freedesktop.DBus.Properties'
    allowed = [(f'{NAME}.{interface}', 'Anything') for interface in INTERFACES]
    allowed += [('org.freedesktop.DBus.Introspectable', 'Introspect'), ('org.freedesktop.DBus.Peer', 'Ping'),
                (properties, 'Get'), (properties, 'GetAll')]
    denied = [(properties, 'Set'), (f'{NAME}.Other', 'Anything'), ('org.freedesktop.DBus.ObjectManager', 'Anything')]
    with Bus('root') as bus:
        owner, caller = bus.connect(), bus.connect()
        own(owner)
        wrong = []
        for interface, member in allowed + denied:
            refused = call(caller, NAME, PATH, interface, member) == 'org.freedesktop.DBus.Error.AccessDenied'
            if refused != ((interface, member) in denied):
                wrong.append(f'{interface}.{member} is {"refused" if refused else "let through"}')
        return wrong


tap.report([system_unit, system_unit_with_a_software_tpm, user_unit, system_timer_of_expiry, user_timer_of_expiry,
            little_is_exposed, nothing_is_taken_that_cmkd_needs, unit_and_activation_belong_together,
            policy_is_well_formed, only_the_user_may_own_the_name, the_four_interfaces_are_open_and_nothing_else])

# SPDX-License-Identifier: Apache-2.0
"""cmkd on a machine: its package, its configuration, its process, and calls to it."""
import json
import re
from pathlib import Path

from machine import PACKAGES

UNIT = 'cmkd.service'
NAME, OBJECT = 'org.cmkd.Kms1', '/org/cmkd/Kms1'
DEPLOYMENT = Path(__file__).resolve().parents[2] / 'docs/deployment.md'
RULES = '/etc/polkit-1/rules.d/10-test.rules'
DROP_INS = f'/etc/systemd/system/{UNIT}.d'
TCTI = {True: 'swtpm:path=/run/swtpm/socket', False: 'device:/dev/tpmrm0'}
# Ready pairs cost CPU time.
CONFIGURATION = {'WrappingKeys': {'ReadyRsa2048': 1, 'ReadyRsa3072': 0, 'ReadyRsa4096': 0}}


class Service:
    def __init__(self, machine):
        self.machine = machine
        self.unit = UNIT

    # The package.

    def install(self, packages=PACKAGES):
        for package in packages:
            self.machine.put(package, '/var/tmp')
        self.machine.run('dpkg', '--install', '--force-confold', *[f'/var/tmp/{package.name}' for package in packages],
                         DEBIAN_FRONTEND='noninteractive')
        self.choose_tpm()

    def choose_tpm(self):
        """By the line of the documentation: it changes cmkd.conf as the package has it, and no other."""
        if self.machine.has_software_tpm:
            line, = re.findall(r'^    sudo (sed -i .*)$', DEPLOYMENT.read_text(), re.MULTILINE)
            self.machine.run('bash', '-c', line)

    def is_installed(self):
        return self.machine.run('dpkg-query', '--show', '--showformat=${db:Status-Status}', 'cmkd',
                                check=False).out == 'installed'

    # The service.

    def reset(self):
        """As just installed on a machine with a new TPM: stopped, without state, cached keys, rules and drop-ins."""
        run = self.machine.run
        self.stop()
        run('tpm2_clear', '--quiet', '--tcti', TCTI[self.machine.has_software_tpm])
        run('rm', '-rf', RULES, DROP_INS, '/var/lib/cmkd')
        if self.machine.has_software_tpm:
            run('install', '-D', '-m', '644', '-t', DROP_INS, '/usr/share/doc/cmkd/examples/swtpm.conf')
        run('systemctl', 'daemon-reload')
        self.forget()
        self.configure()
        run('systemctl', 'reset-failed')

    def forget(self):
        """Empty the keyring of cmkd's uid, which the kernel of a container shares with other uids of this number."""
        self.machine.run('keyctl', 'clear', '@u', user='cmkd')

    def configure(self, **sections):
        """Write cmkd.conf; it is read at the next start."""
        defaults = {**CONFIGURATION, 'Tpm': {'Tcti': TCTI[self.machine.has_software_tpm]}}
        lines = []
        for section in {**defaults, **sections}:
            keys = {**defaults.get(section, {}), **sections.get(section, {})}
            lines += [f'[{section}]'] + [f'{key}={value}' for key, value in keys.items()]
        self.machine.write('/etc/cmkd/cmkd.conf', '\n'.join(lines) + '\n')

    def stop(self):
        self.machine.run('systemctl', 'stop', UNIT)

    def start(self):
        self.machine.run('systemctl', 'start', UNIT)

    def property(self, name, unit=UNIT):
        return self.machine.ask('systemctl', 'show', '--value', f'--property={name}', unit)

    def pid(self):
        return int(self.property('MainPID'))

    def rule(self, text):
        """Let this be the rules of the administrator."""
        self.machine.write(RULES, text)
        self.machine.run('systemctl', 'reset-failed', 'polkit', check=False)  # restarted too often otherwise
        self.machine.run('systemctl', 'restart', 'polkit')

    def drop_in(self, text):
        """Change the unit; None: no longer. Takes effect at the next start."""
        path = f'{DROP_INS}/test.conf'
        if text:
            self.machine.write(path, text)
        else:
            self.machine.run('rm', path)
        self.machine.run('systemctl', 'daemon-reload')

    # Calls.

    def ctl(self, user, *arguments, **options):
        """cmkctl, its answer read."""
        return json.loads(self.machine.ask('cmkctl', '--json', *arguments, user=user, **options))

    def fails(self, user, *arguments, **options):
        """cmkctl is refused: its exit status and what it says."""
        result = self.machine.run('cmkctl', *arguments, user=user, check=False, **options)
        assert result.status != 0, result
        return result.status, result.err

    def create(self, user, *arguments):
        return self.ctl(user, 'create', *arguments)['KeyMetadata']['KeyId']

    def call(self, user, interface, method, signature='', *arguments):
        """The answer to a call through busctl, without its types."""
        said = self.machine.ask('busctl', '--system', '--json=short', 'call', NAME, OBJECT, f'{NAME}.{interface}', method,
                                *([signature, *arguments] if signature else []), user=user)
        return plain(json.loads(said)['data'][0])

    def refusal(self, user, method, *arguments):
        """The name of the error that a call is refused with; gdbus, other than busctl, tells it."""
        result = self.machine.run('gdbus', 'call', '--system', '--dest', NAME, '--object-path', OBJECT,
                                  '--method', f'{NAME}.{method}', *arguments, user=user, check=False)
        return re.search(r'Error\.(\w+): ', result.err).group(1)


def plain(value):
    """What busctl prints as JSON, without the types of the variants."""
    if isinstance(value, dict):
        return plain(value['data']) if value.keys() == {'type', 'data'} else {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value

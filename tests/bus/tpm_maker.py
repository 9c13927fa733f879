# SPDX-License-Identifier: Apache-2.0
"""The maker of a TPM, who puts certificates into it."""
import subprocess

CA = '''statedir = {0}
signingkey = {0}/signkey.pem
issuercert = {0}/issuercert.pem
certserial = {0}/certserial
'''
CA_OPTIONS = '''--tpm-manufacturer id:00001014
--tpm-version 2
--tpm-model test
--platform-manufacturer test
--platform-version 1
--platform-model test
'''


def certify_tpm(machine):
    """Have the maker of its TPM, a certificate authority of its own, put certificates into it. The path of what a
    custodian trusts."""
    directory = machine.directory / 'maker'
    directory.mkdir()
    (directory / 'ca.conf').write_text(CA.format(directory))
    (directory / 'ca.options').write_text(CA_OPTIONS)
    (directory / 'setup.conf').write_text('create_certs_tool = /usr/bin/swtpm_localca\n'
                                          f'create_certs_tool_config = {directory}/ca.conf\n'
                                          f'create_certs_tool_options = {directory}/ca.options\n')
    machine.stop_tpm()
    subprocess.run(['swtpm_setup', '--tpm2', '--tpmstate', machine.tpm_directory, '--config', directory / 'setup.conf',
                    '--create-ek-cert', '--overwrite'], check=True, capture_output=True)
    machine.start_tpm()
    trusted = directory / 'trusted.pem'
    trusted.write_bytes(b''.join((directory / name).read_bytes()
                                 for name in ('issuercert.pem', 'swtpm-localca-rootca-cert.pem')))
    return trusted

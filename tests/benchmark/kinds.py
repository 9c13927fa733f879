# SPDX-License-Identifier: Apache-2.0
"""What the key kinds beside AES are used for, and each form in which a key is imported."""
import tempfile
from typing import NamedTuple

from gi.repository import GLib

from client import METHODS, b64, complete
from openssl_keys import MAC, SIGNING, file_of, key_of
from programs import ECHO_NAME, program
from report import SAMPLE_COLUMNS, micros, ratio, ratio_of_minima, read_samples
from wrapping import ECB_AES, ECB_SM4, import_key, wrapped

MESSAGE = bytes(range(256)) * 16


def call_line(name, interface, method, signature, *arguments):
    """A line of calls.c."""
    return '\t'.join([name, interface, method, GLib.Variant(f'({signature})', arguments).print_(True)])


def measure_calls(machine, rounds, calls, lines):
    """{name: Samples}"""
    with tempfile.NamedTemporaryFile('w', dir='/tmp') as file:
        file.write('\n'.join(lines))
        file.flush()
        return read_samples(program('calls', machine.address, rounds, calls, file.name))


class Use(NamedTuple):
    """A call that uses a key: arguments, the field of the answer, and what libcrypto needs to do the same."""
    name: str
    method: str
    arguments: list
    field: str
    key: object
    message: str
    algorithm: str
    input: str = ''

    def call(self, kms):
        return getattr(kms, self.method)(*self.arguments)[self.field]

    def lines(self, kms):
        """The call, an echo of a message as long that is answered with one as long, and libcrypto alone."""
        interface, signature = METHODS[self.method]
        answer = self.call(kms)
        assert answer, f'{self.name} answered {answer}'
        size = len(answer) if isinstance(answer, str) else 0
        texts = [*self.arguments, ''][:4]
        return [call_line(self.name, interface, self.method, signature, *complete(signature, self.arguments, {})),
                call_line(f'echo: {self.name}', ECHO_NAME, 'EchoUse', 'ssssa{sv}u', *texts, {}, size),
                '\t'.join([f'libcrypto: {self.name}', 'libcrypto', self.method, self.algorithm,
                           str(file_of(self.key.data)), self.message, self.input])]


def uses(kms):
    message = b64(MESSAGE)
    for spec in 'RSA_2048', 'EC_P256', 'EC_SM2':
        key, algorithm = key_of(spec), SIGNING[spec][0]
        cmk, signature = import_key(kms, key), b64(key.sign(algorithm, MESSAGE))
        yield Use(f'Sign 4 KB, {spec}', 'Sign', [cmk, message, algorithm], 'Signature', key, message, algorithm)
        yield Use(f'Verify 4 KB, {spec}', 'Verify', [cmk, message, signature, algorithm], 'SignatureValid', key,
                  message, algorithm, signature)
    key, algorithm = key_of('HMAC_256'), MAC['HMAC_256']
    cmk, mac = import_key(kms, key), b64(key.mac(MESSAGE))
    yield Use('GenerateMac 4 KB', 'GenerateMac', [cmk, message, algorithm], 'Mac', key, message, algorithm)
    yield Use('VerifyMac 4 KB', 'VerifyMac', [cmk, message, mac, algorithm], 'MacValid', key, message, algorithm)
    key, algorithm = key_of('RSA_2048'), 'RSAES_OAEP_SHA_256'
    cmk = import_key(kms, key, KeyUsage='ENCRYPT_DECRYPT')
    ciphertext = b64(key.encrypt(algorithm, MESSAGE[:32]))
    yield Use('AsymmetricDecrypt, RSA_2048', 'AsymmetricDecrypt', [cmk, ciphertext, algorithm], 'Plaintext', key,
              ciphertext, algorithm)


def measure_uses(report, machine):
    measured = list(uses(machine.kms))
    machine.wait_for_pairs()
    cases = measure_calls(machine, 100, 10, [line for use in measured for line in use.lines(machine.kms)])
    rows = []
    for use in measured:
        samples, echo, alone = (cases[prefix + use.name] for prefix in ('', 'echo: ', 'libcrypto: '))
        both, both_minima = echo.median + alone.median, echo.values[0] + alone.values[0]
        rows.append([use.name, *samples.columns(), micros(echo.median), ratio(samples, echo), micros(alone.median),
                     ratio(samples, alone), f'{samples.median / both:.2f}', f'{samples.values[0] / both_minima:.2f}'])
    columns = ['echo', 'to echo', 'libcrypto', 'to libcrypto', 'to both', 'by minima']
    report.table('Use of other key kinds, GDBus client, warm (us); both = echo and libcrypto alone together',
                 ['call', *SAMPLE_COLUMNS, *columns], rows)


FORMS = {  # spec, wrapping algorithm, wrapping key spec, form; the first is what the others are compared with
    'direct, OAEP: AES_256': ('AES_256', 'RSAES_OAEP_SHA_256', 'RSA_2048', 'direct'),
    'separate, OAEP: RSA_2048': ('RSA_2048', 'RSAES_OAEP_SHA_256', 'RSA_2048', 'separate'),
    'RSA_AES_KEY_WRAP: RSA_2048': ('RSA_2048', 'RSA_AES_KEY_WRAP_SHA_256', 'RSA_2048', 'key wrap'),
    'RSA_AES_KEY_WRAP: RSA_4096': ('RSA_4096', 'RSA_AES_KEY_WRAP_SHA_256', 'RSA_2048', 'key wrap'),
    'OAEP and AES-256-ECB: RSA_2048': ('RSA_2048', ECB_AES, 'RSA_2048', 'ECB'),
    'direct, SM2PKE: AES_256': ('AES_256', 'SM2PKE', 'EC_SM2', 'direct'),
    'SM2PKE and SM4-ECB: EC_SM2': ('EC_SM2', ECB_SM4, 'EC_SM2', 'ECB'),
}
IMPORTS = 16  # of each


def import_line(kms, name, spec, algorithm, wrapping_spec, form):
    """An ImportKeyMaterial with a fresh key and pair."""
    parameters = kms.parameters(kms.external_key(KeySpec=spec), algorithm, wrapping_spec)
    sent = wrapped(parameters, form, key_of(spec))
    options = {} if sent.encrypted_private_key is None else {'EncryptedPrivateKey': b64(sent.encrypted_private_key)}
    interface, signature = METHODS['ImportKeyMaterial']
    arguments = parameters['KeyId'], b64(sent.encrypted_key_material), parameters['ImportToken']
    return call_line(name, interface, 'ImportKeyMaterial', signature, *complete(signature, arguments, options))


def measure_forms(report, machine, where):
    lines = [import_line(machine.kms, name, *form) for _ in range(IMPORTS) for name, form in FORMS.items()]
    machine.wait_for_pairs()
    cases = measure_calls(machine, 1, 1, lines)
    direct = cases[next(iter(FORMS))]
    report.table(f'ImportKeyMaterial by form, GDBus client, a fresh key and pair each time, state {where} (us)',
                 ['form: key', *SAMPLE_COLUMNS, 'to direct', 'by minima'],
                 [[name, *samples.columns(), ratio(samples, direct), ratio_of_minima(samples, direct)]
                  for name, samples in cases.items()])

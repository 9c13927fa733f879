# SPDX-License-Identifier: Apache-2.0
"""cmkd seen from the bus: calls, refusals, signals; and wrapping as its callers do it, with stock openssl."""
import base64
import contextlib
import os
import subprocess
import tempfile
import time
import xml.etree.ElementTree
from pathlib import Path

from gi.repository import Gio, GLib

BUS_NAME = 'org.cmkd.Kms1'
OBJECT_PATH = '/org/cmkd/Kms1'
ERROR_PREFIX = BUS_NAME + '.Error.'
SOURCE_ROOT = Path(os.environ['CMKD_SOURCE_ROOT'])
DEADLINE = 60  # seconds until a wait gives up; no test depends on how long anything takes
UNKNOWN_KEY = '00000000-0000-4000-8000-000000000000'

OPTION_TYPES = {
    **dict.fromkeys(['Origin', 'KeySpec', 'KeyUsage', 'ProtectionLevel', 'Description', 'Alias', 'KeyId', 'Marker',
                     'KeyState', 'EncryptedPrivateKey', 'Sequence', 'MessageType', 'Accept', 'Nonce',
                     'Credential'], 's'),
    **dict.fromkeys(['EncryptionContext', 'SourceEncryptionContext', 'DestinationEncryptionContext', 'Tags'], 'a{ss}'),
    **dict.fromkeys(['Limit', 'NumberOfBytes', 'PendingWindowInDays', 'User', 'Group'], 'u'),
    'KeyMaterialExpireUnix': 'x', 'Attest': 'b',
}


def read_methods():
    """Method name -> (interface, signature of the arguments), from the introspection XML."""
    tree = xml.etree.ElementTree.parse(SOURCE_ROOT / 'dbus' / 'org.cmkd.Kms1.xml')
    return {method.get('name'): (interface.get('name'),
                                 ''.join(arg.get('type') for arg in method.findall('arg[@direction="in"]')))
            for interface in tree.getroot().findall('interface') for method in interface.findall('method')}


METHODS = read_methods()
MATERIAL_SIZE = {'AES_256': 32, 'SM4': 16}


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text, validate=True)


# Wrapping: the other party is always stock openssl.

PADDINGS = {
    'RSAES_PKCS1_V1_5': ['rsa_padding_mode:pkcs1'],
    'RSAES_OAEP_SHA_1': ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha1', 'rsa_mgf1_md:sha1'],
    'RSAES_OAEP_SHA_256': ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha256', 'rsa_mgf1_md:sha256'],
    'none': ['rsa_padding_mode:none'],
}


def openssl(*arguments, stdin=b''):
    return subprocess.run(['openssl', *map(str, arguments)], input=stdin, check=True, capture_output=True).stdout


def wrap(algorithm, public_key, material):
    """Encrypt @material to the Base64 DER @public_key. @algorithm: a name of the contract, 'none' for a whole block
    put in as it is, or a list of -pkeyopt values. Base64."""
    values = algorithm if isinstance(algorithm, list) else PADDINGS[algorithm]
    options = [word for value in values for word in ('-pkeyopt', value)]
    with tempfile.NamedTemporaryFile(dir='/tmp') as der:
        der.write(unb64(public_key))
        der.flush()
        return b64(openssl('pkeyutl', '-encrypt', '-pubin', '-keyform', 'DER', '-inkey', der.name, *options,
                           stdin=material))


def modulus(public_key):
    text = openssl('rsa', '-pubin', '-inform', 'DER', '-noout', '-modulus', stdin=unb64(public_key))
    return int(text.split(b'=')[1], 16)


# Errors

class DBusError(Exception):
    """What a call was refused with. @name is without cmkd's own prefix: 'KeyNotFound'."""

    def __init__(self, name, message):
        super().__init__(f'{name}: {message}')
        self.name = name
        self.message = message

    @classmethod
    def from_glib(cls, error):
        name = Gio.DBusError.get_remote_error(error) or f'{error.domain}:{error.code}'
        message = error.message.removeprefix(f'GDBus.Error:{name}: ')
        return cls(name.removeprefix(ERROR_PREFIX), message)


class Refusal:
    name = None
    message = None


@contextlib.contextmanager
def refused(name):
    """The call inside must be refused with @name. Gives an object whose .message is filled in afterwards."""
    refusal = Refusal()
    try:
        yield refusal
    except DBusError as error:
        assert error.name == name, f'refused with {error}, not with {name}'
        refusal.name, refusal.message = error.name, error.message
        return
    raise AssertionError(f'not refused; {name} was expected')


# Waiting: for conditions, never for time.

def iterate_until(condition, what, seconds=DEADLINE):
    """Run the main context until @condition() is true."""
    context = GLib.MainContext.default()
    deadline = time.monotonic() + seconds
    waker = GLib.timeout_source_new(100)
    waker.set_callback(lambda *_: True)
    waker.attach(context)
    try:
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f'{what}: not within {seconds} s')
            context.iteration(True)
    finally:
        waker.destroy()


class Call:
    """A call under way; see Client.start()."""

    def __init__(self):
        self.done = False
        self.error = None
        self.answer = None

    def finish(self, connection, result):
        try:
            self.answer = unpack_answer(connection.call_finish(result))
        except GLib.Error as error:
            self.error = DBusError.from_glib(error)
        self.done = True

    def result(self):
        iterate_until(lambda: self.done, 'the answer to a call')
        if self.error:
            raise self.error
        return self.answer


def unpack_answer(reply):
    values = reply.unpack()
    return values[0] if len(values) == 1 else values


class Signals:
    """Every signal of cmkd since it was made: a list of tuples (member, argument...)."""

    def __init__(self, client):
        self.seen = []
        self.client = client
        self.subscription = client.connection.signal_subscribe(
            BUS_NAME, None, None, None, None, Gio.DBusSignalFlags.NONE,
            lambda _connection, _sender, _path, _interface, member, arguments: self.seen.append(
                (member, *arguments.unpack())))
        client.GetStatus()  # the bus has taken the match rule when a later call is answered

    def wait_for(self, *wanted, seconds=DEADLINE):
        """Wait for a signal that begins with @wanted."""
        iterate_until(lambda: any(signal[:len(wanted)] == wanted for signal in self.seen), f'signal {wanted}', seconds)

    def so_far(self):
        """All that belong to calls already answered."""
        self.client.GetStatus()
        self.client.GetStatus()
        while GLib.MainContext.default().iteration(False):
            pass
        return list(self.seen)

    def close(self):
        self.client.connection.signal_unsubscribe(self.subscription)


class Client:
    """One connection to the bus, as one uid."""

    def __init__(self, address, uid):
        # The bus takes the effective uid at connect(2) for the caller's.
        os.seteuid(uid)
        try:
            self.connection = Gio.DBusConnection.new_for_address_sync(
                address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
                | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        finally:
            os.seteuid(0)
        self.connection.set_exit_on_close(False)
        self.uid = uid

    def close(self):
        self.connection.close_sync(None)

    def call(self, interface, method, signature, *arguments):
        """The bare call; @signature is that of the arguments, @arguments are as GLib.Variant takes them."""
        return self.call_with(interface, method, GLib.Variant(f'({signature})', arguments))

    def call_with(self, interface, method, body):
        try:
            return unpack_answer(self.connection.call_sync(BUS_NAME, OBJECT_PATH, interface, method, body, None,
                                                           Gio.DBusCallFlags.NONE, DEADLINE * 1000, None))
        except GLib.Error as error:
            raise DBusError.from_glib(error) from None

    def __getattr__(self, method):
        """Any method of the contract by its name: kms.Encrypt(key, b64(data), EncryptionContext={...})."""
        if method not in METHODS:
            raise AttributeError(method)
        interface, signature = METHODS[method]
        return lambda *arguments, **options: self.call(
            interface, method, signature, *complete(signature, arguments, options))

    def start(self, method, *arguments, **options):
        """Send a call and go on; its .result() waits for the answer."""
        interface, signature = METHODS[method]
        call = Call()
        self.connection.call(
            BUS_NAME, OBJECT_PATH, interface, method,
            GLib.Variant(f'({signature})', complete(signature, arguments, options)), None,
            Gio.DBusCallFlags.NONE, DEADLINE * 1000, None, call.finish)
        return call

    # What most tests begin with.

    def state(self, key):
        return self.DescribeKey(key)['KeyMetadata']['KeyState']

    def describe(self, key):
        return self.DescribeKey(key)['KeyMetadata']

    def own_key(self, **options):
        """The id of a new key whose material cmkd makes itself."""
        return self.CreateKey(**options)['KeyMetadata']['KeyId']

    def external_key(self, **options):
        """The id of a new key in PendingImport."""
        return self.own_key(Origin='EXTERNAL', **options)

    def parameters(self, key, algorithm='RSAES_OAEP_SHA_256', spec='RSA_2048'):
        return self.GetParametersForImport(key, algorithm, spec)

    def import_with(self, parameters, material, **options):
        """Wrap as @parameters ask for and import."""
        wrapped = wrap(parameters['WrappingAlgorithm'], parameters['PublicKey'], material)
        return self.ImportKeyMaterial(parameters['KeyId'], wrapped, parameters['ImportToken'], **options)

    def import_material(self, key, material, **options):
        return self.import_with(self.parameters(key), material, **options)

    def imported_key(self, material=None, spec='AES_256', expires=0, **options):
        """The id of a new EXTERNAL key, Enabled."""
        key = self.external_key(KeySpec=spec, **options)
        self.import_material(key, material or os.urandom(MATERIAL_SIZE[spec]), KeyMaterialExpireUnix=expires)
        return key

    def signals(self):
        return contextlib.closing(Signals(self))


def complete(signature, arguments, options):
    """Positional @arguments and, where the method takes any, @options as variants."""
    if not signature.endswith('a{sv}') or (arguments and isinstance(arguments[-1], dict) and not options):
        return arguments
    return (*arguments, {name: value if isinstance(value, GLib.Variant) else GLib.Variant(OPTION_TYPES[name], value)
                         for name, value in options.items()})

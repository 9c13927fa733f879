# SPDX-License-Identifier: Apache-2.0
"""Bad calls for test_fuzz.py: whatever can be said to the objects that the introspection shows, drawn from one
generator: the same seed gives the same calls, but for what cmkd makes up itself."""
import base64
import contextlib
import os
import socket
import xml.etree.ElementTree

from gi.repository import Gio, GLib

from client import BUS_NAME, OBJECT_PATH, OPTION_TYPES, UNKNOWN_KEY
from raw import connect

BASIC = 'ybnqiuxtdsogv'
RANGES = {'y': (0, 255), 'n': (-1 << 15, (1 << 15) - 1), 'q': (0, (1 << 16) - 1), 'i': (-1 << 31, (1 << 31) - 1),
          'u': (0, (1 << 32) - 1), 'x': (-1 << 63, (1 << 63) - 1), 't': (0, (1 << 64) - 1)}
DEEPEST = 12  # GDBus takes 64 containers, which take it long in Python
NAMES = ['EXTERNAL', 'CMKD_KMS', 'AES_256', 'SM4', 'HMAC_256', 'EC_P256', 'EC_SM2', 'ENCRYPT_DECRYPT', 'SIGN_VERIFY',
         'GENERATE_VERIFY_MAC', 'SOFTWARE', 'TPM', 'RSAES_OAEP_SHA_256', 'RSAES_PKCS1_V1_5', 'SM2PKE', 'SM2PKE_SM4_ECB',
         'RSA_AES_KEY_WRAP_SHA_256', 'RSA_2048', 'ECDSA_SHA_256', 'SM2DSA', 'HMAC_SHA_256', 'RAW', 'DIGEST', 'AES_128']
TEXTS = ['', ' ', '\n', 'a', 'é', '鑰' * 30, '%n%s%x' * 5, '../../etc/shadow', '\'; DROP TABLE keys; --', 'alias/',
         'alias/fuzz', 'alias/' + 'x' * 256, UNKNOWN_KEY, UNKNOWN_KEY.upper().replace('0', 'A'), 'AAAA', 'AAA', '====',
         'x' * 6145, 'A' * 8192, '\u202e', '\ufffd', '\x7f\x1b[31m']


class BadCalls:
    """@keys: ids that may be named. What cmkd has answered comes back as arguments."""

    def __init__(self, rng, connection, keys):
        self.rng = rng
        self.members = introspect(connection)
        self.texts = [*TEXTS, *keys]
        self.fd_list = Gio.UnixFDList.new()
        with open(os.devnull) as null:
            self.fd_list.append(null.fileno())

    def learn(self, answer):
        """Ids, tokens and blobs."""
        if isinstance(answer, dict):
            for value in answer.values():
                self.learn(value)
        elif isinstance(answer, list):
            for value in answer[:3]:
                self.learn(value)
        elif isinstance(answer, str) and 8 <= len(answer) <= 4096:
            if len(self.texts) < 300:
                self.texts.append(answer)
            else:
                self.texts[self.rng.randrange(len(TEXTS), 300)] = answer

    def next(self):
        """(path, interface, member, body, fds): the arguments of a call."""
        rng = self.rng
        path, interface, member, signature = rng.choice(self.members)
        how = rng.random()
        if how < 0.6:
            body = [self.value(kind) for kind in split(signature)]
        elif how < 0.8:  # of other types
            signature = ''.join(self.signature() for _ in range(rng.randrange(5)))
            body = [self.value(kind) for kind in split(signature)]
        else:
            kinds = split(signature)
            rng.shuffle(kinds)
            kinds = kinds[:rng.randrange(len(kinds) + 1)] + [rng.choice(['', 's', 'a{sv}', 'h'])] * rng.randrange(2)
            signature = ''.join(kinds)
            body = [self.value(kind) for kind in split(signature)]
        if rng.random() < 0.04:
            path = rng.choice(['/', '/org', OBJECT_PATH + '/x', OBJECT_PATH + '/' + 'x' * 200])
        if rng.random() < 0.04:
            interface = rng.choice([BUS_NAME, 'org.freedesktop.DBus.ObjectManager', interface + 'x', 'a.b'])
        if rng.random() < 0.04:
            member = rng.choice([member + 'x', member.lower(), 'x' * 255, '_'])
        return path, interface, member, GLib.Variant(f'({signature})', body), self.fd_list if 'h' in signature else None

    # Values

    def signature(self, depth=0):
        kind = self.rng.random()
        if depth > 3 or kind < 0.6:
            return self.rng.choice(BASIC + 'h')
        if kind < 0.75:
            return 'a' + self.signature(depth + 1)
        if kind < 0.9:
            return f'a{{{self.rng.choice("sgoyu")}{self.signature(depth + 1)}}}'
        return f"({''.join(self.signature(depth + 1) for _ in range(self.rng.randrange(1, 4)))})"

    def value(self, kind, depth=0):
        if kind == 'a{sv}':
            return self.options()
        if kind[0] == 'a' and kind[1] == '{':
            key, value = kind[2], kind[3:-1]
            return {self.value(key, depth + 1): self.value(value, depth + 1) for _ in range(self.count(depth))}
        if kind[0] == 'a':
            return [self.value(kind[1:], depth + 1) for _ in range(self.count(depth))]
        if kind[0] == '(':
            return tuple(self.value(part, depth + 1) for part in split(kind[1:-1]))
        if kind == 'v':
            return self.variant(depth)
        return self.basic(kind)

    def count(self, depth):
        return self.rng.choice([0, 1, 1, 2, 3] if depth else [0, 1, 2, 3, 21, 300])

    def basic(self, kind):
        rng = self.rng
        if kind in RANGES:
            low, high = RANGES[kind]
            return rng.choice([0, 1, low, high, rng.randint(low, high), min(high, 7), min(high, 4_000_000_000)])
        if kind == 'b':
            return rng.random() < 0.5
        if kind == 'd':
            return rng.choice([0.0, -1.5, 1e308, float('inf'), float('nan')])
        if kind == 'o':
            return rng.choice(['/', OBJECT_PATH, '/' + 'x' * 100])
        if kind == 'g':
            return rng.choice(['', 's', 'a{sv}', 'a' * 30 + 's'])
        if kind == 'h':
            return 0
        return self.text()

    def text(self):
        rng = self.rng
        how = rng.random()
        if how < 0.35:
            return rng.choice(NAMES)
        if how < 0.8:
            return rng.choice(self.texts)
        if how < 0.9:  # truncated, or altered in one place
            text = rng.choice(self.texts) or 'x'
            at = rng.randrange(len(text))
            return text[:at] if rng.random() < 0.5 else text[:at] + rng.choice('Aa=+/0 ü') + text[at + 1:]
        if how < 0.99:
            return base64.b64encode(rng.randbytes(rng.choice([1, 12, 32, 69, 101, 150, 256, 1000, 6144]))).decode()
        return 'A' * rng.choice([1 << 16, 1 << 20])

    def variant(self, depth=0):
        if depth >= DEEPEST:
            return GLib.Variant('s', 'deepest')
        kind = 'v' if self.rng.random() < 0.3 else self.signature(depth)
        return GLib.Variant(kind, self.value(kind, depth + 1))

    def options(self):
        """Mostly what some method knows, of its own type or of another."""
        chosen = {}
        for _ in range(self.rng.choice([0, 0, 1, 1, 2, 3, 8])):
            name = self.rng.choice(list(OPTION_TYPES)) if self.rng.random() < 0.9 else self.text()
            kind = OPTION_TYPES.get(name) if self.rng.random() < 0.8 else None
            chosen[name] = GLib.Variant(kind, self.value(kind)) if kind else self.variant()
        return chosen

    # On the wire

    def message(self):
        """The bytes of a call that is altered in a few places: what the bus lets pass cmkd gets."""
        path, interface, member, body, fds = self.next()
        while fds:
            path, interface, member, body, fds = self.next()
        message = Gio.DBusMessage.new_method_call(BUS_NAME, path, interface, member)
        message.set_body(body)
        message.set_serial(self.rng.randrange(2, 1 << 31))
        message.set_flags(Gio.DBusMessageFlags(self.rng.choice([0, 1, 4, 5])))
        data = bytearray(message.to_blob(Gio.DBusCapabilityFlags.NONE))
        for _ in range(self.rng.randrange(4)):
            data[self.rng.randrange(len(data))] = self.rng.randrange(256)
        return bytes(data[:self.rng.randrange(len(data))] if self.rng.random() < 0.1 else data)


def split(signature):
    """The complete types in a signature."""
    kinds, start, depth = [], 0, 0
    for at, letter in enumerate(signature):
        depth += letter in '({'
        depth -= letter in ')}'
        if depth == 0 and letter != 'a':
            kinds.append(signature[start:at + 1])
            start = at + 1
    return kinds


def introspect(connection, path=OBJECT_PATH):
    """(path, interface, method, signature) of all that is there."""
    text, = connection.call_sync(BUS_NAME, path, 'org.freedesktop.DBus.Introspectable', 'Introspect', None, None,
                                 Gio.DBusCallFlags.NONE, -1, None).unpack()
    tree = xml.etree.ElementTree.fromstring(text)
    found = [(path, interface.get('name'), method.get('name'),
              ''.join(arg.get('type') for arg in method.findall('arg') if arg.get('direction', 'in') == 'in'))
             for interface in tree.findall('interface') for method in interface.findall('method')]
    for node in tree.findall('node'):
        found += introspect(connection, f"{path.rstrip('/')}/{node.get('name')}")
    return found


def send_raw(machine, uid, messages):
    """Say these on a connection of its own, until the bus has had enough."""
    with connect(machine, uid) as connection, contextlib.suppress(ConnectionError):
        for message in messages:
            connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(60)
        while connection.recv(1 << 16):  # until the bus lets go
            pass

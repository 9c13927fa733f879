# SPDX-License-Identifier: Apache-2.0
"""LD-02 and LD-06: what arrives in heaps, and who never takes what he asked for, does not make cmkd grow. Sanitizers
keep what was freed, so they are not for this."""
import os
import socket

import pytest

from gi.repository import Gio, GLib

from client import UNKNOWN_KEY, b64, iterate_until, refused
from harness import ALICE, BOB, new_machine
from test_load import ask, message, results, send

MIB = 1 << 20
GROWTH = 32 * MIB


@pytest.mark.parametrize('no_reply', [True, False])
def test_ld_02_long_calls(no_reply):
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = bob.own_key()
        alice.GetStatus()
        before = machine.resident_bytes()
        long = GLib.Variant('(ssa{sv})', (UNKNOWN_KEY, 'A' * MIB, {}))
        for _ in range(400):
            send(alice, message('Encrypt', long, no_reply))
        alice.connection.flush_sync(None)
        bob.Encrypt(key, b64(b'x'))
        with refused('LimitExceeded') as refusal:
            ask(alice, message('Encrypt', long))
        assert '128 KiB' in refusal.message
        assert machine.resident_bytes() - before < GROWTH


def test_what_a_long_call_took_is_given_back():
    """GDBus makes an object of each text of a list before anybody can weigh it."""
    number = 400_000
    texts = GLib.Variant.new_from_bytes(GLib.VariantType('as'), GLib.Bytes.new(
        bytes(number) + b''.join((end + 1).to_bytes(4, 'little') for end in range(number))), True)
    assert texts.n_children() == number
    with new_machine() as machine:
        kms = machine.client(ALICE)
        kms.GetStatus()
        before = machine.resident_bytes()
        with refused('LimitExceeded'):
            ask(kms, message('UntagResource', GLib.Variant.new_tuple(GLib.Variant('s', UNKNOWN_KEY), texts)))
        iterate_until(lambda: machine.resident_bytes() - before < GROWTH, 'the memory is given back')


def connect_without_reading(machine):
    """A connection of ALICE that never reads what is sent to it: (socket, after Hello)."""
    pair = socket.socket(socket.AF_UNIX)
    os.seteuid(ALICE)
    try:
        pair.connect(str(machine.directory / 'bus'))
    finally:
        os.seteuid(0)
    pair.sendall(b'\0AUTH EXTERNAL ' + str(ALICE).encode().hex().encode() + b'\r\n')
    assert pair.recv(256).startswith(b'OK')
    hello = Gio.DBusMessage.new_method_call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                                            'Hello')
    hello.set_serial(1)
    pair.sendall(b'BEGIN\r\n' + hello.to_blob(Gio.DBusCapabilityFlags.NONE))
    return pair


def has_room(kms):
    return results([kms.start('GetStatus')]) == (1, [])


def test_ld_06_who_never_reads():
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = bob.own_key()
        results([alice.start('CreateKey', Description='x' * 8192) for _ in range(100)])
        alice.ListKeys()
        before = machine.resident_bytes()
        with connect_without_reading(machine) as deaf:
            for serial in range(2, 302):
                call = message('ListKeys', GLib.Variant('(a{sv})', ({},)))
                call.set_serial(serial)
                deaf.sendall(call.to_blob(Gio.DBusCapabilityFlags.NONE))
                if serial % 100 == 0:
                    bob.Encrypt(key, b64(b'x'))
            iterate_until(lambda: has_room(alice), 'there is room for others of that user')
            assert machine.resident_bytes() - before < GROWTH
        bob.Encrypt(key, b64(b'x'))

# SPDX-License-Identifier: Apache-2.0
"""LD-02 and LD-06: what arrives in heaps, and who never takes what he asked for, does not make cmkd grow. Sanitizers
keep what was freed, so they are not for this."""
import sys

import pytest

from gi.repository import Gio, GLib

from client import BUS_NAME, ERROR_PREFIX, OBJECT_PATH, UNKNOWN_KEY, b64, iterate_until, refused
from harness import ALICE, BOB, new_machine
from raw import answer_to, connect
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
        with refused('InvalidParameter') as refusal:
            ask(alice, message('Encrypt', long))
        assert '128 KiB' in refusal.message
        assert machine.resident_bytes() - before < GROWTH


def of_empty_texts(call, type_, size, serial):
    """@size bytes of them, of which GDBus would make objects that take 200 to 700 MiB. On the bus all their bytes are zero."""
    call.set_body(GLib.Variant(f'(a{type_})', ([],)))
    call.set_serial(serial)
    data = bytearray(call.to_blob(Gio.DBusCapabilityFlags.NONE))
    data[4:8] = (size + 4).to_bytes(4, sys.byteorder)
    data[-4:] = size.to_bytes(4, sys.byteorder)
    return bytes(data) + bytes(size)


# A text of type s begins at a multiple of four.
@pytest.mark.parametrize('type_, size', [('s', 8 * MIB - 3), ('g', 8 * MIB)])
def test_ld_02_messages_of_which_gdbus_would_make_much_more(type_, size):
    with new_machine() as machine:
        bob = machine.client(BOB)
        key = bob.own_key()
        before = machine.peak_bytes()
        signal = Gio.DBusMessage.new_signal(OBJECT_PATH, 'org.example.Interface', 'Signal')
        signal.set_destination(BUS_NAME)
        with connect(machine, ALICE) as alice:
            alice.sendall(of_empty_texts(signal, type_, size, 2))
            alice.sendall(of_empty_texts(message('Encrypt', no_reply=True), type_, size, 3))
            alice.sendall(of_empty_texts(message('Encrypt'), type_, size, 4))
            bob.Encrypt(key, b64(b'x'))
            assert answer_to(alice, 4).get_error_name() == ERROR_PREFIX + 'InvalidParameter'
            assert machine.peak_bytes() - before < 8 * MIB


def has_room(kms):
    return results([kms.start('GetStatus')]) == (1, [])


def test_ld_06_who_never_reads():
    with new_machine() as machine:
        alice, bob = machine.client(ALICE), machine.client(BOB)
        key = bob.own_key()
        results([alice.start('CreateKey', Description='x' * 8192) for _ in range(100)])
        alice.ListKeys()
        before = machine.resident_bytes()
        with connect(machine, ALICE) as deaf:
            for serial in range(2, 302):
                call = message('ListKeys', GLib.Variant('(a{sv})', ({},)))
                call.set_serial(serial)
                deaf.sendall(call.to_blob(Gio.DBusCapabilityFlags.NONE))
                if serial % 100 == 0:
                    bob.Encrypt(key, b64(b'x'))
            iterate_until(lambda: has_room(alice), 'there is room for others of that user')
            assert machine.resident_bytes() - before < GROWTH
        bob.Encrypt(key, b64(b'x'))

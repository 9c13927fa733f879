# SPDX-License-Identifier: Apache-2.0
"""A connection to the bus on which nothing is sent, and nothing is read, but what a test sends and reads itself.

    with connect(machine, ALICE) as connection:
        connection.sendall(call.to_blob(Gio.DBusCapabilityFlags.NONE))
        answer_to(connection, call.get_serial())"""
import os
import socket

from gi.repository import Gio


def connect(machine, uid):
    """A socket; the bus has been said Hello with the serial number 1."""
    connection = socket.socket(socket.AF_UNIX)
    os.seteuid(uid)
    try:
        connection.connect(str(machine.directory / 'bus'))
    finally:
        os.seteuid(0)
    connection.sendall(b'\0AUTH EXTERNAL ' + str(uid).encode().hex().encode() + b'\r\n')
    assert connection.recv(256).startswith(b'OK')
    hello = Gio.DBusMessage.new_method_call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                                            'Hello')
    hello.set_serial(1)
    connection.sendall(b'BEGIN\r\n' + hello.to_blob(Gio.DBusCapabilityFlags.NONE))
    return connection


def receive(connection, size):
    data = connection.recv(size, socket.MSG_WAITALL)
    assert len(data) == size
    return data


def answer_to(connection, serial):
    while True:
        data = receive(connection, 16)
        data += receive(connection, Gio.DBusMessage.bytes_needed(data) - 16)
        answer = Gio.DBusMessage.new_from_blob(data, Gio.DBusCapabilityFlags.NONE)
        if answer.get_reply_serial() == serial:
            return answer

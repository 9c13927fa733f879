# SPDX-License-Identifier: Apache-2.0
"""How long one user waits while another floods cmkd (LD-01 to LD-03), beside an echo server under the same flood, for a
flood costs the bus daemon and the machine too:

    meson devenv -C BUILD /usr/bin/python3 tests/benchmark/flood.py [CALLS]

Calls of one row are made in turns, idle and flooded, so that what else the machine does falls on all alike."""
import contextlib
import statistics
import subprocess
import sys
import time

from gi.repository import Gio, GLib

from client import BUS_NAME, OBJECT_PATH, Client, b64, iterate_until
from harness import ALICE, BOB, new_machine, spawn
from programs import ECHO_NAME, PROGRAMS

ROUNDS = 5
HEAPS = {'silent': 3000, 'long': 400, 'calls': 256, 'pairs': 256}
PLAINTEXT = b64(bytes(300))
ENCRYPT = f'{BUS_NAME}.Crypto', 'Encrypt'
ECHO = ECHO_NAME, 'EchoEncrypt'


def call_message(server, interface, method, arguments):
    path = OBJECT_PATH if server == BUS_NAME else '/' + ECHO_NAME.replace('.', '/')
    message = Gio.DBusMessage.new_method_call(server, path, interface, method)
    message.set_body(arguments)
    return message


def flood(address, kind, server, interface, method, key):
    """One heap of calls; those that want an answer are made again with each, until killed."""
    connection = Client(address, ALICE).connection
    algorithms = GLib.Variant('(sssa{sv})', (key, 'RSAES_OAEP_SHA_256', 'RSA_2048', {}))
    plaintext = 'A' * (1 << 20) if kind == 'long' else PLAINTEXT
    arguments = algorithms if kind == 'pairs' else GLib.Variant('(ssa{sv})', (key, plaintext, {}))

    def again(*result):
        if result:
            with contextlib.suppress(GLib.Error):
                connection.send_message_with_reply_finish(result[1])
        connection.send_message_with_reply(call_message(server, interface, method, arguments),
                                           Gio.DBusSendMessageFlags.NONE, -1, None, again)

    def unanswered():
        message = call_message(server, interface, method, arguments)
        message.set_flags(Gio.DBusMessageFlags.NO_REPLY_EXPECTED)
        connection.send_message(message, Gio.DBusSendMessageFlags.NONE)

    print('begun', flush=True)
    for _ in range(HEAPS[kind]):
        again() if kind in ('calls', 'pairs') else unanswered()
    GLib.MainLoop().run()


def waits(client, server, target, key, calls):
    times = []
    for _ in range(calls):
        message = call_message(server, *target, GLib.Variant('(ssa{sv})', (key, PLAINTEXT, {})))
        begin = time.perf_counter()
        answer, _ = client.connection.send_message_with_reply_sync(message, Gio.DBusSendMessageFlags.NONE, 60000, None)
        times.append((time.perf_counter() - begin) * 1e6)
        answer.to_gerror()
    return times


def flooded(machine, kind, server, target, key, measure):
    process = spawn(0, [sys.executable, __file__, '--flood', machine.address, kind, server, *target, key],
                    stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == 'begun\n'
        return measure()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def show(name, idle, busy):
    def figures(times):
        return statistics.median(times), statistics.quantiles(times, n=100)[98], max(times)
    quiet, loud = figures(idle), figures(busy)
    print(f'{name:42}', *(f'{time:8.0f}' for time in (*quiet, *loud)),
          *(f'{slow / fast:6.1f}' for slow, fast in zip(loud[:2], quiet[:2])), flush=True)


def measure_row(machine, name, kind, server, target, attack, keys, calls):
    bob = machine.client(BOB)
    idle, busy = [], []
    for _ in range(ROUNDS):
        idle += waits(bob, server, target, keys[BOB], calls // ROUNDS)
        busy += flooded(machine, kind, server, attack, keys[ALICE],
                        lambda: waits(bob, server, target, keys[BOB], calls // ROUNDS))
        iterate_until(lambda: waits(bob, server, target, keys[BOB], 1), 'the flood has gone by')
    show(name, idle, busy)


def main(calls):
    with new_machine(config={'Limits': {'ParametersPerSecond': 100}}, environment={'G_MESSAGES_DEBUG': ''}) as machine:
        echo = spawn(0, [PROGRAMS / 'echo-server', machine.address])
        iterate_until(lambda: machine.owned(ECHO_NAME), 'the echo server has its name')
        keys = {user: machine.client(user).own_key() for user in (ALICE, BOB)}
        print(f'{"microseconds":42}', *(f'{word:>8}' for word in ('idle', 'p99', 'longest', 'flooded', 'p99', 'longest')),
              f'{"ratio":>6} {"p99":>6}')
        for name, kind in (('LD-01: 3,000 calls without an answer', 'silent'),
                           ('LD-02: 400 calls of 1 MB without one', 'long'),
                           ('256 calls of Encrypt always under way', 'calls')):
            measure_row(machine, name, kind, BUS_NAME, ENCRYPT, ENCRYPT, keys, calls)
            measure_row(machine, '  the same of the echo server', kind, ECHO_NAME, ECHO, ECHO, keys, calls)
        measure_row(machine, 'LD-03: 256 GetParametersForImport always', 'pairs', BUS_NAME, ENCRYPT,
                    (f'{BUS_NAME}.Import', 'GetParametersForImport'), keys, calls)
        echo.kill()
        echo.wait()


if __name__ == '__main__':
    if sys.argv[1:2] == ['--flood']:
        flood(*sys.argv[2:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

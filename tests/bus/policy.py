# SPDX-License-Identifier: Apache-2.0
"""polkit on a machine's private bus, answering as a test wants: for what the real one cannot be made to do - stay silent, answer
nonsense, answer late - and for what it was asked, to the letter. What real rules, sessions and agents do is tested where
polkit itself runs: tests/system.

    with policed_machine() as (machine, policy):
        policy.answer = challenge             # question -> (yes, challenge, details), SILENCE, FAILURE, or any GLib.Variant
        machine.client(ALICE).CreateKey()
        assert policy.questions[-1].action == 'org.cmkd.Kms1.manage-own-keys'
"""
import contextlib
import os
import threading
from dataclasses import dataclass

from gi.repository import Gio, GLib

from harness import new_machine

NAME = 'org.freedesktop.PolicyKit1'
PATH = '/org/freedesktop/PolicyKit1/Authority'
INTERFACE = 'org.freedesktop.PolicyKit1.Authority'
SILENCE = object()
FAILURE = object()  # what polkit answers for an action whose policy file it could not read, or for a sender that has left
ACTION = 'org.cmkd.Kms1.'

INTROSPECTION = f'''<node><interface name="{INTERFACE}">
<method name="CheckAuthorization"><arg direction="in" type="(sa{{sv}})"/><arg direction="in" type="s"/>
<arg direction="in" type="a{{ss}}"/><arg direction="in" type="u"/><arg direction="in" type="s"/>
<arg direction="out" type="(bba{{ss}})"/></method>
<method name="CancelCheckAuthorization"><arg direction="in" type="s"/></method>
<signal name="Changed"/></interface></node>'''


@dataclass
class Question:
    subject: tuple  # kind, details
    action: str     # without the prefix that all have
    details: dict
    interactive: bool
    cancellation_id: str


def yes(_question):
    return True, False, {}


def no(_question):
    return False, False, {}


def challenge(_question):
    return False, True, {}


class Policy(threading.Thread):
    """On a thread of its own, for the tests' calls block theirs."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.context = GLib.MainContext()
        self.loop = GLib.MainLoop(self.context)
        self.answer = yes
        self.questions = []
        self.cancelled = []
        self.waiting = []  # invocations that were met with silence
        self.asked = threading.Condition()
        self.connection = None
        self.address = address
        ready = threading.Event()
        self.ready = ready
        self.start()
        assert ready.wait(60)

    def run(self):
        self.context.push_thread_default()
        self.connection = Gio.DBusConnection.new_for_address_sync(
            self.address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
            | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self.connection.set_exit_on_close(False)
        self.connection.register_object(PATH, Gio.DBusNodeInfo.new_for_xml(INTROSPECTION).interfaces[0],
                                        self.on_call, None, None)
        self.connection.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                                  'RequestName', GLib.Variant('(su)', (NAME, 0)), None, Gio.DBusCallFlags.NONE, -1,
                                  None)
        self.ready.set()
        self.loop.run()

    def on_call(self, _connection, _sender, _path, _interface, method, arguments, invocation):
        if method == 'CancelCheckAuthorization':
            self.cancelled.append(arguments.unpack()[0])
            invocation.return_value(None)
            return
        subject, action, details, flags, cancellation_id = arguments.unpack()
        assert action.startswith(ACTION), action
        question = Question(subject, action.removeprefix(ACTION), details, bool(flags & 1), cancellation_id)
        answer = self.answer(question)
        with self.asked:
            self.questions.append(question)
            self.asked.notify_all()
        if answer is SILENCE:
            self.waiting.append(invocation)
        elif answer is FAILURE:
            invocation.return_dbus_error('org.freedesktop.PolicyKit1.Error.Failed', f'{action} is not registered')
        elif isinstance(answer, GLib.Variant):
            self.send_raw(invocation, answer)
        else:
            invocation.return_value(GLib.Variant('((bba{ss}))', (answer,)))

    def send_raw(self, invocation, body):
        """An answer of any form."""
        reply = Gio.DBusMessage.new_method_reply(invocation.get_message())
        reply.set_body(body)
        self.connection.send_message(reply, Gio.DBusSendMessageFlags.NONE)

    def wait_for_questions(self, number):
        with self.asked:
            assert self.asked.wait_for(lambda: len(self.questions) >= number, 60), 'cmkd did not ask'

    def answer_late(self, answer):
        """To all that were met with silence."""
        for invocation in self.waiting:
            invocation.return_value(GLib.Variant('((bba{ss}))', (answer,)))
        self.waiting.clear()

    def tell_changed(self):
        self.connection.emit_signal(None, PATH, INTERFACE, 'Changed', None)

    def leave(self):
        if not self.connection.is_closed():
            self.connection.close_sync(None)

    def close(self):
        self.leave()
        self.loop.quit()
        self.join()


def put_on_system_bus(machine):
    """@machine's bus is the system bus to its cmkd."""
    machine.environment['DBUS_SYSTEM_BUS_ADDRESS'] = machine.address
    bare = machine.command

    def command(**options):
        words = bare(**options)
        return ['--system' if word.startswith('--bus-address=') else word for word in words] + ['--idle-timeout=0']
    machine.command = command


@contextlib.contextmanager
def policed_machine(**options):
    """A machine with cmkd on its system bus, and polkit there."""
    with new_machine(**options) as machine:
        policy = Policy(machine.address)
        machine.stop()
        put_on_system_bus(machine)
        machine.start()
        try:
            yield machine, policy
        finally:
            policy.close()

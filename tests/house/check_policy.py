# SPDX-License-Identifier: Apache-2.0
"""What is installed to say who may (AU-06): the polkit actions are those that cmkd asks about, all of them and no others, and
the bus lets nobody but its user own the name and everybody call what is in the contract."""
import re
import xml.etree.ElementTree as tree

import tap

source = tap.SOURCE
NAME = 'org.cmkd.Kms1'
STANDARD = {'org.freedesktop.DBus.Introspectable', 'org.freedesktop.DBus.Peer', 'org.freedesktop.DBus.Properties'}

policy = tree.parse(source / 'dbus' / f'{NAME}.policy').getroot()
bus = tree.parse(source / 'dbus' / f'{NAME}.conf').getroot()
contract = tree.parse(source / 'dbus' / f'{NAME}.xml').getroot()
actions = policy.findall('action')
RESULTS = {'yes', 'no', 'auth_self', 'auth_self_keep', 'auth_admin', 'auth_admin_keep'}


def actions_are_those_of_the_daemon():
    asked = set(re.findall(r'PREFIX "([a-z-]+)"', (source / 'daemon/bus/actions.c').read_text()))
    described = {action.get('id').removeprefix(f'{NAME}.') for action in actions}
    return [] if asked == described else [f'asked about {asked}, described {described}']


def actions_are_complete():
    problems = []
    for action in actions:
        defaults = {child.tag: child.text for child in action.find('defaults')}
        if set(defaults) != {'allow_any', 'allow_inactive', 'allow_active'} or not set(defaults.values()) <= RESULTS:
            problems.append(f"{action.get('id')}: defaults {defaults}")
        owners = [note.text for note in action.findall('annotate') if note.get('key') == 'org.freedesktop.policykit.owner']
        if owners != ['unix-user:cmkd']:
            problems.append(f"{action.get('id')}: polkit would not let cmkd ask")
        if not (action.findtext('description') and action.findtext('message')):
            problems.append(f"{action.get('id')}: nobody is told what it is about")
    return problems


def others_keys_are_closed():
    defaults = {child.text for action in actions if action.get('id').endswith('.manage-others-keys')
                for child in action.find('defaults')}
    return [] if defaults == {'no'} else [f'manage-others-keys: {defaults}']


def methods_have_one_rule_each():
    """That each is refused when polkit says no, tests/bus/test_polkit.py shows, method by method."""
    methods = [method.get('name') for interface in contract.findall('interface') for method in interface.findall('method')]
    rules = re.findall(r'^  \{ "(\w+)", CMK_ACTION_', (source / 'daemon/bus/actions.c').read_text(), re.MULTILINE)
    return [] if sorted(methods) == sorted(rules) else [
        f'without a rule: {set(methods) - set(rules)}; of no method: {set(rules) - set(methods)}; '
        f'twice: { {rule for rule in rules if rules.count(rule) > 1} }']


def name_is_owned_by_its_user_alone():
    owners = [(element.get('user'), element.get('context')) for element in bus.findall('policy')
              if element.findall('allow[@own]')]
    return [] if owners == [('cmkd', None)] else [f'may own {NAME}: {owners}']


def bus_carries_the_contract():
    allowed = {rule.get('send_interface') for rule in bus.findall('policy[@context="default"]/allow')}
    wanted = {interface.get('name') for interface in contract.findall('interface')} | STANDARD
    return [] if allowed == wanted else [f'allowed {allowed}, wanted {wanted}']


def properties_cannot_be_set():
    members = {rule.get('send_member') for rule in bus.findall('policy[@context="default"]/allow')
               if rule.get('send_interface') == 'org.freedesktop.DBus.Properties'}
    return [] if members == {'Get', 'GetAll'} else [f'of Properties: {members}']


def bus_carries_calls_alone():
    """A signal that somebody sends to cmkd would be read."""
    types = {rule.get('send_type') for rule in bus.findall('policy[@context="default"]/allow')}
    return [] if types == {'method_call'} else [f'of types: {types}']


tap.report([actions_are_those_of_the_daemon, actions_are_complete, others_keys_are_closed, methods_have_one_rule_each,
            name_is_owned_by_its_user_alone, bus_carries_the_contract, bus_carries_calls_alone,
            properties_cannot_be_set])

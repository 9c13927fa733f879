# SPDX-License-Identifier: Apache-2.0
"""What is written about the program agrees with the program."""
import re

import tap


def read(name):
    return (tap.SOURCE / name).read_text()


def introspection_is_well_formed():
    status, text = tap.run('xmllint', '--noout', '--nonet', tap.SOURCE / 'dbus' / 'org.cmkd.Kms1.xml')
    return [] if status == 0 else [text]


def api_is_documented_and_up_to_date():
    status, text = tap.run(tap.SOURCE / 'scripts' / 'document-dbus-api', tap.SOURCE / 'dbus' / 'org.cmkd.Kms1.xml')
    if status != 0:
        return [text]
    return [] if text == read('docs/dbus-api.md') else [
        'docs/dbus-api.md is old: scripts/document-dbus-api dbus/org.cmkd.Kms1.xml > docs/dbus-api.md']


def every_error_is_documented():
    names = re.findall(r'#define CMKD_ERROR_(?!PREFIX)\w+\s+"(\w+)"', read('include/cmkd.h'))
    return [f'{name} is not in docs/dbus-api.md' for name in names if f'`{name}`' not in read('docs/dbus-api.md')] or (
        [] if names else ['no errors found in include/cmkd.h'])


def every_name_of_the_contract_is_documented():
    """Specs, usages, states, wrapping and other algorithms: the API document has each by its name."""
    names = [name for source in ('spec', 'algorithm')
             for name in re.findall(r'{ CMK_\w+, "(\w+)" }', read(f'daemon/base/{source}.c'))]
    return [f'{name} is not in docs/dbus-api.md' for name in names if f'`{name}`' not in read('docs/dbus-api.md')] or (
        [] if len(names) > 40 else ['no names found in daemon/base'])


def option_keys(text, pattern):
    group = None
    for line in text.splitlines():
        if match := re.match(r'\[(\w+)\]', line):
            group = match.group(1)
        elif match := re.match(pattern, line):
            yield (group, match.group(1))


def configuration_is_documented():
    """cmkd.conf(5), the example and the daemon name the same keys."""
    source = read('daemon/base/config.c')
    daemon = set(re.findall(r'{ "(\w+)", "(\w+)",', source))
    daemon |= set(re.findall(r'g_str_equal \(group, "(\w+)"\) && g_str_equal \(name, "(\w+)"\)', source))
    example = set(option_keys(read('config/cmkd.conf'), r'#?(\w+)='))
    page = re.sub(r'^\.SS ', '', read('docs/man/cmkd.conf.5'), flags=re.MULTILINE)
    manual = set(option_keys(page, r'\.BR? (\w+) ?='))
    return [f'{name}: {sorted(keys ^ daemon)} differ from daemon/base/config.c'
            for name, keys in (('config/cmkd.conf', example), ('docs/man/cmkd.conf.5', manual)) if keys != daemon] or (
        [] if daemon else ['no keys found in daemon/base/config.c'])


def options_are_documented():
    """cmkd(8) and the daemon name the same options."""
    daemon = set(re.findall(r'{ "([a-z-]+)", 0, 0, G_OPTION_ARG', read('daemon/main.c')))
    options = re.search(r'^\.SH OPTIONS$(.*?)^\.SH ', read('docs/man/cmkd.8'), re.MULTILINE | re.DOTALL).group(1)
    manual = set(re.findall(r'^\.BI? --([a-z-]+)', options.replace('\\-', '-'), re.MULTILINE))
    if not daemon:
        return ['no options found in daemon/main.c']
    return [f'only one of cmkd(8) and daemon/main.c has --{name}' for name in sorted(daemon ^ manual)]


def journal_is_explained():
    """Each id of a journal entry is in the catalog and in docs/audit.md, with no other, and used; and so is each field."""
    ids = re.findall(r'#define (CMKD_MESSAGE_\w+)\s+"([0-9a-f]{32})"', read('include/cmkd-journal.h'))
    known = sorted(text for _, text in ids)
    code = '\n'.join(path.read_text() for path in sorted((tap.SOURCE / 'daemon').rglob('*.c')))
    wrong = [f'nothing tells the journal {name}' for name, _ in ids if not re.search(rf'\b{name}\b', code)]
    if sorted(re.findall(r'^-- ([0-9a-f]{32})$', read('systemd/cmkd.catalog'), re.MULTILINE)) != known:
        wrong.append('systemd/cmkd.catalog and include/cmkd-journal.h have other ids')
    tables = dict.fromkeys(re.findall(r'^\| `([0-9a-f]{32})`', read('docs/audit.md'), re.MULTILINE))
    if sorted(tables) != known:
        wrong.append('docs/audit.md and include/cmkd-journal.h have other ids')
    fields = set(re.findall(r'"(CMKD_[A-Z_]+)",', code))
    wrong += [f'docs/audit.md does not have {field}' for field in fields if f'`{field}`' not in read('docs/audit.md')]
    return wrong if ids and fields else ['no ids found']


def manual_pages_render():
    wrong = []
    for page in [*sorted((tap.SOURCE / 'docs' / 'man').glob('*.[1-8]')), tap.BUILD / 'docs' / 'org.cmkd.Kms1.5']:
        status, text = tap.run('groff', '-t', '-man', '-Tutf8', '-ww', '-z', page, env={'LC_ALL': 'C.UTF-8'})
        if status != 0 or text:
            wrong.append(f'{page.name}: {text}')
    return wrong


def api_manual_has_every_member():
    page = (tap.BUILD / 'docs' / 'org.cmkd.Kms1.5').read_text().replace('\\-', '-')
    names = re.findall(r'<(?:interface|method|signal|property) name="([\w.]+)"', read('dbus/org.cmkd.Kms1.xml'))
    return [f'{name} has no heading' for name in names
            if not re.search(rf'^\.S[HS] (?:signal |property )?{name}\b', page, re.MULTILINE)] or (
        [] if len(names) > 30 else ['no members found'])


def anchors(page):
    """What a link into the page can name: its headings as GitHub spells them."""
    headings = re.findall(r'^#+ (.+)$', re.sub(r'^```.*?^```$', '', page.read_text(), flags=re.MULTILINE | re.DOTALL),
                          re.MULTILINE)
    return {re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-') for heading in headings}


def links_lead_somewhere():
    wrong = []
    for page in [*tap.SOURCE.glob('*.md'), *(tap.SOURCE / 'docs').glob('*.md')]:
        for target, anchor in re.findall(r'\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)', page.read_text()):
            there = page.parent / target if target else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                wrong.append(f'{page.name}: {target}#{anchor}')
    return wrong


tap.report([introspection_is_well_formed, api_is_documented_and_up_to_date, every_error_is_documented,
            every_name_of_the_contract_is_documented, configuration_is_documented, options_are_documented,
            journal_is_explained, manual_pages_render, api_manual_has_every_member,
            links_lead_somewhere])

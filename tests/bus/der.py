# SPDX-License-Identifier: Apache-2.0
"""As much of DER (X.690) as private keys need, so that tests can write what stock openssl would not."""

SEQUENCE, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x30, 0x02, 0x03, 0x04, 0x05, 0x06


def tlv(tag, *contents):
    content = b''.join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes(-(-size.bit_length() // 8), 'big')
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*elements):
    return tlv(SEQUENCE, *elements)


def integer(value):
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, 'big', signed=True))


def octets(content):
    return tlv(OCTET_STRING, content)


def oid(dotted):
    first, second, *rest = map(int, dotted.split('.'))
    content = b''
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7f]
        while arc := arc >> 7:
            groups.insert(0, arc & 0x7f | 0x80)
        content += bytes(groups)
    return tlv(OID, content)


def elements(data):
    """[(tag, content)] of the elements in @data, one after the other."""
    found = []
    while data:
        size, start = data[1], 2
        if size & 0x80:
            start += size & 0x7f
            size = int.from_bytes(data[2:start], 'big')
        found.append((data[0], data[start:start + size]))
        assert len(found[-1][1]) == size
        data = data[start + size:]
    return found


def inside(data):
    """The elements in the one constructed element that @data is."""
    (_, content), = elements(data)
    return elements(content)


def integers(data):
    """The numbers in a SEQUENCE of them."""
    return [int.from_bytes(content, 'big') for tag, content in inside(data) if tag == INTEGER]

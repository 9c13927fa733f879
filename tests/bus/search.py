# SPDX-License-Identifier: Apache-2.0
"""Looking for secrets where none may be: in raw, hex and Base64, and in both byte orders where they are numbers."""
import base64
import math
import struct
import subprocess
import tempfile

from client import b64, modulus, unb64
from ring import Ring
from state import derived_key, erasure_keys, meta, open_envelope, reveal, root_secret, row_of_key, row_of_set, unseal

PIECE = 16  # a part of a secret is one, too: of each the head, the middle and the tail are looked for
PAGE = 4096
LOADED, WRITABLE = 1, 2  # PT_LOAD and PF_W of an ELF program header


def pieces(secret):
    middle = (len(secret) - PIECE) // 2
    return {secret[:PIECE], secret[middle:middle + PIECE], secret[-PIECE:]}


def base64_forms(piece):
    """As it looks inside of a longer text: at three alignments, without the characters that its neighbours share."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + piece)
        first = -(-before * 8 // 6)
        yield text[first:(before + len(piece)) * 8 // 6]


def forms(secret):
    """{what: bytes}; a number is taken as a program may keep it."""
    variants = {'': secret}
    if isinstance(secret, int):
        number = secret.to_bytes(-(-secret.bit_length() // 8), 'big')
        variants = {'big-endian ': number, 'little-endian ': number[::-1]}
    for order, value in variants.items():
        for piece in pieces(value):
            yield f'{order}raw', piece
            yield f'{order}hex', piece.hex().encode()
            yield f'{order}HEX', piece.hex().upper().encode()
            for text in base64_forms(piece):
                yield f'{order}Base64', text


def find(secrets, data):
    """Which of {name: secret} are in @data, and how."""
    return sorted({f'{name}, {form}' for name, secret in secrets.items() for form, value in forms(secret)
                   if value in data})


# The secrets of a machine, as somebody gets at them who has its disk and its TPM.

def secrets_of_store(machine):
    purposes = ('row', 'import-token', 'marker', 'context', 'nv-index', 'erasure')
    current, following = erasure_keys(machine)
    return {'data key of the root': unseal(machine, meta(machine, 'root-sealed-key')), 'root': root_secret(machine),
            'root key of erasure': current, 'next root key of erasure': following,
            **{purpose: derived_key(machine, purpose) for purpose in purposes}}


def secrets_of_material(machine, key, material):
    row = row_of_key(machine, key)
    data_key = unseal(machine, row['sealed_key'])
    assert open_envelope(data_key, reveal(machine, row['envelope'])) == material
    return {'material': material, 'data key of the material': data_key}


def private_numbers(spec, encoded):
    """The secret ones of a private key as cmkd keeps it, docs/record-format.md, and the modulus or the public point."""
    if spec.startswith('EC'):
        size = (len(encoded) - 1) // 3
        return {'scalar': int.from_bytes(encoded[:size], 'little')}, encoded[size:]
    e, size, rest = int.from_bytes(encoded[:8], 'little'), int(spec[4:]) // 16, encoded[8:]
    p, q, coefficient = (int.from_bytes(rest[place:place + size], 'little') for place in range(0, len(rest), size))
    assert coefficient * q % p == 1
    return {'p': p, 'q': q, '1/q mod p': coefficient, 'd mod p-1': pow(e, -1, p - 1), 'd mod q-1': pow(e, -1, q - 1),
            'd mod lambda (n)': pow(e, -1, math.lcm(p - 1, q - 1)),
            'd mod phi (n)': pow(e, -1, (p - 1) * (q - 1))}, p * q


def secrets_of_pair(machine, parameters):
    row = row_of_set(machine, unb64(parameters['ImportToken'])[17:33])
    data_key = unseal(machine, row['sealed_key'])
    numbers, public = private_numbers(parameters['WrappingKeySpec'], open_envelope(data_key, reveal(machine, row['envelope'])))
    der = unb64(parameters['PublicKey'])
    assert public == (der[-65:] if parameters['WrappingKeySpec'] == 'EC_SM2' else modulus(parameters['PublicKey']))
    return {'data key of the pair': data_key, **{f'{name} of the pair': number for name, number in numbers.items()}}


def secrets_of_private_key(machine, cmk, public_key):
    """Of an asymmetric CMK with this DER SubjectPublicKeyInfo."""
    spec, row = machine.client(0).describe(cmk)['KeySpec'], row_of_key(machine, cmk)
    data_key = unseal(machine, row['sealed_key'])
    numbers, public = private_numbers(spec, open_envelope(data_key, reveal(machine, row['envelope'])))
    assert public == (public_key[-len(public):] if spec.startswith('EC') else modulus(b64(public_key)))
    return {'data key of the material': data_key, **numbers}


# The places.

def read_state(machine):
    return b''.join(path.read_bytes() for path in sorted(machine.state.iterdir()))


def read_keyring(machine):
    ring = Ring(machine)
    return b''.join(ring.read(serial) for serial in ring.entries())


def read_core(machine):
    """What is in the writable memory of a core dump, without the empty pages."""
    with tempfile.TemporaryDirectory(dir='/tmp') as directory:
        subprocess.run(['gdb', '-nx', '-batch', '-p', str(machine.daemon.pid), '-ex', f'gcore {directory}/core'],
                       check=True, capture_output=True)
        with open(f'{directory}/core', 'rb') as core:
            header = core.read(64)
            offset, = struct.unpack_from('<Q', header, 32)
            size, number = struct.unpack_from('<HH', header, 54)
            core.seek(offset)
            segments = [struct.unpack_from('<IIQQQQ', core.read(size)) for _ in range(number)]
            return b''.join(page for kind, flags, position, _, _, length in segments
                            if kind == LOADED and flags & WRITABLE for page in pages(core, position, length))


def pages(file, position, length):
    file.seek(position)
    for _ in range(length // PAGE):
        page = file.read(PAGE)
        if page.count(0) < PAGE:
            yield page

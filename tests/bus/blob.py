# SPDX-License-Identifier: Apache-2.0
"""A ciphertext blob made without cmkd, by docs/ciphertext-format.md: stock openssl encrypts and authenticates; the hash
of GCM, which its command line does not have, is written down here. scripts/open-blob is the way back."""
import hmac
import os
import uuid

from client import b64, openssl

SUITES = {'AES_256': 1, 'SM4': 2}


def derive(key, label, context, size):
    """SP 800-108, counter mode."""
    blocks = (hmac.digest(key, counter.to_bytes(4, 'big') + label + b'\0' + context + (8 * size).to_bytes(4, 'big'),
                          'sha256') for counter in range(1, 2 + size // 32))
    return b''.join(blocks)[:size]


def encrypt(cipher, key, iv, data):
    return openssl('enc', f'-{cipher}', '-nopad', '-K', key.hex(), *(['-iv', iv.hex()] if iv else []), stdin=data)


def product(left, right):
    """In the field of GCM, whose bits count from the left (SP 800-38D, 6.3)."""
    result = 0
    for bit in range(127, -1, -1):
        result ^= right if left >> bit & 1 else 0
        right = right >> 1 ^ (0xe1 << 120 if right & 1 else 0)
    return result


def gcm_tag(key, iv, header, ciphertext):
    def padded(data):
        return data + bytes(-len(data) % 16)

    hash_key, first = (encrypt('aes-256-ecb', key, None, block) for block in (bytes(16), iv + b'\0\0\0\1'))
    data = padded(header) + padded(ciphertext) + b''.join((8 * len(part)).to_bytes(8, 'big')
                                                          for part in (header, ciphertext))
    state = 0
    for place in range(0, len(data), 16):
        state = product(state ^ int.from_bytes(data[place:place + 16], 'big'), int.from_bytes(hash_key, 'big'))
    return (state ^ int.from_bytes(first, 'big')).to_bytes(16, 'big')


def seal_blob(spec, key_id, material, plaintext):
    """Without an encryption context."""
    start = bytes([SUITES[spec]]) + uuid.UUID(key_id).bytes + os.urandom(16)
    message_key = derive(material, b'cmkd/v1/message', start, 32)
    keys = derive(message_key, b'cmkd/v1/expand', b'', 76 if spec == 'AES_256' else 96)
    header = b'CMK\1' + start + keys[-32:]
    if spec == 'AES_256':
        key, iv = keys[:32], keys[32:44]
        ciphertext = encrypt('aes-256-ctr', key, iv + b'\0\0\0\2', plaintext)
        return b64(header + ciphertext + gcm_tag(key, iv, header, ciphertext))
    ciphertext = encrypt('sm4-ctr', keys[:16], keys[16:32], plaintext)
    tag = openssl('mac', '-binary', '-digest', 'SM3', '-macopt', f'hexkey:{keys[32:64].hex()}', 'HMAC',
                  stdin=header + bytes(8) + ciphertext)
    return b64(header + ciphertext + tag)

# SPDX-License-Identifier: Apache-2.0
"""Encrypt, Decrypt, ReEncrypt and the data keys."""
import os
import subprocess

import pytest
from gi.repository import GLib

from client import MATERIAL_SIZE, SOURCE_ROOT, UNKNOWN_KEY, b64, refused, unb64

MAX_PLAINTEXT, MAX_CONTEXT, MAX_DATA_KEY = 6144, 8192, 1024


@pytest.fixture(scope='module', params=['CMKD_KMS AES_256', 'CMKD_KMS SM4', 'EXTERNAL AES_256', 'EXTERNAL SM4'])
def key(request, kms):
    origin, spec = request.param.split()
    return kms.own_key(KeySpec=spec) if origin == 'CMKD_KMS' else kms.imported_key(spec=spec)


def encrypt(kms, key, data, **options):
    return kms.Encrypt(key, b64(data), **options)['CiphertextBlob']


def decrypt(kms, blob, **options):
    return unb64(kms.Decrypt(blob, **options)['Plaintext'])


@pytest.mark.parametrize('size', [1, 15, 16, 17, 4096, MAX_PLAINTEXT])
def test_bi_14_plaintext_sizes(kms, key, size):
    data = os.urandom(size)
    assert decrypt(kms, encrypt(kms, key, data)) == data


@pytest.mark.parametrize('size', [0, MAX_PLAINTEXT + 1, 60_000])
def test_vendors_87_bi_14_plaintext_out_of_range(kms, key, size):
    with refused('InvalidParameter') as refusal:
        encrypt(kms, key, bytes(size))
    assert 'plaintext' in refusal.message
    assert size == 0 or '6144' in refusal.message


def test_answers_name_the_key(kms, key):
    encrypted = kms.Encrypt(key, b64(b'x'))
    assert encrypted['KeyId'] == key
    assert kms.Decrypt(encrypted['CiphertextBlob'])['KeyId'] == key
    assert kms.Decrypt(encrypted['CiphertextBlob'], KeyId=key)['KeyId'] == key


def test_equal_messages_have_different_blobs(kms, key):
    blobs = {encrypt(kms, key, b'same') for _ in range(50)}
    assert len(blobs) == 50
    tails = {unb64(blob)[-20:] for blob in blobs}
    assert len(tails) == 50


CONTEXT = {'purpose': 'test', 'owner': 'ü', 'empty': ''}


def test_vendors_89_bi_15_order_of_the_context_does_not_matter(kms, key):
    blob = encrypt(kms, key, b'x', EncryptionContext=CONTEXT)
    for names in (sorted(CONTEXT), sorted(CONTEXT, reverse=True)):
        assert decrypt(kms, blob, EncryptionContext={name: CONTEXT[name] for name in names}) == b'x'


@pytest.mark.parametrize('other', [
    {}, {**CONTEXT, 'more': ''}, {**CONTEXT, 'purpose': 'Test'}, {**CONTEXT, 'owner': 'u'},
    {name: CONTEXT[name] for name in ('purpose', 'owner')}, {'purposet': 'est', 'owner': 'ü', 'empty': ''},
    {'Purpose': 'test', 'owner': 'ü', 'empty': ''}, {'purpose': 'ü', 'owner': 'test', 'empty': ''},
], ids=str)
def test_vendors_88_another_context(kms, key, other):
    blob = encrypt(kms, key, b'x', EncryptionContext=CONTEXT)
    with refused('InvalidCiphertext'):
        kms.Decrypt(blob, EncryptionContext=other)
    with refused('InvalidCiphertext'):
        kms.ReEncrypt(blob, key, SourceEncryptionContext=other)


def test_bi_15_an_empty_context_is_none(kms, key):
    assert decrypt(kms, encrypt(kms, key, b'x', EncryptionContext={})) == b'x'
    assert decrypt(kms, encrypt(kms, key, b'x'), EncryptionContext={}) == b'x'


@pytest.mark.parametrize('context', [
    {'n' * 4096: 'v' * 4096}, {'n': 'ü' * 4095 + 'v'}, {'n' * MAX_CONTEXT: ''},
    {f'{number:04}': '1234' for number in range(1024)},
], ids=len)
def test_bi_15_largest_context(kms, key, context):
    assert decrypt(kms, encrypt(kms, key, b'x', EncryptionContext=context), EncryptionContext=context) == b'x'


@pytest.mark.parametrize('context', [
    {'': 'no name'}, {'n' * 4096: 'v' * 4097}, {'n': 'ü' * 4096}, {f'{number:04}': '1234' for number in range(1025)},
    GLib.Variant('a{sv}', {'name': GLib.Variant('s', 'value')}), GLib.Variant('a{si}', {'name': 1}),
    GLib.Variant('s', '{}'), GLib.Variant('as', ['name']),
    GLib.Variant.new_array(GLib.VariantType('{ss}'), [GLib.Variant('{ss}', pair) for pair in [('a', 'b'), ('a', 'c')]]),
], ids=lambda context: str(context)[:40])
def test_vendors_90_bi_15_contexts_that_are_none(kms, key, context):
    blob = encrypt(kms, key, b'x')
    for call in (lambda: kms.Encrypt(key, b64(b'x'), EncryptionContext=context),
                 lambda: kms.Decrypt(blob, EncryptionContext=context),
                 lambda: kms.GenerateDataKey(key, EncryptionContext=context)):
        with refused('InvalidParameter') as refusal:
            call()
        assert 'EncryptionContext' in refusal.message


@pytest.mark.parametrize('options, size', [
    ({}, 32), ({'KeySpec': 'AES_256'}, 32), ({'KeySpec': 'AES_128'}, 16), ({'NumberOfBytes': 1}, 1),
    ({'NumberOfBytes': MAX_DATA_KEY}, MAX_DATA_KEY), ({'NumberOfBytes': 48, 'KeySpec': 'AES_128'}, 48),
], ids=str)
def test_vendors_91_data_keys(kms, key, options, size):
    answer = kms.GenerateDataKey(key, EncryptionContext=CONTEXT, **options)
    plaintext = unb64(answer['Plaintext'])
    assert (answer['KeyId'], len(plaintext)) == (key, size)
    assert decrypt(kms, answer['CiphertextBlob'], EncryptionContext=CONTEXT) == plaintext
    without = kms.GenerateDataKeyWithoutPlaintext(key, EncryptionContext=CONTEXT, **options)
    assert 'Plaintext' not in without
    assert len(decrypt(kms, without['CiphertextBlob'], EncryptionContext=CONTEXT)) == size


@pytest.mark.parametrize('options', [
    {'NumberOfBytes': 0}, {'NumberOfBytes': MAX_DATA_KEY + 1}, {'NumberOfBytes': 2**32 - 1},
    {'NumberOfBytes': GLib.Variant('i', -1)}, {'NumberOfBytes': GLib.Variant('s', '32')},
    {'KeySpec': 'SM4'}, {'KeySpec': 'AES_192'}, {'KeySpec': ''},
], ids=str)
def test_vendors_91_bi_17_data_keys_out_of_range(kms, key, options):
    for method in (kms.GenerateDataKey, kms.GenerateDataKeyWithoutPlaintext):
        with refused('InvalidParameter') as refusal:
            method(key, **options)
        assert next(iter(options)) in refusal.message


def test_vendors_92_bi_16_every_bit_and_every_length_counts(kms, key):
    blob = unb64(encrypt(kms, key, b'secret'))
    altered = [blob[:size] for size in range(1, len(blob))] + [blob + b'\0', blob * 2, blob[1:]]
    for bit in range(len(blob) * 8):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        altered.append(bytes(flipped))
    messages = set()
    for wrong in altered:
        with refused('InvalidCiphertext') as refusal:
            kms.Decrypt(b64(wrong))
        messages.add(refusal.message)
    assert len(messages) == 1
    assert decrypt(kms, b64(blob)) == b'secret'


def test_bi_16_no_blob_by_its_form(kms):
    for text in ('', '*', 'AAA', 'AA=\n'):
        with refused('InvalidParameter'):
            kms.Decrypt(text)
    for blob in (b'\0', os.urandom(200), bytes(200), os.urandom(20_000)):
        with refused('InvalidCiphertext'):
            kms.Decrypt(b64(blob))


def test_decrypt_with_a_key_id(kms, key):
    blob, other = encrypt(kms, key, b'x'), kms.own_key()
    for key_id, error in [(other, 'InvalidCiphertext'), (UNKNOWN_KEY, 'KeyNotFound'),
                          ('alias/unknown', 'AliasNotFound'), ('', 'InvalidParameter'),
                          (key.upper(), 'InvalidParameter')]:
        with refused(error):
            kms.Decrypt(blob, KeyId=key_id)
    kms.DisableKey(other)  # what counts is the state of the blob's key
    with refused('InvalidCiphertext'):
        kms.Decrypt(blob, KeyId=other)


def test_re_encrypt(kms, key):
    other = kms.own_key()
    blob = encrypt(kms, key, b'moved', EncryptionContext={'a': 'b'})
    answer = kms.ReEncrypt(blob, other, SourceEncryptionContext={'a': 'b'}, DestinationEncryptionContext={'c': 'd'})
    assert (answer['KeyId'], answer['SourceKeyId']) == (other, key)
    assert decrypt(kms, answer['CiphertextBlob'], EncryptionContext={'c': 'd'}, KeyId=other) == b'moved'
    same = kms.ReEncrypt(answer['CiphertextBlob'], other, SourceEncryptionContext={'c': 'd'})['CiphertextBlob']
    assert same != answer['CiphertextBlob'] and decrypt(kms, same) == b'moved'


def test_re_encrypt_checks_the_source_first(kms, key):
    waiting, disabled = kms.external_key(), kms.own_key()
    blob, of_disabled = encrypt(kms, key, b'x'), encrypt(kms, disabled, b'x')
    kms.DisableKey(disabled)
    for source, destination, error in [
            (of_disabled, waiting, 'KeyDisabled'), (blob, waiting, 'KeyPendingImport'), (blob, disabled, 'KeyDisabled'),
            (b64(bytes(100)), waiting, 'InvalidCiphertext'), (blob, UNKNOWN_KEY, 'KeyNotFound'),
            (b64(bytes(100)), 'nonsense', 'InvalidParameter'), ('', waiting, 'InvalidParameter')]:
        with refused(error):
            kms.ReEncrypt(source, destination)


def test_blobs_outlive_restart_kill_and_reboot(machine, kms, key):
    blob = encrypt(kms, key, b'kept', EncryptionContext=CONTEXT)
    for again in (machine.restart, lambda: (machine.kill(), machine.start()), machine.reboot):
        again()
        assert decrypt(kms, blob, EncryptionContext=CONTEXT) == b'kept'
        blob = encrypt(kms, key, b'kept', EncryptionContext=CONTEXT)


@pytest.mark.parametrize('spec', ['AES_256', 'SM4'])
def test_who_has_the_material_opens_a_blob_with_openssl_alone(kms, spec, tmp_path):
    material = os.urandom(MATERIAL_SIZE[spec])
    (tmp_path / 'material').write_bytes(material)
    blob = encrypt(kms, kms.imported_key(material, spec=spec), b'without cmkd', EncryptionContext={'b': '2', 'a': '1'})
    done = subprocess.run([SOURCE_ROOT / 'scripts' / 'open-blob', tmp_path / 'material', 'a=1', 'b=2'],
                          input=blob.encode(), check=True, capture_output=True)
    assert done.stdout == b'without cmkd'

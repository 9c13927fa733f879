# SPDX-License-Identifier: Apache-2.0
"""GenerateMac and VerifyMac, with stock openssl on the other side."""
import os

import pytest

from client import UNKNOWN_KEY, b64, refused, unb64
from harness import BOB
from openssl_keys import MAC, key_of
from wrapping import import_key

MAX_MESSAGE, MAX_CHARACTERS = 6144, 8192
MESSAGE = b'a message'


@pytest.fixture(scope='module', params=MAC)
def spec(request):
    return request.param


@pytest.fixture(scope='module')
def cmk(kms, spec):
    return import_key(kms, key_of(spec))


@pytest.mark.parametrize('size', [1, 31, 63, 64, 65, 127, 128, 129, MAX_MESSAGE])
def test_macs_both_ways(kms, spec, cmk, size):
    key, message = key_of(spec), os.urandom(size)
    answer = kms.GenerateMac(cmk, b64(message), MAC[spec])
    assert (answer['KeyId'], unb64(answer['Mac'])) == (cmk, key.mac(message))
    assert kms.VerifyMac(cmk, b64(message), b64(key.mac(message)), MAC[spec])['MacValid'] is True


def test_what_is_no_mac(kms, spec, cmk):
    good = key_of(spec).mac(MESSAGE)
    wrong = [b'\0', good[:-1], good + b'\0', good[1:], bytes(len(good)), good * 2, os.urandom(len(good)),
             key_of(spec, 1).mac(MESSAGE), key_of(spec).mac(MESSAGE + b'.'), os.urandom(MAX_MESSAGE)]
    wrong += [good[:place] + bytes([good[place] ^ 1]) + good[place + 1:] for place in range(len(good))]
    for mac in wrong:
        assert kms.VerifyMac(cmk, b64(MESSAGE), b64(mac), MAC[spec])['MacValid'] is False
    answer = kms.VerifyMac(cmk, b64(MESSAGE), b64(good), MAC[spec])
    assert (answer['KeyId'], answer['MacValid']) == (cmk, True)


@pytest.mark.parametrize('size', [0, MAX_MESSAGE + 1, 60_000])
def test_bi_14_messages_out_of_range(kms, spec, cmk, size):
    for call in (lambda: kms.GenerateMac(cmk, b64(bytes(size)), MAC[spec]),
                 lambda: kms.VerifyMac(cmk, b64(bytes(size)), 'AAAA', MAC[spec])):
        with refused('InvalidParameter') as refusal:
            call()
        assert 'message' in refusal.message
        assert size == 0 or str(MAX_MESSAGE) in refusal.message or str(MAX_CHARACTERS) in refusal.message


def test_what_is_not_base64(kms, spec, cmk):
    for text in ('', '*', 'AAA', 'AA=\n', 'AAB='):
        for call in (lambda: kms.GenerateMac(cmk, text, MAC[spec]), lambda: kms.VerifyMac(cmk, text, 'AAAA', MAC[spec]),
                     lambda: kms.VerifyMac(cmk, 'AAAA', text, MAC[spec])):
            with refused('InvalidParameter'):
                call()


@pytest.mark.parametrize('algorithm, error', [
    ('', 'InvalidParameter'), ('HMAC_SHA_1', 'InvalidParameter'), ('hmac_sha_256', 'InvalidParameter'),
    ('HMAC_256', 'InvalidParameter'), ('RSA_PSS_SHA_256', 'InvalidParameter'), ('x' * 100_000, 'InvalidParameter'),
    *((algorithm, 'UnsupportedOperation') for algorithm in MAC.values()),
])
def test_algorithms_that_are_not_the_keys(kms, spec, cmk, algorithm, error):
    if algorithm == MAC[spec]:
        kms.GenerateMac(cmk, b64(MESSAGE), algorithm)
        return
    for call in (lambda: kms.GenerateMac(cmk, b64(MESSAGE), algorithm),
                 lambda: kms.VerifyMac(cmk, b64(MESSAGE), b64(MESSAGE), algorithm)):
        with refused(error) as refusal:
            call()
        assert len(refusal.message) < 500


@pytest.mark.parametrize('other', ['AES_256', 'SM4', 'EC_P256'])
def test_vendors_96_keys_that_make_no_macs(kms, other):
    for cmk in (kms.own_key(KeySpec=other), kms.external_key(KeySpec=other)):
        for call in (lambda: kms.GenerateMac(cmk, b64(MESSAGE), 'HMAC_SHA_256'),
                     lambda: kms.VerifyMac(cmk, b64(MESSAGE), b64(MESSAGE), 'HMAC_SHA_256')):
            with refused('UnsupportedOperation'):
                call()


def test_vendors_96_macs_are_all_that_the_key_makes(kms, cmk):
    for call in (lambda: kms.Encrypt(cmk, b64(MESSAGE)), lambda: kms.GenerateDataKey(cmk),
                 lambda: kms.GenerateDataKeyWithoutPlaintext(cmk), lambda: kms.GetPublicKey(cmk),
                 lambda: kms.ReEncrypt(kms.Encrypt(kms.own_key(), b64(MESSAGE))['CiphertextBlob'], cmk),
                 lambda: kms.Sign(cmk, b64(MESSAGE), 'ECDSA_SHA_256')):
        with refused('UnsupportedOperation'):
            call()


def test_keys_that_are_not_there_or_not_yours(machine, kms, spec, cmk):
    for client, key, error in [(kms, UNKNOWN_KEY, 'KeyNotFound'), (machine.client(BOB), cmk, 'KeyNotFound'),
                               (kms, 'alias/unknown', 'AliasNotFound'), (kms, 'nonsense', 'InvalidParameter')]:
        for call in (lambda: client.GenerateMac(key, b64(MESSAGE), MAC[spec]),
                     lambda: client.VerifyMac(key, b64(MESSAGE), b64(MESSAGE), MAC[spec])):
            with refused(error):
                call()


def test_keys_that_cmkd_made(machine, kms, spec):
    own, other = kms.own_key(KeySpec=spec), kms.own_key(KeySpec=spec)
    assert kms.describe(own)['KeyUsage'] == 'GENERATE_VERIFY_MAC'
    mac = kms.GenerateMac(own, b64(MESSAGE), MAC[spec])['Mac']
    assert kms.GenerateMac(other, b64(MESSAGE), MAC[spec])['Mac'] != mac
    for again in (machine.restart, lambda: (machine.kill(), machine.start()), machine.reboot):
        again()
        assert kms.VerifyMac(own, b64(MESSAGE), mac, MAC[spec])['MacValid'] is True
        assert kms.VerifyMac(other, b64(MESSAGE), mac, MAC[spec])['MacValid'] is False


def test_the_same_material_in_two_keys(kms, spec, cmk):
    """A MAC is a plain HMAC and does not name its key: it is the material that counts."""
    twin = import_key(kms, key_of(spec))
    mac = kms.GenerateMac(twin, b64(MESSAGE), MAC[spec])['Mac']
    assert kms.VerifyMac(cmk, b64(MESSAGE), mac, MAC[spec])['MacValid'] is True

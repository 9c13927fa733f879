# SPDX-License-Identifier: Apache-2.0
"""Mixed use for many hours: see scripts/soak."""
import contextlib
import os
import statistics
import sys
import time

from client import DBusError, b64, wrap
from harness import ALICE, BOB, LOADED_SESSION, SAVED_SESSION, TRANSIENT, new_machine

MIB = 1 << 20
SAMPLES = 240
MOST_GROWTH = 1  # MiB an hour
LIFETIME = 3600  # seconds until material expires
REMEMBERED = 4096  # callers, whom cmkd need not ask the bus about again: memory that is taken once


def use(machine, user, round_number):
    """What a user does with keys, from their making to their end."""
    kms = machine.new_client(user)
    own, external = kms.own_key(), kms.external_key()
    parameters = kms.parameters(external, 'RSAES_OAEP_SHA_256', 'RSA_2048')
    ciphertext = wrap('RSAES_OAEP_SHA_256', parameters['PublicKey'], round_number.to_bytes(32, 'big'))
    kms.ImportKeyMaterial(external, ciphertext, parameters['ImportToken'],
                          KeyMaterialExpireUnix=machine.now() + LIFETIME)
    signing = kms.own_key(KeySpec='EC_P256')
    for key in own, external:
        for _ in range(20):
            blob = kms.Encrypt(key, b64(b'soak' * 100), EncryptionContext={'round': str(round_number)})['CiphertextBlob']
            kms.Decrypt(blob, EncryptionContext={'round': str(round_number)})
            kms.GenerateDataKey(key)
            with contextlib.suppress(DBusError):  # the context is another
                kms.Decrypt(blob)
    kms.Sign(signing, b64(b'soak'), 'ECDSA_SHA_256')
    calls = [kms.start('DescribeKey', own) for _ in range(300)]  # more than a user may have under way
    for call in calls:
        with contextlib.suppress(DBusError):
            call.result()
    kms.ListKeys()
    kms.DeleteKeyMaterial(external) if round_number % 2 else machine.pass_time(LIFETIME)
    for key in own, external, signing:
        kms.ScheduleKeyDeletion(key, PendingWindowInDays=7)
    for call in [kms.start('Encrypt', own, b64(b'unheard')) for _ in range(20)][:10]:
        with contextlib.suppress(DBusError):
            call.result()
    kms.close()
    if round_number % 8 == 7:
        machine.pass_time(8 * 86400)  # and the keys are deleted


def descriptors(machine):
    return len(os.listdir(f'/proc/{machine.daemon.pid}/fd'))


def handles(machine):
    return sum(len(machine.tpm_handles(kind)) for kind in (TRANSIENT, LOADED_SESSION, SAVED_SESSION))


def slope(samples):
    """MiB an hour, by least squares."""
    return statistics.linear_regression([hours for hours, _ in samples], [size for _, size in samples]).slope


def main(hours):
    end = hours * 3600
    with new_machine(config={'Anchor': {'StepsPerDay': 0}}, environment={'G_MESSAGES_DEBUG': ''}) as machine:
        for _ in range(REMEMBERED):
            caller = machine.new_client(ALICE)
            caller.GetStatus()
            caller.close()
        for number in range(8):
            use(machine, ALICE, number)
        before = descriptors(machine), handles(machine)
        begin, samples, rounds = time.monotonic(), [], 0
        while (passed := time.monotonic() - begin) < end:
            for user in ALICE, BOB:
                use(machine, user, rounds)
            rounds += 1
            if passed >= len(samples) * end / SAMPLES:
                samples.append((passed / 3600, machine.resident_bytes() / MIB))
                print(f'{passed / 3600:8.3f} h  {rounds:7} rounds  {samples[-1][1]:7.2f} MiB  '
                      f'{descriptors(machine)} descriptors  {handles(machine)} handles', flush=True)
        after = descriptors(machine), handles(machine)
    growth = slope(samples[len(samples) // 2:])
    print(f'growth: {slope(samples):.2f} MiB/h, in the second half {growth:.2f} MiB/h; '
          f'descriptors {before[0]} to {after[0]}, handles {before[1]} to {after[1]}')
    # Resident memory moves by a MiB to and fro: over less than an hour that is no slope.
    return int(growth * min(hours, 1) > MOST_GROWTH or after[0] > before[0] or after[1] > before[1])


if __name__ == '__main__':
    sys.exit(main(float(sys.argv[1])))

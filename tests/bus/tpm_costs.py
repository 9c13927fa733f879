# SPDX-License-Identifier: Apache-2.0
"""The TPM commands of a day, as test_resource_managers.py asserts them and tests/benchmark/tpm_latency.py prices them.

Cold: nothing is in the kernel keyring. Warm: what the cmkd before has left there is."""

# What cmkd sends, on a bare TPM and behind every resource manager.
COMMANDS = {
    'session of each call': {
        'start, cold': 'GetCapability ReadPublic StartAuthSession Load Unseal FlushContext NV_ReadPublic NV_Read',
        'first Encrypt, cold': 'StartAuthSession Load ContextSave Unseal FlushContext',
        'next Encrypt': '',
        'stop, cold': '',
        'start, warm': 'StartAuthSession Load Unseal FlushContext NV_ReadPublic NV_Read',
        'first Encrypt, warm': 'StartAuthSession ContextLoad Unseal FlushContext',
        'stop, warm': '',
        'import, cold': 'StartAuthSession Load Unseal FlushContext Load ContextSave HMAC FlushContext Create',
        'import, warm': 'StartAuthSession Load Unseal FlushContext ContextLoad HMAC FlushContext Create',
    },
    'session kept': {
        'start, cold': 'GetCapability ReadPublic StartAuthSession Load Unseal FlushContext NV_ReadPublic NV_Read',
        'first Encrypt, cold': 'Load ContextSave Unseal FlushContext',
        'next Encrypt': '',
        'stop, cold': 'ContextSave',
        'start, warm': 'ContextLoad Load Unseal FlushContext NV_ReadPublic NV_Read',
        'first Encrypt, warm': 'ContextLoad Unseal FlushContext',
        'stop, warm': 'ContextSave',
        'import, cold': 'Load Unseal FlushContext Load ContextSave HMAC FlushContext Create',
        'import, warm': 'Load Unseal FlushContext ContextLoad HMAC FlushContext Create',
    },
}

# What the kernel's resource manager makes of it: how many of each reach the chip.
CHIP_COMMANDS = {
    'session of each call': {
        'start, cold':
            '7 ContextLoad 9 ContextSave 3 FlushContext 1 GetCapability 1 Load 1 NV_Read 1 NV_ReadPublic 1 '
            'ReadPublic 1 StartAuthSession 1 Unseal',
        'first Encrypt, cold': '6 ContextLoad 9 ContextSave 4 FlushContext 1 Load 1 StartAuthSession 1 Unseal',
        'next Encrypt': '',
        'stop, cold': '',
        'start, warm':
            '7 ContextLoad 9 ContextSave 3 FlushContext 1 Load 1 NV_Read 1 NV_ReadPublic 1 StartAuthSession 1 '
            'Unseal',
        'first Encrypt, warm': '5 ContextLoad 6 ContextSave 3 FlushContext 1 StartAuthSession 1 Unseal',
        'stop, warm': '',
        'import, cold':
            '13 ContextLoad 17 ContextSave 1 Create 7 FlushContext 1 HMAC 2 Load 1 StartAuthSession 1 Unseal',
        'import, warm':
            '12 ContextLoad 14 ContextSave 1 Create 6 FlushContext 1 HMAC 1 Load 1 StartAuthSession 1 Unseal',
    },
    'session kept': {
        'start, cold':
            '7 ContextLoad 9 ContextSave 3 FlushContext 1 GetCapability 1 Load 1 NV_Read 1 NV_ReadPublic 1 '
            'ReadPublic 1 StartAuthSession 1 Unseal',
        'first Encrypt, cold': '7 ContextLoad 9 ContextSave 4 FlushContext 1 Load 1 Unseal',
        'next Encrypt': '',
        'stop, cold': '1 ContextLoad 2 ContextSave',
        'start, warm': '8 ContextLoad 9 ContextSave 3 FlushContext 1 Load 1 NV_Read 1 NV_ReadPublic 1 Unseal',
        'first Encrypt, warm': '6 ContextLoad 6 ContextSave 3 FlushContext 1 Unseal',
        'stop, warm': '1 ContextLoad 2 ContextSave',
        'import, cold': '13 ContextLoad 16 ContextSave 1 Create 7 FlushContext 1 HMAC 2 Load 1 Unseal',
        'import, warm': '12 ContextLoad 13 ContextSave 1 Create 6 FlushContext 1 HMAC 1 Load 1 Unseal',
    },
}

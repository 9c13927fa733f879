/* SPDX-License-Identifier: Apache-2.0
 *
 * The MESSAGE_ID of what cmkd tells the journal: docs/audit.md lists the fields, systemd/cmkd.catalog says what each
 * means and what to do. An id is never given another meaning. */
#pragma once

/* One of these for each call. */
#define CMKD_MESSAGE_CALL_DONE     "d34f1fa84abf41598d91abc27986e94f"
#define CMKD_MESSAGE_CALL_REFUSED  "2af3ebae11e64323b50e51a0fb768bca"
#define CMKD_MESSAGE_ACCESS_DENIED "b223b7f411204f5db8e3236ac4d087a4"

/* What happens without a call, or beyond it. */
#define CMKD_MESSAGE_SERVING           "c5b8dc75450d456cb7f856b140470308"
#define CMKD_MESSAGE_KEY_DELETED       "ee96a2aa6a304bae84f035701668e269"
#define CMKD_MESSAGE_MATERIAL_EXPIRED  "886f8126c00c4622b93e77a17a53c1d7"
#define CMKD_MESSAGE_RECOVERED         "66b1a34838b045ee82c0c84750141f4b"
#define CMKD_MESSAGE_KEY_LOST          "cce8e3072460427c85b806ab71dd17ae"
#define CMKD_MESSAGE_ROLLBACK_DETECTED "f256e9dab1ea47c5902a601c859654f0"
#define CMKD_MESSAGE_TPM_CHANGED       "ab59522319ad40da9d6f73fdf5552839"
#define CMKD_MESSAGE_TPM_TROUBLE       "ef9400ae641640d4afc49a5e009966a7"
#define CMKD_MESSAGE_TPM_WORKS         "5066bd61fc184078972b279d9726f90a"
#define CMKD_MESSAGE_CLOCK_BEHIND      "4c03f6f791934d9aa965ddc62a73854d"
#define CMKD_MESSAGE_CLOCK_AHEAD       "9cbacd13f6e549e4930b42e425b900f9"
#define CMKD_MESSAGE_CLOCK_IN_STEP     "15c642abba1240fdbc67a466f57e85f0"
#define CMKD_MESSAGE_CONTEXT_ALTERED   "88bce6c166ed454cbb07500a5ba6367a"
#define CMKD_MESSAGE_CALLS_TURNED_AWAY "39e77ec587ab446eaf1e17449dfc28d2"

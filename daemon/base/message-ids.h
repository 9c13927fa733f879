/* SPDX-License-Identifier: Apache-2.0
 *
 * MESSAGE_ID of what the journal is told, explained in systemd/cmkd.catalog and docs/audit.md. An id is never given another
 * meaning. */
#pragma once

#define CMK_MESSAGE_CALL_DONE     "d34f1fa84abf41598d91abc27986e94f"
#define CMK_MESSAGE_CALL_REFUSED  "2af3ebae11e64323b50e51a0fb768bca"
#define CMK_MESSAGE_ACCESS_DENIED "b223b7f411204f5db8e3236ac4d087a4"

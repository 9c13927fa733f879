/* SPDX-License-Identifier: Apache-2.0 */
#include "decrypt.h"

#include "cmkd.h"
#include "exit-code.h"

int
cmk_decrypt (const CmkArguments *arguments, const CmkBuffer *blob, CmkValue *ret_answer)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_CRYPTO, "Decrypt");
  int code;

  cmk_call_set_secret (call);
  cmk_call_add_string (call, (const char *) blob->data);
  cmk_call_begin_options (call);
  cmk_call_add_text_option (call, "KeyId", cmk_arguments_get (arguments, "key", NULL));
  code = cmk_arguments_add_pairs (arguments, "context", call, "EncryptionContext");
  return code == CMK_EXIT_DONE ? cmk_arguments_send (arguments, call, ret_answer) : code;
}

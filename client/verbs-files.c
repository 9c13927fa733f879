/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs for envelope files: the daemon makes or opens the data key, the data itself stays here. */
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "decrypt.h"
#include "envelope-file.h"
#include "exit-code.h"
#include "output.h"

typedef struct
{
  CmkInputFile *in;
  CmkOutputFile *out;
  CmkValue answer; /* of the daemon */
} Job;

static void
job_clear (Job *job)
{
  cmk_input_file_closep (&job->in);
  cmk_output_file_closep (&job->out);
  cmk_value_clear (&job->answer);
}

/* Both files are open before anything is asked of the daemon, so that what cannot be done is said at once. */
static int
open_files (const CmkArguments *arguments, bool is_binary, Job *job)
{
  static const char *const outputs[] = { "out", NULL };
  const char *out = cmk_arguments_get (arguments, "out", cmk_arguments_has (arguments, "json") ? NULL : "-");
  int code = cmk_arguments_check_outputs (arguments, outputs);

  if (code != CMK_EXIT_DONE)
    return code;
  if (out == NULL)
    return cmk_arguments_fail (arguments,
                               "say with --out where the file goes: --json takes standard output for itself");
  if (is_binary && strcmp (out, "-") == 0 && isatty (STDOUT_FILENO))
    return cmk_arguments_fail (arguments, "an envelope file is not for a terminal: say with --out where it goes");
  code = cmk_input_file_open (cmk_arguments_get (arguments, "in", "-"), &job->in);
  if (code == CMK_EXIT_DONE)
    code = cmk_output_file_open (out, cmk_arguments_has (arguments, "force"), &job->out);
  return code;
}

/* What of the answer is not in the file. */
static void
print_ids (const CmkArguments *arguments, const CmkValue *answer)
{
  static const char *const names[] = { "KeyId", "SourceKeyId", "RequestId" };
  _cleanup_ (cmk_value_clear) CmkValue ids = { .kind = CMK_VALUE_MAP };

  if (!cmk_arguments_has (arguments, "json"))
    return;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (cmk_value_get_string (answer, names[i]) != NULL)
      cmk_value_append_text (&ids, names[i], cmk_value_get_string (answer, names[i]));
  cmk_output_print_json (&ids);
}

static int
finish (const CmkArguments *arguments, const Job *job)
{
  int code = cmk_output_file_commit (job->out);

  if (code == CMK_EXIT_DONE)
    print_ids (arguments, &job->answer);
  return code;
}

static int
run_encrypt_file (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_CRYPTO, "GenerateDataKey");
  _cleanup_ (job_clear) Job job = { 0 };
  const char *data_key, *blob;
  int code;

  cmk_call_set_secret (call);
  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_begin_options (call);
  code = cmk_arguments_add_pairs (arguments, "context", call, "EncryptionContext");
  if (code == CMK_EXIT_DONE)
    code = open_files (arguments, true, &job);
  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_send (arguments, call, &job.answer);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (&job.answer, "Plaintext", &data_key);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (&job.answer, "CiphertextBlob", &blob);
  if (code == CMK_EXIT_DONE)
    code = cmk_envelope_encrypt (job.in, job.out, data_key, blob);
  return code == CMK_EXIT_DONE ? finish (arguments, &job) : code;
}

static int
run_decrypt_file (const CmkArguments *arguments)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer blob = { 0 };
  _cleanup_ (job_clear) Job job = { 0 };
  const char *data_key;
  int code = open_files (arguments, false, &job);

  if (code == CMK_EXIT_DONE)
    code = cmk_envelope_read_header (job.in, &blob);
  if (code == CMK_EXIT_DONE)
    code = cmk_decrypt (arguments, &blob, &job.answer);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (&job.answer, "Plaintext", &data_key);
  if (code == CMK_EXIT_DONE)
    code = cmk_envelope_decrypt (job.in, job.out, data_key);
  return code == CMK_EXIT_DONE ? finish (arguments, &job) : code;
}

static int
run_re_encrypt_file (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_CRYPTO, "ReEncrypt");
  _cleanup_ (cmk_buffer_clear) CmkBuffer blob = { 0 };
  _cleanup_ (job_clear) Job job = { 0 };
  const char *new_blob;
  int code = open_files (arguments, true, &job);

  if (code == CMK_EXIT_DONE)
    code = cmk_envelope_read_header (job.in, &blob);
  if (code != CMK_EXIT_DONE)
    return code;

  cmk_call_add_string (call, (const char *) blob.data);
  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_begin_options (call);
  code = cmk_arguments_add_pairs (arguments, "context", call, "SourceEncryptionContext");
  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_add_pairs (arguments, "context", call, "DestinationEncryptionContext");
  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_send (arguments, call, &job.answer);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (&job.answer, "CiphertextBlob", &new_blob);
  if (code == CMK_EXIT_DONE)
    code = cmk_envelope_replace_blob (job.in, job.out, new_blob);
  return code == CMK_EXIT_DONE ? finish (arguments, &job) : code;
}

#define CONTEXT_HELP "context that belongs to the file"
#define FORCE_HELP   "replace what --out names, if it is there already"

static const CmkOption encrypt_file_options[] = {
  { "in", "FILE", "the data; default: standard input", false },
  { "out", "FILE", "the envelope file, mode 0600; default: standard output", false },
  { "context", "NAME=VALUE", CONTEXT_HELP, true },
  { "force", NULL, FORCE_HELP, false },
  { NULL, NULL, NULL, false },
};

static const CmkOption decrypt_file_options[] = {
  { "in", "FILE", "the envelope file; default: standard input", false },
  { "out", "FILE", "the data, mode 0600; default: standard output", false },
  { "context", "NAME=VALUE", CONTEXT_HELP, true },
  { "key", "KEY", "take only a file of this key", false },
  { "force", NULL, FORCE_HELP, false },
  { NULL, NULL, NULL, false },
};

static const CmkOption re_encrypt_file_options[] = {
  { "in", "FILE", "the envelope file; default: standard input", false },
  { "out", "FILE", "the new envelope file, mode 0600; default: standard output", false },
  { "context", "NAME=VALUE", CONTEXT_HELP, true },
  { "force", NULL, FORCE_HELP, false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_file_verbs[] = {
  { "encrypt-file", "KEY", 1, "encrypt a file of any size",
    "Encrypt a file of any size under a data key of its own, which the file carries encrypted under KEY. The data does "
    "not\n"
    "go through the daemon.",
    "cmkctl encrypt-file alias/backup --in backup.tar --out backup.tar.cmk --context host=web1", encrypt_file_options,
    run_encrypt_file },
  { "decrypt-file", "", 0, "decrypt what encrypt-file made",
    "Decrypt what encrypt-file made. It names its key itself; the context must be the one it was made with. The file "
    "--out\n"
    "is there only if all of it was verified; of a stream look at the exit status: what came before the end may not be "
    "all.",
    "cmkctl decrypt-file --in backup.tar.cmk --out backup.tar --context host=web1\n"
    "cmkctl decrypt-file --in backup.tar.cmk --context host=web1 | tar -t",
    decrypt_file_options, run_decrypt_file },
  { "re-encrypt-file", "KEY", 1, "put an envelope file under KEY",
    "Have the data key of an envelope file encrypted anew under KEY. The data is copied as it is, and not verified.",
    "cmkctl re-encrypt-file alias/archive --in backup.tar.cmk --out archive.tar.cmk --context host=web1",
    re_encrypt_file_options, run_re_encrypt_file },
  { 0 },
};

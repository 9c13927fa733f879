/* SPDX-License-Identifier: Apache-2.0
 *
 * The verb that checks an attested wrapping key, wherever the custodian of the material is: no daemon, no TPM. */
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "arguments.h"
#include "attestation.h"
#include "base64.h"
#include "exit-code.h"
#include "input.h"
#include "module.h"
#include "output.h"

#define MODULE_FILE "cmkctl-attestation.so"

#define MAX_ANSWER_BYTES 65536
#define MAX_KEY_BYTES    16384

static const char *const part_names[CMK_ATTESTED_PARTS] = {
  [CMK_ATTESTED_PUBLIC_KEY] = "PublicKey",
  [CMK_ATTESTED_PUBLIC_AREA] = "WrappingKeyPublicArea",
  [CMK_ATTESTED_CREATION_DATA] = "CreationData",
  [CMK_ATTESTED_STATEMENT] = "AttestationData",
  [CMK_ATTESTED_SIGNATURE] = "AttestationSignature",
  [CMK_ATTESTED_SIGNER] = "AttestationKey",
  [CMK_ATTESTED_SIGNER_AREA] = "AttestationKeyPublicArea",
  [CMK_ATTESTED_ENDORSEMENT] = "EndorsementKeyCertificate",
  [CMK_ATTESTED_SECRET] = "CredentialSecret",
};

static void
attestation_clear (CmkAttestation *attestation)
{
  for (size_t i = 0; i < CMK_ATTESTED_PARTS; i++)
    cmk_buffer_clear (&attestation->parts[i]);
  cmk_buffer_clear (&attestation->nonce);
  cmk_buffer_clear (&attestation->known_signer);
  cmk_buffer_clear (&attestation->secret);
}

static int
decode (const char *name, const char *text, CmkBuffer *ret_data)
{
  *ret_data = cmk_buffer_new (CMK_BASE64_BYTES (strlen (text)));
  if (cmk_base64_decode (text, strlen (text), ret_data->data, &ret_data->size) && ret_data->size > 0)
    return CMK_EXIT_DONE;
  return cmk_fail (CMK_EXIT_REFUSED, "%s in the answer is not Base64", name);
}

static int
read_nonce (const CmkArguments *arguments, const CmkValue *answer, CmkBuffer *ret_nonce)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer text = { 0 };
  const char *path = cmk_arguments_get (arguments, "nonce", "");
  const char *sent = cmk_value_get_string (answer, "Nonce");
  int code;

  if (strcmp (path, "auto") != 0)
    {
      code = cmk_input_read_base64 (path, "nonce", &text);
      return code == CMK_EXIT_DONE ? decode ("Nonce", (const char *) text.data, ret_nonce) : code;
    }
  if (sent == NULL)
    return cmk_fail (CMK_EXIT_REFUSED, "the answer has no nonce of its own: say with --nonce which was sent");
  return decode ("Nonce", sent, ret_nonce);
}

static int
read_answer (const CmkArguments *arguments, CmkAttestation *attestation)
{
  const char *path = arguments->operands[0];
  _cleanup_ (cmk_buffer_clear) CmkBuffer text = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_input_read (path, "answer", MAX_ANSWER_BYTES, &text);

  if (code == CMK_EXIT_DONE && !cmk_answer_read (&text, &answer))
    return cmk_fail (CMK_EXIT_REFUSED, "'%s' is not what `cmkctl get-parameters --attest --json` printed", path);
  for (size_t i = 0; i < CMK_ATTESTED_PARTS && code == CMK_EXIT_DONE; i++)
    {
      const char *part = cmk_value_get_string (&answer, part_names[i]);

      if (part != NULL)
        code = decode (part_names[i], part, &attestation->parts[i]);
      else if (i < CMK_ATTESTED_ENDORSEMENT)
        code = cmk_fail (CMK_EXIT_REFUSED, "the answer has no %s: get parameters with --attest", part_names[i]);
    }
  return code == CMK_EXIT_DONE ? read_nonce (arguments, &answer, &attestation->nonce) : code;
}

static int
verify (const CmkAttestation *attestation, CmkFindings *ret_findings)
{
  const void *table = NULL;
  const char *problem;
  int code = cmk_module_load (MODULE_FILE, CMK_ATTESTATION_MODULE_SYMBOL, &table);

  if (code != CMK_EXIT_DONE)
    return code;
  problem = ((const CmkAttestationModule *) table)->verify (attestation, ret_findings);
  return problem == NULL ? CMK_EXIT_DONE : cmk_fail (CMK_EXIT_REFUSED, "do not wrap under this key: %s", problem);
}

static void
print_findings (const CmkFindings *findings, bool is_accepted, bool is_nonce_theirs)
{
  printf (
      "proved: if the attestation key is a TPM's, the public key is of an RSA key of %u bits that this TPM made for\n"
      "        this nonce, that can do nothing but decrypt, and that cannot leave the TPM\n",
      findings->modulus_bits);
  if (is_nonce_theirs)
    printf ("not proved: that the answer is fresh; you did not choose its nonce\n");
  if (findings->is_known_signer)
    printf ("proved: the attestation key is the known one\n");
  else if (is_accepted)
    printf ("not proved: whose the attestation key is; accepted because you say so\n");
  else
    printf ("not proved: that the attestation key is a TPM's\n");
  if (findings->is_genuine_maker)
    printf ("proved: the certificate in the answer is one of a TPM by a maker that you trust\n");
  if (findings->is_credential_opened)
    printf ("proved: the attestation key is in the TPM whose endorsement key the credential was made for\n");
  else if (findings->is_genuine_maker)
    printf ("not proved: that the attestation key is in the TPM of this certificate, see attestation.md in "
            "/usr/share/doc/cmkctl\n");
}

static int
write_key (const char *path, bool is_pem, const CmkBuffer *key)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer text = { 0 };

  if (path == NULL)
    return CMK_EXIT_DONE;
  if (!is_pem)
    return cmk_output_write (path, false, key->data, key->size);
  text = cmk_buffer_encode (key);
  return cmk_output_write_pem (path, (const char *) text.data);
}

static int
check_options (const CmkArguments *arguments)
{
  static const char *const outputs[] = { "public-key", "accept-attestation-key", NULL };
  static const char *const inputs[] = { "nonce", "attestation-key", "credential-secret", NULL };

  if (cmk_arguments_has (arguments, "host"))
    return cmk_arguments_fail (arguments, "verify-attestation asks no daemon, here or on another --host");
  if (cmk_arguments_has (arguments, "json"))
    return cmk_arguments_fail (arguments, "verify-attestation asks no daemon and has no answer for --json");
  if (!cmk_arguments_has (arguments, "nonce"))
    return cmk_arguments_fail (arguments, "--nonce is missing: the file with the nonce that was sent, or auto");
  if (cmk_arguments_has (arguments, "attestation-key") && cmk_arguments_has (arguments, "accept-attestation-key"))
    return cmk_arguments_fail (arguments, "an attestation key is either known or accepted now, not both");
  if (cmk_arguments_has (arguments, "credential-secret") && !cmk_arguments_has (arguments, "attestation-key"))
    return cmk_arguments_fail (arguments,
                               "--credential-secret needs --attestation-key: the one that the credential was "
                               "made for");
  for (const char *const *output = outputs; *output != NULL; output++)
    if (strcmp (cmk_arguments_get (arguments, *output, ""), "-") == 0)
      return cmk_arguments_fail (arguments, "--%s needs a file: standard output says what was proved", *output);
  return cmk_arguments_check_inputs (arguments, inputs);
}

/* What the custodian has of an earlier time, from the file that @option names; nothing without. */
static int
read_known (const CmkArguments *arguments, const char *option, CmkBuffer *ret_data)
{
  const char *path = cmk_arguments_get (arguments, option, NULL);

  return path != NULL ? cmk_input_read (path, option, MAX_KEY_BYTES, ret_data) : CMK_EXIT_DONE;
}

static int
run_verify (const CmkArguments *arguments)
{
  _cleanup_ (attestation_clear) CmkAttestation attestation = { .trust = cmk_arguments_get (arguments, "trust", NULL) };
  const char *accepted = cmk_arguments_get (arguments, "accept-attestation-key", NULL);
  bool is_pem = cmk_arguments_has (arguments, "pem");
  CmkFindings findings = { 0 };
  int code = check_options (arguments);

  if (code == CMK_EXIT_DONE)
    code = read_answer (arguments, &attestation);
  if (code == CMK_EXIT_DONE)
    code = read_known (arguments, "attestation-key", &attestation.known_signer);
  if (code == CMK_EXIT_DONE)
    code = read_known (arguments, "credential-secret", &attestation.secret);
  if (code == CMK_EXIT_DONE)
    code = verify (&attestation, &findings);
  if (code != CMK_EXIT_DONE)
    return code;

  print_findings (&findings, accepted != NULL, strcmp (cmk_arguments_get (arguments, "nonce", ""), "auto") == 0);
  if (!findings.is_known_signer && accepted == NULL)
    return cmk_fail (CMK_EXIT_NOT_KNOWN,
                     "the attestation key is not yet known: give the one you know with --attestation-key, or, once you "
                     "are sure whose it is, take it with --accept-attestation-key");
  code = write_key (accepted, false, &attestation.parts[CMK_ATTESTED_SIGNER_AREA]);
  return code == CMK_EXIT_DONE ? write_key (cmk_arguments_get (arguments, "public-key", NULL), is_pem,
                                            &attestation.parts[CMK_ATTESTED_PUBLIC_KEY])
                               : code;
}

static const CmkOption verify_options[] = {
  { "nonce", "FILE", "the nonce that was sent, Base64; auto: the one that get-parameters chose", false },
  { "attestation-key", "FILE", "the attestation key that this TPM is known by: what --accept-attestation-key wrote",
    false },
  { "credential-secret", "FILE", "what the credential held that was sent: check that the TPM has opened it", false },
  { "accept-attestation-key", "FILE", "take the attestation key as it comes, and write it here for the next time",
    false },
  { "trust", "FILE", "certificates (PEM) of TPM makers: also check the endorsement certificate", false },
  { "public-key", "FILE", "write the wrapping public key here once it is verified, as DER", false },
  { "pem", NULL, "write the wrapping public key as PEM", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_attestation_verbs[] = {
  { "verify-attestation", "ANSWER", 1, "check that a TPM made a wrapping key (needs no daemon)",
    "Check what `cmkctl get-parameters --attest --json` has printed, before material is wrapped under its public key:\n"
    "that a TPM made the key for your nonce, that it can only decrypt, and that it cannot leave that TPM. Says what "
    "is\n"
    "proved and what is not. Needs no daemon and no TPM: this belongs where the material is.",
    "cmkctl verify-attestation answer.json --nonce nonce --attestation-key tpm.pub --public-key wrapping.der",
    verify_options, run_verify },
  { 0 },
};

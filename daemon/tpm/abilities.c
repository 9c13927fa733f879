/* SPDX-License-Identifier: Apache-2.0
 *
 * What the TPM can do for resident keys, asked once: commands, algorithms and curves by their lists, which RSA sizes by
 * TPM2_TestParms. */
#include "tpm/resident-key.h"

#include "base/error.h"
#include "tpm/resident-kind.h"

struct _CmkTpmAbilities
{
  GArray *commands;   /* TPM2_CC */
  GArray *algorithms; /* TPM2_ALG_ID */
  GArray *curves;     /* TPM2_ECC_CURVE */
  gboolean rsa_2048;
  gboolean rsa_3072;
};

void
cmk_tpm_abilities_free (CmkTpmAbilities *abilities)
{
  g_array_unref (abilities->commands);
  g_array_unref (abilities->algorithms);
  g_array_unref (abilities->curves);
  g_free (abilities);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkTpmAbilities, cmk_tpm_abilities_free)

/* --- asking ------------------------------------------------------------------------------------------------------ */

/* Note what @data lists; the last of them, or 0 if there was none. */
static guint32
note (CmkTpmAbilities *abilities, const TPMS_CAPABILITY_DATA *data)
{
  guint32 last = 0;
  switch (data->capability)
    {
    case TPM2_CAP_COMMANDS:
      for (guint32 i = 0; i < data->data.command.count; i++)
        {
          TPM2_CC command = data->data.command.commandAttributes[i] & (TPMA_CC_COMMANDINDEX_MASK | TPMA_CC_V);
          g_array_append_val (abilities->commands, command);
          last = command;
        }
      break;
    case TPM2_CAP_ALGS:
      for (guint32 i = 0; i < data->data.algorithms.count; i++)
        {
          last = data->data.algorithms.algProperties[i].alg;
          g_array_append_val (abilities->algorithms, data->data.algorithms.algProperties[i].alg);
        }
      break;
    case TPM2_CAP_ECC_CURVES:
      for (guint32 i = 0; i < data->data.eccCurves.count; i++)
        {
          last = data->data.eccCurves.eccCurves[i];
          g_array_append_val (abilities->curves, data->data.eccCurves.eccCurves[i]);
        }
      break;
    default:
      break;
    }
  return last;
}

static gboolean
list (CmkTpm *tpm, CmkTpmAbilities *abilities, TPM2_CAP capability, guint32 first, GError **error)
{
  TPMI_YES_NO more = TPM2_YES;
  while (more == TPM2_YES)
    {
      cmk_tpm_auto_free TPMS_CAPABILITY_DATA *data = NULL;
      TSS2_RC rc;
      CMK_TPM_COMMAND (tpm, rc,
                       Esys_GetCapability (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, capability, first,
                                           TPM2_MAX_CAP_CC, &more, &data));
      if (!cmk_tpm_ok (tpm, rc, "ask the TPM what it can do", error))
        return FALSE;
      guint32 last = data->capability == capability ? note (abilities, data) : 0;
      if (last < first)
        break;
      first = last + 1;
    }
  return TRUE;
}

/* A format-one code is the TPM's "no". */
static gboolean
test_rsa (CmkTpm *tpm, CmkResidentKind kind, gboolean *ret_able, GError **error)
{
  TPM2B_PUBLIC template;
  cmk_tpm_resident_template (kind, &template);
  TPMT_PUBLIC_PARMS wanted = { .type = TPM2_ALG_RSA, .parameters = template.publicArea.parameters };
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc, Esys_TestParms (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted));
  *ret_able = rc == TSS2_RC_SUCCESS;
  return (cmk_tss_is_answer (rc) && (rc & TPM2_RC_FMT1) != 0) || rc == TPM2_RC_COMMAND_CODE ||
         cmk_tpm_ok (tpm, rc, "ask the TPM what it can do", error);
}

static gboolean
ask (CmkTpm *tpm, GError **error)
{
  g_autoptr (CmkTpmAbilities) abilities = g_new0 (CmkTpmAbilities, 1);
  abilities->commands = g_array_new (FALSE, FALSE, sizeof (TPM2_CC));
  abilities->algorithms = g_array_new (FALSE, FALSE, sizeof (TPM2_ALG_ID));
  abilities->curves = g_array_new (FALSE, FALSE, sizeof (TPM2_ECC_CURVE));
  tpm->patience = (CmkTpmPatience) { 0 };
  if (!cmk_tpm_connect (tpm, error))
    return FALSE;
  cmk_tpm_settle (tpm);
  if (!list (tpm, abilities, TPM2_CAP_COMMANDS, TPM2_CC_FIRST, error) ||
      !list (tpm, abilities, TPM2_CAP_ALGS, TPM2_ALG_FIRST, error) ||
      !list (tpm, abilities, TPM2_CAP_ECC_CURVES, TPM2_ECC_NONE + 1, error) ||
      !test_rsa (tpm, CMK_RESIDENT_RSA_2048, &abilities->rsa_2048, error) ||
      !test_rsa (tpm, CMK_RESIDENT_RSA_3072, &abilities->rsa_3072, error))
    return FALSE;
  tpm->abilities = g_steal_pointer (&abilities);
  return TRUE;
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

typedef struct
{
  guint32 id;
  const char *name;
} Need;

static const Need hmac_commands[] = {
  { TPM2_CC_HMAC, "TPM2_HMAC command" },
  { TPM2_CC_HMAC_Start, "TPM2_HMAC_Start command" },
  { TPM2_CC_SequenceUpdate, "TPM2_SequenceUpdate command" },
  { TPM2_CC_SequenceComplete, "TPM2_SequenceComplete command" },
  { 0 },
};
static const Need rsa_commands[] = {
  { TPM2_CC_Import, "TPM2_Import command" },
  { TPM2_CC_RSA_Decrypt, "TPM2_RSA_Decrypt command" },
  { 0 },
};
static const Need ec_commands[] = {
  { TPM2_CC_Import, "TPM2_Import command" },
  { TPM2_CC_Sign, "TPM2_Sign command" },
  { 0 },
};
static const Need attested_commands[] = {
  { TPM2_CC_CertifyCreation, "TPM2_CertifyCreation command" },
  { TPM2_CC_RSA_Decrypt, "TPM2_RSA_Decrypt command" },
  { 0 },
};
static const Need hashes[] = {
  { TPM2_ALG_SHA256, "SHA-256" },
  { TPM2_ALG_SHA384, "SHA-384" },
  { TPM2_ALG_SHA512, "SHA-512" },
};

static const Need *
commands_for (TPMI_ALG_PUBLIC type)
{
  return type == TPM2_ALG_RSA ? rsa_commands : type == TPM2_ALG_ECC ? ec_commands : hmac_commands;
}

static gboolean
has_command (const CmkTpmAbilities *abilities, TPM2_CC command)
{
  for (guint i = 0; i < abilities->commands->len; i++)
    if (g_array_index (abilities->commands, TPM2_CC, i) == command)
      return TRUE;
  return FALSE;
}

/* Of algorithms or curves. */
static gboolean
has_id (const GArray *ids, guint16 id)
{
  for (guint i = 0; i < ids->len; i++)
    if (g_array_index (ids, guint16, i) == id)
      return TRUE;
  return FALSE;
}

/* Which of @needs the TPM lacks, or NULL. */
static const char *
lacking_command (const CmkTpmAbilities *abilities, const Need *needs)
{
  for (const Need *need = needs; need->name != NULL; need++)
    if (!has_command (abilities, need->id))
      return need->name;
  return NULL;
}

/* What the TPM lacks for keys of @kind, whatever is done with them, or NULL. */
static const char *
lacking_algorithm (const CmkTpmAbilities *abilities, CmkResidentKind kind)
{
  const CmkTpmKindTraits *wanted = cmk_tpm_kind_traits (kind);
  for (gsize i = 0; i < G_N_ELEMENTS (hashes); i++)
    if (wanted->hash == hashes[i].id && !has_id (abilities->algorithms, wanted->hash))
      return hashes[i].name;
  switch (kind)
    {
    case CMK_RESIDENT_RSA_2048:
      return abilities->rsa_2048 ? NULL : "RSA with 2048 bits";
    case CMK_RESIDENT_RSA_3072:
      return abilities->rsa_3072 ? NULL : "RSA with 3072 bits";
    case CMK_RESIDENT_EC_P256:
    case CMK_RESIDENT_EC_P384:
      if (!has_id (abilities->algorithms, TPM2_ALG_ECDSA))
        return "ECDSA";
      return has_id (abilities->curves, wanted->curve) ? NULL
             : kind == CMK_RESIDENT_EC_P256            ? "curve P-256"
                                                       : "curve P-384";
    default:
      return NULL;
    }
}

gboolean
cmk_tpm_can_hold (CmkTpm *tpm, CmkResidentKind kind, GError **error)
{
  if (tpm->abilities == NULL && !ask (tpm, error))
    return FALSE;
  const char *what = lacking_command (tpm->abilities, commands_for (cmk_tpm_kind_traits (kind)->type));
  if (what == NULL)
    what = lacking_algorithm (tpm->abilities, kind);
  if (what == NULL)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION, "this TPM has no %s: use ProtectionLevel SOFTWARE",
               what);
  return FALSE;
}

gboolean
cmk_tpm_can_attest (CmkTpm *tpm, CmkResidentKind kind, GError **error)
{
  if (tpm->abilities == NULL && !ask (tpm, error))
    return FALSE;
  const char *what = lacking_command (tpm->abilities, attested_commands);
  if (what == NULL)
    what = lacking_algorithm (tpm->abilities, kind);
  if (what == NULL)
    what = lacking_algorithm (tpm->abilities, CMK_RESIDENT_EC_P256);
  if (what == NULL)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION, "Attest: this TPM has no %s: %s", what,
               kind == CMK_RESIDENT_RSA_3072 ? "try wrapping_key_spec RSA_2048" : "leave Attest out");
  return FALSE;
}

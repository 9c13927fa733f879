/* SPDX-License-Identifier: Apache-2.0 */
#include "fake-tpm.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#define MAGIC           0x66757a7aULL
#define HEADER_SIZE     10
#define MAX_COMMANDS    200
#define MAX_ANSWER_SIZE 4096
#define DIGEST_SIZE     32

typedef struct
{
  guint8 data[MAX_ANSWER_SIZE];
  gsize size;
} Bytes;

static FuzzInput *answers;
static guint n_commands;
static guint8 command[TPM2_MAX_COMMAND_SIZE];
static gsize command_size;

/* --- in place of the libraries' ----------------------------------------------------------------------------------- */

int
EVP_DigestSignFinal (EVP_MD_CTX *context G_GNUC_UNUSED, unsigned char *signature, size_t *size)
{
  *size = DIGEST_SIZE;
  if (signature != NULL)
    memset (signature, 0, DIGEST_SIZE);
  return 1;
}

int
RAND_bytes_ex (OSSL_LIB_CTX *context G_GNUC_UNUSED, unsigned char *bytes, size_t size,
               unsigned int strength G_GNUC_UNUSED)
{
  memset (bytes, 0x5a, size);
  return 1;
}

/* A TPM that asks for patience has it at once. */
void
g_usleep (gulong microseconds G_GNUC_UNUSED)
{
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void
put (Bytes *bytes, gconstpointer data, gsize size)
{
  size = MIN (size, sizeof bytes->data - bytes->size);
  if (size > 0)
    memcpy (bytes->data + bytes->size, data, size);
  bytes->size += size;
}

static void
put_number (Bytes *bytes, guint64 number, guint size)
{
  guint64 big_endian = GUINT64_TO_BE (number);
  put (bytes, (const guint8 *) &big_endian + sizeof big_endian - size, size);
}

/* A TPM2B of @size equal bytes. */
static void
put_filled (Bytes *bytes, guint8 filler, gsize size)
{
  put_number (bytes, size, 2);
  for (gsize i = 0; i < size; i++)
    put (bytes, &filler, 1);
}

static void
put_public (Bytes *bytes, const TPM2B_PUBLIC *public)
{
  gsize size = bytes->size;
  g_assert_cmpuint (Tss2_MU_TPM2B_PUBLIC_Marshal (public, bytes->data, sizeof bytes->data, &size), ==, 0);
  bytes->size = size;
}

/* A TPM2B_NAME of the TPMT_PUBLIC at @area. */
static void
put_name (Bytes *bytes, const guint8 *area, gsize size)
{
  guint8 digest[DIGEST_SIZE];
  g_assert_cmpint (EVP_Digest (area, size, digest, NULL, EVP_sha256 (), NULL), ==, 1);
  put_number (bytes, 2 + DIGEST_SIZE, 2);
  put_number (bytes, TPM2_ALG_SHA256, 2);
  put (bytes, digest, sizeof digest);
}

static guint64
read_number (gsize at, guint size)
{
  guint64 number = 0;
  for (guint i = 0; i < size && at + i < command_size; i++)
    number = number << 8 | command[at + i];
  return number;
}

/* --- what a good TPM answers -------------------------------------------------------------------------------------- */

/* TCG EK Credential Profile, template L-2 without authPolicy; the private key is 1. */
static TPM2B_PUBLIC
root_public (void)
{
  static const guint8 x[] = { 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
                              0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb,
                              0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96 };
  static const guint8 y[] = { 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb,
                              0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31,
                              0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5 };
  TPM2B_PUBLIC public = { .publicArea = { .type = TPM2_ALG_ECC,
                                          .nameAlg = TPM2_ALG_SHA256,
                                          .objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT |
                                                              TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                                              TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                                              TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
                                          .parameters.eccDetail = { .symmetric = { .algorithm = TPM2_ALG_AES,
                                                                                   .keyBits.aes = 128,
                                                                                   .mode.aes = TPM2_ALG_CFB },
                                                                    .scheme.scheme = TPM2_ALG_NULL,
                                                                    .curveID = TPM2_ECC_NIST_P256,
                                                                    .kdf.scheme = TPM2_ALG_NULL },
                                          .unique.ecc = { .x.size = sizeof x, .y.size = sizeof y } } };
  memcpy (public.publicArea.unique.ecc.x.buffer, x, sizeof x);
  memcpy (public.publicArea.unique.ecc.y.buffer, y, sizeof y);
  return public;
}

GBytes *
fake_tpm_root_public (void)
{
  Bytes bytes = { .size = 0 };
  TPM2B_PUBLIC public = root_public ();
  put_public (&bytes, &public);
  return g_bytes_new (bytes.data, bytes.size);
}

/* What follows the handles and the authorisations of the command. */
static gsize
parameters_at (guint n_handles)
{
  gsize at = HEADER_SIZE + 4 * n_handles;
  return read_number (0, 2) == TPM2_ST_SESSIONS ? at + 4 + (gsize) read_number (at, 4) : at;
}

static void
put_capability (Bytes *bytes)
{
  guint32 capability = (guint32) read_number (HEADER_SIZE, 4), first = (guint32) read_number (HEADER_SIZE + 4, 4);
  put_number (bytes, TPM2_NO, 1);
  put_number (bytes, capability, 4);
  if (capability == TPM2_CAP_TPM_PROPERTIES)
    {
      put_number (bytes, 1, 4);
      put_number (bytes, first, 4);
      put_number (bytes, 0xffff, 4);
    }
  else
    put_number (bytes, 0, 4);
}

/* The public area that the command holds comes back as that of the object, or its name does. */
static void
put_echo (Bytes *bytes, guint32 code)
{
  gsize at = parameters_at (1);
  at += 2 + (gsize) read_number (at, 2); /* TPM2B_SENSITIVE_CREATE, or TPM2B_PRIVATE */
  gsize size = (gsize) read_number (at, 2);
  if (at + 2 + size > command_size)
    return;
  if (code == TPM2_CC_Load)
    {
      put_name (bytes, command + at + 2, size);
      return;
    }
  if (code == TPM2_CC_Create)
    put_filled (bytes, 'p', 96);
  put (bytes, command + at, 2 + size);
  put_number (bytes, 0, 2);
  put_filled (bytes, 'h', DIGEST_SIZE);
  put_number (bytes, TPM2_ST_CREATION, 2);
  put_number (bytes, TPM2_RH_OWNER, 4);
  put_filled (bytes, 't', DIGEST_SIZE);
  if (code == TPM2_CC_CreatePrimary)
    put_name (bytes, command + at + 2, size);
}

/* savedHandle says of what kind it is. */
static void
put_context (Bytes *bytes)
{
  guint32 handle = (guint32) read_number (HEADER_SIZE, 4);
  put_number (bytes, 1, 8);
  put_number (bytes, handle, 4);
  put_number (bytes, TPM2_RH_OWNER, 4);
  put_filled (bytes, 'c', 64);
}

static void
put_parameters (Bytes *bytes, guint32 code)
{
  TPM2B_PUBLIC public = root_public ();
  gsize before = bytes->size;
  switch (code)
    {
    case TPM2_CC_GetCapability:
      put_capability (bytes);
      break;
    case TPM2_CC_ReadPublic:
      put_public (bytes, &public);
      put_name (bytes, bytes->data + before + 2, bytes->size - before - 2);
      put_filled (bytes, 'q', 2 + DIGEST_SIZE);
      break;
    case TPM2_CC_StartAuthSession:
    case TPM2_CC_Unseal:
    case TPM2_CC_HMAC:
      put_filled (bytes, 's', DIGEST_SIZE);
      break;
    case TPM2_CC_Create:
    case TPM2_CC_CreatePrimary:
    case TPM2_CC_Load:
      put_echo (bytes, code);
      break;
    case TPM2_CC_RSA_Decrypt:
      put_filled (bytes, 'r', 256);
      break;
    case TPM2_CC_NV_Read:
      put_filled (bytes, 'n', (gsize) read_number (parameters_at (2), 2));
      break;
    case TPM2_CC_ContextSave:
      put_context (bytes);
      break;
    default:
      break;
    }
}

/* 0: the answer has none. */
static guint32
handle_of (guint32 code)
{
  switch (code)
    {
    case TPM2_CC_StartAuthSession:
      return TPM2_HMAC_SESSION_FIRST;
    case TPM2_CC_CreatePrimary:
    case TPM2_CC_Load:
    case TPM2_CC_HMAC_Start:
      return (TPM2_HANDLE) TPM2_HT_TRANSIENT << TPM2_HR_SHIFT;
    case TPM2_CC_ContextLoad:
      return read_number (HEADER_SIZE + 8, 4) != 0 ? (guint32) read_number (HEADER_SIZE + 8, 4)
                                                   : (TPM2_HANDLE) TPM2_HT_TRANSIENT << TPM2_HR_SHIFT;
    default:
      return 0;
    }
}

/* --- the form of an answer ---------------------------------------------------------------------------------------- */

/* AES-CFB under a key and an IV of zeros, as every session has them, of the first parameter. */
static void
encrypt (guint8 *parameters, gsize size)
{
  static const guint8 zeros[16];
  int length;
  gsize first = size < 2 ? 0 : (gsize) parameters[0] << 8 | parameters[1];
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  g_assert_cmpint (EVP_EncryptInit_ex (context, EVP_aes_128_cfb (), NULL, zeros, zeros), ==, 1);
  if (first > 0 && first <= size - 2)
    g_assert_cmpint (EVP_EncryptUpdate (context, parameters + 2, &length, parameters + 2, (int) first), ==, 1);
  EVP_CIPHER_CTX_free (context);
}

/* The attributes of each session in the command go back, with nonce and MAC; a password has neither. */
static gboolean
put_authorisations (Bytes *bytes, guint n_handles)
{
  gboolean is_encrypted = FALSE;
  gsize at = HEADER_SIZE + 4 * n_handles, end = at + 4 + (gsize) read_number (at, 4);
  for (at += 4; at < end && at < command_size;)
    {
      gboolean is_password = read_number (at, 4) == TPM2_RS_PW;
      at += 4;
      at += 2 + (gsize) read_number (at, 2);
      guint8 attributes = (guint8) read_number (at, 1);
      at += 1;
      at += 2 + (gsize) read_number (at, 2);
      is_encrypted |= (attributes & TPMA_SESSION_ENCRYPT) != 0;
      put_filled (bytes, 'n', is_password ? 0 : DIGEST_SIZE);
      put_number (bytes, attributes, 1);
      put_filled (bytes, 0, is_password ? 0 : DIGEST_SIZE);
    }
  return is_encrypted;
}

static guint
handles_of (guint32 code)
{
  switch (code)
    {
    case TPM2_CC_GetRandom:
    case TPM2_CC_GetCapability:
    case TPM2_CC_ReadClock:
    case TPM2_CC_TestParms:
      return 0;
    case TPM2_CC_NV_Read:
    case TPM2_CC_NV_Write:
    case TPM2_CC_NV_UndefineSpace:
    case TPM2_CC_EvictControl:
    case TPM2_CC_CertifyCreation:
    case TPM2_CC_ActivateCredential:
      return 2;
    default:
      return 1;
    }
}

static void
frame (Bytes *answer, guint32 code, const Bytes *parameters)
{
  gboolean has_sessions = read_number (0, 2) == TPM2_ST_SESSIONS;
  guint32 handle = handle_of (code);
  Bytes authorisations = { .size = 0 }, body = *parameters;
  if (has_sessions && put_authorisations (&authorisations, handles_of (code)))
    encrypt (body.data, body.size);
  gsize size = HEADER_SIZE + (handle != 0 ? 4 : 0) + (has_sessions ? 4 : 0) + body.size + authorisations.size;
  put_number (answer, read_number (0, 2), 2);
  put_number (answer, size, 4);
  put_number (answer, TPM2_RC_SUCCESS, 4);
  if (handle != 0)
    put_number (answer, handle, 4);
  if (has_sessions)
    put_number (answer, body.size, 4);
  put (answer, body.data, body.size);
  put (answer, authorisations.data, authorisations.size);
}

static void
answer_by_input (Bytes *answer, guint32 code)
{
  Bytes parameters = { .size = 0 };
  guint how = fuzz_take_choice (answers, 5);
  if (how == 1) /* a code */
    {
      put_number (answer, TPM2_ST_NO_SESSIONS, 2);
      put_number (answer, HEADER_SIZE, 4);
      put_number (answer, (guint64) fuzz_take_number (answers, 4), 4);
      return;
    }
  g_autoptr (GBytes) bytes = how == 2 || how == 3 ? fuzz_take_bytes (answers) : NULL;
  if (how == 2) /* anything */
    {
      put (answer, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      return;
    }
  if (how == 3) /* any parameters */
    put (&parameters, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  else
    put_parameters (&parameters, code);
  for (guint i = how == 4 ? fuzz_take_choice (answers, 8) : 0; i > 0 && parameters.size > 0; i--) /* a few are other */
    {
      gsize at = (gsize) fuzz_take_number (answers, 2) % parameters.size;
      parameters.data[at] ^= fuzz_take_byte (answers);
    }
  frame (answer, code, &parameters);
}

/* --- the TCTI ----------------------------------------------------------------------------------------------------- */

static TSS2_RC
transmit (TSS2_TCTI_CONTEXT *context G_GNUC_UNUSED, size_t size, const uint8_t *data)
{
  g_assert_cmpuint (size, <=, sizeof command);
  memcpy (command, data, size);
  command_size = size;
  /* Whoever asks for ever gets no answer at some time. */
  return n_commands++ < MAX_COMMANDS ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC
receive (TSS2_TCTI_CONTEXT *context G_GNUC_UNUSED, size_t *size, uint8_t *data, int32_t timeout G_GNUC_UNUSED)
{
  Bytes answer = { .size = 0 };
  answer_by_input (&answer, (guint32) read_number (6, 4));
  *size = MIN (*size, answer.size);
  memcpy (data, answer.data, *size);
  return TSS2_RC_SUCCESS;
}

TSS2_RC
Tss2_TctiLdr_Initialize (const char *conf G_GNUC_UNUSED, TSS2_TCTI_CONTEXT **ret_context)
{
  static TSS2_TCTI_CONTEXT_COMMON_V1 tcti = { .magic = MAGIC, .version = 1, .transmit = transmit, .receive = receive };
  *ret_context = (TSS2_TCTI_CONTEXT *) &tcti;
  return TSS2_RC_SUCCESS;
}

void
Tss2_TctiLdr_Finalize (TSS2_TCTI_CONTEXT **context)
{
  *context = NULL;
}

void
fake_tpm_start (FuzzInput *input)
{
  answers = input;
  n_commands = 0;
}

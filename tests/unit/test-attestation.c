/* SPDX-License-Identifier: Apache-2.0
 *
 * What cmkctl verifies comes from a machine that is not trusted: whatever it sends, the only way to be accepted is to
 * be what a TPM has answered. */
#include "attestation.h"

#include <glib.h>
#include <stdarg.h>
#include <string.h>

#include "answer.h"
#include "attestation-vector.h"
#include "base64.h"
#include "exit-code.h"

#define N_MUTATIONS 4000

/* Of the program, which is not in this test. */
int
cmk_fail (int code, const char *format, ...)
{
  (void) format;
  return code;
}

static void
decode (const char *text, CmkBuffer *ret_data)
{
  *ret_data = cmk_buffer_new (CMK_BASE64_BYTES (strlen (text)) + 64); /* room to grow */
  g_assert_true (cmk_base64_decode (text, strlen (text), ret_data->data, &ret_data->size));
}

static void
set_up (CmkAttestation *attestation)
{
  *attestation = (CmkAttestation) { 0 };
  for (gsize i = 0; i < G_N_ELEMENTS (vector_parts); i++)
    decode (vector_parts[i], &attestation->parts[i]);
  decode (vector_nonce, &attestation->nonce);
}

static void
tear_down (CmkAttestation *attestation)
{
  for (gsize i = 0; i < G_N_ELEMENTS (vector_parts); i++)
    cmk_buffer_clear (&attestation->parts[i]);
  cmk_buffer_clear (&attestation->nonce);
  cmk_buffer_clear (&attestation->known_signer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkAttestation, tear_down)

static gboolean
is_accepted (const CmkAttestation *attestation)
{
  CmkFindings findings;
  return cmk_attestation_module.verify (attestation, &findings) == NULL;
}

static void
test_accepted (void)
{
  g_auto (CmkAttestation) attestation;
  CmkFindings findings;
  set_up (&attestation);
  g_assert_cmpstr (cmk_attestation_module.verify (&attestation, &findings), ==, NULL);
  g_assert_cmpuint (findings.modulus_bits, ==, 2048);
  g_assert_false (findings.is_known_signer);
  g_assert_false (findings.is_genuine_maker);

  g_assert_false (findings.is_credential_opened);

  decode (vector_parts[CMK_ATTESTED_SIGNER_AREA], &attestation.known_signer);
  g_assert_cmpstr (cmk_attestation_module.verify (&attestation, &findings), ==, NULL);
  g_assert_true (findings.is_known_signer);
}

static void
test_every_byte (void)
{
  g_auto (CmkAttestation) attestation;
  set_up (&attestation);
  for (gsize part = 0; part < G_N_ELEMENTS (vector_parts); part++)
    for (gsize place = 0; place < attestation.parts[part].size; place++)
      {
        guint8 bit = (guint8) (1 << place % 8);
        attestation.parts[part].data[place] ^= bit;
        if (is_accepted (&attestation))
          g_error ("accepted with bit %u of byte %zu of part %zu flipped", bit, place, part);
        attestation.parts[part].data[place] ^= bit;
      }
  g_assert_true (is_accepted (&attestation));
}

static void
test_every_length (void)
{
  g_auto (CmkAttestation) attestation;
  set_up (&attestation);
  for (gsize part = 0; part < G_N_ELEMENTS (vector_parts); part++)
    {
      CmkBuffer *buffer = &attestation.parts[part];
      gsize size = buffer->size;
      for (buffer->size = 0; buffer->size <= buffer->capacity; buffer->size++)
        if (buffer->size != size)
          g_assert_false (is_accepted (&attestation));
      buffer->size = size;
    }
  g_assert_true (is_accepted (&attestation));
}

/* One to four bytes of any value, at any place, at times with an end of another length: a size in a structure that
 * reaches past the end, say. */
static void
mutate (GRand *random, CmkBuffer *buffer)
{
  for (gint32 n = g_rand_int_range (random, 1, 5); n > 0; n--)
    buffer->data[g_rand_int_range (random, 0, (gint32) buffer->size)] = (guint8) g_rand_int_range (random, 0, 256);
  if (g_rand_int_range (random, 0, 4) == 0)
    buffer->size = (gsize) g_rand_int_range (random, 1, (gint32) buffer->capacity);
}

static void
test_at_random (void)
{
  g_auto (CmkAttestation) attestation;
  g_autoptr (GRand) random = g_rand_new_with_seed (5);
  set_up (&attestation);
  for (guint i = 0; i < N_MUTATIONS; i++)
    {
      CmkBuffer *buffer = &attestation.parts[g_rand_int_range (random, 0, G_N_ELEMENTS (vector_parts))];
      g_autofree guint8 *before = g_memdup2 (buffer->data, buffer->capacity);
      gsize size = buffer->size;
      mutate (random, buffer);
      gboolean is_same = buffer->size == size && memcmp (buffer->data, before, size) == 0;
      g_assert_cmpint (is_accepted (&attestation), ==, is_same);
      memcpy (buffer->data, before, buffer->capacity);
      buffer->size = size;
    }
}

/* --- the file that it comes in --- */

typedef struct
{
  const char *name;
  const char *text;
  const char *value; /* of "a"; NULL: refused */
} AnswerCase;

static const AnswerCase answer_cases[] = {
  { "/answer/string", "{\"a\": \"b\"}", "b" },
  { "/answer/empty-string", "{\"a\": \"\"}", "" },
  { "/answer/white-space", " {\n\"a\"\t:\r\"b\" }\n\n", "b" },
  { "/answer/other-members", "{\"x\": 1, \"y\": true, \"a\": \"b\", \"z\": null}", "b" },
  { "/answer/refuses-nothing", "", NULL },
  { "/answer/refuses-no-members", "{}", NULL },
  { "/answer/refuses-list", "[\"a\"]", NULL },
  { "/answer/refuses-name-twice", "{\"a\": \"b\", \"a\": \"b\"}", NULL },
  { "/answer/refuses-escapes", "{\"a\": \"\\u0062\"}", NULL },
  { "/answer/refuses-escaped-name", "{\"\\u0061\": \"b\"}", NULL },
  { "/answer/refuses-object-inside", "{\"x\": {}, \"a\": \"b\"}", NULL },
  { "/answer/refuses-list-inside", "{\"x\": [], \"a\": \"b\"}", NULL },
  { "/answer/refuses-control-characters", "{\"a\": \"b\n\"}", NULL },
  { "/answer/refuses-what-follows", "{\"a\": \"b\"} x", NULL },
  { "/answer/refuses-comma-at-the-end", "{\"a\": \"b\",}", NULL },
  { "/answer/refuses-no-end", "{\"a\": \"b\"", NULL },
  { "/answer/refuses-no-end-of-string", "{\"a\": \"b", NULL },
  { "/answer/refuses-no-value", "{\"a\":}", NULL },
  { "/answer/refuses-no-colon", "{\"a\" \"b\"}", NULL },
};

static CmkBuffer
buffer_of (const char *text, gsize size)
{
  CmkBuffer buffer = cmk_buffer_new (size);
  memcpy (buffer.data, text, size);
  buffer.size = size;
  return buffer;
}

static void
test_answer (gconstpointer data)
{
  const AnswerCase *test = data;
  CmkBuffer text = buffer_of (test->text, strlen (test->text));
  CmkValue map = { 0 };
  g_assert_cmpint (cmk_answer_read (&text, &map), ==, test->value != NULL);
  g_assert_cmpstr (cmk_value_get_string (&map, "a"), ==, test->value);
  cmk_value_clear (&map);
  cmk_buffer_clear (&text);
}

static void
test_answer_with_nul (void)
{
  CmkBuffer text = buffer_of ("{\"a\": \"b\"}\0", 11);
  CmkValue map = { 0 };
  g_assert_false (cmk_answer_read (&text, &map));
  cmk_buffer_clear (&text);
}

static void
test_answers_at_random (void)
{
  static const char alphabet[] = "{}[]:,\"\\ \n1ab\0";
  g_autoptr (GRand) random = g_rand_new_with_seed (6);
  CmkBuffer text = buffer_of (answer_cases[3].text, strlen (answer_cases[3].text));
  for (guint i = 0; i < N_MUTATIONS; i++)
    {
      CmkValue map = { 0 };
      guint8 *byte = &text.data[g_rand_int_range (random, 0, (gint32) text.size)];
      guint8 before = *byte;
      *byte = (guint8) alphabet[g_rand_int_range (random, 0, sizeof alphabet - 1)];
      if (cmk_answer_read (&text, &map))
        cmk_value_clear (&map);
      if (i % 4 == 0)
        *byte = before;
    }
  cmk_buffer_clear (&text);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/attestation/what-a-tpm-answered-is-accepted", test_accepted);
  g_test_add_func ("/attestation/no-byte-may-be-changed", test_every_byte);
  g_test_add_func ("/attestation/no-part-may-have-another-length", test_every_length);
  g_test_add_func ("/attestation/nothing-may-be-changed-at-random", test_at_random);
  for (gsize i = 0; i < G_N_ELEMENTS (answer_cases); i++)
    g_test_add_data_func (answer_cases[i].name, &answer_cases[i], test_answer);
  g_test_add_func ("/answer/refuses-nul-bytes", test_answer_with_nul);
  g_test_add_func ("/answer/at-random", test_answers_at_random);
  return g_test_run ();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/transport.h"

#include <string.h>
#include <tss2/tss2_tctildr.h>

#include "tpm/tpm.h"

#define MAGIC       0x434d4b4454505431ULL
#define HEADER_SIZE 10 /* of commands and of answers: tag, size, code */
#define CODE_AT     6

#define DEFAULT_ANSWER_SECONDS 15
#define KEY_SECONDS            120 /* legacy chips were seen to take that long for an RSA key */
#define CLEANUP_SECONDS        2   /* to leave nothing behind when the time of a call is over */
#define SILENCES               4   /* after so many times the answer time it is tried on a thread more */
#define MAX_STUCK              2

/* What a thread and the one who waits for it have in common. The buffers are the thread's while it is busy. */
typedef struct
{
  GThread *thread;
  GCond changed;
  char *tcti;
  gboolean is_busy;
  gboolean is_closing;
  gboolean is_abandoned; /* the thread has it for itself */
  gboolean is_late;      /* the thread came back to nobody; its own */
  TSS2_RC rc;
  GArray *left; /* TPM2_HANDLE */
  gsize command_size;
  gsize answer_size;
  guint8 command[TPM2_MAX_COMMAND_SIZE];
  guint8 answer[TPM2_MAX_RESPONSE_SIZE];
} Line;

typedef struct
{
  TSS2_TCTI_CONTEXT_COMMON_V1 common;
  Line *line;   /* NULL: abandoned */
  gint64 since; /* when the last command was sent, by g_get_monotonic_time() */
  gboolean is_under_way;
} Transport;

static GMutex mutex; /* for every line, and for the next three */
static guint n_stuck;
static gint64 stuck_since; /* the last */
static Line *stuck;        /* the last, until it comes back */

static Line *waited_for;
static gint64 hurried_at;
static gint is_hurried; /* atomic */

static guint answer_seconds = DEFAULT_ANSWER_SECONDS;
static gboolean is_shared; /* the time, by the commands of a call */
static gint64 spent;

static guint32
read_u32 (const guint8 *bytes)
{
  return (guint32) bytes[0] << 24 | (guint32) bytes[1] << 16 | (guint32) bytes[2] << 8 | bytes[3];
}

static guint16
read_u16 (const guint8 *bytes)
{
  return (guint16) (bytes[0] << 8 | bytes[1]);
}

/* --- on the thread ----------------------------------------------------------------------------------------------- */

static TSS2_RC
exchange (TSS2_TCTI_CONTEXT *tcti, Line *line)
{
  line->answer_size = sizeof line->answer;
  TSS2_RC rc = Tss2_Tcti_Transmit (tcti, line->command_size, line->command);
  return rc != TSS2_RC_SUCCESS ? rc
                               : Tss2_Tcti_Receive (tcti, &line->answer_size, line->answer, TSS2_TCTI_TIMEOUT_BLOCK);
}

/* Tell @rc and wait for the next command. FALSE: there will be none. */
static gboolean
take_next (Line *line, TSS2_RC rc)
{
  g_mutex_lock (&mutex);
  line->rc = rc;
  line->is_busy = FALSE;
  g_cond_broadcast (&line->changed);
  while (!line->is_busy && !line->is_abandoned)
    g_cond_wait (&line->changed, &mutex);
  line->is_late = line->is_abandoned;
  gboolean goes_on = !line->is_closing && !line->is_abandoned;
  g_mutex_unlock (&mutex);
  return goes_on;
}

static void
flush (TSS2_TCTI_CONTEXT *tcti, const guint8 handle[4])
{
  guint8 command[HEADER_SIZE + 4] = {
    0x80, 0x01, 0, 0, 0, sizeof command, 0, 0, TPM2_CC_FlushContext >> 8, TPM2_CC_FlushContext & 0xff
  };
  guint8 answer[TPM2_MAX_RESPONSE_SIZE];
  gsize size = sizeof answer;
  memcpy (command + HEADER_SIZE, handle, 4);
  if (Tss2_Tcti_Transmit (tcti, sizeof command, command) == TSS2_RC_SUCCESS)
    (void) Tss2_Tcti_Receive (tcti, &size, answer, TSS2_TCTI_TIMEOUT_BLOCK);
}

/* Nobody can leave more to @line from here on. */
static GArray *
take_left (Line *line)
{
  g_mutex_lock (&mutex);
  GArray *left = line->left;
  line->left = g_array_new (FALSE, FALSE, sizeof (TPM2_HANDLE));
  if (stuck == line)
    stuck = NULL;
  g_mutex_unlock (&mutex);
  return left;
}

/* Does its answer begin with the handle of what is loaded now? */
static gboolean
gives_handle (TPM2_CC code)
{
  return code == TPM2_CC_StartAuthSession || code == TPM2_CC_CreatePrimary || code == TPM2_CC_Load ||
         code == TPM2_CC_ContextLoad || code == TPM2_CC_HMAC_Start;
}

/* An answer that nobody waits for any more has come: the TPM was not restarted, so what it holds of ours is still ours.
 * A resource manager does the same when the connection goes. */
static void
give_back (TSS2_TCTI_CONTEXT *tcti, Line *line)
{
  if (line->rc != TSS2_RC_SUCCESS || line->answer_size < HEADER_SIZE)
    return;
  if (read_u32 (line->answer + CODE_AT) == TPM2_RC_SUCCESS && line->answer_size >= HEADER_SIZE + 4 &&
      gives_handle (read_u32 (line->command + CODE_AT)))
    flush (tcti, line->answer + HEADER_SIZE);
  g_autoptr (GArray) left = take_left (line);
  for (guint i = 0; i < left->len; i++)
    {
      guint32 handle = GUINT32_TO_BE (g_array_index (left, TPM2_HANDLE, i));
      flush (tcti, (const guint8 *) &handle);
    }
}

static void
free_line (Line *line)
{
  g_array_unref (line->left);
  g_cond_clear (&line->changed);
  g_free (line->tcti);
  g_free (line);
}

static gpointer
serve (gpointer data)
{
  Line *line = data;
  TSS2_TCTI_CONTEXT *tcti = NULL;
  TSS2_RC rc = Tss2_TctiLdr_Initialize (line->tcti, &tcti);
  while (take_next (line, rc))
    rc = exchange (tcti, line);
  if (line->is_late)
    give_back (tcti, line);
  if (tcti != NULL)
    Tss2_TctiLdr_Finalize (&tcti);

  g_mutex_lock (&mutex);
  line->is_busy = FALSE;
  g_cond_broadcast (&line->changed);
  gboolean is_abandoned = line->is_abandoned;
  if (is_abandoned)
    n_stuck--;
  if (stuck == line)
    stuck = NULL;
  g_mutex_unlock (&mutex);
  if (is_abandoned)
    free_line (line);
  return NULL;
}

/* --- time -------------------------------------------------------------------------------------------------------- */

void
cmk_tpm_set_answer_seconds (guint seconds)
{
  answer_seconds = seconds;
}

guint
cmk_transport_answer_seconds (void)
{
  return answer_seconds;
}

void
cmk_tpm_begin_call (void)
{
  is_shared = TRUE;
  spent = 0;
}

gint64
cmk_transport_time_left (void)
{
  gint64 all = answer_seconds * G_USEC_PER_SEC;
  return is_shared ? MAX (all - spent, 0) : all;
}

void
cmk_transport_spend (gint64 microseconds)
{
  spent += microseconds;
}

static gint64
time_to_clean_up (void)
{
  return MAX (cmk_transport_time_left (), MIN (CLEANUP_SECONDS, answer_seconds) * G_USEC_PER_SEC);
}

/* Is it a TPM2_Create or TPM2_CreatePrimary of a key pair? The template follows the authorisations and the sensitive
 * area. */
static gboolean
makes_pair (const guint8 *command, gsize size)
{
  gsize at = HEADER_SIZE + 4;
  guint32 code = read_u32 (command + CODE_AT);
  if ((code != TPM2_CC_Create && code != TPM2_CC_CreatePrimary) || size < at + 4)
    return FALSE;
  at += 4 + read_u32 (command + at);
  if (size < at + 2)
    return FALSE;
  at += 2 + read_u16 (command + at);
  if (size < at + 4)
    return FALSE;
  guint16 type = read_u16 (command + at + 2);
  return type == TPM2_ALG_RSA || type == TPM2_ALG_ECC;
}

static gboolean
has_own_time (const guint8 *command, gsize size)
{
  return !g_atomic_int_get (&is_hurried) &&
         (read_u32 (command + CODE_AT) == TPM2_CC_Import || makes_pair (command, size));
}

static gint64
time_for (const guint8 *command, gsize size)
{
  if (has_own_time (command, size))
    return MAX (KEY_SECONDS, answer_seconds) * G_USEC_PER_SEC;
  return read_u32 (command + CODE_AT) == TPM2_CC_FlushContext ? time_to_clean_up () : cmk_transport_time_left ();
}

/* --- waiting for the thread -------------------------------------------------------------------------------------- */

void
cmk_tpm_hurry (void)
{
  g_mutex_lock (&mutex);
  if (g_atomic_int_compare_and_exchange (&is_hurried, FALSE, TRUE))
    hurried_at = g_get_monotonic_time ();
  if (waited_for != NULL)
    g_cond_broadcast (&waited_for->changed);
  g_mutex_unlock (&mutex);
}

/* A wait that had begun before somebody was in a hurry ends soon after. */
static gint64
hurry (gint64 began, gint64 when)
{
  return hurried_at > began ? MIN (when, hurried_at + answer_seconds * G_USEC_PER_SEC) : when;
}

/* The mutex is held. FALSE: it does not come back in time, and @line is no longer the caller's. */
static gboolean
wait_until (Line *line, gint64 when)
{
  gint64 began = g_get_monotonic_time ();
  gboolean is_late = FALSE;
  waited_for = line;
  while (line->is_busy && !is_late)
    is_late = !g_cond_wait_until (&line->changed, &mutex, hurry (began, when)) && line->is_busy;
  waited_for = NULL;
  if (!is_late)
    return TRUE;
  line->is_abandoned = TRUE;
  g_thread_unref (line->thread);
  stuck = line;
  stuck_since = g_get_monotonic_time ();
  n_stuck++;
  return FALSE;
}

static void
close_line (Line *line)
{
  g_mutex_lock (&mutex);
  line->is_closing = line->is_busy = TRUE;
  g_cond_broadcast (&line->changed);
  gboolean ended = wait_until (line, g_get_monotonic_time () + time_to_clean_up ());
  g_mutex_unlock (&mutex);
  if (!ended)
    return;
  g_thread_join (line->thread);
  free_line (line);
}

static gboolean
may_try (void)
{
  gint64 pause = SILENCES * answer_seconds * G_USEC_PER_SEC;
  return n_stuck == 0 || (n_stuck < MAX_STUCK && g_get_monotonic_time () - stuck_since > pause);
}

static TSS2_RC
open_line (const char *tcti, Line **ret_line)
{
  Line *line = g_new0 (Line, 1);
  g_cond_init (&line->changed);
  line->tcti = g_strdup (tcti);
  line->left = g_array_new (FALSE, FALSE, sizeof (TPM2_HANDLE));
  line->is_busy = TRUE;

  g_mutex_lock (&mutex);
  line->thread = may_try () ? g_thread_try_new ("cmkd-tpm", serve, line, NULL) : NULL;
  gboolean is_there = line->thread != NULL;
  gboolean is_ready = is_there && wait_until (line, g_get_monotonic_time () + time_to_clean_up ());
  g_mutex_unlock (&mutex);
  if (!is_there)
    free_line (line);
  if (!is_ready)
    return CMK_TRANSPORT_RC_SILENT;
  *ret_line = line;
  return line->rc;
}

/* --- the TCTI ---------------------------------------------------------------------------------------------------- */

static TSS2_RC
transmit (TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
  Transport *transport = (Transport *) context;
  Line *line = transport->line;
  if (line == NULL || size < HEADER_SIZE || size > sizeof line->command || time_for (command, size) == 0)
    return CMK_TRANSPORT_RC_SILENT;
  transport->since = g_get_monotonic_time ();
  transport->is_under_way = TRUE;
  g_mutex_lock (&mutex);
  memcpy (line->command, command, size);
  line->command_size = size;
  line->is_busy = TRUE;
  g_cond_broadcast (&line->changed);
  g_mutex_unlock (&mutex);
  return TSS2_RC_SUCCESS;
}

/* Do the sizes in an answer that has authorisations stay within it? tpm2-tss hashes as many parameters as they say, and
 * decrypts as many bytes of the first, whatever there is. */
static gboolean
has_sound_sizes (const Line *line, TPM2_CC code)
{
  gsize at = HEADER_SIZE + (gives_handle (code) ? 4 : 0);
  if (line->answer_size < at + 4)
    return FALSE;
  gsize size = read_u32 (line->answer + at);
  at += 4;
  if (size > line->answer_size - at)
    return FALSE;
  /* The first is a TPM2B wherever we have it encrypted. */
  return size == 0 || code == TPM2_CC_Sign || (size >= 2 && read_u16 (line->answer + at) <= size - 2);
}

/* What every answer must be before tpm2-tss reads it, which takes the rest of its buffer for one that is cut short. */
static gboolean
is_answer (const Line *line)
{
  const guint8 *answer = line->answer, *command = line->command;
  if (line->answer_size < HEADER_SIZE || read_u32 (answer + 2) != line->answer_size)
    return FALSE;
  if (read_u32 (answer + CODE_AT) != TPM2_RC_SUCCESS)
    return TRUE;
  if (read_u16 (answer) != read_u16 (command) ||
      (read_u16 (answer) == TPM2_ST_SESSIONS && !has_sound_sizes (line, read_u32 (command + CODE_AT))))
    return FALSE;
  switch (read_u32 (command + CODE_AT))
    {
    case TPM2_CC_ContextLoad:
    case TPM2_CC_ContextSave:
    case TPM2_CC_GetCapability:
    case TPM2_CC_NV_ReadPublic:
    case TPM2_CC_ReadPublic:
    case TPM2_CC_StartAuthSession:
      return line->answer_size > HEADER_SIZE;
    default:
      return TRUE; /* what is done in a session has a check of its own */
    }
}

/* ESYS asks for the size first, with @answer NULL. */
static TSS2_RC
take_answer (Line *line, size_t *size, uint8_t *answer)
{
  gsize room = *size;
  *size = line->answer_size;
  if (answer == NULL)
    return TSS2_RC_SUCCESS;
  if (room < line->answer_size)
    return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
  memset (answer + line->answer_size, 0, room - line->answer_size);
  memcpy (answer, line->answer, line->answer_size);
  explicit_bzero (line->answer, line->answer_size);
  explicit_bzero (line->command, line->command_size);
  return TSS2_RC_SUCCESS;
}

/* FALSE: there is none in time. */
static gboolean
await_answer (Transport *transport)
{
  Line *line = transport->line;
  gint64 since = transport->since;
  /* The thread only reads the command. */
  gint64 limit = since + time_for (line->command, line->command_size);
  gboolean is_charged = !has_own_time (line->command, line->command_size);
  g_mutex_lock (&mutex);
  gboolean answered = wait_until (line, limit);
  g_mutex_unlock (&mutex);
  if (is_charged)
    spent += g_get_monotonic_time () - since;
  return answered;
}

static TSS2_RC
receive (TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *answer, G_GNUC_UNUSED int32_t timeout)
{
  Transport *transport = (Transport *) context;
  if (transport->line == NULL)
    return CMK_TRANSPORT_RC_SILENT;
  if (transport->is_under_way && !await_answer (transport))
    {
      transport->line = NULL;
      return CMK_TRANSPORT_RC_SILENT;
    }
  transport->is_under_way = FALSE;
  Line *line = transport->line;
  if (line->rc != TSS2_RC_SUCCESS)
    return line->rc;
  return is_answer (line) ? take_answer (line, size, answer) : TSS2_TCTI_RC_MALFORMED_RESPONSE;
}

static TSS2_RC
cancel (G_GNUC_UNUSED TSS2_TCTI_CONTEXT *context)
{
  return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC
get_poll_handles (G_GNUC_UNUSED TSS2_TCTI_CONTEXT *context, G_GNUC_UNUSED TSS2_TCTI_POLL_HANDLE *handles,
                  G_GNUC_UNUSED size_t *n_handles)
{
  return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC
set_locality (G_GNUC_UNUSED TSS2_TCTI_CONTEXT *context, G_GNUC_UNUSED uint8_t locality)
{
  return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static void
finalize (TSS2_TCTI_CONTEXT *context)
{
  Transport *transport = (Transport *) context;
  if (transport->line != NULL)
    close_line (g_steal_pointer (&transport->line));
}

TSS2_RC
cmk_transport_open (const char *tcti, TSS2_TCTI_CONTEXT **ret_context)
{
  Line *line = NULL;
  TSS2_RC rc = open_line (tcti, &line);
  if (rc != TSS2_RC_SUCCESS && line != NULL)
    close_line (line);
  if (rc != TSS2_RC_SUCCESS)
    return rc;
  Transport *transport = g_new (Transport, 1);
  *transport = (Transport) {
    .common = { .magic = MAGIC,
                .version = 1,
                .transmit = transmit,
                .receive = receive,
                .finalize = finalize,
                .cancel = cancel,
                .getPollHandles = get_poll_handles,
                .setLocality = set_locality },
    .line = line,
  };
  *ret_context = (TSS2_TCTI_CONTEXT *) transport;
  return TSS2_RC_SUCCESS;
}

void
cmk_transport_close (TSS2_TCTI_CONTEXT **context)
{
  if (*context == NULL)
    return;
  finalize (*context);
  g_clear_pointer (context, g_free);
}

void
cmk_transport_leave (TPM2_HANDLE handle)
{
  g_mutex_lock (&mutex);
  if (stuck != NULL)
    g_array_append_val (stuck->left, handle);
  g_mutex_unlock (&mutex);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a caller waits, in rounds that take turns, so that what else the machine does falls on all alike:
 *
 *     latency ADDRESS warm ROUNDS CALLS
 *         calls that need neither TPM nor disk, and their floors
 *     latency ADDRESS import ROUNDS IMPORTS DIRECTORY
 *         the import flow, a fresh key each time, and its floors: the bus, and a flushed write in DIRECTORY
 *     latency ADDRESS beside ROUNDS CALLS
 *         Encrypt alone, and beside a client that imports: with a fresh pair each time, and with one token
 *
 * Prints a line for each case: its name, then microseconds of each call, separated by tabs. */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case.h"
#include "cmkd.h"
#include "echo.h"

#define PLAINTEXT_SIZE  4096
#define EMPTY_PER_ROUND 50 /* of the rare, slow calls */

static Case
new_floor (const char *name, const char *method, GVariant *arguments)
{
  Call call = kms_method (ECHO_NAME, method, arguments);
  call.destination = ECHO_NAME;
  call.path = ECHO_PATH;
  return case_new (name, call);
}

static char *
make_plaintext (void)
{
  g_autofree guint8 *plaintext = g_malloc (PLAINTEXT_SIZE);
  for (gsize i = 0; i < PLAINTEXT_SIZE; i++)
    plaintext[i] = (guint8) (i * 167 + i / 251);
  return g_base64_encode (plaintext, PLAINTEXT_SIZE);
}

static GVariant *
encrypt_arguments (const char *key, const char *plaintext)
{
  return g_variant_new_parsed ("(%s, %s, @a{sv} {})", key, plaintext);
}

/* --- warm --- */

static void
run_warm (GDBusConnection *bus, guint rounds, guint calls)
{
  g_autofree char *key = kms_create_key (bus, "CMKD_KMS");
  g_autofree char *plaintext = make_plaintext ();
  GVariant *bytes = g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, plaintext, PLAINTEXT_SIZE, TRUE, NULL, NULL);
  Call encrypt = kms_method (CMKD_INTERFACE_CRYPTO, "Encrypt", encrypt_arguments (key, plaintext));
  g_autofree char *blob = kms_ask (bus, &encrypt, "CiphertextBlob");
  Case cases[] = {
    new_floor ("empty", "Empty", NULL),
    new_floor ("echo 4 KB ay", "EchoBytes", g_variant_new_tuple (&bytes, 1)),
    new_floor ("echo 5464 s", "EchoText", g_variant_new ("(s)", plaintext)),
    new_floor ("echo as Encrypt", "EchoEncrypt", encrypt_arguments (key, plaintext)),
    case_new ("DescribeKey", kms_method (CMKD_INTERFACE_KEYS, "DescribeKey", g_variant_new ("(s)", key))),
    case_new ("Encrypt 4 KB", encrypt),
    case_new ("Decrypt 4 KB",
              kms_method (CMKD_INTERFACE_CRYPTO, "Decrypt", g_variant_new_parsed ("(%s, @a{sv} {})", blob))),
    case_new ("GenerateDataKey",
              kms_method (CMKD_INTERFACE_CRYPTO, "GenerateDataKey", g_variant_new_parsed ("(%s, @a{sv} {})", key))),
    case_new ("ListKeys, 100 keys",
              kms_method (CMKD_INTERFACE_KEYS, "ListKeys", g_variant_new_parsed ("({'Limit': <uint32 100>},)"))),
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    g_variant_unref (kms_call (bus, &cases[i].call));
  for (guint round = 0; round < rounds; round++)
    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
      case_measure_times (bus, &cases[i], calls);
  case_print_all (cases, G_N_ELEMENTS (cases));
}

/* --- import --- */

static void
import_once (GDBusConnection *bus, Case *get_parameters, Case *import)
{
  g_autofree char *key = kms_create_key (bus, "EXTERNAL");
  get_parameters->call = kms_get_parameters (key);
  g_autoptr (GVariant) parameters = case_measure (bus, get_parameters);
  import->call = kms_import (key, parameters);
  g_variant_unref (case_measure (bus, import));
  call_clear (&get_parameters->call);
  call_clear (&import->call);
}

/* What a durable answer costs at least. */
static void
measure_flush (int file, Case *flush)
{
  static const guint8 page[4096];
  double start = now_micros ();
  g_assert_cmpint (write (file, page, sizeof page), ==, sizeof page);
  g_assert_cmpint (fdatasync (file), ==, 0);
  case_add (flush, now_micros () - start);
}

static void
run_import (GDBusConnection *bus, guint rounds, guint imports, const char *directory)
{
  int file = open (directory, O_TMPFILE | O_WRONLY, 0600);
  g_assert_cmpint (file, >=, 0);
  Case cases[] = {
    new_floor ("empty", "Empty", NULL),
    case_new ("append of 4 KB and fdatasync", (Call) { 0 }),
    case_new ("GetParametersForImport", (Call) { 0 }),
    case_new ("ImportKeyMaterial", (Call) { 0 }),
  };
  for (guint round = 0; round < rounds; round++)
    {
      case_measure_times (bus, &cases[0], EMPTY_PER_ROUND);
      for (guint i = 0; i < imports; i++)
        {
          measure_flush (file, &cases[1]);
          import_once (bus, &cases[2], &cases[3]);
        }
    }
  close (file);
  case_print_all (cases, G_N_ELEMENTS (cases));
}

/* --- beside --- */

typedef enum
{
  FRESH_PAIRS = 'f',
  ONE_TOKEN = 'o',
} Importing;

/* The other client: told over a socket how to import, says when it begins, goes on until told again, and answers how
 * often it did. */
typedef struct
{
  int socket;
  pid_t pid;
} Importer;

static gboolean
is_told (int socket)
{
  struct pollfd poller = { .fd = socket, .events = POLLIN };
  return poll (&poller, 1, 0) == 1;
}

static guint32
import_until_told (GDBusConnection *bus, const char *key, Importing importing, int socket)
{
  g_auto (Call) get_parameters = kms_get_parameters (key);
  g_autoptr (GVariant) parameters = kms_call (bus, &get_parameters);
  g_auto (Call) import = kms_import (key, parameters);
  guint32 count = 0;
  g_assert_cmpint (write (socket, ".", 1), ==, 1);
  while (!is_told (socket))
    {
      g_variant_unref (kms_call (bus, &import));
      count++;
      if (importing == ONE_TOKEN)
        continue;
      g_autoptr (GVariant) fresh = kms_call (bus, &get_parameters);
      call_clear (&import);
      import = kms_import (key, fresh);
    }
  return count;
}

G_NORETURN static void
be_importer (const char *address, int socket)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  g_autoptr (GDBusConnection) bus = kms_connect (address);
  g_autofree char *key = kms_create_key (bus, "EXTERNAL");
  char importing, end;
  while (read (socket, &importing, 1) == 1)
    {
      guint32 count = import_until_told (bus, key, (Importing) importing, socket);
      if (read (socket, &end, 1) != 1 || write (socket, &count, sizeof count) != sizeof count)
        break;
    }
  _exit (EXIT_SUCCESS);
}

static Importer
start_importer (const char *address)
{
  int sockets[2];
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, sockets), ==, 0);
  pid_t pid = fork ();
  if (pid == 0)
    {
      close (sockets[0]);
      be_importer (address, sockets[1]);
    }
  close (sockets[1]);
  return (Importer) { .socket = sockets[0], .pid = pid };
}

static void
tell (const Importer *importer, char what)
{
  g_assert_cmpint (write (importer->socket, &what, 1), ==, 1);
}

static void
measure_beside (GDBusConnection *bus, const Importer *importer, Importing importing, Case *encrypt, Case *rate,
                guint calls)
{
  char begun;
  guint32 count;
  tell (importer, (char) importing);
  g_assert_cmpint (read (importer->socket, &begun, 1), ==, 1);
  double start = now_micros ();
  case_measure_times (bus, encrypt, calls);
  tell (importer, '.');
  g_assert_cmpint (read (importer->socket, &count, sizeof count), ==, sizeof count);
  case_add (rate, count * 1e6 / (now_micros () - start));
}

static Case
new_encrypt_case (const char *name, const char *key, const char *plaintext)
{
  return case_new (name, kms_method (CMKD_INTERFACE_CRYPTO, "Encrypt", encrypt_arguments (key, plaintext)));
}

static void
run_beside (GDBusConnection *bus, const Importer *importer, guint rounds, guint calls)
{
  g_autofree char *key = kms_create_key (bus, "CMKD_KMS");
  g_autofree char *plaintext = make_plaintext ();
  Case cases[] = {
    new_encrypt_case ("alone", key, plaintext),
    new_encrypt_case ("beside imports with fresh pairs", key, plaintext),
    new_encrypt_case ("beside imports with one token", key, plaintext),
    case_new ("imports/s with fresh pairs", (Call) { 0 }),
    case_new ("imports/s with one token", (Call) { 0 }),
  };
  for (guint round = 0; round < rounds; round++)
    {
      case_measure_times (bus, &cases[0], calls);
      measure_beside (bus, importer, FRESH_PAIRS, &cases[1], &cases[3], calls);
      measure_beside (bus, importer, ONE_TOKEN, &cases[2], &cases[4], calls);
    }
  case_print_all (cases, G_N_ELEMENTS (cases));
  close (importer->socket);
  waitpid (importer->pid, NULL, 0);
}

int
main (int argc, char **argv)
{
  if (argc < 5)
    return 2;
  gboolean beside = g_str_equal (argv[2], "beside");
  /* Forks before GDBus has threads. */
  Importer importer = beside ? start_importer (argv[1]) : (Importer) { 0 };
  g_autoptr (GDBusConnection) bus = kms_connect (argv[1]);
  guint rounds = (guint) atoi (argv[3]);
  guint calls = (guint) atoi (argv[4]);
  if (beside)
    run_beside (bus, &importer, rounds, calls);
  else if (g_str_equal (argv[2], "import") && argc > 5)
    run_import (bus, rounds, calls, argv[5]);
  else
    run_warm (bus, rounds, calls);
  return EXIT_SUCCESS;
}

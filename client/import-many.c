/* SPDX-License-Identifier: Apache-2.0
 *
 * The file NAME.key is the material of the key alias/NAME, whose tag says of which directory it is, by an id that is
 * kept there. That is all that is kept of a run, so a run that was interrupted is taken up by running it again: a key
 * that has material takes the same once more, and no other; one that waits for it gets it, one that is not there is
 * made. One file after the other: the daemon makes a wrapping key for each, which takes longer than all the rest. */
#include "import-many.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"
#include "import.h"
#include "input.h"
#include "output-file.h"
#include "output.h"
#include "progress.h"
#include "spec.h"
#include "text.h"
#include "wrapping.h"

#define ID_FILE     ".cmkctl-import"
#define ID_BYTES    16
#define ID_CHARS    (2 * ID_BYTES)
#define ALIAS_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

typedef enum
{
  RESULT_IMPORTED,
  RESULT_ALREADY_THERE,
  RESULT_FAILED,
  N_RESULTS,
} Result;

static const char *const result_names[N_RESULTS] = { "Imported", "AlreadyThere", "Failed" };

typedef struct
{
  const char *directory;
  char id[ID_CHARS + 1]; /* of the directory */
  const CmkSpec *spec;
  const char *usage; /* NULL: by the spec */
  CmkImportJob job;  /* but for its key */
  CmkBus *bus;
  CmkValue keys; /* what became of each file */
  uint64_t counts[N_RESULTS];
} Run;

/* What is found of a file's key, and done with it. */
typedef struct
{
  const char *file;
  char *alias;
  char *origin; /* what the tag of its key says */
  char *key_id;
  bool has_material;
} Item;

static void
item_clear (Item *item)
{
  free (item->alias);
  free (item->origin);
  free (item->key_id);
}

static int
is_material (const struct dirent *entry)
{
  static const char *const endings[] = { ".key", ".bin", ".pem", ".der" };
  const char *dot = strrchr (entry->d_name, '.');

  for (size_t i = 0; dot != NULL && dot != entry->d_name && i < sizeof endings / sizeof *endings; i++)
    if (strcmp (dot, endings[i]) == 0)
      return 1;
  return 0;
}

static int
compare (const struct dirent **one, const struct dirent **other)
{
  return strcmp ((*one)->d_name, (*other)->d_name);
}

static int
name_key (const Run *run, Item *item)
{
  size_t length = (size_t) (strrchr (item->file, '.') - item->file);

  if (strspn (item->file, ALIAS_CHARS) != length || length > CMKD_MAX_ALIAS_CHARS)
    return cmk_fail (CMK_EXIT_REFUSED,
                     "what stands before the ending becomes an alias, so it is of letters, digits, '_' "
                     "and '-': rename the file");
  cmk_require_memory (asprintf (&item->alias, CMKD_ALIAS_PREFIX "%.*s", (int) length, item->file) >= 0);
  cmk_require_memory (asprintf (&item->origin, "%s/%s", run->id, item->file) >= 0);
  if (strlen (item->origin) > CMKD_MAX_TAG_VALUE_CHARS)
    return cmk_fail (CMK_EXIT_REFUSED, "the name is too long: rename the file");
  return CMK_EXIT_DONE;
}

/* A key of the same name may have nothing to do with the file: our material would be in a key of somebody else's
 * purpose. */
static int
check_metadata (const Run *run, const CmkValue *metadata, const Item *item)
{
  const CmkValue *tags = cmk_value_get (metadata, "Tags", CMK_VALUE_MAP);
  const char *tag = tags != NULL ? cmk_value_get_string (tags, CMK_IMPORT_FILE_TAG) : NULL;
  const char *origin, *spec, *usage;
  int code = cmk_value_require (metadata, "Origin", &origin);

  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (metadata, "KeySpec", &spec);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (metadata, "KeyUsage", &usage);
  if (code != CMK_EXIT_DONE)
    return code;

  if (tag == NULL || strcmp (tag, item->origin) != 0 || strcmp (origin, "EXTERNAL") != 0)
    return cmk_fail (
        CMK_EXIT_REFUSED,
        "%s is another key's, which was not made of this file of this directory: rename the file, or delete "
        "the alias",
        item->alias);
  if (strcmp (spec, run->spec->name) != 0)
    return cmk_fail (CMK_EXIT_REFUSED, "its key is of spec %s already: say --spec %s", spec, spec);
  if (run->usage != NULL && strcmp (usage, run->usage) != 0)
    return cmk_fail (CMK_EXIT_REFUSED, "its key is of usage %s already: say --usage %s", usage, usage);
  return CMK_EXIT_DONE;
}

/* Take what DescribeKey or CreateKey answered. */
static int
take_metadata (const Run *run, const CmkValue *answer, Item *item)
{
  const CmkValue *metadata = cmk_value_get (answer, "KeyMetadata", CMK_VALUE_MAP);
  const char *id, *state;
  int code;

  if (metadata == NULL)
    return cmk_value_fail_without ("KeyMetadata");
  code = cmk_value_require (metadata, "KeyId", &id);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (metadata, "KeyState", &state);
  if (code == CMK_EXIT_DONE)
    code = check_metadata (run, metadata, item);
  if (code != CMK_EXIT_DONE)
    return code;
  item->key_id = cmk_duplicate (id);
  item->has_material = strcmp (state, "Enabled") == 0;
  return CMK_EXIT_DONE;
}

/* No key of that alias is no error: then @item has none. */
static int
find_key (const Run *run, Item *item)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "DescribeKey");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code;

  cmk_call_add_string (call, item->alias);
  code = cmk_call_send (call, run->bus, &answer);
  if (code == CMK_EXIT_NO_SUCH_KEY)
    return CMK_EXIT_DONE;
  return code == CMK_EXIT_DONE ? take_metadata (run, &answer, item) : code;
}

/* Before a key is made for it: the daemon would find out only when there is one. */
static int
read_material (const Run *run, const Item *item, CmkMaterial *ret_material)
{
  _cleanup_ (cmk_freep) char *path = NULL;
  int code;

  cmk_require_memory (asprintf (&path, "%s/%s", run->directory, item->file) >= 0);
  code = cmk_wrapping_read_material (path, true, ret_material);
  return code == CMK_EXIT_DONE ? cmk_import_check (run->spec, ret_material) : code;
}

static int
create_key (const Run *run, Item *item)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "CreateKey");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  _cleanup_ (cmk_freep) char *tag = NULL;
  int code;

  cmk_require_memory (asprintf (&tag, CMK_IMPORT_FILE_TAG "=%s", item->origin) >= 0);
  cmk_call_begin_options (call);
  cmk_call_add_text_option (call, "Origin", "EXTERNAL");
  cmk_call_add_text_option (call, "KeySpec", run->spec->name);
  cmk_call_add_text_option (call, "KeyUsage", run->usage);
  cmk_call_add_text_option (call, "Alias", item->alias);
  cmk_call_add_pairs_option (call, "Tags", (const char *const *) &tag, 1);
  code = cmk_call_send (call, run->bus, &answer);
  return code == CMK_EXIT_DONE ? take_metadata (run, &answer, item) : code;
}

static int
import_file (const Run *run, Item *item, Result *ret_result)
{
  _cleanup_ (cmk_material_clear) CmkMaterial material = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  CmkImportJob job = run->job;
  int code = name_key (run, item);

  if (code == CMK_EXIT_DONE)
    code = find_key (run, item);
  if (code == CMK_EXIT_DONE)
    code = read_material (run, item, &material);
  if (code == CMK_EXIT_DONE && item->key_id == NULL)
    code = create_key (run, item);
  if (code != CMK_EXIT_DONE)
    return code;
  job.key_id = item->key_id;
  *ret_result = item->has_material ? RESULT_ALREADY_THERE : RESULT_IMPORTED;
  return cmk_import_material (run->bus, &job, &material, &answer);
}

static void
report (const CmkArguments *arguments, Run *run, const Item *item, Result result, const char *message)
{
  CmkValue *entry = cmk_value_append (&run->keys, NULL);

  run->counts[result]++;
  entry->kind = CMK_VALUE_MAP;
  cmk_value_append_text (entry, "File", item->file);
  if (item->key_id != NULL)
    cmk_value_append_text (entry, "KeyId", item->key_id);
  cmk_value_append_text (entry, "Result", result_names[result]);
  if (result == RESULT_FAILED)
    cmk_value_append_text (entry, "Error", message);

  if (result == RESULT_FAILED)
    cmk_fail (CMK_EXIT_REFUSED, "%s: %s", item->file, message);
  else if (!cmk_arguments_has (arguments, "json"))
    {
      _cleanup_ (cmk_freep) char *line = NULL;
      _cleanup_ (cmk_freep) char *shown = NULL;

      cmk_require_memory (asprintf (&line, "%s %s %s", item->key_id, result_names[result], item->file) >= 0);
      shown = cmk_text_clean (line);
      cmk_progress_hide ();
      puts (shown);
      fflush (stdout);
      cmk_progress_show ();
    }
}

/* What would befall each other file as well ends the run. */
static int
import_next (const CmkArguments *arguments, Run *run, const char *file)
{
  _cleanup_ (item_clear) Item item = { .file = file };
  _cleanup_ (cmk_freep) char *message = NULL;
  Result result = RESULT_FAILED;
  int code;

  cmk_fail_keep (&message);
  code = import_file (run, &item, &result);
  cmk_fail_keep (NULL);
  report (arguments, run, &item, code == CMK_EXIT_DONE ? result : RESULT_FAILED, message);
  return code == CMK_EXIT_DENIED || code == CMK_EXIT_NOT_THERE ? code : CMK_EXIT_DONE;
}

static void
print_summary (const CmkArguments *arguments, Run *run)
{
  CmkValue summary = { .kind = CMK_VALUE_MAP };

  if (!cmk_arguments_has (arguments, "json"))
    {
      printf ("%" PRIu64 " imported, %" PRIu64 " already there, %" PRIu64 " failed\n", run->counts[RESULT_IMPORTED],
              run->counts[RESULT_ALREADY_THERE], run->counts[RESULT_FAILED]);
      return;
    }
  for (int i = 0; i < N_RESULTS; i++)
    {
      CmkValue *count = cmk_value_append (&summary, result_names[i]);

      count->kind = CMK_VALUE_UNSIGNED;
      count->natural = run->counts[i];
    }
  run->keys.name = cmk_duplicate ("Keys");
  *cmk_value_append (&summary, NULL) = run->keys;
  run->keys = (CmkValue) { 0 };
  cmk_output_print_json (&summary);
  cmk_value_clear (&summary);
}

static int
make_id (Run *run, const char *path)
{
  _cleanup_ (cmk_output_file_closep) CmkOutputFile *file = NULL;
  uint8_t random[ID_BYTES];
  int code = cmk_output_file_open (path, false, &file);

  if (code != CMK_EXIT_DONE)
    return code;
  if (getrandom (random, sizeof random, 0) != sizeof random)
    return cmk_fail (CMK_EXIT_REFUSED, "the system gives out no random numbers");
  for (size_t i = 0; i < sizeof random; i++)
    sprintf (run->id + 2 * i, "%02x", random[i]);
  code = cmk_output_file_write (file, run->id, ID_CHARS);
  return code == CMK_EXIT_DONE ? cmk_output_file_commit (file) : code;
}

/* Two directories may both have a db.key: only the id of the directory tells whose a key is. */
static int
find_id (Run *run)
{
  _cleanup_ (cmk_freep) char *path = NULL;
  _cleanup_ (cmk_buffer_clear) CmkBuffer text = { 0 };
  int code;

  cmk_require_memory (asprintf (&path, "%s/" ID_FILE, run->directory) >= 0);
  if (access (path, F_OK) < 0 && errno == ENOENT)
    return make_id (run, path);
  code = cmk_input_read_file (path, "id of the directory", ID_CHARS, &text);
  if (code != CMK_EXIT_DONE)
    return code;
  if (text.size != ID_CHARS || strspn ((const char *) text.data, "0123456789abcdef") != ID_CHARS)
    return cmk_fail (CMK_EXIT_REFUSED,
                     "'%s' is not what cmkctl wrote: remove it, and no key of an earlier run is known", path);
  memcpy (run->id, text.data, ID_CHARS);
  return CMK_EXIT_DONE;
}

static void
free_entries (struct dirent **entries, int n_entries)
{
  for (int i = 0; i < n_entries; i++)
    free (entries[i]);
  free (entries);
}

static int
import_all (const CmkArguments *arguments, Run *run)
{
  struct dirent **entries;
  int n_entries = scandir (run->directory, &entries, is_material, compare);
  int code = CMK_EXIT_DONE;

  if (n_entries < 0)
    return cmk_fail (CMK_EXIT_REFUSED, "cannot read the directory '%s': %s", run->directory, strerror (errno));
  if (n_entries == 0)
    {
      free (entries);
      return cmk_fail (CMK_EXIT_REFUSED, "no file in '%s' ends with .key, .bin, .pem or .der", run->directory);
    }

  code = find_id (run);
  if (code != CMK_EXIT_DONE)
    {
      free_entries (entries, n_entries);
      return code;
    }
  cmk_progress_begin ("importing", CMK_PROGRESS_ITEMS, (uint64_t) n_entries);
  for (int i = 0; i < n_entries; i++)
    {
      if (code == CMK_EXIT_DONE)
        code = import_next (arguments, run, entries[i]->d_name);
      cmk_progress_update ((uint64_t) i + 1);
    }
  cmk_progress_end ();
  free_entries (entries, n_entries);
  print_summary (arguments, run);
  return code == CMK_EXIT_DONE && run->counts[RESULT_FAILED] > 0 ? CMK_EXIT_REFUSED : code;
}

static int
check (const CmkArguments *arguments)
{
  static const char *const of_one[] = { "material", "encrypted", "encrypted-private-key", "token", "sequence" };
  const char *expires = cmk_arguments_get (arguments, "expires", "never");
  int64_t expiry;

  if (arguments->n_operands > 0)
    return cmk_arguments_fail (arguments, "--from makes keys of its own: leave out the KEY");
  for (size_t i = 0; i < sizeof of_one / sizeof *of_one; i++)
    if (cmk_arguments_has (arguments, of_one[i]))
      return cmk_arguments_fail (arguments, "--%s is for one key, and --from for many", of_one[i]);
  return cmk_input_parse_expiry (expires, (int64_t) time (NULL), &expiry);
}

int
cmk_import_many (const CmkArguments *arguments)
{
  const char *spec = cmk_arguments_get (arguments, "spec", "AES_256");
  Run run = {
    .directory = cmk_arguments_get (arguments, "from", NULL),
    .spec = cmk_spec_find (spec),
    .usage = cmk_arguments_get (arguments, "usage", NULL),
    .job = { .algorithm = cmk_arguments_get (arguments, "algorithm", NULL),
             .wrapping_spec = cmk_arguments_get (arguments, "wrapping-spec", NULL),
             .expires = cmk_arguments_get (arguments, "expires", NULL) },
    .keys = { .kind = CMK_VALUE_LIST },
  };
  int code = check (arguments);

  if (code != CMK_EXIT_DONE)
    return code;
  if (run.spec == NULL)
    return cmk_arguments_fail (arguments, "there is no key spec '%s'", spec);
  code = cmk_arguments_open_bus (arguments, &run.bus);
  if (code == CMK_EXIT_DONE)
    {
      cmk_bus_set_patient (run.bus);
      code = import_all (arguments, &run);
    }
  cmk_value_clear (&run.keys);
  cmk_bus_closep (&run.bus);
  return code;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The file NAME.key is the material of the key alias/NAME, whose tag says that it is. That is all that is kept of a run, and
 * in the daemon, so a run that was interrupted is taken up by running it again: a key that has its material is done, one that
 * waits for it gets it, one that is not there is made. One file after the other: the daemon makes a wrapping key for each,
 * which takes longer than all the rest. */
#include "import-many.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "answer.h"
#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"
#include "import.h"
#include "input.h"
#include "output.h"
#include "progress.h"
#include "spec.h"
#include "wrapping.h"

#define FILE_TAG    "imported-from"
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
  char *key_id;
  bool has_material;
} Item;

static void
item_clear (Item *item)
{
  free (item->alias);
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
name_key (Item *item)
{
  size_t length = (size_t) (strrchr (item->file, '.') - item->file);

  if (strspn (item->file, ALIAS_CHARS) != length || length > CMKD_MAX_ALIAS_CHARS)
    return cmk_fail (CMK_EXIT_REFUSED,
                     "what stands before the ending becomes an alias, so it is of letters, digits, '_' "
                     "and '-': rename the file");
  cmk_require_memory (asprintf (&item->alias, CMKD_ALIAS_PREFIX "%.*s", (int) length, item->file) >= 0);
  return CMK_EXIT_DONE;
}

/* Take what DescribeKey or CreateKey answered. The alias may be that of a key that has nothing to do with the file. */
static int
take_metadata (const Run *run, const CmkValue *answer, Item *item)
{
  const CmkValue *metadata = cmk_value_get (answer, "KeyMetadata", CMK_VALUE_MAP);
  const CmkValue *tags = metadata != NULL ? cmk_value_get (metadata, "Tags", CMK_VALUE_MAP) : NULL;
  const char *file = tags != NULL ? cmk_value_get_string (tags, FILE_TAG) : NULL;
  const char *id, *state, *spec;
  int code;

  if (metadata == NULL)
    return cmk_fail (CMK_EXIT_REFUSED,
                     "the daemon's answer has no KeyMetadata: cmkctl and cmkd must be of the same version");
  code = cmk_value_require (metadata, "KeyId", &id);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (metadata, "KeyState", &state);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (metadata, "KeySpec", &spec);
  if (code != CMK_EXIT_DONE)
    return code;

  if (file == NULL || strcmp (file, item->file) != 0)
    return cmk_fail (CMK_EXIT_REFUSED, "%s is the name of another key, %s: rename the file, or delete the alias",
                     item->alias, id);
  if (strcmp (spec, run->spec->name) != 0)
    return cmk_fail (CMK_EXIT_REFUSED, "the key %s is of spec %s already: say --spec %s", id, spec, spec);
  item->key_id = cmk_duplicate (id);
  item->has_material = strcmp (state, "Enabled") == 0 || strcmp (state, "Disabled") == 0;
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
  code = cmk_wrapping_read_material (path, ret_material);
  if (code != CMK_EXIT_DONE)
    return code;
  if (ret_material->kind != run->spec->kind)
    return cmk_fail (CMK_EXIT_REFUSED, "this is no material for a key of %s: say another --spec", run->spec->name);
  if (run->spec->material_bytes > 0 && ret_material->data.size != run->spec->material_bytes)
    return cmk_fail (CMK_EXIT_REFUSED, "material for a key of %s has %zu bytes, and this has %zu", run->spec->name,
                     run->spec->material_bytes, ret_material->data.size);
  return CMK_EXIT_DONE;
}

static int
create_key (const Run *run, Item *item)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "CreateKey");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  _cleanup_ (cmk_freep) char *tag = NULL;
  int code;

  cmk_require_memory (asprintf (&tag, FILE_TAG "=%s", item->file) >= 0);
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
  int code = name_key (item);

  if (code == CMK_EXIT_DONE)
    code = find_key (run, item);
  if (code != CMK_EXIT_DONE)
    return code;
  if (item->has_material)
    {
      *ret_result = RESULT_ALREADY_THERE;
      return CMK_EXIT_DONE;
    }

  code = read_material (run, item, &material);
  if (code == CMK_EXIT_DONE && item->key_id == NULL)
    code = create_key (run, item);
  if (code != CMK_EXIT_DONE)
    return code;
  job.key_id = item->key_id;
  *ret_result = RESULT_IMPORTED;
  return cmk_import_material (run->bus, &job, &material, &answer);
}

static void
report (const CmkArguments *arguments, Run *run, const Item *item, Result result, const char *message)
{
  CmkValue *entry = cmk_value_append (&run->keys, NULL);

  run->counts[result]++;
  entry->kind = CMK_VALUE_MAP;
  cmk_answer_put (entry, "File", item->file);
  if (item->key_id != NULL)
    cmk_answer_put (entry, "KeyId", item->key_id);
  cmk_answer_put (entry, "Result", result_names[result]);
  if (result == RESULT_FAILED)
    cmk_answer_put (entry, "Error", message);

  if (result == RESULT_FAILED)
    cmk_fail (CMK_EXIT_REFUSED, "%s: %s", item->file, message);
  else if (!cmk_arguments_has (arguments, "json"))
    {
      cmk_progress_hide ();
      printf ("%s %s %s\n", item->key_id, result_names[result], item->file);
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

  cmk_progress_begin ("importing", CMK_PROGRESS_ITEMS, (uint64_t) n_entries);
  for (int i = 0; i < n_entries; i++)
    {
      if (code == CMK_EXIT_DONE)
        code = import_next (arguments, run, entries[i]->d_name);
      cmk_progress_update ((uint64_t) i + 1);
      free (entries[i]);
    }
  cmk_progress_end ();
  free (entries);
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

/* SPDX-License-Identifier: Apache-2.0
 *
 * ESYS makes a library context of OpenSSL for every hash and HMAC, so that no provider which uses the TPM itself is
 * asked for it (tpm2-tss pull request 2152), and frees it at once. One costs 0.4 ms, a thousand times the hash; a
 * command in a session takes up to ten. The two functions here stand before those of libcrypto and give ESYS, and
 * nobody else, the same context again and again. It is like those that ESYS makes: nobody loads a provider into it.
 * Keys are in the EVP objects that ESYS frees as ever, never in the context.
 *
 * Esys_SetCryptoCallbacks() of tpm2-tss 4.0 is no way around this: what it offers is to write all cryptography of ESYS
 * anew, and its own still makes a context for every hash. A tpm2-tss that makes none never comes here.
 *
 * The context belongs to a thread, for OpenSSL hangs random generators on the two together and frees those when the
 * thread ends: a context that is freed before, by another thread, leaves them dangling. */
#include "tpm/esys-hashing.h"

#include <dlfcn.h>
#include <glib.h>
#include <link.h>

/* <openssl/crypto.h> is not for this room. */
typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;
OSSL_LIB_CTX *OSSL_LIB_CTX_new (void);
void OSSL_LIB_CTX_free (OSSL_LIB_CTX *context);

/* Nothing in the program calls them, so the linker must be told that somebody does. */
#define INTERPOSED __attribute__ ((visibility ("default"), used, noinline))

typedef struct
{
  OSSL_LIB_CTX *(*make) (void);
  void (*free) (OSSL_LIB_CTX *);
} Real;

typedef struct
{
  guintptr inside; /* an address in the library */
  guintptr start;
  guintptr end;
} Library;

static void free_really (gpointer context);
static GPrivate kept = G_PRIVATE_INIT (free_really);

static const Real *
real (void)
{
  static Real functions;
  static gsize known;
  if (g_once_init_enter (&known))
    {
      /* as POSIX has it, for ISO C has no cast for it */
      *(void **) &functions.make = dlsym (RTLD_NEXT, "OSSL_LIB_CTX_new");
      *(void **) &functions.free = dlsym (RTLD_NEXT, "OSSL_LIB_CTX_free");
      g_once_init_leave (&known, 1);
    }
  return &functions;
}

static void
free_really (gpointer context)
{
  real ()->free (context);
}

static int
find_mapping (struct dl_phdr_info *object, gsize size, gpointer data)
{
  (void) size;
  Library *library = data;
  guintptr start = UINTPTR_MAX, end = 0;
  for (guint i = 0; i < object->dlpi_phnum; i++)
    if (object->dlpi_phdr[i].p_type == PT_LOAD)
      {
        guintptr first = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;
        start = MIN (start, first);
        end = MAX (end, first + object->dlpi_phdr[i].p_memsz);
      }
  if (library->inside < start || library->inside >= end)
    return 0;
  library->start = start;
  library->end = end;
  return 1;
}

/* The program is linked with it, so it stays where it is. */
static gboolean
is_esys (guintptr caller)
{
  static Library esys;
  static gsize known;
  if (g_once_init_enter (&known))
    {
      /* Not by the operator &: where code is not position-independent, that is a place in the program. */
      esys.inside = (guintptr) dlsym (RTLD_DEFAULT, "Esys_Initialize");
      (void) dl_iterate_phdr (find_mapping, &esys);
      g_once_init_leave (&known, 1);
    }
  return caller >= esys.start && caller < esys.end;
}

INTERPOSED OSSL_LIB_CTX *
OSSL_LIB_CTX_new (void)
{
  if (!is_esys ((guintptr) __builtin_return_address (0)))
    return real ()->make ();
  if (g_private_get (&kept) == NULL)
    g_private_set (&kept, real ()->make ()); /* without memory there is none, as ever */
  return g_private_get (&kept);
}

INTERPOSED void
OSSL_LIB_CTX_free (OSSL_LIB_CTX *context)
{
  if (context != NULL && context == g_private_get (&kept))
    return;
  real ()->free (context);
}

void
cmk_esys_hashing_forget (void)
{
  g_private_replace (&kept, NULL);
}

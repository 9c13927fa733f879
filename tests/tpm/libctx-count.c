/* SPDX-License-Identifier: Apache-2.0 */
#include "libctx-count.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;
OSSL_LIB_CTX *OSSL_LIB_CTX_new (void);
void OSSL_LIB_CTX_free (OSSL_LIB_CTX *context);

static LibctxCount own;
LibctxCount *libctx_count = &own;

static __attribute__ ((constructor)) void
share (void)
{
  const char *path = getenv ("CMKD_LIBCTX_COUNT");
  if (path == NULL)
    return;
  int file = open (path, O_RDWR | O_CLOEXEC);
  void *shared = mmap (NULL, sizeof *libctx_count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file < 0 || shared == MAP_FAILED)
    abort ();
  close (file);
  libctx_count = shared;
}

OSSL_LIB_CTX *
OSSL_LIB_CTX_new (void)
{
  OSSL_LIB_CTX *(*next) (void);
  *(void **) &next = dlsym (RTLD_NEXT, "OSSL_LIB_CTX_new");
  if (libctx_count->refuse)
    return NULL;
  __atomic_add_fetch (&libctx_count->made, 1, __ATOMIC_SEQ_CST);
  return next ();
}

void
OSSL_LIB_CTX_free (OSSL_LIB_CTX *context)
{
  void (*next) (OSSL_LIB_CTX *);
  *(void **) &next = dlsym (RTLD_NEXT, "OSSL_LIB_CTX_free");
  if (context != NULL)
    __atomic_add_fetch (&libctx_count->freed, 1, __ATOMIC_SEQ_CST);
  next (context);
}

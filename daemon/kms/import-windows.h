/* SPDX-License-Identifier: Apache-2.0
 *
 * Somebody has fetched import parameters and is wrapping: as long as that is likely, a daemon that is otherwise unused
 * stays, with the TPM context of the wrapping key at hand. Of this process alone, for nothing is lost if it ends. */
#pragma once

#include "base/uuid.h"

typedef struct _CmkImportWindows CmkImportWindows;

CmkImportWindows *cmk_import_windows_new (void);
void cmk_import_windows_free (CmkImportWindows *windows);

/* The parameters of @set_id have been given out. Any thread. */
void cmk_import_windows_open (CmkImportWindows *windows, const CmkUuid *set_id);

/* They have been used, or cannot be any more. Any thread. */
void cmk_import_windows_close (CmkImportWindows *windows, const CmkUuid *set_id);

/* Is anybody likely to come with what was wrapped? For a quarter of an hour after they were given out. Any thread. */
gboolean cmk_import_windows_any (CmkImportWindows *windows);

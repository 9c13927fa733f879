/* SPDX-License-Identifier: Apache-2.0
 *
 * What the maker of the TPM says of it: the certificate of its endorsement key. Worker thread only. */
#pragma once

#include "tpm/session.h"

/* DER, from where the TCG EK Credential Profile (2.2.1.4) has makers leave it; as it is, nobody has checked it. NULL
 * without an error if there is none that can be read. */
GBytes *cmk_tpm_endorsement_certificate (CmkTpmSession *session, GError **error);

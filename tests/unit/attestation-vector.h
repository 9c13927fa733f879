/* SPDX-License-Identifier: Apache-2.0
 *
 * What a software TPM (libtpms 0.9) has answered, as `cmkctl get-parameters --attest` prints it. */
#pragma once

#include "attestation.h"

static const char vector_nonce[] = "wFZqGZrm/digLidolx5lUDlYCt/CXVVSOnfj9CD/euU=";

static const char *const vector_parts[CMK_ATTESTED_ENDORSEMENT] = {
  [CMK_ATTESTED_PUBLIC_KEY] =
      "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApHOK0JR/BM+rr8RFcdoHfE7izB9m7vBNROVoCOVnUpitmYSzYAzYklxD"
      "u6Z43rskk+IxdLSNrN2EJUuWqBwGs+8vn0p2TwshrHwCGDPg1jp2zJxBejyJP1aHlIwHuhfyUOSh8FGXMz2VE11SJjHW6JjY5PgW"
      "9Ovtzs5V+xGrRwdm1kUx+01Lo2SUD8e+qrx1PJWa7G+N0RcvycXoFVJ/0IfubYxk/yCkuG7lCWzidz8tXN4XurViR+/UE5gls/jh"
      "CStBFIgdNqrEhqsvOczG4z6kBDAoTTlES2tHIHYsnFs2baWhEu6DLmuebqVOWutgELIMLJ2XOvmOS5b7hB4sLQIDAQAB",
  [CMK_ATTESTED_PUBLIC_AREA] =
      "AAEACwACBHIAAAAQABAIAAAAAAABAKRzitCUfwTPq6/ERXHaB3xO4swfZu7wTUTlaAjlZ1KYrZmEs2AM2JJcQ7umeN67JJPiMXS0"
      "jazdhCVLlqgcBrPvL59Kdk8LIax8Ahgz4NY6dsycQXo8iT9Wh5SMB7oX8lDkofBRlzM9lRNdUiYx1uiY2OT4FvTr7c7OVfsRq0cH"
      "ZtZFMftNS6NklA/Hvqq8dTyVmuxvjdEXL8nF6BVSf9CH7m2MZP8gpLhu5Qls4nc/LVzeF7q1Ykfv1BOYJbP44QkrQRSIHTaqxIar"
      "LznMxuM+pAQwKE05REtrRyB2LJxbNm2loRLugy5rnm6lTlrrYBCyDCydlzr5jkuW+4QeLC0=",
  [CMK_ATTESTED_CREATION_DATA] =
      "AAAAAAAg47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUBAAsAIgALdR5qfYXn7luqiDMD+X2IpnHdsuETplyGDT5f3xQu"
      "SwAAIgALX5vrQ+awkOVlifIUjbiwtglv2yBWNIWcx7y0+pbtzEgAIMBWahma5v3YoC4naJceZVA5WArfwl1VUjp34/Qg/3rl",
  [CMK_ATTESTED_STATEMENT] =
      "/1RDR4AaACIACy9RIfc4vTMyk9S/qZ2/gWg/8a+vZnRq8Cx8Ui0uIOs5ACDAVmoZmub92KAuJ2iXHmVQOVgK38JdVVI6d+P0IP96"
      "5QAAAAAAAASOopJ67RIaa+sB2jH90qHhdIEAIgALt5I/KNR95YpuVsnBcWub1BQ/DzBnqiGqN63XRr2A+ToAICj7Cextn3Fkc2Az"
      "7pENLP2sm3irhDN1+ixbkwLkHnQh",
  [CMK_ATTESTED_SIGNATURE] =
      "MEYCIQCIbJMMqrpmvUauW5a3xKVJBlHC015oGyRQxklz6RfLXQIhAIZhr0ZHV+Aq3PS+skZ5TqVVbkblr7hYh4BEor0CCCoh",
  [CMK_ATTESTED_SIGNER] =
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPd6ScWevuKXg/VCS03NPv/y7WSdvMmBkC7jxm8VtH87jycqwsS83XleL2UCIBpvj"
      "Wy6oyhZqjvcXNb+5LKq8yg==",
  [CMK_ATTESTED_SIGNER_AREA] =
      "ACMACwAFBHIAAAAQABgACwADABAAID3eknFnr7il4P1QktNzT7/8u1knbzJgZAu48ZvFbR/OACDjycqwsS83XleL2UCIBpvjWy6o"
      "yhZqjvcXNb+5LKq8yg==",
};

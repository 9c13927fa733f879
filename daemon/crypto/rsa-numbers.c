/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/rsa-numbers.h"

#include "base/error.h"

void
cmk_rsa_numbers_free (CmkRsaNumbers *numbers)
{
  if (numbers == NULL)
    return;
  for (guint i = 0; i < CMK_RSA_N_NUMBERS; i++)
    BN_clear_free (numbers->values[i]);
  g_free (numbers);
}

static BIGNUM *
new_secret_number (void)
{
  BIGNUM *number = BN_secure_new ();
  if (number != NULL)
    BN_set_flags (number, BN_FLG_CONSTTIME);
  return number;
}

CmkRsaNumbers *
cmk_rsa_numbers_new (GError **error)
{
  g_autoptr (CmkRsaNumbers) numbers = g_new0 (CmkRsaNumbers, 1);
  gboolean complete = TRUE;
  for (guint i = 0; i < CMK_RSA_N_NUMBERS; i++)
    {
      numbers->values[i] = new_secret_number ();
      complete = complete && numbers->values[i] != NULL;
    }
  if (!cmk_openssl_ok (complete, "cannot make room for a private key", error))
    return NULL;
  return g_steal_pointer (&numbers);
}

/* Is it what it should be, for one of the primes: 1 = d e mod prime - 1, and @exponent = d mod prime - 1? FALSE for
 * want of memory only. */
static gboolean
check_prime (const CmkRsaNumbers *numbers, const BIGNUM *prime, const BIGNUM *exponent, BN_CTX *context,
             gboolean *ret_sound)
{
  BIGNUM *const *values = numbers->values;
  g_autoptr (BIGNUM) order = new_secret_number ();
  g_autoptr (BIGNUM) reduced = new_secret_number ();
  g_autoptr (BIGNUM) product = new_secret_number ();
  if (order == NULL || reduced == NULL || product == NULL || BN_sub (order, prime, BN_value_one ()) != 1 ||
      BN_mod (reduced, values[CMK_RSA_D], order, context) != 1 ||
      BN_mod_mul (product, reduced, values[CMK_RSA_E], order, context) != 1)
    return FALSE;
  *ret_sound = BN_is_one (product) && BN_cmp (reduced, exponent) == 0;
  return TRUE;
}

/* n = p q, and qinv q = 1 mod p. */
static gboolean
check_factors (const CmkRsaNumbers *numbers, BN_CTX *context, gboolean *ret_sound)
{
  BIGNUM *const *values = numbers->values;
  g_autoptr (BIGNUM) product = new_secret_number ();
  g_autoptr (BIGNUM) unit = new_secret_number ();
  if (product == NULL || unit == NULL || BN_mul (product, values[CMK_RSA_P], values[CMK_RSA_Q], context) != 1 ||
      BN_mod_mul (unit, values[CMK_RSA_Q], values[CMK_RSA_QINV], values[CMK_RSA_P], context) != 1)
    return FALSE;
  *ret_sound = BN_cmp (product, values[CMK_RSA_N]) == 0 && BN_is_one (unit) &&
               BN_cmp (values[CMK_RSA_QINV], values[CMK_RSA_P]) < 0;
  return TRUE;
}

static gboolean
sizes_fit (const CmkRsaNumbers *numbers, guint bits)
{
  BIGNUM *const *values = numbers->values;
  return (guint) BN_num_bits (values[CMK_RSA_N]) == bits && (guint) BN_num_bits (values[CMK_RSA_P]) == bits / 2 &&
         (guint) BN_num_bits (values[CMK_RSA_Q]) == bits / 2 && BN_is_odd (values[CMK_RSA_P]) &&
         BN_is_odd (values[CMK_RSA_Q]) && BN_cmp (values[CMK_RSA_P], values[CMK_RSA_Q]) != 0 &&
         BN_is_odd (values[CMK_RSA_E]) && !BN_is_one (values[CMK_RSA_E]) && BN_num_bits (values[CMK_RSA_E]) <= 64 &&
         BN_cmp (values[CMK_RSA_D], values[CMK_RSA_N]) < 0;
}

gboolean
cmk_rsa_numbers_check (const CmkRsaNumbers *numbers, guint bits, GError **error)
{
  BIGNUM *const *values = numbers->values;
  gboolean sound = sizes_fit (numbers, bits);
  gboolean sound_p = FALSE, sound_q = FALSE, sound_factors = FALSE;
  g_autoptr (BN_CTX) context = BN_CTX_secure_new ();
  gboolean done = !sound || (context != NULL && check_factors (numbers, context, &sound_factors) &&
                             check_prime (numbers, values[CMK_RSA_P], values[CMK_RSA_DP], context, &sound_p) &&
                             check_prime (numbers, values[CMK_RSA_Q], values[CMK_RSA_DQ], context, &sound_q));
  if (!cmk_openssl_ok (done, "cannot check an RSA key", error))
    return FALSE;
  if (!sound || !sound_factors || !sound_p || !sound_q)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL,
                           "the numbers of the RSA private key do not belong together");
      return FALSE;
    }
  return TRUE;
}

gboolean
cmk_rsa_numbers_normalise (CmkRsaNumbers *numbers, GError **error)
{
  BIGNUM **values = numbers->values;
  if (BN_cmp (values[CMK_RSA_P], values[CMK_RSA_Q]) < 0)
    BN_swap (values[CMK_RSA_P], values[CMK_RSA_Q]);
  g_autoptr (BN_CTX) context = BN_CTX_secure_new ();
  gboolean done =
      context != NULL && BN_mod_inverse (values[CMK_RSA_QINV], values[CMK_RSA_Q], values[CMK_RSA_P], context) != NULL;
  return cmk_openssl_ok (done, "cannot invert a prime of an RSA key", error);
}

gboolean
cmk_rsa_numbers_derive (CmkRsaNumbers *numbers, GError **error)
{
  BIGNUM **values = numbers->values;
  const BIGNUM *p = values[CMK_RSA_P];
  const BIGNUM *q = values[CMK_RSA_Q];
  const BIGNUM *e = values[CMK_RSA_E];
  g_autoptr (BN_CTX) context = BN_CTX_secure_new ();
  g_autoptr (BIGNUM) p_order = new_secret_number ();
  g_autoptr (BIGNUM) q_order = new_secret_number ();
  g_autoptr (BIGNUM) order = new_secret_number ();
  gboolean done = context != NULL && p_order != NULL && q_order != NULL && order != NULL &&
                  BN_sub (p_order, p, BN_value_one ()) == 1 && BN_sub (q_order, q, BN_value_one ()) == 1 &&
                  BN_mul (order, p_order, q_order, context) == 1 && BN_mul (values[CMK_RSA_N], p, q, context) == 1 &&
                  BN_mod_inverse (values[CMK_RSA_D], e, order, context) != NULL &&
                  BN_mod_inverse (values[CMK_RSA_DP], e, p_order, context) != NULL &&
                  BN_mod_inverse (values[CMK_RSA_DQ], e, q_order, context) != NULL;
  return cmk_openssl_ok (done, "cannot derive the numbers of an RSA key", error);
}

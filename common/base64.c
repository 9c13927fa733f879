/* SPDX-License-Identifier: Apache-2.0 */
#include "base64.h"

/* All bits of a mask that is set when @low <= @c <= @high; the subtractions wrap below zero on purpose. */
static uint32_t
mask_between (uint32_t c, uint32_t low, uint32_t high)
{
  return ((low - 1 - c) & (c - high - 1)) >> 8;
}

/* Each term moves the character over one gap of the alphabet A-Z, a-z, 0-9, +, / in ASCII. */
static char
encode_sextet (uint32_t sextet)
{
  uint32_t c = 'A' + sextet;

  c += ((25 - sextet) >> 8) & ('a' - 'Z' - 1);
  c -= ((51 - sextet) >> 8) & ('z' - '0' + 1);
  c -= ((61 - sextet) >> 8) & ('9' - '+' + 1);
  c += ((62 - sextet) >> 8) & ('/' - '+' - 1);
  return (char) c;
}

/* The value of @character; a character outside the alphabet sets bits in @bad instead of ending the decoding
 * early. */
static uint32_t
decode_sextet (char character, uint32_t *bad)
{
  uint32_t c = (unsigned char) character;
  uint32_t upper = mask_between (c, 'A', 'Z');
  uint32_t lower = mask_between (c, 'a', 'z');
  uint32_t digit = mask_between (c, '0', '9');
  uint32_t plus = mask_between (c, '+', '+');
  uint32_t slash = mask_between (c, '/', '/');

  *bad |= ~(upper | lower | digit | plus | slash) & 0xff;
  return ((upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) | (plus & 62) | (slash & 63)) &
         0x3f;
}

void
cmk_base64_encode (const uint8_t *data, size_t size, char *ret_text)
{
  char *out = ret_text;

  for (size_t i = 0; i < size; i += 3)
    {
      size_t taken = size - i < 3 ? size - i : 3;
      uint32_t bits = 0;

      for (size_t j = 0; j < 3; j++)
        bits = bits << 8 | (j < taken ? data[i + j] : 0);
      for (size_t j = 0; j < 4; j++)
        *out++ = j <= taken ? encode_sextet (bits >> (18 - 6 * j) & 0x3f) : '=';
    }
  *out = '\0';
}

bool
cmk_base64_decode (const char *text, size_t chars, uint8_t *ret_data, size_t *ret_size)
{
  size_t pad = 0;
  size_t size = 0;
  uint32_t bad = 0;

  if (chars % 4 != 0)
    return false;

  /* How much padding there is follows from the length of what was coded, which is no secret. */
  while (pad < 2 && pad < chars && text[chars - 1 - pad] == '=')
    pad++;

  for (size_t i = 0; i < chars; i += 4)
    {
      size_t sextets = i + 4 < chars ? 4 : 4 - pad;
      uint32_t bits = 0;

      for (size_t j = 0; j < 4; j++)
        bits = bits << 6 | (j < sextets ? decode_sextet (text[i + j], &bad) : 0);
      for (size_t j = 0; j + 1 < sextets; j++)
        ret_data[size++] = (uint8_t) (bits >> (16 - 8 * j));

      /* Bits that no byte took must be zero, or two texts would mean the same bytes. */
      bad |= bits & (0xffffff >> 8 * (sextets - 1));
    }

  if (bad != 0)
    return false;

  *ret_size = size;
  return true;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole groups go through in blocks whose inner loops have a fixed length and neither branch nor look anything up, so
 * that the compiler turns them into vector code: each Encrypt and Decrypt codes its text here. */
#include "base64.h"

#include <string.h>

#define BLOCK_CHARS 64
#define BLOCK_BYTES (BLOCK_CHARS / 4 * 3)

/* 0xff if @value < @limit, else 0: the subtraction wraps below zero on purpose. */
static uint8_t
mask_below (uint8_t value, uint8_t limit)
{
  return (uint8_t) (((uint32_t) value - limit) >> 8);
}

/* Each term moves the character over one gap of the alphabet A-Z, a-z, 0-9, +, / in ASCII. */
static uint8_t
encode_sextet (uint8_t sextet)
{
  uint8_t c = (uint8_t) ('A' + sextet);

  c = (uint8_t) (c + (uint8_t) (~mask_below (sextet, 26) & ('a' - 'Z' - 1)));
  c = (uint8_t) (c - (uint8_t) (~mask_below (sextet, 52) & ('z' - '0' + 1)));
  c = (uint8_t) (c - (uint8_t) (~mask_below (sextet, 62) & ('9' - '+' + 1)));
  return (uint8_t) (c + (uint8_t) (~mask_below (sextet, 63) & ('/' - '+' - 1)));
}

/* The value of @c; 0x80 is set for a character outside the alphabet. */
static uint8_t
decode_character (uint8_t c)
{
  uint8_t from_upper = (uint8_t) (c - 'A');
  uint8_t from_lower = (uint8_t) (c - 'a');
  uint8_t from_digit = (uint8_t) (c - '0');
  uint8_t upper = mask_below (from_upper, 26);
  uint8_t lower = mask_below (from_lower, 26);
  uint8_t digit = mask_below (from_digit, 10);
  uint8_t plus = mask_below ((uint8_t) (c - '+'), 1);
  uint8_t slash = mask_below ((uint8_t) (c - '/'), 1);
  uint8_t bad = (uint8_t) (~(upper | lower | digit | plus | slash) & 0x80);

  return (uint8_t) ((upper & from_upper) | (lower & (from_lower + 26)) | (digit & (from_digit + 52)) | (plus & 62) |
                    (slash & 63) | bad);
}

/* @data to characters, BLOCK_BYTES at a time. */
static void
encode_block (const uint8_t *data, uint8_t *ret_text)
{
  for (size_t i = 0, j = 0; i < BLOCK_BYTES; i += 3, j += 4)
    {
      ret_text[j] = data[i] >> 2;
      ret_text[j + 1] = (uint8_t) ((data[i] << 4 | data[i + 1] >> 4) & 0x3f);
      ret_text[j + 2] = (uint8_t) ((data[i + 1] << 2 | data[i + 2] >> 6) & 0x3f);
      ret_text[j + 3] = data[i + 2] & 0x3f;
    }
  for (size_t j = 0; j < BLOCK_CHARS; j++)
    ret_text[j] = encode_sextet (ret_text[j]);
}

/* BLOCK_CHARS characters to @ret_data. 0x80 is set in the result if one of them is outside the alphabet. */
static uint8_t
decode_block (const uint8_t *text, uint8_t *ret_data)
{
  uint8_t sextets[BLOCK_CHARS];
  uint8_t bad = 0;

  for (size_t j = 0; j < BLOCK_CHARS; j++)
    sextets[j] = decode_character (text[j]);
  for (size_t j = 0; j < BLOCK_CHARS; j++)
    bad |= sextets[j];
  for (size_t i = 0, j = 0; i < BLOCK_BYTES; i += 3, j += 4)
    {
      ret_data[i] = (uint8_t) (sextets[j] << 2 | sextets[j + 1] >> 4);
      ret_data[i + 1] = (uint8_t) (sextets[j + 1] << 4 | sextets[j + 2] >> 2);
      ret_data[i + 2] = (uint8_t) (sextets[j + 2] << 6 | sextets[j + 3]);
    }
  explicit_bzero (sextets, sizeof sextets);
  return bad & 0x80;
}

void
cmk_base64_encode (const uint8_t *data, size_t size, char *ret_text)
{
  uint8_t last[BLOCK_BYTES] = { 0 };
  uint8_t last_text[BLOCK_CHARS];
  char *out = ret_text;

  for (; size >= BLOCK_BYTES; size -= BLOCK_BYTES)
    {
      encode_block (data, (uint8_t *) out);
      data += BLOCK_BYTES;
      out += BLOCK_CHARS;
    }
  if (size > 0)
    {
      size_t chars = CMK_BASE64_CHARS (size);
      size_t pad = (3 - size % 3) % 3;

      memcpy (last, data, size);
      encode_block (last, last_text);
      memcpy (out, last_text, chars);
      memset (out + chars - pad, '=', pad);
      out += chars;
      explicit_bzero (last, sizeof last);
      explicit_bzero (last_text, sizeof last_text);
    }
  *out = '\0';
}

bool
cmk_base64_decode (const char *text, size_t chars, uint8_t *ret_data, size_t *ret_size)
{
  uint8_t last_text[BLOCK_CHARS];
  uint8_t last[BLOCK_BYTES];
  uint8_t bad = 0;
  uint8_t *out = ret_data;
  size_t pad = 0;

  if (chars % 4 != 0)
    return false;

  /* How much padding there is follows from the length of what was coded, which is no secret. */
  while (pad < 2 && pad < chars && text[chars - 1 - pad] == '=')
    pad++;

  for (; chars > BLOCK_CHARS; chars -= BLOCK_CHARS)
    {
      bad |= decode_block ((const uint8_t *) text, out);
      text += BLOCK_CHARS;
      out += BLOCK_BYTES;
    }

  /* Filled up with A, which is zero bits: the bits behind the last byte must be zero as well. */
  memset (last_text, 'A', sizeof last_text);
  memcpy (last_text, text, chars - pad);
  bad |= decode_block (last_text, last);
  size_t size = CMK_BASE64_BYTES (chars) - pad;
  for (size_t i = size; i < sizeof last; i++)
    bad |= last[i];
  memcpy (out, last, size);
  explicit_bzero (last_text, sizeof last_text);
  explicit_bzero (last, sizeof last);
  if (bad != 0)
    return false;
  *ret_size = (size_t) (out - ret_data) + size;
  return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <string.h>

#include "buffer.h"

/* RFC 3629: no more bytes than it takes, no surrogates, nothing above U+10FFFF. */
size_t
cmk_text_decode (const char *text, uint32_t *ret_character)
{
  static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
  const unsigned char *bytes = (const unsigned char *) text;
  size_t size = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
  uint32_t character = size == 1 ? bytes[0] : bytes[0] & (0x7fu >> size);

  *ret_character = CMK_TEXT_NO_CHARACTER;
  if (bytes[0] >= 0xf8 || (bytes[0] >= 0x80 && bytes[0] < 0xc0))
    return 1;
  for (size_t i = 1; i < size; i++)
    {
      if ((bytes[i] & 0xc0) != 0x80) /* the end of the text as well */
        return 1;
      character = character << 6 | (bytes[i] & 0x3f);
    }
  if (character < lowest[size] || character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff))
    return 1;
  *ret_character = character;
  return size;
}

bool
cmk_text_is_control (uint32_t character)
{
  static const struct
  {
    uint32_t first;
    uint32_t last;
  } ranges[] = { { 0, 0x1f },        { 0x7f, 0x9f },     { 0x61c, 0x61c },
                 { 0x200e, 0x200f }, { 0x2028, 0x202e }, { 0x2066, 0x2069 } };

  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (character >= ranges[i].first && character <= ranges[i].last)
      return true;
  return false;
}

char *
cmk_text_clean (const char *text)
{
  char *clean = cmk_allocate (strlen (text) + 1);
  size_t used = 0;

  while (*text != '\0')
    {
      uint32_t character;
      size_t size = cmk_text_decode (text, &character);
      bool is_shown = character != CMK_TEXT_NO_CHARACTER && !cmk_text_is_control (character);

      memcpy (clean + used, is_shown ? text : "?", is_shown ? size : 1);
      used += is_shown ? size : 1;
      text += size;
    }
  clean[used] = '\0';
  return clean;
}

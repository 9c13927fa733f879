/* SPDX-License-Identifier: Apache-2.0
 *
 * Text that somebody else wrote, as it may be shown: nothing in it steers a terminal, or has it show a line in another
 * order than that of its characters. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CMK_TEXT_NO_CHARACTER 0xfffd

/* The character that the UTF-8 text @text begins with, CMK_TEXT_NO_CHARACTER if none does, and how many bytes it
 * has. */
size_t cmk_text_decode (const char *text, uint32_t *ret_character);

/* A control character, or one that turns the direction of what follows. */
bool cmk_text_is_control (uint32_t character);

/* @text with '?' for each of these and for what is no UTF-8; an owned text. */
char *cmk_text_clean (const char *text);

/* SPDX-License-Identifier: Apache-2.0
 *
 * What cmkctl gives out: data to files, answers as JSON or as tables for people. */
#pragma once

#include "buffer.h"
#include "value.h"

/* Write @data to @path, "-" for standard output. What is_secret is a file of mode 0600 in
 * place of what was there before. */
int cmk_output_write (const char *path, bool is_secret, const void *data, size_t size);

/* Write all of @data to @fd; errno says why not. */
bool cmk_output_write_all (int fd, const void *data, size_t size);

/* CMK_EXIT_REFUSED, for the reason in errno. */
int cmk_output_fail_to_write (const char *path);

/* Write the text @text, a line break behind it. */
int cmk_output_write_line (const char *path, const char *text);

/* Write what the Base64 text @text stands for, which is secret or not. */
int cmk_output_write_data (const char *path, const char *text);
int cmk_output_write_secret (const char *path, const char *text);

/* Write the public key @base64, a DER SubjectPublicKeyInfo, as PEM: in lines of 64 between its two labels (RFC
 * 7468). */
int cmk_output_write_pem (const char *path, const char *base64);

/* @time as RFC 3339 in UTC, "never" for 0; an owned text. */
char *cmk_output_format_time (int64_t time);

/* Print @value as JSON and a line break. */
void cmk_output_print_json (const CmkValue *value);

/* Print the fields of the map @map one on a line, those that people look for first; the request id is left out. */
void cmk_output_print_fields (const CmkValue *map);

/* Print the fields @names of each map in the list @maps as a table under their names. On a terminal the last column is
 * cut to what fits. */
void cmk_output_print_table (const CmkValue *maps, const char *const *names, size_t n_names);

/* Print @text and a line break, as the tables do: nothing that would steer the terminal. */
void cmk_output_print_text (const char *text);

/* Print the values of the map @map in one line. */
void cmk_output_print_line (const CmkValue *map);

/* Print @answer as JSON if @is_json, else its fields. */
void cmk_output_print_answer (const CmkValue *answer, bool is_json);

/* Write out what printing has left in memory; a full disk shows here at the latest. */
int cmk_output_flush (void);

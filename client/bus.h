/* SPDX-License-Identifier: Apache-2.0
 *
 * The only door to libdbus: calls to cmkd with arguments and options, their answers as CmkValue, and its signals. */
#pragma once

#include "value.h"

typedef struct CmkBus CmkBus;
typedef struct CmkCall CmkCall;

typedef enum
{
  CMK_BUS_SYSTEM,
  CMK_BUS_SESSION,
  CMK_BUS_ADDRESS,
  CMK_BUS_HOST, /* the system bus of another machine */
} CmkBusKind;

/* Connect to the bus of @kind; @address is that of CMK_BUS_ADDRESS, or the name of the machine of CMK_BUS_HOST, else
 * NULL. An exit code, see exit-code.h. */
int cmk_bus_open (CmkBusKind kind, const char *address, CmkBus **ret_bus);

/* Nobody is asked for a password for what follows: calls that need one are refused. */
void cmk_bus_ask_nobody (CmkBus *bus);

/* What follows is asked on the side: nobody is asked for a password, and what fails is not told. An answer may take
 * @seconds. */
void cmk_bus_set_aside (CmkBus *bus, int seconds);

/* Whom cmkd runs as; FALSE if it was not talked to. */
bool cmk_bus_get_uid (CmkBus *bus, uint32_t *ret_uid);

/* Is the service @name, another than cmkd, known to the bus, but neither there nor to be started? */
bool cmk_bus_is_broken (CmkBus *bus, const char *name);

/* A call that is answered with Throttled is made again when cmkd says that it may, for as long as a call may take. */
void cmk_bus_set_patient (CmkBus *bus);

/* Cleanup for an owned CmkBus *; it may be NULL. */
void cmk_bus_closep (CmkBus **bus);

/* A call of @method of cmkd. Positional arguments are added first, in order, then - for a method that has a trailing
 * a{sv} - the options after cmk_call_begin_options(). A text that cannot travel (no UTF-8) is kept in mind and
 * refused by cmk_call_send(). */
CmkCall *cmk_call_new (const char *interface, const char *method);

/* Cleanup for an owned CmkCall *. */
void cmk_call_freep (CmkCall **call);

/* The call carries a secret, there or back: wipe what copies of it can be reached, lock those of the answer. */
void cmk_call_set_secret (CmkCall *call);

void cmk_call_add_string (CmkCall *call, const char *text);

/* An as of the @n_texts @texts. */
void cmk_call_add_strings (CmkCall *call, const char *const *texts, size_t n_texts);

/* An a{ss} of @n_pairs texts NAME=VALUE. */
void cmk_call_add_pairs (CmkCall *call, const char *const *pairs, size_t n_pairs);

void cmk_call_begin_options (CmkCall *call);

/* An option that was not asked for, @text NULL or @n_pairs 0, is not sent. */
void cmk_call_add_text_option (CmkCall *call, const char *name, const char *text);
/* True. */
void cmk_call_add_flag_option (CmkCall *call, const char *name);
void cmk_call_add_number_option (CmkCall *call, const char *name, uint32_t number);
void cmk_call_add_time_option (CmkCall *call, const char *name, int64_t time);

/* The same a{ss} as an option. */
void cmk_call_add_pairs_option (CmkCall *call, const char *name, const char *const *pairs, size_t n_pairs);

/* Send @call, once, and wait for the answer, a map. Interactive authorisation is allowed, so this may take
 * as long as somebody needs to type a password; after a second a terminal on stderr is told that we wait. On the system
 * bus the user is asked on his terminal if need be. */
int cmk_call_send (CmkCall *call, CmkBus *bus, CmkValue *ret_answer);

/* Start cmkd if need be and call @on_signal with each of its Keys signals, until that returns something else than
 * CMK_EXIT_DONE or the bus goes away. A signal is a map of "Signal", its name, and its arguments under the names that
 * answers have for them. @on_ready is called once nothing can be missed. */
int cmk_bus_monitor (CmkBus *bus, void (*on_ready) (void), int (*on_signal) (const CmkValue *signal));

/* SPDX-License-Identifier: Apache-2.0
 *
 * polkit's agent that asks for passwords on the terminal, for who has no desktop to do it. */
#pragma once

/* Have it ask for whatever is called from now on, until cmkctl ends. Not for root, who is not asked, nor without a
 * terminal to type at. An agent that the session has already is preferred; that there is none is not an error. */
void cmk_text_agent_start (void);

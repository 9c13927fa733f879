/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#define ECHO_NAME "org.cmkd.Benchmark.Echo"
#define ECHO_PATH "/org/cmkd/Benchmark/Echo"

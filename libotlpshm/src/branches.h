/* SPDX-License-Identifier: Apache-2.0 */
/* branches.h: what the compiler is told of how often a path runs.
 *   Rule   what runs seldom stays out of the way of what runs for every span: in a function of its
 *          own, which a hot one ends with, so that the hot one needs no frame for it. */
#ifndef OTLPSHM_SRC_BRANCHES_H
#define OTLPSHM_SRC_BRANCHES_H

#define LIKELY(condition) __builtin_expect((condition), 1)
#define SELDOM __attribute__((noinline, cold))
#define OFTEN static inline __attribute__((always_inline))

#endif

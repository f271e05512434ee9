/* SPDX-License-Identifier: Apache-2.0 */
/* options.h: structs of the API that begin with their size, and may grow at their end.
 *   Rule   what a caller's older struct lacks is 0; what a newer one has beyond ours must be 0. */
#ifndef OTLPSHM_SRC_OPTIONS_H
#define OTLPSHM_SRC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define OTLPSHM_OPTIONS_BYTES_MAX 4096u

/* Copies what both sides know. False when the size is no size, or when the caller asks for what
 * this version does not know; what it knows is copied all the same. */
static inline bool otlpshm_options_read(void* out, size_t out_bytes, const void* given) {
  size_t bytes;
  memcpy(&bytes, given, sizeof bytes);
  memset(out, 0, out_bytes);
  if (bytes < sizeof bytes || bytes > OTLPSHM_OPTIONS_BYTES_MAX) return false;
  memcpy(out, given, bytes < out_bytes ? bytes : out_bytes);
  for (size_t at = out_bytes; at < bytes; ++at) {
    if (((const uint8_t*)given)[at] != 0) return false;
  }
  return true;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* failing_malloc.c: preloaded, it fails every FAIL_EVERY-th allocation of the program. */
#include <errno.h>
#include <stdlib.h>

void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);

static unsigned long count;
static unsigned long every;

__attribute__((constructor)) static void begin(void) {
  const char* text = getenv("FAIL_EVERY");
  every = text == NULL ? 0 : strtoul(text, NULL, 10);
}

static int fails(void) {
  if (every == 0 || __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) % every != 0) return 0;
  errno = ENOMEM;
  return 1;
}

void* malloc(size_t bytes) {
  return fails() ? NULL : __libc_malloc(bytes);
}
void* calloc(size_t number, size_t bytes) {
  return fails() ? NULL : __libc_calloc(number, bytes);
}
void* realloc(void* old, size_t bytes) {
  return fails() ? NULL : __libc_realloc(old, bytes);
}

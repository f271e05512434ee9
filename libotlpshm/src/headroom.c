/* SPDX-License-Identifier: Apache-2.0 */
/* headroom.c: see headroom.h.
 *   Never  allocates; reads a file in pieces of 256 bytes, line by line. */
#include "headroom.h"

#include <fcntl.h>
#include <string.h>

#include "kernel.h"
#include "ordering.h"

#define PARTS 4 /* of what is left, one may be taken */
#define ANCESTORS_MAX 16
#define GRANT_NANO UINT64_C(1000000)
#define GRANT_BYTES_MAX (UINT64_C(16) << 20)
#define NO_LIMIT (UINT64_C(1) << 60) /* version 1 says "none" by a huge number */
#define PATH_BYTES 384

static const struct otlpshm_memory_files kernels_files = {
    .membership = "/proc/self/cgroup",
    .v2 = "/sys/fs/cgroup",
    .v1 = "/sys/fs/cgroup/memory",
};

struct version {
  const char* root;
  const char* limit;
  const char* usage;
  const char* reclaimable; /* its line of memory.stat */
};

/* ---- files, line by line --------------------------------------------------------------------- */

struct lines {
  long fd;
  uint32_t at;
  uint32_t end;
  char bytes[256];
};

static struct lines open_lines(const char* path) {
  struct lines lines;
  lines.fd = otlpshm_kernel_openat(AT_FDCWD, path, O_RDONLY | O_NOCTTY, 0);
  lines.at = lines.end = 0;
  return lines;
}

static bool next_byte(struct lines* lines, char* byte) {
  if (lines->at == lines->end) {
    const long count = otlpshm_kernel_read((int)lines->fd, lines->bytes, sizeof lines->bytes);
    if (count <= 0) return false;
    lines->at = 0;
    lines->end = (uint32_t)count;
  }
  *byte = lines->bytes[lines->at++];
  return true;
}

/* The next line without its end; what does not fit `bytes` is left out. */
static bool next_line(struct lines* lines, char* out, size_t bytes) {
  size_t count = 0;
  char byte = '\0';
  bool any = false;
  while (lines->fd >= 0 && next_byte(lines, &byte)) {
    any = true;
    if (byte == '\n') break;
    if (count + 1 < bytes) out[count++] = byte;
  }
  out[count] = '\0';
  return any;
}

static void close_lines(struct lines* lines) {
  if (lines->fd >= 0) (void)otlpshm_kernel_close((int)lines->fd);
}

/* UINT64_MAX for "max" and whatever is no number. */
static uint64_t number_of(const char* text) {
  uint64_t number = 0;
  if (*text < '0' || *text > '9') return UINT64_MAX;
  for (; *text >= '0' && *text <= '9'; ++text) {
    if (number > UINT64_MAX / 16) return UINT64_MAX;
    number = number * 10 + (uint64_t)(*text - '0');
  }
  return number;
}

static const char* after(const char* text, const char* prefix) {
  const size_t count = strlen(prefix);
  return strncmp(text, prefix, count) == 0 ? text + count : NULL;
}

/* ---- one cgroup ------------------------------------------------------------------------------ */

/* root, group and name with a slash between; false when it is too long. */
static bool join(char out[PATH_BYTES], const char* root, const char* group, const char* name) {
  const size_t root_bytes = strlen(root);
  const size_t group_bytes = strlen(group);
  const size_t name_bytes = strlen(name) + 1;
  if (root_bytes + group_bytes + 1 + name_bytes > PATH_BYTES) return false;
  memcpy(out, root, root_bytes);
  memcpy(out + root_bytes, group, group_bytes);
  out[root_bytes + group_bytes] = '/';
  memcpy(out + root_bytes + group_bytes + 1, name, name_bytes);
  return true;
}

/* The number behind `key` in a file; the number of its first line when key is "". */
static uint64_t number_in(const struct version* version, const char* group, const char* name,
                          const char* key) {
  char text[PATH_BYTES];
  if (!join(text, version->root, group, name)) return UINT64_MAX;
  struct lines lines = open_lines(text);
  uint64_t number = UINT64_MAX;
  while (next_line(&lines, text, sizeof text)) {
    const char* value = after(text, key);
    if (value == NULL) continue;
    number = number_of(value);
    break;
  }
  close_lines(&lines);
  return number;
}

static void look_at_group(const struct version* version, const char* group, uint64_t wanted,
                          struct otlpshm_headroom* least) {
  const uint64_t limit = number_in(version, group, version->limit, "");
  if (limit >= NO_LIMIT) return;
  if (limit < least->limit) least->limit = limit;
  const uint64_t usage = number_in(version, group, version->usage, "");
  if (usage == UINT64_MAX) return;
  uint64_t left = limit > usage ? limit - usage : 0;
  if (left < wanted) {
    const uint64_t cache = number_in(version, group, "memory.stat", version->reclaimable);
    if (cache < limit - left) left += cache;
  }
  if (left < least->left) least->left = left;
}

/* The group, and each of its ancestors: the last is the root, which in a container is its own. */
static void look_at_groups(const struct version* version, char* group, uint64_t wanted,
                           struct otlpshm_headroom* least) {
  for (int level = 0; level < ANCESTORS_MAX; ++level) {
    look_at_group(version, group, wanted, least);
    char* slash = strrchr(group, '/');
    if (slash == NULL) return;
    *slash = '\0';
  }
}

/* ---- this process ---------------------------------------------------------------------------- */

/* The group of a line "number:controllers:/group", if it is the one of memory; ends with no slash.
 */
static char* group_of(char* line, bool* is_v2) {
  char* controllers = strchr(line, ':');
  char* group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
  if (group == NULL) return NULL;
  *group++ = '\0';
  *is_v2 = controllers[1] == '\0';
  if (!*is_v2 && strcmp(controllers + 1, "memory") != 0) return NULL;
  const size_t count = strlen(group);
  if (count > 0 && group[count - 1] == '/') group[count - 1] = '\0';
  return group;
}

struct otlpshm_headroom otlpshm_headroom_read(const struct otlpshm_memory_files* files,
                                              uint64_t wanted) {
  const struct version v2 = {files->v2, "memory.max", "memory.current", "inactive_file "};
  const struct version v1 = {files->v1, "memory.limit_in_bytes", "memory.usage_in_bytes",
                             "total_inactive_file "};
  struct otlpshm_headroom least = {UINT64_MAX, UINT64_MAX};
  struct lines lines = open_lines(files->membership);
  char line[PATH_BYTES];
  while (next_line(&lines, line, sizeof line)) {
    bool is_v2 = false;
    char* group = group_of(line, &is_v2);
    if (group != NULL) look_at_groups(is_v2 ? &v2 : &v1, group, wanted, &least);
  }
  close_lines(&lines);
  return least;
}

/* What may be taken before the files are read again. Threads that take at once may together take
 * what one was granted; of four parts that leaves three. */
static uint64_t granted;
static uint64_t granted_until;

bool otlpshm_headroom_allows(uint64_t bytes, uint64_t now) {
  const uint64_t grant = load_relaxed_u64(&granted);
  if (now < load_relaxed_u64(&granted_until) && grant >= bytes) {
    store_relaxed_u64(&granted, grant - bytes);
    return true;
  }
  const struct otlpshm_headroom found = otlpshm_headroom_read(&kernels_files, PARTS * bytes);
  uint64_t part = found.left / PARTS;
  if (part < bytes) return false;
  if (part > GRANT_BYTES_MAX && bytes <= GRANT_BYTES_MAX) part = GRANT_BYTES_MAX;
  store_relaxed_u64(&granted, part - bytes);
  store_relaxed_u64(&granted_until, now + GRANT_NANO);
  return true;
}

uint64_t otlpshm_headroom_limit(void) {
  return otlpshm_headroom_read(&kernels_files, 0).limit;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* detect.c: see detect.h. */
#include "detect.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "hex.h"
#include "kernel.h"

#define PROC_FILE_BYTES_MAX (64u << 10)

/* ---- which ---------------------------------------------------------------------------------- */

struct otlpshm_detectors otlpshm_detectors_of(const char* list) {
  struct otlpshm_detectors chosen = {.host = false};
  if (list == NULL || list[0] == '\0') list = "host,container,process";
  while (*list != '\0') {
    list += strspn(list, ", \t");
    const size_t bytes = strcspn(list, ", \t");
    const struct {
      const char* name;
      bool* chosen;
    } names[] = {
        {"host", &chosen.host}, {"container", &chosen.container}, {"process", &chosen.process},
        {"pid", &chosen.pid},   {"instance", &chosen.instance},
    };
    const bool all = bytes == 3 && memcmp(list, "all", 3) == 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
      if (all || (strlen(names[i].name) == bytes && memcmp(list, names[i].name, bytes) == 0)) {
        *names[i].chosen = true;
      }
    }
    list += bytes;
  }
  return chosen;
}

/* ---- container ------------------------------------------------------------------------------ */

/* Length of the run of hexadecimal digits. */
static size_t hex_run(const char* text) {
  size_t bytes = 0;
  while (otlpshm_hex_digit(text[bytes]) >= 0) ++bytes;
  return bytes;
}

/* The last id of exactly 64 digits in [line, end). */
static const char* last_id(const char* line, const char* end) {
  const char* found = NULL;
  for (const char* at = line; at < end;) {
    const size_t run = hex_run(at);
    if (run == OTLPSHM_CONTAINER_ID_BYTES && at + run <= end) found = at;
    at += run + 1;
  }
  return found;
}

static bool line_has(const char* line, const char* end, const char* word) {
  const char* found = strstr(line, word);
  return found != NULL && found < end;
}

/* A container's own files are mounted from …/containers/<id>/…; else its host name's is from a
 * directory of its id. Without a mount table it is the last part of a cgroup's path. */
bool otlpshm_detect_container_id(const char* text, char out[OTLPSHM_CONTAINER_ID_BYTES + 1]) {
  const char* best = NULL;
  int best_rank = 0;
  for (const char* line = text; *line != '\0';) {
    const char* end = line + strcspn(line, "\n");
    const char* id = last_id(line, end);
    if (id != NULL) {
      int rank = 0;
      if (line_has(line, end, "/containers/")) {
        rank = 3;
      } else if (line_has(line, end, "/hostname")) {
        rank = 2;
      } else if (line_has(line, end, "::/") || line_has(line, end, ":/")) {
        rank = 1; /* "0::/…/<id>", "4:memory:/docker/<id>" */
      }
      if (rank > best_rank) {
        best = id;
        best_rank = rank;
      }
    }
    line = *end == '\0' ? end : end + 1;
  }
  if (best == NULL) return false;
  memcpy(out, best, OTLPSHM_CONTAINER_ID_BYTES);
  out[OTLPSHM_CONTAINER_ID_BYTES] = '\0';
  return true;
}

/* The beginning of a file, zero-terminated; null when it cannot be read. The caller frees it. */
static char* read_file(const char* path) {
  const long fd = otlpshm_kernel_openat(AT_FDCWD, path, O_RDONLY, 0);
  if (fd < 0) return NULL;
  char* text = malloc(PROC_FILE_BYTES_MAX + 1);
  size_t bytes = 0;
  while (text != NULL && bytes < PROC_FILE_BYTES_MAX) {
    const long more = otlpshm_kernel_read((int)fd, text + bytes, PROC_FILE_BYTES_MAX - bytes);
    if (more <= 0) break;
    bytes += (size_t)more;
  }
  if (text != NULL) text[bytes] = '\0';
  (void)otlpshm_kernel_close((int)fd);
  return text;
}

static void detect_container(struct otlpshm_detected* out) {
  static const char* const files[] = {"/proc/self/mountinfo", "/proc/self/cgroup"};
  for (size_t i = 0; i < sizeof files / sizeof files[0] && out->container_id[0] == '\0'; ++i) {
    char* text = read_file(files[i]);
    if (text != NULL) (void)otlpshm_detect_container_id(text, out->container_id);
    free(text);
  }
}

/* ---- host, process, service ----------------------------------------------------------------- */

/* "" when it does not fit: half a name is none. */
static void copy(char* out, size_t room, const char* text) {
  const size_t bytes = strlen(text);
  memcpy(out, bytes < room ? text : "", bytes < room ? bytes + 1 : 1);
}

/* The convention's names of what uname calls otherwise. */
static const char* arch_of(const char* machine) {
  static const char* const names[][2] = {
      {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"i686", "x86"},
      {"i386", "x86"},     {"armv7l", "arm32"},
  };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
    if (strcmp(machine, names[i][0]) == 0) return names[i][1];
  }
  return machine;
}

static void detect_host(struct otlpshm_detected* out) {
  struct utsname names;
  if (uname(&names) != 0) return;
  copy(out->host_name, sizeof out->host_name, names.nodename);
  copy(out->host_arch, sizeof out->host_arch, arch_of(names.machine));
}

static void detect_process(struct otlpshm_detected* out) {
  const long bytes =
      otlpshm_kernel_readlink("/proc/self/exe", out->executable_path, sizeof out->executable_path);
  if (bytes <= 0 || (size_t)bytes >= sizeof out->executable_path) {
    out->executable_path[0] = '\0'; /* no /proc, or cut: not known */
    return;
  }
  out->executable_path[bytes] = '\0';
  const char* slash = strrchr(out->executable_path, '/');
  copy(out->executable_name, sizeof out->executable_name,
       slash == NULL ? out->executable_path : slash + 1);
}

/* A random UUID: RFC 9562, version 4. */
static void make_instance_id(char out[37]) {
  unsigned char random[16];
  if (otlpshm_kernel_random(random, sizeof random) != sizeof random) return;
  random[6] = (unsigned char)((random[6] & 0x0f) | 0x40);
  random[8] = (unsigned char)((random[8] & 0x3f) | 0x80);
  static const size_t groups[] = {4, 2, 2, 2, 6};
  const unsigned char* from = random;
  char* at = out;
  for (size_t i = 0; i < sizeof groups / sizeof *groups; ++i) {
    if (i > 0) *at++ = '-';
    otlpshm_hex_put(at, from, groups[i]);
    at += 2 * groups[i];
    from += groups[i];
  }
  *at = '\0';
}

void otlpshm_detect(struct otlpshm_detectors detectors, struct otlpshm_detected* out) {
  memset(out, 0, sizeof *out);
  if (detectors.host) detect_host(out);
  if (detectors.container) detect_container(out);
  if (detectors.process) detect_process(out);
  if (detectors.pid) out->pid = (long)otlpshm_kernel_pid();
  if (detectors.instance) make_instance_id(out->instance_id);
}

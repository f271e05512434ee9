/* SPDX-License-Identifier: Apache-2.0 */
/* detect.h: what the machine says of the process, for its resource.
 *   Owns   nothing.
 *   Never  on the span path, nor a cancellation point, for its caller holds the open lock; enters
 *          the kernel, and reads /proc and the environment.
 *   Source OpenTelemetry semantic conventions: host, container, os, process, service. */
#ifndef OTLPSHM_SRC_DETECT_H
#define OTLPSHM_SRC_DETECT_H

#include <stdbool.h>
#include <stddef.h>

#define OTLPSHM_CONTAINER_ID_BYTES 64u

/* Names of OTLPSHM_RESOURCE_DETECTORS; those of the default are true of forked children too. */
struct otlpshm_detectors {
  bool host;      /* host.name, host.arch, os.type */
  bool container; /* container.id */
  bool process;   /* process.executable.name, process.executable.path */
  bool pid;       /* process.pid: a forked child keeps its parent's resource, so only on demand */
  bool instance;  /* service.instance.id, random: on demand for the same reason */
};

/* Zero-terminated; "" is not known. */
struct otlpshm_detected {
  char host_name[256];
  char host_arch[32];
  char container_id[OTLPSHM_CONTAINER_ID_BYTES + 1];
  char executable_name[256];
  char executable_path[1024];
  char instance_id[37];
  long pid; /* 0: not asked for */
};

/* Reads a list like "host,container": "all" and "none" too; null or empty is the default. Names
 * that it does not know are left out. */
struct otlpshm_detectors otlpshm_detectors_of(const char* list);

/* Fills *out; what cannot be found out stays "". */
void otlpshm_detect(struct otlpshm_detectors detectors, struct otlpshm_detected* out);

/* The id in a text of /proc/self/mountinfo or /proc/self/cgroup; false without one. */
bool otlpshm_detect_container_id(const char* text, char out[OTLPSHM_CONTAINER_ID_BYTES + 1]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* resource.c: see resource.h.
 *   Rule   later beats earlier: the SDK's own, what was detected, OTEL_RESOURCE_ATTRIBUTES,
 *          OTEL_SERVICE_NAME, the writer's attributes, the writer's service name.
 *   Loses  attributes beyond ATTRIBUTES_MAX, and those without a usable key. */
#include "resource.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "detect.h"
#include "encode.h"
#include "otlpshm/layout.h"
#include "text.h"

#define ATTRIBUTES_MAX 1024
#define ROW_BYTES_FIRST 2048u

/* Resources and scopes are exempt from the limits of spans. */
static const struct otlpshm_limits no_limits = {
    .attribute_value_length_max = UINT32_MAX,
    .value_depth_max = OTLPSHM_VALUE_DEPTH_MAX,
};

struct attributes {
  struct otlpshm_attribute all[ATTRIBUTES_MAX];
  size_t count;
};

static void add(struct attributes* to, const struct otlpshm_attribute* attribute) {
  if (to->count < ATTRIBUTES_MAX) to->all[to->count++] = *attribute;
}

/* Both texts are borrowed. Nothing is added for "". */
static void add_text(struct attributes* to, const char* key, const char* text) {
  if (text == NULL || text[0] == '\0') return;
  const struct otlpshm_attribute attribute = {
      .key = key,
      .value = {.type = OTLPSHM_VALUE_STRING, .as.string = {.text = text, .bytes = strlen(text)}},
  };
  add(to, &attribute);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Percent-decodes in place and trims blanks. False when the encoding or the UTF-8 is broken. */
static bool decode(char** text) {
  char* from = *text;
  while (*from == ' ' || *from == '\t') ++from;
  char* end = from + strlen(from);
  while (end > from && (end[-1] == ' ' || end[-1] == '\t')) --end;
  *end = '\0';
  *text = from;
  char* to = from;
  for (; *from != '\0'; ++from) {
    if (*from != '%') {
      *to++ = *from;
      continue;
    }
    const int high = hex_digit(from[1]);
    const int low = high < 0 ? -1 : hex_digit(from[2]);
    if (low < 0 || (high == 0 && low == 0)) return false;
    *to++ = (char)(high << 4 | low);
    from += 2;
  }
  *to = '\0';
  return otlpshm_utf8_is_valid(*text, (size_t)(to - *text));
}

/* "k=v,k=v". One error discards the whole variable. The texts stay in list. */
static void add_list(struct attributes* to, char* list) {
  const size_t before = to->count;
  char* rest = list;
  while (rest != NULL) {
    char* key = strsep(&rest, ",");
    if (*key == '\0') continue;
    char* value = strchr(key, '=');
    if (value != NULL) *value++ = '\0';
    if (value == NULL || !decode(&key) || !decode(&value) || *key == '\0') {
      to->count = before;
      return;
    }
    const struct otlpshm_attribute attribute = {
        .key = key,
        .value = {.type = OTLPSHM_VALUE_STRING,
                  .as.string = {.text = value, .bytes = strlen(value)}},
    };
    add(to, &attribute);
  }
}

/* ---- rows ----------------------------------------------------------------------------------- */

struct scope {
  const char* name; /* null: the row is a resource's */
  const char* version;
};

static void put_row(struct otlpshm_cursor* cursor, const struct attributes* attributes,
                    const struct scope* scope, const char* schema_url) {
  uint8_t* mark = otlpshm_cursor_open(cursor, RESOURCE_SPANS_RESOURCE);
  if (scope != NULL) {
    otlpshm_put_text(cursor, SCOPE_NAME, scope->name, otlpshm_cstr_bytes(scope->name));
    otlpshm_put_text(cursor, SCOPE_VERSION, scope->version, otlpshm_cstr_bytes(scope->version));
  }
  (void)otlpshm_put_attributes(cursor, scope == NULL ? RESOURCE_ATTRIBUTES : SCOPE_ATTRIBUTES,
                               attributes->all, attributes->count, UINT32_MAX, &no_limits);
  otlpshm_cursor_close(cursor, mark);
  otlpshm_put_text(cursor, RESOURCE_SPANS_SCHEMA_URL, schema_url, otlpshm_cstr_bytes(schema_url));
}
_Static_assert(RESOURCE_SPANS_RESOURCE == SCOPE_SPANS_SCOPE &&
                   RESOURCE_SPANS_SCHEMA_URL == SCOPE_SPANS_SCHEMA_URL,
               "both rows have one shape");

static struct otlpshm_row make_row(const struct attributes* attributes, const struct scope* scope,
                                   const char* schema_url) {
  struct otlpshm_row row = {0};
  for (size_t room = ROW_BYTES_FIRST; room <= OTLPSHM_TABLE_BYTES_MAX; room *= 2) {
    uint8_t* bytes = realloc(row.bytes, room);
    if (bytes == NULL) break;
    row.bytes = bytes;
    struct otlpshm_cursor cursor = {.at = bytes, .end = bytes + room, .full = false};
    put_row(&cursor, attributes, scope, schema_url);
    if (!cursor.full) {
      row.count = (size_t)(cursor.at - bytes);
      return row;
    }
  }
  free(row.bytes);
  row.bytes = NULL;
  return row;
}

static void add_detected(struct attributes* to, const struct otlpshm_detected* detected) {
  add_text(to, "host.name", detected->host_name);
  add_text(to, "host.arch", detected->host_arch);
  if (detected->host_name[0] != '\0') add_text(to, "os.type", "linux");
  add_text(to, "container.id", detected->container_id);
  add_text(to, "process.executable.name", detected->executable_name);
  add_text(to, "process.executable.path", detected->executable_path);
  add_text(to, "service.instance.id", detected->instance_id);
  if (detected->pid != 0) {
    const struct otlpshm_attribute pid = {
        .key = "process.pid",
        .value = {.type = OTLPSHM_VALUE_INT, .as.integer = detected->pid},
    };
    add(to, &pid);
  }
}

/* What a resource's row is made of, while it is made. */
struct resource {
  struct attributes attributes;
  struct otlpshm_detected detected;
  char fallback_name[256];
};

static void fill(struct resource* made, char* list, const struct otlpshm_writer_options* options) {
  struct attributes* to = &made->attributes;
  const char* program = program_invocation_short_name;
  memcpy(made->fallback_name, "unknown_service", sizeof "unknown_service");
  if (program != NULL && program[0] != '\0' && strlen(program) < 200) {
    made->fallback_name[sizeof "unknown_service" - 1] = ':';
    memcpy(made->fallback_name + sizeof "unknown_service", program, strlen(program) + 1);
  }
  add_text(to, "telemetry.sdk.name", "otlpshm");
  add_text(to, "telemetry.sdk.language", "c");
  add_text(to, "telemetry.sdk.version", OTLPSHM_VERSION_STRING);
  add_text(to, "service.name", made->fallback_name);
  otlpshm_detect(otlpshm_detectors_of(secure_getenv("OTLPSHM_RESOURCE_DETECTORS")),
                 &made->detected);
  add_detected(to, &made->detected);
  if (list != NULL) add_list(to, list);
  add_text(to, "service.name", secure_getenv("OTEL_SERVICE_NAME"));
  for (size_t i = 0; i < options->resource_attribute_count; ++i) {
    add(to, &options->resource_attributes[i]);
  }
  add_text(to, "service.name", options->service_name);
}

struct otlpshm_row otlpshm_resource_row(const struct otlpshm_writer_options* options) {
  struct otlpshm_row row = {0};
  const char* variable = secure_getenv("OTEL_RESOURCE_ATTRIBUTES");
  char* list = variable == NULL ? NULL : strdup(variable);
  struct resource* made = calloc(1, sizeof *made);
  if (made != NULL) {
    fill(made, list, options);
    row = make_row(&made->attributes, NULL, options->resource_schema_url);
  }
  free(made);
  free(list);
  return row;
}

struct otlpshm_row otlpshm_scope_row(const struct otlpshm_writer_options* options) {
  struct otlpshm_row row = {0};
  struct attributes* attributes = calloc(1, sizeof *attributes);
  if (attributes == NULL) return row;
  for (size_t i = 0; i < options->scope_attribute_count; ++i) {
    add(attributes, &options->scope_attributes[i]);
  }
  const struct scope scope = {.name = options->scope_name, .version = options->scope_version};
  row = make_row(attributes, &scope, options->scope_schema_url);
  free(attributes);
  return row;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* resource.c: see resource.h.
 *   Loses  attributes beyond ATTRIBUTES_MAX, and those without a usable key. */
#include "resource.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"

#define ATTRIBUTES_MAX 256

struct attributes {
  struct otlpshm_key_value pairs[ATTRIBUTES_MAX];
  size_t count;
};

static void set(struct attributes* all, const struct otlpshm_attribute* attribute) {
  struct otlpshm_key_value pair;
  if (!otlpshm_key_value_of(&pair, attribute, UINT32_MAX)) return;
  for (size_t i = 0; i < all->count; ++i) {
    if (all->pairs[i].key_bytes == pair.key_bytes &&
        memcmp(all->pairs[i].key, pair.key, pair.key_bytes) == 0) {
      all->pairs[i] = pair;
      return;
    }
  }
  if (all->count < ATTRIBUTES_MAX) all->pairs[all->count++] = pair;
}

static void set_text(struct attributes* all, const char* key, const char* text) {
  const struct otlpshm_attribute attribute = {
      .key = key,
      .type = OTLPSHM_VALUE_STRING,
      .value.string = {.text = text, .bytes = strlen(text)},
  };
  set(all, &attribute);
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

/* "k=v,k=v". One error discards the whole variable. The pairs point into list. */
static void set_from_list(struct attributes* all, char* list) {
  struct attributes* found = malloc(sizeof *found);
  if (found == NULL) return;
  found->count = 0;
  bool good = true;
  char* rest = list;
  while (good && rest != NULL) {
    char* member = strsep(&rest, ",");
    if (*member == '\0') continue;
    char* value = strchr(member, '=');
    good = value != NULL;
    if (!good) break;
    *value++ = '\0';
    good = decode(&member) && decode(&value) && *member != '\0';
    if (good) set_text(found, member, value);
  }
  for (size_t i = 0; good && i < found->count; ++i) {
    const struct otlpshm_key_value* pair = &found->pairs[i];
    set_text(all, pair->key, pair->text);
  }
  free(found);
}

static struct otlpshm_row make_row(unsigned message_field, const uint8_t* message, size_t bytes,
                                   unsigned url_field, const char* schema_url) {
  struct otlpshm_row row = {0};
  size_t url_bytes = schema_url == NULL ? 0 : strlen(schema_url);
  if (url_bytes > 0 && !otlpshm_utf8_is_valid(schema_url, url_bytes)) url_bytes = 0;
  row.count = field_bytes(message_field, bytes);
  if (url_bytes > 0) row.count += field_bytes(url_field, url_bytes);
  row.bytes = malloc(row.count);
  if (row.bytes == NULL) return row;
  uint8_t* at = put_field(row.bytes, message_field, message, bytes);
  if (url_bytes > 0) (void)put_field(at, url_field, schema_url, url_bytes);
  return row;
}

static size_t attributes_bytes(const struct attributes* all, unsigned field) {
  size_t bytes = 0;
  for (size_t i = 0; i < all->count; ++i) {
    bytes += field_bytes(field, otlpshm_key_value_bytes(&all->pairs[i]));
  }
  return bytes;
}

static uint8_t* put_attributes(uint8_t* at, const struct attributes* all, unsigned field) {
  for (size_t i = 0; i < all->count; ++i) {
    at = put_length(at, field, otlpshm_key_value_bytes(&all->pairs[i]));
    at = otlpshm_put_key_value(at, &all->pairs[i]);
  }
  return at;
}

static struct otlpshm_row resource_row(struct attributes* all, char* list,
                                       const struct otlpshm_writer_options* options) {
  struct otlpshm_row row = {0};
  const char* program = program_invocation_short_name;
  char fallback[256] = "unknown_service";
  if (program != NULL && program[0] != '\0' && strlen(program) < 200) {
    strcat(strcat(fallback, ":"), program);
  }
  set_text(all, "telemetry.sdk.name", "otlpshm");
  set_text(all, "telemetry.sdk.language", "c");
  set_text(all, "telemetry.sdk.version", OTLPSHM_VERSION_STRING);
  set_text(all, "service.name", fallback);
  if (list != NULL) set_from_list(all, list);
  const char* name = secure_getenv("OTEL_SERVICE_NAME");
  if (name != NULL && name[0] != '\0') set_text(all, "service.name", name);
  for (size_t i = 0; i < options->resource_attribute_count; ++i) {
    set(all, &options->resource_attributes[i]);
  }
  if (options->service_name != NULL && options->service_name[0] != '\0') {
    set_text(all, "service.name", options->service_name);
  }
  const size_t bytes = attributes_bytes(all, RESOURCE_ATTRIBUTES);
  uint8_t* message = malloc(bytes + 1);
  if (message == NULL) return row;
  (void)put_attributes(message, all, RESOURCE_ATTRIBUTES);
  row = make_row(RESOURCE_SPANS_RESOURCE, message, bytes, RESOURCE_SPANS_SCHEMA_URL,
                 options->resource_schema_url);
  free(message);
  return row;
}

struct otlpshm_row otlpshm_resource_row(const struct otlpshm_writer_options* options) {
  struct otlpshm_row row = {0};
  const char* variable = secure_getenv("OTEL_RESOURCE_ATTRIBUTES");
  char* list = variable == NULL ? NULL : strdup(variable);
  struct attributes* all = calloc(1, sizeof *all);
  if (all != NULL) row = resource_row(all, list, options);
  free(all);
  free(list);
  return row;
}

struct otlpshm_row otlpshm_scope_row(const struct otlpshm_writer_options* options) {
  struct otlpshm_row row = {0};
  struct attributes* all = calloc(1, sizeof *all);
  if (all == NULL) return row;
  for (size_t i = 0; i < options->scope_attribute_count; ++i)
    set(all, &options->scope_attributes[i]);
  const char* texts[2] = {options->scope_name, options->scope_version};
  size_t text_bytes[2];
  size_t bytes = attributes_bytes(all, SCOPE_ATTRIBUTES);
  for (int i = 0; i < 2; ++i) {
    text_bytes[i] = texts[i] == NULL ? 0 : strlen(texts[i]);
    if (!otlpshm_utf8_is_valid(texts[i], text_bytes[i])) text_bytes[i] = 0;
    if (text_bytes[i] > 0) bytes += field_bytes(i == 0 ? SCOPE_NAME : SCOPE_VERSION, text_bytes[i]);
  }
  uint8_t* message = malloc(bytes + 1);
  if (message != NULL) {
    uint8_t* at = message;
    if (text_bytes[0] > 0) at = put_field(at, SCOPE_NAME, texts[0], text_bytes[0]);
    if (text_bytes[1] > 0) at = put_field(at, SCOPE_VERSION, texts[1], text_bytes[1]);
    (void)put_attributes(at, all, SCOPE_ATTRIBUTES);
    row = make_row(SCOPE_SPANS_SCOPE, message, bytes, SCOPE_SPANS_SCHEMA_URL,
                   options->scope_schema_url);
    free(message);
  }
  free(all);
  return row;
}

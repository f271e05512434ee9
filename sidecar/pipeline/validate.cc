// SPDX-License-Identifier: Apache-2.0
// validate.cc: one walk over the wire format, steered by a table of what each message may hold.
#include "pipeline/validate.h"

#include <array>
#include <cstring>

#include "model/utf8.h"
#include "model/wire.h"

namespace otlpshm::pipeline {

namespace {

using model::Bytes;
using model::Reason;
using model::Wire;

enum class Kind : std::uint8_t {
  span,
  event,
  link,
  status,
  key_value,
  any_value,
  array_value,
  key_value_list,
  resource,
  entity_ref,
  scope,
  resource_row,
  scope_row,
};
constexpr std::size_t kKinds = 13;

// What to do with a field.
enum class Act : std::uint8_t {
  skip_varint,
  skip_fixed32,
  skip_fixed64,
  skip_length,
  refuse,  // a group, field 0, a known field of another wire type, or one that must not stand here
  end_time,
  string,
  message,
  trace_id,        // the span's own: once, not zero
  span_id,         // likewise
  other_trace_id,  // 16 bytes or empty: backends refuse a request with any other length
  other_span_id,   // 8 bytes or empty
};

struct Field {
  Act act = Act::refuse;
  Kind child = Kind::span;
};

// Unknown fields pass through.
constexpr Act act_of_unknown(std::uint32_t wire) {
  switch (static_cast<Wire>(wire)) {
    case Wire::varint:
      return Act::skip_varint;
    case Wire::fixed64:
      return Act::skip_fixed64;
    case Wire::length:
      return Act::skip_length;
    case Wire::fixed32:
      return Act::skip_fixed32;
  }
  return Act::refuse;
}

constexpr Wire wire_of(Act act) {
  switch (act) {
    case Act::skip_varint:
      return Wire::varint;
    case Act::skip_fixed32:
      return Wire::fixed32;
    case Act::skip_fixed64:
    case Act::end_time:
      return Wire::fixed64;
    default:
      return Wire::length;
  }
}

// By message and by the whole tag, where that is one byte: fields 1 to 15.
constexpr std::size_t kShortTags = 128;
using Fields = std::array<Field, kShortTags>;

constexpr bool is_row_kind(Kind kind) {
  return kind == Kind::resource_row || kind == Kind::scope_row;
}

// opentelemetry-proto 1.11: trace.proto, common.proto, resource.proto.
constexpr std::array<Fields, kKinds> make_table() {
  std::array<Fields, kKinds> table{};
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    // A row holds fields 1 and 3 and no others: above all not field 2, spans come from records.
    if (is_row_kind(static_cast<Kind>(kind))) continue;
    for (std::uint32_t tag = 8; tag < kShortTags; ++tag) {
      table[kind][tag].act = act_of_unknown(tag & 7);
    }
  }
  const auto set = [&table](Kind kind, std::uint32_t number, Act act, Kind child = Kind::span) {
    Fields& fields = table[static_cast<std::size_t>(kind)];
    for (std::uint32_t wire = 0; wire < 8; ++wire) fields[number << 3 | wire] = {};
    fields[model::tag(number, wire_of(act))] = {act, child};
  };

  set(Kind::span, 1, Act::trace_id);
  set(Kind::span, 2, Act::span_id);
  set(Kind::span, 3, Act::string);         // trace_state
  set(Kind::span, 4, Act::other_span_id);  // parent_span_id
  set(Kind::span, 5, Act::string);         // name
  set(Kind::span, 6, Act::skip_varint);    // kind
  set(Kind::span, 7, Act::skip_fixed64);   // start_time_unix_nano
  set(Kind::span, 8, Act::end_time);
  set(Kind::span, 9, Act::message, Kind::key_value);
  set(Kind::span, 10, Act::skip_varint);
  set(Kind::span, 11, Act::message, Kind::event);
  set(Kind::span, 12, Act::skip_varint);
  set(Kind::span, 13, Act::message, Kind::link);
  set(Kind::span, 14, Act::skip_varint);
  set(Kind::span, 15, Act::message, Kind::status);  // 16, flags: see field_of_long_tag

  set(Kind::event, 1, Act::skip_fixed64);
  set(Kind::event, 2, Act::string);
  set(Kind::event, 3, Act::message, Kind::key_value);
  set(Kind::event, 4, Act::skip_varint);

  set(Kind::link, 1, Act::other_trace_id);
  set(Kind::link, 2, Act::other_span_id);
  set(Kind::link, 3, Act::string);
  set(Kind::link, 4, Act::message, Kind::key_value);
  set(Kind::link, 5, Act::skip_varint);
  set(Kind::link, 6, Act::skip_fixed32);

  set(Kind::status, 2, Act::string);
  set(Kind::status, 3, Act::skip_varint);

  set(Kind::key_value, 1, Act::string);
  set(Kind::key_value, 2, Act::message, Kind::any_value);

  set(Kind::any_value, 1, Act::string);
  set(Kind::any_value, 2, Act::skip_varint);
  set(Kind::any_value, 3, Act::skip_varint);
  set(Kind::any_value, 4, Act::skip_fixed64);
  set(Kind::any_value, 5, Act::message, Kind::array_value);
  set(Kind::any_value, 6, Act::message, Kind::key_value_list);
  set(Kind::any_value, 7, Act::skip_length);
  set(Kind::array_value, 1, Act::message, Kind::any_value);
  set(Kind::key_value_list, 1, Act::message, Kind::key_value);

  set(Kind::resource, 1, Act::message, Kind::key_value);
  set(Kind::resource, 2, Act::skip_varint);
  set(Kind::resource, 3, Act::message, Kind::entity_ref);
  for (std::uint32_t number = 1; number <= 4; ++number) {
    set(Kind::entity_ref, number, Act::string);
  }
  set(Kind::scope, 1, Act::string);
  set(Kind::scope, 2, Act::string);
  set(Kind::scope, 3, Act::message, Kind::key_value);
  set(Kind::scope, 4, Act::skip_varint);

  set(Kind::resource_row, 1, Act::message, Kind::resource);
  set(Kind::resource_row, 3, Act::string);
  set(Kind::scope_row, 1, Act::message, Kind::scope);
  set(Kind::scope_row, 3, Act::string);
  return table;
}

constexpr std::array<Fields, kKinds> kTable = make_table();

// Of a tag of two bytes or more. It may be a short one in a long form.
Field field_of_long_tag(Kind kind, std::uint32_t tag) {
  if (tag < kShortTags) return kTable[static_cast<std::size_t>(kind)][tag];
  constexpr std::uint32_t kSpanFlags = 16;
  if (is_row_kind(kind)) return {};
  if (kind == Kind::span && tag >> 3 == kSpanFlags &&
      tag != model::tag(kSpanFlags, Wire::fixed32)) {
    return {};
  }
  return {act_of_unknown(tag & 7), {}};
}

bool all_zero(Bytes bytes) {
  std::uint8_t any = 0;
  for (const std::uint8_t byte : bytes) any |= byte;
  return any == 0;
}

// What a walk met. The ids are views into the bytes; null: not met.
struct Met {
  const std::uint8_t* trace_id = nullptr;
  const std::uint8_t* span_id = nullptr;
  std::uint64_t end_unix_nano = 0;
};

// A value of `length` bytes at `at`, all inside its message. False: it breaks the rule.
bool is_value(Act act, const std::uint8_t* at, std::uint32_t length, Met* met) {
  switch (act) {
    case Act::trace_id:
      if (length != 16 || met->trace_id != nullptr || all_zero({at, length})) return false;
      met->trace_id = at;
      return true;
    case Act::span_id:
      if (length != 8 || met->span_id != nullptr || all_zero({at, length})) return false;
      met->span_id = at;
      return true;
    case Act::other_trace_id:
      return length == 16 || length == 0;
    case Act::other_span_id:
      return length == 8 || length == 0;
    case Act::string:
      return model::is_utf8(at, length);
    default:
      return true;
  }
}

// The attribute that most are: a key and a text, both short and ASCII, in this order. It saves the
// walk three messages. False: not that; look closely.
bool is_plain_attribute(const std::uint8_t* at, std::size_t bytes) {
  constexpr std::size_t kFrame = 6;  // three tags, three lengths of one byte
  if (bytes < kFrame || at[0] != model::tag(1, Wire::length)) return false;
  const std::size_t key_bytes = at[1];
  if (bytes < kFrame + key_bytes) return false;
  const std::size_t text_bytes = bytes - kFrame - key_bytes;
  const std::uint8_t* const value = at + 2 + key_bytes;
  return key_bytes < 128 && text_bytes + 2 < 128 && value[0] == model::tag(2, Wire::length) &&
         value[1] == text_bytes + 2 && value[2] == model::tag(1, Wire::length) &&
         value[3] == text_bytes && model::is_ascii(at + 2, key_bytes) &&
         model::is_ascii(value + 4, text_bytes);
}

// Walks one message and all inside it. The place stays in local variables: this is the loop that a
// span's checking consists of.
std::optional<Reason> walk(Bytes bytes, Kind kind, Met* met) {
  struct Outer {
    const std::uint8_t* end;
    Kind kind;
  };
  Outer outer[kDepthMax];
  unsigned depth = 0;
  const std::uint8_t* at = bytes.data();
  const std::uint8_t* end = at + bytes.size();
  for (;;) {
    while (at == end) {
      if (depth == 0) return std::nullopt;
      --depth;
      end = outer[depth].end;
      kind = outer[depth].kind;
    }
    Field field;
    if (*at < kShortTags) {
      field = kTable[static_cast<std::size_t>(kind)][*at++];
    } else {
      std::uint32_t tag = 0;
      at = model::get_varint32(at, end, &tag);
      if (at == nullptr) return Reason::invalid_wire;
      field = field_of_long_tag(kind, tag);
    }
    switch (field.act) {
      case Act::refuse:
        return Reason::invalid_wire;
      case Act::skip_varint: {
        std::uint64_t ignored = 0;
        at = model::get_varint(at, end, &ignored);
        if (at == nullptr) return Reason::invalid_wire;
        continue;
      }
      case Act::skip_fixed32:
        if (end - at < 4) return Reason::invalid_wire;
        at += 4;
        continue;
      case Act::end_time:
        if (end - at < 8) return Reason::invalid_wire;
        std::memcpy(&met->end_unix_nano, at, 8);
        at += 8;
        continue;
      case Act::skip_fixed64:
        if (end - at < 8) return Reason::invalid_wire;
        at += 8;
        continue;
      default:
        break;
    }
    std::uint32_t length = 0;
    at = model::get_varint32(at, end, &length);
    if (at == nullptr || length > static_cast<std::size_t>(end - at)) return Reason::invalid_wire;
    if (field.act == Act::message) {
      if (field.child == Kind::key_value && is_plain_attribute(at, length)) {
        at += length;
        continue;
      }
      if (depth + 1 == kDepthMax) return Reason::invalid_wire;
      outer[depth++] = {end, kind};
      end = at + length;
      kind = field.child;
      continue;
    }
    if (!is_value(field.act, at, length, met)) {
      return field.act == Act::string ? Reason::invalid_utf8 : Reason::invalid_ids;
    }
    at += length;
  }
}

bool is_row(Bytes row, Kind kind) {
  Met met;
  return !walk(row, kind, &met);
}

// Cuts a u32 length and as many bytes from the front of `rest`.
bool cut(Bytes* rest, Bytes* part) {
  std::uint32_t length = 0;
  if (rest->size() < sizeof length) return false;
  std::memcpy(&length, rest->data(), sizeof length);
  *rest = rest->subspan(sizeof length);
  if (length > rest->size()) return false;
  *part = rest->first(length);
  *rest = rest->subspan(length);
  return true;
}

constexpr std::uint16_t kNoScopeIndex = 0xffff;

bool is_header(const otlpshm_record_header& header) {
  const bool inline_scope = header.record_kind == OTLPSHM_RECORD_SPAN_INLINE_SCOPE;
  if (header.record_kind != OTLPSHM_RECORD_SPAN && !inline_scope) return false;
  if (inline_scope != (header.scope_index == kNoScopeIndex)) return false;
  if ((header.record_flags & OTLPSHM_RECORD_MULTI_PRODUCER) != 0) return false;
  const bool threshold_known = (header.record_flags & OTLPSHM_RECORD_THRESHOLD_KNOWN) != 0;
  return header.threshold <= (threshold_known ? OTLPSHM_THRESHOLD_MASK : 0);
}

}  // namespace

std::optional<Reason> validate(const model::Record& record, ValidSpan* valid) {
  if (!is_header(record.header)) return Reason::invalid_header;
  valid->fields = record.body;
  valid->resource_row = {};
  valid->scope_row = {};
  if (record.header.record_kind == OTLPSHM_RECORD_SPAN_INLINE_SCOPE) {
    if (!cut(&valid->fields, &valid->resource_row) || !cut(&valid->fields, &valid->scope_row)) {
      return Reason::invalid_wire;
    }
    if (!is_resource_row(valid->resource_row) || !is_scope_row(valid->scope_row)) {
      return Reason::invalid_scope;
    }
  }

  Met met;
  if (const auto fault = walk(valid->fields, Kind::span, &met)) return fault;
  if (met.trace_id == nullptr || met.span_id == nullptr) return Reason::invalid_ids;
  if (std::memcmp(met.trace_id, record.header.trace_id, 16) != 0 ||
      std::memcmp(met.span_id, record.header.span_id, 8) != 0) {
    return Reason::invalid_header;
  }
  valid->end_unix_nano = met.end_unix_nano;
  return std::nullopt;
}

bool is_resource_row(Bytes row) {
  return is_row(row, Kind::resource_row);
}

bool is_scope_row(Bytes row) {
  return is_row(row, Kind::scope_row);
}

}  // namespace otlpshm::pipeline

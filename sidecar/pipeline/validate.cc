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

// What a field may hold; row 0 stands for the numbers above kFieldNumberMax. Unknown fields of any
// wire type but groups pass through.
enum class Content : std::uint8_t {
  unknown,
  refused,  // a field of the message that must not stand here
  varint,
  fixed32,
  fixed64,
  end_time,
  bytes,
  string,
  message,
  trace_id,        // the span's own: once, not zero
  span_id,         // likewise
  other_trace_id,  // 16 bytes or empty: backends refuse a request with any other length
  other_span_id,   // 8 bytes or empty
};

struct Field {
  Content content = Content::unknown;
  Kind child = Kind::span;
};

constexpr std::uint32_t kFieldNumberMax = 16;
using Fields = std::array<Field, kFieldNumberMax + 1>;

// opentelemetry-proto 1.11: trace.proto, common.proto, resource.proto.
constexpr std::array<Fields, kKinds> make_table() {
  std::array<Fields, kKinds> table{};
  const auto in = [&table](Kind kind) -> Fields& { return table[static_cast<std::size_t>(kind)]; };

  Fields& span = in(Kind::span);
  span[1] = {Content::trace_id};
  span[2] = {Content::span_id};
  span[3] = {Content::string};
  span[4] = {Content::other_span_id};
  span[5] = {Content::string};
  span[6] = {Content::varint};
  span[7] = {Content::fixed64};
  span[8] = {Content::end_time};
  span[9] = {Content::message, Kind::key_value};
  span[10] = {Content::varint};
  span[11] = {Content::message, Kind::event};
  span[12] = {Content::varint};
  span[13] = {Content::message, Kind::link};
  span[14] = {Content::varint};
  span[15] = {Content::message, Kind::status};
  span[16] = {Content::fixed32};

  Fields& event = in(Kind::event);
  event[1] = {Content::fixed64};
  event[2] = {Content::string};
  event[3] = {Content::message, Kind::key_value};
  event[4] = {Content::varint};

  Fields& link = in(Kind::link);
  link[1] = {Content::other_trace_id};
  link[2] = {Content::other_span_id};
  link[3] = {Content::string};
  link[4] = {Content::message, Kind::key_value};
  link[5] = {Content::varint};
  link[6] = {Content::fixed32};

  Fields& status = in(Kind::status);
  status[2] = {Content::string};
  status[3] = {Content::varint};

  Fields& key_value = in(Kind::key_value);
  key_value[1] = {Content::string};
  key_value[2] = {Content::message, Kind::any_value};

  Fields& any_value = in(Kind::any_value);
  any_value[1] = {Content::string};
  any_value[2] = {Content::varint};
  any_value[3] = {Content::varint};
  any_value[4] = {Content::fixed64};
  any_value[5] = {Content::message, Kind::array_value};
  any_value[6] = {Content::message, Kind::key_value_list};
  any_value[7] = {Content::bytes};

  in(Kind::array_value)[1] = {Content::message, Kind::any_value};
  in(Kind::key_value_list)[1] = {Content::message, Kind::key_value};

  Fields& resource = in(Kind::resource);
  resource[1] = {Content::message, Kind::key_value};
  resource[2] = {Content::varint};
  resource[3] = {Content::message, Kind::entity_ref};
  for (std::uint32_t number = 1; number <= 4; ++number) {
    in(Kind::entity_ref)[number] = {Content::string};
  }

  Fields& scope = in(Kind::scope);
  scope[1] = {Content::string};
  scope[2] = {Content::string};
  scope[3] = {Content::message, Kind::key_value};
  scope[4] = {Content::varint};

  for (const Kind kind : {Kind::resource_row, Kind::scope_row}) {
    in(kind).fill({Content::refused});  // above all field 2: spans come from records alone
    in(kind)[1] = {Content::message, kind == Kind::scope_row ? Kind::scope : Kind::resource};
    in(kind)[3] = {Content::string};
  }
  return table;
}

constexpr std::array<Fields, kKinds> kTable = make_table();

constexpr Wire wire_of(Content content) {
  switch (content) {
    case Content::varint:
      return Wire::varint;
    case Content::fixed32:
      return Wire::fixed32;
    case Content::fixed64:
    case Content::end_time:
      return Wire::fixed64;
    default:
      return Wire::length;
  }
}

bool all_zero(Bytes bytes) {
  std::uint8_t any = 0;
  for (const std::uint8_t byte : bytes) any |= byte;
  return any == 0;
}

// Walks one message and all inside it. Views of what it met stay valid as long as the bytes.
class Walk {
 public:
  std::optional<Reason> run(Bytes bytes, Kind kind) {
    at_ = bytes.data();
    end_ = at_ + bytes.size();
    kind_ = kind;
    for (;;) {
      while (at_ == end_) {
        if (depth_ == 0) return std::nullopt;
        --depth_;
        end_ = outer_[depth_].end;
        kind_ = outer_[depth_].kind;
      }
      if (const auto fault = field()) return fault;
    }
  }

  Bytes trace_id;  // empty: not met
  Bytes span_id;
  std::uint64_t end_unix_nano = 0;

 private:
  struct Outer {
    const std::uint8_t* end;
    Kind kind;
  };

  std::optional<Reason> field() {
    std::uint32_t tag = 0;
    at_ = model::get_varint32(at_, end_, &tag);
    if (at_ == nullptr) return Reason::invalid_wire;
    const std::uint32_t number = tag >> 3;
    const auto wire = static_cast<Wire>(tag & 7);
    if (number == 0) return Reason::invalid_wire;
    const Field known =
        kTable[static_cast<std::size_t>(kind_)][number <= kFieldNumberMax ? number : 0];
    if (known.content != Content::unknown &&
        (known.content == Content::refused || wire_of(known.content) != wire)) {
      return Reason::invalid_wire;
    }
    switch (wire) {
      case Wire::varint: {
        std::uint64_t ignored = 0;
        at_ = model::get_varint(at_, end_, &ignored);
        return at_ == nullptr ? std::optional(Reason::invalid_wire) : std::nullopt;
      }
      case Wire::fixed64:
        if (end_ - at_ < 8) return Reason::invalid_wire;
        if (known.content == Content::end_time) std::memcpy(&end_unix_nano, at_, 8);
        at_ += 8;
        return std::nullopt;
      case Wire::fixed32:
        if (end_ - at_ < 4) return Reason::invalid_wire;
        at_ += 4;
        return std::nullopt;
      case Wire::length:
        return length_field(known);
    }
    return Reason::invalid_wire;  // a group, or no wire type at all
  }

  std::optional<Reason> length_field(Field known) {
    std::uint32_t length = 0;
    at_ = model::get_varint32(at_, end_, &length);
    if (at_ == nullptr || length > static_cast<std::size_t>(end_ - at_)) {
      return Reason::invalid_wire;
    }
    const Bytes value(at_, length);
    if (known.content == Content::message) {
      if (depth_ + 1 == kDepthMax) return Reason::invalid_wire;
      outer_[depth_++] = {end_, kind_};
      end_ = at_ + length;
      kind_ = known.child;
      return std::nullopt;
    }
    at_ += length;
    switch (known.content) {
      case Content::string:
        if (!model::is_utf8(value.data(), value.size())) return Reason::invalid_utf8;
        break;
      case Content::trace_id:
        if (length != 16 || !trace_id.empty() || all_zero(value)) return Reason::invalid_ids;
        trace_id = value;
        break;
      case Content::span_id:
        if (length != 8 || !span_id.empty() || all_zero(value)) return Reason::invalid_ids;
        span_id = value;
        break;
      case Content::other_trace_id:
        if (length != 16 && length != 0) return Reason::invalid_ids;
        break;
      case Content::other_span_id:
        if (length != 8 && length != 0) return Reason::invalid_ids;
        break;
      default:
        break;
    }
    return std::nullopt;
  }

  const std::uint8_t* at_ = nullptr;
  const std::uint8_t* end_ = nullptr;
  Kind kind_ = Kind::span;
  unsigned depth_ = 0;
  Outer outer_[kDepthMax];
};

bool is_row(Bytes row, Kind kind) {
  Walk walk;
  return !walk.run(row, kind);
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

  Walk walk;
  if (const auto fault = walk.run(valid->fields, Kind::span)) return fault;
  if (walk.trace_id.empty() || walk.span_id.empty()) return Reason::invalid_ids;
  if (std::memcmp(walk.trace_id.data(), record.header.trace_id, 16) != 0 ||
      std::memcmp(walk.span_id.data(), record.header.span_id, 8) != 0) {
    return Reason::invalid_header;
  }
  valid->end_unix_nano = walk.end_unix_nano;
  return std::nullopt;
}

bool is_resource_row(Bytes row) {
  return is_row(row, Kind::resource_row);
}

bool is_scope_row(Bytes row) {
  return is_row(row, Kind::scope_row);
}

}  // namespace otlpshm::pipeline

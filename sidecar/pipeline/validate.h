// SPDX-License-Identifier: Apache-2.0
// validate.h: station 6: is this record a span that any OTLP backend can take?
//   Owns   the rules of what a body may hold. Pure: no descriptor, clock or shared memory.
//   Never  recurses, allocates, or trusts a length.
//   Loses  records that break a rule, each with its reason; one bad span would otherwise make a
//          backend refuse the spans of others that share its request.
#ifndef OTLPSHM_PIPELINE_VALIDATE_H
#define OTLPSHM_PIPELINE_VALIDATE_H

#include <cstdint>
#include <optional>

#include "model/outcome.h"
#include "model/record.h"

namespace otlpshm::pipeline {

// Messages inside messages, the span itself included. Parsers of OTLP stop at 100, and a request
// puts three around a span.
inline constexpr unsigned kDepthMax = 96;

// What a valid record holds; views into the record.
struct ValidSpan {
  model::Bytes fields;              // of the Span
  model::Bytes resource_row;        // of a record with its scope inside; otherwise empty
  model::Bytes scope_row;           // likewise
  std::uint64_t end_unix_nano = 0;  // 0: the span has none
};

// Nothing if the record is good; otherwise why it is not, and `valid` is not to be used.
[[nodiscard]] std::optional<model::Reason> validate(const model::Record& record, ValidSpan* valid);

// Rows of the tables: fields 1 and 3 of ResourceSpans or ScopeSpans, and no others.
[[nodiscard]] bool is_resource_row(model::Bytes row);
[[nodiscard]] bool is_scope_row(model::Bytes row);

}  // namespace otlpshm::pipeline

#endif

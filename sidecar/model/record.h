// SPDX-License-Identifier: Apache-2.0
// record.h: one record after it was copied out of its lane, and the scope that it names.
//   Owns   nothing but the scope's bytes: a Record points into the drain's private buffer.
//   Never  points into shared memory.
#ifndef OTLPSHM_MODEL_RECORD_H
#define OTLPSHM_MODEL_RECORD_H

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "otlpshm/layout.h"

namespace otlpshm::model {

using Bytes = std::span<const std::uint8_t>;

// The header is a private copy, but its values are still the producer's claims: only size,
// position_low and sequence were checked by the drain.
struct Record {
  otlpshm_record_header header;
  Bytes body;
};

// Fields 1 and 3 of a ResourceSpans, verbatim. Equal bytes are one object (pipeline/scopes).
struct Resource {
  std::string bytes;
};

// Fields 1 and 3 of a ScopeSpans, verbatim, and the resource it belongs to.
struct Scope {
  std::shared_ptr<const Resource> resource;
  std::string bytes;
};

using ScopeRef = std::shared_ptr<const Scope>;

}  // namespace otlpshm::model

#endif

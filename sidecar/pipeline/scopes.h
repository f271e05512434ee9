// SPDX-License-Identifier: Apache-2.0
// scopes.h: equal resource and scope bytes become one object, whichever process sent them.
//   Owns   nothing that is in use elsewhere: an entry goes when its last user does.
//   Never  admits a row that is not fields 1 and 3 of its message: see is_resource_row.
//   Bound  scopes of the live segments (256 each, 64 KiB of rows) and of the batches under way; and
//          once more as many entries and bytes, or 64 and 4 MiB, that nobody uses any more.
#ifndef OTLPSHM_PIPELINE_SCOPES_H
#define OTLPSHM_PIPELINE_SCOPES_H

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>

#include "model/record.h"

namespace otlpshm::pipeline {

class Scopes {
 public:
  // Null if a row is not valid.
  [[nodiscard]] model::ScopeRef intern(model::Bytes resource_row, model::Bytes scope_row);

  [[nodiscard]] std::size_t size() const { return by_bytes_.size(); }

 private:
  static constexpr std::size_t kBytesMin = 4 << 20;

  std::shared_ptr<const model::Resource> intern_resource(model::Bytes row);
  void forget_unused();

  std::unordered_map<std::string, std::weak_ptr<const model::Resource>> resources_;
  // Keyed by the resource's address and the scope's bytes: the scope keeps its resource alive, so
  // the address stays its own for as long as the entry is in use.
  std::unordered_map<std::string, std::weak_ptr<const model::Scope>> by_bytes_;
  std::size_t forget_at_ = 64;
  std::size_t bytes_ = 0;  // of the keys of both maps
  std::size_t forget_bytes_at_ = kBytesMin;
};

}  // namespace otlpshm::pipeline

#endif

// SPDX-License-Identifier: Apache-2.0
// slabs.cc: last given back, first taken: it is the one that is still in the cache.
#include "pipeline/slabs.h"

#include <algorithm>
#include <utility>

namespace otlpshm::pipeline {

Slab Slabs::take(std::size_t bytes, Limit limit) {
  bytes = std::max(bytes, kSlabBytes);
  const std::lock_guard lock(mutex_);
  // With nothing out, waiting would not help: what does not fit alone never would.
  const bool fits = bytes_out_ + bytes <= bytes_max_ || bytes_out_ == 0;
  if (!fits && limit == Limit::kept) return {};
  bytes_out_ += bytes;
  if (bytes == kSlabBytes && !free_.empty()) {
    Slab slab{std::move(free_.back()), bytes};
    free_.pop_back();
    return slab;
  }
  return {std::make_unique_for_overwrite<std::uint8_t[]>(bytes), bytes};
}

void Slabs::give_back(Slab slab) {
  const std::lock_guard lock(mutex_);
  bytes_out_ -= slab.bytes;
  if (slab.bytes == kSlabBytes) free_.push_back(std::move(slab.memory));
}

void Slabs::trim() {
  std::vector<std::unique_ptr<std::uint8_t[]>> unused;
  const std::lock_guard lock(mutex_);
  unused.swap(free_);
}

std::uint64_t Slabs::bytes_out() const {
  const std::lock_guard lock(mutex_);
  return bytes_out_;
}

}  // namespace otlpshm::pipeline

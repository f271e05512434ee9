// SPDX-License-Identifier: Apache-2.0
// slabs.h: the memory of batches: slabs of one size, used again, under one limit.
//   Owns   the free slabs; those in use belong to their batch.
//   Never  exceeds bytes_max, but for one span when nothing else is out, and for envelopes.
//   Thread take: the loop's. give_back: any, because exporters let go of batches in theirs.
#ifndef OTLPSHM_PIPELINE_SLABS_H
#define OTLPSHM_PIPELINE_SLABS_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace otlpshm::pipeline {

inline constexpr std::size_t kSlabBytes = 256 * 1024;

struct Slab {
  std::unique_ptr<std::uint8_t[]> memory;  // null: the limit is reached
  std::size_t bytes = 0;
};

class Slabs {
 public:
  explicit Slabs(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  enum class Limit { kept, ignored };
  // A slab of kSlabBytes, or of exactly `bytes` if that is more.
  [[nodiscard]] Slab take(std::size_t bytes, Limit limit);
  void give_back(Slab slab);
  // Frees what is not in use.
  void trim();

  [[nodiscard]] std::uint64_t bytes_out() const;

 private:
  const std::uint64_t bytes_max_;
  mutable std::mutex mutex_;
  std::uint64_t bytes_out_ = 0;  // in use; guarded by mutex_, like free_
  std::vector<std::unique_ptr<std::uint8_t[]>> free_;
};

}  // namespace otlpshm::pipeline

#endif

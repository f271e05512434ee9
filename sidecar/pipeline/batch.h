// SPDX-License-Identifier: Apache-2.0
// batch.h: station 8: spans of equal resource and scope become one ExportTraceServiceRequest.
//   Owns   the open batch. Pure: no descriptor, clock or shared memory.
//   Never  decodes a span, reads one twice, or builds an envelope with no span in it.
//   Loses  nothing: what does not fit is not taken.
#ifndef OTLPSHM_PIPELINE_BATCH_H
#define OTLPSHM_PIPELINE_BATCH_H

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "model/batch.h"
#include "model/record.h"
#include "pipeline/slabs.h"

namespace otlpshm::pipeline {

struct BatchLimits {
  std::uint32_t spans_max;
  std::uint64_t bytes_max;  // of the request; a larger span goes alone
};

enum class Added {
  yes,
  full,       // close the batch, then try again
  no_memory,  // every slab is out: try again when a batch has settled
};

class Batcher {
 public:
  Batcher(BatchLimits limits, std::shared_ptr<Slabs> slabs);
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Copies the fields of one Span.
  [[nodiscard]] Added add(const model::ScopeRef& scope, model::Bytes fields,
                          std::uint64_t end_unix_nano);

  // What was added beside spans, to all batches so far: resources, scopes and lengths, at most.
  [[nodiscard]] std::uint64_t envelope_bytes() const { return envelope_bytes_; }
  [[nodiscard]] bool empty() const { return span_count_ == 0; }
  [[nodiscard]] std::uint32_t span_count() const { return span_count_; }
  [[nodiscard]] std::uint64_t id() const { return id_; }  // of the open batch

  // The open batch as a request; a new one is open then. Requires !empty().
  [[nodiscard]] std::shared_ptr<const model::Batch> close();

 private:
  // A stretch of memory that holds spans of one group.
  struct Chunk {
    std::uint8_t* start;
    std::size_t used;
    std::size_t capacity;
  };
  // What becomes one ScopeSpans.
  struct Group {
    model::ScopeRef scope;
    std::vector<Chunk> chunks;
    std::uint64_t bytes = 0;  // of its spans, with their prefixes
  };
  // What becomes one ResourceSpans.
  struct ResourceGroups {
    const model::Resource* resource;
    std::vector<std::uint32_t> groups;
  };

  [[nodiscard]] std::uint64_t envelope_bytes(const model::Scope& scope) const;
  Group& group_of(const model::ScopeRef& scope);
  std::uint8_t* reserve(Group& group, std::size_t bytes);
  std::uint8_t* carve(std::size_t bytes, Slabs::Limit limit);
  void sample_end(std::uint64_t end_unix_nano);
  void append_resource(const ResourceGroups& resource, model::Batch* batch);

  const BatchLimits limits_;
  const std::shared_ptr<Slabs> slabs_;

  std::uint64_t id_ = 1;
  std::uint32_t span_count_ = 0;
  std::uint64_t bytes_ = 0;  // of the request, envelopes at their longest
  std::uint64_t envelope_bytes_ = 0;
  std::vector<Group> groups_;
  std::unordered_map<const model::Scope*, std::uint32_t> group_of_scope_;
  std::vector<ResourceGroups> resources_;
  std::unordered_map<const model::Resource*, std::uint32_t> index_of_resource_;
  std::uint32_t last_group_ = 0;  // a lane's neighbours mostly share their scope

  std::vector<Slab> taken_;
  std::uint8_t* free_start_ = nullptr;  // what is left of the newest slab
  std::uint8_t* free_end_ = nullptr;

  std::vector<std::uint64_t> end_samples_;
  std::uint32_t sample_stride_ = 1;
};

}  // namespace otlpshm::pipeline

#endif

// SPDX-License-Identifier: Apache-2.0
// batch.cc: each group fills chunks of its own, cut from shared slabs, and so stays contiguous
// enough to be sent as few slices, however the scopes alternate. Prefixes are written at close.
#include "pipeline/batch.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "model/wire.h"

namespace otlpshm::pipeline {

namespace {

constexpr std::uint8_t kResourceSpansTag = model::tag(1, model::Wire::length);
constexpr std::uint8_t kScopeSpansTag = model::tag(2, model::Wire::length);
constexpr std::uint8_t kSpanTag = model::tag(2, model::Wire::length);
constexpr std::size_t kPrefixBytesMax = 1 + model::kVarintBytesMax;

constexpr std::size_t kChunkBytesMin = 512;
constexpr std::size_t kChunkBytesMax = 64 * 1024;

constexpr std::size_t kEndSamplesMax = 256;

// Tag, length, and what follows, which has `bytes` bytes.
std::uint64_t prefixed(std::uint64_t bytes) {
  return 1 + model::varint_bytes(bytes) + bytes;
}

std::uint8_t* put_prefix(std::uint8_t* at, std::uint8_t tag, std::uint64_t bytes) {
  *at++ = tag;
  return model::put_varint(at, bytes);
}

// What stands before a group's spans, at most.
std::uint64_t envelope_bytes_max(const model::Scope& scope) {
  return 2 * kPrefixBytesMax + scope.resource->bytes.size() + scope.bytes.size();
}

std::uint8_t* put_bytes(std::uint8_t* at, const std::string& bytes) {
  std::memcpy(at, bytes.data(), bytes.size());
  return at + bytes.size();
}

}  // namespace

Batcher::Batcher(BatchLimits limits, std::shared_ptr<Slabs> slabs)
    : limits_(limits), slabs_(std::move(slabs)) {}

Batcher::~Batcher() {
  for (Slab& slab : taken_) slabs_->give_back(std::move(slab));
}

Added Batcher::add(const model::ScopeRef& scope, model::Bytes fields, std::uint64_t end_unix_nano) {
  const std::uint64_t bytes = prefixed(fields.size());
  const bool same_group = span_count_ > 0 && groups_[last_group_].scope == scope;
  const bool new_group = !same_group && !group_of_scope_.contains(scope.get());
  const std::uint64_t envelope = new_group ? envelope_bytes(*scope) : 0;
  if (span_count_ > 0 &&
      (span_count_ >= limits_.spans_max || bytes_ + envelope + bytes > limits_.bytes_max)) {
    return Added::full;
  }
  Group& group = same_group ? groups_[last_group_] : group_of(scope);
  bytes_ += envelope;
  envelope_bytes_ += envelope;
  std::uint8_t* at = reserve(group, bytes);
  if (at == nullptr) return Added::no_memory;
  at = put_prefix(at, kSpanTag, fields.size());
  std::memcpy(at, fields.data(), fields.size());
  group.bytes += bytes;
  bytes_ += bytes;
  ++span_count_;
  sample_end(end_unix_nano);
  return Added::yes;
}

// What a new group adds to the request beside its spans: a resource stands in it once.
std::uint64_t Batcher::envelope_bytes(const model::Scope& scope) const {
  const bool is_known = index_of_resource_.contains(scope.resource.get());
  return envelope_bytes_max(scope) - (is_known ? scope.resource->bytes.size() : 0);
}

Batcher::Group& Batcher::group_of(const model::ScopeRef& scope) {
  const auto [found, added] =
      group_of_scope_.try_emplace(scope.get(), static_cast<std::uint32_t>(groups_.size()));
  last_group_ = found->second;
  if (added) {
    groups_.push_back({scope, {}, 0});
    const model::Resource* const resource = scope->resource.get();
    const auto [place, first] =
        index_of_resource_.try_emplace(resource, static_cast<std::uint32_t>(resources_.size()));
    if (first) resources_.push_back({resource, {}});
    resources_[place->second].groups.push_back(last_group_);
  }
  return groups_[last_group_];
}

// Room for `bytes` behind the group's spans: in its chunk, by growing the chunk where it ends at
// the free part of the slab, or in a new chunk.
std::uint8_t* Batcher::reserve(Group& group, std::size_t bytes) {
  std::size_t chunk_bytes = kChunkBytesMin;
  if (!group.chunks.empty()) {
    Chunk& last = group.chunks.back();
    const std::size_t left = last.capacity - last.used;
    std::uint8_t* const behind = last.start + last.capacity;
    if (left < bytes && behind == free_start_ &&
        bytes - left <= static_cast<std::size_t>(free_end_ - free_start_)) {
      free_start_ += bytes - left;
      last.capacity += bytes - left;
    }
    if (last.capacity - last.used >= bytes) {
      std::uint8_t* const at = last.start + last.used;
      last.used += bytes;
      return at;
    }
    chunk_bytes = std::min(2 * last.capacity, kChunkBytesMax);
  }
  chunk_bytes = std::max(chunk_bytes, bytes);
  std::uint8_t* const start = carve(chunk_bytes, Slabs::Limit::kept);
  if (start == nullptr) return nullptr;
  group.chunks.push_back({start, bytes, chunk_bytes});
  return start;
}

std::uint8_t* Batcher::carve(std::size_t bytes, Slabs::Limit limit) {
  if (static_cast<std::size_t>(free_end_ - free_start_) < bytes) {
    Slab slab = slabs_->take(bytes, limit);
    if (slab.memory == nullptr) return nullptr;
    free_start_ = slab.memory.get();
    free_end_ = free_start_ + slab.bytes;
    taken_.push_back(std::move(slab));
  }
  std::uint8_t* const start = free_start_;
  free_start_ += bytes;
  return start;
}

// Keeps every n-th span of the batch: when there are too many, every other one goes, and n doubles.
void Batcher::sample_end(std::uint64_t end_unix_nano) {
  if ((span_count_ - 1) % sample_stride_ != 0) return;
  if (end_samples_.size() == kEndSamplesMax) {
    for (std::size_t i = 0; i < kEndSamplesMax / 2; ++i) end_samples_[i] = end_samples_[2 * i];
    end_samples_.resize(kEndSamplesMax / 2);
    sample_stride_ *= 2;
    if ((span_count_ - 1) % sample_stride_ != 0) return;
  }
  end_samples_.push_back(end_unix_nano);
}

std::shared_ptr<const model::Batch> Batcher::close() {
  assert(!empty());
  auto batch = std::make_unique<model::Batch>();
  batch->id = id_++;
  batch->span_count = span_count_;
  for (const ResourceGroups& resource : resources_) append_resource(resource, batch.get());
  batch->end_unix_nano_samples = std::exchange(end_samples_, {});
  std::vector<std::size_t> slab_bytes;
  for (Slab& slab : taken_) {
    batch->storage.push_back(std::move(slab.memory));
    slab_bytes.push_back(slab.bytes);
  }
  const auto give_back = [slabs = slabs_, slab_bytes](const model::Batch* closed) {
    // The deleter is the one place that may take a closed batch apart.
    auto& storage = const_cast<model::Batch*>(closed)->storage;
    for (std::size_t i = 0; i < storage.size(); ++i) {
      slabs->give_back({std::move(storage[i]), slab_bytes[i]});
    }
    delete closed;
  };

  span_count_ = 0;
  bytes_ = 0;
  groups_.clear();
  group_of_scope_.clear();
  resources_.clear();
  index_of_resource_.clear();
  last_group_ = 0;
  taken_.clear();
  free_start_ = nullptr;
  free_end_ = nullptr;
  sample_stride_ = 1;
  return {batch.release(), give_back};
}

void Batcher::append_resource(const ResourceGroups& resource, model::Batch* batch) {
  const auto scope_spans_bytes = [this](std::uint32_t group) {
    return groups_[group].scope->bytes.size() + groups_[group].bytes;
  };
  std::uint64_t resource_spans_bytes = resource.resource->bytes.size();
  for (const std::uint32_t index : resource.groups) {
    // A group stays without a span when there was no memory for its first.
    if (groups_[index].bytes > 0) resource_spans_bytes += prefixed(scope_spans_bytes(index));
  }
  if (resource_spans_bytes == resource.resource->bytes.size()) return;

  const auto append = [batch](const std::uint8_t* start, std::size_t bytes) {
    batch->parts.emplace_back(start, bytes);
    batch->bytes += bytes;
  };
  bool first = true;
  for (const std::uint32_t index : resource.groups) {
    const Group& group = groups_[index];
    if (group.bytes == 0) continue;
    std::uint8_t* const envelope = carve(envelope_bytes_max(*group.scope), Slabs::Limit::ignored);
    std::uint8_t* at = envelope;
    if (std::exchange(first, false)) {
      at = put_prefix(at, kResourceSpansTag, resource_spans_bytes);
      at = put_bytes(at, resource.resource->bytes);
    }
    at = put_prefix(at, kScopeSpansTag, scope_spans_bytes(index));
    at = put_bytes(at, group.scope->bytes);
    free_start_ = at;
    append(envelope, static_cast<std::size_t>(at - envelope));
    for (const Chunk& chunk : group.chunks) append(chunk.start, chunk.used);
  }
}

}  // namespace otlpshm::pipeline

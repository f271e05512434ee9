// SPDX-License-Identifier: Apache-2.0
// scopes.cc: two maps of weak references, swept when they have doubled.
#include "pipeline/scopes.h"

#include <algorithm>
#include <utility>

#include "pipeline/validate.h"

namespace otlpshm::pipeline {

namespace {

std::string text_of(model::Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

model::ScopeRef Scopes::intern(model::Bytes resource_row, model::Bytes scope_row) {
  if (!is_resource_row(resource_row) || !is_scope_row(scope_row)) return nullptr;
  if (by_bytes_.size() >= forget_at_ || bytes_ >= forget_bytes_at_) forget_unused();
  std::shared_ptr<const model::Resource> resource = intern_resource(resource_row);
  const model::Resource* const address = resource.get();
  std::string bytes = text_of(scope_row);
  std::string key(reinterpret_cast<const char*>(&address), sizeof address);
  key += bytes;
  const auto [entry, is_new] = by_bytes_.try_emplace(std::move(key));
  if (is_new) bytes_ += entry->first.size();
  model::ScopeRef scope = entry->second.lock();
  if (!scope) {
    scope =
        std::make_shared<const model::Scope>(model::Scope{std::move(resource), std::move(bytes)});
    entry->second = scope;
  }
  return scope;
}

std::shared_ptr<const model::Resource> Scopes::intern_resource(model::Bytes row) {
  std::string bytes = text_of(row);
  const auto [entry, is_new] = resources_.try_emplace(bytes);
  if (is_new) bytes_ += bytes.size();
  std::shared_ptr<const model::Resource> resource = entry->second.lock();
  if (!resource) {
    resource = std::make_shared<const model::Resource>(model::Resource{std::move(bytes)});
    entry->second = resource;
  }
  return resource;
}

void Scopes::forget_unused() {
  const auto is_unused = [this](const auto& entry) {
    if (entry.second.expired()) bytes_ -= entry.first.size();
    return entry.second.expired();
  };
  std::erase_if(by_bytes_, is_unused);
  std::erase_if(resources_, is_unused);
  forget_at_ = std::max<std::size_t>(64, 2 * by_bytes_.size());
  forget_bytes_at_ = std::max(kBytesMin, 2 * bytes_);
}

}  // namespace otlpshm::pipeline

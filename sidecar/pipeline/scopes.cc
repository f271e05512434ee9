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
  if (by_bytes_.size() >= forget_at_) forget_unused();
  std::shared_ptr<const model::Resource> resource = intern_resource(resource_row);
  const model::Resource* const address = resource.get();
  std::string bytes = text_of(scope_row);
  std::string key(reinterpret_cast<const char*>(&address), sizeof address);
  key += bytes;
  std::weak_ptr<const model::Scope>& entry = by_bytes_[std::move(key)];
  model::ScopeRef scope = entry.lock();
  if (!scope) {
    scope =
        std::make_shared<const model::Scope>(model::Scope{std::move(resource), std::move(bytes)});
    entry = scope;
  }
  return scope;
}

std::shared_ptr<const model::Resource> Scopes::intern_resource(model::Bytes row) {
  std::string bytes = text_of(row);
  std::weak_ptr<const model::Resource>& entry = resources_[bytes];
  std::shared_ptr<const model::Resource> resource = entry.lock();
  if (!resource) {
    resource = std::make_shared<const model::Resource>(model::Resource{std::move(bytes)});
    entry = resource;
  }
  return resource;
}

void Scopes::forget_unused() {
  std::erase_if(by_bytes_, [](const auto& entry) { return entry.second.expired(); });
  std::erase_if(resources_, [](const auto& entry) { return entry.second.expired(); });
  forget_at_ = std::max<std::size_t>(64, 2 * by_bytes_.size());
}

}  // namespace otlpshm::pipeline

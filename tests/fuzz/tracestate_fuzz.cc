// SPDX-License-Identifier: Apache-2.0
// tracestate: the input is lines: a key and a value to set, then the values of tracestate headers.
#include <cstring>

#include "fuzz.h"

namespace otlpshm::fuzz {
namespace {

constexpr std::size_t kHeaders = 8;
using StateRoom = Room<OTLPSHM_TRACESTATE_BYTES + 1>;

otlpshm_context some_context() {
  otlpshm_context context{};
  context.trace_id[0] = context.span_id[0] = 1;
  return context;
}

// Takes a list's first member off its front.
std::string_view take_member(std::string_view* list) {
  const std::size_t end = list->find(',');
  const std::string_view member = list->substr(0, end);
  *list = end == std::string_view::npos ? std::string_view() : list->substr(end + 1);
  return member;
}

bool has_key(std::string_view member, std::string_view key) {
  return member.size() > key.size() && member.substr(0, key.size()) == key &&
         member[key.size()] == '=';
}

// Every member of `part` is one of `whole`, in the same order; without the key's own, when that is
// given, `part` may lack none.
void check_order(std::string_view part, std::string_view whole, std::string_view key,
                 bool may_lack) {
  while (!part.empty()) {
    const std::string_view member = take_member(&part);
    for (;;) {
      demand(!whole.empty(), "members are kept in their order, and none comes from nowhere");
      const std::string_view other = take_member(&whole);
      if (other == member) break;
      demand(may_lack || has_key(other, key), "no member is left out without need");
    }
  }
  while (!may_lack && !whole.empty()) {
    demand(has_key(take_member(&whole), key), "no last member is left out without need");
  }
}

std::size_t count(std::string_view list) {
  std::size_t members = list.empty() ? 0 : 1;
  for (const char c : list) members += c == ',';
  return members;
}

void check_set(std::string_view list, otlpshm_text key, otlpshm_text value) {
  StateRoom set, removed;
  if (otlpshm_tracestate_set(text(list), key, value, set.get()) != OTLPSHM_OK) {
    demand(set.text().empty(), "what is refused leaves no list");
    return;
  }
  std::string_view rest = set.text();
  demand(count(rest) <= 32, "a list has 32 members at most");
  const otlpshm_text found = otlpshm_tracestate_get(text(rest), key);
  demand(found.text != nullptr && view(found) == view(value), "what is set is found");
  const std::string_view first = take_member(&rest);
  demand(has_key(first, view(key)), "what is set stands in front");
  const bool fits = list.size() + key.bytes + value.bytes + 2 <= OTLPSHM_TRACESTATE_BYTES;
  check_order(rest, list, view(key), !fits || count(list) >= 32);

  demand(otlpshm_tracestate_remove(text(set.text()), key, removed.get()) == OTLPSHM_OK,
         "what is set can be removed");
  demand(removed.text() == rest, "what is removed is gone, and nothing else");
}

void check(std::string_view input) {
  const otlpshm_text key = take_line(&input);
  const otlpshm_text value = take_line(&input);
  otlpshm_text headers[kHeaders];
  std::size_t header_count = 0, bytes = 0;
  while (header_count < kHeaders && input.data() != nullptr) {
    headers[header_count] = take_line(&input);
    bytes += headers[header_count++].bytes + 1;
  }

  const otlpshm_text parent = text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  const otlpshm_w3c_headers received{&parent, 1, headers, header_count};
  StateRoom room, sent;
  otlpshm_context context;
  demand(otlpshm_w3c_extract(&received, room.get(), &context) == OTLPSHM_OK,
         "no tracestate makes a traceparent invalid");
  const std::string_view list = room.text();
  demand(list.empty() || list.size() < bytes, "a list never grows");
  demand(context.trace_state_bytes == list.size(), "the context has what the room has");
  demand(count(list) <= 32, "a list has 32 members at most");

  demand(otlpshm_tracestate_inject(&context, sent.get()) == OTLPSHM_OK, "what is read is written");
  demand(sent.text() == list, "what is read is written as it was read");

  otlpshm_context raw = some_context();
  if (header_count == 1) {  // not normalised: sent as it would be read
    raw.trace_state = headers[0].text;
    raw.trace_state_bytes = static_cast<std::uint32_t>(headers[0].bytes);
    demand(otlpshm_tracestate_inject(&raw, sent.get()) == OTLPSHM_OK, "any list can be sent");
    demand(sent.text() == list, "a list is sent as it is read");
  }
  if (key.text != nullptr && value.text != nullptr) {
    check_set(list, key, value);
    if (header_count == 1 && header_count < kHeaders) check_set("", key, value);
  }
}

}  // namespace
}  // namespace otlpshm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (bytes != nullptr) otlpshm::fuzz::check(otlpshm::fuzz::input(bytes, size));
  return 0;
}

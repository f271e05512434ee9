// SPDX-License-Identifier: Apache-2.0
// baggage: the input is the value of a baggage header, and then a value to be put into one.
#include "fuzz.h"

extern "C" {
#include "src/limits.h"
}

namespace otlpshm::fuzz {
namespace {

constexpr std::size_t kBytes = 1024;

bool is_text(std::string_view text) {
  return otlpshm_utf8_valid_prefix(text.data(), text.size()) == text.size();
}

bool lies_in(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

// A value that is written and read again is the same.
void check_value(otlpshm_text key, std::string_view value) {
  Room<3 * kBytes + 64> header(3 * value.size() + key.bytes + 2);
  const int status = otlpshm_baggage_append(header.get(), key, text(value), {});
  demand((status == OTLPSHM_OK) == is_text(value), "a value is written when it is UTF-8");
  if (status != OTLPSHM_OK) return;
  std::size_t offset = 0;
  otlpshm_baggage_member member;
  demand(otlpshm_baggage_next(text(header.text()), &offset, &member) == 1, "a member is read");
  demand(view(member.key) == view(key), "its key is the same");
  demand(member.properties.text == nullptr, "it has no properties");
  Room<kBytes + 1> decoded(value.size() + 1);
  demand(otlpshm_baggage_decode(member.value, decoded.get()) == OTLPSHM_OK, "its value is decoded");
  demand(decoded.text() == value, "its value is the same");
  demand(otlpshm_baggage_next(text(header.text()), &offset, &member) == 0, "it is alone");
}

void check_member(std::string_view header, const otlpshm_baggage_member& member) {
  demand(member.key.bytes > 0 && lies_in(view(member.key), header), "a key lies in the header");
  demand(lies_in(view(member.value), header), "a value lies in the header");
  demand(member.properties.text == nullptr || lies_in(view(member.properties), header),
         "properties lie in the header");
  Room<kBytes + 1> decoded(member.value.bytes + 1);
  demand(otlpshm_baggage_decode(member.value, decoded.get()) == OTLPSHM_OK,
         "no value is longer than it was encoded");
  demand(is_text(decoded.text()), "a decoded value is UTF-8");
  check_value(text("k"), decoded.text());
}

void check_header(std::string_view header) {
  Room<kBytes + 1> copy(header.size() + 1);
  std::size_t offset = 0, members = 0;
  otlpshm_baggage_member member;
  for (; otlpshm_baggage_next(text(header), &offset, &member) == 1; ++members) {
    check_member(header, member);
    demand(otlpshm_baggage_append_member(copy.get(), &member) == OTLPSHM_OK,
           "what is read is written, and a header never grows");
  }
  demand(offset == header.size() + 1, "the whole header is read");
  if (members == 0) return;

  std::size_t one = 0, other = 0;
  otlpshm_baggage_member again;
  for (std::size_t i = 0; i < members; ++i) {
    demand(otlpshm_baggage_next(text(header), &one, &member) == 1, "a header is read twice");
    demand(otlpshm_baggage_next(text(copy.text()), &other, &again) == 1, "what is written is read");
    demand(view(member.key) == view(again.key), "a key is written as it was read");
    demand(view(member.value) == view(again.value), "a value is written as it was read");
    demand(view(member.properties) == view(again.properties), "properties are opaque");
  }
  demand(otlpshm_baggage_next(text(copy.text()), &other, &again) == 0, "no more is written");
}

}  // namespace
}  // namespace otlpshm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace otlpshm::fuzz;
  if (bytes == nullptr || size > kBytes) return 0;
  check_header(input(bytes, size));
  check_value(text("k"), input(bytes, size));
  return 0;
}

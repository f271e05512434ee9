// SPDX-License-Identifier: Apache-2.0
// fuzz.h: what a target is: a function that gets any bytes, and the properties that it demands.
//   Never  returns from a property that does not hold: the process ends, and the input is kept.
#ifndef OTLPSHM_TESTS_FUZZ_FUZZ_H
#define OTLPSHM_TESTS_FUZZ_FUZZ_H

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "otlpshm/context.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);

namespace otlpshm::fuzz {

inline void demand(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "this property does not hold: %s\n", property);
  std::abort();
}

inline std::string_view view(otlpshm_text text) {
  return text.text == nullptr ? std::string_view() : std::string_view(text.text, text.bytes);
}

inline otlpshm_text text(std::string_view view) {
  return {view.data(), view.size()};
}

inline std::string_view input(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// Takes the text up to the next line feed off the front. Absent when nothing is left.
inline otlpshm_text take_line(std::string_view* input) {
  if (input->data() == nullptr) return {};
  const std::size_t end = input->find('\n');
  const std::string_view line = input->substr(0, end);
  *input = end == std::string_view::npos ? std::string_view() : input->substr(end + 1);
  return text(line);
}

// A room on the stack, with a capacity that the library is told and a guard behind it.
template <std::size_t kCapacity>
class Room {
 public:
  explicit Room(std::size_t capacity = kCapacity) : room_{bytes_, capacity, 0} {
    bytes_[capacity] = kGuard;
  }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  otlpshm_text_room* get() { return &room_; }
  std::string_view text() const {
    demand(room_.text == bytes_ && room_.bytes < room_.capacity, "a text fits its room");
    demand(bytes_[room_.bytes] == '\0', "a NUL stands behind a text");
    demand(bytes_[room_.capacity] == kGuard, "nothing is written behind a room");
    return {bytes_, room_.bytes};
  }

 private:
  static constexpr char kGuard = '\x5a';
  otlpshm_text_room room_;
  char bytes_[kCapacity + 1];
};

}  // namespace otlpshm::fuzz

#endif

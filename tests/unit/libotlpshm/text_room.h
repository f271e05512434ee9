// SPDX-License-Identifier: Apache-2.0
// text_room.h: rooms for text whose bounds are watched, and text as strings.
//   Owns   a room's bytes and a guard behind them.
#ifndef OTLPSHM_TESTS_LIBOTLPSHM_TEXT_ROOM_H
#define OTLPSHM_TESTS_LIBOTLPSHM_TEXT_ROOM_H

#include <catch2/catch.hpp>
#include <string>
#include <string_view>

#include "otlpshm/context.h"

namespace otlpshm::library {

inline otlpshm_text text(std::string_view string) {
  return {string.data(), string.size()};
}

inline std::string string(otlpshm_text text) {
  return text.text == nullptr ? "(absent)" : std::string(text.text, text.bytes);
}

class Room {
 public:
  explicit Room(std::size_t capacity = OTLPSHM_TRACESTATE_BYTES + 1)
      : bytes_(capacity + kGuard.size(), '~'), room_{bytes_.data(), capacity, 0} {
    bytes_.replace(capacity, kGuard.size(), kGuard);
  }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  otlpshm_text_room* get() { return &room_; }
  // What was written. Fails the case when it is not followed by a NUL inside the room.
  std::string text() const {
    REQUIRE(room_.text == bytes_.data());
    REQUIRE(room_.bytes < room_.capacity);
    REQUIRE(bytes_[room_.bytes] == '\0');
    REQUIRE(bytes_.substr(room_.capacity) == kGuard);
    return bytes_.substr(0, room_.bytes);
  }

 private:
  static constexpr std::string_view kGuard = "guard of the room";
  std::string bytes_;
  otlpshm_text_room room_;
};

}  // namespace otlpshm::library

#endif

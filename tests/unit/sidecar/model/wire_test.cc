// SPDX-License-Identifier: Apache-2.0
#include "model/wire.h"

#include <catch2/catch.hpp>
#include <vector>

namespace model = otlpshm::model;

TEST_CASE("model: a varint is read back as it was written, and its length is foretold") {
  for (const std::uint64_t value :
       {UINT64_C(0), UINT64_C(1), UINT64_C(127), UINT64_C(128), UINT64_C(16383), UINT64_C(16384),
        UINT64_C(0xffffffff), UINT64_C(0x100000000), UINT64_C(1) << 63, UINT64_MAX}) {
    std::uint8_t bytes[model::kVarintBytesMax];
    const std::uint8_t* const end = model::put_varint(bytes, value);
    CHECK(static_cast<std::size_t>(end - bytes) == model::varint_bytes(value));
    std::uint64_t back = 0;
    CHECK(model::get_varint(bytes, end, &back) == end);
    CHECK(back == value);
    CHECK(model::get_varint(bytes, end - 1, &back) == nullptr);
  }
}

TEST_CASE("model: a varint of more than 64 bits, or a length of more than 32, is refused") {
  std::uint64_t wide = 0;
  std::uint32_t narrow = 0;
  std::vector<std::uint8_t> bytes(10, 0xff);
  bytes[9] = 0x02;
  CHECK(model::get_varint(bytes.data(), bytes.data() + 10, &wide) == nullptr);
  bytes.assign(11, 0x80);
  bytes[10] = 0;
  CHECK(model::get_varint(bytes.data(), bytes.data() + 11, &wide) == nullptr);
  bytes = {0xff, 0xff, 0xff, 0xff, 0x0f};
  CHECK(model::get_varint32(bytes.data(), bytes.data() + 5, &narrow) == bytes.data() + 5);
  CHECK(narrow == UINT32_MAX);
  bytes[4] = 0x10;
  CHECK(model::get_varint32(bytes.data(), bytes.data() + 5, &narrow) == nullptr);
  bytes = {0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
  CHECK(model::get_varint32(bytes.data(), bytes.data() + 6, &narrow) == nullptr);
}

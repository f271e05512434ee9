// SPDX-License-Identifier: Apache-2.0
// response_test.cc: what a backend answers, well-meant and not.
#include "export/response.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

using namespace otlpshm::exporting;

namespace {

std::span<const std::uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string field(int number, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(number) << 3) + varint(value);
}

std::string field(int number, const std::string& value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(value.size()) + value;
}

std::string any(const std::string& type, const std::string& value) {
  return field(3, field(1, "type.googleapis.com/" + type) + field(2, value));
}

std::string retry_info(std::uint64_t seconds, std::uint64_t nanos) {
  return any("google.rpc.RetryInfo", field(1, field(1, seconds) + field(2, nanos)));
}

std::optional<std::uint64_t> delay_of(const std::string& status) {
  return read_retry_delay_ms(as_bytes(status));
}

}  // namespace

TEST_CASE("response: no bytes are a full success") {
  const auto response = read_export_response({});
  REQUIRE(response);
  CHECK(response->rejected_spans == 0);
  CHECK(response->error_message.empty());
}

TEST_CASE("response: a partial success has a count and a text") {
  const auto response =
      read_export_response(as_bytes(field(1, field(1, std::uint64_t{3}) + field(2, "too old"))));
  REQUIRE(response);
  CHECK(response->rejected_spans == 3);
  CHECK(response->error_message == "too old");
}

TEST_CASE("response: a negative count is read as it was sent") {
  const auto response = read_export_response(as_bytes(field(1, field(1, UINT64_MAX))));
  REQUIRE(response);
  CHECK(response->rejected_spans == -1);
}

TEST_CASE("response: unknown fields of every wire type are skipped") {
  const std::string unknown = field(500, std::uint64_t{7}) + field(501, "x") +
                              varint(502 << 3 | 1) + std::string(8, 'f') + varint(503 << 3 | 5) +
                              std::string(4, 'f');
  const auto response = read_export_response(
      as_bytes(unknown + field(1, unknown + field(1, std::uint64_t{2}) + unknown) + unknown));
  REQUIRE(response);
  CHECK(response->rejected_spans == 2);
}

TEST_CASE("response: bytes that are no message are told apart") {
  const std::string good = field(1, field(1, std::uint64_t{3}) + field(2, "text"));
  for (const std::string& bad :
       {std::string("\x0a"), std::string("\x0a\xff\xff\xff\xff\x0f"), std::string("\x00", 1),
        std::string("\x0b"), std::string("\x0e"), std::string("\x0a\x01\x08"),
        std::string(11, '\xff'), good.substr(0, good.size() - 1)}) {
    CHECK_FALSE(read_export_response(as_bytes(bad)));
  }
}

TEST_CASE("response: a long text is cut between code points") {
  std::string text(kBackendTextBytesMax - 1, 'a');
  text += "€ and more";
  const auto response = read_export_response(as_bytes(field(1, field(2, text))));
  REQUIRE(response);
  CHECK(response->error_message == std::string(kBackendTextBytesMax - 1, 'a'));
  CHECK(cut_backend_text(std::string(5000, '\xbf')).size() <= kBackendTextBytesMax);
  CHECK(cut_backend_text("short") == "short");
}

TEST_CASE("response: RetryInfo's delay is rounded up to milliseconds") {
  CHECK(delay_of(retry_info(2, 0)) == 2000u);
  CHECK(delay_of(retry_info(0, 1)) == 1u);
  CHECK(delay_of(retry_info(1, 500'000'001)) == 1501u);
  CHECK(delay_of(field(1, std::uint64_t{8}) + field(2, "busy") + retry_info(0, 200'000'000)) ==
        200u);
}

TEST_CASE("response: RetryInfo without a delay, or with a negative one, is there with zero") {
  CHECK(delay_of(any("google.rpc.RetryInfo", "")) == 0u);
  CHECK(delay_of(retry_info(0, 0)) == 0u);
  CHECK(delay_of(retry_info(UINT64_MAX, 0)) == 0u);
  CHECK(delay_of(retry_info(0, UINT64_MAX)) == 0u);
}

TEST_CASE("response: an endless delay does not overflow") {
  CHECK(delay_of(retry_info(INT64_MAX, 999'999'999)) == 1'000'000'001'000u);
}

TEST_CASE("response: RetryInfo is found among other details, and only by its type") {
  const std::string other = any("google.rpc.BadRequest", field(1, "x"));
  CHECK(delay_of(other + retry_info(1, 0) + other) == 1000u);
  CHECK_FALSE(delay_of(other));
  CHECK_FALSE(delay_of(""));
  CHECK_FALSE(delay_of(any("evil.google.rpc.RetryInfo.not", field(1, field(1, "")))));
}

TEST_CASE("response: a status that is no message, or too long, has no RetryInfo") {
  const std::string good = retry_info(1, 0);
  CHECK_FALSE(delay_of(good.substr(0, good.size() - 1)));
  CHECK_FALSE(delay_of(good + '\xff'));
  CHECK_FALSE(delay_of(good + field(2, std::string(kStatusDetailsBytesMax, 'x'))));
}

TEST_CASE("response: random and mutated bytes are read without a fault") {
  std::minstd_rand random(7);
  const std::string seeds[] = {retry_info(3, 5) + any("google.rpc.Help", "x"),
                               field(1, field(1, std::uint64_t{3}) + field(2, "text"))};
  for (int i = 0; i < 200'000; ++i) {
    std::string bytes = seeds[random() % 2];
    for (unsigned flips = random() % 4; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    bytes.resize(random() % (bytes.size() + 1));
    // Copied to its exact size, so that a sanitizer sees one byte too many.
    const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
    (void)read_retry_delay_ms(exact);
    (void)read_export_response(exact);
  }
  SUCCEED();
}

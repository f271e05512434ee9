// SPDX-License-Identifier: Apache-2.0
// value_test.cc: the grammar of single values, and the nearest name.
#include "config/value.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>

#include "config/nearest.h"
#include "config/quote.h"
#include "config/substitute.h"

namespace otlpshm::config {

TEST_CASE("config: numbers are plain decimal") {
  CHECK(number_from("0") == 0u);
  CHECK(number_from("18446744073709551615") == UINT64_MAX);
  for (const char* text : {"", "18446744073709551616", "-1", "+1", " 1", "1 ", "01", "1e3", "1_000",
                           "0x1", "1.0", "½", "99999999999999999999999999"}) {
    INFO(text);
    CHECK_FALSE(number_from(text));
  }
}

TEST_CASE("config: sizes take binary suffixes and no others") {
  CHECK(bytes_from("1") == 1u);
  CHECK(bytes_from("512KiB") == 512u << 10);
  CHECK(bytes_from("3MiB") == 3u << 20);
  CHECK(bytes_from("16GiB") == UINT64_C(16) << 30);
  CHECK(bytes_from("17179869183GiB") == UINT64_C(17179869183) << 30);
  for (const char* text :
       {"", "KiB", "3 MiB", "3MB", "3M", "3mib", "1.5MiB", "17179869184GiB", "3MiBMiB", "-1KiB"}) {
    INFO(text);
    CHECK_FALSE(bytes_from(text));
  }
  for (const std::uint64_t bytes : {UINT64_C(0), UINT64_C(1), UINT64_C(1023), UINT64_C(1024),
                                    UINT64_C(3) << 20, UINT64_C(1) << 40, UINT64_MAX}) {
    CHECK(bytes_from(bytes_text(bytes)) == bytes);
  }
}

TEST_CASE("config: ratios are decimal, 0 to 1") {
  CHECK(ratio_from("0") == 0);
  CHECK(ratio_from("1") == 1);
  CHECK(ratio_from("1.000") == 1);
  CHECK(ratio_from("0.25") == 0.25);
  CHECK(ratio_from("0.000001") == 0.000001);
  for (const char* text : {"", ".", ".5", "0.", "1.", "-0", "+1", "00.5", "1.0001", "2", "1e-3",
                           "0.5 ", " 0.5", "0,5", "0x0.8", "nan", "inf", "0.5.5", "50%"}) {
    INFO(text);
    CHECK_FALSE(ratio_from(text));
  }
  for (const double ratio : {0.0, 1.0, 0.1, 1.0 / 3, 0.5, 1e-9, 0x1p-56, 0x1p-1074}) {
    CHECK(ratio_from(ratio_text(ratio)) == ratio);
  }
  CHECK(ratio_text(0.1) == "0.1");
  CHECK(ratio_text(1) == "1");
  CHECK(ratio_from("0." + std::string(400, '0') + "1") == 0);  // below every double
}

TEST_CASE("config: endpoints are http, a host and a port") {
  const auto text = [](std::string_view url) {
    const Parsed<HostPort> parsed = endpoint_from(url);
    return parsed.value ? parsed.value->text() : "refused";
  };
  CHECK(text("http://localhost:4317") == "localhost:4317");
  CHECK(text("HTTP://localhost:4317/") == "localhost:4317");
  CHECK(text("http://[::1]:1") == "[::1]:1");
  CHECK(text("http://10.0.0.1:65535") == "10.0.0.1:65535");
  CHECK(text("http://otel_gw.ns.svc.:4317") == "otel_gw.ns.svc.:4317");
  for (const char* url : {"",
                          "http://",
                          "http://:1",
                          "http://a:",
                          "http://a:1:2",
                          "http://a:65536",
                          "http://a:01",
                          "http://[]:1",
                          "http://[::1]",
                          "http://[::1]x:1",
                          "http://[::1%25lo]:1",
                          "http://[1.2.3.4]:1",
                          "http://a..b:1",
                          "http://.a:1",
                          "http://1.2.3:1",
                          "http://a:1?x",
                          "http://a:1#x",
                          "http://a:1//",
                          "unix:///x",
                          "://a:1",
                          "//a:1",
                          "http:/a:1",
                          "http://a%20:1",
                          "http://é:1"}) {
    INFO(url);
    CHECK(text(url) == "refused");
  }
  CHECK(text("http://" + std::string(63, 'a') + ":1") != "refused");
  CHECK(text("http://" + std::string(64, 'a') + ":1") == "refused");
  CHECK(text(std::string_view("http://[::1\0]:1", 15)) == "refused");
}

TEST_CASE("config: addresses to listen on are numbers, or localhost") {
  CHECK(listen_from("127.0.0.1:0").value == HostPort{"127.0.0.1", 0});
  CHECK(listen_from("[::]:8888").value == HostPort{"::", 8888});
  CHECK(listen_from("localhost:1").value == HostPort{"localhost", 1});
  for (const char* text : {"", ":1", "1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:1",
                           "host:1", "*:1", "[127.0.0.1]:1", "http://127.0.0.1:1"}) {
    INFO(text);
    CHECK_FALSE(listen_from(text).value);
  }
}

TEST_CASE("config: header lists are bounded and checked") {
  CHECK(headers_from("").value == Headers{});
  CHECK(headers_from(" , ,").value == Headers{});
  CHECK(headers_from("a=b=c").value == Headers{{"a", "b=c"}});
  CHECK(headers_from("a=%41%2c").value == Headers{{"a", "A,"}});
  std::string many;
  for (std::size_t i = 0; i < headers_max; ++i) many += "n" + std::to_string(i) + "=v,";
  CHECK(headers_from(many).value->size() == headers_max);
  CHECK_FALSE(headers_from(many + "x=y").value);

  CHECK(checked_headers({{"X-Y", "z"}}, 4).value == Headers{{"x-y", "z"}});
  CHECK_FALSE(checked_headers({{"X-Y", "z"}}, 3).value);
  for (const char* name : {"", ":authority", "a b", "é", "grpc-x", "TE", "x-bin", "a\n"}) {
    INFO(name);
    CHECK_FALSE(checked_headers({{name, "v"}}, 100).value);
  }
  for (const char* value : {"\n", "\x7f", "é", "\t"})
    CHECK_FALSE(checked_headers({{"a", value}}, 9).value);
}

TEST_CASE("config: every byte survives percent-encoding") {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  CHECK(headers_from("a=" + percent_encoded(bytes)).value == Headers{{"a", bytes}});
}

TEST_CASE("config: substitution stops at the longest value") {
  const std::map<std::string, std::string> environment = {{"B", std::string(40000, 'x')}};
  CHECK(substituted("${env:B}", environment).value->size() == 40000);
  CHECK_FALSE(substituted("${env:B}${env:B}", environment).value);
  CHECK_FALSE(substituted(std::string(value_bytes_max + 1, 'x'), environment).value);
}

TEST_CASE("config: the edit distance counts swaps as one") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("endpont", "endpoint") == 1);
  CHECK(edit_distance("dri", "dir") == 1);
  CHECK(edit_distance("ca", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("config: only a near name is suggested") {
  const std::vector<std::string> names = {"dir", "loop", "export", "endpoint"};
  CHECK(nearest("exporter", names) == "export");
  CHECK(nearest("dri", names) == "dir");
  CHECK_FALSE(nearest("d", names));
  CHECK_FALSE(nearest("", names));
  CHECK_FALSE(nearest("receivers", names));
  CHECK_FALSE(nearest("endpo", names) != "endpoint");
  CHECK_FALSE(nearest(std::string(65, 'x'), {std::string(65, 'x')}));
}

TEST_CASE("config: what is shown of foreign text is printable and short") {
  CHECK(quoted("a\"é") == "\"a\"é\"");
  CHECK(quoted(std::string("\0\n\x1b\x7f\xff\xc2\x85", 7)) ==
        "\"\\x00\\x0a\\x1b\\x7f\\xff\\xc2\\x85\"");
  CHECK(quoted(std::string(61, 'x')) == '"' + std::string(60, 'x') + "…\"");
  CHECK_FALSE(first_unprintable("é 漢 \U0001F600"));
  CHECK(first_unprintable("é\n") == 2u);
}

}  // namespace otlpshm::config

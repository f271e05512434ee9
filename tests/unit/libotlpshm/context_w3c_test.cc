// SPDX-License-Identifier: Apache-2.0
// The cases of the W3C trace-context test suite as a table: a service answers a request with calls
// of its own, and what stands in their headers is looked at. Level 1 is the table kLevel1. Of the
// cases that the suite calls strict, kStrict has those that level 2 of the standard still demands:
// its keys may have any number of '@' anywhere but in front.
#include <strings.h>

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "in_child.h"
#include "producer.h"
#include "text_room.h"

namespace otlpshm::library {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

const std::string kTrace = "0af7651916cd43dd8448eb211c80319c";
const std::string kParent = "b7ad6b7169203331";
const std::string kIds = kTrace + "-" + kParent;
const std::string kGood = "00-" + kIds + "-01";

std::vector<otlpshm_text> values_of(const Headers& headers, const char* name) {
  std::vector<otlpshm_text> values;
  for (const auto& [key, value] : headers) {
    if (strcasecmp(key.c_str(), name) == 0) values.push_back(text(value));
  }
  return values;
}

// What a service sends with `calls` calls that it makes while it answers a request.
std::vector<Headers> answer(otlpshm_writer* writer, const Headers& request, int calls) {
  const auto parents = values_of(request, "traceparent");
  const auto states = values_of(request, "tracestate");
  const otlpshm_w3c_headers received{parents.data(), parents.size(), states.data(), states.size()};
  Room room;
  otlpshm_context parent;
  (void)otlpshm_w3c_extract(&received, room.get(), &parent);
  otlpshm_start_options options{};
  options.size = sizeof options;
  options.parent = &parent;
  options.kind = OTLPSHM_KIND_SERVER;
  otlpshm_span server{};
  otlpshm_span_start_cstr(writer, &server, "answer", &options);
  otlpshm_context own;
  otlpshm_span_get_context(&server, &own);

  std::vector<Headers> sent;
  options.parent = &own;
  options.kind = OTLPSHM_KIND_CLIENT;
  for (int i = 0; i < calls; ++i) {
    otlpshm_span client{};
    otlpshm_span_start_cstr(writer, &client, "call", &options);
    otlpshm_context context;
    otlpshm_span_get_context(&client, &context);
    char traceparent[OTLPSHM_TRACEPARENT_BYTES + 1];
    Room tracestate;
    REQUIRE(otlpshm_traceparent_inject(&context, traceparent) == OTLPSHM_OK);
    REQUIRE(otlpshm_tracestate_inject(&context, tracestate.get()) == OTLPSHM_OK);
    sent.push_back({{"traceparent", traceparent}});
    if (!tracestate.text().empty()) sent.back().emplace_back("tracestate", tracestate.text());
    otlpshm_span_end(&client);
  }
  otlpshm_span_end(&server);
  return sent;
}

class Service {
 public:
  std::vector<Headers> operator()(const Headers& request, int calls = 1) {
    return answer(writer_, request, calls);
  }
  ~Service() { otlpshm_shutdown(writer_, 0); }
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

 private:
  PrivateDirectory directory_;
  otlpshm_writer* writer_ = open_writer(directory_.path(), 4 << 20);
};

std::string header(const Headers& headers, const char* name) {
  const auto values = values_of(headers, name);
  REQUIRE(values.size() <= 1);
  return values.empty() ? "" : string(values[0]);
}
std::string trace_id(const Headers& sent) {
  return header(sent, "traceparent").substr(3, 32);
}
std::string parent_id(const Headers& sent) {
  return header(sent, "traceparent").substr(36, 16);
}

enum Goes { kOn, kAnew };

struct Case {
  const char* name;
  Headers request;
  Goes trace;
  std::string tracestate;  // that is sent
};

Headers parent(const std::string& value) {
  return {{"traceparent", value}};
}

Headers with_states(const std::vector<std::string>& states) {
  Headers headers = parent(kGood);
  for (const std::string& state : states) headers.emplace_back("tracestate", state);
  return headers;
}

// Characters from first to last, but those in `without`.
std::string characters(char first, char last, const std::string& without = "") {
  std::string all;
  for (char c = first; c <= last; ++c) {
    if (without.find(c) == std::string::npos) all += c;
  }
  return all;
}

const std::string kKey = characters('a', 'z') + characters('0', '9') + "_-*/";
const std::string kTenantKey = kKey + "@a-z0-9_-*/";
const std::string kValue = characters(' ', '~', ",=");

std::string members(int count) {
  std::string list;
  for (int i = 1; i <= count; ++i) {
    list += (i > 1 ? "," : "") + std::string("m") + std::to_string(i) + "=" + std::to_string(i);
  }
  return list;
}

const std::vector<Case> kLevel1 = {
    {"neither header", {}, kAnew, ""},
    {"traceparent alone", parent(kGood), kOn, ""},
    {"traceparent twice",
     {{"traceparent", kGood}, {"traceparent", "00-1" + kGood.substr(4)}},
     kAnew,
     ""},
    {"traceparent twice the same", {{"traceparent", kGood}, {"TraceParent", kGood}}, kAnew, ""},
    {"traceparent under a wrong name: -", {{"trace-parent", kGood}}, kAnew, ""},
    {"traceparent under a wrong name: .", {{"trace.parent", kGood}}, kAnew, ""},
    {"traceparent's name in words", {{"TraceParent", kGood}}, kOn, ""},
    {"traceparent's name in jumps", {{"TrAcEpArEnT", kGood}}, kOn, ""},
    {"traceparent's name in capitals", {{"TRACEPARENT", kGood}}, kOn, ""},
    {"version 00 with a character more", parent(kGood + "."), kAnew, ""},
    {"version 00 with a field more", parent(kGood + "-what-the-future-brings"), kAnew, ""},
    {"version cc", parent("cc-" + kIds + "-01"), kOn, ""},
    {"version cc with a field more", parent("cc-" + kIds + "-01-what-the-future-brings"), kOn, ""},
    {"version cc with a character more", parent("cc-" + kIds + "-01.what-the-future-brings"), kAnew,
     ""},
    {"version ff", parent("ff-" + kIds + "-01"), kAnew, ""},
    {"version .0", parent(".0-" + kIds + "-01"), kAnew, ""},
    {"version 0.", parent("0.-" + kIds + "-01"), kAnew, ""},
    {"version of 3 digits", parent("000-" + kIds + "-01"), kAnew, ""},
    {"version of 4 digits", parent("0000-" + kIds + "-01"), kAnew, ""},
    {"version of 1 digit", parent("0-" + kIds + "-01"), kAnew, ""},
    {"trace-id of zeros", parent("00-" + std::string(32, '0') + "-" + kParent + "-01"), kAnew, ""},
    {"trace-id that begins with a dot", parent("00-." + kIds.substr(1) + "-01"), kAnew, ""},
    {"trace-id that ends with a dot", parent("00-" + kTrace.substr(1) + ".-" + kParent + "-01"),
     kAnew, ""},
    {"trace-id in capitals", parent("00-0AF7651916CD43DD8448EB211C80319C-" + kParent + "-01"),
     kAnew, ""},
    {"trace-id of 33 digits", parent("00-" + kTrace + "3-" + kParent + "-01"), kAnew, ""},
    {"trace-id of 31 digits", parent("00-" + kTrace.substr(1) + "-" + kParent + "-01"), kAnew, ""},
    {"parent-id of zeros", parent("00-" + kTrace + "-" + std::string(16, '0') + "-01"), kAnew, ""},
    {"parent-id that begins with a dot", parent("00-" + kTrace + "-." + kParent.substr(1) + "-01"),
     kAnew, ""},
    {"parent-id that ends with a dot", parent("00-" + kTrace + "-" + kParent.substr(1) + ".-01"),
     kAnew, ""},
    {"parent-id of 17 digits", parent("00-" + kIds + "7-01"), kAnew, ""},
    {"parent-id of 15 digits", parent("00-" + kTrace + "-" + kParent.substr(1) + "-01"), kAnew, ""},
    {"flags .0", parent("00-" + kIds + "-.0"), kAnew, ""},
    {"flags 0.", parent("00-" + kIds + "-0."), kAnew, ""},
    {"flags of 3 digits", parent("00-" + kIds + "-001"), kAnew, ""},
    {"flags of 1 digit", parent("00-" + kIds + "-1"), kAnew, ""},
    {"a space before", parent(" " + kGood), kOn, ""},
    {"a tab before", parent("\t" + kGood), kOn, ""},
    {"a space behind", parent(kGood + " "), kOn, ""},
    {"a tab behind", parent(kGood + "\t"), kOn, ""},
    {"blanks around", parent("\t " + kGood + " \t"), kOn, ""},
    {"tracestate without a traceparent", {{"tracestate", "foo=1,bar=2"}}, kAnew, ""},
    {"tracestate with a malformed traceparent",
     {{"traceparent", kGood + "."}, {"tracestate", "foo=1"}},
     kAnew,
     ""},
    {"tracestate with a traceparent", with_states({"foo=1,bar=2"}), kOn, "foo=1,bar=2"},
    {"tracestate under a wrong name: -",
     {{"traceparent", kGood}, {"trace-state", "foo=1"}},
     kOn,
     ""},
    {"tracestate under a wrong name: .",
     {{"traceparent", kGood}, {"trace.state", "foo=1"}},
     kOn,
     ""},
    {"tracestate's name in words", {{"traceparent", kGood}, {"TraceState", "foo=1"}}, kOn, "foo=1"},
    {"tracestate's name in jumps", {{"traceparent", kGood}, {"TrAcEsTaTe", "foo=1"}}, kOn, "foo=1"},
    {"tracestate's name in capitals",
     {{"traceparent", kGood}, {"TRACESTATE", "foo=1"}},
     kOn,
     "foo=1"},
    {"an empty tracestate", with_states({""}), kOn, ""},
    {"an empty tracestate behind", with_states({"foo=1", ""}), kOn, "foo=1"},
    {"an empty tracestate before", with_states({"", "foo=1"}), kOn, "foo=1"},
    {"three tracestates", with_states({"foo=1,bar=2", "rojo=1,congo=2", "baz=3"}), kOn,
     "foo=1,bar=2,rojo=1,congo=2,baz=3"},
    {"every character of a key", with_states({kKey + "=" + kValue}), kOn, kKey + "=" + kValue},
    {"every character of a tenant's key", with_states({kTenantKey + "=" + kValue}), kOn,
     kTenantKey + "=" + kValue},
    {"blanks between members", with_states({"foo=1 \t , \t bar=2, \t baz=3"}), kOn,
     "foo=1,bar=2,baz=3"},
    {"tabs between members", with_states({"foo=1\t \t,\t \tbar=2,\t \tbaz=3"}), kOn,
     "foo=1,bar=2,baz=3"},
    {"a space before a member", with_states({" foo=1"}), kOn, "foo=1"},
    {"a tab before a member", with_states({"\tfoo=1"}), kOn, "foo=1"},
    {"a space behind a member", with_states({"foo=1 "}), kOn, "foo=1"},
    {"a tab behind a member", with_states({"foo=1\t"}), kOn, "foo=1"},
    {"blanks around a member", with_states({"\t foo=1 \t"}), kOn, "foo=1"},
};

const std::vector<Case> kStrict = {
    {"a key twice, with one value", with_states({"foo=1,foo=1"}), kOn, ""},
    {"a key twice, with two values", with_states({"foo=1,foo=2"}), kOn, ""},
    {"a key in two headers, with one value", with_states({"foo=1", "foo=1"}), kOn, ""},
    {"a key in two headers, with two values", with_states({"foo=1", "foo=2"}), kOn, ""},
    {"a key that ends with a space", with_states({"foo =1"}), kOn, ""},
    {"a key in capitals", with_states({"FOO=1"}), kOn, ""},
    {"a key with a dot", with_states({"foo.bar=1"}), kOn, ""},
    {"a key without a tenant", with_states({"@foo=1,bar=2"}), kOn, ""},
    {"32 members", with_states({members(32)}), kOn, members(32)},
    {"33 members", with_states({members(32), "m33=33"}), kOn, ""},
    {"a key of 256 characters", with_states({"foo=1", std::string(256, 'z') + "=1"}), kOn,
     "foo=1," + std::string(256, 'z') + "=1"},
    {"a key of 257 characters", with_states({"foo=1", std::string(257, 'z') + "=1"}), kOn, ""},
    {"a tenant of 241 characters",
     with_states({"foo=1", std::string(241, 't') + "@" + std::string(14, 'v') + "=1"}), kOn,
     "foo=1," + std::string(241, 't') + "@" + std::string(14, 'v') + "=1"},
    {"a value with an equals sign", with_states({"foo=bar=baz"}), kOn, ""},
    {"a value that is empty", with_states({"foo=,bar=3"}), kOn, ""},
};

void check(Service& service, const Case& each) {
  INFO(each.name);
  const Headers sent = service(each.request)[0];
  REQUIRE((trace_id(sent) == kTrace) == (each.trace == kOn));
  REQUIRE(trace_id(sent).find_first_not_of("0123456789abcdef") == std::string::npos);
  REQUIRE(trace_id(sent) != std::string(32, '0'));
  REQUIRE(parent_id(sent) != kParent);
  REQUIRE(parent_id(sent) != std::string(16, '0'));
  REQUIRE(header(sent, "traceparent").substr(0, 3) == "00-");
  REQUIRE(header(sent, "traceparent").size() == 55);
  REQUIRE(header(sent, "tracestate") == each.tracestate);
}

std::string flags_sent(Service& service, const Headers& request) {
  return header(service(request)[0], "traceparent").substr(53);
}

}  // namespace

TEST_CASE("context_w3c: a service passes level 1 of the official suite") {
  in_child([] {
    Service service;
    for (const Case& each : kLevel1) check(service, each);
  });
}

TEST_CASE("context_w3c: a service passes what level 2 keeps of the strict cases") {
  in_child([] {
    Service service;
    for (const Case& each : kStrict) check(service, each);
  });
}

TEST_CASE("context_w3c: many calls have one trace and each an id of its own") {
  in_child([] {
    Service service;
    for (const Headers& request :
         {parent(kGood), Headers{}, parent("00-" + std::string(32, '0') + "-" + kParent + "-01")}) {
      std::set<std::string> trace_ids, parent_ids;
      for (const Headers& sent : service(request, 3)) {
        trace_ids.insert(trace_id(sent));
        parent_ids.insert(parent_id(sent));
      }
      REQUIRE(trace_ids.size() == 1);
      REQUIRE(trace_ids.count(kTrace) == (request == parent(kGood) ? 1 : 0));
      REQUIRE(trace_ids.count(std::string(32, '0')) == 0);
      REQUIRE(parent_ids.size() == 3);
    }
  });
}

TEST_CASE("context_w3c: the random flag is set for a new trace, and never changed in another's") {
  in_child([] {
    Service service;
    REQUIRE(flags_sent(service, {}) == "03");
    REQUIRE(flags_sent(service, parent("00-" + kIds + "-01")) == "01");
    REQUIRE(flags_sent(service, parent("00-" + kIds + "-03")) == "03");
    REQUIRE(flags_sent(service, parent("cc-" + kIds + "-03-more")) == "03");
    REQUIRE(flags_sent(service, parent(kGood + ".")) == "03");
    REQUIRE(flags_sent(service, {{"traceparent", kGood}, {"traceparent", kGood}}) == "03");
  });
}

TEST_CASE("context_w3c: flags that nobody knows are sent as 0") {
  in_child([] {
    Service service;
    REQUIRE(flags_sent(service, parent("00-" + kIds + "-ff")) == "03");
    REQUIRE(flags_sent(service, parent("00-" + kIds + "-fd")) == "01");
  });
}

}  // namespace otlpshm::library

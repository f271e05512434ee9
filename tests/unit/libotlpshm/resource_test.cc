// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstdlib>
#include <map>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

otlpshm_writer_options nothing() {
  otlpshm_writer_options options{};
  options.size = sizeof options;
  return options;
}

std::vector<Field> fields_of(const otlpshm_row& row) {
  REQUIRE(row.bytes != nullptr);
  const auto fields = parse(std::string(reinterpret_cast<char*>(row.bytes), row.count));
  free(row.bytes);
  REQUIRE(fields);
  return *fields;
}

std::map<std::string, std::string> attributes_of(const std::string& message, unsigned number) {
  std::map<std::string, std::string> found;
  for (const Attribute& one : parse_attributes(*parse(message), number)) {
    REQUIRE(found.emplace(one.key, one.value.bytes).second);
  }
  return found;
}

std::map<std::string, std::string> resource_of(const otlpshm_writer_options& options = nothing()) {
  return attributes_of(fields_of(otlpshm_resource_row(&options)).at(0).bytes, 1);
}

// What OTEL_RESOURCE_ATTRIBUTES adds.
std::map<std::string, std::string> listed(const char* list) {
  setenv("OTEL_RESOURCE_ATTRIBUTES", list, 1);
  auto found = resource_of();
  for (const char* key :
       {"telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version"}) {
    found.erase(key);
  }
  if (found["service.name"].compare(0, 16, "unknown_service:") == 0) found.erase("service.name");
  return found;
}

using Map = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("resource: without any source it names the library and an unknown service") {
  in_child([] {
    forget_environment();
    const Map found = resource_of();
    REQUIRE(found.size() == 4);
    REQUIRE(found.at("service.name") ==
            std::string("unknown_service:") + program_invocation_short_name);
    REQUIRE(found.at("telemetry.sdk.language") == "c");
    REQUIRE(found.at("telemetry.sdk.version") == OTLPSHM_VERSION_STRING);
    REQUIRE(found.at("telemetry.sdk.name") != "opentelemetry");
  });
}

TEST_CASE("resource: the later source wins: list, service name, attributes, option") {
  in_child([] {
    forget_environment();
    setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=list,a=list,b=list", 1);
    REQUIRE(resource_of().at("service.name") == "list");
    setenv("OTEL_SERVICE_NAME", "variable", 1);
    REQUIRE(resource_of().at("service.name") == "variable");
    const otlpshm_attribute attributes[] = {string_attribute("service.name", "attribute"),
                                            string_attribute("a", "attribute")};
    otlpshm_writer_options options = nothing();
    options.resource_attributes = attributes;
    options.resource_attribute_count = 2;
    REQUIRE(resource_of(options).at("service.name") == "attribute");
    REQUIRE(resource_of(options).at("a") == "attribute");
    REQUIRE(resource_of(options).at("b") == "list");
    options.service_name = "option";
    REQUIRE(resource_of(options).at("service.name") == "option");
  });
}

TEST_CASE("resource: empty is as if not set") {
  in_child([] {
    forget_environment();
    setenv("OTEL_SERVICE_NAME", "", 1);
    setenv("OTEL_RESOURCE_ATTRIBUTES", "", 1);
    otlpshm_writer_options options = nothing();
    options.service_name = "";
    REQUIRE(resource_of(options).at("service.name").compare(0, 16, "unknown_service:") == 0);
  });
}

TEST_CASE("resource: the list is split, trimmed and percent-decoded") {
  in_child([] {
    forget_environment();
    REQUIRE(listed("a=1,b=2") == Map{{"a", "1"}, {"b", "2"}});
    REQUIRE(listed(" a = 1 , b\t=\t2 ") == Map{{"a", "1"}, {"b", "2"}});
    REQUIRE(listed("a=1,a=2") == Map{{"a", "2"}});
    REQUIRE(listed("a=") == Map{{"a", ""}});
    REQUIRE(listed("a=%20x%2C%3d%C3%A4,k%2Cy=v") == Map{{"a", " x,=ä"}, {"k,y", "v"}});
    REQUIRE(listed("a=b=c") == Map{{"a", "b=c"}});
    REQUIRE(listed("a=1,,b=2,") == Map{{"a", "1"}, {"b", "2"}});
    REQUIRE(listed("a=%25") == Map{{"a", "%"}});
    REQUIRE(listed("a=ä") == Map{{"a", "ä"}});
  });
}

TEST_CASE("resource: one error discards the whole list") {
  in_child([] {
    forget_environment();
    for (const char* bad : {"a=1,b", "a=1,=2", "a=1, =2", "a=%", "a=%2", "a=%zz", "a=%2g,b=1",
                            "a=1,b=%ff", "a=%00", "%=1", "a=1,b=%C3", "b=\xff"}) {
      INFO(bad);
      REQUIRE(listed(bad).empty());
    }
  });
}

TEST_CASE("resource: a schema URL and a scope stand where OTLP wants them") {
  in_child([] {
    forget_environment();
    const otlpshm_attribute attribute = string_attribute("k", "v");
    otlpshm_writer_options options = nothing();
    options.resource_schema_url = "https://schema/1";
    options.scope_name = "scope";
    options.scope_version = "1.2";
    options.scope_schema_url = "https://schema/2";
    options.scope_attributes = &attribute;
    options.scope_attribute_count = 1;
    const auto resource = fields_of(otlpshm_resource_row(&options));
    REQUIRE(resource.size() == 2);
    REQUIRE(resource[0].number == 1);
    REQUIRE(resource[1].number == 3);
    REQUIRE(resource[1].bytes == "https://schema/1");
    const auto row = fields_of(otlpshm_scope_row(&options));
    REQUIRE(row.size() == 2);
    REQUIRE(row[1].number == 3);
    REQUIRE(row[1].bytes == "https://schema/2");
    const auto scope = *parse(row[0].bytes);
    REQUIRE(scope.at(0).number == 1);
    REQUIRE(scope.at(0).bytes == "scope");
    REQUIRE(scope.at(1).number == 2);
    REQUIRE(scope.at(1).bytes == "1.2");
    REQUIRE(attributes_of(row[0].bytes, 3) == Map{{"k", "v"}});
  });
}

TEST_CASE("resource: a scope without a name is an empty message, and what is no text is left out") {
  in_child([] {
    forget_environment();
    otlpshm_writer_options options = nothing();
    REQUIRE(fields_of(otlpshm_scope_row(&options)).at(0).bytes.empty());
    options.scope_name = "\xff";
    options.scope_schema_url = "\xff";
    const auto row = fields_of(otlpshm_scope_row(&options));
    REQUIRE(row.size() == 1);
    REQUIRE(row[0].bytes.empty());
  });
}

}  // namespace otlpshm::library

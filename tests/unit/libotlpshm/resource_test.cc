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

// Without what the machine says of the process.
std::map<std::string, std::string> resource_of(const otlpshm_writer_options& options = nothing()) {
  setenv("OTLPSHM_RESOURCE_DETECTORS", "none", 1);
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

TEST_CASE("resource: the limits of spans are not its own: 300 long attributes are kept") {
  in_child([] {
    forget_environment();
    setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "3", 1);
    setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2", 1);
    std::vector<std::string> keys;
    for (int i = 0; i < 300; ++i) keys.push_back("key" + std::to_string(i));
    std::vector<otlpshm_attribute> attributes;
    for (const std::string& key : keys) {
      attributes.push_back(string_attribute(key.c_str(), "long text"));
    }
    otlpshm_writer_options options = nothing();
    options.resource_attributes = attributes.data();
    options.resource_attribute_count = attributes.size();
    const Map found = resource_of(options);
    for (const std::string& key : keys) REQUIRE(found.at(key) == "long text");
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

TEST_CASE("resource: a scope without a name is an empty message, and what is no text is mended") {
  in_child([] {
    forget_environment();
    otlpshm_writer_options options = nothing();
    REQUIRE(fields_of(otlpshm_scope_row(&options)).at(0).bytes.empty());
    options.scope_name = "\xff";
    options.scope_schema_url = "\xff";
    const auto row = fields_of(otlpshm_scope_row(&options));
    REQUIRE(row.size() == 2);
    REQUIRE(parse(row[0].bytes)->at(0).bytes == "\xef\xbf\xbd");
    REQUIRE(row[1].bytes == "\xef\xbf\xbd");
  });
}

TEST_CASE("resource: the detectors that are asked for find host, container, process, pid") {
  in_child([] {
    forget_environment();
    const auto with = [](const char* detectors) {
      setenv("OTLPSHM_RESOURCE_DETECTORS", detectors, 1);
      const otlpshm_writer_options options = nothing();
      return attributes_of(fields_of(otlpshm_resource_row(&options)).at(0).bytes, 1);
    };
    const auto usual = with("");
    REQUIRE(usual.count("host.name") == 1);
    REQUIRE(usual.at("os.type") == "linux");
    REQUIRE(usual.at("process.executable.name") == "libotlpshm_test");
    REQUIRE(usual.at("process.executable.path").front() == '/');
    REQUIRE(usual.count("process.pid") == 0);
    REQUIRE(usual.count("service.instance.id") == 0);
    const auto all = with("all");
    REQUIRE(all.count("process.pid") == 1);
    const std::string id = all.at("service.instance.id");
    REQUIRE(id.size() == 36);
    REQUIRE(id[14] == '4');
    REQUIRE(std::string("89ab").find(id[19]) != std::string::npos);
    REQUIRE(with("all").at("service.instance.id") != id);
    REQUIRE(with("none").size() == 4);
    const auto two = with(" pid , host");
    REQUIRE(two.count("process.pid") == 1);
    REQUIRE(two.count("host.name") == 1);
    REQUIRE(two.count("process.executable.name") == 0);
  });
}

TEST_CASE("resource: a container's id is found in a mount table and in a cgroup's path") {
  const std::string id(64, 'a');
  const std::string other(64, 'b');
  char found[OTLPSHM_CONTAINER_ID_BYTES + 1];
  const auto is_found = [&found](const std::string& text) {
    return otlpshm_detect_container_id(text.c_str(), found);
  };
  REQUIRE(is_found("1 2 0:1 /var/lib/docker/overlay2/" + other + "/merged / rw\n" +
                   "3 2 0:1 /var/lib/docker/containers/" + id + "/resolv.conf /etc/resolv.conf\n"));
  CHECK(found == id);
  REQUIRE(is_found("9 8 0:1 /pods/sandboxes/" + id + "/hostname /etc/hostname rw\n"));
  CHECK(found == id);
  REQUIRE(is_found("0::/kubepods.slice/cri-containerd-" + id + ".scope\n"));
  CHECK(found == id);
  CHECK_FALSE(is_found("0::/user.slice/session-1.scope\n"));
  CHECK_FALSE(is_found("0::/a" + id + "\n"));  // 65 digits are no id
  CHECK_FALSE(is_found(""));
}

}  // namespace otlpshm::library

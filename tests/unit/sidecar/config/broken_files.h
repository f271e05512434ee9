// SPDX-License-Identifier: Apache-2.0
// broken_files.h: broken configuration files, and the exact text that a user sees for each.
//   The environment of every case: SET=v, EMPTY= and MULTI="a: b\nc: d". "hunter2" is a secret.
#ifndef OTLPSHM_TESTS_CONFIG_BROKEN_FILES_H
#define OTLPSHM_TESTS_CONFIG_BROKEN_FILES_H

namespace otlpshm::config {

struct BrokenFile {
  const char* name;
  const char* yaml;
  const char* errors;  // joined by line ends
};

// clang-format off
inline constexpr BrokenFile broken_files[] = {
    {"a mistyped key",
     "dir: /run/x\nexport:\n  endpont: otel-gw:4317\n",
     "error: otlpshmd.yaml:3:3: export.endpont: unknown key\n"
     "    2 | export:\n"
     "    3 |   endpont: otel-gw:4317\n"
     "      |   ^^^^^^^ did you mean \"endpoint\"?"},
    {"a mistyped section",
     "exporter:\n  endpoint: x\n",
     "error: otlpshmd.yaml:1:1: exporter: unknown key\n"
     "    1 | exporter:\n"
     "      | ^^^^^^^^ did you mean \"export\"?"},
    {"a key near to nothing",
     "zzz: 1\n",
     "error: otlpshmd.yaml:1:1: zzz: unknown key\n"
     "    1 | zzz: 1\n"
     "      | ^^^ known here: dir, loop, clock, log, admin, export, batch, drain, memory, head_sampling, shutdown"},
    {"a dotted key",
     "export.endpoint: http://a:1\n",
     "error: otlpshmd.yaml:1:1: export.endpoint: unknown key\n"
     "    1 | export.endpoint: http://a:1\n"
     "      | ^^^^^^^^^^^^^^^ write it nested, one level for each dot"},
    {"a duplicate key",
     "dir: /a\ndir: /b\n",
     "error: otlpshmd.yaml:2:1: dir: duplicate key\n"
     "    1 | dir: /a\n"
     "    2 | dir: /b\n"
     "      | ^^^ first in line 1"},
    {"a duplicate section",
     "log: {level: info}\nlog: {level: warn}\n",
     "error: otlpshmd.yaml:2:1: log: duplicate key\n"
     "    1 | log: {level: info}\n"
     "    2 | log: {level: warn}\n"
     "      | ^^^ first in line 1"},
    {"a value for a section",
     "export:\n  retry: 5\n",
     "error: otlpshmd.yaml:2:10: export.retry: expected a map of options; got \"5\"\n"
     "    1 | export:\n"
     "    2 |   retry: 5\n"
     "      |          ^ it has initial_ms, max_ms"},
    {"a list for a section",
     "export: [1]\n",
     "error: otlpshmd.yaml:1:9: export: expected a map of options; got a list\n"
     "    1 | export: [1]\n"
     "      |         ^ it has exporter, endpoint, headers, timeout_ms, requests_in_flight_max, retry"},
    {"a list for a value",
     "export:\n  endpoint: [a, b]\n",
     "error: otlpshmd.yaml:2:13: export.endpoint: expected http://host:port; got a list\n"
     "    1 | export:\n"
     "    2 |   endpoint: [a, b]\n"
     "      |             ^"},
    {"a map for a value",
     "batch:\n  spans_max: {a: b}\n",
     "error: otlpshmd.yaml:2:14: batch.spans_max: expected a whole number of spans, 1 to 65536; got a map\n"
     "    1 | batch:\n"
     "    2 |   spans_max: {a: b}\n"
     "      |              ^"},
    {"an option without a value",
     "export:\n  endpoint:\n",
     "error: otlpshmd.yaml:2:3: export.endpoint: has no value\n"
     "    1 | export:\n"
     "    2 |   endpoint:\n"
     "      |   ^^^^^^^^ give it one, or remove the line for the default"},
    {"a null",
     "dir: ~\n",
     "error: otlpshmd.yaml:1:1: dir: has no value\n"
     "    1 | dir: ~\n"
     "      | ^^^ give it one, or remove the line for the default"},
    {"an empty text",
     "dir: \"\"\n",
     "error: otlpshmd.yaml:1:6: dir: expected text of 1 to 3840 bytes; got 0 bytes\n"
     "    1 | dir: \"\"\n"
     "      |      ^^"},
    {"a list at the top",
     "- a\n",
     "error: otlpshmd.yaml:1:1: expected a map of options; got a list\n"
     "    1 | - a\n"
     "      | ^ write \"dir: /run/otlpshm\", for example"},
    {"a word at the top",
     "just text\n",
     "error: otlpshmd.yaml:1:1: expected a map of options; got \"just text\"\n"
     "    1 | just text\n"
     "      | ^^^^^^^^^ write \"dir: /run/otlpshm\", for example"},
    {"three bad numbers",
     "batch:\n  spans_max: 0\n  bytes_max: 3MB\n  age_ms_max: 20ms\n",
     "error: otlpshmd.yaml:2:14: batch.spans_max: expected a whole number of spans, 1 to 65536; got \"0\"\n"
     "    1 | batch:\n"
     "    2 |   spans_max: 0\n"
     "      |              ^\n"
     "error: otlpshmd.yaml:3:14: batch.bytes_max: expected bytes, 4KiB to 64MiB; got \"3MB\"\n"
     "    2 |   spans_max: 0\n"
     "    3 |   bytes_max: 3MB\n"
     "      |              ^^^\n"
     "error: otlpshmd.yaml:4:15: batch.age_ms_max: expected a whole number of ms, 1 to 60000; got \"20ms\"\n"
     "    3 |   bytes_max: 3MB\n"
     "    4 |   age_ms_max: 20ms\n"
     "      |               ^^^^"},
    {"numbers in other notations",
     "batch:\n  spans_max: 0x10\n  bytes_max: 65MiB\n  age_ms_max: -1\n",
     "error: otlpshmd.yaml:2:14: batch.spans_max: expected a whole number of spans, 1 to 65536; got \"0x10\"\n"
     "    1 | batch:\n"
     "    2 |   spans_max: 0x10\n"
     "      |              ^^^^\n"
     "error: otlpshmd.yaml:3:14: batch.bytes_max: expected bytes, 4KiB to 64MiB; got \"65MiB\"\n"
     "    2 |   spans_max: 0x10\n"
     "    3 |   bytes_max: 65MiB\n"
     "      |              ^^^^^\n"
     "error: otlpshmd.yaml:4:15: batch.age_ms_max: expected a whole number of ms, 1 to 60000; got \"-1\"\n"
     "    3 |   bytes_max: 65MiB\n"
     "    4 |   age_ms_max: -1\n"
     "      |               ^^"},
    {"an octal and an endless number",
     "batch: {spans_max: 010, age_ms_max: 99999999999999999999999}\n",
     "error: otlpshmd.yaml:1:20: batch.spans_max: expected a whole number of spans, 1 to 65536; got \"010\"\n"
     "    1 | batch: {spans_max: 010, age_ms_max: 99999999999999999999999}\n"
     "      |                    ^^^\n"
     "error: otlpshmd.yaml:1:37: batch.age_ms_max: expected a whole number of ms, 1 to 60000; got \"99999999999999999999999\"\n"
     "    1 | batch: {spans_max: 010, age_ms_max: 99999999999999999999999}\n"
     "      |                                     ^^^^^^^^^^^^^^^^^^^^^^^"},
    {"bytes that overflow",
     "memory: {slab_bytes_max: 99999999999999999GiB}\n",
     "error: otlpshmd.yaml:1:26: memory.slab_bytes_max: expected bytes, 8MiB to 16GiB; got \"99999999999999999GiB\"\n"
     "    1 | memory: {slab_bytes_max: 99999999999999999GiB}\n"
     "      |                          ^^^^^^^^^^^^^^^^^^^^"},
    {"unknown choices",
     "loop: uring\nlog: {level: verbose, format: xml}\n",
     "error: otlpshmd.yaml:1:7: loop: expected one of auto, io_uring, epoll; got \"uring\"\n"
     "    1 | loop: uring\n"
     "      |       ^^^^^\n"
     "error: otlpshmd.yaml:2:14: log.level: expected one of trace, debug, info, warn, error; got \"verbose\"\n"
     "    1 | loop: uring\n"
     "    2 | log: {level: verbose, format: xml}\n"
     "      |              ^^^^^^^\n"
     "error: otlpshmd.yaml:2:31: log.format: expected one of auto, text, json; got \"xml\"\n"
     "    1 | loop: uring\n"
     "    2 | log: {level: verbose, format: xml}\n"
     "      |                               ^^^"},
    {"a choice in capitals",
     "log: {level: INFO}\n",
     "error: otlpshmd.yaml:1:14: log.level: expected one of trace, debug, info, warn, error; got \"INFO\"\n"
     "    1 | log: {level: INFO}\n"
     "      |              ^^^^"},
    {"an exporter that is not there",
     "export: {exporter: none}\n",
     "error: otlpshmd.yaml:1:20: export.exporter: expected one of otlp, console; got \"none\"\n"
     "    1 | export: {exporter: none}\n"
     "      |                    ^^^^"},
    {"a mode that is not there yet",
     "shutdown: {mode: last_out}\n",
     "error: otlpshmd.yaml:1:18: shutdown.mode: last_out is not available in this version: use fast\n"
     "    1 | shutdown: {mode: last_out}\n"
     "      |                  ^^^^^^^^"},
    {"a mode that is unknown",
     "shutdown: {mode: slow}\n",
     "error: otlpshmd.yaml:1:18: shutdown.mode: expected fast; got \"slow\"\n"
     "    1 | shutdown: {mode: slow}\n"
     "      |                  ^^^^"},
    {"https",
     "export: {endpoint: \"https://a:4317\"}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: https:// needs TLS, which this version does not have: write http:// and the address of a collector on this machine\n"
     "    1 | export: {endpoint: \"https://a:4317\"}\n"
     "      |                    ^^^^^^^^^^^^^^^^"},
    {"https in capitals",
     "export: {endpoint: \"HTTPS://a\"}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: https:// needs TLS, which this version does not have: write http:// and the address of a collector on this machine\n"
     "    1 | export: {endpoint: \"HTTPS://a\"}\n"
     "      |                    ^^^^^^^^^^^"},
    {"a password in the endpoint",
     "export: {endpoint: \"http://user:pw@a:4317\"}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: has a user or password in it: put credentials into export.headers\n"
     "    1 | export: {endpoint: \"http://*******@a:4317\"}\n"
     "      |                    ^^^^^^^^^^^^^^^^^^^^^^^"},
    {"an endpoint without a scheme",
     "export: {endpoint: 'otel-gw:4317'}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: has no scheme: write http://host:port; got \"otel-gw:4317\"\n"
     "    1 | export: {endpoint: 'otel-gw:4317'}\n"
     "      |                    ^^^^^^^^^^^^^^"},
    {"an endpoint without a port",
     "export: {endpoint: http://otel-gw/}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: has no port: write http://otel-gw:4317, if the receiver uses the usual port of OTLP over gRPC\n"
     "    1 | export: {endpoint: http://otel-gw/}\n"
     "      |                    ^^^^^^^^^^^^^^^"},
    {"an endpoint with port 0",
     "export: {endpoint: http://otel-gw:0}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: expected a port of 1 to 65535; got \"http://otel-gw:0\"\n"
     "    1 | export: {endpoint: http://otel-gw:0}\n"
     "      |                    ^^^^^^^^^^^^^^^^"},
    {"an endpoint with a huge port",
     "export: {endpoint: http://otel-gw:70000}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: expected a port of 1 to 65535; got \"http://otel-gw:70000\"\n"
     "    1 | export: {endpoint: http://otel-gw:70000}\n"
     "      |                    ^^^^^^^^^^^^^^^^^^^^"},
    {"an endpoint with a path",
     "export: {endpoint: http://a:4318/v1/traces}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: has a path, \"/v1/traces\", and OTLP over gRPC has none: write http://host:port\n"
     "    1 | export: {endpoint: http://a:4318/v1/traces}\n"
     "      |                    ^^^^^^^^^^^^^^^^^^^^^^^"},
    {"IPv6 without brackets",
     "export: {endpoint: \"http://::1:4317\"}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: expected http://host:port, an IPv6 address in brackets; got \"http://::1:4317\"\n"
     "    1 | export: {endpoint: \"http://::1:4317\"}\n"
     "      |                    ^^^^^^^^^^^^^^^^^"},
    {"a broken IPv6 address",
     "export: {endpoint: \"http://[::g]:4317\"}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: the host \"::g\" is neither a name nor an address: write http://host:port\n"
     "    1 | export: {endpoint: \"http://[::g]:4317\"}\n"
     "      |                    ^^^^^^^^^^^^^^^^^^^"},
    {"an open bracket",
     "export: {endpoint: \"http://[::1:4317\"}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: expected http://host:port, an IPv6 address in brackets; got \"http://[::1:4317\"\n"
     "    1 | export: {endpoint: \"http://[::1:4317\"}\n"
     "      |                    ^^^^^^^^^^^^^^^^^^"},
    {"a broken IPv4 address",
     "export: {endpoint: \"http://256.1.1.1:4317\"}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: the host \"256.1.1.1\" is neither a name nor an address: write http://host:port\n"
     "    1 | export: {endpoint: \"http://256.1.1.1:4317\"}\n"
     "      |                    ^^^^^^^^^^^^^^^^^^^^^^^"},
    {"another scheme",
     "export: {endpoint: \"grpc://a:4317\"}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: the scheme \"grpc\" is not supported: write http://host:port\n"
     "    1 | export: {endpoint: \"grpc://a:4317\"}\n"
     "      |                    ^^^^^^^^^^^^^^^"},
    {"a blank in a host",
     "export: {endpoint: \"http://a b:4317\"}\n",
     "error: otlpshmd.yaml:1:20: export.endpoint: the host \"a b\" is neither a name nor an address: write http://host:port\n"
     "    1 | export: {endpoint: \"http://a b:4317\"}\n"
     "      |                    ^^^^^^^^^^^^^^^^^"},
    {"an address without a host",
     "admin: {listen: \":8888\"}\n",
     "error: otlpshmd.yaml:1:17: admin.listen: expected address:port, such as 127.0.0.1:8888, [::1]:8888, or 0.0.0.0:8888 for every interface; got \":8888\"\n"
     "    1 | admin: {listen: \":8888\"}\n"
     "      |                 ^^^^^^^"},
    {"a name to listen on",
     "admin: {listen: \"example.com:80\"}\n",
     "error: otlpshmd.yaml:1:17: admin.listen: expected address:port, such as 127.0.0.1:8888, [::1]:8888, or 0.0.0.0:8888 for every interface; got \"example.com:80\"\n"
     "    1 | admin: {listen: \"example.com:80\"}\n"
     "      |                 ^^^^^^^^^^^^^^^^"},
    {"a bad header name below a secret",
     "export:\n  headers:\n    authorization: \"Bearer hunter2\"\n    bad name: x\n  endpont: x\n",
     "error: otlpshmd.yaml:4:5: export.headers: the header name \"bad name\" may hold only letters, digits, -, _ and .\n"
     "    3 |     authorization: ***\n"
     "    4 |     ***\n"
     "      |     ^\n"
     "error: otlpshmd.yaml:5:3: export.endpont: unknown key\n"
     "    4 |     ***\n"
     "    5 |   endpont: x\n"
     "      |   ^^^^^^^ did you mean \"endpoint\"?"},
    {"a bad header value",
     "export:\n  headers:\n    x: \"hunter2 \\x01\"\n    authorization: hunter2\n",
     "error: otlpshmd.yaml:3:5: export.headers: the value of the header \"x\" must be printable ASCII\n"
     "    2 |   headers:\n"
     "    3 |     x: ***\n"
     "      |     ^"},
    {"a header of gRPC",
     "export: {headers: {grpc-timeout: 1S}}\n",
     "error: otlpshmd.yaml:1:20: export.headers: the header \"grpc-timeout\" is set by gRPC itself: remove it\n"
     "    1 | export: {headers: ***\n"
     "      |                  ^"},
    {"a binary header",
     "export: {headers: {x-bin: hunter2}}\n",
     "error: otlpshmd.yaml:1:20: export.headers: the header \"x-bin\" would be binary, which is not supported: rename it\n"
     "    1 | export: {headers: ***\n"
     "      |                  ^"},
    {"headers as a list",
     "export:\n  headers: [a, hunter2]\n",
     "error: otlpshmd.yaml:2:12: export.headers: expected a map of header names to values\n"
     "    1 | export:\n"
     "    2 |   headers: ***\n"
     "      |           ^ write each on a line of its own, as \"name: value\""},
    {"headers as a text",
     "export:\n  headers: hunter2\n",
     "error: otlpshmd.yaml:2:12: export.headers: expected a map of header names to values\n"
     "    1 | export:\n"
     "    2 |   headers: ***\n"
     "      |           ^ write each on a line of its own, as \"name: value\""},
    {"the same header twice",
     "export:\n  headers: {a: hunter2, a: hunter2}\n",
     "error: otlpshmd.yaml:2:25: export.headers.a: duplicate key\n"
     "    1 | export:\n"
     "    2 |   headers: ***\n"
     "      |           ^ first in line 2"},
    {"the same header in two cases",
     "export:\n  headers:\n    a: hunter2\n    A: hunter2\n",
     "error: otlpshmd.yaml:3:5: export.headers: the header \"a\" stands there twice\n"
     "    2 |   headers:\n"
     "    3 |     a: ***\n"
     "      |     ^"},
    {"a list in a header",
     "export:\n  headers:\n    k:\n      - hunter2\n",
     "error: otlpshmd.yaml:3:5: export.headers.k: expected one line of text\n"
     "    2 |   headers:\n"
     "    3 |     k:\n"
     "      |     ^"},
    {"a header with an open quote",
     "export:\n  headers:\n    k: \"hunter2\n    j: x\n",
     "error: otlpshmd.yaml:3:8: malformed YAML: a quote that is never closed\n"
     "    2 |   headers:\n"
     "    3 |     k: ***\n"
     "      |       ^"},
    {"a secret in the wrong section",
     "export:\n  authorization: Bearer hunter2\n",
     "error: otlpshmd.yaml:2:3: export.authorization: unknown key\n"
     "    1 | export:\n"
     "    2 |   authorization: ***\n"
     "      |   ^^^^^^^^^^^^^ known here: exporter, endpoint, headers, timeout_ms, requests_in_flight_max, retry"},
    {"a header with a bad reference",
     "export:\n  headers:\n    k: hunter2${hunter2}\n",
     "error: otlpshmd.yaml:3:8: export.headers.k: ${ is not followed by env: write ${env:NAME}, or $$ for a plain $\n"
     "    2 |   headers:\n"
     "    3 |     k: ***\n"
     "      |       ^"},
    {"a variable that is not set",
     "dir: ${env:NOPE}\n",
     "error: otlpshmd.yaml:1:6: dir: the environment variable NOPE is not set: set it, or write ${env:NOPE:-default}\n"
     "    1 | dir: ${env:NOPE}\n"
     "      |      ^^^^^^^^^^^"},
    {"a variable that is empty",
     "dir: ${env:EMPTY}\n",
     "error: otlpshmd.yaml:1:6: dir: expected text of 1 to 3840 bytes; got 0 bytes\n"
     "    1 | dir: ${env:EMPTY}\n"
     "      |      ^^^^^^^^^^^^"},
    {"a reference without env",
     "dir: ${SET}\n",
     "error: otlpshmd.yaml:1:6: dir: ${ is not followed by env: write ${env:NAME}, or $$ for a plain $\n"
     "    1 | dir: ${SET}\n"
     "      |      ^^^^^^"},
    {"a reference that is not closed",
     "dir: ${env:SET\n",
     "error: otlpshmd.yaml:1:6: dir: ${ has no }: close it, or write $$ for a $\n"
     "    1 | dir: ${env:SET\n"
     "      |      ^^^^^^^^^"},
    {"a reference to no name",
     "dir: '${env:1x}'\n",
     "error: otlpshmd.yaml:1:6: dir: ${env: is not followed by the name of a variable: write ${env:NAME}\n"
     "    1 | dir: '${env:1x}'\n"
     "      |      ^^^^^^^^^^^"},
    {"a file reference",
     "dir: ${file:/x}\n",
     "error: otlpshmd.yaml:1:6: dir: ${ is not followed by env: write ${env:NAME}, or $$ for a plain $\n"
     "    1 | dir: ${file:/x}\n"
     "      |      ^^^^^^^^^^"},
    {"a variable that looks like YAML",
     "dir: ${env:MULTI}\n",
     "error: otlpshmd.yaml:1:6: dir: has a control character or a byte that is not UTF-8, at byte 5\n"
     "    1 | dir: ${env:MULTI}\n"
     "      |      ^^^^^^^^^^^^"},
    {"a variable of the wrong type",
     "batch: {spans_max: \"${env:SET}\"}\n",
     "error: otlpshmd.yaml:1:20: batch.spans_max: expected a whole number of spans, 1 to 65536; got \"v\"\n"
     "    1 | batch: {spans_max: \"${env:SET}\"}\n"
     "      |                    ^^^^^^^^^^^^"},
    {"a quote that is never closed",
     "dir: \"x\nlog: {level: loud}\n",
     "error: otlpshmd.yaml:1:6: malformed YAML: a quote that is never closed\n"
     "    1 | dir: \"x\n"
     "      |      ^"},
    {"a bracket that is never closed",
     "dir: [a\n",
     "error: otlpshmd.yaml:2:1: malformed YAML: end of sequence flow not found\n"
     "    1 | dir: [a\n"
     "    2 | \n"
     "      | ^"},
    {"tabs",
     "export:\n\tendpoint: x\n",
     "error: otlpshmd.yaml:2:10: malformed YAML: illegal map value\n"
     "    1 | export:\n"
     "    2 |  endpoint: x\n"
     "      |          ^ indent with spaces, not tabs"},
    {"a wrong indentation",
     "export:\n  endpoint: x\n endpoint: y\n",
     "error: otlpshmd.yaml:3:2: malformed YAML: end of map not found\n"
     "    2 |   endpoint: x\n"
     "    3 |  endpoint: y\n"
     "      |  ^"},
    {"a reserved character",
     "dir: @x\n",
     "error: otlpshmd.yaml:1:6: malformed YAML: unknown token\n"
     "    1 | dir: @x\n"
     "      |      ^"},
    {"an alias of nothing",
     "dir: *nope\n",
     "error: otlpshmd.yaml:1:6: malformed YAML: the referenced anchor is not defined\n"
     "    1 | dir: *nope\n"
     "      |      ^"},
    {"an alias of itself",
     "a: &a [*a]\n",
     "error: otlpshmd.yaml:1:8: malformed YAML: an alias to a value that contains it\n"
     "    1 | a: &a [*a]\n"
     "      |        ^"},
    {"a tag",
     "dir: !!str /x\n",
     "error: otlpshmd.yaml:1:6: tags are not supported: remove it\n"
     "    1 | dir: !!str /x\n"
     "      |      ^"},
    {"a list as a key",
     "? [a, b]\n: c\n",
     "error: otlpshmd.yaml:1:3: ?: a key must be a word; got a list\n"
     "    1 | ? [a, b]\n"
     "      |   ^"},
    {"two documents",
     "dir: /a\n---\ndir: /b\n",
     "error: otlpshmd.yaml:3:1: a second YAML document: one file holds one\n"
     "    2 | ---\n"
     "    3 | dir: /b\n"
     "      | ^"},
    {"a YAML of the future",
     "%YAML 9.9\n---\ndir: /a\n",
     "error: otlpshmd.yaml:1:1: malformed YAML: YAML major version too large\n"
     "    1 | %YAML 9.9\n"
     "      | ^"},
    {"letters outside ASCII",
     "ünï: \"é\"\nlog: {lével: é, level: é}\n",
     "error: otlpshmd.yaml:1:1: ünï: unknown key\n"
     "    1 | ünï: \"é\"\n"
     "      | ^^^ known here: dir, loop, clock, log, admin, export, batch, drain, memory, head_sampling, shutdown\n"
     "error: otlpshmd.yaml:2:7: log.lével: unknown key\n"
     "    1 | ünï: \"é\"\n"
     "    2 | log: {lével: é, level: é}\n"
     "      |       ^^^^^ did you mean \"level\"?\n"
     "error: otlpshmd.yaml:2:24: log.level: expected one of trace, debug, info, warn, error; got \"é\"\n"
     "    1 | ünï: \"é\"\n"
     "    2 | log: {lével: é, level: é}\n"
     "      |                        ^"},
    {"two lines in a path",
     "dir: |\n  multi\n  line\n",
     "error: otlpshmd.yaml:1:6: dir: has a control character or a byte that is not UTF-8, at byte 6\n"
     "    1 | dir: |\n"
     "      |      ^"},
    {"carriage returns",
     "log:\r\n  level: nope\r\n",
     "error: otlpshmd.yaml:2:10: log.level: expected one of trace, debug, info, warn, error; got \"nope\"\n"
     "    1 | log:\n"
     "    2 |   level: nope\n"
     "      |          ^^^^"},
    {"a merge key",
     "<<: {dir: x}\n",
     "error: otlpshmd.yaml:1:1: <<: unknown key\n"
     "    1 | <<: {dir: x}\n"
     "      | ^^ known here: dir, loop, clock, log, admin, export, batch, drain, memory, head_sampling, shutdown"},
    {"a ratio in percent",
     "head_sampling: {ratio: 25%}\n",
     "error: otlpshmd.yaml:1:24: head_sampling.ratio: expected a decimal number, 0 to 1; got \"25%\"\n"
     "    1 | head_sampling: {ratio: 25%}\n"
     "      |                        ^^^"},
    {"a backoff that shrinks",
     "export:\n  retry: {initial_ms: 600, max_ms: 500}\n",
     "error: otlpshmd.yaml:2:36: export.retry.max_ms: 500 ms is below export.retry.initial_ms, 600 ms (file otlpshmd.yaml:2:23): change one of them\n"
     "    1 | export:\n"
     "    2 |   retry: {initial_ms: 600, max_ms: 500}\n"
     "      |                                    ^^^"},
    {"a batch larger than memory",
     "batch: {bytes_max: 9MiB}\nmemory: {slab_bytes_max: 8MiB}\n",
     "error: otlpshmd.yaml:2:26: memory.slab_bytes_max: 8MiB is below batch.bytes_max, 9MiB (file otlpshmd.yaml:1:20): change one of them\n"
     "    1 | batch: {bytes_max: 9MiB}\n"
     "    2 | memory: {slab_bytes_max: 8MiB}\n"
     "      |                          ^^^^"},
};
// clang-format on

}  // namespace otlpshm::config

#endif

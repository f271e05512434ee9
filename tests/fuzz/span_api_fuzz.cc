// SPDX-License-Identifier: Apache-2.0
// span_api: the input is a program: a writer's limits and sampler, then calls of the span API.
//   Owns   a segment without a daemon; its file has no name any more once it is mapped here.
//   Rule   what a span becomes is read by protobuf's own runtime, in a request as a backend gets
//          it, and compared with what the calls said.
//   Source opentelemetry-proto, trace/v1; OpenTelemetry common, Attribute Collections and Limits.
#include <fcntl.h>
#include <google/protobuf/message.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fuzz.h"
#include "otlp_trace.pb.h"
#include "otlpshm/layout.h"
#include "otlpshm/otlpshm.h"
#include "support/name_hash.h"

namespace otlpshm::fuzz {
namespace {

using tests::name_hash;

constexpr std::size_t kLaneRoom = 2u << 20;  // more than the largest span and its header
constexpr std::size_t kWriters = 60;
constexpr unsigned kCalls = 96;
constexpr unsigned kValues = 200;
constexpr std::uint32_t kDefaultCount = 128;
constexpr unsigned kWide = 0x77;

// ---- what the input says -----------------------------------------------------------------------

class Program {
 public:
  explicit Program(std::string_view input) : rest_(input) {}

  bool is_over() const { return rest_.empty(); }
  unsigned byte() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  std::uint64_t word() {
    std::uint64_t word = 0;
    for (int i = 0; i < 8; ++i) word = word << 8 | byte();
    return word;
  }

  // Once in a program, for what is wide is slow.
  bool is_wide() {
    if (byte() != kWide || was_wide_) return false;
    return was_wide_ = true;
  }
  std::size_t width() { return 1020 + byte() % 8; }

  // In memory of exactly its size, so that a sanitizer sees who reads beyond it.
  std::string_view text() {
    static const std::array<std::string, 20> some = {
        "",
        "a",
        "b",
        "key",
        "exception.message",
        "\xff",
        "\xfe",
        "a\xff",
        "a\xc3",
        "a\xef\xbf\xbd",
        "\xf0\x9f\x90\xa7",
        "gr\xc3\xbc\xc3\x9f",
        std::string(55, 'x'),
        std::string(64, 'y'),
        std::string(65, 'z'),
        std::string(200, 'w'),
        std::string(1024, 'v'),
        std::string(1025, 'u'),
        std::string(3000, '\x80'),
        std::string(40000, 't'),
    };
    const unsigned which = byte();
    if (which >= 128) {
      const std::string_view given = rest_.substr(0, which - 128u);
      rest_.remove_prefix(given.size());
      return keep(given);
    }
    std::string text = some[which % some.size()];
    if (which >= 100) {  // many characters of four bytes, cut anywhere
      text.clear();
      while (text.size() < 1100) text += some[10];
      text.resize(text.size() - which % 4);
    }
    return keep(text);
  }

  std::string_view bytes(std::size_t count) {
    const std::string_view given = rest_.substr(0, count);
    rest_.remove_prefix(given.size());
    return keep(given);
  }

  otlpshm_value value(unsigned depth = 0) {
    otlpshm_value value{};
    if (++values_ > kValues || depth > 8) return value;
    const unsigned type = byte() % 14;
    value.type = static_cast<int>(type);
    switch (type) {
      case OTLPSHM_VALUE_STRING: {
        const std::string_view given = text();
        value.as.string = {given.data(), given.size()};
        break;
      }
      case OTLPSHM_VALUE_BOOL:
        value.as.boolean = static_cast<int>(byte());
        break;
      case OTLPSHM_VALUE_INT:
      case OTLPSHM_VALUE_UINT:
        value.as.unsigned_integer = word();
        break;
      case OTLPSHM_VALUE_DOUBLE:
        value.as.unsigned_integer = word();
        break;
      case OTLPSHM_VALUE_BYTES: {
        const std::string_view given = text();
        value.as.bytes = {given.data(), given.size()};
        break;
      }
      case OTLPSHM_VALUE_ARRAY:
        value.as.array.count = byte() % 5;
        value.as.array.values = list(value.as.array.count, depth);
        break;
      case OTLPSHM_VALUE_MAP:
        value.as.map.count = byte() % 5;
        value.as.map.entries = attributes(value.as.map.count, depth + 1);
        break;
      case 10:  // a column of arrays or maps
      case 11:
        value = column(byte() % 100, type == 10);
        break;
      case 12: {
        const std::size_t count = is_wide() ? width() : 2;
        value.type = OTLPSHM_VALUE_MAP;
        value.as.map = {repeated(count), count};
        break;
      }
      default:  // no type at all
        break;
    }
    return value;
  }

  const otlpshm_attribute* attributes(std::size_t count, unsigned depth = 0) {
    if (count == 0) return nullptr;
    auto made = std::make_unique<otlpshm_attribute[]>(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string_view key = text();
      made[i] = {key.data(), key.size(), value(depth)};
      if (key.empty()) made[i].key = byte() % 2 == 0 ? nullptr : "of NUL";
    }
    attributes_.push_back(std::move(made));
    return attributes_.back().get();
  }

  // The same attribute, or attributes with different keys.
  const otlpshm_attribute* repeated(std::size_t count) {
    const bool same = byte() % 2 == 0;
    auto made = std::make_unique<otlpshm_attribute[]>(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string_view key = keep(same ? "same" : std::to_string(i));
      made[i].key = key.data();
      made[i].key_bytes = key.size();
      made[i].value.type = OTLPSHM_VALUE_INT;
      made[i].value.as.integer = static_cast<std::int64_t>(i);
    }
    attributes_.push_back(std::move(made));
    return attributes_.back().get();
  }

 private:
  std::string_view keep(std::string_view text) {
    texts_.push_back(std::make_unique<char[]>(text.size()));
    std::copy(text.begin(), text.end(), texts_.back().get());
    return {texts_.back().get(), text.size()};
  }

  const otlpshm_value* list(std::size_t count, unsigned depth) {
    if (count == 0) return nullptr;
    auto made = std::make_unique<otlpshm_value[]>(count);
    for (std::size_t i = 0; i < count; ++i) made[i] = value(depth + 1);
    lists_.push_back(std::move(made));
    return lists_.back().get();
  }

  otlpshm_value column(unsigned height, bool of_arrays) {
    otlpshm_value top{};
    top.type = OTLPSHM_VALUE_INT;
    for (unsigned i = 0; i < height; ++i) {
      otlpshm_value around{};
      if (of_arrays) {
        lists_.push_back(std::make_unique<otlpshm_value[]>(1));
        lists_.back()[0] = top;
        around.type = OTLPSHM_VALUE_ARRAY;
        around.as.array = {lists_.back().get(), 1};
      } else {
        attributes_.push_back(std::make_unique<otlpshm_attribute[]>(1));
        attributes_.back()[0] = {"k", 1, top};
        around.type = OTLPSHM_VALUE_MAP;
        around.as.map = {attributes_.back().get(), 1};
      }
      top = around;
    }
    return top;
  }

  std::string_view rest_;
  unsigned values_ = 0;
  bool was_wide_ = false;
  std::deque<std::unique_ptr<char[]>> texts_;
  std::deque<std::unique_ptr<otlpshm_value[]>> lists_;
  std::deque<std::unique_ptr<otlpshm_attribute[]>> attributes_;
};

// ---- text, once more ---------------------------------------------------------------------------

// How many bytes the character at the front has; 0 when none stands there.
std::size_t character(std::string_view text) {
  const auto at = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto follows = [&](std::size_t i) { return (at(i) & 0xc0u) == 0x80u; };
  if (at(0) < 0x80) return text.empty() ? 0 : 1;
  if ((at(0) & 0xe0u) == 0xc0) return follows(1) && at(0) >= 0xc2 ? 2 : 0;
  if ((at(0) & 0xf0u) == 0xe0 && follows(1) && follows(2)) {
    const unsigned code = (at(0) & 15u) << 12 | (at(1) & 63u) << 6 | (at(2) & 63u);
    return code >= 0x800 && (code < 0xd800 || code > 0xdfff) ? 3 : 0;
  }
  if ((at(0) & 0xf8u) == 0xf0 && follows(1) && follows(2) && follows(3)) {
    const unsigned code =
        (at(0) & 7u) << 18 | (at(1) & 63u) << 12 | (at(2) & 63u) << 6 | (at(3) & 63u);
    return code >= 0x10000 && code <= 0x10ffff ? 4 : 0;
  }
  return 0;
}

std::string sanitized(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t bytes = character(text);
    out += bytes == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, bytes);
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  return out;
}

bool is_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t bytes = character(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & '\xc0') != '\x80'; }));
}

// ---- the segment -------------------------------------------------------------------------------

struct Written {
  otlpshm_record_header header;
  std::string body;
};

class Segment {
 public:
  Segment() = default;
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment() { close(); }

  // A writer that has room for the largest span. Its options are the key.
  otlpshm_writer* writer(const otlpshm_writer_options& options) {
    if (anchor_ == nullptr || is_full()) reopen();
    if (writers_.size() == kWriters) {
      (void)otlpshm_shutdown(writers_.begin()->second, 0);
      writers_.erase(writers_.begin());
    }
    const std::string key(reinterpret_cast<const char*>(&options), sizeof options);
    otlpshm_writer*& writer = writers_[key];
    if (writer == nullptr) {
      demand(otlpshm_writer_open(&writer, &options) == OTLPSHM_OK, "a writer opens");
    }
    return writer;
  }

  bool is_full() const {
    for (std::uint32_t lane = 0; lane < control()->lanes_open; ++lane) {
      if (lanes()[lane].tail + kLaneRoom > header()->lanes[lane].area_bytes) return true;
    }
    return false;
  }

  static std::string directory() {
    const char* shm = std::getenv("OTLPSHM_TEST_SHM");
    return (shm != nullptr ? shm : "/dev/shm") + ("/span_api_fuzz." + std::to_string(getpid()));
  }

  // What has been committed since the last call.
  std::vector<Written> take() {
    std::vector<Written> taken;
    for (std::uint32_t lane = 0; lane < control()->lanes_open; ++lane) {
      const std::uint64_t tail = lanes()[lane].tail;
      for (std::uint64_t& at = taken_[lane]; at < tail;) {
        Written written;
        const std::uint8_t* from = base_ + header()->lanes[lane].area_offset + at;
        std::memcpy(&written.header, from, sizeof written.header);
        const std::uint32_t size = written.header.size;
        demand(size >= sizeof written.header && size <= tail - at, "a record ends in its lane");
        demand(written.header.position_low == static_cast<std::uint32_t>(at), "it is where it is");
        written.body.assign(reinterpret_cast<const char*>(from) + sizeof written.header,
                            size - sizeof written.header);
        at += (std::uint64_t{size} + 7) & ~std::uint64_t{7};
        taken.push_back(std::move(written));
      }
    }
    return taken;
  }

 private:
  const otlpshm_segment_header* header() const {
    return reinterpret_cast<const otlpshm_segment_header*>(base_);
  }
  const otlpshm_control* control() const {
    return reinterpret_cast<const otlpshm_control*>(base_ + OTLPSHM_CONTROL_OFFSET);
  }
  const otlpshm_lane_control* lanes() const {
    return reinterpret_cast<const otlpshm_lane_control*>(base_ + OTLPSHM_LANE_CONTROLS_OFFSET);
  }

  void close() {
    for (const auto& [key, writer] : writers_) (void)otlpshm_shutdown(writer, 0);
    writers_.clear();
    if (anchor_ == nullptr) return;
    (void)otlpshm_shutdown(anchor_, 0);
    anchor_ = nullptr;
    if (base_ != nullptr) munmap(base_, bytes_);
    base_ = nullptr;
    std::filesystem::remove_all(directory());
  }

  void reopen() {
    close();
    const std::string path = directory();
    demand(mkdir(path.c_str(), 0700) == 0, "a directory is made");
    otlpshm_writer_options options{};
    options.size = sizeof options;
    options.directory = path.c_str();
    options.lane_bytes_budget = 32u << 20;
    demand(otlpshm_writer_open(&anchor_, &options) == OTLPSHM_OK, "the first writer opens");
    map_only_file(path);
    std::fill(std::begin(taken_), std::end(taken_), 0);
    demand(!is_full(), "a lane has room for a few of the largest spans");
  }

  void map_only_file(const std::string& path) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
      struct stat stat {};
      demand(fstat(file, &stat) == 0, "the segment is a file");
      bytes_ = static_cast<std::size_t>(stat.st_size);
      void* memory = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file, 0);
      demand(memory != MAP_FAILED, "the segment is mapped");
      base_ = static_cast<std::uint8_t*>(memory);
      ::close(file);
    }
  }

  std::map<std::string, otlpshm_writer*> writers_;
  otlpshm_writer* anchor_ = nullptr;
  std::uint8_t* base_ = nullptr;
  std::size_t bytes_ = 0;
  std::uint64_t taken_[OTLPSHM_LANES_MAX] = {};
};

Segment& segment() {
  static Segment segment;
  return segment;
}

// ---- what the limits allow ---------------------------------------------------------------------

struct Limits {
  std::uint32_t attributes, length, events, links, event_attributes, link_attributes, depth;
};

Limits limits_of(const otlpshm_writer_options& options) {
  const auto count = [](std::uint32_t option) { return option == 0 ? kDefaultCount : option; };
  const std::uint32_t length = options.attribute_value_length_max;
  return {count(options.attribute_count_max),
          length == 0 ? UINT32_MAX : length,
          count(options.event_count_max),
          count(options.link_count_max),
          count(options.event_attribute_count_max),
          count(options.link_attribute_count_max),
          options.value_depth_max == 0 ? 64 : options.value_depth_max};
}

// Has the message no field but its own?
bool is_known(const google::protobuf::Message& message) {
  return message.GetReflection()->GetUnknownFields(message).empty();
}

bool is_decimal(std::string_view text) {
  return text.size() >= 19 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

template <typename Pairs>
void check_collection(const Pairs& pairs, const Limits& limits, unsigned depth);

void check_value(const proto::AnyValue& value, const Limits& limits, unsigned depth) {
  demand(is_known(value), "a value has no field of its own");
  switch (value.value_case()) {
    case proto::AnyValue::kStringValue:
      demand(characters(value.string_value()) <= limits.length || is_decimal(value.string_value()),
             "text is no longer than the limit");
      break;
    case proto::AnyValue::kBytesValue:
      demand(value.bytes_value().size() <= limits.length, "bytes are no more than the limit");
      break;
    case proto::AnyValue::kArrayValue:
      demand(depth < limits.depth, "arrays nest no deeper than the limit");
      for (const auto& one : value.array_value().values()) check_value(one, limits, depth + 1);
      break;
    case proto::AnyValue::kKvlistValue:
      demand(depth < limits.depth, "maps nest no deeper than the limit");
      check_collection(value.kvlist_value().values(), limits, depth + 1);
      break;
    default:
      break;
  }
}

template <typename Pairs>
void check_collection(const Pairs& pairs, const Limits& limits, unsigned depth) {
  std::set<std::string> keys;
  for (const auto& pair : pairs) {
    demand(is_known(pair), "an attribute has no field of its own");
    demand(keys.insert(pair.key()).second, "a key occurs once");
    demand(depth != 0 || !pair.key().empty(), "a key is not empty");
    demand(pair.has_value(), "a key has a value");
    check_value(pair.value(), limits, depth);
  }
}

template <typename Id>
bool is_id_or_empty(const std::string& id) {
  return id.empty() || (id.size() == sizeof(Id) && id.find_first_not_of('\0') != std::string::npos);
}

// ---- one span ----------------------------------------------------------------------------------

// What the calls said, for as long as the span runs.
struct Said {
  std::map<std::string, std::optional<std::string>> values;  // by key; none: anything
  std::string name;
  int status = OTLPSHM_STATUS_UNSET;
  unsigned events = 0;
  unsigned links = 0;
  otlpshm_context parent{};
  bool has_parent = false;
  int kind = OTLPSHM_KIND_INTERNAL;
};

bool is_zero(const std::uint8_t* bytes, std::size_t count) {
  return std::all_of(bytes, bytes + count, [](std::uint8_t byte) { return byte == 0; });
}

bool is_id(const otlpshm_context& context) {
  return !is_zero(context.trace_id, sizeof context.trace_id) &&
         !is_zero(context.span_id, sizeof context.span_id);
}

// A value that no limit changes, as it must arrive.
std::optional<std::string> expected(const otlpshm_value& value, const Limits& limits) {
  proto::AnyValue any;
  switch (value.type) {
    case OTLPSHM_VALUE_STRING: {
      const std::string_view text(value.as.string.text, value.as.string.bytes);
      if (text.size() > limits.length) return std::nullopt;
      if (is_text(text)) {
        any.set_string_value(std::string(text));
      } else {
        any.set_bytes_value(std::string(text));
      }
      break;
    }
    case OTLPSHM_VALUE_BOOL:
      any.set_bool_value(value.as.boolean != 0);
      break;
    case OTLPSHM_VALUE_INT:
      any.set_int_value(value.as.integer);
      break;
    case OTLPSHM_VALUE_UINT:
      if (value.as.unsigned_integer > INT64_MAX) {
        any.set_string_value(std::to_string(value.as.unsigned_integer));
      } else {
        any.set_int_value(value.as.integer);
      }
      break;
    case OTLPSHM_VALUE_DOUBLE:
      any.set_double_value(value.as.number);
      break;
    default:
      return std::nullopt;
  }
  return any.SerializeAsString();
}

void say(Said* said, std::string_view key, const otlpshm_value& value, const Limits& limits) {
  if (!key.empty() && key.size() <= 1024) said->values[sanitized(key)] = expected(value, limits);
}

void say(Said* said, const otlpshm_attribute* attributes, std::size_t count, const Limits& limits) {
  for (std::size_t i = 0; i < count; ++i) {
    const otlpshm_attribute& one = attributes[i];
    if (one.key == nullptr) continue;
    say(said,
        one.key_bytes == 0 ? std::string_view(one.key) : std::string_view(one.key, one.key_bytes),
        one.value, limits);
  }
}

std::string name_of(std::string_view given) {
  return sanitized(given.substr(0, 1024 + 3));
}

void check_name(const std::string& name, const Said& said, bool may_be_cut) {
  demand(name.size() <= 1024, "a name is no longer than its limit");
  demand(said.name.compare(0, name.size(), name) == 0,
         "a name is what was given, or its beginning");
  if (!may_be_cut && said.name.size() <= 1024) demand(name == said.name, "a short name is whole");
}

struct Run {
  otlpshm_writer* writer = nullptr;
  otlpshm_writer_options options{};
  Limits limits{};
  bool signal_safe = false;
  std::uint64_t late_calls = 0;
};

otlpshm_stats stats_of(otlpshm_writer* writer) {
  otlpshm_stats stats{};
  stats.size = sizeof stats;
  demand(otlpshm_writer_stats(writer, &stats) == OTLPSHM_OK, "statistics are there");
  return stats;
}

void check_attributes(const proto::Span& span, const Said& said, const Limits& limits) {
  demand(static_cast<std::uint32_t>(span.attributes_size()) <= limits.attributes,
         "attributes are no more than the limit");
  check_collection(span.attributes(), limits, 0);
  for (const auto& pair : span.attributes()) {
    const auto one = said.values.find(pair.key());
    demand(one != said.values.end(), "an attribute was set");
    if (span.dropped_attributes_count() == 0 && one->second) {
      demand(pair.value().SerializeAsString() == *one->second, "the last value wins");
    }
  }
  if (span.dropped_attributes_count() == 0) {
    demand(static_cast<std::size_t>(span.attributes_size()) == said.values.size(),
           "every attribute is kept, or counted");
  }
}

// Returns how many attributes events and links have dropped.
std::uint64_t check_events_and_links(const proto::Span& span, const Said& said,
                                     const Limits& limits) {
  std::uint64_t dropped = 0;
  demand(static_cast<std::uint32_t>(span.events_size()) <= limits.events,
         "events are no more than the limit");
  demand(span.events_size() + span.dropped_events_count() == said.events,
         "every event is kept, or counted");
  for (const auto& event : span.events()) {
    demand(is_known(event), "an event has no field of its own");
    demand(event.time_unix_nano() != 0, "an event has a time");
    demand(event.name().size() <= 1024, "an event's name is no longer than its limit");
    demand(static_cast<std::uint32_t>(event.attributes_size()) <= limits.event_attributes,
           "an event's attributes are no more than the limit");
    check_collection(event.attributes(), limits, 0);
    dropped += event.dropped_attributes_count();
  }
  demand(static_cast<std::uint32_t>(span.links_size()) <= limits.links,
         "links are no more than the limit");
  demand(span.links_size() + span.dropped_links_count() == said.links,
         "every link is kept, or counted");
  for (const auto& link : span.links()) {
    demand(is_known(link), "a link has no field of its own");
    demand(is_id_or_empty<std::uint8_t[16]>(link.trace_id()), "a link's trace id is one, or none");
    demand(is_id_or_empty<std::uint8_t[8]>(link.span_id()), "a link's span id is one, or none");
    demand((link.flags() & ~0x3ffu) == 0 && (link.flags() & 0x100) != 0,
           "a link's flags are known");
    demand(static_cast<std::uint32_t>(link.attributes_size()) <= limits.link_attributes,
           "a link's attributes are no more than the limit");
    check_collection(link.attributes(), limits, 0);
    dropped += link.dropped_attributes_count();
  }
  return dropped;
}

void check_header(const otlpshm_record_header& header, const proto::Span& span) {
  demand(std::memcmp(header.trace_id, span.trace_id().data(), 16) == 0, "the trace id is twice");
  demand(std::memcmp(header.span_id, span.span_id().data(), 8) == 0, "the span id is twice");
  demand(header.record_kind == OTLPSHM_RECORD_SPAN, "the record is a span");
  demand(header.name_hash == name_hash(span.name()), "the hash is the name's");
  demand(header.span_flags == span.flags(), "the flags are twice");
  demand(header.span_kind == static_cast<unsigned>(span.kind()), "the kind is twice");
  demand(header.status_code == static_cast<unsigned>(span.status().code()), "the status is twice");
  const std::uint64_t start = span.start_time_unix_nano();
  const std::uint64_t end = span.end_time_unix_nano();
  demand(header.duration_nano == end - start || (end < start && header.duration_nano == 0),
         "the duration is from its times");
  demand((header.record_flags & ~0x7u) == 0, "only known record flags are set");
  demand(std::all_of(std::begin(header.reserved), std::end(header.reserved),
                     [](std::uint8_t byte) { return byte == 0; }),
         "what is reserved is 0");
}

void put_length(std::string* out, char tag, std::size_t length) {
  out->push_back(tag);
  for (; length >= 0x80; length >>= 7) out->push_back(static_cast<char>(length | 0x80));
  out->push_back(static_cast<char>(length));
}

// In a request, where a backend's limit to nesting counts too.
proto::Span parse(const std::string& body) {
  std::string scope_spans;
  put_length(&scope_spans, 0x12, body.size());
  scope_spans += body;
  std::string resource_spans;
  put_length(&resource_spans, 0x12, scope_spans.size());
  resource_spans += scope_spans;
  std::string bytes;
  put_length(&bytes, 0x0a, resource_spans.size());
  bytes += resource_spans;
  proto::ExportTraceServiceRequest request;
  demand(request.ParseFromString(bytes), "protobuf's runtime takes a request with the span");
  return request.resource_spans(0).scope_spans(0).spans(0);
}

void check_span(const Written& written, const otlpshm_context& own, const Said& said,
                const Run& run, const otlpshm_stats& before) {
  const proto::Span span = parse(written.body);
  demand(is_known(span), "a span has no field of its own");
  demand(span.trace_id().size() == 16 && span.span_id().size() == 8, "a span has its ids");
  demand(std::memcmp(span.trace_id().data(), own.trace_id, 16) == 0,
         "the trace id is the context's");
  demand(std::memcmp(span.span_id().data(), own.span_id, 8) == 0, "the span id is the context's");
  demand(span.parent_span_id().size() == (said.has_parent ? 8 : 0), "the parent is there, or not");
  if (said.has_parent) {
    demand(std::memcmp(span.parent_span_id().data(), said.parent.span_id, 8) == 0, "the parent");
    demand(std::memcmp(own.trace_id, said.parent.trace_id, 16) == 0, "the parent's trace");
  }
  demand((span.flags() & ~0x303u) == 0, "only known flags are set");
  demand((span.flags() & 0xff) == own.trace_flags, "the flags are the context's");
  demand(static_cast<int>(span.kind()) == said.kind, "the kind is what was asked for");
  demand(span.trace_state().size() <= 512, "a trace state is no longer than its limit");
  check_name(span.name(), said, run.signal_safe || written.body.size() > (500u << 10));
  demand(static_cast<int>(span.status().code()) == said.status, "Ok > Error > Unset");
  demand(span.status().message().empty() || said.status == OTLPSHM_STATUS_ERROR,
         "only Error has a description");
  demand(span.status().message().size() <= 1024, "a description is no longer than its limit");
  check_attributes(span, said, run.limits);
  const std::uint64_t dropped = check_events_and_links(span, said, run.limits);
  check_header(written.header, span);
  const otlpshm_stats after = stats_of(run.writer);
  demand(after.attributes_dropped - before.attributes_dropped ==
             dropped + span.dropped_attributes_count(),
         "dropped attributes are counted");
  demand(after.events_dropped - before.events_dropped == span.dropped_events_count(),
         "dropped events are counted");
  demand(after.links_dropped - before.links_dropped == span.dropped_links_count(),
         "dropped links are counted");
  demand(after.spans_grown - before.spans_grown <= (run.signal_safe ? 0 : 1),
         "a span grows once, and none in a signal handler");
}

// ---- the calls ---------------------------------------------------------------------------------

otlpshm_context context_of(Program* program) {
  otlpshm_context context{};
  const unsigned byte = program->byte();
  if (byte % 4 != 0) std::memset(context.trace_id, static_cast<int>(byte | 1), 16);
  if (byte % 8 != 1) std::memset(context.span_id, static_cast<int>(byte | 2), 8);
  context.trace_flags = static_cast<std::uint8_t>(program->byte());
  context.is_remote = byte >> 7;
  if ((byte & 0x40) != 0) {
    const std::string_view state = (byte & 0x20) != 0 ? program->text() : "ot=th:8,vendor=1";
    context.trace_state = state.data();
    context.trace_state_bytes = static_cast<std::uint32_t>(state.size());
  }
  return context;
}

class Calls {
 public:
  Calls(Program* program, Run* run) : program_(program), run_(run) {}

  void run() {
    for (unsigned call = 0; call < kCalls && !program_->is_over() && !segment().is_full();) {
      start();
      while (call < kCalls && one_call()) ++call;
      end();
      late();
    }
  }

 private:
  void start() {
    before_ = stats_of(run_->writer);
    said_ = Said{};
    otlpshm_start_options options{};
    options.size = sizeof options;
    const unsigned bits = program_->byte();
    said_.parent = context_of(program_);
    if ((bits & 1) != 0) options.parent = &said_.parent;
    said_.has_parent = options.parent != nullptr && is_id(said_.parent);
    run_->signal_safe = (bits & 2) != 0;
    if (run_->signal_safe) options.flags = OTLPSHM_SPAN_SIGNAL_SAFE;
    if ((bits & 4) != 0) options.start_unix_nano = program_->word();
    options.kind = (bits & 8) != 0 ? static_cast<int>(program_->byte()) - 1 : 0;
    const bool is_kind = options.kind >= 1 && options.kind <= 5;
    std::string_view name = program_->text();
    if ((bits & 16) != 0 && open_template()) {
      options.span_template = template_.get();
      say(&said_, template_options_.attributes, template_options_.attribute_count, run_->limits);
      said_.kind = template_options_.kind;
      if ((bits & 32) != 0) name = {};
    }
    if (is_kind) said_.kind = options.kind;
    said_.name = name_of(name.data() == nullptr ? std::string_view(template_options_.name,
                                                                   template_options_.name_bytes)
                                                : name);
    if ((bits & 64) != 0) {
      options.attribute_count = program_->byte() % 4;
      options.attributes = program_->attributes(options.attribute_count);
      say(&said_, options.attributes, options.attribute_count, run_->limits);
    }
    otlpshm_link link{};
    if ((bits & 128) != 0) {
      link = make_link();
      options.links = &link;
      options.link_count = 1;
    }
    otlpshm_span_start(run_->writer, span_.get(), name.data(), name.size(), &options);
    template_.reset();
    if (otlpshm_span_is_recording(span_.get()) == 0) {
      otlpshm_context context;
      otlpshm_span_get_context(span_.get(), &context);
      demand(is_id(context), "a span that is not sampled has ids all the same");
      demand((context.trace_flags & 1) == 0, "what is not recorded is not sampled");
    }
  }

  bool open_template() {
    template_options_ = {};
    template_options_.size = sizeof template_options_;
    const std::string_view name = program_->text();
    template_options_.name = name.data();
    template_options_.name_bytes = name.size();
    if (name.empty()) template_options_.name = nullptr;
    template_options_.kind = static_cast<int>(program_->byte() % 5) + 1;
    template_options_.attribute_count = program_->byte() % 6;
    template_options_.attributes = program_->attributes(template_options_.attribute_count);
    otlpshm_template* made = nullptr;
    const int status = otlpshm_template_open(run_->writer, &made, &template_options_);
    demand((status == OTLPSHM_OK) == (made != nullptr), "a template is there, or its error");
    template_.reset(made);
    return made != nullptr;
  }

  otlpshm_link make_link() {
    otlpshm_link link{};
    link.context = context_of(program_);
    link.attribute_count = program_->byte() % 4;
    link.attributes = program_->attributes(link.attribute_count);
    if (is_id(link.context) || link.attribute_count != 0 || link.context.trace_state_bytes != 0) {
      ++said_.links;
    }
    return link;
  }

  // False when the span is to end.
  bool one_call() {
    if (program_->is_over()) return false;
    const unsigned which = program_->byte() % 20;
    if (which == 19) return false;
    if (which < 6) {
      set_one(which);
    } else if (which < 10) {
      set_prepared(which);
    } else {
      other_call(which);
    }
    return true;
  }

  void set_one(unsigned which) {
    const std::string_view key = program_->text();
    otlpshm_value value{};
    otlpshm_span* span = span_.get();
    switch (which) {
      case 0: {
        const std::string_view text = program_->text();
        value.type = OTLPSHM_VALUE_STRING;
        value.as.string = {text.data(), text.size()};
        otlpshm_span_set_string(span, key.data(), key.size(), text.data(), text.size());
        break;
      }
      case 1:
        value.type = OTLPSHM_VALUE_INT;
        value.as.unsigned_integer = program_->word();
        otlpshm_span_set_int(span, key.data(), key.size(), value.as.integer);
        break;
      case 2:
        value.type = OTLPSHM_VALUE_DOUBLE;
        value.as.unsigned_integer = program_->word();
        otlpshm_span_set_double(span, key.data(), key.size(), value.as.number);
        break;
      case 3:
        value.type = OTLPSHM_VALUE_BOOL;
        value.as.boolean = static_cast<int>(program_->byte());
        otlpshm_span_set_bool(span, key.data(), key.size(), value.as.boolean);
        break;
      default:
        value = program_->value();
        otlpshm_span_set_value(span, key.data(), key.size(), &value);
        break;
    }
    say(&said_, key, value, run_->limits);
  }

  void set_prepared(unsigned which) {
    const std::string_view text = program_->text();
    otlpshm_key key;
    const int status = otlpshm_key_prepare(&key, text.data(), text.size());
    const bool is_good = !text.empty() && text.size() <= 64 && is_text(text);
    demand((status == OTLPSHM_OK) == is_good, "a key of 1 to 64 bytes of text is prepared");
    otlpshm_value value{};
    otlpshm_span* span = span_.get();
    if (which == 6) {
      const std::string_view given = program_->text();
      value.type = OTLPSHM_VALUE_STRING;
      value.as.string = {given.data(), given.size()};
      otlpshm_span_set_string_prepared(span, &key, given.data(), given.size());
    } else if (which == 7) {
      value.type = OTLPSHM_VALUE_INT;
      value.as.unsigned_integer = program_->word();
      otlpshm_span_set_int_prepared(span, &key, value.as.integer);
    } else if (which == 8) {
      value.type = OTLPSHM_VALUE_DOUBLE;
      value.as.unsigned_integer = program_->word();
      otlpshm_span_set_double_prepared(span, &key, value.as.number);
    } else {
      value.type = OTLPSHM_VALUE_BOOL;
      value.as.boolean = static_cast<int>(program_->byte());
      otlpshm_span_set_bool_prepared(span, &key, value.as.boolean);
    }
    if (is_good) say(&said_, text, value, run_->limits);
  }

  void other_call(unsigned which) {
    otlpshm_span* span = span_.get();
    switch (which) {
      case 10: {
        const std::size_t count = program_->byte() % 4;
        const otlpshm_attribute* attributes = program_->attributes(count);
        otlpshm_span_set_attributes(span, attributes, count);
        say(&said_, attributes, count, run_->limits);
        break;
      }
      case 11: {
        const std::string_view name = program_->text();
        otlpshm_span_update_name(span, name.data(), name.size());
        said_.name = name_of(name);
        break;
      }
      case 12: {
        const int code = static_cast<int>(program_->byte() % 5) - 1;
        const std::string_view text = program_->text();
        otlpshm_span_set_status(span, code, text.data(), text.size());
        const bool is_code = code == OTLPSHM_STATUS_OK || code == OTLPSHM_STATUS_ERROR;
        if (is_code && said_.status != OTLPSHM_STATUS_OK) said_.status = code;
        break;
      }
      case 13:
      case 14: {
        const std::string_view name = program_->text();
        const std::size_t count = program_->byte() % 5;
        const bool is_wide = count == 4 && program_->is_wide();
        const std::size_t wide = is_wide ? program_->width() : count;
        const otlpshm_attribute* attributes =
            is_wide ? program_->repeated(wide) : program_->attributes(count);
        otlpshm_span_add_event(span, name.data(), name.size(),
                               which == 13 ? 0 : program_->word() | 1, attributes, wide);
        ++said_.events;
        break;
      }
      case 15: {
        otlpshm_exception exception{};
        const std::string_view texts[] = {program_->text(), program_->text(), program_->text()};
        exception.type = texts[0].empty() ? nullptr : texts[0].data();
        exception.type_bytes = texts[0].size();
        exception.message = texts[1].empty() ? nullptr : texts[1].data();
        exception.message_bytes = texts[1].size();
        exception.stacktrace = texts[2].empty() ? "" : texts[2].data();
        exception.stacktrace_bytes = texts[2].size();
        exception.attribute_count = program_->byte() % 4;
        exception.attributes = program_->attributes(exception.attribute_count);
        otlpshm_span_record_exception(span, &exception);
        ++said_.events;
        break;
      }
      case 16:
      case 17: {
        const otlpshm_link link = make_link();
        otlpshm_span_add_link(span, &link);
        break;
      }
      default: {  // many at once, to reach the limits
        for (unsigned i = program_->byte(); i > 0; --i) {
          const std::string key = std::to_string(i);
          otlpshm_span_set_int(span, key.data(), key.size(), i);
          otlpshm_value value{};
          value.type = OTLPSHM_VALUE_INT;
          value.as.integer = i;
          say(&said_, key, value, run_->limits);
        }
      }
    }
  }

  void end() {
    otlpshm_context own;
    otlpshm_span_get_context(span_.get(), &own);
    const bool was_recording = otlpshm_span_is_recording(span_.get()) != 0;
    const unsigned how = program_->byte() % 8;
    int status = OTLPSHM_OK;
    if (how == 0) {
      otlpshm_span_discard(span_.get());
    } else if (how == 1) {
      status = otlpshm_span_end_at(span_.get(), program_->word());
    } else {
      status = otlpshm_span_end(span_.get());
    }
    demand(status == OTLPSHM_OK, "there is room in the lanes");
    demand(otlpshm_span_is_recording(span_.get()) == 0, "an ended span does not record");
    was_recording_ = was_recording;
    const std::vector<Written> written = segment().take();
    demand(written.size() <= (was_recording && how != 0 ? 1 : 0), "a span is one record");
    const bool is_sampled = (own.trace_flags & 1) != 0;
    if (written.empty()) {
      demand(!was_recording || how == 0 || !is_sampled, "a sampled span is a record");
      return;
    }
    const otlpshm_record_header& header = written[0].header;
    const bool is_slow = run_->options.record_slower_than_nano != 0 &&
                         header.duration_nano >= run_->options.record_slower_than_nano;
    const bool has_failed = header.status_code == OTLPSHM_STATUS_ERROR &&
                            (run_->options.flags & OTLPSHM_WRITER_RECORD_ERRORS) != 0;
    demand(((header.record_flags & OTLPSHM_RECORD_ONLY) == 0) == is_sampled,
           "what is recorded only is marked");
    demand(is_sampled || is_slow || has_failed, "what is recorded only is slow or failed");
    check_span(written[0], own, said_, *run_, before_);
  }

  void late() {
    const otlpshm_stats before = stats_of(run_->writer);
    std::uint64_t calls = 0;
    const otlpshm_link link{};
    for (unsigned which = program_->byte(); which != 0; which >>= 1) {
      if ((which & 1) == 0) continue;
      ++calls;
      switch (which % 8) {
        case 1:
          otlpshm_span_set_int_cstr(span_.get(), "late", 1);
          break;
        case 3:
          otlpshm_span_add_event_cstr(span_.get(), "late", nullptr, 0);
          break;
        case 5:
          otlpshm_span_add_link(span_.get(), &link);
          break;
        default:
          otlpshm_span_set_status_cstr(span_.get(), OTLPSHM_STATUS_ERROR, "late");
          break;
      }
    }
    const std::uint64_t counted = stats_of(run_->writer).late_calls - before.late_calls;
    demand(counted == (was_recording_ ? calls : 0), "late calls are counted");
    demand(segment().take().empty(), "late calls write nothing");
  }

  struct Close {
    void operator()(otlpshm_template* made) const { otlpshm_template_close(made); }
  };

  Program* program_;
  Run* run_;
  std::unique_ptr<otlpshm_span> span_ = std::make_unique<otlpshm_span>();
  std::unique_ptr<otlpshm_template, Close> template_;
  otlpshm_template_options template_options_{};
  otlpshm_stats before_{};
  Said said_;
  bool was_recording_ = false;
};

void check(std::string_view input) {
  static const std::string directory = Segment::directory();
  Program program(input);
  Run run;
  run.options.size = sizeof run.options;
  run.options.directory = directory.c_str();
  const unsigned bits = program.byte();
  const auto limit = [&](unsigned bit) -> std::uint32_t {
    return (bits & bit) != 0 ? program.byte() % 16 : 0;
  };
  run.options.attribute_count_max = limit(1);
  run.options.attribute_value_length_max = limit(2);
  run.options.event_count_max = limit(4);
  run.options.link_count_max = limit(8);
  run.options.event_attribute_count_max = limit(16);
  run.options.link_attribute_count_max = limit(32);
  run.options.value_depth_max = limit(64);
  if ((bits & 128) != 0) {
    run.options.sampler = static_cast<int>(program.byte() % 9);
    run.options.sampler_ratio = 0.5;
    run.options.flags = program.byte() % 2 == 0 ? 0 : OTLPSHM_WRITER_RECORD_ERRORS;
    run.options.record_slower_than_nano = program.byte() % 2 == 0 ? 0 : 1000000;
  }
  run.limits = limits_of(run.options);
  run.writer = segment().writer(run.options);
  Calls(&program, &run).run();
}

}  // namespace
}  // namespace otlpshm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  // Detectors read files, and the environment of whoever runs this is no part of the input.
  static const bool is_alone = [] {
    for (const char* name :
         {"OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_ATTRIBUTE_COUNT_LIMIT",
          "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_RESOURCE_ATTRIBUTES"}) {
      unsetenv(name);
    }
    return setenv("OTLPSHM_RESOURCE_DETECTORS", "none", 1) == 0;
  }();
  if (bytes != nullptr && is_alone) otlpshm::fuzz::check(otlpshm::fuzz::input(bytes, size));
  return 0;
}

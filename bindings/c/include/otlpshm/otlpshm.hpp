/* SPDX-License-Identifier: Apache-2.0 */
/* otlpshm.hpp: the C API as C++17: spans that end with their scope, text as string_view.
 *   Owns   a Writer owns its otlpshm_writer; a Span owns its bytes, where it stands.
 *   Never  allocates, throws, or does more than otlpshm.h; what that header says holds here.
 *   Needs  nothing at link time but libotlpshm. */
#ifndef OTLPSHM_OTLPSHM_HPP
#define OTLPSHM_OTLPSHM_HPP

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include "otlpshm/otlpshm.h"

namespace otlpshm {

// A W3C span context: trivially copyable, all zero is "no context".
using Context = ::otlpshm_context;
using Attribute = ::otlpshm_attribute;

enum class Kind {
  internal = OTLPSHM_KIND_INTERNAL,
  server = OTLPSHM_KIND_SERVER,
  client = OTLPSHM_KIND_CLIENT,
  producer = OTLPSHM_KIND_PRODUCER,
  consumer = OTLPSHM_KIND_CONSUMER,
};

// OTLP integers are signed: one that does not fit becomes the largest that does.
template <class Integer>
constexpr std::int64_t saturated(Integer value) noexcept {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (std::is_unsigned_v<Integer> && static_cast<std::uint64_t>(value) > kMax)
    value = Integer(kMax);
  return static_cast<std::int64_t>(value);
}

// A key and a value (bool, integer, floating point or text) for an event, a resource or a scope.
// Borrows key and text: make it inside the call that uses it.
template <class Value>
[[nodiscard]] Attribute attribute(std::string_view key, const Value& value) noexcept {
  Attribute made{};
  made.key = key.empty() ? "" : key.data();
  made.key_bytes = key.size();
  if constexpr (std::is_same_v<Value, bool>) {
    made.value.type = OTLPSHM_VALUE_BOOL;
    made.value.as.boolean = value;
  } else if constexpr (std::is_integral_v<Value>) {
    made.value.type = OTLPSHM_VALUE_INT;
    made.value.as.integer = saturated(value);
  } else if constexpr (std::is_floating_point_v<Value>) {
    made.value.type = OTLPSHM_VALUE_DOUBLE;
    made.value.as.number = static_cast<double>(value);
  } else {
    const std::string_view text = value;
    made.value.type = OTLPSHM_VALUE_STRING;
    made.value.as.string = {text.data(), text.size()};
  }
  return made;
}

// The value of an outgoing traceparent header; "" for a context without ids.
class Traceparent {
 public:
  explicit Traceparent(const Context& context) noexcept {
    otlpshm_traceparent_inject(&context, text_);
  }
  [[nodiscard]] const char* c_str() const noexcept { return text_; }
  [[nodiscard]] std::string_view view() const noexcept { return text_; }

 private:
  char text_[OTLPSHM_TRACEPARENT_BYTES + 1] = {};
};

// The context in an incoming traceparent header; none, and so a new trace, if it is malformed.
[[nodiscard]] inline Context extract(std::string_view traceparent) noexcept {
  Context context{};
  otlpshm_traceparent_extract(traceparent.data(), traceparent.size(), &context);
  return context;
}

// otlpshm_writer_options with its size set.
struct WriterOptions : ::otlpshm_writer_options {
  // NOLINTNEXTLINE(clang-analyzer-optin.cplusplus.UninitializedObject): the braces zero them
  WriterOptions() noexcept : ::otlpshm_writer_options{} { size = sizeof(::otlpshm_writer_options); }
};

// One for a program, or one for each of its scopes. Give it a longer life than its spans.
class Writer {
 public:
  static constexpr std::uint32_t kShutdownTimeoutMs = 2000;

  explicit Writer(const WriterOptions& options = {}) noexcept {
    otlpshm_writer_open(&writer_, &options);
  }
  ~Writer() { shutdown(kShutdownTimeoutMs); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // OTLPSHM_OK while a daemon takes the spans, else why not. Without one every call is a no-op.
  [[nodiscard]] int status() const noexcept { return otlpshm_writer_status(writer_); }
  int force_flush(std::uint32_t timeout_ms) { return otlpshm_force_flush(writer_, timeout_ms); }
  // Call it to choose the timeout or see the status; else the destructor does.
  int shutdown(std::uint32_t timeout_ms) noexcept {
    otlpshm_writer* closing = std::exchange(writer_, nullptr);
    return closing ? otlpshm_shutdown(closing, timeout_ms) : OTLPSHM_ERROR_SHUTDOWN;
  }
  [[nodiscard]] ::otlpshm_stats stats() const noexcept {
    ::otlpshm_stats counted{};
    counted.size = sizeof counted;
    otlpshm_writer_stats(writer_, &counted);
    return counted;
  }
  [[nodiscard]] otlpshm_writer* get() const noexcept { return writer_; }

 private:
  otlpshm_writer* writer_ = nullptr;
};

// A span of this scope: it starts here and ends with the block, or by end(). It can be neither
// copied nor moved; one thread at a time may use it.
class [[nodiscard]] Span {
 public:
  // Without a parent: a new trace.
  [[nodiscard]] Span(const Writer& writer, std::string_view name,
                     Kind kind = Kind::internal) noexcept
      : Span(writer, name, Context{}, kind) {}
  // A child of a span of this process.
  [[nodiscard]] Span(const Writer& writer, std::string_view name, const Span& parent,
                     Kind kind = Kind::internal) noexcept
      : Span(writer, name, parent.context(), kind) {}
  // A child of a context, for instance of an extracted one.
  [[nodiscard]] Span(const Writer& writer, std::string_view name, const Context& parent,
                     Kind kind = Kind::internal) noexcept {
    ::otlpshm_start_options options{};
    options.size = sizeof options;
    options.parent = &parent;
    options.kind = static_cast<int>(kind);
    otlpshm_span_start(writer.get(), &span_, name.data(), name.size(), &options);
  }
  ~Span() { otlpshm_span_end(&span_); }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  // Sets an attribute: bool, integer, floating point or text.
  template <class Value>
  Span& set(std::string_view key, const Value& value) noexcept {
    if constexpr (std::is_same_v<Value, bool>) {
      otlpshm_span_set_bool(&span_, key.data(), key.size(), value);
    } else if constexpr (std::is_integral_v<Value>) {
      otlpshm_span_set_int(&span_, key.data(), key.size(), saturated(value));
    } else if constexpr (std::is_floating_point_v<Value>) {
      otlpshm_span_set_double(&span_, key.data(), key.size(), static_cast<double>(value));
    } else {
      const std::string_view text = value;
      otlpshm_span_set_string(&span_, key.data(), key.size(), text.data(), text.size());
    }
    return *this;
  }
  Span& add_event(std::string_view name,
                  std::initializer_list<Attribute> attributes = {}) noexcept {
    otlpshm_span_add_event(&span_, name.data(), name.size(), 0, attributes.begin(),
                           attributes.size());
    return *this;
  }
  // The event that OpenTelemetry defines for exceptions, and the status Error.
  Span& record_exception(std::string_view type, std::string_view what) noexcept {
    add_event("exception",
              {attribute("exception.type", type), attribute("exception.message", what)});
    return set_error(what);
  }
  Span& set_error(std::string_view description) noexcept {
    otlpshm_span_set_status(&span_, OTLPSHM_STATUS_ERROR, description.data(), description.size());
    return *this;
  }
  Span& update_name(std::string_view name) noexcept {
    otlpshm_span_update_name(&span_, name.data(), name.size());
    return *this;
  }

  [[nodiscard]] bool is_recording() const noexcept { return otlpshm_span_is_recording(&span_); }
  [[nodiscard]] Context context() const noexcept {
    Context context{};
    otlpshm_span_get_context(&span_, &context);
    return context;
  }
  [[nodiscard]] Traceparent traceparent() const noexcept { return Traceparent(context()); }

  // Ends it before its scope does; the status as of otlpshm_span_end.
  int end() noexcept { return otlpshm_span_end(&span_); }
  void discard() noexcept { otlpshm_span_discard(&span_); }
  [[nodiscard]] ::otlpshm_span* get() noexcept { return &span_; }

 private:
  ::otlpshm_span span_;  // otlpshm_span_start writes it: 1 KiB need not be zeroed first
};

}  // namespace otlpshm

#endif

// SPDX-License-Identifier: Apache-2.0
// source_text.cc: reading a file within bounds, and cutting excerpts out of it.
//   Masks  textually, for a file that YAML cannot parse has secrets as well; when in doubt, masks.
#include "config/source_text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "config/quote.h"
#include "model/utf8.h"

namespace otlpshm::config {

namespace {

constexpr std::size_t excerpt_columns_max = 100;
constexpr std::string_view mask = "***";

// Words of keys whose value is a secret wherever they stand.
constexpr std::array<std::string_view, 6> secret_words = {"authorization", "api-key",  "api_key",
                                                          "token",         "password", "secret"};

struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int fd;
};

Parsed<SourceText> unread(const std::string& path, const std::string& why) {
  return {std::nullopt, "cannot read the configuration file " + quoted(path) + ": " + why};
}

std::string error_text(int error) {
  return std::generic_category().message(error);
}

std::size_t indent_of(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  return first == std::string_view::npos ? line.size() : first;
}

bool is_blank(std::string_view line) {
  return indent_of(line) == line.size();
}

// The bytes of a line's key with its colon, from the start of the line; 0 if it has none.
std::size_t key_end(std::string_view line) {
  std::size_t at = indent_of(line);
  const std::size_t first = at;
  while (at < line.size() && line.substr(at, 1).find_first_of(" \t:,{}[]'\"#&*") != 0) ++at;
  return at > first && at < line.size() && line[at] == ':' ? at + 1 : 0;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// One cell for each code point, so that the caret stands under its text.
std::string cells(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const model::Utf8Character character = model::utf8_character(text.substr(at));
    const std::size_t bytes = std::max<std::size_t>(character.bytes, 1);
    if (text[at] == '\t') {
      out += ' ';
    } else if (character.bytes == 0 || is_control(character.code)) {
      out += '?';
    } else {
      out += text.substr(at, bytes);
    }
    at += bytes;
  }
  return out;
}

std::string gutter(const std::string& number) {
  return std::string(number.size() < 5 ? 5 - number.size() : 0, ' ') + number + " |";
}

// http://user:password@host becomes http://*************@host: the columns stay.
void mask_passwords(std::string& line) {
  for (std::size_t at = 0; (at = line.find("://", at)) != std::string::npos;) {
    at += 3;
    const std::size_t end = line.find_first_of("/ \t\"'", at);
    const std::size_t sign = line.rfind('@', end == std::string::npos ? end : end - 1);
    if (sign == std::string::npos || sign < at) continue;
    std::fill(line.begin() + static_cast<std::ptrdiff_t>(at),
              line.begin() + static_cast<std::ptrdiff_t>(sign), '*');
  }
}

// Leaves `columns` code points around `centre` and says where the kept text begins.
std::size_t cut_around(std::string& line, std::size_t centre) {
  if (code_points(line) <= excerpt_columns_max) return 0;
  const std::size_t first = centre < excerpt_columns_max / 2 ? 0 : centre - excerpt_columns_max / 2;
  std::string kept;
  std::size_t column = 0;
  for (std::size_t at = 0; at < line.size() && column < first + excerpt_columns_max; ++column) {
    const std::size_t bytes =
        std::max<std::size_t>(model::utf8_character(std::string_view(line).substr(at)).bytes, 1);
    if (column >= first) kept += line.substr(at, bytes);
    at += bytes;
  }
  line = std::move(kept);
  return first;
}

}  // namespace

SourceText::SourceText(std::string name, std::string bytes)
    : name_(printable(name, 4096)), bytes_(std::move(bytes)) {
  if (bytes_.starts_with("\xef\xbb\xbf")) bytes_.erase(0, 3);
  line_starts_.push_back(0);
  for (std::size_t at = 0; at < bytes_.size(); ++at) {
    if (bytes_[at] == '\n') line_starts_.push_back(at + 1);
  }
}

Parsed<SourceText> SourceText::read(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return unread(path, "that is no file name; give --config the path of a YAML file");
  }
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.fd < 0) {
    const int error = errno;
    if (error == ENOENT) return unread(path, "it does not exist; check the path after --config");
    if (error == EACCES) {
      return unread(path, "permission denied; let uid " + std::to_string(geteuid()) + " read it");
    }
    return unread(path, error_text(error));
  }
  struct stat status = {};
  if (fstat(file.fd, &status) != 0) return unread(path, error_text(errno));
  if (S_ISDIR(status.st_mode)) return unread(path, "it is a directory; name the file in it");
  if (!S_ISREG(status.st_mode)) return unread(path, "it is not a regular file; copy it into one");
  std::string bytes;
  std::array<char, 16384> chunk{};
  while (bytes.size() <= file_bytes_max) {
    const ssize_t got = ::read(file.fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unread(path, error_text(errno));
    if (got == 0) break;
    bytes.append(chunk.data(), static_cast<std::size_t>(got));
  }
  if (bytes.size() > file_bytes_max) {
    return unread(path, "it is larger than 1 MiB, which no configuration needs");
  }
  return {SourceText(path, std::move(bytes)), {}};
}

std::vector<Fault> SourceText::unreadable() const {
  for (std::size_t index = 0; index < line_starts_.size(); ++index) {
    std::string_view rest = line(index);
    for (std::size_t at = 0; at < rest.size();) {
      const model::Utf8Character character = model::utf8_character(rest.substr(at));
      if (character.bytes == 0) {
        return {{{index, at, 1}, "the file is not UTF-8 here: save it as UTF-8"}};
      }
      if (rest[at] != '\t' && is_control(character.code)) {
        return {{{index, at, 1}, "a control character, which YAML does not allow: remove it"}};
      }
      at += character.bytes;
    }
  }
  return {};
}

std::string SourceText::where(const Place& place) const {
  const std::string_view before = line(place.line).substr(0, place.column_bytes);
  return name_ + ':' + std::to_string(place.line + 1) + ':' +
         std::to_string(code_points(before) + 1);
}

std::string SourceText::shown(const Fault& fault) const {
  const Place& place = fault.place;
  std::string out = "error: " + where(place) + ": " + fault.text;
  const std::string_view source = line(place.line);
  std::string shown_line = line_shown(place.line);
  const std::size_t masked_from = secret_from(place.line);
  const std::size_t column_bytes = std::min({place.column_bytes, source.size(), masked_from});
  const std::size_t end = std::min({column_bytes + place.bytes, source.size(), masked_from});
  std::size_t column = code_points(source.substr(0, column_bytes));
  const std::size_t first = cut_around(shown_line, column);
  column -= first;
  std::size_t carets = code_points(source.substr(column_bytes, end - column_bytes));
  carets = std::clamp<std::size_t>(carets, 1,
                                   excerpt_columns_max - std::min(column, excerpt_columns_max - 1));

  if (place.line > 0) {
    std::string before = line_shown(place.line - 1);
    cut_around(before, 0);
    out += '\n' + gutter(std::to_string(place.line)) + ' ' + before;
  }
  out += '\n' + gutter(std::to_string(place.line + 1)) + ' ' + shown_line;
  out += '\n' + gutter("") + ' ' + std::string(column, ' ') + std::string(carets, '^');
  if (!fault.hint.empty()) out += ' ' + fault.hint;
  return out;
}

std::size_t SourceText::offset(const Place& place) const {
  if (place.line >= line_starts_.size()) return bytes_.size();
  return std::min(line_starts_[place.line] + place.column_bytes, bytes_.size());
}

bool SourceText::holds(const Place& place, std::string_view expected) const {
  const std::string_view source = line(place.line);
  return place.column_bytes <= source.size() &&
         source.substr(place.column_bytes).starts_with(expected);
}

// Empty past the last line. The end of a line is not part of it.
std::string_view SourceText::line(std::size_t index) const {
  if (index >= line_starts_.size()) return {};
  const std::size_t begin = line_starts_[index];
  const std::size_t end =
      index + 1 < line_starts_.size() ? line_starts_[index + 1] - 1 : bytes_.size();
  std::string_view text = std::string_view(bytes_).substr(begin, end - begin);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

// The byte of a line from which it may hold a secret; npos if it holds none. A block under
// "headers:" ends at the first key that is not deeper; any other form of it, never.
std::size_t SourceText::secret_from(std::size_t index) const {
  constexpr std::size_t nowhere = std::string_view::npos;
  bool in_headers = false;
  bool block = false;
  std::size_t headers_indent = 0;
  for (std::size_t i = 0; i <= index; ++i) {
    const std::string_view text = line(i);
    const std::size_t key = key_end(text);
    if (in_headers) {
      const bool left = block && key != 0 && indent_of(text) <= headers_indent;
      if (!left) {
        if (i == index && !is_blank(text)) return key != 0 ? key : indent_of(text);
        continue;
      }
      in_headers = false;
    }
    const std::size_t word = text.find("headers");
    if (word == nowhere || text.substr(indent_of(text)).starts_with('#')) continue;
    in_headers = true;
    headers_indent = indent_of(text);
    const std::string_view rest = text.substr(word + 7);
    const std::size_t value = rest.find_first_not_of("'\": \t");
    block = value == nowhere || rest[value] == '#';
    if (i == index && !block) return word + 7 + std::min(value, rest.find(':') + 1);
  }
  const std::string lower = lower_case(line(index));
  for (const std::string_view word : secret_words) {
    const std::size_t at = lower.find(word);
    if (at != nowhere) return std::max(at + word.size(), key_end(line(index)));
  }
  return nowhere;
}

std::string SourceText::line_shown(std::size_t index) const {
  const std::string_view source = line(index);
  const std::size_t masked_from = secret_from(index);
  std::string out = cells(source.substr(0, masked_from));
  mask_passwords(out);
  if (masked_from < source.size()) out += (out.ends_with(':') ? " " : "") + std::string(mask);
  return out;
}

}  // namespace otlpshm::config

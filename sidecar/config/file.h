// SPDX-License-Identifier: Apache-2.0
// file.h: the values of one YAML file, put into a Config.
//   Never  throws of its own, or stops at the first fault.
//   Bound  the walk visits no node twice on one path; its depth is that of the table's keys.
#ifndef OTLPSHM_CONFIG_FILE_H
#define OTLPSHM_CONFIG_FILE_H

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "config/load.h"
#include "config/source_text.h"

namespace otlpshm::config {

struct FileReading {
  struct Placed {
    std::size_t option;
    Place place;
  };
  std::optional<SourceText> source;  // none: the file cannot be read, and `complaint` says why
  std::string complaint;
  std::vector<Fault> faults;   // in the order of the text
  std::vector<Placed> placed;  // options that have their value from the file
};

FileReading read_file(const std::string& path, const Environment& environment, Config* config);

}  // namespace otlpshm::config

#endif

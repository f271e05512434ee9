// SPDX-License-Identifier: Apache-2.0
// evict.h: a name that the daemon needs, and that another user took before it came.
//   Owns   the right of a sticky directory's owner: to remove and rename what is another's.
//   Never  touches what is root's or the daemon's own, acts where the directory is not its own, or
//          leaves the name free in between: its own file and the other's change places.
//   Loses  nothing: a directory that is not empty is kept under another name.
#ifndef OTLPSHM_INGEST_EVICT_H
#define OTLPSHM_INGEST_EVICT_H

#include <string>

#include "ingest/descriptor.h"

namespace otlpshm::ingest {

// If another user's file, link or directory has the name, an empty file of ours has it afterwards,
// open as `replacement`, and the log says so. False, with a sentence that names the remedy, if it
// stays although the directory is ours. True also where there is nothing to do, or nothing that we
// may do: the kernel decides then about what the caller does next.
[[nodiscard]] bool evict(int directory, const std::string& name, Descriptor* replacement,
                         std::string* error);

// Behind a sentence about a failure: whose the thing is that has the name, and what to do about it.
// Empty if nothing has it.
std::string remedy(int directory, const std::string& name);

}  // namespace otlpshm::ingest

#endif

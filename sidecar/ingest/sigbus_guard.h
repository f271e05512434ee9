// SPDX-License-Identifier: Apache-2.0
// sigbus_guard.h: loads and stores in a file that somebody may truncate under us.
//   Owns   the process's SIGBUS action, from the first use on.
//   Never  hides a SIGBUS outside of an access: that one still ends the process.
//   Loses  the access: the caller learns that the file is gone from under it.
#ifndef OTLPSHM_INGEST_SIGBUS_GUARD_H
#define OTLPSHM_INGEST_SIGBUS_GUARD_H

#include <memory>
#include <type_traits>

namespace otlpshm::ingest {

// False if the access met the end of its file; it has then stopped somewhere in the middle.
[[nodiscard]] bool run_guarded(void (*access)(void*), void* argument);

// `access` must own nothing: a fault jumps over its destructors.
template <typename Access>
[[nodiscard]] bool guarded(Access&& access) {
  using Bare = std::remove_reference_t<Access>;
  return run_guarded([](void* argument) { (*static_cast<Bare*>(argument))(); },
                     const_cast<std::remove_const_t<Bare>*>(std::addressof(access)));
}

}  // namespace otlpshm::ingest

#endif

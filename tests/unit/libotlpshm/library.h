// SPDX-License-Identifier: Apache-2.0
// library.h: the C headers of libotlpshm's rooms, for tests in C++.
//   Never  anything of its own: only the two C11 words that C++ spells otherwise.
#ifndef OTLPSHM_TESTS_LIBOTLPSHM_LIBRARY_H
#define OTLPSHM_TESTS_LIBOTLPSHM_LIBRARY_H

#include <pthread.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>

#include <cstdbool>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define _Static_assert static_assert
#define _Thread_local __thread
extern "C" {
#include "src/attach.h"
#include "src/clock.h"
#include "src/detect.h"
#include "src/doorbell.h"
#include "src/encode.h"
#include "src/headroom.h"
#include "src/ids.h"
#include "src/kernel.h"
#include "src/lane.h"
#include "src/limits.h"
#include "src/ordering.h"
#include "src/process.h"
#include "src/resource.h"
#include "src/segment.h"
#include "src/span.h"
#include "src/state.h"
#include "src/writer.h"
}
#undef _Static_assert
#undef _Thread_local

#endif

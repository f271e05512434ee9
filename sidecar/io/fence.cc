// SPDX-License-Identifier: Apache-2.0
// fence.cc: full memory barriers on every running CPU, made in a thread because they take 8-30 ms.
#include "io/fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "io/quiet_thread.h"

namespace otlpshm::io {

Fence::Fence(Finished finished) : finished_(std::move(finished)) {
  thread_ = start_quiet_thread("otlpshm-fence", [this] { run(); });
}

Fence::~Fence() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Fence::request(Done done) {
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(done));
  }
  changed_.notify_all();
}

void Fence::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    std::vector<Done> requests = std::exchange(waiting_, {});
    lock.unlock();
    const bool ok = syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0;
    finished_(std::move(requests), ok);
    lock.lock();
  }
}

}  // namespace otlpshm::io

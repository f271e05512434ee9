// SPDX-License-Identifier: Apache-2.0
// fence.h: full memory barriers on every running CPU, made in a thread because they take 8-30 ms.
//   Owns   its thread.     Never  blocks the caller of request().
//   Loses  nothing: each request is answered; true only by a barrier that began after it.
//   Bound  its caller's: one who waits for an answer before the next request has one here.
#ifndef OTLPSHM_IO_FENCE_H
#define OTLPSHM_IO_FENCE_H

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace otlpshm::io {

class Fence {
 public:
  using Done = std::function<void(bool ok)>;
  // `finished(requests, ok)` runs on the helper thread.
  using Finished = std::function<void(std::vector<Done> requests, bool ok)>;

  explicit Fence(Finished finished);
  ~Fence();  // waits for a barrier under way; requests that wait are forgotten
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;

  void request(Done done);

 private:
  void run();

  Finished finished_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Done> waiting_;  // guarded by mutex_
  bool stopping_ = false;      // guarded by mutex_
  std::thread thread_;
};

}  // namespace otlpshm::io

#endif  // OTLPSHM_IO_FENCE_H

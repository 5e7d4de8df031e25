// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: a task hands a number to the thread that spawned it, with park and unpark.
#include "engine/thread_scheduler.h"

#include <atomic>
#include <cstdio>

int main() {
  pagedb::ThreadScheduler scheduler;
  const pagedb::TaskId self = scheduler.current();  // this thread was not made by the scheduler
  std::atomic<int> answer{0};

  const pagedb::TaskId task = scheduler.spawn("worker", [&] {
    answer = 42;
    scheduler.unpark(self);
  });
  if (task == pagedb::TaskId{}) return 1;  // no more threads

  // A park may end early for no reason: look again at what was waited for.
  const pagedb::Time deadline = scheduler.now() + std::chrono::seconds(10);
  while (answer == 0 && scheduler.now() < deadline) scheduler.park(deadline);
  scheduler.join(task);

  std::printf("the task said %d\n", answer.load());
  return answer == 42 ? 0 : 1;
}

// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Context switches: see fiber.h. Each switch is one function from the announcement to the return, because
// ThreadSanitizer keeps a shadow call stack a fiber and a function must be left on the fiber on which it was entered.
#include "sim/fiber.h"

#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <exception>
#include <vector>

#include "engine/check.h"
#include "sim/sanitizer.h"

#if defined(__SANITIZE_ADDRESS__)
#define PAGEDB_SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PAGEDB_SIM_ASAN 1
#endif
#endif

#if defined(PAGEDB_SIM_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace pagedb::sim {

namespace fcontext = boost::context::detail;

struct StackPool::Impl {
  std::size_t guard_bytes;
  std::size_t stack_bytes;
  std::vector<void*> mapped;  // lowest address of each mapping, which is its guard page
  std::vector<void*> idle;    // lowest usable address of each stack that nobody uses

  void* take() {
    if (!idle.empty()) {
      void* stack = idle.back();
      idle.pop_back();
      return stack;
    }
    void* base =
        mmap(nullptr, guard_bytes + stack_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    PAGEDB_CHECK(base != MAP_FAILED, "no address space for a fiber's stack");
    mapped.push_back(base);
    void* stack = static_cast<char*>(base) + guard_bytes;
    PAGEDB_CHECK(mprotect(stack, stack_bytes, PROT_READ | PROT_WRITE) == 0, "no memory for a fiber's stack");
    return stack;
  }

  void give_back(void* stack) {
#if defined(PAGEDB_SIM_ASAN)
    __asan_unpoison_memory_region(stack, stack_bytes);  // the last frame never returned, so its red zones still stand
#endif
    if (kThreadSanitizer) {
      // The next user has nothing to do with this one: a fresh mapping makes the detector forget what was accessed
      // here.
      const HarnessScope scope;
      void* again = mmap(stack, stack_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
      PAGEDB_CHECK(again == stack, "a fiber's stack could not be mapped again");
    }
    idle.push_back(stack);
  }
};

StackPool::StackPool(std::size_t stack_bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t rounded = (stack_bytes + page - 1) / page * page;
  PAGEDB_CHECK(rounded >= 4 * page, "a stack needs some pages");
  impl_ = std::make_unique<Impl>(Impl{page, rounded, {}, {}});
#if defined(PAGEDB_SIM_TSAN)
  // The C++ library counts references without atomics while glibc knows of one thread only. To the race detector fibers
  // are threads, so it must not: else every shared_ptr that two fibers share is reported.
  __libc_single_threaded = 0;
#endif
}

StackPool::~StackPool() {
  PAGEDB_CHECK(impl_->idle.size() == impl_->mapped.size(), "a stack pool must outlive its fibers");
  for (void* base : impl_->mapped) munmap(base, impl_->guard_bytes + impl_->stack_bytes);
}

std::size_t StackPool::stacks_mapped() const noexcept { return impl_->mapped.size(); }

/// A fiber's first and last steps, in the form that Boost.Context calls.
struct Fiber::Switch {
  struct Exit {
    void* context;
    const void* stack;
    std::size_t stack_bytes;
    void* tsan_fiber;
  };

  struct Start {
    Fiber& fiber;
    Entry entry;
    void* argument;
  };

  static Start begin(fcontext::transfer_t from) noexcept {
    const HarnessScope scope;
    auto& fiber = *static_cast<Fiber*>(from.data);
    fiber.resumer_ = from.fctx;
#if defined(PAGEDB_SIM_ASAN)
    __sanitizer_finish_switch_fiber(nullptr, &fiber.resumer_stack_, &fiber.resumer_stack_bytes_);
#endif
    return {fiber, fiber.entry_, fiber.argument_};
  }

  static Exit end(Fiber& fiber) noexcept {
    const HarnessScope scope;
    fiber.state_ = State::ended;
    return {fiber.resumer_, fiber.resumer_stack_, fiber.resumer_stack_bytes_, fiber.tsan_resumer_};
  }

  static void run(fcontext::transfer_t from) noexcept {
    const Start start = begin(from);
    start.entry(start.argument);
    const Exit exit = end(start.fiber);
#if defined(PAGEDB_SIM_ASAN)
    __sanitizer_start_switch_fiber(nullptr, exit.stack, exit.stack_bytes);
#endif
#if defined(PAGEDB_SIM_TSAN)
    __tsan_switch_to_fiber(exit.tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
    fcontext::jump_fcontext(exit.context, nullptr);
    PAGEDB_CHECK(false, "an ended fiber was resumed");
  }
};

Fiber::Fiber(StackPool& pool, Entry entry, void* argument)
    : pool_(pool), entry_(entry), argument_(argument), stack_(pool.impl_->take()) {
  const std::size_t bytes = pool.impl_->stack_bytes;
  context_ = fcontext::make_fcontext(static_cast<char*>(stack_) + bytes, bytes, &Switch::run);
#if defined(PAGEDB_SIM_TSAN)
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  PAGEDB_CHECK(state_ == State::ended || state_ == State::fresh, "a suspended fiber cannot be thrown away");
#if defined(PAGEDB_SIM_TSAN)
  __tsan_destroy_fiber(tsan_fiber_);
#endif
  pool_.impl_->give_back(stack_);
}

void Fiber::resume() {
  const HarnessScope scope;
  PAGEDB_CHECK(state_ == State::fresh || state_ == State::suspended, "only a fresh or suspended fiber can be resumed");
  state_ = State::running;
  void* const target = context_;
#if defined(PAGEDB_SIM_ASAN)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, stack_, pool_.impl_->stack_bytes);
#endif
#if defined(PAGEDB_SIM_TSAN)
  tsan_resumer_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_fiber_, __tsan_switch_to_fiber_no_sync);
#endif
  const fcontext::transfer_t back = fcontext::jump_fcontext(target, this);
#if defined(PAGEDB_SIM_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  context_ = back.fctx;
}

void Fiber::suspend() {
  const HarnessScope scope;
  PAGEDB_CHECK(state_ == State::running, "only the running fiber can suspend itself");
  PAGEDB_CHECK(std::uncaught_exceptions() == 0 && !std::current_exception(),
               "a fiber must not suspend while an exception is being thrown or handled");
  state_ = State::suspended;
  void* const target = resumer_;
#if defined(PAGEDB_SIM_ASAN)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, resumer_stack_, resumer_stack_bytes_);
#endif
#if defined(PAGEDB_SIM_TSAN)
  __tsan_switch_to_fiber(tsan_resumer_, __tsan_switch_to_fiber_no_sync);
#endif
  const fcontext::transfer_t back = fcontext::jump_fcontext(target, nullptr);
#if defined(PAGEDB_SIM_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, &resumer_stack_, &resumer_stack_bytes_);
#endif
  resumer_ = back.fctx;
}

}  // namespace pagedb::sim

// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What ThreadSanitizer is told about a simulation: which code to watch, and what orders two tasks. Nothing at all in
// other builds.
//
// All fibers of a run share one thread. To the race detector they are threads of their own that nothing orders but the
// scheduler's park, unpark, spawn and join, so that code under test which relies on more than that is reported. The
// harness itself (scheduler, disk, trace, oracle) really is serialised by running on one thread; its accesses would all
// look like races, so it hides them: every function of the harness that a task can call and that touches shared state
// opens with a HarnessScope, and wraps its calls back into code under test in an EngineScope.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define PAGEDB_SIM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PAGEDB_SIM_TSAN 1
#endif
#endif

#if defined(PAGEDB_SIM_TSAN)
#include <sanitizer/tsan_interface.h>

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace pagedb::sim {

#if defined(PAGEDB_SIM_TSAN)

inline constexpr bool kThreadSanitizer = true;

/// While it lives, what the calling task reads and writes is not watched for races. Nests.
class HarnessScope {
 public:
  HarnessScope() noexcept {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~HarnessScope() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  HarnessScope(const HarnessScope&) = delete;
  HarnessScope& operator=(const HarnessScope&) = delete;
};

/// Inside exactly one HarnessScope: the calling task is watched again while this lives. For calls back into code under
/// test.
class EngineScope {
 public:
  EngineScope() noexcept {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  ~EngineScope() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  EngineScope(const EngineScope&) = delete;
  EngineScope& operator=(const EngineScope&) = delete;
};

/// Everything the calling task did so far happens before the next `ordered_after` of the same token.
inline void ordered_before(const void* token) noexcept { __tsan_release(const_cast<void*>(token)); }
/// What came before the `ordered_before` calls of this token happens before what the calling task does next.
inline void ordered_after(const void* token) noexcept { __tsan_acquire(const_cast<void*>(token)); }

#else

inline constexpr bool kThreadSanitizer = false;

class HarnessScope {
 public:
  HarnessScope() noexcept {}  // user-provided, so that an otherwise unused scope gives no warning
  ~HarnessScope() {}
  HarnessScope(const HarnessScope&) = delete;
  HarnessScope& operator=(const HarnessScope&) = delete;
};

class EngineScope {
 public:
  EngineScope() noexcept {}
  ~EngineScope() {}
  EngineScope(const EngineScope&) = delete;
  EngineScope& operator=(const EngineScope&) = delete;
};

inline void ordered_before(const void*) noexcept {}
inline void ordered_after(const void*) noexcept {}

#endif

}  // namespace pagedb::sim

// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// World: a scheduler with all that it needs, and the small helpers that its tests share. Tests only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "sim/sanitizer.h"
#include "sim/sim_scheduler.h"

namespace pagedb::sim {

/// An event with a std::function for what happens.
class Callback final : public TimedEvent {
 public:
  explicit Callback(std::function<void()> action) : action_(std::move(action)) {}
  void fire() override { action_(); }

 private:
  std::function<void()> action_;
};

/// Text that several fibers write to. They do so on purpose without being ordered, so ThreadSanitizer does not look.
class Log {
 public:
  void operator+=(const std::string& text) {
    const HarnessScope scope;
    text_ += text;
  }
  [[nodiscard]] std::string text() const {
    const HarnessScope scope;
    return text_;
  }

 private:
  std::string text_;
};

/// A task id that is known only after the tasks that use it were spawned: nothing orders that, so ThreadSanitizer does
/// not look.
class LateId {
 public:
  void operator=(TaskId id) {
    const HarnessScope scope;
    id_ = id;
  }
  operator TaskId() const {
    const HarnessScope scope;
    return id_;
  }

 private:
  TaskId id_;
};

/// Always takes the same decision, where there is one.
class Always final : public Choices {
 public:
  explicit Always(std::uint32_t value) : value_(value) {}

 protected:
  std::uint32_t choose(const ChoiceKey& key, std::uint32_t n) override {
    EXPECT_EQ(key.site, Site::next_fiber);
    return std::min(value_, n - 1);
  }

 private:
  std::uint32_t value_;
};

/// A scheduler with all that it needs.
struct World {
  explicit World(const SimLimits& limits = {}, std::uint64_t seed = 1, bool keep = true)
      : choices(seed), trace(keep), scheduler(choices, Span(), trace, stacks, limits) {}
  explicit World(Choices& source) : choices(0), trace(true), scheduler(source, Span(), trace, stacks) {}

  PrngChoices choices;
  Trace trace;
  StackPool stacks;
  SimScheduler scheduler;
};

}  // namespace pagedb::sim

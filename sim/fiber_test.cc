// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Fibers: they switch, nest, keep their locals, reuse their stacks and refuse misuse. The same tests run under ASan and
// TSan, where a wrong annotation makes the sanitizer itself stop.
#include "sim/fiber.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/sanitizer.h"

namespace pagedb::sim {
namespace {

/// A fiber with a std::function for its body, which is given the fiber.
class Script {
 public:
  Script(StackPool& pool, std::function<void(Fiber&)> body) : body_(std::move(body)), fiber_(pool, &run, this) {}
  void resume() { fiber_.resume(); }
  [[nodiscard]] bool ended() const { return fiber_.ended(); }

 private:
  static void run(void* self) {
    const HarnessScope scope;  // nothing orders these fibers for TSan, and the tests share data between them
    auto& script = *static_cast<Script*>(self);
    script.body_(script.fiber_);
  }
  std::function<void(Fiber&)> body_;
  Fiber fiber_;
};

TEST(Fiber, SwitchesBackAndForth) {
  StackPool pool;
  std::string order;
  Script script(pool, [&](Fiber& self) {
    order += 'a';
    self.suspend();
    order += 'b';
    self.suspend();
    order += 'c';
  });
  EXPECT_EQ(order, "");
  script.resume();
  order += '1';
  script.resume();
  order += '2';
  EXPECT_FALSE(script.ended());
  script.resume();
  EXPECT_TRUE(script.ended());
  EXPECT_EQ(order, "a1b2c");
}

TEST(Fiber, LocalsSurviveSwitches) {
  StackPool pool;
  std::vector<int> seen;
  Script script(pool, [&](Fiber& self) {
    std::vector<int> mine(100, 7);
    volatile int local[64] = {};
    for (int i = 0; i < 64; ++i) {
      local[i] = i;
      self.suspend();
    }
    for (int i = 0; i < 64; ++i) seen.push_back(local[i] + mine[static_cast<std::size_t>(i)]);
  });
  while (!script.ended()) script.resume();
  ASSERT_EQ(seen.size(), 64u);
  EXPECT_EQ(seen[63], 70);
}

TEST(Fiber, NestsAndAnyFiberMayResumeAnother) {
  StackPool pool;
  std::string order;
  Script inner(pool, [&](Fiber& self) {
    for (const char c : {'x', 'y', 'z'}) {
      order += c;
      self.suspend();
    }
  });
  Script outer(pool, [&](Fiber& self) {
    order += '(';
    inner.resume();
    order += ')';
    self.suspend();
    order += '[';
    inner.resume();
    order += ']';
  });
  outer.resume();
  inner.resume();  // from the test's own stack this time: the way back must be learnt anew
  outer.resume();
  inner.resume();
  EXPECT_EQ(order, "(x)y[z]");
  EXPECT_TRUE(outer.ended());
  EXPECT_TRUE(inner.ended());
}

TEST(Fiber, ExceptionsStayInsideAndWorkInManyAtOnce) {
  StackPool pool;
  int caught = 0;
  const auto body = [&](Fiber& self) {
    for (int i = 0; i < 10; ++i) {
      try {
        throw std::runtime_error("expected");
      } catch (const std::runtime_error&) {
        ++caught;
      }
      self.suspend();
    }
  };
  Script one(pool, body);
  Script two(pool, body);
  while (!one.ended()) {
    one.resume();
    two.resume();
  }
  EXPECT_EQ(caught, 20);
}

TEST(Fiber, StacksAreReused) {
  StackPool pool;
  for (int i = 0; i < 1000; ++i) {
    Script one(pool, [](Fiber& self) { self.suspend(); });
    Script two(pool, [](Fiber&) {});
    one.resume();
    two.resume();
    one.resume();
  }
  EXPECT_EQ(pool.stacks_mapped(), 2u);
}

TEST(Fiber, AFreshFiberMayBeThrownAway) {
  StackPool pool;
  bool ran = false;
  {
    const Script script(pool, [&](Fiber&) { ran = true; });
  }
  EXPECT_FALSE(ran);
}

TEST(Fiber, UsesTheStackItWasPromised) {
  StackPool pool(1024 * 1024);
  int sum = 0;
  Script script(pool, [&](Fiber&) {
    volatile char large[768 * 1024];
    for (std::size_t i = 0; i < sizeof large; i += 4096) large[i] = 1;
    for (std::size_t i = 0; i < sizeof large; i += 4096) sum += large[i];
  });
  script.resume();
  EXPECT_EQ(sum, 768 * 1024 / 4096);
}

TEST(FiberDeathTest, BelowTheStackIsAGuardPage) {
  constexpr std::size_t kStackBytes = 256 * 1024;
  StackPool pool(kStackBytes);
  const auto touch = [](std::uintptr_t offset) {
    // The entry frames lie within the stack's topmost page, so its end is known from any local.
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const std::uintptr_t bottom = (here + 4095) / 4096 * 4096 - kStackBytes;
    *reinterpret_cast<volatile char*>(bottom + offset) = 1;
  };
  Script inside(pool, [&](Fiber&) { touch(0); });
  inside.resume();
  EXPECT_TRUE(inside.ended());
  Script outside(pool, [&](Fiber&) { touch(std::uintptr_t{0} - 1); });
  EXPECT_DEATH(outside.resume(), "");
}

TEST(FiberDeathTest, ASuspendedFiberCannotBeThrownAway) {
  EXPECT_DEATH(
      {
        StackPool pool;
        Script script(pool, [](Fiber& self) { self.suspend(); });
        script.resume();
      },
      "a suspended fiber cannot be thrown away");
}

TEST(FiberDeathTest, SuspendingInsideCatchIsRefused) {
  EXPECT_DEATH(
      {
        StackPool pool;
        Script script(pool, [](Fiber& self) {
          try {
            throw 1;
          } catch (int) {
            self.suspend();
          }
        });
        script.resume();
      },
      "while an exception is being thrown or handled");
}

TEST(FiberDeathTest, AnEndedFiberCannotBeResumed) {
  EXPECT_DEATH(
      {
        StackPool pool;
        Script script(pool, [](Fiber&) {});
        script.resume();
        script.resume();
      },
      "only a fresh or suspended fiber can be resumed");
}

TEST(FiberDeathTest, APoolMustOutliveItsFibers) {
  EXPECT_DEATH(
      {
        auto pool = std::make_unique<StackPool>();
        Script script(*pool, [](Fiber&) {});
        pool.reset();
      },
      "must outlive its fibers");
}

}  // namespace
}  // namespace pagedb::sim

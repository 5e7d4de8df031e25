// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/alloc_workload.h"

#include <memory>
#include <string>
#include <vector>

#include "scenarios/alloc_client.h"
#include "scenarios/allocation_check.h"
#include "scenarios/page_workload.h"
#include "scenarios/pool_client.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

enum SpanKind : std::uint32_t { kLimits = 651, kRound, kLast };

constexpr unsigned kAttempts = 8;

/// The allocator of `file`, trying again while faults get in the way. Null: it cannot be had.
std::unique_ptr<AllocatorSubject> open_allocator(Host& host, Subject& file, const AllocLimits& limits) {
  for (unsigned attempt = 0; attempt < kAttempts && !host.over(); ++attempt) {
    host.operation_begins();
    const Time since = host.scheduler().now();
    auto allocator = file.allocator({.end = limits.end});
    const PageError* error = allocator ? nullptr : &allocator.error();
    if (!host.judge_call(error, "opening the allocator", Owes::nothing, since))
      host.violation(Invariant::typed_errors, "the allocator does not open: " + error->message());
    if (allocator) return std::move(*allocator);
  }
  return nullptr;
}

std::unique_ptr<BufferPool> make_pool(Host& host, Subject& file, sim::Span& span) {
  BufferPoolOptions options;
  options.frames = 6 + host.choices().draw(span, sim::Site::plan, 11);
  options.background_writer = host.choices().draw(span, sim::Site::plan, 4) != 0;
  options.background_reader = false;
  options.write_batch_pages = 1 + host.choices().draw(span, sim::Site::plan, 8);
  auto pool = host.engine().make_pool(host.scheduler(), file, options);
  if (!pool) {
    host.violation(Invariant::liveness, "a pool cannot be made: " + pool.error().message());
    return nullptr;
  }
  return std::move(*pool);
}

}  // namespace

std::vector<PageId> pool_pages() {
  std::vector<PageId> pages;
  for (std::uint64_t page = 2; page < 66; ++page) pages.push_back(PageId{page});
  return pages;
}

AllocLimits draw_limits(sim::Choices& choices, const AllocShape& shape) {
  if (shape.pool) return {.end = PageId{pool_pages().back().value + 1}};
  sim::Span span(sim::Span(), kLimits, 0);
  switch (choices.draw(span, sim::Site::plan, 4)) {
    case 0:
      return {.end = PageId{48}};
    case 1:
      return {.end = PageId{700}};
    case 2:
      return {.large = true};
    default:
      return {};
  }
}

void run_alloc_workload(Host& host, const AllocShape& shape, const AllocLimits& limits) {
  std::unique_ptr<Subject> file = create_page_file(host);
  std::uint32_t operations_left = shape.operations_max;
  for (std::uint32_t round = 0; file != nullptr && round < shape.rounds_max && !host.over(); ++round) {
    if (round != 0) {
      file.reset();
      file = reopen_page_file(host);
      if (file == nullptr || host.over()) return;
      host.judge_reopened_map();
    }
    auto allocator = open_allocator(host, *file, limits);
    if (allocator == nullptr || host.over()) return;
    if (round != 0) verify_quiet(host, *allocator);
    sim::Span span(host.span(), kRound, round);
    std::unique_ptr<BufferPool> pool;
    if (shape.pool) {
      pool = make_pool(host, *file, span);
      if (pool == nullptr) return;
    }
    AllocShared shared{.host = host,
                       .file = *file,
                       .allocator = *allocator,
                       .pool = pool.get(),
                       .shape = shape,
                       .limits = limits,
                       .operations_left = operations_left,
                       .versions = {}};
    std::vector<std::unique_ptr<AllocClient>> clients;
    std::vector<TaskId> tasks;
    for (std::uint32_t number = 0; number < shape.fibers; ++number) {
      clients.push_back(std::make_unique<AllocClient>(shared, number, round));
      tasks.push_back(host.scheduler().spawn("client " + std::to_string(number), [client = clients.back().get()] {
        const sim::HarnessScope scope;
        client->run();
      }));
    }
    for (const TaskId task : tasks) host.scheduler().join(task);
    operations_left = shared.operations_left;
    const bool poisoned = file->poisoned();
    if (!host.over() && !poisoned) {
      verify_quiet(host, *allocator);
      // Half of the files are left as they are, half with everything durable.
      if (host.choices().draw(span, sim::Site::op_kind, 2) != 0) clients.front()->sync();
    }
    if (pool != nullptr) {
      in_engine([&] {
        static_cast<void>(pool->abandon());
        pool.reset();
      });
    }
    if (!poisoned && !file->poisoned()) return;
  }
}

}  // namespace pagedb::scenarios

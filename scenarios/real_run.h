// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// RealRun: a workload on a real disk. No faults and no crash: every call must succeed, and what was synced must be
// there after reopening.
//
// The workload's fibers take turns on one thread, so that the run is the same each time; the I/O is real.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "scenarios/host.h"
#include "scenarios/scenario.h"

namespace pagedb::scenarios {

class RealRun final : public Host {
 public:
  RealRun(const RealRequest& request, std::string_view scenario, PageSize page_size, std::vector<PageId> pages);
  ~RealRun() override;

  const Engine& engine() override { return production_engine(); }
  IoBackend& backend() override { return *request_.backend; }
  sim::SimScheduler& scheduler() override { return *scheduler_; }
  sim::Choices& choices() override { return *request_.choices; }
  Oracle& oracle() override { return oracle_; }
  const sim::Span& span() override { return span_; }
  const std::string& path() override { return path_; }
  std::string side_path(std::string_view name) override;
  void operation_begins() override {}
  void judge_read(std::size_t page, const PageError* error, std::span<const std::byte> bytes) override;
  void judge_write(std::size_t page, const PageError* error) override;
  void judge_sync(const PageError* error, bool poisoned) override;
  bool judge_open(const PageError* error, bool creating, bool interrupted_create) override;
  bool judge_call(const PageError* error, std::string_view, Owes, Time) override { return error == nullptr; }
  void judge_flushed(std::size_t, std::uint64_t) override {}
  AllocationOracle& allocation() override { return allocation_; }
  std::size_t durable_commit() override { return allocation_.acknowledged(); }
  void judge_reopened_map() override {}
  bool sync_failed() override { return false; }
  void violation(Invariant invariant, const std::string& message) override;
  bool over() override { return !result_.violations.empty(); }

  /// Opens the page file again, reads every page and the allocation map, and gives the result.
  [[nodiscard]] RunResult finish();

 private:
  void failed(std::string_view what, const PageError* error);
  /// Reads the allocation map of the closed file, past the engine, and judges it.
  void judge_map();

  RealRequest request_;
  std::string scenario_;
  std::string path_;
  std::vector<std::string> extra_;
  sim::Span span_;
  sim::Arena arena_;
  sim::Trace trace_;
  sim::StackPool stacks_;
  std::unique_ptr<sim::SimScheduler> scheduler_;
  Oracle oracle_;
  AllocationOracle allocation_;
  RunResult result_;
};

}  // namespace pagedb::scenarios

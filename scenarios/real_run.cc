// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/real_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <optional>

#include "engine/aligned_buffer.h"
#include "engine/check.h"

namespace pagedb::scenarios {
namespace {

enum SpanKind : std::uint32_t { kScheduler = 301 };

}  // namespace

RealRun::RealRun(const RealRequest& request, std::string_view scenario, PageSize page_size, std::vector<PageId> pages)
    : request_(request),
      scenario_(scenario),
      path_(fmt::format("{}/{}.{}.pages", request.directory, scenario, getpid())),
      stacks_(512 * 1024),
      oracle_(page_size, std::move(pages), request.seed, arena_),
      allocation_(page_size.bytes(), AllocationOracle::Commits::unseen) {
  scheduler_ = std::make_unique<sim::SimScheduler>(*request_.choices, sim::Span(span_, kScheduler, 0), trace_, stacks_);
  result_.counters.seeds = 1;
}

RealRun::~RealRun() {
  std::remove(path_.c_str());
  for (const std::string& path : extra_) std::remove(path.c_str());
}

std::string RealRun::side_path(std::string_view name) {
  extra_.push_back(fmt::format("{}.{}", path_, name));
  return extra_.back();
}

void RealRun::violation(Invariant invariant, const std::string& message) {
  Violation& broken = result_.violations.emplace_back();
  broken.scenario = scenario_;
  broken.seed = request_.seed;
  broken.profile = "real disk";
  broken.invariant = invariant;
  broken.message = message;
}

void RealRun::failed(std::string_view what, const PageError* error) {
  if (error != nullptr)
    violation(Invariant::typed_errors, fmt::format("{} failed on a real disk: {}", what, error->message()));
}

void RealRun::judge_read(std::size_t page, const PageError* error, std::span<const std::byte> bytes) {
  const bool unwritten =
      error != nullptr && (error->code == ErrorCode::never_written || error->code == ErrorCode::beyond_end);
  if (unwritten && oracle_.acknowledged(page) == 0) return;
  failed("read", error);
  if (error == nullptr && !oracle_.is_current(page, bytes)) {
    violation(Invariant::integrity,
              fmt::format("page {} holds something else than its newest version", oracle_.pages()[page].value));
  }
}

void RealRun::judge_write(std::size_t, const PageError* error) { failed("write", error); }
void RealRun::judge_sync(const PageError* error, bool) { failed("sync", error); }

bool RealRun::judge_open(const PageError* error, bool creating, bool) {
  failed(creating ? "create" : "open", error);
  return false;
}

RunResult RealRun::finish() {
  if (over()) return std::move(result_);
  auto opened = engine().open(*scheduler_, backend(), path_, {.page_size = oracle_.page_size()});
  failed("reopening", opened ? nullptr : &opened.error());
  if (opened) {
    auto memory = AlignedBuffer::allocate(oracle_.page_size().bytes());
    PAGEDB_CHECK(memory.has_value(), "the harness needs memory for a page");
    for (std::size_t page = 0; page < oracle_.pages().size(); ++page) {
      const Result<PageHeader> read = (*opened)->read(oracle_.pages()[page], memory->span());
      judge_read(page, read ? nullptr : &read.error(), memory->span());
    }
    opened->reset();
    judge_map();
    ++result_.counters.recoveries_verified;
  }
  return std::move(result_);
}

void RealRun::judge_map() {
  std::ifstream file(path_, std::ios::binary);
  const auto read = [&](std::uint64_t offset, std::span<std::byte> to) {
    file.clear();
    file.seekg(static_cast<std::streamoff>(offset));
    return static_cast<bool>(file.read(reinterpret_cast<char*>(to.data()), static_cast<std::streamsize>(to.size())));
  };
  std::vector<std::byte> page(oracle_.page_size().bytes());
  std::optional<ReferenceSuperblock> newest;
  for (const std::uint64_t offset : kSuperblockOffsets) {
    const auto found = read(offset, page) ? decode_superblock_page(page, offset) : std::nullopt;
    if (found && (!newest || found->generation > newest->generation)) newest = found;
  }
  if (!newest) return violation(Invariant::durability, "the closed file has no superblock");
  AllocationReader reader;
  const ReferenceAllocation& map = reader.read(*newest, [&](std::uint64_t id, std::span<std::byte> to) {
    return read(id * to.size(), to) ? PageRead::ok : PageRead::past_end;
  });
  const Verdict verdict = allocation_.judge_current(map);
  if (verdict.kind == Verdict::Kind::broken) violation(verdict.invariant, verdict.message);
}

}  // namespace pagedb::scenarios

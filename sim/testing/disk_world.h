// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// DiskWorld: a simulated disk with all that it needs, scripted decisions, and small ways to write, read and look. Tests
// only.
//
// Contents are a letter a write, and media are shown as a letter a sector: "aab." is two sectors of write a, one of b,
// one never written; '!' cannot be read, '?' is none of these.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "engine/aligned_buffer.h"
#include "faults/ledger.h"
#include "faults/profile.h"
#include "sim/crash.h"
#include "sim/sanitizer.h"
#include "sim/sim_disk.h"

namespace pagedb::sim {

/// Decisions by site: those of the script in order, then always the same one; 0 where nothing was said.
class Scripted final : public Choices {
 public:
  Scripted& then(Site site, std::initializer_list<std::uint32_t> values) {
    auto& script = scripts_[static_cast<std::size_t>(site)];
    script.insert(script.end(), values);
    return *this;
  }
  Scripted& always(Site site, std::uint32_t value) {
    always_[static_cast<std::size_t>(site)] = value;
    return *this;
  }
  /// Decisions of the script that nobody has asked for.
  [[nodiscard]] std::size_t unused() const {
    std::size_t count = 0;
    for (const auto& script : scripts_) count += script.size();
    return count;
  }

 protected:
  std::uint32_t choose(const ChoiceKey& key, std::uint32_t n) override {
    auto& script = scripts_[static_cast<std::size_t>(key.site)];
    std::uint32_t value = always_[static_cast<std::size_t>(key.site)];
    if (!script.empty()) {
      value = script.front();
      script.pop_front();
    }
    EXPECT_LT(value, n) << "a script for " << name(key.site) << " asks for what cannot be drawn";
    return std::min(value, n - 1);
  }

 private:
  std::array<std::deque<std::uint32_t>, kSiteCount> scripts_;
  std::array<std::uint32_t, kSiteCount> always_{};
};

/// A letter a sector; see above.
inline std::string sectors_of(const Media& media, std::uint64_t first, std::uint64_t count) {
  std::string text;
  for (std::uint64_t sector = first; sector < first + count; ++sector) {
    std::array<std::byte, kSectorBytes> bytes;
    std::uint64_t bad = 0;
    if (!media.read(sector * kSectorBytes, bytes, bad)) {
      EXPECT_EQ(bad, sector);
      text += '!';
    } else if (std::count(bytes.begin(), bytes.end(), bytes.front()) != kSectorBytes) {
      text += '?';
    } else {
      text += bytes.front() == std::byte{} ? '.' : static_cast<char>(bytes.front());
    }
  }
  return text;
}

inline faults::DeviceProfile profile_named(std::string_view name) {
  auto found = faults::find_profile(name);
  EXPECT_TRUE(found) << name;
  return *found;
}

struct DiskWorld final : DiskObserver {
  explicit DiskWorld(Choices& source, const faults::DeviceProfile& device = profile_named("nvme-512"),
                     const faults::FaultPlan& faults = {}, std::uint8_t depth = 0, std::uint64_t first_record = 1)
      : choices(source),
        profile(device),
        plan(faults),
        scheduler(std::make_unique<SimScheduler>(source, Span(Span(), 1, depth), trace, stacks)) {
    start(depth, first_record);
  }

  void start(std::uint8_t depth = 0, std::uint64_t first_record = 1) {
    disk.reset({.scheduler = scheduler.get(),
                .choices = &choices,
                .trace = &trace,
                .profile = &profile,
                .plan = &plan,
                .ledger = &ledger,
                .arena = &arena,
                .observer = this,
                .span = Span(Span(), 2, depth),
                .depth = depth,
                .first_record = first_record});
  }

  // DiskObserver
  void write_submitted(WriteRecord& record) override {
    record.tag = ++tags;
    submitted.push_back(&record);
  }
  void fault_injected(std::uint32_t index, const faults::InjectedFault& fault) override {
    EXPECT_EQ(index + 1, ledger.faults().size());
    told.push_back(fault.kind);
  }
  void write_memory_changed(const WriteRecord& record) override { changed.push_back(record.id); }
  void boundary() override {
    if (at_boundary) at_boundary();
  }

  std::unique_ptr<IoFile> create(const std::string& path = "f") {
    auto made = disk.create(path);
    EXPECT_TRUE(made);
    return std::move(*made);
  }
  /// A file of `sectors` durable sectors of the letter `letter`; entry durable as well.
  std::unique_ptr<IoFile> create_durable(std::uint64_t sectors, char letter, const std::string& path = "f") {
    auto file = create(path);
    EXPECT_EQ(disk.sync_directory(path), 0);
    EXPECT_EQ(write(*file, 0, sectors, letter).error, 0);
    EXPECT_EQ(file->sync(), 0);
    return file;
  }

  /// Writes `count` sectors of a letter.
  IoStatus write(IoFile& file, std::uint64_t sector, std::uint64_t count, char letter) {
    AlignedBuffer memory = *AlignedBuffer::allocate(static_cast<std::size_t>(count * kSectorBytes));
    std::memset(memory.span().data(), letter, memory.span().size());
    return run_one(file, {IoOp::write, sector * kSectorBytes, memory.span().data(), memory.span().size()});
  }
  /// Reads `count` sectors, as letters; the error instead, if there is one.
  std::string read(IoFile& file, std::uint64_t sector, std::uint64_t count) {
    AlignedBuffer memory = *AlignedBuffer::allocate(static_cast<std::size_t>(count * kSectorBytes));
    const IoStatus status =
        run_one(file, {IoOp::read, sector * kSectorBytes, memory.span().data(), memory.span().size()});
    if (status.error != 0) return "error " + std::to_string(status.error);
    std::string text;
    for (std::size_t at = 0; at < status.bytes; at += kSectorBytes) {
      const auto* bytes = memory.span().data() + at;
      const bool same = std::memcmp(bytes, bytes + 1, kSectorBytes - 1) == 0;
      text += !same ? '?' : *bytes == std::byte{} ? '.' : static_cast<char>(*bytes);
    }
    return text;
  }
  static IoStatus run_one(IoFile& file, const IoRequest& request) {
    IoStatus result{-1, 0};
    file.run({&request, 1}, [&](std::size_t index, IoStatus status) {
      EXPECT_EQ(index, 0u);
      EXPECT_EQ(result.error, -1) << "delivered twice";
      result = status;
    });
    return result;
  }

  /// Runs `body` in a fiber of its own. What tests share with their tasks nothing orders for ThreadSanitizer.
  TaskId spawn(std::function<void()> body) {
    return scheduler->spawn("task", [body = std::move(body)] {
      const HarnessScope scope;
      body();
    });
  }
  /// The same, and lets it start: what it submits first is in flight when this returns.
  TaskId background(std::function<void()> body) {
    const TaskId task = spawn(std::move(body));
    sleep(1);
    return task;
  }
  void sleep(std::uint64_t ns) {
    const Time until = scheduler->now() + Time(ns);
    while (scheduler->now() < until) (void)scheduler->park(until);
  }

  /// What a process sees and what a crash cannot take, of the first file.
  [[nodiscard]] std::string seen(std::uint64_t count, std::uint64_t first = 0) const {
    return sectors_of(disk.files().front()->current, first, count);
  }
  [[nodiscard]] std::string durable(std::uint64_t count, std::uint64_t first = 0) const {
    return sectors_of(disk.files().front()->durable, first, count);
  }
  [[nodiscard]] std::uint64_t length() const { return disk.files().front()->length / kSectorBytes; }
  [[nodiscard]] std::uint64_t durable_length() const { return disk.files().front()->durable_length / kSectorBytes; }
  /// How many faults of a kind the ledger holds.
  [[nodiscard]] long entered(faults::FaultKind kind) const {
    const auto faults = ledger.faults();
    return std::count_if(faults.begin(), faults.end(), [&](const auto& fault) { return fault.kind == kind; });
  }

  /// The power goes: what `choices` makes of this disk.
  [[nodiscard]] std::unique_ptr<DiskWorld> crash(Choices& source, std::uint64_t ordinal = 0) const {
    auto image = std::make_unique<DiskWorld>(source, profile, faults::FaultPlan{},
                                             static_cast<std::uint8_t>(disk.setup().depth + 1), disk.next_record());
    Span span(Span(), 3, ordinal);
    Crash().take(disk, image->disk, span);
    return image;
  }

  Choices& choices;
  faults::DeviceProfile profile;
  faults::FaultPlan plan;
  Trace trace{true};
  StackPool stacks;
  std::unique_ptr<SimScheduler> scheduler;
  faults::Ledger ledger;
  Arena arena;
  SimDisk disk;
  std::uint64_t tags = 0;
  std::vector<const WriteRecord*> submitted;
  std::vector<faults::FaultKind> told;
  std::vector<std::uint64_t> changed;
  std::function<void()> at_boundary;
};

}  // namespace pagedb::sim

// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "sim/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/error.h"
#include "faults/fault.h"

namespace pagedb::sim {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(EventKind::count_)> kNames = {
    "task_start",  "task_end",   "task_run",   "open",           "create",      "close",        "size",
    "resize",      "sync_begin", "sync_end",   "sync_directory", "submit_read", "submit_write", "done_read",
    "done_write",  "fault",      "crash",      "survived",       "lost",        "damaged",      "recover_begin",
    "recover_end", "page_ok",    "page_error", "verdict"};

constexpr std::uint64_t kSuperblockTag = std::uint64_t{1} << 63;
constexpr std::uint64_t kNodeTag = std::uint64_t{1} << 62;

/// A tag is what the oracle recognised in a write: an LSN, or a generation of a superblock or of an allocation node.
std::string tag_text(std::uint64_t tag) {
  if (tag == 0) return "";
  if ((tag & kSuperblockTag) != 0) return fmt::format(" superblock generation {}", tag & ~kSuperblockTag);
  if ((tag & kNodeTag) != 0) return fmt::format(" allocation node generation {}", tag & ~kNodeTag);
  return fmt::format(" lsn {}", tag);
}

/// The first file of a run is the page file; pages of 4 KiB are what people look for in it.
std::string place(std::uint64_t offset, std::uint32_t file) {
  if (file != 1) return fmt::format("byte {}", offset);
  if (offset % 4096 == 0) return fmt::format("page {} (byte {})", offset / 4096, offset);
  return fmt::format("byte {} (page {} + {})", offset, offset / 4096, offset % 4096);
}

std::string ending(const Event& event) {
  const auto error = static_cast<int>(event.b >> 32);
  if (error != 0) return fmt::format("error {} ({})", error, std::strerror(error));
  return fmt::format("{} bytes", event.b & 0xffffffffu);
}

std::string what(const Event& e) {
  switch (e.kind) {
    case EventKind::task_start:
    case EventKind::task_end:
    case EventKind::task_run:
      return fmt::format("fiber {}", e.a);
    case EventKind::open:
      return e.a == 0 ? fmt::format("{}", e.b != 0 ? "for writing" : "for reading")
                      : fmt::format("refused: {}", std::strerror(static_cast<int>(e.a)));
    case EventKind::create:
      return e.a == 0 ? "" : fmt::format("refused: {}", std::strerror(static_cast<int>(e.a)));
    case EventKind::size:
      return fmt::format("{} bytes", e.a);
    case EventKind::resize:
      if (e.c == 1) return fmt::format("length after the crash: {} bytes", e.a);
      return fmt::format("to {} bytes{}", e.a, e.b != 0 ? " refused" : "");
    case EventKind::sync_begin:
      return fmt::format("#{}", e.a);
    case EventKind::sync_end:
      return fmt::format("#{} {}", e.a, e.b == 0 ? "ok" : std::strerror(static_cast<int>(e.b)));
    case EventKind::sync_directory:
      return e.a == 0 ? "ok" : std::strerror(static_cast<int>(e.a));
    case EventKind::submit_read:
      return fmt::format("#{} {}, {} bytes", e.a, place(e.b, e.file), e.c);
    case EventKind::submit_write:
      return fmt::format("#{} {}{}", e.a, place(e.b, e.file), tag_text(e.c));
    case EventKind::done_read:
    case EventKind::done_write:
      return fmt::format("#{} {}{}", e.a, ending(e), tag_text(e.c));
    case EventKind::fault:
      if (e.a == static_cast<std::uint64_t>(faults::FaultKind::forged))
        return fmt::format("{} at {}: {}", faults::name(faults::FaultKind::forged), place(e.b, e.file), e.c);
      return fmt::format("{} at {}{}", faults::name(static_cast<faults::FaultKind>(e.a)), place(e.b, e.file),
                         e.c != 0 ? fmt::format(", caller told {}", std::strerror(static_cast<int>(e.c))) : "");
    case EventKind::crash:
      return fmt::format("branch {}", e.a);
    case EventKind::survived:
    case EventKind::lost:
      return fmt::format("{}{}", place(e.a, e.file), tag_text(e.c));
    case EventKind::damaged: {
      std::string units;
      for (unsigned i = 0; i < 8; ++i) units += (e.b >> i & 1) != 0 ? '#' : '.';
      return fmt::format("{}{}: torn, units kept {} ({} damaged)", place(e.a, e.file), tag_text(e.c), units, e.b >> 56);
    }
    case EventKind::recover_begin:
      return fmt::format("depth {}", e.a);
    case EventKind::recover_end:
      return fmt::format("{} transfers, {} bytes", e.a, e.b);
    case EventKind::page_ok:
      return fmt::format("page {}{}", e.a, tag_text(e.b));
    case EventKind::page_error:
      return fmt::format("page {} {}", e.a, pagedb::name(static_cast<ErrorCode>(e.b)));
    default:
      return fmt::format("{} {} {}", e.a, e.b, e.c);
  }
}

}  // namespace

std::string_view name(EventKind kind) noexcept {
  const auto index = static_cast<std::size_t>(kind);
  return index < kNames.size() ? kNames[index] : "?";
}

std::string to_text(const Event& event) {
  const std::string file = event.file != 0 ? fmt::format("file {} ", event.file) : "";
  return fmt::format("{:>12.3f} us  fiber {:<2} {}{:<14} {}{}", static_cast<double>(event.time_ns) / 1000.0,
                     event.fiber, std::string(static_cast<std::size_t>(event.depth) * 2, ' '), name(event.kind), file,
                     what(event));
}

std::int64_t first_difference(const std::vector<Event>& left, const std::vector<Event>& right) {
  const auto common = std::min(left.size(), right.size());
  const auto [a, b] = std::mismatch(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(common), right.begin());
  if (a != left.begin() + static_cast<std::ptrdiff_t>(common)) return a - left.begin();
  return left.size() == right.size() ? -1 : static_cast<std::int64_t>(common);
}

}  // namespace pagedb::sim

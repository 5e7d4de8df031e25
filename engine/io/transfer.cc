// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Retrying, continuing and giving up, once for single transfers and batches.
#include "engine/io/transfer.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>

#include "engine/check.h"
#include "engine/internal/retry.h"

namespace pagedb {
namespace {

bool is_interruption(int sys_errno) noexcept { return sys_errno == EINTR || sys_errno == EAGAIN; }

/// EINVAL has many causes; only a request that does break the alignment is called misaligned.
PageError explain(const IoRequest& request, const IoLimits& limits, int sys_errno) noexcept {
  PageError error = io_failure(sys_errno);
  if (sys_errno != EINVAL) return error;
  const bool aligned = request.offset % limits.offset_align == 0 && request.size % limits.offset_align == 0;
  const bool memory_aligned = reinterpret_cast<std::uintptr_t>(request.data) % limits.memory_align == 0;
  if (!aligned || !memory_aligned) {
    error.code = ErrorCode::misaligned;
    error.expected = aligned ? limits.memory_align : limits.offset_align;
  }
  return error;
}

/// A transfer under way.
struct Progress {
  std::size_t moved = 0;  // bytes that need not be moved again, a multiple of the alignment
  unsigned stalls = 0;    // calls that brought nothing

  /// Takes in what one call of run brought. Nothing: the rest must be tried again. Else how the transfer ended.
  std::optional<Result<void>> advance(const IoRequest& request, std::size_t needed, const IoLimits& limits,
                                      IoStatus status) noexcept {
    if (status.error != 0 && !is_interruption(status.error)) return failure(explain(request, limits, status.error));
    std::size_t reached = moved;
    if (status.error == 0) {
      PAGEDB_CHECK(status.bytes <= request.size - moved, "an IoFile moves no more than it was asked to");
      reached += status.bytes;
      if (reached >= needed) return Result<void>();
      const std::size_t whole = reached - reached % limits.offset_align;
      if (whole > moved) {
        moved = whole;
        return std::nullopt;
      }
    }
    if (++stalls < kTransferAttempts) return std::nullopt;
    if (status.error != 0) return failure(io_failure(status.error));
    return failure(PageError{.code = ErrorCode::short_transfer, .expected = request.size, .actual = reached});
  }

  /// What is left of `request`.
  [[nodiscard]] IoRequest rest(const IoRequest& request) const noexcept {
    return {
        .op = request.op, .offset = request.offset + moved, .data = request.data + moved, .size = request.size - moved};
  }
};

/// The transfers of a chunk that one call of run did not end. Allocates when the first comes: a batch without trouble
/// needs no scratch.
class Leftovers {
 public:
  explicit Leftovers(std::span<const IoRequest> chunk) noexcept : chunk_(chunk) {}

  /// False: there is no memory to remember it.
  bool add(std::size_t index, const Progress& progress) noexcept {
    if (entries_ == nullptr) {
      entries_.reset(new (std::nothrow) Entry[chunk_.size()]);
      rests_.reset(new (std::nothrow) IoRequest[chunk_.size()]);
    }
    if (entries_ == nullptr || rests_ == nullptr) return false;
    entries_[count_++] = {.index = index, .progress = progress};
    return true;
  }

  /// Goes on until every transfer has ended.
  void finish(IoFile& file, Scheduler& scheduler, const IoLimits& limits, TransferDone done) noexcept {
    while (count_ != 0) {
      unsigned stalls = 0;
      for (std::size_t i = 0; i < count_; ++i) {
        rests_[i] = entries_[i].progress.rest(chunk_[entries_[i].index]);
        stalls = std::max(stalls, entries_[i].progress.stalls);
      }
      if (stalls != 0) scheduler.relax(stalls - 1);
      file.run({rests_.get(), count_}, [&](std::size_t i, IoStatus status) {
        Entry& entry = entries_[i];
        const IoRequest& request = chunk_[entry.index];
        const auto end = entry.progress.advance(request, request.size, limits, status);
        entry.ended = end.has_value();
        if (end) done(entry.index, *end);
      });
      count_ = static_cast<std::size_t>(
          std::remove_if(&entries_[0], &entries_[0] + count_, [](const Entry& entry) { return entry.ended; }) -
          &entries_[0]);
    }
  }

 private:
  struct Entry {
    std::size_t index = 0;  // in the chunk
    Progress progress{};
    bool ended = false;
  };
  std::span<const IoRequest> chunk_;
  std::unique_ptr<Entry[]> entries_;
  std::unique_ptr<IoRequest[]> rests_;
  std::size_t count_ = 0;
};

IoStatus run_one(IoFile& file, const IoRequest& request) noexcept {
  IoStatus status;
  file.run({&request, 1}, [&](std::size_t, IoStatus ended) { status = ended; });
  return status;
}

/// Goes on after a first call that did not simply succeed. Apart from `transfer`, which is on the way of every page.
[[gnu::noinline]] Result<void> continue_transfer(IoFile& file, Scheduler& scheduler, const IoRequest& request,
                                                 std::size_t needed, IoStatus status) noexcept {
  Progress progress;
  while (true) {
    const unsigned stalls = progress.stalls;
    if (const auto end = progress.advance(request, needed, file.limits(), status)) return *end;
    if (progress.stalls != stalls) scheduler.relax(stalls);
    status = run_one(file, progress.rest(request));
  }
}

}  // namespace

PageError io_failure(int sys_errno) noexcept {
  const auto code = [&] {
    switch (sys_errno) {
      case ENOSPC:
      case EDQUOT:
        return ErrorCode::no_space;
      case EOPNOTSUPP:
      case ENOSYS:
        return ErrorCode::unsupported;
      case EACCES:
      case EPERM:
      case EROFS:
        return ErrorCode::permission_denied;
      case ENOMEM:
        return ErrorCode::out_of_memory;
      default:
        return ErrorCode::io_error;
    }
  }();
  return {.code = code, .sys_errno = sys_errno};
}

Result<void> transfer(IoFile& file, Scheduler& scheduler, const IoRequest& request, std::size_t needed) noexcept {
  const IoStatus status = run_one(file, request);
  if (status.error == 0 && status.bytes == request.size) [[likely]]
    return {};
  return continue_transfer(file, scheduler, request, needed, status);
}

void transfer_batch(IoFile& file, Scheduler& scheduler, std::span<const IoRequest> requests,
                    TransferDone done) noexcept {
  constexpr std::size_t kChunk =
      1024;  // bounds the scratch of a batch in trouble to 64 KiB, and is deeper than any queue
  const IoLimits limits = file.limits();
  for (std::size_t base = 0; base < requests.size(); base += kChunk) {
    const auto chunk = requests.subspan(base, std::min(kChunk, requests.size() - base));
    Leftovers left(chunk);
    file.run(chunk, [&](std::size_t i, IoStatus status) {
      Progress progress;
      const auto end = progress.advance(chunk[i], chunk[i].size, limits, status);
      if (end) return done(base + i, *end);
      if (!left.add(i, progress)) done(base + i, failure(PageError{.code = ErrorCode::out_of_memory}));
    });
    left.finish(file, scheduler, limits, [&](std::size_t i, const Result<void>& result) { done(base + i, result); });
  }
}

Result<void> sync_file(IoFile& file, Scheduler& scheduler) noexcept {
  const int error = retry_interrupted(scheduler, [&] { return file.sync(); });
  if (error != 0) return failure(io_failure(error));
  return {};
}

}  // namespace pagedb

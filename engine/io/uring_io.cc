// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// UringIo: files that lend rings to those who run requests on them.
#include "engine/io/uring_io.h"

#include <atomic>
#include <cerrno>
#include <mutex>
#include <new>
#include <utility>

#include "engine/check.h"
#include "engine/internal/uring_ring.h"

namespace pagedb {

// What a backend's files share with it.
struct detail::UringShared {
  UringIoOptions options;
  const System& system;
  std::atomic<unsigned> rings{0};
  std::atomic<unsigned> rings_with_file{0};
  std::atomic<unsigned> rings_with_memory{0};
};

namespace {

using detail::UringShared;

// A ring in its file's list, counted while it lives.
class ListedRing {
 public:
  ListedRing(UringShared& shared, std::unique_ptr<UringRing> ring, int fd) noexcept
      : shared_(shared),
        ring_(std::move(ring)),
        has_file_(shared.options.register_file && ring_->register_file(fd)),
        has_memory_(ring_->register_region(shared.options.registered_memory)) {
    count(1u);
  }
  ~ListedRing() { count(-1u); }
  ListedRing(const ListedRing&) = delete;
  ListedRing& operator=(const ListedRing&) = delete;

  [[nodiscard]] UringRing& ring() noexcept { return *ring_; }

  ListedRing* next = nullptr;

 private:
  void count(unsigned change) noexcept {
    shared_.rings.fetch_add(change, std::memory_order_relaxed);
    if (has_file_) shared_.rings_with_file.fetch_add(change, std::memory_order_relaxed);
    if (has_memory_) shared_.rings_with_memory.fetch_add(change, std::memory_order_relaxed);
  }

  UringShared& shared_;
  std::unique_ptr<UringRing> ring_;
  bool has_file_;
  bool has_memory_;
};

class UringFile final : public PosixFile {
 public:
  UringFile(UringShared& shared, OpenedFile opened) noexcept : PosixFile(std::move(opened)), shared_(shared) {}
  ~UringFile() override {
    while (idle_ != nullptr) delete std::exchange(idle_, idle_->next);
  }

  [[nodiscard]] IoLimits limits() const noexcept override {
    IoLimits limits = PosixFile::limits();
    limits.queue_depth = shared_.options.queue_depth;
    return limits;
  }

  void run(std::span<const IoRequest> requests, IoDone done) noexcept override {
    ListedRing* ring = requests.size() > 1 ? borrow() : nullptr;
    if (ring == nullptr) return PosixFile::run(requests, done);
    if (ring->ring().run(*this, requests, done)) ring = keep(ring);
    delete ring;
  }

 private:
  // This thread's idle ring, or a new one, or null when none can be had.
  ListedRing* borrow() noexcept {
    const pid_t thread = shared_.system.thread_id();
    {
      const std::lock_guard guard(mutex_);
      for (ListedRing** at = &idle_; *at != nullptr; at = &(*at)->next) {
        if (!(*at)->ring().belongs_to(thread)) continue;
        --idle_count_;
        return std::exchange(*at, (*at)->next);
      }
    }
    IoResult<std::unique_ptr<UringRing>> ring = UringRing::create(shared_.system, shared_.options.queue_depth);
    if (!ring) return nullptr;
    return new (std::nothrow) ListedRing(shared_, std::move(*ring), descriptor().fd());
  }

  // Puts `ring` back in front. Returns the ring that is now one too many, the one used longest ago, or null.
  ListedRing* keep(ListedRing* ring) noexcept {
    const std::lock_guard guard(mutex_);
    ring->next = std::exchange(idle_, ring);
    if (++idle_count_ <= shared_.options.rings_kept_max) return nullptr;
    --idle_count_;
    ListedRing** last = &idle_;
    while ((*last)->next != nullptr) last = &(*last)->next;
    return std::exchange(*last, nullptr);
  }

  UringShared& shared_;
  std::mutex mutex_;            // guards the list, for a few instructions; never held across I/O
  ListedRing* idle_ = nullptr;  // used last first
  unsigned idle_count_ = 0;
};

}  // namespace

UringIo::UringIo(std::unique_ptr<UringShared> shared) noexcept : shared_(std::move(shared)) {}

UringIo::~UringIo() = default;

IoResult<std::unique_ptr<UringIo>> UringIo::make(const UringIoOptions& options, const System& system) noexcept {
  PAGEDB_CHECK(options.queue_depth >= 1 && options.queue_depth <= 4096, "queue_depth is 1 to 4096");
  PAGEDB_CHECK(options.rings_kept_max >= 1, "a file keeps at least one ring");
  const IoResult<std::unique_ptr<UringRing>> first = UringRing::create(system, options.queue_depth);
  if (!first) return tl::unexpected<int>(first.error());
  std::unique_ptr<UringShared> shared(new (std::nothrow) UringShared{options, system});
  if (!shared) return tl::unexpected<int>(ENOMEM);
  std::unique_ptr<UringIo> backend(new (std::nothrow) UringIo(std::move(shared)));
  if (!backend) return tl::unexpected<int>(ENOMEM);
  return backend;
}

IoResult<std::unique_ptr<IoFile>> UringIo::to_file(OpenedFile opened) noexcept {
  std::unique_ptr<IoFile> file(new (std::nothrow) UringFile(*shared_, std::move(opened)));
  if (!file) return tl::unexpected<int>(ENOMEM);
  return file;
}

IoResult<std::unique_ptr<IoFile>> UringIo::open(const std::string& path, Access access) noexcept {
  IoResult<OpenedFile> opened = open_file(shared_->system, shared_->options.caching, path.c_str(), access);
  return opened ? to_file(std::move(*opened)) : tl::unexpected<int>(opened.error());
}

IoResult<std::unique_ptr<IoFile>> UringIo::create(const std::string& path) noexcept {
  IoResult<OpenedFile> created = create_file(shared_->system, shared_->options.caching, path.c_str());
  if (!created) return tl::unexpected<int>(created.error());
  IoResult<std::unique_ptr<IoFile>> file = to_file(std::move(*created));
  if (!file) shared_->system.unlink(path.c_str());
  return file;
}

int UringIo::sync_directory(const std::string& path) noexcept { return sync_parent_directory(shared_->system, path); }

UringFacts UringIo::facts() const noexcept {
  return {shared_->rings.load(std::memory_order_relaxed), shared_->rings_with_file.load(std::memory_order_relaxed),
          shared_->rings_with_memory.load(std::memory_order_relaxed)};
}

}  // namespace pagedb

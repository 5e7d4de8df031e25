// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Peer: the pool that one writes first. A mutex, an unordered_map, a pin count under the mutex.
#include <mutex>
#include <unordered_map>

#include "tools/benchmarks/measure.h"
#include "tools/benchmarks/pool/peers.h"

namespace pagedb::bench {
namespace {

class MutexMap final : public Peer {
 public:
  explicit MutexMap(std::span<std::byte* const> pages) {
    map_.reserve(pages.size());
    for (std::uint64_t id = 0; id < pages.size(); ++id) map_.emplace(id, Frame{pages[id]});
  }

  std::uint64_t visit(std::span<const std::uint32_t> ids, std::size_t offset) override {
    std::uint64_t seen = 0;
    for (const std::uint32_t id : ids) {
      Frame* frame = pin(id);
      seen ^= read_64(frame->page + offset);
      unpin(frame);
    }
    return seen;
  }

  std::uint64_t hold(std::uint32_t id, std::uint64_t count) override {
    for (; count > 0; --count) unpin(pin(id));
    return 0;
  }

 private:
  struct Frame {
    std::byte* page;
    std::uint32_t pins = 0;
  };
  Frame* pin(std::uint64_t id) {
    const std::scoped_lock lock(mutex_);
    Frame& frame = map_.find(id)->second;
    ++frame.pins;
    return &frame;
  }
  void unpin(Frame* frame) {
    const std::scoped_lock lock(mutex_);
    --frame->pins;
  }

  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Frame> map_;
};

}  // namespace

std::unique_ptr<Peer> make_mutex_map(std::span<std::byte* const> pages) { return std::make_unique<MutexMap>(pages); }

}  // namespace pagedb::bench

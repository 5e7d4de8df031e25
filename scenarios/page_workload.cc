// SPDX-License-Identifier: Apache-2.0 OR MIT
#include "scenarios/page_workload.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "engine/aligned_buffer.h"
#include "engine/check.h"
#include "sim/sanitizer.h"

namespace pagedb::scenarios {
namespace {

enum SpanKind : std::uint32_t { kFiber = 201, kOperation };

constexpr unsigned kOpenAttempts = 8;

FileId file_id(Host& host) {
  FileId id;
  const sim::StateHash bits = sim::hash_term(host.span().id(), 0xf11e, 1);
  std::memcpy(id.data(), &bits, sizeof bits);
  return id;
}

const PageError* error_of(const Result<void>& result) { return result ? nullptr : &result.error(); }

/// One fiber's share of the workload.
class Client {
 public:
  Client(Host& host, Subject& file, const WorkloadShape& shape, std::uint32_t number, std::uint32_t round,
         std::uint32_t& ios_left)
      : host_(host),
        file_(file),
        shape_(shape),
        span_(host.span(), kFiber, std::uint64_t{round} << 32 | number),
        ios_left_(ios_left) {
    for (std::size_t page = number; page < host.oracle().pages().size(); page += shape.fibers) own_.push_back(page);
    auto memory = AlignedBuffer::allocate(std::size_t{shape.batch_max} * page_bytes());
    PAGEDB_CHECK(memory.has_value(), "the harness needs memory for a batch");
    memory_ = std::move(*memory);
  }

  void run() {
    for (std::uint64_t operation = 0; ios_left_ != 0 && !host_.over() && !file_.poisoned(); ++operation) {
      sim::Span own(span_, kOperation, operation);
      sim::Choices& choices = host_.choices();
      const std::uint32_t kind = choices.draw(own, sim::Site::op_kind, 64);  // 0: stop
      if (kind == 0) return;
      host_.operation_begins();
      if (kind < 28) {
        write(own);
      } else if (kind < 38) {
        write_batch(own);
      } else if (kind < 46) {
        read(own);
      } else if (kind < 50) {
        read_batch(own);
      } else if (kind < 58) {
        sync();
      } else {
        const std::uint32_t pause_us = choices.draw(own, sim::Site::think_time, 1000);
        host_.scheduler().park(host_.scheduler().now() + std::chrono::microseconds(pause_us + 1));
      }
    }
  }

 private:
  [[nodiscard]] std::uint32_t page_bytes() const { return host_.oracle().page_size().bytes(); }
  [[nodiscard]] std::span<std::byte> buffer(std::size_t index) {
    return memory_.span().subspan(index * page_bytes(), page_bytes());
  }
  [[nodiscard]] PageId id(std::size_t page) const { return host_.oracle().pages()[page]; }
  [[nodiscard]] std::size_t draw_page(sim::Span& span) {
    return own_[host_.choices().draw(span, sim::Site::op_page, static_cast<std::uint32_t>(own_.size()))];
  }

  void write(sim::Span& span) {
    --ios_left_;
    const std::size_t page = draw_page(span);
    const std::uint64_t lsn = host_.oracle().intend(page, buffer(0));
    const Result<void> result = file_.write(id(page), buffer(0));
    host_.oracle().returned(lsn, result.has_value());
    host_.judge_write(page, error_of(result));
  }

  void read(sim::Span& span) {
    --ios_left_;
    const std::size_t page = draw_page(span);
    const Result<PageHeader> result = file_.read(id(page), buffer(0));
    host_.judge_read(page, result ? nullptr : &result.error(), buffer(0));
    if (!result) return;
    std::uint64_t lsn;
    std::memcpy(&lsn, buffer(0).data() + 16, sizeof lsn);
    if (result->lsn != lsn) host_.violation(Invariant::integrity, "read returned a header that is not the page's");
  }

  /// Distinct own pages, neighbours in the file, in `batch_`.
  std::size_t draw_batch(sim::Span& span) {
    const auto most = std::min({std::size_t{shape_.batch_max}, own_.size(), std::size_t{ios_left_}});
    const std::size_t count = 1 + host_.choices().draw(span, sim::Site::op_size, static_cast<std::uint32_t>(most));
    const std::size_t first = host_.choices().draw(span, sim::Site::op_page, static_cast<std::uint32_t>(own_.size()));
    batch_.clear();
    batch_pages_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      batch_pages_.push_back(own_[(first + i) % own_.size()]);
      batch_.push_back({.id = id(batch_pages_.back()), .page = buffer(i)});
    }
    ios_left_ -= static_cast<std::uint32_t>(count);
    return count;
  }

  void write_batch(sim::Span& span) {
    const std::size_t count = draw_batch(span);
    lsns_.clear();
    for (std::size_t i = 0; i < count; ++i) lsns_.push_back(host_.oracle().intend(batch_pages_[i], buffer(i)));
    const Result<void> result = file_.write_batch(batch_);
    bool all = true;
    for (std::size_t i = 0; i < count; ++i) {
      host_.oracle().returned(lsns_[i], batch_[i].result.has_value());
      host_.judge_write(batch_pages_[i], error_of(batch_[i].result));
      all &= batch_[i].result.has_value();
    }
    if (result.has_value() != all)
      host_.violation(Invariant::typed_errors, "write_batch and its entries disagree on whether all is well");
  }

  void read_batch(sim::Span& span) {
    const std::size_t count = draw_batch(span);
    const Result<void> result = file_.read_batch(batch_);
    bool all = true;
    for (std::size_t i = 0; i < count; ++i) {
      host_.judge_read(batch_pages_[i], error_of(batch_[i].result), buffer(i));
      all &= batch_[i].result.has_value();
    }
    if (result.has_value() != all)
      host_.violation(Invariant::typed_errors, "read_batch and its entries disagree on whether all is well");
  }

  void sync() {
    const SyncTicket ticket = host_.oracle().sync_begins();
    const Result<void> result = file_.sync();
    if (result) host_.oracle().sync_succeeded(ticket);
    host_.judge_sync(error_of(result), file_.poisoned());
  }

  Host& host_;
  Subject& file_;
  const WorkloadShape& shape_;
  sim::Span span_;
  std::uint32_t& ios_left_;
  std::vector<std::size_t> own_;
  AlignedBuffer memory_;
  std::vector<PageIo> batch_;
  std::vector<std::size_t> batch_pages_;
  std::vector<std::uint64_t> lsns_;
};

}  // namespace

std::vector<PageId> workload_pages(PageSize page_size, std::size_t count) {
  const std::uint64_t twin = (std::uint64_t{1} << 20) >> page_size.shift();
  const std::uint64_t below = std::min<std::uint64_t>(count * 7 / 8, twin - 1);
  std::vector<PageId> pages;
  for (std::uint64_t id = 1; id <= below; ++id) pages.push_back({id});
  for (std::uint64_t id = twin + 1; pages.size() < count; ++id) pages.push_back({id});
  return pages;
}

std::unique_ptr<Subject> create_page_file(Host& host) {
  host.operation_begins();
  auto created =
      host.engine().create(host.scheduler(), host.backend(), host.path(), host.oracle().page_size(), file_id(host));
  const bool again = host.judge_open(created ? nullptr : &created.error(), true, false);
  if (created) {
    host.oracle().created();
    return std::move(*created);
  }
  if (!again) return nullptr;
  // What the documentation tells a user to do: an interrupted create is finished by opening.
  auto opened = reopen_page_file(host);
  if (opened) host.oracle().created();
  return opened;
}

std::unique_ptr<Subject> reopen_page_file(Host& host) {
  for (unsigned attempt = 0; attempt < kOpenAttempts && !host.over(); ++attempt) {
    host.operation_begins();
    auto opened = host.engine().open(host.scheduler(), host.backend(), host.path(),
                                     {.page_size = host.oracle().page_size(), .file_id = file_id(host)});
    const bool again = host.judge_open(opened ? nullptr : &opened.error(), false,
                                       opened && (*opened)->open_report().interrupted_create);
    if (opened) return std::move(*opened);
    if (!again) return nullptr;
  }
  return nullptr;
}

void run_page_workload(Host& host, const WorkloadShape& shape) {
  std::uint32_t ios_left = shape.ios_max;
  std::unique_ptr<Subject> file = create_page_file(host);
  for (std::uint32_t round = 0; file != nullptr && round < shape.rounds_max && !host.over(); ++round) {
    if (round != 0) {
      file.reset();
      file = reopen_page_file(host);
      if (file == nullptr) return;
    }
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<TaskId> tasks;
    for (std::uint32_t number = 0; number < shape.fibers; ++number) {
      clients.push_back(std::make_unique<Client>(host, *file, shape, number, round, ios_left));
      tasks.push_back(host.scheduler().spawn("client " + std::to_string(number), [client = clients.back().get()] {
        const sim::HarnessScope scope;
        client->run();
      }));
    }
    for (const TaskId task : tasks) host.scheduler().join(task);
    if (!file->poisoned()) return;
  }
}

}  // namespace pagedb::scenarios

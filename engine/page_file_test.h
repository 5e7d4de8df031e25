// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the tests of PageFile share: a scratch folder, a table of system calls that fails on demand, and looking at
// files from outside.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/io/direct_io.h"
#include "engine/io/system.h"
#include "engine/page_file.h"
#include "engine/superblock.h"

namespace pagedb::testing_support {

/// A scheduler for tests with one thread: nothing ever waits.
class IdleScheduler : public Scheduler {
 public:
  TaskId current() noexcept override { return {1}; }
  bool park(Time) noexcept override { return true; }
  void unpark(TaskId) noexcept override {}
  TaskId spawn(std::string_view, std::function<void()>) override { return {}; }
  void join(TaskId) noexcept override {}
  Time now() noexcept override { return {}; }
  void relax(unsigned) noexcept override {}
};

/// The operating system, except where a test says otherwise: a hook that returns a value answers in the kernel's place.
class FaultySystem final : public System {
 public:
  using Answer = std::optional<ssize_t>;

  int open(const char* path, int flags, mode_t mode) const noexcept override {
    const Answer answer = on_open ? on_open(path, flags) : std::nullopt;
    return answer ? static_cast<int>(*answer) : System::open(path, flags, mode);
  }
  ssize_t pread(int fd, std::byte* data, std::size_t size, off_t offset) const noexcept override {
    const Answer answer = on_read ? on_read(offset, size) : std::nullopt;
    return answer ? *answer : System::pread(fd, data, size, offset);
  }
  ssize_t pwrite(int fd, const std::byte* data, std::size_t size, off_t offset) const noexcept override {
    const Answer answer = on_write ? on_write(offset, size) : std::nullopt;
    return answer ? *answer : System::pwrite(fd, data, size, offset);
  }
  int fdatasync(int fd) const noexcept override {
    ++syncs;
    const Answer answer = on_sync ? on_sync() : std::nullopt;
    return answer ? static_cast<int>(*answer) : System::fdatasync(fd);
  }
  int fsync(int fd) const noexcept override {
    const Answer answer = on_fsync ? on_fsync() : std::nullopt;
    return answer ? static_cast<int>(*answer) : System::fsync(fd);
  }
  int ftruncate(int fd, off_t bytes) const noexcept override {
    const Answer answer = on_truncate ? on_truncate(bytes) : std::nullopt;
    return answer ? static_cast<int>(*answer) : System::ftruncate(fd, bytes);
  }

  std::function<Answer(const char* path, int flags)> on_open;
  std::function<Answer(off_t offset, std::size_t size)> on_read;
  std::function<Answer(off_t offset, std::size_t size)> on_write;
  std::function<Answer()> on_sync;
  std::function<Answer()> on_fsync;
  std::function<Answer(off_t bytes)> on_truncate;
  mutable int syncs = 0;
};

/// What can be told of a file from outside. Equal before and after: nothing touched it.
struct Snapshot {
  std::string bytes;
  std::int64_t modified_s = 0;
  std::int64_t modified_ns = 0;

  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

class PageFileTest : public testing::TestWithParam<Caching> {
 protected:
  static constexpr FileId kId{std::byte{0xA1}, std::byte{0xB2}, std::byte{0xC3}, std::byte{0xD4}, std::byte{5}};

  PageFileTest() {
    std::array<char, 32> name{"page_file_test.XXXXXX"};
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name.data();
    path_ = folder_ + "/pages";
  }
  ~PageFileTest() override { std::filesystem::remove_all(folder_); }

  static PageSize size_of(std::uint64_t bytes) { return *PageSize::of(bytes); }

  Result<std::unique_ptr<PageFile>> create(std::uint64_t page_bytes = 4096) {
    return PageFile::create(scheduler_, backend_, path_, size_of(page_bytes), kId);
  }
  Result<std::unique_ptr<PageFile>> open(const OpenOptions& options = {}) {
    return PageFile::open(scheduler_, backend_, path_, options);
  }

  /// Opens, and expects that it works.
  std::unique_ptr<PageFile> opened(const OpenOptions& options = {}) {
    auto file = open(options);
    EXPECT_TRUE(file) << file.error().message();
    return file ? std::move(*file) : nullptr;
  }
  /// Creates, and expects that it works.
  std::unique_ptr<PageFile> created(std::uint64_t page_bytes = 4096) {
    auto file = create(page_bytes);
    EXPECT_TRUE(file) << file.error().message();
    return file ? std::move(*file) : nullptr;
  }

  /// Expects that open refuses with `code` and that the file stays as it is. Returns the error.
  PageError expect_refused(ErrorCode code, const OpenOptions& options = {}) {
    const Snapshot before = snapshot();
    const auto file = open(options);
    EXPECT_EQ(snapshot(), before) << "a refused file was changed";
    if (file) {
      ADD_FAILURE() << "opened; expected " << name(code);
      return {};
    }
    EXPECT_EQ(name(file.error().code), name(code)) << file.error().message();
    return file.error();
  }

  /// A buffer for one page, whose payload tells page and version.
  static AlignedBuffer page_with(std::uint64_t page_bytes, std::uint64_t id, std::uint64_t version) {
    auto buffer = AlignedBuffer::allocate(page_bytes);
    EXPECT_TRUE(buffer);
    const auto body = payload(buffer->span());
    for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<std::byte>(id * 7 + version * 13 + i);
    set_page_lsn(buffer->span(), Lsn{version});
    return std::move(*buffer);
  }
  static Result<void> write_version(PageFile& file, std::uint64_t id, std::uint64_t version) {
    AlignedBuffer page = page_with(file.page_size().bytes(), id, version);
    return file.write(PageId{id}, page.span());
  }
  /// The version of page `id` in the file; its payload must be right.
  static Result<std::uint64_t> read_version(PageFile& file, std::uint64_t id) {
    auto page = AlignedBuffer::allocate(file.page_size().bytes());
    EXPECT_TRUE(page);
    const auto header = file.read(PageId{id}, page->span());
    if (!header) return failure(header.error());
    const AlignedBuffer expected = page_with(file.page_size().bytes(), id, header->lsn);
    EXPECT_TRUE(std::ranges::equal(payload(page->span()), payload(expected.span()))) << "page " << id;
    return header->lsn;
  }
  static ErrorCode read_error(PageFile& file, std::uint64_t id) {
    const auto version = read_version(file, id);
    EXPECT_FALSE(version) << "page " << id << " was read";
    return version ? ErrorCode{} : version.error().code;
  }

  /// The file as bytes.
  std::string bytes() const {
    std::string content(std::filesystem::file_size(path_), '\0');
    std::ifstream in(path_, std::ios::binary);
    in.read(content.data(), static_cast<std::streamsize>(content.size()));
    EXPECT_EQ(in.gcount(), static_cast<std::streamsize>(content.size()));
    return content;
  }
  void put_bytes(std::string_view content) const {
    std::ofstream out(path_, std::ios::binary | std::ios::trunc);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
  }
  /// Overwrites a part of the file.
  void poke(std::uint64_t offset, std::string_view content) const {
    std::fstream out(path_, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(offset));
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
  }
  Snapshot snapshot() const {
    struct stat facts{};
    EXPECT_EQ(stat(path_.c_str(), &facts), 0);
    return {bytes(), facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec};
  }
  /// A sealed page of a 1.x file.
  static std::string headerless_page(std::uint64_t page_bytes, std::uint64_t id, std::uint64_t version = 1) {
    AlignedBuffer page = page_with(page_bytes, id, version);
    seal(page.span(), {.id = PageId{id}});
    return {reinterpret_cast<const char*>(page.data()), page.size()};
  }
  static std::string headerless_file(std::uint64_t page_bytes, std::uint64_t pages) {
    std::string content;
    for (std::uint64_t id = 0; id < pages; ++id) content += headerless_page(page_bytes, id);
    return content;
  }

  /// A superblock page as it stands in `slot`.
  static std::string superblock(SuperblockSlot slot, std::uint64_t generation, std::uint64_t page_bytes = 4096,
                                const FileId& id = kId, Lsn redo_from = {}) {
    std::vector<std::byte> page(page_bytes);
    encode_superblock(
        {.page_size = size_of(page_bytes), .file_id = id, .generation = generation, .redo_from = redo_from}, slot,
        page);
    return {reinterpret_cast<const char*>(page.data()), page.size()};
  }
  std::string slot_bytes(SuperblockSlot slot, std::uint64_t page_bytes = 4096) const {
    return bytes().substr(slot_offset(slot), page_bytes);
  }
  /// Changes a byte of a superblock page and makes its checksum hold again.
  static std::string forged(std::string page, std::size_t at, char value) {
    page[at] = value;
    const std::uint32_t crc = page_crc(std::as_bytes(std::span(page)));
    std::memcpy(page.data() + offsetof(PageHeader, crc32c), &crc, sizeof crc);
    return page;
  }

  const OpenOptions kReadOnly{.access = Access::read_only};
  const OpenOptions kFinish{.page_size = size_of(4096), .file_id = kId};
  static OpenOptions legacy(std::uint64_t page_bytes) { return {.page_size = size_of(page_bytes), .legacy = true}; }

  std::string folder_;
  std::string path_;
  IdleScheduler scheduler_;
  FaultySystem system_;
  DirectIo backend_{{.caching = GetParam()}, system_};
};

inline std::string caching_name(const testing::TestParamInfo<Caching>& info) {
  return info.param == Caching::direct ? "direct" : "buffered";
}

}  // namespace pagedb::testing_support

// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// DirectIo: hands out PosixFiles.
#include "engine/io/direct_io.h"

#include <cerrno>
#include <new>
#include <utility>

namespace pagedb {
namespace {

IoResult<std::unique_ptr<IoFile>> to_file(OpenedFile opened) noexcept {
  std::unique_ptr<IoFile> file(new (std::nothrow) PosixFile(std::move(opened)));
  if (!file) return tl::unexpected<int>(ENOMEM);
  return file;
}

}  // namespace

IoResult<std::unique_ptr<IoFile>> DirectIo::open(const std::string& path, Access access) noexcept {
  IoResult<OpenedFile> opened = open_file(system_, options_.caching, path.c_str(), access);
  return opened ? to_file(std::move(*opened)) : tl::unexpected<int>(opened.error());
}

IoResult<std::unique_ptr<IoFile>> DirectIo::create(const std::string& path) noexcept {
  IoResult<OpenedFile> created = create_file(system_, options_.caching, path.c_str());
  if (!created) return tl::unexpected<int>(created.error());
  IoResult<std::unique_ptr<IoFile>> file = to_file(std::move(*created));
  if (!file) system_.unlink(path.c_str());
  return file;
}

int DirectIo::sync_directory(const std::string& path) noexcept { return sync_parent_directory(system_, path); }

}  // namespace pagedb

// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Seal and verify: the pair of checks around every transfer of a page.
#include "engine/page.h"

#include <algorithm>
#include <cstring>

#include "engine/check.h"
#include "engine/internal/all_zero.h"
#include "engine/internal/page_crc.h"

namespace pagedb {
namespace {

void write_header(std::span<std::byte> page, const PageHeader& header) noexcept {
  std::memcpy(page.data(), &header, sizeof header);
}

}  // namespace

PageHeader read_header(std::span<const std::byte> page) noexcept {
  PAGEDB_CHECK(page.size() >= kPageHeaderBytes, "a page has at least a header");
  PageHeader header;
  std::memcpy(&header, page.data(), sizeof header);
  return header;
}

Lsn page_lsn(std::span<const std::byte> page) noexcept { return Lsn{read_header(page).lsn}; }

void set_page_lsn(std::span<std::byte> page, Lsn lsn) noexcept {
  PageHeader header = read_header(page);
  header.lsn = lsn.value;
  write_header(page, header);
}

std::uint32_t page_crc(std::span<const std::byte> page) noexcept {
  PAGEDB_CHECK(page.size() >= kPageHeaderBytes, "a page has at least a header");
  static const bool one_pass = detail::page_crc_has_one_pass();
  return one_pass && PageSize::of(page.size()) ? detail::page_crc_in_one_pass(page) : detail::page_crc_in_pieces(page);
}

void seal(std::span<std::byte> page, const PageIdentity& identity, std::uint16_t extra_flags) noexcept {
  PAGEDB_CHECK(PageSize::of(page.size()).has_value(), "a page has a valid page size");
  PageHeader header = read_header(page);
  header.magic = kPageMagic;
  header.version = kPageVersion;
  header.flags = static_cast<std::uint16_t>(extra_flags | (identity.has_file_tag ? page_flags::kFileTag : 0));
  header.page_id = identity.id.value;
  header.reserved = identity.has_file_tag ? identity.file_tag : 0;
  write_header(page, header);
  header.crc32c = page_crc(page);
  write_header(page, header);
}

Result<PageHeader> verify(std::span<const std::byte> page, PageSize size, const PageIdentity& identity) noexcept {
  const auto wrong = [&](PageError error) { return failure(error.about(identity.id)); };
  if (page.size() != size.bytes())
    return wrong({.code = ErrorCode::bad_length, .expected = size.bytes(), .actual = page.size()});

  const PageHeader header = read_header(page);
  if (header.magic != kPageMagic) {
    return wrong({.code = detail::all_zero(page) ? ErrorCode::never_written : ErrorCode::bad_magic});
  }
  if (header.version != kPageVersion)
    return wrong({.code = ErrorCode::bad_version, .expected = kPageVersion, .actual = header.version});

  const std::uint32_t crc = page_crc(page);
  if (header.crc32c != crc)
    return wrong({.code = ErrorCode::bad_checksum, .stored_crc = header.crc32c, .computed_crc = crc});

  if (header.page_id != identity.id.value) {
    return wrong({.code = ErrorCode::wrong_page_id, .expected = identity.id.value, .actual = header.page_id});
  }
  // An untagged page in a file with an identity is as foreign as a tagged page in a file without one.
  const bool tagged = (header.flags & page_flags::kFileTag) != 0;
  if (tagged != identity.has_file_tag || (tagged && header.reserved != identity.file_tag)) {
    return wrong(
        {.code = ErrorCode::wrong_file, .expected = identity.file_tag, .actual = tagged ? header.reserved : 0u});
  }
  return header;
}

}  // namespace pagedb

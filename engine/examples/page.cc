// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: seal a page before writing it, verify it after reading it, and see what damage and a misdirected write look
// like.
#include "engine/page.h"

#include <algorithm>
#include <cstdio>

#include "engine/aligned_buffer.h"

int main() {
  const auto size = pagedb::PageSize::of(8192);  // nothing, unless a power of two from 4 KiB to 1 MiB
  if (!size || size->shift() != 13) return 1;
  auto buffer = pagedb::AlignedBuffer::allocate(size->bytes());
  if (!buffer) return 1;
  const std::span<std::byte> page = buffer->span();

  // The payload and the LSN are the caller's; seal completes the header around them.
  std::ranges::fill(pagedb::payload(page), std::byte{0x42});
  pagedb::set_page_lsn(page, pagedb::Lsn{1000});
  const pagedb::PageIdentity identity{.id = pagedb::PageId{7}, .file_tag = 0xC0FFEE, .has_file_tag = true};
  pagedb::seal(page, identity);
  if (pagedb::page_lsn(page) != pagedb::Lsn{1000}) return 1;

  const auto header = pagedb::verify(page, *size, identity);
  if (!header || (header->flags & pagedb::page_flags::kFileTag) == 0 || header->crc32c != pagedb::page_crc(page))
    return 1;
  std::printf("page %llu verifies\n", static_cast<unsigned long long>(header->page_id));

  // The same bytes found in another place.
  const auto misplaced =
      pagedb::verify(page, *size, {.id = pagedb::PageId{8}, .file_tag = 0xC0FFEE, .has_file_tag = true});
  if (misplaced || misplaced.error().code != pagedb::ErrorCode::wrong_page_id) return 1;
  std::printf("%s\n", misplaced.error().message().c_str());

  // One bit changes. The header can still be looked at, but nothing in it may be believed.
  page[5000] ^= std::byte{1};
  const auto rotten = pagedb::verify(page, *size, identity);
  if (rotten || rotten.error().code != pagedb::ErrorCode::bad_checksum) return 1;
  std::printf("%s\n", rotten.error().message().c_str());
  return pagedb::read_header(page).magic == pagedb::kPageMagic ? 0 : 1;
}

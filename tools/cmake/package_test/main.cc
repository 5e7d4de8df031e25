// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A user's program: seals a page and verifies it. Shows that the headers are found and the library links.
#include <array>
#include <cstddef>
#include <cstdio>

#include "engine/page.h"

int main() {
  alignas(4096) std::array<std::byte, 4096> page{};
  const pagedb::PageIdentity identity{.id = pagedb::PageId{7}};
  pagedb::seal(page, identity);
  const auto header = pagedb::verify(page, pagedb::PageSize{}, identity);
  if (!header || header->page_id != 7) return 1;
  std::puts("page 7 verifies");
  return 0;
}

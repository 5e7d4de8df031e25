// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Example: returning errors, acting on their codes, telling people about them, and checking a contract.
#include <cerrno>
#include <cstdio>

#include "engine/check.h"
#include "engine/error.h"

namespace {

// A function of the caller's own, in the engine's manner.
pagedb::Result<int> slot_of(int entry) {
  PAGEDB_CHECK(entry >= 0, "entries are numbered from 0");  // a programmer error aborts, in every build
  if (entry > 9) {
    return pagedb::failure(
        pagedb::PageError{.code = pagedb::ErrorCode::no_space, .sys_errno = ENOSPC}.about(pagedb::PageId{3}));
  }
  return entry * 2;
}

}  // namespace

int main() {
  const auto good = slot_of(4);
  if (!good || *good != 8) return 1;

  const auto bad = slot_of(10);
  if (bad) return 1;
  switch (bad.error().code) {
    case pagedb::ErrorCode::no_space:  // the code is for programs, the message for people
      std::printf("%.*s: %s\n", static_cast<int>(pagedb::name(bad.error().code).size()),
                  pagedb::name(bad.error().code).data(), bad.error().message().c_str());
      return bad.error().has_page && bad.error().page == pagedb::PageId{3} ? 0 : 1;
    default:
      return 1;
  }
}

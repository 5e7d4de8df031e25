// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Names and messages of errors.
#include "engine/error.h"

#include <system_error>

namespace pagedb {
namespace {

std::string hex(std::uint32_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = "0x00000000";
  for (std::size_t i = 0; i < 8; ++i) text[9 - i] = kDigits[(value >> (4 * i)) & 0xf];
  return text;
}

std::string number(std::uint64_t value) { return std::to_string(value); }

std::string bytes_of(const PageError& e) { return number(e.actual) + " of " + number(e.expected) + " bytes"; }

/// What is wrong and what can be done, without the page and errno that every message shares.
std::string describe(const PageError& e) {
  switch (e.code) {
    case ErrorCode::io_error:
      return "the device failed a request";
    case ErrorCode::no_space:
      return "the device or quota is full; make room and try again";
    case ErrorCode::short_transfer:
      return "the device kept moving fewer bytes than asked (" + bytes_of(e) + ")";
    case ErrorCode::misaligned:
      return "memory, offset or length is not a multiple of " + number(e.expected) +
             " as the device asks; use AlignedBuffer";
    case ErrorCode::out_of_memory:
      return "no memory for buffers";
    case ErrorCode::unsupported:
      return "the kernel or file system refuses this way of doing I/O; use another backend, or its buffered option";
    case ErrorCode::not_found:
      return "no such file";
    case ErrorCode::already_exists:
      return "the file exists already; open it, or choose another path";
    case ErrorCode::not_a_regular_file:
      return "the path names no regular file";
    case ErrorCode::permission_denied:
      return "the operating system forbids the access";
    case ErrorCode::locked:
      return "another opener holds the file for writing; close that one first, or open read_only";
    case ErrorCode::read_only:
      return "the file is open for reading only";
    case ErrorCode::poisoned:
      return "an earlier sync failed, so nothing more is promised; close the file, open it again and recover";
    case ErrorCode::bad_length:
      return "fewer bytes than a page (" + bytes_of(e) + ")";
    case ErrorCode::never_written:
      return "the page is all zero: it was never written, or the write was lost";
    case ErrorCode::bad_magic:
      return "the page does not start with the page magic";
    case ErrorCode::bad_version:
      return "page format version " + number(e.actual) + " is not one that this library reads";
    case ErrorCode::bad_checksum:
      return "checksum differs (stored " + hex(e.stored_crc) + ", computed " + hex(e.computed_crc) +
             "): torn or rotten; restore the page from a log image or a backup";
    case ErrorCode::wrong_page_id:
      return "the page says that it is page " + number(e.actual) + ": a misdirected write or read";
    case ErrorCode::wrong_file:
      return "the page belongs to another file (identity " + hex(static_cast<std::uint32_t>(e.actual)) + ", not " +
             hex(static_cast<std::uint32_t>(e.expected)) + ")";
    case ErrorCode::beyond_end:
      return "past the end of the file, which has " + number(e.actual) + " pages";
    case ErrorCode::page_id_overflow:
      return "no file offset can express that page number";
    case ErrorCode::reserved_page:
      return "the page is kept for the file's own metadata";
    case ErrorCode::not_allocated:
      return "the page is free already, or was never allocated";
    case ErrorCode::no_free_page:
      return (e.expected == 0 ? std::string("no page") : "no run of " + number(e.expected) + " pages") +
             " before page " + number(e.actual) + " is free; free some, or raise the limit";
    case ErrorCode::pool_exhausted:
      return "all " + number(e.actual) +
             " frames of the buffer pool are held; release a guard, or make the pool larger";
    case ErrorCode::not_a_page_file:
      return "not a page file; it was left as it is";
    case ErrorCode::headerless_file:
      return e.actual == 0 ? std::string(
                                 "a 1.x file without superblock, with damaged pages in front; open it with `legacy` "
                                 "and its page size")
                           : "a 1.x file without superblock; open it with `legacy` and page size " + number(e.actual);
    case ErrorCode::not_headerless:
      return "the file has a superblock and pages of " + number(e.actual) + " bytes; open it without `legacy`";
    case ErrorCode::wrong_page_size:
      return "the file's pages have " + number(e.actual) + " bytes, not " + number(e.expected);
    case ErrorCode::superblock_damaged:
      return "a page file whose superblocks contradict each other or do not verify; it was left as it is, restore it "
             "from a backup";
    case ErrorCode::unknown_format:
      return "file format version " + number(e.actual) + " is not one that this library knows; use a newer library";
    case ErrorCode::no_allocation:
      return "the file has no allocation state of that kind";
    case ErrorCode::allocation_damaged:
      return "the metadata that says which pages are in use does not verify; it was left as it is";
  }
  return "unknown error";
}

}  // namespace

std::string_view name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::io_error:
      return "io_error";
    case ErrorCode::no_space:
      return "no_space";
    case ErrorCode::short_transfer:
      return "short_transfer";
    case ErrorCode::misaligned:
      return "misaligned";
    case ErrorCode::out_of_memory:
      return "out_of_memory";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::already_exists:
      return "already_exists";
    case ErrorCode::not_a_regular_file:
      return "not_a_regular_file";
    case ErrorCode::permission_denied:
      return "permission_denied";
    case ErrorCode::locked:
      return "locked";
    case ErrorCode::read_only:
      return "read_only";
    case ErrorCode::poisoned:
      return "poisoned";
    case ErrorCode::bad_length:
      return "bad_length";
    case ErrorCode::never_written:
      return "never_written";
    case ErrorCode::bad_magic:
      return "bad_magic";
    case ErrorCode::bad_version:
      return "bad_version";
    case ErrorCode::bad_checksum:
      return "bad_checksum";
    case ErrorCode::wrong_page_id:
      return "wrong_page_id";
    case ErrorCode::wrong_file:
      return "wrong_file";
    case ErrorCode::beyond_end:
      return "beyond_end";
    case ErrorCode::page_id_overflow:
      return "page_id_overflow";
    case ErrorCode::reserved_page:
      return "reserved_page";
    case ErrorCode::not_allocated:
      return "not_allocated";
    case ErrorCode::pool_exhausted:
      return "pool_exhausted";
    case ErrorCode::no_free_page:
      return "no_free_page";
    case ErrorCode::not_a_page_file:
      return "not_a_page_file";
    case ErrorCode::headerless_file:
      return "headerless_file";
    case ErrorCode::not_headerless:
      return "not_headerless";
    case ErrorCode::wrong_page_size:
      return "wrong_page_size";
    case ErrorCode::superblock_damaged:
      return "superblock_damaged";
    case ErrorCode::unknown_format:
      return "unknown_format";
    case ErrorCode::no_allocation:
      return "no_allocation";
    case ErrorCode::allocation_damaged:
      return "allocation_damaged";
  }
  return "unknown";
}

std::string PageError::message() const {
  std::string text = has_page ? "page " + number(page.value) + ": " : std::string();
  text += describe(*this);
  if (sys_errno != 0) text += " [" + std::system_category().message(sys_errno) + "]";
  return text;
}

}  // namespace pagedb

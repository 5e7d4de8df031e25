// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Hostile text into the reader of recorded logs (.choices files): refused with one line, or read so that writing it
// again gives the same log.
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/check.h"
#include "sim/choices.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pagedb::fuzz::require;
  namespace sim = pagedb::sim;
  const std::string_view text =
      size == 0 ? std::string_view{} : std::string_view(reinterpret_cast<const char*>(data), size);
  std::vector<sim::RecordedChoice> log;
  std::string error;
  if (!sim::from_text(text, log, error)) {
    require(!error.empty() && error.find('\n') == std::string::npos, "a refusal that is not one line");
    return 0;
  }
  const std::string written = sim::to_text(log);
  std::vector<sim::RecordedChoice> again;
  require(sim::from_text(written, again, error), "what to_text wrote is refused");
  require(again.size() == log.size(), "writing and reading changed the number of choices");
  for (std::size_t i = 0; i < log.size(); ++i) {
    require(again[i].key == log[i].key && again[i].n == log[i].n && again[i].value == log[i].value,
            "writing and reading changed a choice");
    require(log[i].value < log[i].n, "a choice out of its range was accepted");
  }
  require(sim::to_text(again) == written, "the written form is not stable");
  return 0;
}

// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Decisions: the same key gives the same answer whatever else is drawn, on every compiler; logs replay strictly;
// hostile text is refused.
#include "sim/choices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace pagedb::sim {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kMany = 1'000'000;

std::vector<std::uint32_t> draws(Choices& choices, Span span, Site site, std::uint32_t n, int count) {
  std::vector<std::uint32_t> values;
  for (int i = 0; i < count; ++i) values.push_back(choices.draw(span, site, n));
  return values;
}

TEST(Span, TellsParentsKindsAndOrdinalsApart) {
  std::set<std::uint64_t> ids;
  const Span root;
  for (std::uint32_t kind = 0; kind < 20; ++kind) {
    for (std::uint64_t ordinal = 0; ordinal < 500; ++ordinal) {
      const Span child(root, kind, ordinal);
      ids.insert(child.id());
      ids.insert(Span(child, kind, ordinal).id());
    }
  }
  EXPECT_EQ(ids.size(), 20u * 500u * 2u);
}

TEST(Span, ASiblingsIdDoesNotDependOnTheOthers) {
  // Deleting the operation before this one must leave this one's keys, and so its decisions, alone.
  PrngChoices choices(7);
  const Span root;
  std::map<int, std::vector<std::uint32_t>> all;
  for (int operation = 0; operation < 5; ++operation) {
    all[operation] = draws(choices, Span(root, 1, static_cast<std::uint64_t>(operation)), Site::op_page, kMany, 8);
  }
  for (const int operation : {0, 3, 4}) {
    EXPECT_EQ(draws(choices, Span(root, 1, static_cast<std::uint64_t>(operation)), Site::op_page, kMany, 8),
              all[operation]);
  }
}

TEST(PrngChoices, SameSeedSameDecisionsOtherSeedOthers) {
  PrngChoices one(1);
  PrngChoices again(1);
  PrngChoices two(2);
  const auto expected = draws(one, Span(), Site::op_kind, kMany, 100);
  EXPECT_EQ(draws(again, Span(), Site::op_kind, kMany, 100), expected);
  EXPECT_NE(draws(two, Span(), Site::op_kind, kMany, 100), expected);
  PrngChoices high(1 + (std::uint64_t{1} << 32));
  EXPECT_NE(draws(high, Span(), Site::op_kind, kMany, 100), expected);
}

TEST(PrngChoices, ANewDrawAtOneKeyDoesNotChangeTheOthers) {
  PrngChoices choices(42);
  Span plain;
  Span crowded;
  for (int i = 0; i < 100; ++i) {
    (void)choices.draw(crowded, Site::io_latency, kMany);
    if (i % 3 == 0) (void)choices.draw(crowded, Site::io_fault, kMany);
    const std::uint32_t with = choices.draw(crowded, Site::op_value, kMany);
    const std::uint32_t without = choices.draw(plain, Site::op_value, kMany);
    EXPECT_EQ(with, without);
  }
}

TEST(PrngChoices, SitesAndOccurrencesAreIndependent) {
  PrngChoices choices(3);
  std::set<std::vector<std::uint32_t>> streams;
  for (std::size_t site = 0; site < kSiteCount; ++site) {
    streams.insert(draws(choices, Span(), static_cast<Site>(site), kMany, 4));
  }
  EXPECT_EQ(streams.size(), kSiteCount);
}

TEST(PrngChoices, CoversItsRangeEvenly) {
  PrngChoices choices(11);
  Span span;
  std::array<int, 10> hits{};
  for (int i = 0; i < 100'000; ++i) ++hits[choices.draw(span, Site::plan, 10)];
  for (const int count : hits) EXPECT_NEAR(count, 10'000, 500);  // five standard deviations
}

TEST(PrngChoices, GoldenDecisions) {
  // Pinned: recorded seeds of old campaigns must replay the same for ever.
  PrngChoices choices(0x0123456789abcdef);
  std::uint64_t hash = 0xcbf29ce484222325u;
  Span root;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    Span child(root, i % 7, i);
    Span& span = i % 3 == 0 ? root : child;
    const std::uint32_t value = choices.draw(span, static_cast<Site>(i % kSiteCount), 2 + i * 429'000);
    hash = (hash ^ value) * 0x100000001b3u;
  }
  EXPECT_EQ(hash, 0x8730e11e6e0cb888u);
}

TEST(Choices, OneOutcomeIsNoDecision) {
  PrngChoices source(1);
  RecordingChoices choices(source);
  Span span;
  EXPECT_EQ(choices.draw(span, Site::op_kind, 1), 0u);
  EXPECT_FALSE(choices.chance(span, Site::op_kind, 0, 10));
  EXPECT_TRUE(choices.log().empty());
  const std::uint32_t value = choices.draw(span, Site::op_kind, 5);
  ASSERT_EQ(choices.log().size(), 1u);
  EXPECT_EQ(choices.log()[0].key.occurrence, 0u);
  EXPECT_EQ(choices.log()[0].value, value);
}

TEST(Choices, ChanceIsFalseAtZeroAndOftenEnough) {
  const std::vector<std::uint8_t> zeros(4, 0);
  ByteChoices simplest(zeros);
  Span span;
  EXPECT_FALSE(simplest.chance(span, Site::io_fault, 99, 100));
  PrngChoices choices(5);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) hits += choices.chance(span, Site::io_fault, 1, 4) ? 1 : 0;
  EXPECT_NEAR(hits, 2'500, 200);
}

std::vector<RecordedChoice> recorded_run() {
  PrngChoices source(9);
  RecordingChoices choices(source);
  Span root;
  Span child(root, 2, 5);
  (void)choices.draw(root, Site::plan, 100);
  (void)choices.draw(child, Site::op_kind, 6);
  (void)choices.draw(child, Site::op_kind, 6);
  return choices.log();
}

TEST(ReplayChoices, GivesTheLogBack) {
  const auto log = recorded_run();
  ReplayChoices choices(log);
  Span root;
  Span child(root, 2, 5);
  EXPECT_EQ(choices.draw(root, Site::plan, 100), log[0].value);
  EXPECT_EQ(choices.draw(child, Site::op_kind, 6), log[1].value);
  EXPECT_EQ(choices.draw(child, Site::op_kind, 6), log[2].value);
  choices.finish();
  EXPECT_EQ(choices.mismatch(), "");
}

TEST(ReplayChoices, NamesTheFirstDifferenceAndGoesOnWithZeros) {
  const auto log = recorded_run();
  ReplayChoices choices(log);
  Span root;
  (void)choices.draw(root, Site::plan, 100);
  EXPECT_EQ(choices.draw(root, Site::io_fault, 3), 0u);
  EXPECT_EQ(choices.mismatch(),
            "decision 1: the log has op_kind number 0 of span d945e77a9608d8ef among 6, "
            "the run asks for io_fault number 0 of span 9e3779b97f4a7c15 among 3");
  const std::string first = choices.mismatch();
  EXPECT_EQ(choices.draw(root, Site::op_size, kMany), 0u);
  choices.finish();
  EXPECT_EQ(choices.mismatch(), first);
}

TEST(ReplayChoices, ADifferentRangeIsADifference) {
  ReplayChoices choices(recorded_run());
  Span root;
  EXPECT_EQ(choices.draw(root, Site::plan, 99), 0u);
  EXPECT_THAT(choices.mismatch(), HasSubstr("among 100, the run asks for plan number 0"));
}

TEST(ReplayChoices, AnOccurrenceOffByOneIsADifference) {
  ReplayChoices choices({{{Span().id(), 1, Site::plan}, 10, 4}});
  Span root;
  EXPECT_EQ(choices.draw(root, Site::plan, 10), 0u);
  EXPECT_THAT(choices.mismatch(), HasSubstr("decision 0: the log has plan number 1"));
}

TEST(ReplayChoices, AValueOutsideItsRangeIsADifference) {
  ReplayChoices choices({{{Span().id(), 0, Site::plan}, 10, 10}});
  Span root;
  EXPECT_EQ(choices.draw(root, Site::plan, 10), 0u);
  EXPECT_THAT(choices.mismatch(), HasSubstr("with 10"));
}

TEST(ReplayChoices, MissingAndUnusedEntriesAreDifferences) {
  ReplayChoices empty({});
  Span root;
  EXPECT_EQ(empty.draw(root, Site::plan, 100), 0u);
  EXPECT_THAT(empty.mismatch(), HasSubstr("decision 0: the log has ended"));
  ReplayChoices unused(recorded_run());
  EXPECT_EQ(unused.mismatch(), "");
  unused.finish();
  EXPECT_THAT(unused.mismatch(), HasSubstr("decision 0: the run has ended, the log goes on with plan"));
}

TEST(ByteChoices, TakesTheFewestBytes) {
  const std::vector<std::uint8_t> bytes = {200, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 3};
  ByteChoices choices(bytes);
  Span span;
  EXPECT_EQ(choices.draw(span, Site::plan, 256), 200u);
  EXPECT_EQ(choices.draw(span, Site::plan, 257), 0x1234u % 257);
  EXPECT_EQ(choices.draw(span, Site::plan, 65537), 0x12345678u % 65537);
  EXPECT_EQ(choices.draw(span, Site::plan, 2), 1u);
  EXPECT_EQ(choices.draw(span, Site::plan, kMany), 0u);
}

TEST(ByteChoices, MissingBytesReadAsZero) {
  const std::vector<std::uint8_t> bytes = {7};
  ByteChoices choices(bytes);
  Span span;
  EXPECT_EQ(choices.draw(span, Site::plan, kMany), 7u);
  EXPECT_EQ(choices.draw(span, Site::plan, 2), 0u);
}

TEST(ChoicesText, RoundTrips) {
  const auto log = recorded_run();
  const std::string text = to_text(log);
  std::vector<RecordedChoice> back;
  std::string error;
  ASSERT_TRUE(from_text(text, back, error)) << error;
  ASSERT_EQ(back.size(), log.size());
  for (std::size_t i = 0; i < log.size(); ++i) {
    EXPECT_EQ(back[i].key, log[i].key);
    EXPECT_EQ(back[i].n, log[i].n);
    EXPECT_EQ(back[i].value, log[i].value);
  }
  EXPECT_EQ(to_text(back), text);
}

TEST(ChoicesText, RoundTripsEverySiteAndTheExtremes) {
  std::vector<RecordedChoice> log;
  for (std::size_t site = 0; site < kSiteCount; ++site) {
    log.push_back({{~std::uint64_t{0}, ~std::uint32_t{0}, static_cast<Site>(site)}, ~std::uint32_t{0}, 0xfffffffe});
    log.push_back({{0, 0, static_cast<Site>(site)}, 2, 0});
  }
  std::vector<RecordedChoice> back;
  std::string error;
  ASSERT_TRUE(from_text(to_text(log), back, error)) << error;
  EXPECT_EQ(to_text(back), to_text(log));
  EXPECT_EQ(back.size(), log.size());
}

TEST(ChoicesText, EmptyTextIsAnEmptyLogAndTheLastLineEndIsOptional) {
  std::vector<RecordedChoice> log = recorded_run();
  std::string error = "old";
  EXPECT_TRUE(from_text("", log, error));
  EXPECT_TRUE(log.empty());
  EXPECT_EQ(error, "");
  EXPECT_TRUE(from_text("0f plan 0 2 1", log, error));
  EXPECT_EQ(log.size(), 1u);
}

TEST(ChoicesText, HostileLinesAreRefusedWithTheirNumber) {
  struct Case {
    std::string line;
    std::string says;
  };
  const std::vector<Case> cases = {
      {"", "is not 'span site occurrence n value'"},
      {"0f plan 0 2", "is not 'span site occurrence n value'"},
      {"0f plan 0 2 1 ", "is not 'span site occurrence n value'"},
      {"0f plan 0 2  ", "is not 'span site occurrence n value'"},
      {"0f  plan 0 2", "there is no site ''"},
      {" plan 0 2 1", "span '' is not"},
      {"0x0f plan 0 2 1", "span '0x0f'"},
      {"-1 plan 0 2 1", "span '-1'"},
      {"10000000000000000 plan 0 2 1", "span '10000000000000000'"},
      {"0f Plan 0 2 1", "there is no site 'Plan'"},
      {"0f plan 4294967296 2 1", "occurrence '4294967296'"},
      {"0f plan -1 2 1", "occurrence '-1'"},
      {"0f plan 0 1 0", "n '1'"},
      {"0f plan 0 0 0", "n '0'"},
      {"0f plan 0 2 2", "value '2' is not a number below n, 2"},
      {"0f plan 0 2 1\r", "value '1?'"},
      {std::string("0f pl\0n 0 2 1", 13), "there is no site 'pl?n'"},
      {"0f " + std::string(100'000, 'x') + " 0 2 1", "there is no site 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'"},
      {std::string(100'000, ' '), "five fields"},
  };
  for (const Case& hostile : cases) {
    std::vector<RecordedChoice> log = recorded_run();
    std::string error;
    EXPECT_FALSE(from_text("0f plan 0 2 1\n" + hostile.line + "\n0f plan 1 2 1\n", log, error));
    EXPECT_THAT(error, testing::StartsWith("line 2: "));
    EXPECT_THAT(error, HasSubstr(hostile.says));
    EXPECT_LT(error.size(), 200u);
    EXPECT_TRUE(log.empty());
  }
}

TEST(ChoicesText, AnyByteChangeIsReadOrRefusedNeverMisread) {
  // What is accepted must be canonical up to leading zeros: writing it again and reading that gives the same log.
  const std::string text = to_text(recorded_run());
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = text;
      changed[i] = static_cast<char>(byte);
      std::vector<RecordedChoice> log;
      std::string error;
      if (!from_text(changed, log, error)) {
        EXPECT_FALSE(error.empty());
        continue;
      }
      std::vector<RecordedChoice> again;
      ASSERT_TRUE(from_text(to_text(log), again, error)) << error;
      EXPECT_EQ(to_text(again), to_text(log));
      for (const RecordedChoice& choice : log) EXPECT_LT(choice.value, choice.n);
    }
  }
}

TEST(Site, EveryNameIsItsOwn) {
  std::set<std::string_view> names;
  for (std::size_t site = 0; site < kSiteCount; ++site) names.insert(name(static_cast<Site>(site)));
  EXPECT_EQ(names.size(), kSiteCount);
  EXPECT_EQ(name(Site::next_fiber), "next_fiber");
  EXPECT_EQ(name(Site::plan), "plan");
}

}  // namespace
}  // namespace pagedb::sim

// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Test helper: how alloc_exhaustive_test.h does what it says; for its one user to include.
#pragma once

#include "engine/aligned_buffer.h"
#include "scenarios/alloc_exhaustive_test.h"

namespace pagedb::scenarios::testing_support {

inline void ExhaustiveLevel::write_submitted(sim::WriteRecord& record) { owner.note_write(*this, record); }

inline void ExhaustiveLevel::boundary() {
  // A recovery that has written nothing leaves what it found.
  if (crashing && !owner.over() && (depth == 0 || wrote)) owner.crash(*this);
}

inline void Exhaustive::fail(const std::string& what) {
  if (over()) return;
  std::string steps;
  for (const Step step : sequence_) steps += fmt::format(", {}", kStepNames[static_cast<std::size_t>(step)]);
  failure_ = fmt::format("{}: {}", reach_.profile, steps.empty() ? "no operations" : steps.substr(2));
  for (std::size_t depth = 0; depth < kNestedMax && levels_[depth + 1].crash != nullptr; ++depth) {
    const ExhaustiveLevel& crashed = levels_[depth];
    const ExhaustiveLevel& made = levels_[depth + 1];
    failure_ += fmt::format("\ncrash at boundary {} of {}", crashed.boundaries,
                            depth == 0 ? "the last operation" : "the recovery");
    for (const sim::PendingWrite& write : crashed.disk.file(path_)->pending)
      failure_ += fmt::format(", page {} pending", write.record->offset / 4096);
    failure_ += ", by these decisions:\n" + to_text(std::span(made.crash->log()).first(made.crash_decisions));
  }
  failure_ += "\n" + what;
}

inline void Exhaustive::start(ExhaustiveLevel& level, sim::Choices& choices, std::uint64_t first_record) {
  level.close();
  level.arena.clear();
  level.ledger.clear();
  level.crashing = level.wrote = false;
  level.boundaries = 0;
  level.last_crashed.reset();
  if (level.scheduler == nullptr || level.used) {
    level.trace = sim::Trace();
    level.scheduler = std::make_unique<sim::SimScheduler>(zeros_, sim::Span(sim::Span(), kScheduler, level.depth),
                                                          level.trace, stacks_, sim::SimLimits{}, level.depth);
    level.scheduler->on_stall([this, &level](sim::Stall) {
      level.disk.seal();
      fail("the engine is stuck");
    });
    level.used = false;
  }
  level.disk.reset({.scheduler = level.scheduler.get(),
                    .choices = &choices,
                    .trace = &level.trace,
                    .profile = &profile_,
                    .plan = &level.plan,
                    .ledger = &level.ledger,
                    .arena = &level.arena,
                    .observer = &level,
                    .span = sim::Span(sim::Span(), kDisk, level.depth),
                    .depth = level.depth,
                    .first_record = first_record});
}

// ---- the sequence

inline void Exhaustive::one_sequence() {
  ExhaustiveLevel& trunk = levels_[0];
  sequence_.clear();
  begin();
  if (over()) return;
  sequence_ = draw_sequence();
  ++totals_.sequences;
  std::vector<Step> before;
  trunk.crashing = !reach_.reduced;
  for (std::size_t i = 0; i < sequence_.size() && !over(); ++i) {
    const bool last = i + 1 == sequence_.size();
    if (last) {
      trunk.crashing = true;
      trunk.boundaries = 0;
      trunk.last_crashed.reset();
      totals_.syncs += sequence_[i] == Step::sync || sequence_[i] == Step::shrink;
      if (traces_.at(before) != trunk.trace.hash()) fail("the same operations did something else than before");
    }
    perform(sequence_[i]);
    before.push_back(sequence_[i]);
    if (!last && !reach_.reduced) crash(trunk);
  }
  trunk.crashing = false;
  traces_[sequence_] = trunk.trace.hash();
  if (!over()) crash(trunk);
}

inline void Exhaustive::begin() {
  ExhaustiveLevel& trunk = levels_[0];
  blocks_.clear();
  digests_.clear();
  start(trunk, zeros_, 1);
  trunk.used = true;
  trunk.restart({}, {});  // while it is created, and for as long as it has no map
  auto created = engine_.create(*trunk.scheduler, trunk.disk, path_, PageSize(), FileId{std::byte{7}});
  if (!created) return fail("create: " + created.error().message());
  trunk.file = std::move(*created);
  if (!open(trunk, false)) return;
  if (prepare_) prepare_(*this);
}

inline std::vector<Step> Exhaustive::draw_sequence() {
  std::vector<Step> sequence;
  std::uint64_t pages = owned().size();
  sim::Span span;
  while (sequence.size() < reach_.steps) {
    std::vector<Step> possible = {Step::sync, Step::allocate, Step::allocate_near, Step::allocate_run, Step::shrink};
    if (pages >= 1) possible.push_back(Step::free_first);
    if (pages >= 2) possible.push_back(Step::free_last);  // with one page it is the first
    const auto count = static_cast<std::uint32_t>(possible.size());
    const std::uint32_t drawn = sequences_.draw(span, sim::Site::op_kind, count + 1);  // 0: no more
    if (drawn == 0) break;
    sequence.push_back(possible[drawn - 1]);
    if (sequence.back() == Step::allocate || sequence.back() == Step::allocate_near) ++pages;
    if (sequence.back() == Step::allocate_run) pages += kRun;
    if (sequence.back() == Step::free_first || sequence.back() == Step::free_last) --pages;
  }
  return sequence;
}

inline void Exhaustive::perform(Step step) {
  if (over()) return;
  ExhaustiveLevel& trunk = levels_[0];
  switch (step) {
    case Step::allocate:
      return allocated(1, trunk.allocator->allocate());
    case Step::allocate_near:
      return allocated(1, trunk.allocator->allocate_near(PageId{kNear}));
    case Step::allocate_run:
      return allocate_run(kRun);
    case Step::free_first:
      return free({owned().ranges().front().begin, owned().ranges().front().begin + 1});
    case Step::free_last:
      return free({owned().ranges().back().end - 1, owned().ranges().back().end});
    case Step::sync:
    case Step::shrink:
      return make_durable(trunk, step == Step::shrink);
  }
}

inline void Exhaustive::allocate_run(std::uint64_t count) {
  if (!over()) allocated(count, levels_[0].allocator->allocate_run(count));
}

inline void Exhaustive::allocated(std::uint64_t count, const Result<PageId>& first) {
  AllocationOracle& oracle = levels_[0].oracle;
  if (over()) return;
  if (!first) return fail("allocate: " + first.error().message());
  const std::size_t operation = oracle.allocate_begins(count);
  expect(oracle.allocated(operation, first->value, oracle.acknowledged()));
}

inline void Exhaustive::free(PageRange pages) {
  ExhaustiveLevel& trunk = levels_[0];
  const std::size_t operation = trunk.oracle.free_begins(pages);
  for (std::uint64_t page = pages.begin; page < pages.end && !over(); ++page) {
    const Result<void> done = trunk.allocator->free(PageId{page});
    if (!done) fail("free: " + done.error().message());
  }
  trunk.oracle.freed(operation, !over());
}

inline void Exhaustive::make_durable(ExhaustiveLevel& level, bool shrink) {
  level.committing = level.oracle.owned();
  const std::size_t sync = level.oracle.sync_begins();
  const Result<void> done = shrink ? level.allocator->shrink_to_fit() : level.allocator->sync();
  if (over()) return;
  level.oracle.sync_ended(sync, done.has_value());
  if (!done) return fail((shrink ? "shrink_to_fit: " : "sync: ") + done.error().message());
  level.durable = *level.committing;
  level.committing.reset();
  const std::uint64_t end = level.durable.ranges().empty() ? 0 : level.durable.ranges().back().end;
  if (shrink && level.allocator->high_water().value != end)
    fail(fmt::format("high water is {} after a shrink, and {} is the end of what is in use",
                     level.allocator->high_water().value, end));
}

inline void Exhaustive::reopen() {
  if (over()) return;
  ExhaustiveLevel& trunk = levels_[0];
  trunk.close();
  const sim::FileState& file = *trunk.disk.file(path_);
  const Found found = find(file);
  if (!found.superblock) return fail("no superblock is left");
  expect(trunk.oracle.reopened(*found.superblock, read_map(*found.superblock, file.current, file.length)));
  if (!over()) static_cast<void>(open(trunk, false));
}

inline void Exhaustive::write(PageId page) {
  if (over()) return;
  auto memory = AlignedBuffer::allocate(4096);
  if (!memory) return fail("the harness needs memory for a page");
  const Result<void> done = levels_[0].file->write(page, memory->span());
  if (!done) fail("write: " + done.error().message());
}

// ---- the crash

inline sim::OdometerOptions Exhaustive::crash_options() const {
  using sim::Site;
  sim::OdometerOptions options{.sites = {Site::crash_mode, Site::request_fate, Site::unit_fate, Site::length_fate},
                               .runs_max = kRunsMax};
  if (!reach_.reduced) return options;
  options.representatives = {{Site::crash_mode, 8, {7}}, {Site::unit_fate, 16, {0, 7}}};
  auto& fates = options.representatives.back().values;
  if (profile_.crash_garbles) fates.push_back(14);
  if (profile_.crash_unreadable) fates.push_back(15);
  return options;
}

inline void Exhaustive::crash(ExhaustiveLevel& origin) {
  const sim::HarnessScope scope;
  CrashTotals& totals = totals_of(origin);
  ++totals.boundaries;
  ++origin.boundaries;
  const sim::StateHash before = origin.before_crash();
  if (reach_.reduced && origin.last_crashed == before) {
    ++totals.boundaries_equal;
    totals.outcomes += origin.last_outcomes;
    totals.outcomes_equal += origin.last_outcomes;
    return;
  }
  const sim::StateHash obligations = origin.obligations();
  ExhaustiveLevel& level = levels_[origin.depth + 1u];
  sim::OdometerChoices choices(crash_options());
  level.crash = &choices;
  do {
    start(level, choices, origin.disk.next_record());
    sim::Span span(sim::Span(), kCrash + origin.depth, origin.boundaries);
    crash_.take(origin.disk, level.disk, span);
    level.crash_decisions = choices.log().size();
    ++totals.outcomes;
    const sim::StateHash left = contents(level);
    if (!reach_.reduced) check_contents(level, left);
    const sim::StateHash state = chain(left, obligations.low, obligations.high);
    if (!seen_.insert(state)) continue;
    ++totals.states;
    totals_.all ^= state;
    recover(origin, level);
  } while (!over() && choices.next());
  if (!over() && !choices.complete()) fail(choices.statement());
  level.crash = nullptr;
  origin.last_crashed = before;
  origin.last_outcomes = choices.runs();
}

inline void Exhaustive::note_write(ExhaustiveLevel& level, sim::WriteRecord& record) {
  level.wrote = true;
  std::array<std::uint64_t, 8>& sectors = digests_.emplace_back();
  for (std::uint32_t at = 0; at < record.size; at += sim::kSectorBytes) {
    const std::span<const std::byte> sector(record.bytes + at, sim::kSectorBytes);
    if (!all_zero(sector)) sectors.at(at / sim::kSectorBytes) = sim::digest(sector);
    const std::uint64_t block = (record.offset + at) / sim::kBlockBytes;
    const auto place = std::lower_bound(blocks_.begin(), blocks_.end(), block);
    if (place == blocks_.end() || *place != block) blocks_.insert(place, block);
  }
  record.tag = digests_.size();

  if (record.offset != kSuperblockOffsets[0] && record.offset != kSuperblockOffsets[1]) return;
  std::copy_n(record.bytes, page_.size(), page_.begin());
  const auto superblock = decode_superblock_page(page_, record.offset);
  if (!superblock || !level.oracle.is_new(*superblock)) return;
  const sim::FileState& file = *level.disk.file(path_);
  const ReferenceAllocation& map = read_map(*superblock, file.current, file.length);
  level.remember(*superblock, map);
  expect(level.oracle.submitted(*superblock, map));
}

inline sim::StateHash Exhaustive::contents(const ExhaustiveLevel& level) const {
  sim::StateHash hash;
  for (const auto& file : level.disk.files()) {
    hash = chain(hash, file->missing ? 0 : 1, file->durable_length);
    if (file->missing) continue;
    for (const std::uint64_t index : blocks_) {
      const sim::Block& block = file->durable.block(index);
      for (std::uint32_t i = 0; i < sim::kSectorsPerBlock; ++i) {
        const std::uint64_t sector = index * sim::kSectorsPerBlock + i;
        if ((block.damaged >> i & 1) != 0) {  // what stood there cannot be told any more
          const sim::Damage harm = file->durable.damage(sector);
          const bool garbage = harm.kind == sim::DamageKind::garbage;
          hash ^= sim::hash_term(sector, static_cast<std::uint64_t>(harm.kind), garbage ? harm.noise + 1 : 0);
        } else if (const sim::WriteRecord* record = block.sector[i]) {
          const std::uint64_t within = sector - record->offset / sim::kSectorBytes;
          if (const std::uint64_t digest = digests_[record->tag - 1][within]; digest != 0)
            hash ^= sim::hash_term(sector, digest, 0);
        }
      }
    }
  }
  return hash;
}

/// Without reduction: the hash and what a reader sees of the medium belong to each other, one to one.
inline void Exhaustive::check_contents(const ExhaustiveLevel& level, const sim::StateHash& hash) {
  std::vector<std::uint64_t> seen;
  std::array<std::byte, sim::kSectorBytes> bytes;
  std::uint64_t bad_sector = 0;
  for (const auto& file : level.disk.files()) {
    seen.push_back(file->missing ? ~std::uint64_t{0} : file->durable_length);
    for (std::size_t i = 0; i < blocks_.size() * sim::kSectorsPerBlock && !file->missing; ++i) {
      const std::uint64_t sector =
          blocks_[i / sim::kSectorsPerBlock] * sim::kSectorsPerBlock + i % sim::kSectorsPerBlock;
      const bool readable = file->durable.read(sector * sim::kSectorBytes, bytes, bad_sector);
      if (readable && all_zero(bytes)) continue;
      seen.insert(seen.end(), {sector, readable ? sim::digest(bytes) : 0});
    }
  }
  const auto medium = media_.try_emplace(std::move(seen), hash).first;
  const auto known = hashes_.try_emplace({hash.low, hash.high}, &*medium).first;
  if (medium->second != hash) fail("one medium has two hashes");
  if (known->second != &*medium) fail("two media have one hash");
}

// ---- what it left

inline Exhaustive::Found Exhaustive::find(const sim::FileState& file) {
  Found found;
  std::uint64_t bad_sector = 0;
  for (const std::uint64_t offset : kSuperblockOffsets) {
    if (offset + page_.size() > file.durable_length) continue;
    if (!file.durable.read(offset, page_, bad_sector)) {
      found.unreadable = true;
      continue;
    }
    const auto superblock = decode_superblock_page(page_, offset);
    if (!superblock || (found.superblock && superblock->generation <= found.superblock->generation)) continue;
    found.superblock = superblock;
  }
  return found;
}

inline const ReferenceAllocation& Exhaustive::read_map(const ReferenceSuperblock& superblock, const sim::Media& media,
                                                       std::uint64_t length) {
  return reader_.read(superblock, [&](std::uint64_t id, std::span<std::byte> to) {
    if (id >= length / to.size()) return PageRead::past_end;
    std::uint64_t bad_sector = 0;
    return media.read(id * to.size(), to, bad_sector) ? PageRead::ok : PageRead::unreadable;
  });
}

inline void Exhaustive::recover(const ExhaustiveLevel& origin, ExhaustiveLevel& level) {
  level.used = true;
  const std::size_t digests = digests_.size();
  const sim::FileState* const file = level.disk.file(path_);
  if (file == nullptr) return fail("the crash took the file");
  const Found found = find(*file);
  if (!found.superblock) return fail("the crash left no superblock");
  const ReferenceAllocation map = read_map(*found.superblock, file->durable, file->durable_length);
  if (const std::string wrong = judge(origin, *found.superblock, map); !wrong.empty()) return fail(wrong);
  level.restart(*found.superblock, map);
  level.crashing = reach_.recoveries && level.depth < kNestedMax;
  level.opening_from = &origin;
  const bool opened = open(level, found.unreadable);
  level.opening_from = nullptr;
  if (opened) {
    compare(level, map);
    use(level);
    if (level.crashing && !over()) crash(level);
  }
  level.crashing = false;
  level.close();
  digests_.resize(digests);
}

inline std::string Exhaustive::judge(const ExhaustiveLevel& origin, const ReferenceSuperblock& superblock,
                                     const ReferenceAllocation& map) const {
  const Verdict verdict = origin.oracle.judge_found(superblock, map, false);
  const PageSet pages(map.allocated);
  std::string wrong;
  if (verdict.kind == Verdict::Kind::broken) {
    wrong = verdict.message;
  } else if (pages != origin.durable && pages != origin.committing) {
    wrong = fmt::format("the crash left in use {}; durable was {}, under way {}", in_words(pages),
                        in_words(origin.durable), origin.committing ? in_words(*origin.committing) : "no sync");
  }
  if (!wrong.empty() && origin.opening_from != nullptr && judge(*origin.opening_from, superblock, map).empty())
    return {};
  return wrong;
}

inline bool Exhaustive::open(ExhaustiveLevel& level, bool unreadable) {
  if (level.file == nullptr) {
    auto opened = engine_.open(*level.scheduler, level.disk, path_, {.page_size = PageSize()});
    if (over()) return false;
    if (!opened && unreadable && opened.error().code == ErrorCode::io_error) {
      ++totals_of(levels_[level.depth - 1u]).refused;
      return false;
    }
    if (!opened) fail("open: " + opened.error().message());
    if (!opened) return false;
    level.file = std::move(*opened);
  }
  auto allocator = level.file->allocator({});
  if (over()) return false;
  if (!allocator) fail("the allocator does not open: " + allocator.error().message());
  if (!allocator) return false;
  level.allocator = std::move(*allocator);
  return true;
}

inline std::uint64_t Exhaustive::usable_before(std::uint64_t page) {
  const auto known = usable_.find(page);
  if (known != usable_.end()) return known->second;
  std::uint64_t count = 0;
  for (std::uint64_t at = 0; at < page; ++at) count += !levels_[0].oracle.geometry().reserved(at);
  return usable_[page] = count;
}

inline void Exhaustive::compare(ExhaustiveLevel& level, const ReferenceAllocation& map) {
  const auto ask = [&](std::uint64_t page) {
    const Result<bool> said = level.allocator->is_allocated(PageId{page});
    if (!said || *said != map.is_allocated(page))
      fail(fmt::format("is_allocated({}) says {}, the medium the opposite", page,
                       said ? (*said ? "true" : "false") : said.error().message()));
  };
  for (const PageRange& range : map.allocated) {
    for (const std::uint64_t page : {range.begin - 1, range.begin, range.end - 1, range.end}) ask(page);
  }
  if (const std::uint64_t said = level.allocator->high_water().value; said != map.high_water)
    fail(fmt::format("high water is {}, says the medium, and the engine says {}", map.high_water, said));
  const std::uint64_t free = usable_before(map.high_water) - map.used;
  if (const std::uint64_t said = level.allocator->free_count(); said != free)
    fail(fmt::format("{} pages are free, says the medium, and the engine says {}", free, said));
}

inline void Exhaustive::use(ExhaustiveLevel& level) {
  if (over()) return;
  const std::size_t operation = level.oracle.allocate_begins(1);
  const Result<PageId> page = level.allocator->allocate();
  if (over()) return;
  if (!page) return fail("allocate after a recovery: " + page.error().message());
  expect(level.oracle.allocated(operation, page->value, level.oracle.acknowledged()));
  if (!over()) make_durable(level, false);
  if (over()) return;
  const sim::FileState& file = *level.disk.file(path_);
  const Found found = find(file);
  if (!found.superblock) return fail("a sync after a recovery left no superblock");
  const ReferenceAllocation& map = read_map(*found.superblock, file.durable, file.durable_length);
  if (!map.sound() || PageSet(map.allocated) != level.durable)
    fail(fmt::format("a sync after a recovery returned Ok and left in use {}, not {}", in_words(PageSet(map.allocated)),
                     in_words(level.durable)));
}

}  // namespace pagedb::scenarios::testing_support

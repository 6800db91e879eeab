// A model that needs no arithmetic, and what a single row would give. The next token is a hash of
// all tokens before it and of the row's key. The device remembers for each slot which prefix its
// content belongs to, and each row must find exactly its own tokens in its slots: a slot that is
// shared, reused or given away wrongly shows at once. The same for slots of states.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <vector>

#include "base/random.h"
#include "sched/scheduler.h"

namespace spate {

constexpr Token kVocabulary = 40;
constexpr Token kEnd = 7;  // the model's end token

inline uint64_t prefix_hash(uint64_t before, Token token) {
  return mix_keys(before, static_cast<uint64_t>(token) + 1);
}

inline uint64_t prefix_hash(std::span<const Token> tokens) {
  uint64_t hash = 0;
  for (const Token token : tokens) hash = prefix_hash(hash, token);
  return hash;
}

// The token after `tokens`, of which `prompt` are the prompt. Keys divisible by 4 fall into a loop
// of five tokens after a while; end tokens are not drawn before min_tokens are out.
inline Token next_token(std::span<const Token> tokens, int64_t prompt, uint64_t key,
                        const Params& params) {
  const int64_t generated = static_cast<int64_t>(tokens.size()) - prompt;
  const bool loops = params.loop_stop.min_count > 0 && generated >= 10;
  uint64_t hash = loops ? mix_keys(key, static_cast<uint64_t>(generated % 5))
                        : mix_keys(prefix_hash(tokens), key);
  for (;;) {
    const auto token = static_cast<Token>(hash % static_cast<uint64_t>(kVocabulary));
    const auto& stops = params.stop_tokens;
    const bool ends = (token == kEnd && !params.ignore_eos) ||
                      std::find(stops.begin(), stops.end(), token) != stops.end();
    if (!ends || generated >= params.min_tokens) return token;
    hash = mix_keys(hash, 1);
  }
}

// Pretended score of the prompt's token at `position`.
inline float score(std::span<const Token> tokens, size_t position) {
  return static_cast<float>(prefix_hash(tokens.first(position + 1)) % 1000);
}

struct Output {
  std::vector<Token> tokens;
  std::optional<Finish> finish;
  bool started = false;
  std::vector<float> scores;
  int64_t cached = 0;
};

// What a sample must give, one token at a time, with rules written the plainest way.
inline Output generate_alone(const Request& request, int sample, int64_t max_length) {
  const Params& params = request.params;
  const uint64_t key = sample_key(params.seed, request.key, sample);
  std::vector<Token> tokens = request.prompt;
  const auto prompt = static_cast<int64_t>(tokens.size());
  Output out;
  if (params.prompt_logprobs && sample == 0) {
    for (size_t i = 1; i < tokens.size(); ++i) out.scores.push_back(score(tokens, i));
  }
  const auto repeats = [&] {
    for (int64_t p = params.loop_stop.min_pattern; p <= params.loop_stop.max_pattern; ++p) {
      const int64_t span = p * params.loop_stop.min_count;
      if (static_cast<int64_t>(out.tokens.size()) < span) break;
      bool same = true;
      for (size_t i = out.tokens.size() - static_cast<size_t>(span - p); i < out.tokens.size();
           ++i) {
        same = same && out.tokens[i] == out.tokens[i - static_cast<size_t>(p)];
      }
      if (same) return true;
    }
    return false;
  };
  while (!out.finish) {
    const Token token = next_token(tokens, prompt, key, params);
    tokens.push_back(token);
    out.tokens.push_back(token);
    const auto count = static_cast<int64_t>(out.tokens.size());
    const auto& stops = params.stop_tokens;
    const bool ends = (token == kEnd && !params.ignore_eos) ||
                      std::find(stops.begin(), stops.end(), token) != stops.end();
    if (ends && count > params.min_tokens) {
      out.finish = Finish{FinishReason::stop};
    } else if (params.loop_stop.min_count > 0 && repeats()) {
      out.finish = Finish{FinishReason::repetition};
    } else if (params.max_tokens > 0 && count == params.max_tokens) {
      out.finish = Finish{FinishReason::length};
    } else if (static_cast<int64_t>(tokens.size()) == max_length) {
      out.finish = Finish{FinishReason::context_length};
    }
  }
  return out;
}

class FakeDevice {
 public:
  explicit FakeDevice(const SchedulerOptions& options)
      : options_(options),
        content_(static_cast<size_t>(options.kv_slots)),
        states_(static_cast<size_t>(options.row_states + options.snapshots)) {}

  // Runs a batch, checking everything that a real device would take for granted.
  std::vector<RowResult> run(const Batch& batch) {
    EXPECT_LE(batch.tokens(), options_.max_step_tokens);
    EXPECT_LE(static_cast<int64_t>(batch.rows.size()), options_.max_rows);
    std::set<const Sequence*> seen;
    std::map<int, uint64_t> written;
    std::set<int> read;
    std::map<int, uint64_t> new_states;
    std::multimap<int, size_t> state_readers;  // rows of the batch
    for (const Row& row : batch.rows) {
      const Sequence& sequence = *row.sequence;
      EXPECT_TRUE(seen.insert(&sequence).second) << "a sequence has two rows";
      const std::vector<Token> tokens = tokens_of(row);
      const auto length = static_cast<int64_t>(tokens.size());
      EXPECT_EQ(row.begin + row.count, sequence.computed);
      EXPECT_GT(row.count, 0);
      EXPECT_LE(row.begin + row.count, length);
      EXPECT_EQ(row.wants_token, row.begin + row.count == length);
      int64_t position = 0;
      uint64_t hash = 0;
      for (const Segment& segment : sequence.segments) {
        EXPECT_GT(segment.size(), 0);
        for (int slot = segment.begin; slot < segment.end; ++slot, ++position) {
          if (position >= row.begin + row.count) break;
          hash = prefix_hash(hash, tokens[static_cast<size_t>(position)]);
          if (position < std::max(row.begin, sequence.stored)) {
            EXPECT_EQ(content_.at(static_cast<size_t>(slot)), hash)
                << "slot " << slot << " does not hold token " << position << " of request "
                << sequence.request;
            read.insert(slot);
          } else {
            EXPECT_TRUE(written.emplace(slot, hash).second) << "two rows write slot " << slot;
          }
        }
      }
      EXPECT_GE(position, row.begin + row.count) << "slots are missing";
      if (options_.row_states == 0) {
        EXPECT_EQ(row.begin < sequence.stored, false) << "tokens are computed twice";
        continue;
      }
      const uint64_t before = prefix_hash(std::span(tokens).first(static_cast<size_t>(row.begin)));
      EXPECT_EQ(row.state_from < 0 ? 0 : states_.at(static_cast<size_t>(row.state_from)), before)
          << "slot " << row.state_from << " does not hold the state after " << row.begin
          << " tokens of request " << sequence.request;
      if (row.state_from >= 0) {
        state_readers.emplace(row.state_from, static_cast<size_t>(&row - batch.rows.data()));
      }
      EXPECT_TRUE(new_states.emplace(row.state_to, hash).second) << "two rows write a state";
    }
    for (const auto& [slot, state] : new_states) {
      for (auto [at, end] = state_readers.equal_range(slot); at != end; ++at) {
        EXPECT_EQ(batch.rows[at->second].state_to, slot) << "a state is read and overwritten";
      }
      states_.at(static_cast<size_t>(slot)) = state;
    }
    for (const auto& [slot, hash] : written) {
      EXPECT_EQ(read.count(slot), 0U) << "slot " << slot << " is read and overwritten";
      content_[static_cast<size_t>(slot)] = hash;
    }
    std::vector<RowResult> results;
    std::vector<Token> draws;
    for (const Row& row : batch.rows) {
      results.push_back(result(row));
      if (row.wants_token) draws.push_back(results.back().sampled.token);
    }
    draws_ = std::move(draws);
    return results;
  }

 private:
  // What the sequence has, and the token that the step before has drawn.
  std::vector<Token> tokens_of(const Row& row) const {
    std::vector<Token> tokens = row.sequence->tokens;
    if (row.pending_draw >= 0) tokens.push_back(draws_.at(static_cast<size_t>(row.pending_draw)));
    return tokens;
  }

  RowResult result(const Row& row) const {
    const Sequence& sequence = *row.sequence;
    RowResult result;
    if (row.wants_token) {
      result.sampled.token =
          next_token(tokens_of(row), sequence.prompt_length, sequence.key, sequence.params);
    }
    if (sequence.params.prompt_logprobs && sequence.sample == 0) {
      const std::span<const Token> tokens = sequence.tokens;
      for (int64_t i = row.begin + 1; i <= row.begin + row.count && i < sequence.prompt_length;
           ++i) {
        const auto at = static_cast<size_t>(i);
        result.prompt_logprobs.push_back({.token = tokens[at], .logprob = score(tokens, at)});
      }
    }
    return result;
  }

  SchedulerOptions options_;
  std::vector<Token> draws_;       // of the last step
  std::vector<uint64_t> content_;  // [slots] hash of the tokens up to the one a slot holds; 0: none
  std::vector<uint64_t> states_;   // [slots] hash of the tokens that a state comes from
};

// A scheduler with its device; collects events and holds them against their rules. With `ahead`
// steps are planned and run while the one before is not committed.
class Harness {
 public:
  explicit Harness(const SchedulerOptions& options, bool ahead = false)
      : options(options), scheduler(options, {kEnd}), device(options), ahead_(ahead) {}

  // One step. False: nothing to do.
  bool step() {
    last = scheduler.next();
    take(scheduler.take_events());
    rows.clear();
    for (const Row& row : last.rows) {
      most_segments = std::max(most_segments, row.sequence->segments.size());
      rows.push_back({row.sequence->request, row.sequence->sample, row.begin, row.count,
                      row.sequence->generated()});
    }
    if (last.rows.empty() && !out_) return false;
    std::optional<Flight> launched;
    if (!last.rows.empty()) {
      ++steps;
      launched = Flight{last, device.run(last)};
    }
    scheduler.check_invariants();
    if (before_commit) before_commit();
    if (!ahead_) out_ = std::move(launched);
    if (out_) {
      take(scheduler.commit(out_->batch, out_->results));
      take(scheduler.take_events());
    }
    out_.reset();
    if (ahead_) out_ = std::move(launched);
    scheduler.check_invariants();
    return true;
  }

  void drain(int64_t most_steps = 1000000) {
    while (step()) ASSERT_LT(steps, most_steps) << "no end in sight";
    EXPECT_TRUE(scheduler.idle());
    const SchedulerStats stats = scheduler.stats();
    EXPECT_EQ(stats.kv_used, 0);
    EXPECT_EQ(stats.running + stats.waiting, 0);
  }

  const Output& at(uint64_t request, int sample = 0) const { return out.at({request, sample}); }

  struct RowNote {
    uint64_t request;
    int sample;
    int64_t begin, count, generated;
    bool decodes() const { return generated > 0 && count == 1; }
  };

  SchedulerOptions options;
  Scheduler scheduler;
  FakeDevice device;
  std::map<std::pair<uint64_t, int>, Output> out;
  std::vector<uint64_t> started;                   // requests, in order
  std::vector<std::pair<uint64_t, int>> finished;  // in order
  std::vector<RowNote> rows;                       // of the last step
  std::function<void()> before_commit;
  Batch last;
  int64_t steps = 0;
  size_t most_segments = 0;  // that a row had

 private:
  struct Flight {
    Batch batch;
    std::vector<RowResult> results;
  };

  void take(std::vector<Event> events) {
    for (const Event& event : events) {
      Output& into = out[{event.request, event.sample}];
      if (event.started) {
        EXPECT_EQ(event.sample, 0);
        EXPECT_TRUE(into.tokens.empty() && !into.finish && !into.started);
        into.started = true;
        started.push_back(event.request);
        continue;
      }
      EXPECT_TRUE(event.tokens.empty() || at(event.request).started);
      EXPECT_FALSE(into.finish.has_value()) << "an event after the last one";
      EXPECT_TRUE(event.prompt_logprobs.empty() || into.tokens.empty());
      into.tokens.insert(into.tokens.end(), event.tokens.begin(), event.tokens.end());
      for (const TokenLogprob& scored : event.prompt_logprobs) {
        into.scores.push_back(scored.logprob);
      }
      into.cached += event.cached_tokens;
      if (event.finish) {
        into.finish = event.finish;
        finished.emplace_back(event.request, event.sample);
      }
    }
  }

  bool ahead_;
  std::optional<Flight> out_;  // the step that is not committed
};

inline std::vector<Token> random_tokens(uint64_t key, size_t count) {
  std::vector<Token> tokens;
  for (size_t i = 0; i < count; ++i) {
    tokens.push_back(
        static_cast<Token>(philox(key, i).word[0] % static_cast<uint64_t>(kVocabulary)));
  }
  return tokens;
}

// Runs to max_tokens; its prompt is unlike any other's.
inline Request plain_request(uint64_t id, size_t prompt, int64_t max_tokens) {
  Request request{.id = id, .key = 1000 + id, .prompt = random_tokens(500 + id, prompt)};
  request.params.max_tokens = max_tokens;
  request.params.ignore_eos = true;
  return request;
}

// The same, but for all that the scheduler knows it might end before.
inline Request unforeseen_request(uint64_t id, size_t prompt, int64_t max_tokens) {
  Request request = plain_request(id, prompt, max_tokens);
  request.params.stop_tokens = {0};
  request.params.min_tokens = max_tokens;
  return request;
}

}  // namespace spate

// The files of a job from its start to its end: what is refused, what is gone on with, and that no
// kill between any two calls loses a finished row or doubles one.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "apps/run/row_output.h"
#include "base/random.h"
#include "tests/apps/journal_support.h"

namespace spate::apps_test {
namespace {

using test::FaultyFileSystem;
using test::FileCall;
using test::Killed;

enum class Fate { answer, final, retryable, skip };

// Rows fail and are skipped by their numbers, everywhere in the same way. A retryable failure is an
// answer when it is tried again.
Fate fate_of(int64_t row, int64_t attempts_before) {
  if (row % 5 == 3) return Fate::final;
  if (row % 7 == 2) return attempts_before == 0 ? Fate::retryable : Fate::answer;
  return row % 11 == 6 ? Fate::skip : Fate::answer;
}

struct Session {
  OutputOptions options;
  Manifest manifest = manifest_of();
  std::vector<int64_t> rows;
  std::string text = "run 0";    // of its answers
  int64_t stop_after = 1 << 30;  // outcomes
  uint64_t seed = 1;
};

std::vector<int64_t> numbers(int64_t first, int64_t end) {
  std::vector<int64_t> rows;
  for (int64_t i = first; i < end; ++i) rows.push_back(i);
  return rows;
}

constexpr size_t kRunning = 12;  // rows at once

void end_row(RowOutput& output, int64_t place, int64_t row, int64_t attempts,
             const std::string& text) {
  switch (fate_of(row, attempts)) {
    case Fate::answer:
      output.put_answer(place, key_of(row), answer_of(row, row % 2 == 1, text));
      break;
    case Fate::final: output.put_error(place, row_of(row), kFinal, attempts + 1); break;
    case Fate::retryable: output.put_error(place, row_of(row), kRetryable, attempts + 1); break;
    case Fate::skip: output.put_nothing(place); break;
  }
}

// What `spate run` does with the files, with rows that finish in an order of their own.
void play(FileSystem& files, const Session& run) {
  JobFiles job(files, run.options, run.manifest);
  if (job.input_changed()) {
    KeySet keys;
    for (const int64_t row : run.rows) keys.insert(key_of(row));
    job.drop_stale(keys);
  }
  job.begin();
  RowOutput output(job);
  std::vector<std::pair<int64_t, int64_t>> running;  // place, attempts before
  int64_t left = run.stop_after;
  const auto end_one = [&] {
    const size_t chosen = philox(run.seed, static_cast<uint64_t>(left)).word[0] % running.size();
    const auto [place, attempts] = running[chosen];
    running.erase(running.begin() + static_cast<int64_t>(chosen));
    end_row(output, place, run.rows[static_cast<size_t>(place)], attempts, run.text);
    --left;
  };
  for (size_t i = 0; i < run.rows.size() && left > 0; ++i) {
    const auto place = static_cast<int64_t>(i);
    const Hash128 key = key_of(run.rows[i]);
    const Journal::Outcome before = job.journal().find(key);
    if (job.is_done(before)) {
      output.put_done(place, key);
    } else {
      running.emplace_back(place, before.attempts);
    }
    if (running.size() >= kRunning) end_one();
  }
  while (!running.empty() && left > 0) end_one();
  output.close();
  job.finish(left > 0 ? "end" : "SIGINT", JsonObject{{"rows", 1}});
}

int64_t index_in(const std::string& line) {
  const Json json = parse_json(line, "a line");
  const Json* id = json.find("custom_id");
  if (id == nullptr || id->is_null()) id = json.find("id");
  return std::stoll(id->as_string().substr(1));
}

// Lines of OUT and OUT.part that are whole, by key.
std::map<std::string, std::string> finished_lines(const std::string& out) {
  std::map<std::string, std::string> lines;
  JsonParser parser;
  for (const std::string& path : {out + ".part", out}) {
    scan_file(real_file_system(), path, [&](const ScannedLine& line) {
      if (line.facts.kind == LineKind::answer) lines[hex(line.facts.key)] = line.text;
    });
  }
  return lines;
}

// Every row has one outcome, those that were finished before are as they were, nothing else is
// left.
void expect_complete(const Session& run, const std::map<std::string, std::string>& before) {
  const std::string& out = run.options.output;
  const bool inside = run.options.errors == "inline";
  const std::string errors = inside ? out : out + ".errors.jsonl";
  std::set<std::string> keys;
  std::map<std::string, std::string> lines;
  int64_t last = -1;
  for (const std::string& line : lines_of(read_file(out))) {
    JsonParser parser;
    const JobLine facts = read_job_line(line, parser);
    EXPECT_TRUE(keys.insert(hex(facts.key)).second) << "doubled: " << line;
    lines[hex(facts.key)] = line;
    if (run.options.ordered) {
      EXPECT_LT(last, index_in(line));
      last = index_in(line);
    }
  }
  if (!inside) {
    for (const Hash128& key : keys_in(errors)) {
      EXPECT_TRUE(keys.insert(hex(key)).second) << "doubled among the errors: " << hex(key);
    }
  }
  std::set<std::string> expected;
  for (const int64_t row : run.rows) {
    if (fate_of(row, 0) != Fate::skip) expected.insert(hex(key_of(row)));
  }
  EXPECT_EQ(keys, expected);
  for (const auto& [key, line] : before) {
    if (expected.contains(key)) {
      EXPECT_EQ(lines[key], line) << "a finished row has run again";
    }
  }
  for (const char* name : {".part", ".part.spate-tmp", ".spate-tmp", ".manifest.json.spate-tmp",
                           ".errors.jsonl.spate-tmp"}) {
    EXPECT_FALSE(file_exists(out + name)) << name;
  }
  const auto manifest = read_manifest(real_file_system(), out + ".manifest.json");
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->runs.back().ended_by, "end");
  EXPECT_EQ(manifest->ordered, run.options.ordered);
}

constexpr int64_t kRows = 40;

struct Scene {
  std::string name;
  std::vector<Session> before;  // runs that led to where the scene begins
  Session run;                  // the one that is killed
};

void PrintTo(const Scene& scene, std::ostream* out) { *out << scene.name; }

Session plain_run(bool ordered = false, const std::string& errors = {}) {
  Session run;
  run.options.ordered = ordered;
  run.options.errors = errors;
  run.options.sync.when = SyncPolicy::When::always;
  run.rows = numbers(0, kRows);
  return run;
}

Session stopped(Session run) {
  run.stop_after = kRows / 2;
  return run;
}

Session retried(Session run) {
  run.options.retry_errors = true;
  return run;
}

// Other rows at the begin and at the end.
Session changed(Session run) {
  run.rows = numbers(5, kRows + 5);
  std::swap(run.rows[7], run.rows[20]);
  std::sort(run.rows.begin(), run.rows.end());
  run.manifest.input.bytes = 200;
  return run;
}

Session replaced(Session run) {
  run.options.overwrite = true;
  return run;
}

std::vector<Scene> scenes() {
  return {
      {"fresh", {}, plain_run()},
      {"fresh ordered", {}, plain_run(true)},
      {"fresh inline", {}, plain_run(true, "inline")},
      {"goes on", {stopped(plain_run())}, plain_run()},
      {"goes on ordered", {stopped(plain_run(true))}, plain_run(true)},
      {"order is made", {stopped(plain_run())}, plain_run(true)},
      {"order is made of a finished run", {plain_run()}, plain_run(true)},
      {"order is given up", {stopped(plain_run(true))}, plain_run()},
      {"retries", {plain_run()}, retried(plain_run())},
      {"retries ordered", {plain_run(true)}, retried(plain_run(true))},
      {"retries inline",
       {stopped(plain_run(false, "inline"))},
       retried(plain_run(false, "inline"))},
      {"retries inline ordered",
       {stopped(plain_run(true, "inline"))},
       retried(plain_run(true, "inline"))},
      {"changed input", {plain_run()}, changed(plain_run())},
      {"changed input ordered", {stopped(plain_run(true))}, changed(plain_run(true))},
      {"changed input inline",
       {stopped(plain_run(true, "inline"))},
       changed(plain_run(false, "inline"))},
      {"starts anew", {plain_run(true)}, replaced(plain_run(true))},
  };
}

class JobFilesKill : public testing::TestWithParam<Scene> {
 protected:
  // Kills the run at every call that changes something, and sees the next one end well. With
  // `second`, that one is killed at such a call too.
  void kill_everywhere(FaultyFileSystem::Death death, int64_t step, bool second) {
    const TemporaryFolder start;
    for (Session run : GetParam().before) {
      run.options.output = start.file("out");
      play(real_file_system(), run);
    }
    bool alive = false;
    for (int64_t n = 0; !alive && n < 2000; n += step) {
      const TemporaryFolder folder;
      std::filesystem::copy(start.path(), folder.path(),
                            std::filesystem::copy_options::overwrite_existing |
                                std::filesystem::copy_options::recursive);
      Session run = GetParam().run;
      run.options.output = folder.file("out");
      run.seed = 2;
      run.text = "run 1";
      alive = !killed_at(n, death, run);
      auto finished = finished_lines(run.options.output);
      run.text = "run 2";
      if (second) {
        killed_at(n * 7 % 23, death, run);
        for (auto& [key, line] : finished_lines(run.options.output)) {
          finished.emplace(key, line);  // what was finished before must not have changed
        }
        run.text = "run 3";
      }
      run.seed = 3;
      play_to_the_end(run);
      expect_complete(run, run.options.overwrite ? std::map<std::string, std::string>{} : finished);
      if (HasFailure()) {
        FAIL() << GetParam().name << ", killed at call " << n;
      }
    }
    EXPECT_TRUE(alive) << "it never came to the end";
  }

  static bool killed_at(int64_t n, FaultyFileSystem::Death death, const Session& run) {
    FaultyFileSystem files;
    files.die_at(n, death);
    try {
      play(files, run);
    } catch (const Killed&) {
    } catch (const Error&) {
      EXPECT_TRUE(files.dead()) << "an error without a kill";
    }
    return files.dead();
  }

  static void play_to_the_end(const Session& run) {
    FaultyFileSystem files;  // without a fault; its syncs cost nothing
    play(files, run);
  }
};

TEST_P(JobFilesKill, NoFinishedRowIsLostOrDoubled) {
  kill_everywhere(FaultyFileSystem::Death::process, 1, false);
}
TEST_P(JobFilesKill, NorByTwoKills) { kill_everywhere(FaultyFileSystem::Death::process, 3, true); }
TEST_P(JobFilesKill, NorWhenTheMachineGoesDown) {
  kill_everywhere(FaultyFileSystem::Death::machine_cuts, 2, false);
  kill_everywhere(FaultyFileSystem::Death::machine_zeros, 2, true);
}

INSTANTIATE_TEST_SUITE_P(Scenes, JobFilesKill, testing::ValuesIn(scenes()),
                         [](const testing::TestParamInfo<Scene>& info) {
                           std::string name = info.param.name;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

}  // namespace
}  // namespace spate::apps_test

// A job of a few thousand short rows on a tiny model of random weights, its outcome when nothing
// disturbs it, and the comparison with that: every row exactly once, byte by byte, apart from the
// order of lines and from times.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <random>

#include "base/clock.h"
#include "tests/apps/program.h"

namespace spate::fault_tests {

using apps_test::Ended;
using apps_test::Program;
using apps_test::TemporaryFolder;

// How much to do: the short form unless the environment says otherwise (make test-faults).
inline int times(const char* variable, int short_form) {
  const char* value = std::getenv(variable);
  return value == nullptr ? short_form : std::atoi(value);
}

// Rows of every kind, about one in 25 of them bad.
inline std::string rows_of_all_kinds(int rows, unsigned seed = 1) {
  std::mt19937 random(seed);
  const auto number = [&](int least, int most) {
    return std::uniform_int_distribution<int>(least, most)(random);
  };
  std::string text;
  for (int i = 0; i < rows; ++i) {
    std::string ids = std::to_string(number(3, 50));
    for (int more = number(0, 11); more > 0; --more) ids += cat(",", number(3, 50));
    const int limit = number(1, 8);
    switch (i % 50) {
      case 7: text += cat(R"({"id":"r)", i, R"(","prompt_token_ids":[]})"); break;
      case 23: text += cat(R"({"id":"r)", i - 1, R"(","prompt_token_ids":[1]})"); break;  // again
      case 40: text += cat(R"({"id":"r)", i, R"(","prompt_token_ids":[)"); break;
      case 3:
      case 30:
        text += cat(R"({"custom_id":"r)", i, R"(","url":"/v1/completions","body":{"prompt":[)", ids,
                    R"(],"max_tokens":)", limit, "}}");
        break;
      case 11:
        text += cat(R"({"id":"r)", i, R"(","prompt":[)", ids, R"(],"n":3,"logprobs":2,)",
                    R"("max_tokens":)", limit, "}");
        break;
      case 17: text += cat("[", ids, "]"); break;  // named by its line
      default:
        text += cat(R"({"id":"r)", i, R"(","prompt_token_ids":[)", ids, R"(],"max_tokens":)", limit,
                    "}");
    }
    text += i % 60 == 0 ? "\n\n" : "\n";
  }
  return text;
}

class Job {
 public:
  explicit Job(int rows, std::vector<std::string> more = {}) : more_(std::move(more)) {
    folder_.write("in", rows_of_all_kinds(rows));
    const Ended ended = Program(arguments("reference")).wait();
    EXPECT_EQ(ended.code, 3) << ended.err;
    reference_ = outcomes("reference");
    EXPECT_EQ(reference_.size(), static_cast<size_t>(rows));
    // As many rows as lines that are not blank, and none twice.
    EXPECT_EQ(std::adjacent_find(reference_.begin(), reference_.end()), reference_.end());
  }

  std::string file(const std::string& name) const { return folder_.file(name); }
  std::vector<std::string> arguments(const std::string& output) const {
    std::vector<std::string> all{"run", apps_test::kTiny, "-i", file("in"), "-o", file(output),
                                 "--temperature", "1", "--max-tokens", "6", "--seed", "5",
                                 // What was cached depends on what ran beside: it is part of usage.
                                 "--prefix-cache", "off", "--threads", "1"};
    all.insert(all.end(), more_.begin(), more_.end());
    return all;
  }

  // All lines of answers and errors, sorted, without times.
  std::vector<std::string> outcomes(const std::string& output) const {
    std::vector<std::string> lines;
    for (const std::string& path : {file(output), file(output) + ".errors.jsonl"}) {
      if (!file_exists(path)) continue;
      const std::string text = read_file(path);
      EXPECT_TRUE(text.empty() || text.back() == '\n') << path << " ends within a line";
      for (std::string& line : apps_test::lines_of(text)) lines.push_back(without_times(line));
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  void expect_the_same(const std::string& output) const {
    const std::vector<std::string> found = outcomes(output);
    EXPECT_EQ(found.size(), reference_.size());
    std::vector<std::string> missing, added;
    std::set_difference(reference_.begin(), reference_.end(), found.begin(), found.end(),
                        std::back_inserter(missing));
    std::set_difference(found.begin(), found.end(), reference_.begin(), reference_.end(),
                        std::back_inserter(added));
    EXPECT_TRUE(missing.empty()) << missing.size() << " missing, first " << missing.front();
    EXPECT_TRUE(added.empty()) << added.size() << " too many, first " << added.front();
    EXPECT_FALSE(file_exists(file(output) + ".part"));
    EXPECT_FALSE(file_exists(file(output) + ".stale.jsonl"));
  }

  // The answers stand in the order of the input.
  void expect_in_order(const std::string& output) const {
    int64_t last = -1;
    for (const std::string& line : apps_test::lines_of(read_file(file(output)))) {
      const Json json = parse_json(line, "a line");
      if (const Json* index = json.find("index")) {
        EXPECT_GT(index->as_integer(), last);
        last = index->as_integer();
      }
    }
    EXPECT_GE(last, 0);
  }

  // What a run that was cut off has left may end within a line, and nothing else may be wrong.
  void expect_whole_lines(const std::string& output) const {
    for (const std::string& path : {file(output), file(output) + ".errors.jsonl"}) {
      if (!file_exists(path)) continue;
      const std::string text = read_file(path);
      std::vector<std::string> lines = apps_test::lines_of(text);
      if (!text.empty() && text.back() != '\n') lines.pop_back();
      for (const std::string& line : lines) {
        const bool whole = line.front() == '{' && line.back() == '}';
        EXPECT_TRUE(whole) << path << ": " << line;
      }
    }
  }

  static std::string without_times(const std::string& line) {
    const std::string_view name = R"("created":)";
    const size_t begin = line.find(name);
    if (begin == std::string::npos) return line;
    const size_t end = line.find_first_not_of("0123456789", begin + name.size());
    return line.substr(0, begin + name.size()) + line.substr(end);
  }

 private:
  TemporaryFolder folder_;
  std::vector<std::string> more_;
  std::vector<std::string> reference_;
};

}  // namespace spate::fault_tests

// Lines known by their keys, files read by large blocks, sets of keys.
#include <gtest/gtest.h>

#include <set>

#include "apps/journal/fingerprint.h"
#include "apps/journal/rewrite.h"
#include "base/clock.h"
#include "base/random.h"
#include "tests/apps/journal_support.h"

namespace spate::apps_test {
namespace {

JobLine read(const std::string& text) {
  JsonParser parser;
  return read_job_line(text, parser);
}

TEST(KeySet, HoldsWhatAStandardSetHolds) {
  KeySet set;
  KeyMap<int64_t> map;
  std::set<std::pair<uint64_t, uint64_t>> plain;
  for (uint64_t i = 0; i < 20000; ++i) {
    // Few different ones, zero among them, many in the same place.
    const Hash128 key{philox(1, i).word[0] % 50, (philox(2, i).word[0] % 40) << 20};
    EXPECT_EQ(set.insert(key), plain.insert({key.high, key.low}).second);
    ++map[key];
  }
  EXPECT_EQ(set.size(), static_cast<int64_t>(plain.size()));
  int64_t total = 0;
  map.for_each([&](const Hash128& key, int64_t count) {
    EXPECT_TRUE(plain.contains({key.high, key.low}));
    total += count;
  });
  EXPECT_EQ(total, 20000);
  EXPECT_TRUE(set.contains({}));
  EXPECT_FALSE(set.contains({51, 0}));
  EXPECT_EQ(map.find({0, 1}), nullptr);
}

TEST(JobLine, IsKnownByItsPlaces) {
  for (const bool openai : {false, true}) {
    const JobLine answer = read(answer_of(5, openai));
    EXPECT_EQ(answer.kind, LineKind::answer);
    EXPECT_EQ(answer.key, key_of(5));
    const JobLine failure = read(failure_of(6, kRetryable, 3, openai));
    EXPECT_EQ(failure.kind, LineKind::failure);
    EXPECT_EQ(failure.key, key_of(6));
    EXPECT_EQ(failure.code, "out_of_kv");
    EXPECT_TRUE(failure.retryable);
    EXPECT_EQ(failure.attempts, openai ? 0 : 3);
  }
  EXPECT_FALSE(read(failure_of(6, kFinal)).retryable);
  EXPECT_EQ(read(answer_of(1) + "\r").key, key_of(1));
}

TEST(JobLine, SurvivesOtherFormatting) {
  // Members sorted by name and spaces, as tools write them.
  const std::string key = hex(key_of(1));
  EXPECT_EQ(read(R"({"finish_reason":"stop","id":"a","key":")" + key + R"(","text":"t"})").kind,
            LineKind::answer);
  const JobLine failure = read(
      R"({"attempts":4,"custom_id":null,"error":{"code":"timeout","message":"","retryable":true},)"
      R"("id":"a","index":0,"key":")" +
      key + R"("})");
  EXPECT_EQ(failure.kind, LineKind::failure);
  EXPECT_EQ(failure.attempts, 4);
  const JobLine last =
      read(R"({"attempts":4,"error":{"code":"timeout","retryable":true},"key":")" + key + R"("})");
  EXPECT_EQ(last.kind, LineKind::failure);
  EXPECT_EQ(read(R"( { "id" : "batch_req_)" + key + R"(" , "error" : null } )").kind,
            LineKind::answer);
}

// What a row or an answer says must not look like the members that the journal looks for.
TEST(JobLine, IsNotFooledByText) {
  const std::string lie =
      R"(","error":{"code":"x","message":"","retryable":true},"attempts":1,"key":")" +
      hex(key_of(9)) + "\"}";
  for (const bool openai : {false, true}) {
    const JobLine line = read(answer_of(1, openai, lie));
    EXPECT_EQ(line.kind, LineKind::answer);
    EXPECT_EQ(line.key, key_of(1));
  }
  const JobLine failure = read(failure_of(2, {"invalid_json", lie, false}));
  EXPECT_EQ(failure.code, "invalid_json");
  EXPECT_FALSE(failure.retryable);
}

TEST(JobLine, OthersAreForeignOrDamaged) {
  for (const char* text : {"", "  ", "{}", R"({"note": 1})", "[1]", R"({"key":"short"})"}) {
    EXPECT_EQ(read(text).kind, LineKind::foreign) << text;
  }
  EXPECT_EQ(read(R"({"id":"a)").kind, LineKind::damaged);
  EXPECT_EQ(read(std::string(20, '\0')).kind, LineKind::damaged);
  EXPECT_EQ(read(std::string(4, '\0') + answer_of(1)).kind, LineKind::damaged);
}

TEST(Scan, FindsTheGoodPart) {
  const TemporaryFolder folder;
  const std::string good = joined({answer_of(0), R"({"note": 1})", answer_of(1)});
  const auto scan = [&](const std::string& text) {
    return scan_file(real_file_system(), folder.write("out", text), [](const ScannedLine&) {});
  };
  EXPECT_EQ(scan("").good_end, 0);
  EXPECT_EQ(scan(good).to_cut(), 0);
  EXPECT_EQ(scan(good).ours, 2);
  EXPECT_EQ(scan(good).foreign, 1);
  EXPECT_EQ(scan(good).foreign_examples[0], R"(line 2: {"note": 1})");
  const std::string line = answer_of(2);
  for (size_t cut = 1; cut <= line.size(); ++cut) {  // a whole line without its newline counts not
    const FileScan torn = scan(good + line.substr(0, cut));
    EXPECT_EQ(torn.good_end, static_cast<int64_t>(good.size()));
    EXPECT_EQ(torn.to_cut(), static_cast<int64_t>(cut));
  }
  const std::string zeros(5000, '\0');
  EXPECT_EQ(scan(good + zeros).good_end, static_cast<int64_t>(good.size()));
  EXPECT_EQ(scan(good + zeros + "\n{\"id\n").good_end, static_cast<int64_t>(good.size()));
  const FileScan middle = scan(good + zeros + "\n" + line + "\n");
  EXPECT_EQ(middle.to_cut(), 0);
  EXPECT_EQ(middle.damaged, 1);
  EXPECT_EQ(middle.ours, 3);
  EXPECT_FALSE(
      scan_file(real_file_system(), folder.file("none"), [](const ScannedLine&) {}).exists);
}

TEST(Scan, LinesLongerThanABlock) {
  const TemporaryFolder folder;
  const std::string text = joined({answer_of(0), answer_of(1, false, std::string(9 << 20, 'x')),
                                   answer_of(2, true, std::string(5 << 20, 'y')), answer_of(3)});
  folder.write("out", text);
  std::string again;
  const FileScan scan =
      scan_file(real_file_system(), folder.file("out"), [&](const ScannedLine& line) {
        EXPECT_EQ(line.offset, static_cast<int64_t>(again.size()));
        EXPECT_EQ(line.facts.key, key_of(line.number - 1));
        again.append(line.text).append("\n");
      });
  EXPECT_EQ(again, text);
  EXPECT_EQ(scan.ours, 4);
}

TEST(Scan, AMillionLinesInNoTime) {
  constexpr int64_t kRows = 200'000;
  const TemporaryFolder folder;
  {
    std::ofstream out(folder.file("out"), std::ios::binary);
    for (int64_t i = 0; i < kRows; ++i) out << answer_of(i, false, std::string(120, 'x')) << '\n';
  }
  const Stopwatch watch;
  KeySet keys;
  keys.reserve(kRows);
  scan_file(real_file_system(), folder.file("out"),
            [&](const ScannedLine& line) { keys.insert(line.facts.key); });
  EXPECT_EQ(keys.size(), kRows);
  const double seconds = watch.seconds();
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_LT(seconds, 5) << "for a fifth of a million lines; expected far less";
}

TEST(Rewrite, TakesLinesOutAtOnce) {
  const TemporaryFolder folder;
  folder.write("out", joined({answer_of(0), answer_of(1), answer_of(2)}) + "torn");
  const auto even = [](const ScannedLine& line) { return line.facts.key != key_of(1); };
  test::FaultyFileSystem files;
  files.fail_from(test::FileCall::write, 0, ENOSPC);
  const std::string before = read_file(folder.file("out"));
  EXPECT_TRUE(contains(error_of([&] { rewrite_lines(files, folder.file("out"), even, false); }),
                       "No space left"));
  EXPECT_EQ(read_file(folder.file("out")), before);
  EXPECT_FALSE(file_exists(folder.file("out.spate-tmp")));
  files.mend();
  rewrite_lines(files, folder.file("out"), even, false);
  EXPECT_EQ(read_file(folder.file("out")), joined({answer_of(0), answer_of(2)}));
}

TEST(Rewrite, ACollectorTakesEachLineOnce) {
  const TemporaryFolder folder;
  for (int round = 0; round < 2; ++round) {
    LineCollector collector(real_file_system(), folder.file("stale"));
    for (int i = 0; i < 3 + round; ++i) collector.add(answer_of(i));
    EXPECT_EQ(collector.added(), 3 + round);
    collector.sync();
    std::ofstream(folder.file("stale"), std::ios::app) << "torn";
  }
  EXPECT_EQ(read_file(folder.file("stale")),
            joined({answer_of(0), answer_of(1), answer_of(2), answer_of(3)}) + "torn");
}

TEST(Fingerprint, ChangesWithTheFile) {
  const TemporaryFolder folder;
  FileSystem& files = real_file_system();
  std::string text(3 << 20, 'a');
  const auto of = [&] { return file_fingerprint(files, folder.write("file", text)); };
  const std::string first = of();
  EXPECT_EQ(first, of());
  for (const size_t at : {size_t{0}, size_t{70 << 10}, text.size() - 1}) {
    text[at] ^= 1;
    EXPECT_NE(of(), first) << at;
    text[at] ^= 1;
  }
  text += 'a';
  EXPECT_NE(of(), first);
  text.assign(100, 'b');  // a small file is taken whole
  const std::string small = of();
  text[50] = 'c';
  EXPECT_NE(of(), small);
  EXPECT_TRUE(contains(error_of([&] { file_fingerprint(files, folder.file("none")); }), "none"));
}

TEST(Fingerprint, OfAModelIsOfItsFiles) {
  const TemporaryFolder folder;
  FileSystem& files = real_file_system();
  const auto fill = [&](const std::string& name) {
    std::filesystem::create_directory(folder.file(name));
    folder.write(name + "/config.json", "{}");
    folder.write(name + "/model.safetensors", std::string(1000, 'w'));
  };
  fill("a");
  fill("b");
  const auto of = [&](const char* name) { return model_fingerprint(files, folder.file(name)); };
  EXPECT_EQ(of("a"), of("b"));
  folder.write("b/README.md", "nothing that counts");
  EXPECT_EQ(of("a"), of("b"));
  folder.write("b/tokenizer.json", "{}");
  EXPECT_NE(of("a"), of("b"));
  folder.write("x-00001-of-00002.gguf", "1");
  folder.write("x-00002-of-00002.gguf", "2");
  const std::string split = of("x-00001-of-00002.gguf");
  EXPECT_EQ(of("x-00002-of-00002.gguf"), split);
  folder.write("x-00002-of-00002.gguf", "3");
  EXPECT_NE(of("x-00001-of-00002.gguf"), split);
}

}  // namespace
}  // namespace spate::apps_test

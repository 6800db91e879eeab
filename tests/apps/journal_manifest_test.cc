// What identifies a job, on file and compared.
#include <gtest/gtest.h>

#include "apps/journal/manifest.h"
#include "tests/apps/journal_support.h"

namespace spate::apps_test {
namespace {

TEST(Manifest, ComesBackFromItsFile) {
  const TemporaryFolder folder;
  Manifest manifest = manifest_of(0.5);
  manifest.shard = "2/3";
  manifest.offset = 4;
  manifest.limit = 5;
  manifest.output = "o";
  manifest.errors = "e";
  manifest.ordered = true;
  manifest.rows = 6;
  manifest.config = {{"window", 3}};
  manifest.runs = {{"a", "b", "end", JsonObject{{"x", 1}}}, {"c", "", "", {}}};
  const std::string path = folder.file("m");
  write_manifest(real_file_system(), path, manifest);
  EXPECT_FALSE(file_exists(path + ".spate-tmp"));
  const auto again = read_manifest(real_file_system(), path);
  ASSERT_TRUE(again);
  EXPECT_EQ(manifest_json(*again), manifest_json(manifest));
  EXPECT_TRUE(differences(manifest, *again).empty());
  EXPECT_FALSE(input_differs(manifest, *again));
  EXPECT_FALSE(read_manifest(real_file_system(), folder.file("none")));
}

TEST(Manifest, PassesOverWhatItDoesNotKnow) {
  const Manifest manifest = parse_manifest(
      R"({"manifest": 1, "new": [1], "input": {"path": "p", "more": 2}, "limit": null,
                         "runs": [{"started": "x", "ended": null, "host": "h"}]})",
      "m");
  EXPECT_EQ(manifest.input.path, "p");
  EXPECT_EQ(manifest.input.bytes, -1);
  EXPECT_EQ(manifest.limit, -1);
  EXPECT_EQ(manifest.runs.size(), 1U);
}

TEST(Manifest, ABrokenOneSaysWhatToDo) {
  for (const char* text :
       {"", "{", "[]", "{}", R"({"manifest": 2})", R"({"manifest": 1, "input": 3})",
        R"({"manifest": 1, "runs": {}})", R"({"manifest": 1, "ordered": "yes"})"}) {
    const std::string error = error_of([&] { parse_manifest(text, "out.manifest.json"); });
    EXPECT_TRUE(contains(error, "out.manifest.json") && contains(error, "--overwrite")) << error;
  }
}

TEST(Manifest, TellsWhatDiffers) {
  const Manifest was = manifest_of(1);
  Manifest now = manifest_of(0.7);
  EXPECT_EQ(differences(was, now), std::vector<std::string>{"temperature was 1.0, is 0.7"});
  now = was;
  now.parameters = {{"temperature", 1}, {"top_k", 5}};  // 1 and 1.0 are one number
  EXPECT_EQ(differences(was, now),
            (std::vector<std::string>{"top_k was not set, is 5", "seed was 7, is not set"}));
  now = was;
  now.model.fingerprint = "other";
  EXPECT_EQ(differences(was, now), std::vector<std::string>{"the files of model m have changed"});
  now.model.path = "m2";
  EXPECT_EQ(differences(was, now), std::vector<std::string>{"model was m, is m2"});
  now = was;
  now.shard = "2/2";
  now.offset = 3;
  now.errors = "inline";
  EXPECT_EQ(differences(was, now).size(), 3U);
  now = was;
  now.model.path = "moved";
  now.config = {{"threads", 3}};
  EXPECT_TRUE(differences(was, now).empty());
}

TEST(Manifest, KnowsAChangedInput) {
  const TemporaryFolder folder;
  Manifest was, now;
  was.input = describe_input(real_file_system(), folder.write("in", "one\n"));
  now.input = was.input;
  EXPECT_FALSE(input_differs(was, now));
  now.limit = 7;
  EXPECT_TRUE(input_differs(was, now));
  now.limit = -1;
  now.input = describe_input(real_file_system(), folder.write("in", "one\ntwo\n"));
  EXPECT_TRUE(input_differs(was, now));
  now.input = describe_input(real_file_system(), "-");
  EXPECT_EQ(now.input.bytes, -1);
  EXPECT_FALSE(input_differs(was, now));
  EXPECT_EQ(utc_time(1'772'366'400'123'456'789), "2026-03-01T12:00:00Z");
}

TEST(Manifest, AFailedWriteLeavesTheOldOne) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m");
  write_manifest(real_file_system(), path, manifest_of(1));
  const std::string before = read_file(path);
  for (const test::FileCall call :
       {test::FileCall::write, test::FileCall::sync, test::FileCall::rename}) {
    test::FaultyFileSystem files;
    files.fail_from(call, 0, EIO);
    EXPECT_TRUE(
        contains(error_of([&] { write_manifest(files, path, manifest_of(2)); }), "is as it was"));
    EXPECT_EQ(read_file(path), before);
  }
}

}  // namespace
}  // namespace spate::apps_test

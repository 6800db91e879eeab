// Output files: whole lines, refusals before the run, and disks that are full or fail.
#include "apps/writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "tests/apps/support.h"
#include "tests/support/faulty_files.h"

namespace spate {
namespace {

using apps_test::contains;
using apps_test::error_of;
using apps_test::TemporaryFolder;
using test::FaultyFileSystem;
using test::FileCall;

TEST(LineFile, RefusesWhatIsThere) {
  const TemporaryFolder folder;
  folder.write("out", "old\n");
  const std::string refused =
      error_of([&] { LineFile file(folder.file("out"), "--output", false); });
  EXPECT_TRUE(contains(refused, "--overwrite") && contains(refused, "4 bytes")) << refused;
  EXPECT_EQ(read_file(folder.file("out")), "old\n");
  LineFile(folder.file("out"), "--output", true).append("new\n");
  EXPECT_EQ(read_file(folder.file("out")), "new\n");
  folder.write("empty", "");
  EXPECT_EQ(error_of([&] { LineFile file(folder.file("empty"), "--output", false); }), "");
  EXPECT_TRUE(
      contains(error_of([&] { LineFile file(folder.path(), "--output", true); }), "is a folder"));
  EXPECT_TRUE(contains(error_of([&] { LineFile file(folder.file("no/such"), "--output", true); }),
                       "--output"));
}

TEST(LineFile, GoesOnAtTheEnd) {
  const TemporaryFolder folder;
  folder.write("out", "one\n");
  LineFile file(real_file_system(), folder.file("out"), "--output", Existing::append);
  EXPECT_EQ(file.end(), 4);
  file.append("two\nthree\n");
  EXPECT_EQ(read_file(folder.file("out")), "one\ntwo\nthree\n");
  EXPECT_EQ(file.read(4, 3), "two");
  EXPECT_TRUE(contains(error_of([&] { file.read(4, 100); }), "something else has cut it"));
  EXPECT_EQ(file.counts().bytes, 10);
  EXPECT_EQ(file.counts().lines, 2);
  file.clear();
  file.append("again\n");
  EXPECT_EQ(read_file(folder.file("out")), "again\n");
}

TEST(LineFile, ATemporaryOneIsReadBack) {
  LineFile file = LineFile::temporary(real_file_system(), "--ordered");
  file.append("one\n");
  file.clear();
  file.append("two\n");
  EXPECT_EQ(file.read(0, 4), "two\n");
}

TEST(LineFile, WritesWholeBlocksInShortPieces) {
  const TemporaryFolder folder;
  FaultyFileSystem files;
  files.write_at_most(3);
  LineFile file(files, folder.file("out"), "--output", Existing::refuse);
  file.append("a long line\n");
  EXPECT_EQ(read_file(folder.file("out")), "a long line\n");
}

TEST(LineFile, SyncsWhatIsNew) {
  const TemporaryFolder folder;
  FaultyFileSystem files;
  LineFile file(files, folder.file("out"), "--output", Existing::refuse);
  file.sync();
  EXPECT_EQ(files.count(FileCall::sync), 0);
  file.append("line\n");
  file.sync();
  file.sync();
  EXPECT_EQ(files.count(FileCall::sync), 1);
  EXPECT_EQ(file.counts().syncs, 1);
}

TEST(LineFile, AFullDiskTakesTheBegunBlockBack) {
  const TemporaryFolder folder;
  for (int64_t good = 0; good < 4; ++good) {  // writes of three bytes that succeed
    FaultyFileSystem files;
    LineFile file(files, folder.file("out"), "--output", Existing::replace, ". Go on like this.");
    file.append("first\n");
    files.write_at_most(3);
    files.fail_from(FileCall::write, good, ENOSPC);
    const std::string error = error_of([&] { file.append("a second line\n"); });
    EXPECT_TRUE(contains(error, "No space left") && contains(error, "free some space") &&
                contains(error, ". Go on like this."))
        << error;
    EXPECT_EQ(read_file(folder.file("out")), "first\n");
  }
}

TEST(LineFile, SaysWhenTheBlockCannotBeTakenBack) {
  const TemporaryFolder folder;
  FaultyFileSystem files;
  LineFile file(files, folder.file("out"), "--output", Existing::refuse);
  files.write_at_most(3);
  files.fail_from(FileCall::write, 1, EIO);
  class NoTruncate : public FaultyFileSystem {
   public:
    int truncate(int, int64_t) override {
      errno = EIO;
      return -1;
    }
  } broken;
  LineFile other(broken, folder.file("other"), "--output", Existing::refuse);
  broken.write_at_most(3);
  broken.fail_from(FileCall::write, 1, EIO);
  EXPECT_TRUE(contains(error_of([&] { other.append("a line\n"); }), "may be torn"));
  EXPECT_FALSE(contains(error_of([&] { file.append("a line\n"); }), "may be torn"));
}

TEST(LineFile, AFailedSyncIsAnError) {
  const TemporaryFolder folder;
  FaultyFileSystem files;
  files.fail_from(FileCall::sync, 0, EIO);
  LineFile file(files, folder.file("out"), "--output", Existing::refuse);
  file.append("line\n");
  EXPECT_TRUE(contains(error_of([&] { file.sync(); }), "cannot bring the data to disk"));
  EXPECT_EQ(read_file(folder.file("out")), "line\n");
}

// A limit on the size of files stands for a disk that fills up in the middle of a block.
TEST(LineFile, ATornBlockIsTakenBack) {
  const TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  {
    LineFile file(folder.file("out"), "--output", false);
    file.append("first\n");
    const rlimit small{.rlim_cur = 20, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_NE(error_of([&] { file.append("a line that does not fit any more\n"); }), "");
    ::setrlimit(RLIMIT_FSIZE, &before);
  }
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(read_file(folder.file("out")), "first\n");
}

TEST(SyncPolicy, IsReadFromAFlag) {
  SyncPolicy policy;
  set_sync_policy(policy)("always");
  EXPECT_TRUE(policy.due(0, 1) && !policy.due(100, 0));
  set_sync_policy(policy)("none");
  EXPECT_FALSE(policy.due(1e6, 1'000'000));
  set_sync_policy(policy)("2.5");
  EXPECT_TRUE(policy.due(2.5, 0));
  EXPECT_FALSE(policy.due(2.4, 999));
  EXPECT_TRUE(policy.due(1, 1000));
  EXPECT_FALSE(policy.due(0.5, 1'000'000));
  EXPECT_TRUE(contains(error_of([&] { set_sync_policy(policy)("often"); }), "none or always"));
}

}  // namespace
}  // namespace spate

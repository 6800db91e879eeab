// How a job starts: what is taken for its own, what is refused and with which words, what is told.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/apps/journal_support.h"

namespace spate::apps_test {
namespace {

using test::FaultyFileSystem;
using test::FileCall;

class JobStart : public testing::Test {
 protected:
  // A run of an earlier day: rows 0 and 2 answered, 3 failed for good, 4 and 5 not.
  void earlier_run(const OutputOptions& options) {
    JobFiles job(files_, options, manifest_of());
    job.begin();
    folder_.write("out", joined({answer_of(0), answer_of(2, true)}));
    folder_.write("out.errors.jsonl", joined({failure_of(3, kFinal), failure_of(4, kRetryable, 2),
                                              failure_of(5, kExpired)}));
    job.finish("SIGINT", {});
  }
  OutputOptions options() const { return {.output = folder_.file("out")}; }
  OutputOptions with(ResumeMode mode) const {
    OutputOptions options = this->options();
    options.resume = mode;
    return options;
  }
  std::string refused(const OutputOptions& options, const Manifest& manifest = manifest_of()) {
    try {
      JobFiles job(files_, options, manifest);
      job.begin();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
      return error.what();
    }
    return {};
  }
  std::string out() const { return read_file(folder_.file("out")); }

  TemporaryFolder folder_;
  FileSystem& files_ = real_file_system();
};

TEST_F(JobStart, AFreshOneMakesItsFiles) {
  JobFiles job(files_, options(), manifest_of());
  EXPECT_FALSE(file_exists(folder_.file("out")));  // nothing changes before begin
  EXPECT_FALSE(job.continues());
  EXPECT_TRUE(job.resumable());
  job.begin();
  EXPECT_EQ(out(), "");
  const auto manifest = read_manifest(files_, folder_.file("out.manifest.json"));
  ASSERT_TRUE(manifest);
  ASSERT_EQ(manifest->runs.size(), 1U);
  EXPECT_EQ(manifest->runs[0].ended, "");
  EXPECT_EQ(manifest->errors, folder_.file("out.errors.jsonl"));
  job.finish("end", JsonObject{{"rows", 3}});
  const auto after = read_manifest(files_, folder_.file("out.manifest.json"));
  EXPECT_EQ(after->runs[0].ended_by, "end");
  EXPECT_EQ(after->runs[0].report, Json(JsonObject{{"rows", 3}}));
}

TEST_F(JobStart, GoesOnWithWhatIsThere) {
  earlier_run(options());
  JobFiles job(files_, options(), manifest_of());
  ASSERT_TRUE(job.continues());
  const auto done = [&](int64_t row) { return job.is_done(job.journal().find(key_of(row))); };
  EXPECT_TRUE(done(0) && done(2) && done(3) && done(4));
  EXPECT_FALSE(done(1) || done(5));  // the deadline cut row 5 off
  EXPECT_EQ(job.journal().find(key_of(4)).attempts, 2);
  const Journal::Totals totals = job.journal().totals();
  EXPECT_EQ(totals.answered, 2);
  EXPECT_EQ(totals.failed, 3);
  EXPECT_EQ(totals.retryable, 1);
  EXPECT_EQ(totals.expired, 1);
  job.begin();
  EXPECT_EQ(job.manifest().runs.size(), 2U);
}

TEST_F(JobStart, RetriesWhatMaySucceed) {
  earlier_run(options());
  OutputOptions retry = options();
  retry.retry_errors = true;
  const JobFiles job(files_, retry, manifest_of());
  EXPECT_FALSE(job.is_done(job.journal().find(key_of(4))));
  EXPECT_TRUE(job.is_done(job.journal().find(key_of(3))));
}

TEST_F(JobStart, OtherSettingsAreRefusedByName) {
  earlier_run(options());
  const std::string error = refused(options(), manifest_of(0.7));
  for (const char* part :
       {"temperature was 1.0, is 0.7", "--resume=force", "--overwrite", "another name"}) {
    EXPECT_TRUE(contains(error, part)) << part << " is not in: " << error;
  }
  const std::string before = out();
  EXPECT_EQ(refused(with(ResumeMode::force), manifest_of(0.7)), "");
  EXPECT_EQ(out(), before);
  EXPECT_EQ(refused(options(), manifest_of(0.7)), "");  // the settings of the last run count
}

TEST_F(JobStart, AnOutputOfSomebodyElseIsRefused) {
  folder_.write("out", "precious\n");
  EXPECT_TRUE(contains(refused(options()), "--overwrite"));
  EXPECT_TRUE(contains(refused(with(ResumeMode::never)), "--overwrite"));
  EXPECT_TRUE(contains(refused(with(ResumeMode::force)), "carries a key"));
  EXPECT_EQ(out(), "precious\n");
  EXPECT_FALSE(file_exists(folder_.file("out.manifest.json")));
}

TEST_F(JobStart, LinesWithKeysAreGoneOnWithByForce) {
  folder_.write("out", joined({answer_of(0), R"({"note": 1})"}));
  EXPECT_TRUE(contains(refused(options()), "--resume=force"));
  JobFiles job(files_, with(ResumeMode::force), manifest_of());
  EXPECT_TRUE(job.continues());
  ASSERT_EQ(job.notes().size(), 1U);
  EXPECT_TRUE(contains(job.notes()[0], "line 2: {\"note\""));
  job.begin();
  EXPECT_EQ(out(), joined({answer_of(0), R"({"note": 1})"}));
}

TEST_F(JobStart, NoResumeRefusesItsOwn) {
  earlier_run(options());
  EXPECT_TRUE(contains(refused(with(ResumeMode::never)), "--no-resume"));
}

TEST_F(JobStart, OverwriteStartsAnew) {
  earlier_run(options());
  OutputOptions overwrite = options();
  overwrite.overwrite = true;
  JobFiles job(files_, overwrite, manifest_of(2));
  EXPECT_FALSE(out().empty());  // until begin
  job.begin();
  EXPECT_EQ(out(), "");
  EXPECT_FALSE(file_exists(folder_.file("out.errors.jsonl")));
  EXPECT_EQ(job.manifest().runs.size(), 1U);
}

TEST_F(JobStart, LeftoversWithoutAnOutputAreRefused) {
  earlier_run(options());
  std::filesystem::remove(folder_.file("out"));
  EXPECT_TRUE(contains(refused(options()), "--errors"));
  std::filesystem::remove(folder_.file("out.errors.jsonl"));
  folder_.write("out.part", "x\n");
  EXPECT_TRUE(contains(refused(options()), "out.part holds 2 bytes"));
  EXPECT_FALSE(file_exists(folder_.file("out")));
  std::filesystem::remove(folder_.file("out.part"));
  EXPECT_EQ(refused(options(), manifest_of(3)), "");  // nothing is there any more
}

TEST_F(JobStart, ABrokenManifestIsNotGuessedAt) {
  earlier_run(options());
  folder_.write("out.manifest.json", "{\"manifest\": 1, \"runs\"");
  const std::string error = refused(options());
  EXPECT_TRUE(contains(error, "out.manifest.json") && contains(error, "--overwrite")) << error;
  EXPECT_EQ(refused(with(ResumeMode::force)), "");
  EXPECT_EQ(refused(options()), "");  // it is whole again
}

TEST_F(JobStart, TornAndDamagedLinesGo) {
  earlier_run(options());
  const std::string zeros(300, '\0');
  folder_.write("out", answer_of(0) + "\n" + zeros + "\n" + answer_of(2) + "\n{\"id\":\"to");
  folder_.write("out.errors.jsonl", failure_of(3, kFinal) + "\n" + zeros);
  JobFiles job(files_, options(), manifest_of());
  EXPECT_EQ(job.notes().size(), 3U);
  job.begin();
  EXPECT_EQ(out(), joined({answer_of(0), answer_of(2)}));
  EXPECT_EQ(read_file(folder_.file("out.errors.jsonl")), failure_of(3, kFinal) + "\n");
}

TEST_F(JobStart, ASecondRunIsRefusedWhileOneWrites) {
  JobFiles late(files_, options(), manifest_of());
  JobFiles job(files_, options(), manifest_of());
  job.begin();
  EXPECT_TRUE(contains(refused(options()), "another run is writing to it"));
  EXPECT_TRUE(contains(error_of([&] { late.begin(); }), "another run has made it"));
  OutputOptions overwrite = options();
  overwrite.overwrite = true;
  EXPECT_TRUE(contains(refused(overwrite), "another run is writing to it"));
  // Also when the output was written anew under its name.
  KeySet none;
  folder_.write("other", joined({answer_of(0)}));
  std::filesystem::copy(folder_.file("other"), folder_.file("out"),
                        std::filesystem::copy_options::overwrite_existing);
  job.finish("end", {});
}

TEST_F(JobStart, TheLockFollowsARewrittenOutput) {
  earlier_run(options());
  JobFiles job(files_, options(), manifest_of());
  KeySet rows;
  rows.insert(key_of(0));
  rows.insert(key_of(3));
  EXPECT_EQ(job.drop_stale(rows), 3);
  EXPECT_EQ(out(), joined({answer_of(0)}));
  EXPECT_EQ(read_file(folder_.file("out.errors.jsonl")), joined({failure_of(3, kFinal)}));
  EXPECT_EQ(read_file(folder_.file("out.stale.jsonl")),
            joined({answer_of(2, true), failure_of(4, kRetryable, 2), failure_of(5, kExpired)}));
  EXPECT_EQ(job.journal().totals().answered, 1);
  EXPECT_TRUE(contains(refused(options()), "another run is writing to it"));
}

TEST_F(JobStart, WithoutLocksItSaysSo) {
  folder_.write("out", "");
  FaultyFileSystem files;
  files.fail_from(FileCall::lock, 0, ENOLCK);
  JobFiles job(files, options(), manifest_of());
  ASSERT_EQ(job.notes().size(), 1U);
  EXPECT_TRUE(contains(job.notes()[0], "cannot be locked"));
}

TEST_F(JobStart, SpecialOutputsKeepNothing) {
  const std::string pipe = folder_.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& path : {std::string("-"), pipe}) {
    OutputOptions special{.output = path, .errors = folder_.file("errors")};
    JobFiles job(files_, special, manifest_of());
    EXPECT_FALSE(job.resumable());
    EXPECT_FALSE(job.continues());
    job.begin();
    job.finish("end", {});
    EXPECT_FALSE(file_exists(path + ".manifest.json"));
    folder_.write("errors", "old\n");
    EXPECT_TRUE(contains(refused(special), "--errors"));
    special.overwrite = true;
    EXPECT_EQ(refused(special), "");
    EXPECT_FALSE(file_exists(folder_.file("errors")));
  }
}

TEST_F(JobStart, FoldersAndTheOutputAsErrorsAreRefused) {
  EXPECT_TRUE(contains(refused({.output = folder_.path()}), "is a folder"));
  EXPECT_TRUE(contains(refused({.output = folder_.file("no/such")}), "there is no folder"));
  EXPECT_TRUE(contains(refused({.output = folder_.file("x"), .errors = folder_.file("x")}),
                       "is the output"));
}

TEST_F(JobStart, TheInputMayChange) {
  earlier_run(options());
  Manifest other = manifest_of();
  other.input.fingerprint = "g";
  EXPECT_TRUE(JobFiles(files_, options(), other).input_changed());
  EXPECT_FALSE(JobFiles(files_, options(), manifest_of()).input_changed());
  other = manifest_of();
  other.limit = 3;
  EXPECT_TRUE(JobFiles(files_, options(), other).input_changed());
}

TEST_F(JobStart, AFullDiskLeavesEverythingAsItWas) {
  earlier_run(options());
  const std::string before = out();
  const std::string errors = read_file(folder_.file("out.errors.jsonl"));
  for (const FileCall call : {FileCall::write, FileCall::sync, FileCall::rename}) {
    FaultyFileSystem files;
    JobFiles job(files, options(), manifest_of());
    files.fail_from(call, 0, ENOSPC);
    KeySet none;
    EXPECT_NE(error_of([&] { job.drop_stale(none); }), "");
    EXPECT_EQ(out(), before);
    EXPECT_EQ(read_file(folder_.file("out.errors.jsonl")), errors);
    EXPECT_NE(error_of([&] { job.begin(); }), "");
    EXPECT_EQ(out(), before);
  }
  JobFiles job(files_, options(), manifest_of());
  EXPECT_EQ(job.journal().totals().answered, 2);
}

}  // namespace
}  // namespace spate::apps_test

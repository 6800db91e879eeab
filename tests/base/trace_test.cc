#include "base/trace.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/check.h"
#include "tests/support/trace.h"

namespace spate {
namespace {

class TraceTest : public testing::Test {
 protected:
  TraceTest() {
    std::string name = std::filesystem::temp_directory_path() / "spate-trace-XXXXXX";
    folder = ::mkdtemp(name.data());
    path = folder / "trace.json";
  }
  ~TraceTest() override { std::filesystem::remove_all(folder); }

  std::string error_of(const std::string& file) {
    try {
      const Trace trace(file);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "";
  }

  std::filesystem::path folder;
  std::string path;
};

TEST_F(TraceTest, SpansOfSeveralThreads) {
  {
    Trace trace(path);
    std::thread other([&] {
      for (int i = 0; i < 5000; ++i) {  // several blocks of the file
        TraceSpan span(&trace, TraceLane::writer, "write");
        span.set("line", i);
      }
    });
    {
      const TraceSpan outer(&trace, TraceLane::engine, "a \"quoted\" name");
      const TraceSpan inner(&trace, TraceLane::engine, "inner");
    }
    TraceSpan dropped(&trace, TraceLane::engine, "dropped");
    dropped.drop();
    other.join();
  }
  const auto events = test::read_trace(path);
  EXPECT_EQ(test::events_of(events, "host writer").size(), 5000U);
  EXPECT_EQ(test::events_of(events, "host writer").back().argument("line"), 4999);
  const auto engine = test::events_of(events, "host engine");
  ASSERT_EQ(engine.size(), 2U);
  EXPECT_EQ(engine[0].name, "a \"quoted\" name");
  test::expect_nested(events, "host engine");
  test::expect_nested(events, "host writer");
}

TEST_F(TraceTest, ReplacesTracesAlone) {
  for (int i = 0; i < 2; ++i) {
    Trace trace(path);
    trace.add(TraceLane::main, "x", 0, 1, {});
    trace.close();
    trace.add(TraceLane::main, "late", 0, 1, {});
  }
  EXPECT_EQ(test::read_trace(path).size(), 1U);
  const std::string other = folder / "answers.jsonl";
  std::ofstream(other) << "{\"id\": 1}\n";
  EXPECT_NE(error_of(other).find("is no trace"), std::string::npos);
  EXPECT_GT(std::filesystem::file_size(other), 0U);
  EXPECT_NE(error_of(folder / "none" / "trace.json").find("none/trace.json"), std::string::npos);
  EXPECT_NE(error_of(folder), "");
}

TEST_F(TraceTest, AFullDiskEndsTheTraceAlone) {
  Trace trace("/dev/full");
  for (int i = 0; i < 5000; ++i) trace.add(TraceLane::main, "x", 0, 1, {});
  trace.close();
  EXPECT_NE(trace.problem().find("No space left"), std::string::npos) << trace.problem();
}

TEST_F(TraceTest, NothingWithoutATrace) {
  TraceSpan span(nullptr, TraceLane::main, "x");
  span.set("a", 1);
}

}  // namespace
}  // namespace spate

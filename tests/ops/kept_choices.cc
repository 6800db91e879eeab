// Choices that are kept in a file: found again by the same device alone, whatever the file holds;
// and products that are measured on a GPU.
#include "backend/kept_choices.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/json.h"
#include "tests/ops/products.h"

namespace spate {
namespace {

class KeptChoicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / cat("spate-choices-", ::getpid());
    path_ = folder_ / "deep" / "choices.json";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& text) {
    std::filesystem::create_directories(path_.parent_path());
    std::ofstream(path_) << text;
  }
  std::string found(const std::string& key, const std::string& device = "this") const {
    const KeptChoices choices(path_, device);
    const std::string* choice = choices.find(key);
    return choice == nullptr ? "" : *choice;
  }

  std::filesystem::path folder_, path_;
};

TEST_F(KeptChoicesTest, AreFoundAgain) {
  KeptChoices choices(path_, "this");
  EXPECT_EQ(choices.find("a"), nullptr);
  choices.put("a", "1");
  choices.put("b \"quoted\"", "2");
  choices.put("a", "3");
  EXPECT_EQ(*choices.find("a"), "3");
  EXPECT_EQ(found("a"), "3");
  EXPECT_EQ(found("b \"quoted\""), "2");
  EXPECT_EQ(found("c"), "");
  for (const auto& entry : std::filesystem::directory_iterator(path_.parent_path())) {
    EXPECT_EQ(entry.path(), path_) << "left behind";
  }
}

TEST_F(KeptChoicesTest, HoldForOneDevice) {
  KeptChoices(path_, "this").put("a", "1");
  EXPECT_EQ(found("a", "another"), "");
  KeptChoices(path_, "another").put("b", "2");
  EXPECT_EQ(found("a"), "");
  EXPECT_EQ(found("b", "another"), "2");
}

TEST_F(KeptChoicesTest, WhatAnotherProgramAddsStays) {
  KeptChoices one(path_, "this"), other(path_, "this");
  one.put("a", "1");
  other.put("b", "2");
  EXPECT_EQ(found("a"), "1");
  EXPECT_EQ(found("b"), "2");
}

TEST_F(KeptChoicesTest, ADamagedFileCountsAsNone) {
  for (const char* text :
       {"", "{", "[]", "{\"holds_for\":\"this\"}", "{\"holds_for\":1,\"choices\":{}}",
        "{\"holds_for\":\"this\",\"choices\":{\"a\":1}}",
        "{\"holds_for\":\"this\",\"choices\":[\"a\"]}"}) {
    write(text);
    EXPECT_EQ(found("a"), "") << text;
    KeptChoices(path_, "this").put("a", "1");
    EXPECT_EQ(found("a"), "1") << text;
  }
}

TEST_F(KeptChoicesTest, LastWhereNoFileCanBe) {
  for (const std::string& path : {std::string(), std::string("/proc/nothing/choices.json")}) {
    KeptChoices choices(path, "this");
    choices.put("a", "1");
    EXPECT_EQ(*choices.find("a"), "1");
  }
}

// Products that came often are measured, give the same as before, and leave a file, of which
// anything may be wrong.
TEST_F(KeptChoicesTest, ProductsOnAGpuAreMeasured) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kRows = 130;
  const char* const before = std::getenv("XDG_CACHE_HOME");
  const std::string kept = before == nullptr ? "" : before;
  setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
  test::Preparer preparer({{&kBf16, 1000, 512, false}}, 3, kRows);
  const auto multiply = [&](int times) {
    const auto backend = open_cuda_backend({.activation = DType::bf16}, 0);
    backend->set_waiting(true);
    const test::Prepared& prepared = preparer.first_of(*backend);
    const Weight weight = backend->place(prepared.weight.host);
    test::Owned out({kRows, prepared.c.out}, DType::bf16);
    for (int i = 0; i < times; ++i) {
      out.poison();
      backend->run(prepared.op(weight, 0, out, true));
    }
    test::expect_close(out, prepared.values(kRows), prepared.tolerances(kRows, DType::bf16),
                       cat("run ", times));
  };
  multiply(70);
  const std::filesystem::path folder = folder_ / "spate";
  ASSERT_TRUE(std::filesystem::exists(folder));
  const auto file = std::filesystem::directory_iterator(folder)->path();
  Json all = parse_json_file(file.string());
  const JsonObject choices = all.find("choices")->as_object();
  ASSERT_EQ(choices.size(), 1U);
  EXPECT_EQ(choices[0].first, "bf16 1000 x 512 to bf16, rows to 256");
  multiply(2);
  for (const std::string& damaged :
       {std::string(128, '0'), std::string(128, 'f'), std::string("g")}) {
    Json others;
    others.set(choices[0].first, damaged);
    all.set("choices", others);
    std::ofstream(file) << all.dump();
    multiply(2);
  }
  if (kept.empty()) {
    unsetenv("XDG_CACHE_HOME");
  } else {
    setenv("XDG_CACHE_HOME", kept.c_str(), 1);
  }
}

}  // namespace
}  // namespace spate

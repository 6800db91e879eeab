// A sampler over logits given as plain numbers, for the tests of rules and draws, on the CPU and on
// a GPU where one is.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "sample/sampler.h"
#include "tests/support/devices.h"

namespace spate {

// One row of a batch, owning what SampleRow only points to.
struct TestRow {
  std::vector<float> logits;
  Params params;
  std::vector<Token> tokens{0};  // prompt and generated
  int64_t prompt_length = 1;
  std::vector<Token> end_tokens;
  uint64_t key = 0;
};

// Tests that run on each device.
class OnDevices : public testing::TestWithParam<TestDevice> {
 protected:
  void SetUp() override {
    const std::string reason = reason_to_skip(GetParam());
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
};

// Logits are f32 whatever hidden states are.
inline auto sampling_devices() {
  return testing::Values(TestDevice{"cpu"}, TestDevice{"gpu", true, DType::f32});
}

inline std::string device_name(const testing::TestParamInfo<TestDevice>& device) {
  return device.param.name;
}

inline BackendOptions with_threads(BackendOptions options, int threads) {
  options.threads = threads;
  return options;
}

class TestSampler {
 public:
  TestSampler(const TestDevice& device, int64_t max_rows, int64_t vocabulary, int threads = 1)
      : backend_(open_backend(with_threads(device.options(), threads))),
        sampler_(*backend_, max_rows, vocabulary),
        results_(*backend_, max_rows),
        memory_(backend_->allocate(static_cast<size_t>(max_rows * vocabulary) * sizeof(float))),
        logits_(memory_.view({max_rows, vocabulary}, DType::f32)) {}

  std::vector<Sampled> sample(const std::vector<TestRow>& rows) {
    std::vector<SampleRow> views;
    for (const TestRow& row : rows) {
      upload(static_cast<int64_t>(views.size()), row.logits);
      views.push_back({.params = &row.params,
                       .tokens = row.tokens,
                       .prompt_length = row.prompt_length,
                       .end_tokens = row.end_tokens,
                       .key = row.key});
    }
    results_.clear();
    sampler_.launch(logits_.slice(0, static_cast<int64_t>(rows.size())), views, results_);
    backend_->wait(backend_->mark());
    std::vector<Sampled> sampled;
    for (const SampleRow& view : views) sampled.push_back(results_.take(view));
    return sampled;
  }
  Sampled sample(const TestRow& row) { return sample(std::vector<TestRow>{row}).front(); }

  std::vector<TokenLogprob> score(const std::vector<std::vector<float>>& rows,
                                  const std::vector<Token>& chosen, int64_t top) {
    for (size_t r = 0; r < rows.size(); ++r) upload(static_cast<int64_t>(r), rows[r]);
    return sampler_.score(logits_.slice(0, static_cast<int64_t>(rows.size())), chosen, top);
  }

  // The logits of a row as the rules of the last sample() left them.
  std::vector<float> left(int64_t row = 0) const {
    std::vector<float> out(static_cast<size_t>(logits_.row_size()));
    backend_->download(out.data(), logits_.slice(row, 1));
    return out;
  }

 private:
  void upload(int64_t row, const std::vector<float>& logits) {
    ASSERT_EQ(static_cast<int64_t>(logits.size()), logits_.row_size());
    backend_->upload(logits_.slice(row, 1), logits.data());
  }

  std::unique_ptr<Backend> backend_;
  Sampler sampler_;
  SampleResults results_;
  Buffer memory_;
  Tensor logits_;
};

}  // namespace spate

// Covers sample/fields.cc: any JSON is either refused with a text, or gives params within their
// bounds. The first byte chooses whether token ids are checked against a vocabulary.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/check.h"
#include "sample/fields.h"

namespace {

constexpr int64_t kVocabulary = 1000;

void expect(bool holds) {
  if (!holds) std::abort();
}

void check_params(const spate::Params& params, int64_t vocabulary) {
  expect(params.temperature >= 0 && params.temperature <= 100);
  expect(params.top_k >= 0 && params.top_p > 0 && params.top_p <= 1);
  expect(params.min_p >= 0 && params.min_p <= 1);
  expect(params.repetition_penalty > 0);
  expect(params.n >= 1 && params.n <= spate::kMostSamples);
  expect(params.max_tokens >= 0 && params.min_tokens >= 0);
  expect(params.max_tokens == 0 || params.min_tokens <= params.max_tokens);
  expect(params.logprobs.value_or(0) >= 0 && params.logprobs.value_or(0) <= spate::kMostLogprobs);
  expect(params.loop_stop.min_pattern >= 1 && params.loop_stop.min_count != 1);
  for (const auto& [token, bias] : params.logit_bias) {
    expect(token >= 0 && bias >= -100 && bias <= 100 && (vocabulary == 0 || token < vocabulary));
  }
  for (const spate::Token token : params.allowed_tokens) {
    expect(token >= 0 && (vocabulary == 0 || token < vocabulary));
  }
  for (const auto& run : params.bad_tokens) expect(!run.empty());
  for (const std::string& text : params.stop) expect(!text.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const int64_t vocabulary = data[0] % 2 == 0 ? kVocabulary : 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  try {
    const spate::Json json = spate::parse_json(text, "fuzz");
    spate::Params params;
    const spate::FieldsRead read = spate::read_fields(json, params, vocabulary);
    if (read.error) {
      expect(!read.error->text.empty());
    } else {
      check_params(params, vocabulary);
    }
  } catch (const spate::Error&) {  // no JSON
  }
  for (const spate::Field& field : spate::sampling_fields()) {
    try {
      spate::flag_json(field, std::string(text), nullptr);
    } catch (const spate::Error&) {
    }
  }
  return 0;
}

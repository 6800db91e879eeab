// Tensors that folders store in forms of their own, against plain loops over what is stored.
#include "load/stored_forms.h"

#include <cmath>

#include "tensor/half.h"
#include "tests/load/support.h"

namespace spate {
namespace {

using load_test::decoded;
using load_test::expect_error;

// Bytes of no pattern that repeats soon; none is a NaN of e4m3.
HostTensor tensor_of(const Format& format, const Shape& shape) {
  const auto bytes = std::make_shared<std::vector<std::byte>>(
      static_cast<size_t>(format.row_bytes(shape.elements())));
  for (size_t i = 0; i < bytes->size(); ++i) {
    (*bytes)[i] = static_cast<std::byte>((i * 131 + i / 251 * 17) % 127);
  }
  return {.format = &format, .shape = shape, .bytes = *bytes, .owner = bytes};
}

float value_at(const HostTensor& tensor, int64_t index) {
  float value = 0;
  tensor.format->decode(tensor.bytes.data() + index * tensor.format->block_bytes, {&value, 1});
  return value;
}

int byte_at(const HostTensor& tensor, int64_t index) {
  return std::to_integer<int>(tensor.bytes[static_cast<size_t>(index)]);
}

// ---- fp8

struct Fp8 {
  Config config{.dtype = "f32", .fp8_blocks = {128, 96}};
  HostTensor codes = tensor_of(kE4m3, {200, 260});
  HostTensor scales = tensor_of(kBf16, {2, 3});
  TensorMap tensors{{"a.weight", codes}, {"a.weight_scale_inv", scales}};

  void join() { join_fp8_scales(config, "folder", tensors); }
  float at(int64_t row, int64_t column) const {
    return value_at(codes, row * 260 + column) * value_at(scales, row / 128 * 3 + column / 96);
  }
};

TEST(StoredForms, Fp8IsCodeTimesTheScaleOfItsBlock) {
  for (const char* dtype : {"f32", "bf16", "f16"}) {
    Fp8 fp8;
    fp8.config.dtype = dtype;
    fp8.join();
    ASSERT_EQ(fp8.tensors.size(), 1U);
    const HostTensor& joined = fp8.tensors.at("a.weight");
    const bool exact = std::string_view(dtype) == "f32";
    EXPECT_EQ(joined.format, exact ? &kF32 : &kBf16);
    EXPECT_EQ(joined.shape, (Shape{200, 260}));
    EXPECT_EQ(joined.stored_bytes, 200U * 260 + 2 * 3 * 2);
    const std::vector<float> found = decoded(joined);
    for (int64_t row = 0; row < 200; ++row) {
      for (int64_t column = 0; column < 260; ++column) {
        const float value = fp8.at(row, column);
        const float want = exact ? value : bf16_to_f32(f32_to_bf16(value));
        ASSERT_EQ(found[static_cast<size_t>(row * 260 + column)], want) << row << ", " << column;
      }
    }
  }
}

TEST(StoredForms, Fp8OfQueriesKeysAndValuesIsCutAfterwards) {
  Fp8 fp8;
  fp8.config.heads = 6;
  fp8.config.kv_heads = 2;
  fp8.config.head_width = 20;
  fp8.tensors = {{"x.query_key_value.weight", fp8.codes},
                 {"x.query_key_value.weight_scale_inv", fp8.scales}};
  fp8.join();
  split_query_key_value(fp8.config, "folder", fp8.tensors);
  ASSERT_EQ(fp8.tensors.size(), 3U);
  int64_t row = 0;
  size_t stored = 0;
  for (const char* name : {"x.q_proj.weight", "x.k_proj.weight", "x.v_proj.weight"}) {
    const HostTensor& part = fp8.tensors.at(name);
    EXPECT_EQ(part.shape, (Shape{row == 0 ? 120 : 40, 260}));
    stored += part.stored_bytes;
    EXPECT_EQ(decoded(part).front(), fp8.at(row, 0)) << name;
    row += part.shape[0];
    EXPECT_EQ(decoded(part).back(), fp8.at(row - 1, 259)) << name;
  }
  EXPECT_LE(stored, 200U * 260 + 2 * 3 * 2);
}

TEST(StoredForms, Fp8ThatCannotBeReadNamesTheTensor) {
  Fp8 fp8;
  fp8.config.fp8_blocks = {};
  expect_error([&] { fp8.join(); }, {"folder", "\"a.weight\"", "F8_E4M3", "quantization_config"});
  fp8 = Fp8();
  fp8.tensors.erase("a.weight_scale_inv");
  expect_error([&] { fp8.join(); }, {"folder", "has no tensor \"a.weight_scale_inv\""});
  fp8 = Fp8();
  fp8.config.fp8_blocks = {128, 128};
  fp8.tensors.at("a.weight_scale_inv").shape = {3, 2};
  expect_error([&] { fp8.join(); },
               {"folder", "\"a.weight_scale_inv\" is [3, 2]", "expected [2, 3]"});
  fp8 = Fp8();
  fp8.tensors.at("a.weight").shape = {200 * 260};
  expect_error([&] { fp8.join(); }, {"\"a.weight\"", "matrices"});
}

// ---- gpt-oss

const std::string kExperts = "model.layers.0.mlp.experts.";
constexpr int64_t kCount = 3, kWidth = 96, kInner = 64;

Config gpt_oss() {
  Config config{.architecture = "gpt-oss", .layers = 1, .width = kWidth};
  config.experts = {.count = kCount, .inner_width = kInner};
  return config;
}

void split(TensorMap& tensors) { split_gpt_oss_experts(gpt_oss(), "folder", tensors); }

std::string name_of(int64_t expert, std::string_view part) {
  return cat(kExperts, expert, ".", part);
}

TEST(StoredForms, PackedExpertsHaveTheirBlocks) {
  constexpr float kValues[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const HostTensor blocks = tensor_of(kBytes, {kCount, 2 * kInner, kWidth / 32, 16});
  const HostTensor scales = tensor_of(kBytes, {kCount, 2 * kInner, kWidth / 32});
  TensorMap tensors{{kExperts + "gate_up_proj_blocks", blocks},
                    {kExperts + "gate_up_proj_scales", scales}};
  split(tensors);
  ASSERT_EQ(tensors.size(), size_t{2 * kCount});
  for (int64_t expert = 0; expert < kCount; ++expert) {
    for (int64_t part = 0; part < 2; ++part) {
      const HostTensor& found =
          tensors.at(name_of(expert, part == 0 ? "gate_proj.weight" : "up_proj.weight"));
      EXPECT_EQ(found.format, &kMxfp4);
      EXPECT_EQ(found.shape, (Shape{kInner, kWidth}));
      const std::vector<float> values = decoded(found);
      for (int64_t row = 0; row < kInner; ++row) {
        const int64_t output = expert * 2 * kInner + 2 * row + part;
        for (int64_t i = 0; i < kWidth; ++i) {
          const int code = byte_at(blocks, output * kWidth / 2 + i / 2) >> 4 * (i % 2) & 15;
          const int exponent = byte_at(scales, output * kWidth / 32 + i / 32) - 127;
          const float want = std::ldexp(kValues[code & 7], exponent) * (code < 8 ? 1 : -1);
          ASSERT_EQ(values[static_cast<size_t>(row * kWidth + i)], want) << row << ", " << i;
        }
      }
    }
  }
}

TEST(StoredForms, PlainExpertsAreTurned) {
  const HostTensor weight = tensor_of(kBf16, {kCount, kInner, kWidth});
  const HostTensor bias = tensor_of(kF32, {kCount, 2 * kInner});
  TensorMap tensors{{kExperts + "down_proj", weight}, {kExperts + "gate_up_proj_bias", bias}};
  split(tensors);
  ASSERT_EQ(tensors.size(), size_t{3 * kCount});
  const HostTensor& down = tensors.at(name_of(2, "down_proj.weight"));
  EXPECT_EQ(down.shape, (Shape{kWidth, kInner}));
  const std::vector<float> values = decoded(down);
  for (int64_t output = 0; output < kWidth; ++output) {
    for (int64_t i = 0; i < kInner; ++i) {
      ASSERT_EQ(values[static_cast<size_t>(output * kInner + i)],
                value_at(weight, (2 * kInner + i) * kWidth + output));
    }
  }
  const HostTensor& up = tensors.at(name_of(1, "up_proj.bias"));
  EXPECT_EQ(up.shape, (Shape{kInner}));
  for (int64_t i = 0; i < kInner; ++i) {
    ASSERT_EQ(decoded(up)[static_cast<size_t>(i)], value_at(bias, 2 * kInner + 2 * i + 1));
  }
}

TEST(StoredForms, ExpertsOfOtherSizesNameTheTensor) {
  const auto refuse = [](TensorMap tensors, std::initializer_list<std::string_view> parts) {
    expect_error([&] { split(tensors); }, parts);
  };
  const std::string blocks = kExperts + "down_proj_blocks", scales = kExperts + "down_proj_scales";
  const Shape whole{kCount, kWidth, kInner / 32, 16}, of_scales{kCount, kWidth, kInner / 32};
  refuse({{blocks, tensor_of(kBytes, whole)}}, {"folder", "has no tensor", "down_proj_scales"});
  refuse({{blocks, tensor_of(kBytes, {kCount, kWidth, 3, 16})},
          {scales, tensor_of(kBytes, of_scales)}},
         {"folder", "down_proj_blocks\" is [3, 96, 3, 16]", "expected [3, 96, 2, 16]"});
  refuse({{blocks, tensor_of(kBytes, whole)}, {scales, tensor_of(kF32, of_scales)}},
         {"down_proj_blocks", "bytes and f32", "expected U8"});
  refuse({{kExperts + "down_proj", tensor_of(kF32, {kCount, kWidth, kInner})}},
         {"down_proj\" is [3, 96, 64]", "expected [3, 64, 96]"});
  refuse({{kExperts + "down_proj_bias", tensor_of(kF32, {kCount, kInner})}},
         {"down_proj_bias\" is [3, 64]", "expected [3, 96]"});
}

}  // namespace
}  // namespace spate

// The bits of attention: a token's result is the same alone, batched, in chunks of any size, in
// other segments, with other threads and by other kernels; on a GPU, with the kernels that promise
// it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>

#include "tests/ops/attention_step.h"

namespace spate {
namespace {

using test::AttentionCase;
using test::Past;
using test::StepOf;

// The setups whose bits must not depend on the batch: the CPU; on a GPU the kernels that promise
// it, and the ones that are chosen when it is asked for.
void for_each_steady_setup(DType cache, const test::SetupBody& body) {
  if (cache != DType::e4m3) test::for_each_cpu_setup("attention", body);
  if (!test::has_gpu()) return;
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const char* kernels : {"", "attention=hopper", "attention=prefill",
                                "attention=latent_whole", "attention=general"}) {
      const bool forced = *kernels != 0;
      const auto backend =
          open_cuda_backend({.activation = type, .deterministic = !forced, .kernels = kernels}, 0);
      backend->set_waiting(true);
      test::run_setup(*backend, cat("GPU ", name_of(type), " ", kernels, ", "), forced, body);
    }
  }
}

// Runs all sequences' last tokens in some way and compares with each token run alone by the setup
// that comes first for its instruction set (on a GPU: for its kernel).
class AttentionBits : public testing::TestWithParam<AttentionCase> {};

const std::byte* bytes_of(const Tensor& tensor, int64_t row) {
  return tensor.as<std::byte>() +
         row * tensor.row_stride * static_cast<int64_t>(size_of(tensor.dtype));
}

TEST_P(AttentionBits, DependOnTheTokenAlone) {
  const AttentionCase& c = GetParam();
  std::map<DType, Past> pasts;                                       // by type of hidden states
  std::map<std::string, std::vector<std::vector<std::byte>>> alone;  // by instruction set
  const auto past_of = [&](Backend& backend) -> const Past& {
    const DType type = backend.activation_type();
    return pasts.try_emplace(type, c, 23, type).first->second;
  };
  const auto expect_alone = [&](Backend& backend, const std::string& name,
                                const std::vector<StepOf::Part>& parts) {
    const Past& past = past_of(backend);
    StepOf step(c, past, parts);
    const Tensor out = step.out(backend, past);
    const std::vector<std::vector<std::byte>>& expected = alone.at(name.substr(0, name.find(',')));
    int64_t t = 0;
    for (const StepOf::Part& part : parts) {
      for (int p = part.begin; p < part.end; ++p, ++t) {
        const int from = c.rows[part.sequence].length - c.rows[part.sequence].tokens;
        size_t index = static_cast<size_t>(p - from);
        for (size_t b = 0; b < part.sequence; ++b) index += static_cast<size_t>(c.rows[b].tokens);
        ASSERT_EQ(std::memcmp(bytes_of(out, t), expected[index].data(), expected[index].size()), 0)
            << name << ": sequence " << part.sequence << ", position " << p;
      }
    }
  };

  for_each_steady_setup(c.cache, [&](Backend& backend, const std::string& name) {
    const std::string isa = name.substr(0, name.find(','));
    if (!alone.contains(isa)) {
      const Past& past = past_of(backend);
      std::vector<std::vector<std::byte>> results;
      for (const StepOf::Part& row : parts_of(c)) {
        for (int p = row.begin; p < row.end; ++p) {
          StepOf step(c, past, {{row.sequence, p, p + 1, {}}});
          const Tensor out = step.out(backend, past);
          const std::byte* bytes = bytes_of(out, 0);
          results.emplace_back(bytes, bytes + c.heads * c.values() * size_of(out.dtype));
        }
      }
      alone[isa] = std::move(results);
    }
    expect_alone(backend, name, parts_of(c));
    for (const int chunk : {2, 5, 33}) {
      for (const std::vector<int>& segments :
           {std::vector<int>{}, std::vector<int>{1}, std::vector<int>{37, 128, 3}}) {
        // Chunk i of every sequence is one step.
        for (int i = 0;; ++i) {
          std::vector<StepOf::Part> parts;
          for (StepOf::Part part : parts_of(c)) {
            const int begin = part.begin + i * chunk;
            if (begin < part.end) {
              parts.push_back({part.sequence, begin, std::min(begin + chunk, part.end), segments});
            }
          }
          if (parts.empty()) break;
          expect_alone(backend, name, parts);
        }
        if (chunk < 5) break;  // many small steps: one layout is enough
      }
    }
  });
}

AttentionCase latent_case(const std::string& name, int heads, int width, int value_width) {
  AttentionCase c{name, heads, 1, width, {{300, 40, {77}}, {129, 3, {}}, {600, 1, {}}}};
  if (width > 500) {
    c.rows = {{150, 17, {77}}, {129, 3, {}}, {200, 1, {}}};
    c.cache = DType::bf16;
  }
  c.value_width = value_width;
  c.in_keys = true;
  return c;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, AttentionBits,
    testing::Values(
        AttentionCase{"plain", 6, 2, 64, {{300, 40, {77}}, {129, 3, {}}, {700, 1, {}}}},
        AttentionCase{
            "window_sinks", 3, 1, 32, {{280, 60, {5}}, {600, 2, {}}}, DType::bf16, 150, 4, true},
        AttentionCase{"width_128",
                      8,
                      2,
                      128,
                      {{200, 40, {77}}, {129, 3, {}}, {170, 1, {}}},
                      DType::bf16,
                      0,
                      0,
                      true},
        AttentionCase{
            "window_64", 6, 2, 64, {{300, 40, {}}, {180, 20, {}}}, DType::bf16, 70, 9, true},
        AttentionCase{"width_256_bf16", 3, 1, 256, {{260, 40, {}}, {90, 1, {}}}, DType::bf16},
        AttentionCase{
            "plain_e4m3", 6, 2, 64, {{300, 40, {77}}, {129, 3, {}}, {700, 1, {}}}, DType::e4m3},
        AttentionCase{"all_e4m3",
                      8,
                      2,
                      128,
                      {{200, 40, {77}}, {129, 3, {}}, {170, 1, {}}},
                      DType::e4m3,
                      90,
                      9,
                      true},
        AttentionCase{"window_96", 3, 1, 96, {{180, 40, {}}, {150, 20, {}}}, DType::f16, 70, 9},
        AttentionCase{"width_256", 3, 1, 256, {{160, 20, {}}, {90, 1, {}}}, DType::f16},
        AttentionCase{"width_20", 4, 2, 20, {{280, 60, {}}, {400, 1, {}}}, DType::f32, 0, 0, true},
        latent_case("latent", 6, 96, 64), latent_case("latent_20", 3, 28, 20),
        latent_case("latent_512", 12, 576, 512)),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace spate

// The CPU backend by itself: opening, forcing instruction sets and kernels, memory. And how a
// kernel is chosen from a list, on any device.
#include <gtest/gtest.h>

#include <numeric>

#include "backend/kernel_choice.h"
#include "tests/ops/support.h"

namespace spate {
namespace {

std::string error_of(const BackendOptions& options) {
  try {
    open_cpu_backend(options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(CpuBackend, DescribesItself) {
  EXPECT_EQ(open_cpu_backend({.threads = 3, .instruction_set = "generic"})->describe(),
            "CPU, 3 threads, generic");
  EXPECT_EQ(open_cpu_backend({.threads = 1, .instruction_set = "generic"})->describe(),
            "CPU, 1 thread, generic");
}

TEST(CpuBackend, RefusesUnknownChoicesAndListsTheKnownOnes) {
  EXPECT_NE(error_of({.instruction_set = "mmx"}).find("generic"), std::string::npos);
  EXPECT_NE(error_of({.threads = -1}).find("-1"), std::string::npos);
  const std::string text = error_of({.kernels = "attention=magic"});
  EXPECT_NE(text.find("attention=magic"), std::string::npos) << text;
  EXPECT_NE(error_of({.kernels = "magic"}), "");
  for (const cpu::Isa& isa : cpu::all_isas()) {
    if (isa.present) continue;
    EXPECT_NE(error_of({.instruction_set = std::string(isa.name)}).find("lacks"),
              std::string::npos);
  }
}

TEST(CpuBackend, MemoryIsZeroedAlignedAndCounted) {
  const auto backend = open_cpu_backend({.threads = 1});
  for (const size_t bytes : {size_t{1}, size_t{1000}, size_t{9} << 20}) {
    const Buffer buffer = backend->allocate(bytes);
    const auto* data = static_cast<const unsigned char*>(buffer.data());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0U);
    EXPECT_EQ(std::accumulate(data, data + bytes, 0), 0);
  }
  EXPECT_THROW(backend->allocate(size_t{1} << 60), Error);
  const MemoryInfo info = backend->memory();
  EXPECT_GT(info.free, 0U);
  EXPECT_GE(info.total, info.free);
}

TEST(CpuBackend, CopiesInAndOut) {
  const auto backend = open_cpu_backend({.threads = 1});
  const Buffer buffer = backend->allocate(64);
  const Tensor tensor = buffer.view({3}, DType::i32);
  const int32_t in[3] = {5, -6, 7};
  int32_t out[3] = {};
  backend->upload(tensor, in);
  backend->download(out, tensor);
  EXPECT_EQ(out[1], -6);
  EXPECT_EQ(out[2], 7);
}

TEST(CudaBackend, ReplaysWhatWasRecordedLast) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  const auto backend = open_cuda_backend({.activation = DType::f32}, 0);
  ASSERT_TRUE(backend->can_record());
  const Buffer buffer = backend->allocate(4 * sizeof(float));
  const Tensor x = buffer.view({1, 4}, DType::f32);
  const auto last_of_ones = [&](const Recording& recording) {
    float values[4] = {1, 1, 1, 1};
    backend->upload(x, values);
    backend->replay(recording);
    backend->download(values, x);
    return values[3];
  };
  const auto scale = [&](float factor) { backend->run(op::Scale{.x = x, .factor = factor}); };
  const auto recording = backend->record([&] { scale(2); });
  EXPECT_EQ(last_of_ones(*recording), 2);
  EXPECT_EQ(last_of_ones(*recording), 2);
  backend->record_anew(*recording, [&] { scale(3); });  // the same kernel
  EXPECT_EQ(last_of_ones(*recording), 3);
  backend->record_anew(*recording, [&] { backend->run(op::Add{.a = x, .b = x, .out = x}); });
  EXPECT_EQ(last_of_ones(*recording), 2);
  backend->record_anew(*recording, [&] {  // more of them
    scale(3);
    scale(5);
  });
  EXPECT_EQ(last_of_ones(*recording), 15);
}

TEST(KernelChoice, DeterministicOnesPassOverTheOthersWhereverTheyStand) {
  struct Kernel {
    std::string_view name;
    bool (*accepts)(int problem);
    bool bits_of_token;
  };
  const auto small = [](int problem) { return problem < 10; };
  const auto all = [](int) { return true; };
  const Kernel kernels[] = {{"fast", small, false},
                            {"steady", small, true},
                            {"wide", all, false},
                            {"general", all, true}};
  EXPECT_EQ(family_of<Kernel>("op", kernels).kernels,
            (std::vector<std::string_view>{"fast", "steady", "wide", "general"}));
  KernelChoice free, forced{.forced = {.entries = {{.op = "op", .kernel = "wide"}}}, .chosen = {}};
  const auto chosen = [&](KernelChoice& choice, int problem, bool deterministic) {
    return choose_kernel<Kernel>(kernels, "op", choice, problem, deterministic).name;
  };
  EXPECT_EQ(chosen(free, 1, false), "fast");
  EXPECT_EQ(chosen(free, 1, true), "steady");
  EXPECT_EQ(chosen(free, 99, false), "wide");
  EXPECT_EQ(chosen(free, 99, true), "general");
  EXPECT_EQ(chosen(forced, 1, false), "wide");
  EXPECT_THROW(chosen(forced, 1, true), Error);
}

TEST(KernelChoice, WhatDoesNotPayRunsWhenItIsForced) {
  struct Kernel {
    std::string_view name;
    bool (*accepts)(int problem);
    bool (*pays)(int problem);
  };
  const auto all = [](int) { return true; };
  const Kernel kernels[] = {
      {"large", [](int problem) { return problem > 0; }, [](int problem) { return problem > 9; }},
      {"general", all, all}};
  KernelChoice free, forced{.forced = {.entries = {{.op = "op", .kernel = "large"}}}, .chosen = {}};
  const auto chosen = [&](KernelChoice& choice, int problem) {
    return choose_kernel<Kernel>(kernels, "op", choice, problem).name;
  };
  EXPECT_EQ(chosen(free, 10), "large");
  EXPECT_EQ(chosen(free, 1), "general");
  EXPECT_EQ(chosen(forced, 1), "large");
  EXPECT_THROW(chosen(forced, 0), Error);
}

}  // namespace
}  // namespace spate

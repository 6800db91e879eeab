#include "backend/cpu/rates.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/memory.h"
#include "base/clock.h"
#include "base/threads.h"

namespace spate::cpu {
namespace {

constexpr int64_t kWords = int64_t{32} << 20;  // 256 MiB: beyond every cache
constexpr int64_t kRounds = 200'000;           // a millisecond or so

double measure_reading(ThreadPool& pool, const RateKernels& kernels, double seconds) {
  const Buffer buffer = allocate(kWords * sizeof(uint64_t));  // as weights are
  auto* words = static_cast<uint64_t*>(buffer.data());
  std::fill(words, words + kWords, uint64_t{1});  // pages that were never written share one
  std::atomic<uint64_t> sum{0};                   // keeps the loops from being dropped
  const int64_t part = kWords / pool.threads();
  return best_rate(seconds, [&] {
    pool.parallel(pool.threads(),
                  [&](int64_t task, int) { sum += kernels.sum_words(words + task * part, part); });
    return static_cast<double>(part * pool.threads()) * sizeof(uint64_t);
  });
}

// `loop` answers the operations it did; every thread runs it at the same time.
double measure_loop(ThreadPool& pool, double seconds, const std::function<double()>& loop) {
  return best_rate(seconds, [&] {
    std::vector<double> done(static_cast<size_t>(pool.threads()));
    pool.parallel(pool.threads(),
                  [&](int64_t task, int) { done[static_cast<size_t>(task)] = loop(); });
    double all = 0;
    for (const double one : done) all += one;
    return all;
  });
}

}  // namespace

double best_rate(double seconds, const std::function<double()>& work) {
  work();  // touches memory, wakes threads
  double best = 0;
  for (const Stopwatch all; all.seconds() < seconds;) {
    const Stopwatch one;
    const double amount = work();
    best = std::max(best, amount / one.seconds());
  }
  return best;
}

Rates measure_rates(int threads, const std::string& instruction_set, double seconds) {
  const Isa& isa = choose_isa(instruction_set);
  const RateKernels& kernels = *isa.kernels->rates;
  ThreadPool pool(threads == 0 ? available_cpus() : threads);
  return {.read_bytes = measure_reading(pool, kernels, seconds / 2),
          .float_ops = measure_loop(pool, seconds / 4,
                                    [&] {
                                      alignas(64) float sums[kRateSums] = {};
                                      // Towards 2: neither overflows nor becomes denormal.
                                      return kernels.fma_loop(0.5F, 1.0F, kRounds, sums);
                                    }),
          .byte_ops = measure_loop(pool, seconds / 4,
                                   [&] {
                                     alignas(64) const uint8_t codes[kRateCodes] = {1, 2, 3};
                                     alignas(64) const int8_t x[kRateInputs] = {-1, 2, -3};
                                     alignas(64) float sums[kRateSums] = {};
                                     return kernels.dot_loop(codes, x, kRounds, sums);
                                   }),
          .isa = isa.name,
          .dot = kernels.dot};
}

}  // namespace spate::cpu

namespace spate {

DeviceRates measure_cpu_rates(const BackendOptions& options) {
  constexpr double kSeconds = 0.3;
  const cpu::Rates rates = cpu::measure_rates(options.threads, options.instruction_set, kSeconds);
  return {
      .read_bytes = rates.read_bytes, .matrix_ops = rates.float_ops, .packed_ops = rates.byte_ops};
}

}  // namespace spate

// What this machine's processors can do, measured: how fast memory is read, and how many operations
// a second one instruction set does. Kernels have more to do than these loops, so the times that
// follow from the rates are the floors that benchmarks compare with.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace spate::cpu {

// Of all threads together, a second. A multiply-add counts as two operations.
struct Rates {
  double read_bytes = 0;  // summing an array beyond every cache
  double float_ops = 0;   // f32 multiply-adds
  double byte_ops = 0;    // dot products of u8 with s8, summed in i32, of codes of 4 bits
  std::string_view isa;   // the set that was measured: "avx2"
  std::string_view dot;   // the instructions of byte_ops
};

// About so many seconds of work. Threads and set as in BackendOptions.
Rates measure_rates(int threads, const std::string& instruction_set, double seconds = 0.8);

// Repeats `work`, which answers the amount it did, for about `seconds`; the best amount a second.
double best_rate(double seconds, const std::function<double()>& work);

}  // namespace spate::cpu

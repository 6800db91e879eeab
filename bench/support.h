// What the benchmarks of ops share: flags, timing of calls, floors, and one JSON line a case.
//
// Each case is called for about --seconds; its line has the median and the fastest call (for
// machines that are not quiet) and how near that comes to the floor: the least time that reading
// memory and multiply-adds take at the rates measured at start, which the first line shows. Where
// others use the memory too its rate moves, and a share may pass 1.
//
// On a GPU (--device 0) a sample is the mean of calls that are recorded and given at once, as a
// step of decoding gives them. --quantize fp8 rounds weights and rows.
//
// --calls N instead calls each case exactly N times and measures nothing: for counting
// instructions.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/rates.h"
#include "base/json.h"

namespace spate::bench {

using Flags = std::map<std::string, std::string>;  // "--rows": "1,16"

std::vector<std::string> split(const std::string& text, char by);

// Tensors of a case: a table, and numbers from -1 to 1 that look random, because the speed of
// tensor cores depends on what they multiply.
Buffer integers(Backend& backend, const std::vector<int32_t>& values);
Buffer numbers(Backend& backend, int64_t count, DType type);

// What a call of an op must do at least.
struct Work {
  double operations = 0;  // a multiply-add is two
  double bytes = 0;       // all that it reads and writes
  double memory_bytes =
      0;                  // of these, what no cache can hold; 0: there is no floor to compare with
  bool of_bytes = false;  // the operations may be dot products of 8-bit integers
};

class Bench {
 public:
  Bench(Flags flags, std::unique_ptr<Backend> backend);

  Backend& backend() { return *backend_; }
  const std::string& flag(const char* name) const { return flags_.at(name); }
  // Copies of a case's data to rotate through, so that together they exceed the processor's caches,
  // as the layers of a model do; one when calls are counted.
  size_t copies(size_t bytes_each) const;
  bool on_cpu() const { return backend_->device().kind == Device::Kind::cpu; }
  // Runs one case and prints its line: `line` and what was measured.
  void run(Json line, const Work& work, const std::function<void(size_t call)>& body) const;

 private:
  Flags flags_;
  int64_t calls_;
  std::unique_ptr<Backend> backend_;
  cpu::Rates rates_;          // of the CPU
  DeviceRates device_rates_;  // of a GPU
};

// A whole program: reads flags, of which `defaults` lists all but the common ones (--device,
// --threads, --isa, --kernels, --quantize, --seconds, --calls), and runs `body`. Answers the exit
// code.
int run_bench(const char* name, Flags defaults, int argc, char** argv,
              const std::function<void(Bench&)>& body);

}  // namespace spate::bench

// What a device can do: memory, order and the op vocabulary. One Backend is one device with one
// in-order queue; ops run in the order in which they are given. `run` is the only door: it checks
// the op's contract, times the op when profiling is on, and calls the private virtual, so checks
// and profiles exist once for all ops and backends.
//
// Owner: the engine. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/ops/attention.h"
#include "backend/ops/basic.h"
#include "backend/ops/linear.h"
#include "backend/ops/norm.h"
#include "backend/ops/sampling.h"
#include "base/clock.h"
#include "quant/format.h"
#include "tensor/tensor.h"

namespace spate {

struct MemoryInfo {
  size_t total = 0;  // bytes the device has (or this process may use)
  size_t free = 0;   // bytes not taken by anybody
};

// One line of the profile: an op kind, summed over all its calls.
struct OpProfile {
  std::string_view name;
  int64_t calls = 0;
  double seconds = 0;
  int64_t bytes = 0, flops = 0;  // the least that must be moved and computed
};

// Ops that were recorded, to be given again all at once.
class Recording {
 public:
  virtual ~Recording() = default;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string describe() const = 0;  // "CPU, 2 threads, avx2"
  virtual Device device() const = 0;
  virtual DType activation_type() const = 0;  // of hidden states
  virtual MemoryInfo memory() const = 0;

  virtual Buffer allocate(
      size_t bytes) = 0;  // zeroed, aligned to 64 bytes; throws ExitCode::memory
  // Host memory that copies to and from the device like best.
  virtual Buffer allocate_host(size_t bytes) = 0;
  // Contiguous tensors. `from` may be changed when upload returns.
  virtual void upload(const Tensor& to, const void* from) = 0;
  virtual void download(void* to, const Tensor& from) = 0;  // waits for the ops before it
  // The same without waiting: `to`, in memory of allocate_host, has the bytes once a mark that is
  // set later is passed.
  virtual void download_later(void* to, const Tensor& from) = 0;
  // Marks the end of all that was given so far. The last few marks can be waited for.
  virtual uint64_t mark() = 0;
  virtual void wait(uint64_t mark) = 0;
  // What passed on the device between two marks that are passed; 0 where ops run when given.
  virtual double seconds_between(uint64_t from, uint64_t to) = 0;
  // Records the ops that the function gives, without running them. Tensors are recorded by their
  // places. Only where can_record(): other backends gain nothing by it.
  virtual bool can_record() const { return false; }
  virtual std::unique_ptr<Recording> record(const std::function<void()>& /*give_ops*/) {
    return nullptr;
  }
  virtual void replay(const Recording& /*recording*/) {}
  // Before the first use by another thread than the one before.
  virtual void enter_thread() {}
  // Copies a weight to the device, in the layout its kernels like. Not to be used after the
  // backend.
  virtual Weight place(const HostWeight& weight) = 0;
  virtual size_t placed_bytes(const Format& format, int64_t out, int64_t in) const = 0;
  // All weights to come need so many bytes together: a backend may take them at once.
  virtual void reserve_weights(size_t /*bytes*/) {}

  template <class Op>
  void run(const Op& op) {
    op.contract();
    if (!profiling_) {
      execute(op);
      return;
    }
    const Stopwatch watch;
    execute(op);
    finish();
    note(Op::kName, watch.seconds(), op.bytes(), op.flops());
  }

  virtual void finish() {}  // waits until all ops given so far are done
  void set_profiling(bool on) { profiling_ = on; }
  bool profiling() const { return profiling_; }
  const std::vector<OpProfile>& profile() const { return profile_; }

 private:
  virtual void execute(const op::Embed&) = 0;
  virtual void execute(const op::GatherRows&) = 0;
  virtual void execute(const op::TakeDrawn&) = 0;
  virtual void execute(const op::Add&) = 0;
  virtual void execute(const op::Scale&) = 0;
  virtual void execute(const op::RmsNorm&) = 0;
  virtual void execute(const op::Linear&) = 0;
  virtual void execute(const op::Gated&) = 0;
  virtual void execute(const op::RopeApply&) = 0;
  virtual void execute(const op::KvWrite&) = 0;
  virtual void execute(const op::Attention&) = 0;
  virtual void execute(const op::Penalize&) = 0;
  virtual void execute(const op::LogitEdit&) = 0;
  virtual void execute(const op::KeepOnly&) = 0;
  virtual void execute(const op::MaskTop&) = 0;
  virtual void execute(const op::Draw&) = 0;
  virtual void execute(const op::Logprobs&) = 0;
  // Fused ops; each has its meaning in backend/fused.cc. Override only for speed.
  virtual void execute(const op::AddRmsNorm&);
  virtual void execute(const op::LinearQkv&);
  virtual void execute(const op::LinearGated&);
  virtual void execute(const op::QkvNormRopeWrite&);

  void note(std::string_view name, double seconds, int64_t bytes, int64_t flops);

  bool profiling_ = false;
  std::vector<OpProfile> profile_;
};

struct BackendOptions {
  std::string device = "auto";  // "cpu", "0": the first GPU; "auto": it, or the CPU where none is
  std::optional<DType> activation;  // of hidden states: f32 or bf16; absent: the device's own
  // Only kernels with which a row's result does not depend on the batch. The CPU has no others.
  bool deterministic = false;
  int threads = 0;              // 0: all processors this process may use
  std::string instruction_set;  // "avx2" and others, see cpu/isa.h; "" picks the best the CPU has
  std::string kernels;          // "attention=stream": forces kernels by name
};

// Opens the device that the options name. Errors list what there is.
std::unique_ptr<Backend> open_backend(const BackendOptions& options);
std::unique_ptr<Backend> open_cpu_backend(const BackendOptions& options);
// Throws Error(ExitCode::memory) where no such GPU can be used, and says why.
std::unique_ptr<Backend> open_cuda_backend(const BackendOptions& options, int index);

}  // namespace spate

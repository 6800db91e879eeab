// What a device can do: memory, order and the op vocabulary. One Backend is one device with one
// in-order queue; ops run in the order in which they are given. `run` is the only door: it checks
// the op's contract, notes the op between two marks when profiling is on, and calls the private
// virtual, so checks and profiles exist once for all ops and backends.
//
// Owner: the engine. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/op_run.h"
#include "backend/ops/attention.h"
#include "backend/ops/basic.h"
#include "backend/ops/linear.h"
#include "backend/ops/linear_attention.h"
#include "backend/ops/moe.h"
#include "backend/ops/norm.h"
#include "backend/ops/rounded.h"
#include "backend/ops/sampling.h"
#include "backend/rates.h"
#include "quant/format.h"
#include "tensor/tensor.h"

namespace spate {

struct MemoryInfo {
  size_t total = 0;  // bytes the device has (or this process may use)
  size_t free = 0;   // bytes not taken by anybody
  size_t later = 0;  // of these, what the backend takes by itself once ops run
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
  // Marks the end of all that was given so far. Marks ascend; the last few can be waited for.
  virtual uint64_t mark() = 0;
  virtual void wait(uint64_t mark) = 0;
  // What passed on the device between two marks that are passed.
  virtual double seconds_between(uint64_t from, uint64_t to) = 0;
  // Records the ops that the function gives, without running them. Tensors are recorded by their
  // places. Only where can_record(): other backends gain nothing by it.
  virtual bool can_record() const { return false; }
  virtual std::unique_ptr<Recording> record(const std::function<void()>& /*give_ops*/) {
    return nullptr;
  }
  // Other ops in the place of those that were recorded; replays that are under way go on as they
  // are. Takes less time than record() where the ops are alike.
  virtual void record_anew(Recording& /*recording*/, const std::function<void()>& /*give_ops*/) {}
  virtual void replay(const Recording& /*recording*/) {}
  // Whether attention gains by tables of SharedKeys.
  virtual bool takes_shared_keys() const { return false; }
  // Before the first use by another thread than the one before.
  virtual void enter_thread() {}
  // Brings a weight to the device, in the layout its kernels like. Not to be used after the
  // backend.
  Weight place(const HostWeight& weight) { return place_joined({&weight, 1}); }
  // Several weights as one, the outputs of each behind those of the one before. They have one
  // format and width, and all but the last have whole tiles of 16 outputs.
  Weight place_joined(std::span<const HostWeight> parts);
  // Whether products of the same x gain by it.
  virtual bool joins_weights() const { return false; }
  // Whether products with the weight multiply rounded rows; they round plain ones themselves.
  virtual bool rounds_rows(const Weight& /*weight*/) const { return false; }
  virtual size_t placed_bytes(const HostWeight& weight) const = 0;  // its own bytes are not read
  // All weights to come need so many bytes together: a backend may take them at once.
  virtual void reserve_weights(size_t /*bytes*/) {}

  template <class Op>
  void run(const Op& op) {
    op.contract();
    if (profiling_) {
      run_noted(op);
    } else {
      execute(op);
    }
    if (waiting_) finish();
  }

  virtual void finish() {}  // waits until all ops given so far are done
  // Every run() is waited for: for tests whose tensors the host reads, and to find an op that
  // fails.
  void set_waiting(bool on) { waiting_ = on; }

  // Notes every op, without waiting for any. What is noted must be taken once its step has ended.
  void set_profiling(bool on);
  bool profiling() const { return profiling_; }
  // The ops that ended before a mark which is passed, in their order; each is given once.
  std::vector<OpRun> take_ops(uint64_t passed);

 private:
  template <class Op>
  void run_noted(const Op& op) {
    OpRun run{.name = Op::kName, .kernels = {}, .bytes = op.bytes(), .flops = op.flops()};
    if constexpr (requires { op.packed(); }) run.packed = op.packed();
    run.begin = mark();
    execute(op);
    run.end = mark();
    run.kernels = take_chosen();
    noted_.push_back(run);
  }

  // The kernels chosen since they were last taken.
  virtual ChosenKernels take_chosen() = 0;
  // So many marks can be waited for and compared from now on.
  virtual void keep_marks(size_t /*count*/) {}

  virtual Weight place_stored(std::span<const HostWeight> parts) = 0;  // with bytes
  // Without; made on the host and placed. Override only for speed.
  virtual Weight place_random(std::span<const HostWeight> parts);

  virtual void execute(const op::Embed&) = 0;
  virtual void execute(const op::GatherRows&) = 0;
  virtual void execute(const op::PutRows&) = 0;
  virtual void execute(const op::TakeDrawn&) = 0;
  virtual void execute(const op::Add&) = 0;
  virtual void execute(const op::Scale&) = 0;
  virtual void execute(const op::RmsNorm&) = 0;
  virtual void execute(const op::GatedGroupNorm&) = 0;
  virtual void execute(const op::Linear&) = 0;
  virtual void execute(const op::LinearHeads&) = 0;
  virtual void execute(const op::Gated&) = 0;
  virtual void execute(const op::RoundRows&);  // a bug where no weight rounds rows
  virtual void execute(const op::Route&) = 0;
  virtual void execute(const op::GroupPairs&) = 0;
  virtual void execute(const op::ExpertLinear&) = 0;
  virtual void execute(const op::ExpertSum&) = 0;
  virtual void execute(const op::GateRows&) = 0;
  virtual void execute(const op::RopeApply&) = 0;
  virtual void execute(const op::KvWrite&) = 0;
  virtual void execute(const op::Attention&) = 0;
  virtual void execute(const op::LinearAttention&) = 0;
  virtual void execute(const op::Penalize&) = 0;
  virtual void execute(const op::LogitEdit&) = 0;
  virtual void execute(const op::KeepOnly&) = 0;
  virtual void execute(const op::MaskTop&) = 0;
  virtual void execute(const op::Draw&) = 0;
  virtual void execute(const op::Logprobs&) = 0;
  // Fused ops; each has its meaning in backend/fused.cc. Override only for speed.
  virtual void execute(const op::AddRmsNorm&);
  virtual void execute(const op::Rounded<op::RmsNorm>&);
  virtual void execute(const op::Rounded<op::AddRmsNorm>&);
  virtual void execute(const op::Rounded<op::Gated>&);
  virtual void execute(const op::LinearQkv&);
  virtual void execute(const op::LinearGated&);
  virtual void execute(const op::JoinedGated&);
  virtual void execute(const op::Rounded<op::JoinedGated>&);
  virtual void execute(const op::ExpertMlp&);
  virtual void execute(const op::QkvNormRopeWrite&);

  bool profiling_ = false, waiting_ = false;
  std::vector<OpRun> noted_;
};

struct BackendOptions {
  std::string device = "auto";  // "cpu", "0": the first GPU; "auto": it, or the CPU where none is
  std::optional<DType> activation;  // of hidden states: f32 or bf16; absent: the device's own
  // Only kernels with which a row's result does not depend on the batch. The CPU has no others.
  bool deterministic = false;
  Quantize quantize = Quantize::none;  // not on a CPU
  // On a GPU: products that come often are timed with each algorithm that the library offers, and
  // the fastest is kept in a file (see cache_file).
  bool measure_products = true;
  int threads = 0;              // 0: all processors this process may use
  std::string instruction_set;  // "avx2" and others, see cpu/isa.h; "" picks the best the CPU has
  std::string kernels;          // "attention=stream": forces kernels by name
};

// Opens the device that the options name. Errors list what there is.
std::unique_ptr<Backend> open_backend(const BackendOptions& options);
std::unique_ptr<Backend> open_cpu_backend(const BackendOptions& options);
// Throws Error(ExitCode::memory) where no such GPU can be used, and says why.
std::unique_ptr<Backend> open_cuda_backend(const BackendOptions& options, int index);

// What the device that the options name can do with hidden states of their type; takes a part of a
// second, and memory that is given back.
DeviceRates measure_rates(const BackendOptions& options);
DeviceRates measure_cpu_rates(const BackendOptions& options);
DeviceRates measure_cuda_rates(const BackendOptions& options, int index);

}  // namespace spate

#include "backend/cuda/cuda_backend.h"

#include <algorithm>

#include "backend/cuda/devices.h"
#include "backend/cuda/error.h"
#include "backend/cuda/graph.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/ops.h"
#include "base/check.h"

namespace spate {
namespace {

cuda::ContextOptions context_options(const BackendOptions& options, int index) {
  const CudaDevices found = list_cuda_devices();
  const bool there = std::ranges::any_of(
      found.devices, [&](const CudaDevice& device) { return device.index == index; });
  if (!there) {
    throw Error(
        cat("GPU ", index, " cannot be used: ",
            found.devices.empty() ? found.note : cat(found.devices.size(), " GPUs are there")),
        ExitCode::memory);
  }
  return {.device = index,
          .activation = options.activation.value_or(DType::bf16),
          .deterministic = options.deterministic,
          .quantize = options.quantize,
          .measure_products = options.measure_products,
          .forced = parse_forced_kernels(options.kernels, cuda_kernel_families(), "CUDA")};
}

// The runtime brings kernels when they are first launched, cublasLt has memory of its own, and so
// has every recording; allocations are rounded up.
constexpr size_t kLaterBytes = size_t{256} << 20;

size_t bytes_of(const Tensor& tensor) {
  return static_cast<size_t>(tensor.shape.elements()) * size_of(tensor.dtype);
}

}  // namespace

CudaBackend::CudaBackend(const BackendOptions& options, int index)
    : context_(context_options(options, index)),
      staging_(context_),
      weights_(context_.device()),
      placer_(context_, staging_, options.threads) {}

std::string CudaBackend::describe() const {
  return cat("GPU ", context_.device(), ", ", context_.properties().name);
}

MemoryInfo CudaBackend::memory() const {
  MemoryInfo info{.later = kLaterBytes};
  cuda::cuda_check(cudaMemGetInfo(&info.free, &info.total));
  return info;
}

Buffer CudaBackend::allocate(size_t bytes) { return cuda::allocate(bytes, context_.device()); }
Buffer CudaBackend::allocate_host(size_t bytes) { return allocate_pinned(bytes); }

void CudaBackend::upload(const Tensor& to, const void* from) {
  check(to.contiguous(), "upload to a tensor with gaps between rows: ", to.shape);
  staging_.upload(to.data, from, bytes_of(to));
}

void CudaBackend::download_later(void* to, const Tensor& from) {
  check(from.contiguous(), "download of a tensor with gaps between rows: ", from.shape);
  if (from.shape.elements() == 0) return;
  cuda::cuda_check(
      cudaMemcpyAsync(to, from.data, bytes_of(from), cudaMemcpyDeviceToHost, context_.stream()));
}

void CudaBackend::download(void* to, const Tensor& from) {
  download_later(to, from);
  finish();
}

uint64_t CudaBackend::mark() { return marks_.set(context_.stream()); }
void CudaBackend::wait(uint64_t mark) { marks_.wait(mark); }
double CudaBackend::seconds_between(uint64_t from, uint64_t to) {
  return marks_.seconds_between(from, to);
}

std::unique_ptr<Recording> CudaBackend::record(const std::function<void()>& give_ops) {
  return std::make_unique<cuda::Graph>(context_.stream(), give_ops);
}
void CudaBackend::record_anew(Recording& recording, const std::function<void()>& give_ops) {
  static_cast<cuda::Graph&>(recording).record(context_.stream(), give_ops);
}
bool CudaBackend::takes_shared_keys() const { return !context_.deterministic(); }

void CudaBackend::replay(const Recording& recording) {
  static_cast<const cuda::Graph&>(recording).launch(context_.stream());
}
void CudaBackend::enter_thread() { cuda::cuda_check(cudaSetDevice(context_.device())); }

void CudaBackend::finish() { cuda::cuda_check(cudaStreamSynchronize(context_.stream())); }

Weight CudaBackend::place_stored(std::span<const HostWeight> parts) {
  Weight placed = placer_.place(weights_, parts);
  context_.hold_back();
  return placed;
}

Weight CudaBackend::place_random(std::span<const HostWeight> parts) {
  Weight placed = cuda::place_random(context_, weights_, parts);
  context_.hold_back();
  return placed;
}

size_t CudaBackend::placed_bytes(const HostWeight& weight) const {
  return cuda::placed_bytes(context_, weight);
}

void CudaBackend::reserve_weights(size_t bytes) {
  if (!context_.deterministic()) context_.open_cublas();  // while weights come
  weights_.reserve(bytes);
}

void CudaBackend::execute(const op::Embed& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::GatherRows& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::PutRows& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::TakeDrawn& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Add& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Scale& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::RmsNorm& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::GatedGroupNorm& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Linear& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::LinearHeads& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Gated& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Route& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::GroupPairs& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::ExpertLinear& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::ExpertSum& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::GateRows& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::RopeApply& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::KvWrite& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Attention& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::LinearAttention& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Penalize& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::LogitEdit& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::KeepOnly& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::MaskTop& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Draw& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Logprobs& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::RoundRows& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Rounded<op::RmsNorm>& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Rounded<op::AddRmsNorm>& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Rounded<op::Gated>& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::AddRmsNorm& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::LinearQkv& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::LinearGated& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::JoinedGated& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::Rounded<op::JoinedGated>& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::ExpertMlp& op) { cuda::run(context_, op); }
void CudaBackend::execute(const op::QkvNormRopeWrite& op) { cuda::run(context_, op); }

std::unique_ptr<Backend> open_cuda_backend(const BackendOptions& options, int index) {
  return std::make_unique<CudaBackend>(options, index);
}

}  // namespace spate

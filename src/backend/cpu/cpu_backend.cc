#include "backend/cpu/cpu_backend.h"

#include <chrono>
#include <cstring>

#include "backend/cpu/linear/place.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/ops.h"
#include "base/check.h"

namespace spate {
namespace {

int thread_count(int wanted) {
  if (wanted < 0) {
    throw Error(cat("the number of threads is ", wanted, ", expected at least 1, or 0 for all"),
                ExitCode::usage);
  }
  return wanted == 0 ? available_cpus() : wanted;
}

// The CPU multiplies packed weights with rounded rows anyway; a file says which format it has.
void refuse_quantize(Quantize quantize) {
  if (quantize == Quantize::none) return;
  throw Error(
      "--quantize fp8 needs a GPU; on a CPU take a GGUF file with weights of fewer bits, such as "
      "Q8_0 or Q4_1",
      ExitCode::usage);
}

}  // namespace

CpuBackend::CpuBackend(const BackendOptions& options)
    : isa_(cpu::choose_isa(options.instruction_set)),
      context_(thread_count(options.threads), isa_,
               parse_forced_kernels(options.kernels, cpu::kernel_families(*isa_.kernels),
                                    isa_.kernels->isa)) {
  refuse_quantize(options.quantize);
}

std::string CpuBackend::describe() const {
  const int threads = context_.threads();
  return cat("CPU, ", threads, threads == 1 ? " thread, " : " threads, ", isa_.name);
}

MemoryInfo CpuBackend::memory() const { return cpu::memory_info(); }

Buffer CpuBackend::allocate(size_t bytes) { return cpu::allocate(bytes); }

void CpuBackend::upload(const Tensor& to, const void* from) {
  check(to.contiguous(), "upload to a tensor with gaps between rows: ", to.shape);
  const size_t bytes = static_cast<size_t>(to.shape.elements()) * size_of(to.dtype);
  if (bytes > 0) std::memcpy(to.data, from, bytes);
}

void CpuBackend::download(void* to, const Tensor& from) {
  check(from.contiguous(), "download of a tensor with gaps between rows: ", from.shape);
  const size_t bytes = static_cast<size_t>(from.shape.elements()) * size_of(from.dtype);
  if (bytes > 0) std::memcpy(to, from.data, bytes);
}

uint64_t CpuBackend::mark() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

Weight CpuBackend::place_stored(std::span<const HostWeight> parts) {
  HostWeight whole = parts.front();
  for (const HostWeight& part : parts.subspan(1)) whole.out += part.out;
  Weight placed{
      .format = whole.format, .out = whole.out, .in = whole.in, .layout = layout_of(*whole.format)};
  placed.storage = weights_.take(placed_bytes(whole));
  auto* to = static_cast<std::byte*>(placed.storage.data());
  for (const HostWeight& part : parts) {
    cpu::place(context_, part, to);
    to += placed_bytes(part);
  }
  return placed;
}

size_t CpuBackend::placed_bytes(const HostWeight& weight) const {
  return cpu::placed_bytes(*weight.format, weight.out, weight.in);
}

void CpuBackend::execute(const op::Embed& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::GatherRows& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::PutRows& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::TakeDrawn& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::Add& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::Scale& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::RmsNorm& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::GatedGroupNorm& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::Linear& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::LinearHeads& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::Gated& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::Route& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::GroupPairs& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::ExpertLinear& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::ExpertSum& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::GateRows& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::RopeApply& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::KvWrite& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::Attention& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::LinearAttention& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::Penalize& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::LogitEdit& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::KeepOnly& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::MaskTop& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::Draw& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::Logprobs& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::AddRmsNorm& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::LinearQkv& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::LinearGated& op) { cpu::run(context_, op); }
void CpuBackend::execute(const op::QkvNormRopeWrite& op) { cpu::run(context_, op); }

std::unique_ptr<Backend> open_cpu_backend(const BackendOptions& options) {
  if (options.activation.value_or(DType::f32) != DType::f32) {
    throw Error(cat("hidden states of type ", name_of(*options.activation),
                    " were asked for; the CPU has f32 alone"),
                ExitCode::usage);
  }
  return std::make_unique<CpuBackend>(options);
}

}  // namespace spate

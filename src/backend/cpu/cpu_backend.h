// The CPU as a Backend: memory from the system, ops forwarded to cpu/ops.h.
#pragma once

#include <utility>

#include "backend/backend.h"
#include "backend/cpu/context.h"
#include "backend/cpu/memory.h"

namespace spate {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options);

  std::string describe() const override;
  Device device() const override { return {}; }
  DType activation_type() const override { return DType::f32; }
  MemoryInfo memory() const override;

  Buffer allocate(size_t bytes) override;
  Buffer allocate_host(size_t bytes) override { return allocate(bytes); }
  void upload(const Tensor& to, const void* from) override;
  void download(void* to, const Tensor& from) override;
  void download_later(void* to, const Tensor& from) override { download(to, from); }
  // Ops run when they are given, so a mark is a time: nanoseconds of the monotonic clock.
  uint64_t mark() override;
  void wait(uint64_t /*mark*/) override {}
  double seconds_between(uint64_t from, uint64_t to) override {
    return 1e-9 * (static_cast<double>(to) - static_cast<double>(from));
  }
  size_t placed_bytes(const HostWeight& weight) const override;

 private:
  Weight place_stored(std::span<const HostWeight> parts) override;
  void execute(const op::Embed& op) override;
  void execute(const op::GatherRows& op) override;
  void execute(const op::PutRows& op) override;
  void execute(const op::TakeDrawn& op) override;
  void execute(const op::Add& op) override;
  void execute(const op::Scale& op) override;
  void execute(const op::RmsNorm& op) override;
  void execute(const op::GatedGroupNorm& op) override;
  void execute(const op::Linear& op) override;
  void execute(const op::LinearHeads& op) override;
  void execute(const op::Gated& op) override;
  void execute(const op::Route& op) override;
  void execute(const op::GroupPairs& op) override;
  void execute(const op::ExpertLinear& op) override;
  void execute(const op::ExpertSum& op) override;
  void execute(const op::GateRows& op) override;
  void execute(const op::RopeApply& op) override;
  void execute(const op::KvWrite& op) override;
  void execute(const op::Attention& op) override;
  void execute(const op::LinearAttention& op) override;
  void execute(const op::Penalize& op) override;
  void execute(const op::LogitEdit& op) override;
  void execute(const op::KeepOnly& op) override;
  void execute(const op::MaskTop& op) override;
  void execute(const op::Draw& op) override;
  void execute(const op::Logprobs& op) override;
  void execute(const op::AddRmsNorm& op) override;
  void execute(const op::LinearQkv& op) override;
  void execute(const op::LinearGated& op) override;
  void execute(const op::QkvNormRopeWrite& op) override;
  ChosenKernels take_chosen() override { return std::exchange(context_.choice().chosen, {}); }

  const cpu::Isa& isa_;
  cpu::Context context_;
  cpu::WeightMemory weights_;
};

}  // namespace spate

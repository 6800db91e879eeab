// One NVIDIA GPU as a Backend: memory from the runtime, ops forwarded to cuda/ops.h.
#pragma once

#include <utility>

#include "backend/backend.h"
#include "backend/cuda/context.h"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/marks.h"
#include "backend/cuda/memory.h"
#include "backend/cuda/staging.h"

namespace spate {

class CudaBackend final : public Backend {
 public:
  CudaBackend(const BackendOptions& options, int index);

  std::string describe() const override;
  Device device() const override { return {Device::Kind::cuda, context_.device()}; }
  DType activation_type() const override { return context_.activation(); }
  MemoryInfo memory() const override;

  Buffer allocate(size_t bytes) override;
  Buffer allocate_host(size_t bytes) override;
  void upload(const Tensor& to, const void* from) override;
  void download(void* to, const Tensor& from) override;
  void download_later(void* to, const Tensor& from) override;
  uint64_t mark() override;
  void wait(uint64_t mark) override;
  double seconds_between(uint64_t from, uint64_t to) override;
  bool can_record() const override { return true; }
  std::unique_ptr<Recording> record(const std::function<void()>& give_ops) override;
  void record_anew(Recording& recording, const std::function<void()>& give_ops) override;
  void replay(const Recording& recording) override;
  bool takes_shared_keys() const override;
  void enter_thread() override;
  bool joins_weights() const override { return true; }
  bool rounds_rows(const Weight& weight) const override { return cuda::is_f8(weight); }
  size_t placed_bytes(const HostWeight& weight) const override;
  void reserve_weights(size_t bytes) override;
  void finish() override;

 private:
  Weight place_stored(std::span<const HostWeight> parts) override;
  Weight place_random(std::span<const HostWeight> parts) override;
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
  void execute(const op::RoundRows& op) override;
  void execute(const op::Rounded<op::RmsNorm>& op) override;
  void execute(const op::Rounded<op::AddRmsNorm>& op) override;
  void execute(const op::Rounded<op::Gated>& op) override;
  void execute(const op::AddRmsNorm& op) override;
  void execute(const op::LinearQkv& op) override;
  void execute(const op::LinearGated& op) override;
  void execute(const op::JoinedGated& op) override;
  void execute(const op::Rounded<op::JoinedGated>& op) override;
  void execute(const op::ExpertMlp& op) override;
  void execute(const op::QkvNormRopeWrite& op) override;
  ChosenKernels take_chosen() override { return std::exchange(context_.choice().chosen, {}); }
  void keep_marks(size_t count) override { marks_.keep(count); }

  cuda::Context context_;
  cuda::Staging staging_;
  cuda::Marks marks_;
  cuda::WeightMemory weights_;
  cuda::Placer placer_;
};

}  // namespace spate

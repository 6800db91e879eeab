// The ops of the CUDA backend, one function each. Hidden states are f32 or bf16, logits f32; every
// sum is in f32. Definitions:
//   linear/      Linear, LinearHeads, LinearQkv, LinearGated, JoinedGated, Embed, RoundRows
//   basic.cu     GatherRows, PutRows, TakeDrawn, Add, Scale, Gated
//   moe/         Route, GroupPairs, ExpertLinear, ExpertSum, ExpertMlp, GateRows
//   norm.cu      RmsNorm, AddRmsNorm, GatedGroupNorm
//   rope/        RopeApply, KvWrite, QkvNormRopeWrite
//   attention/   Attention
//   linear_attention/    LinearAttention
//   sampling/    Penalize, LogitEdit, KeepOnly, MaskTop, Draw, Logprobs
#pragma once

#include "backend/backend.h"
#include "backend/cuda/context.h"

namespace spate::cuda {

void run(Context& context, const op::Embed& op);
void run(Context& context, const op::GatherRows& op);
void run(Context& context, const op::PutRows& op);
void run(Context& context, const op::TakeDrawn& op);
void run(Context& context, const op::Add& op);
void run(Context& context, const op::Scale& op);
void run(Context& context, const op::RmsNorm& op);
void run(Context& context, const op::GatedGroupNorm& op);
void run(Context& context, const op::Linear& op);
void run(Context& context, const op::LinearHeads& op);
void run(Context& context, const op::Gated& op);
void run(Context& context, const op::Route& op);
void run(Context& context, const op::GroupPairs& op);
void run(Context& context, const op::ExpertLinear& op);
void run(Context& context, const op::ExpertSum& op);
void run(Context& context, const op::GateRows& op);
void run(Context& context, const op::RopeApply& op);
void run(Context& context, const op::KvWrite& op);
void run(Context& context, const op::Attention& op);
void run(Context& context, const op::LinearAttention& op);
void run(Context& context, const op::Penalize& op);
void run(Context& context, const op::LogitEdit& op);
void run(Context& context, const op::KeepOnly& op);
void run(Context& context, const op::MaskTop& op);
void run(Context& context, const op::Draw& op);
void run(Context& context, const op::Logprobs& op);
void run(Context& context, const op::RoundRows& op);
void run(Context& context, const op::Rounded<op::RmsNorm>& op);
void run(Context& context, const op::Rounded<op::AddRmsNorm>& op);
void run(Context& context, const op::Rounded<op::Gated>& op);
void run(Context& context, const op::AddRmsNorm& op);
void run(Context& context, const op::LinearQkv& op);
void run(Context& context, const op::LinearGated& op);
void run(Context& context, const op::JoinedGated& op);
void run(Context& context, const op::Rounded<op::JoinedGated>& op);
void run(Context& context, const op::ExpertMlp& op);
void run(Context& context, const op::QkvNormRopeWrite& op);

}  // namespace spate::cuda

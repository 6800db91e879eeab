// The meaning of every fused op, in terms of the plain ones. A backend overrides one for speed
// only.
#include "backend/backend.h"

namespace spate {

void Backend::execute(const op::AddRmsNorm& op) {
  execute(op::Add{.a = op.residual, .b = op.x, .out = op.residual});
  execute(op::RmsNorm{.x = op.residual, .weight = op.weight, .out = op.out, .eps = op.eps});
}

void Backend::execute(const op::RoundRows& /*op*/) {
  check(false, "rows are to be rounded for weights that this device does not round");
}

void Backend::execute(const op::Rounded<op::RmsNorm>& op) {
  execute(op.op);
  execute(op::RoundRows{.x = op.op.out, .to = op.to});
}

void Backend::execute(const op::Rounded<op::AddRmsNorm>& op) {
  execute(op.op);
  execute(op::RoundRows{.x = op.op.out, .to = op.to});
}

void Backend::execute(const op::Rounded<op::Gated>& op) {
  execute(op.op);
  execute(op::RoundRows{.x = op.op.out, .to = op.to});
}

void Backend::execute(const op::LinearQkv& op) {
  for (const op::LinearQkv::Part* part : {&op.q, &op.k, &op.v}) execute(op.product(*part));
}

void Backend::execute(const op::LinearGated& op) {
  execute(op::Linear{.x = op.x, .weight = op.gate, .out = op.out});
  execute(op::Linear{.x = op.x, .weight = op.up, .out = op.scratch});
  execute(op::Gated{.gate = op.out, .up = op.scratch, .out = op.out, .activation = op.activation});
}

void Backend::execute(const op::JoinedGated& op) {
  execute(op.product);
  execute(op.gated());
}

void Backend::execute(const op::Rounded<op::JoinedGated>& op) {
  execute(op.op.product);
  execute(op::Rounded<op::Gated>{.op = op.op.gated(), .to = op.to});
}

void Backend::execute(const op::ExpertMlp& op) {
  execute(op.group());
  execute(op.into_gate());
  execute(op.into_up());
  execute(op.gated());
  execute(op.out_of_inner());
  execute(op.sum());
}

void Backend::execute(const op::QkvNormRopeWrite& op) {
  if (op.q_norm.data != nullptr) {
    execute(op::RmsNorm{.x = op.q, .weight = op.q_norm, .out = op.q, .eps = op.eps});
    execute(op::RmsNorm{.x = op.key, .weight = op.k_norm, .out = op.key, .eps = op.eps});
  }
  execute(op::RopeApply{.x = op.q, .positions = op.positions, .rope = op.rope});
  execute(op::RopeApply{.x = op.key, .positions = op.positions, .rope = op.rope});
  execute(op::KvWrite{.key = op.key, .value = op.value, .kv = op.kv});
}

}  // namespace spate

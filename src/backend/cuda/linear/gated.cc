// JoinedGated: the list of kernels, and what each accepts.
#include "backend/cuda/kernels.h"
#include "backend/cuda/linear/gated_hopper.h"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {

struct Problem {
  Context& context;
  const op::JoinedGated& op;
  const op::RoundedRows& to;  // where the result is wanted, if rounded
};

struct Kernel {
  std::string_view name;
  bool (*accepts)(const Problem&);
  bool (*pays)(const Problem&);
  void (*run)(const Problem&);
};

// ---- hopper

bool accepts_hopper(const Problem& p) {
  return !p.context.deterministic() && gated_hopper_accepts(p.op);
}

bool hopper_pays(const Problem& p) {
  constexpr double kLeastShare = 0.93;  // with less the library is faster
  return gated_hopper_share(p.context, p.op) >= kLeastShare;
}

void run_hopper(const Problem& p) {
  multiply_gated_hopper(p.context, p.op);
  if (p.to.there()) run(p.context, op::RoundRows{.x = p.op.out, .to = p.to});
}

// ---- apart: the product by a kernel of its own, and then the activation.

void run_apart(const Problem& p) {
  run(p.context, p.op.product);
  if (p.to.there()) {
    run(p.context, op::Rounded<op::Gated>{.op = p.op.gated(), .to = p.to});
  } else {
    run(p.context, p.op.gated());
  }
}

bool always(const Problem&) { return true; }

constexpr Kernel kKernels[] = {
    {"hopper", accepts_hopper, hopper_pays, run_hopper},
    {"apart", always, always, run_apart},
};

void run_joined(Context& context, const op::JoinedGated& op, const op::RoundedRows& to) {
  if (op.out.rows() == 0) return;
  const Problem problem{.context = context, .op = op, .to = to};
  choose_kernel<Kernel>(kKernels, op::JoinedGated::kName, context.choice(), problem).run(problem);
}

}  // namespace

KernelFamily joined_gated_family() { return family_of<Kernel>(op::JoinedGated::kName, kKernels); }

void run(Context& context, const op::JoinedGated& op) { run_joined(context, op, {}); }

void run(Context& context, const op::Rounded<op::JoinedGated>& op) {
  run_joined(context, op.op, op.to);
}

}  // namespace spate::cuda

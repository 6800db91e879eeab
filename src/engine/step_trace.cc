#include "engine/step_trace.h"

#include <algorithm>

namespace spate {

double DeviceClock::place(double since_last, double given, double seen) {
  const double latest = std::max(seen, last_);
  last_ = std::clamp(last_ + since_last, std::min(std::max(given, last_), latest), latest);
  return last_;
}

double StepTrace::place(const Stamp& stamp, double seen) {
  const double since_last = any_ ? backend_.seconds_between(last_mark_, stamp.mark) : 0;
  any_ = true;
  last_mark_ = stamp.mark;
  return clock_.place(since_last, stamp.given, seen);
}

void StepTrace::add(const StepTimes& times, const StepFacts& facts, std::span<const OpRun> ops) {
  if (trace_ == nullptr) return;
  const double seen = trace_->now();
  const auto part_of = [&](const Stamp& from, const Stamp& to) {
    Part part{.from = from.mark, .to = to.mark, .begin = place(from, seen), .end = 0};
    part.end = place(to, seen);
    return part;
  };
  const Part begin = part_of(times.begin, times.begun);
  const Part end = part_of(times.end, times.ended);
  trace_->add(TraceLane::device, "begin", begin.begin, begin.end,
              {{"step", facts.number},
               {"rows", facts.rows},
               {"tokens", facts.tokens},
               {"kv_used", facts.kv_used},
               {"recorded", times.recorded}});
  trace_->add(TraceLane::device, "end", end.begin, end.end, {{"step", facts.number}});
  add_ops(ops, begin);
  add_ops(ops, end);
}

// Ops of a part lie inside of it, whatever rounding does.
void StepTrace::add_ops(std::span<const OpRun> ops, const Part& part) {
  double last = part.begin;
  for (const OpRun& op : ops) {
    if (op.begin < part.from || op.end > part.to) continue;
    const auto at = [&](uint64_t mark) {
      return std::clamp(part.begin + backend_.seconds_between(part.from, mark), last, part.end);
    };
    const double begin = at(op.begin);
    last = std::max(at(op.end), begin);
    JsonObject arguments{{"bytes", op.bytes}, {"flops", op.flops}};
    std::string kernels;
    for (const std::string_view name : op.kernels.names()) {
      kernels.append(kernels.empty() ? "" : ", ").append(name);
    }
    if (!kernels.empty()) arguments.emplace_back("kernels", kernels);
    trace_->add(TraceLane::device, op.name, begin, last, std::move(arguments));
  }
}

}  // namespace spate

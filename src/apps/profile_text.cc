#include "apps/profile_text.h"

#include <algorithm>
#include <vector>

#include "apps/figures.h"
#include "base/check.h"

namespace spate {
namespace {

constexpr size_t kName = 21;
constexpr size_t kColumns[] = {9, 10, 8, 9, 9, 10};

double rate(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }
double rate(int64_t amount, double seconds) { return rate(static_cast<double>(amount), seconds); }

std::vector<OpProfile> slowest_first(const EngineStats& stats) {
  std::vector<OpProfile> ops = stats.profile;
  std::sort(ops.begin(), ops.end(),
            [](const OpProfile& a, const OpProfile& b) { return a.seconds > b.seconds; });
  return ops;
}

// All ops together.
OpProfile sum_of(const std::vector<OpProfile>& ops) {
  OpProfile sum{.name = "all ops"};
  for (const OpProfile& op : ops) {
    sum.calls += op.calls;
    sum.seconds += op.seconds;
    sum.bytes += op.bytes;
    sum.flops += op.flops;
    sum.floor_seconds += op.floor_seconds;
  }
  return sum;
}

// Three digits that count: 3051, 24.7, 0.31.
std::string short_number(double value) {
  return fixed(value, value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3);
}

// "decode", or "decode 32, mixed 8" when several ran.
std::string kernels_text(const OpProfile& op) {
  if (op.kernels.size() == 1) {
    return std::string(op.kernels.front().name);
  }
  std::string text;
  for (const OpProfile::Kernel& kernel : op.kernels) {
    text += cat(text.empty() ? "" : ", ", kernel.name, " ", kernel.calls);
  }
  return text;
}

std::string table_line(std::string name, const std::vector<std::string>& cells,
                       const std::string& end) {
  name.resize(std::max(name.size(), kName), ' ');
  std::string line = "  " + name;
  for (size_t i = 0; i < cells.size(); ++i) {
    const size_t width = kColumns[i];
    line += std::string(cells[i].size() < width ? width - cells[i].size() : 1, ' ') + cells[i];
  }
  if (!end.empty()) {
    line += "  " + end;
  }
  return line + "\n";
}

std::string op_line(const OpProfile& op, double busy_seconds) {
  return table_line(
      std::string(op.name),
      {with_commas(op.calls), fixed(op.seconds, 3), percent_text(op.seconds, busy_seconds, 1),
       short_number(1e-9 * rate(op.bytes, op.seconds)),
       short_number(1e-12 * rate(op.flops, op.seconds)),
       percent_text(op.floor_seconds, op.seconds, 1)},
      kernels_text(op));
}

}  // namespace

std::string profile_text(const EngineStats& stats) {
  if (!stats.rates) {
    return "";
  }
  const DeviceRates& rates = *stats.rates;
  const std::vector<OpProfile> ops = slowest_first(stats);
  std::string text =
      table_line("op", {"calls", "seconds", "share", "GB/s", "TFLOP/s", "roofline"}, "kernels");
  for (const OpProfile& op : ops) {
    text += op_line(op, stats.busy_seconds);
  }
  const OpProfile all = sum_of(ops);
  const double rest = stats.busy_seconds - all.seconds;
  text += op_line(all, stats.busy_seconds);
  text += table_line("between ops", {"", fixed(rest, 3), percent_text(rest, stats.busy_seconds, 1)},
                     "");
  return text + "  roofline: reads " + short_number(1e-9 * rates.read_bytes) +
         " GB/s, multiplies " + short_number(1e-12 * rates.matrix_ops) + " TFLOP/s" +
         (rates.packed_ops == rates.matrix_ops
              ? ""
              : ", packed weights " + short_number(1e-12 * rates.packed_ops) + " TFLOP/s") +
         "; measured on this device before the run\n";
}

Json profile_json(const EngineStats& stats) {
  JsonArray list;
  for (const OpProfile& op : slowest_first(stats)) {
    JsonArray kernels;
    for (const OpProfile::Kernel& kernel : op.kernels) {
      kernels.emplace_back(JsonObject{{"kernel", kernel.name}, {"chosen", kernel.calls}});
    }
    list.emplace_back(JsonObject{{"op", op.name},
                                 {"calls", op.calls},
                                 {"seconds", exact(op.seconds, 1e6)},
                                 {"share", exact(rate(op.seconds, stats.busy_seconds))},
                                 {"gb_per_second", exact(1e-9 * rate(op.bytes, op.seconds))},
                                 {"gflop_per_second", exact(1e-9 * rate(op.flops, op.seconds))},
                                 {"roofline_share", exact(rate(op.floor_seconds, op.seconds))},
                                 {"kernels", std::move(kernels)}});
  }
  return list;
}

Json rates_json(const EngineStats& stats) {
  if (!stats.rates) {
    return {};
  }
  return JsonObject{{"read_gb_per_second", exact(1e-9 * stats.rates->read_bytes)},
                    {"matrix_gflop_per_second", exact(1e-9 * stats.rates->matrix_ops)},
                    {"packed_gflop_per_second", exact(1e-9 * stats.rates->packed_ops)}};
}

}  // namespace spate

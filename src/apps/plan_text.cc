#include "apps/plan_text.h"

#include <algorithm>
#include <map>

#include "apps/engine_flags.h"
#include "apps/figures.h"

namespace spate {

std::string weight_type(const Checkpoint& checkpoint) {
  std::map<std::string, int64_t> bytes;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    bytes[std::string(tensor.format->name)] += tensor.bytes;
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? checkpoint.config().dtype + " (random)" : most->first;
}

PlanLines plan_lines(const ModelFiles& files, const MemoryPlan& plan, const std::string& device) {
  const Config& config = files.checkpoint->config();
  const auto bytes = [](auto count) { return bytes_text(static_cast<double>(count)); };
  return {
      {"model",
       cat(model_name(files.path), "  ", weight_type(*files.checkpoint), "  ", config.architecture,
           "  ", config.layers, " layers  ", count_text(static_cast<double>(plan.parameters)),
           "   weights ", bytes(plan.weights))},
      {"device", cat(device, "   free ", bytes(plan.memory.free), " of ", bytes(plan.memory.total),
                     "   plan ", plan.utilization, " = ", bytes(plan.budget))},
      {"memory",
       cat("weights ", bytes(plan.weights), " | workspace ", bytes(plan.workspace), " | kv ",
           bytes(plan.kv_bytes), " = ", with_commas(plan.kv_tokens), " tokens (",
           name_of(plan.kv_type), ", ", bytes(plan.kv_bytes_per_token), " each)",
           plan.bytes_per_state > 0
               ? cat(" | states ", bytes(plan.state_bytes), " = ", plan.row_states, " rows, ",
                     plan.snapshots, " prefixes (", name_of(plan.state_type), ", ",
                     bytes(plan.bytes_per_state), " each)")
               : "")},
      {"limits", cat("max-model-len ", with_commas(plan.max_length),
                     "   rows <= ", with_commas(plan.max_rows), "   step tokens ",
                     with_commas(plan.max_step_tokens))},
  };
}

std::string plan_text(const PlanLines& lines, bool color) {
  std::string text;
  for (const auto& [name, rest] : lines) {
    std::string start = name;
    start.resize(9, ' ');
    text += (color ? "\x1b[1m" + start + "\x1b[0m" : start) + rest + "\n";
  }
  return text;
}

}  // namespace spate

#include "engine/plan.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/device_defaults.h"
#include "engine/model_sizes.h"
#include "engine/runner.h"

namespace spate {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

std::string mib(int64_t bytes) {
  return cat(std::llround(static_cast<double>(bytes) / kMiB), " MiB");
}

int64_t positive_or(int64_t value, int64_t fallback) { return value > 0 ? value : fallback; }

void check_kv_type(DType type, const KvNeeds& needs, const Backend& backend) {
  if (type != DType::e4m3) return;
  if (backend.device().kind == Device::Kind::cpu) {
    throw Error("--kv-cache-dtype fp8 needs a GPU; on a CPU take f16, which is the default",
                ExitCode::usage);
  }
  if (needs.latent_width > 0) {
    throw Error(
        "--kv-cache-dtype fp8: this model caches latents, from which all heads make their keys and "
        "values, and these are kept in 16 bits at least; take bf16, which is the default",
        ExitCode::usage);
  }
}

constexpr int64_t kFewestTokens = 16;  // a cache of fewer serves nobody

std::string shares(const MemoryPlan& plan) {
  const std::string of = plan.taken > 0 ? cat(", less ", mib(plan.taken), " in use") : " free";
  const std::string states =
      plan.state_bytes > 0
          ? cat(", states of ", plan.row_states, " rows and ", plan.snapshots, " prefixes ",
                mib(plan.state_bytes), " (", mib(plan.bytes_per_state), " each)")
          : "";
  return cat("the budget is ", mib(plan.budget), " (", plan.utilization, " of ", mib(plan.shared),
             of, "), weights need ", mib(plan.weights), ", workspace ", mib(plan.workspace),
             states);
}

constexpr int64_t kSomeTokens = 1024;  // of cache, for a run that is of use

// Snapshots for so many rows: prompts that others will go on from come with them.
int64_t snapshots_for(int64_t rows, const EngineOptions& options) {
  constexpr int64_t kFewest = 2, kRows = 4;
  return options.share_prefixes ? std::max(kFewest, rows / kRows) : 0;
}

// Rows whose states, with their snapshots, fit into so many bytes.
int64_t rows_with_states(int64_t bytes, int64_t bytes_per_state, const EngineOptions& options) {
  int64_t rows = std::max<int64_t>(bytes / bytes_per_state, 0);
  while (rows > 0 && rows + snapshots_for(rows, options) > bytes / bytes_per_state) --rows;
  return rows;
}

// Slots for states. Where the number of rows is open, they take at most half of `left`, and there
// are as many rows as they allow.
void plan_states(int64_t left, const EngineOptions& options, MemoryPlan& plan) {
  if (plan.bytes_per_state == 0) return;
  if (options.max_num_seqs <= 0) {
    plan.max_rows = std::clamp<int64_t>(rows_with_states(left / 2, plan.bytes_per_state, options),
                                        1, plan.max_rows);
  }
  plan.row_states = plan.max_rows;
  plan.snapshots = snapshots_for(plan.max_rows, options);
  plan.state_bytes = (plan.row_states + plan.snapshots) * plan.bytes_per_state;
}

// For a model that fits but for its states: how many rows would.
std::string fewer_rows(const MemoryPlan& plan, const EngineOptions& options) {
  if (plan.bytes_per_state == 0) return "";
  const int64_t left =
      plan.budget - plan.weights - plan.workspace - kSomeTokens * plan.kv_bytes_per_token;
  const int64_t rows = rows_with_states(left, plan.bytes_per_state, options);
  return rows > 0 && rows < plan.max_rows ? cat(", or --max-num-seqs ", rows) : "";
}

[[noreturn]] void refuse_model(const MemoryPlan& plan, const EngineOptions& options,
                               const DeviceDefaults& defaults) {
  const int64_t needed =
      plan.weights + plan.workspace + plan.state_bytes + kSomeTokens * plan.kv_bytes_per_token;
  const double share = static_cast<double>(needed + plan.taken) / static_cast<double>(plan.shared);
  const std::string remedy =
      share <= defaults.most_memory_share
          ? cat("--memory-utilization ", std::ceil(100 * share) / 100, " would fit")
          : cat("a machine with ", mib(std::llround(static_cast<double>(needed) / 0.9)),
                " free would do");
  throw Error(cat("the model does not fit: ", shares(plan),
                  ", and nothing is left for the KV cache; ", remedy, fewer_rows(plan, options)),
              ExitCode::memory);
}

}  // namespace

MemoryPlan plan_memory(const Checkpoint& checkpoint, Backend& backend,
                       const EngineOptions& options) {
  const Config& config = checkpoint.config();
  const Architecture& architecture = find_architecture(config);
  const ModelSizes sizes = measure_model(checkpoint, backend);
  const DeviceDefaults& defaults = defaults_of(backend);

  MemoryPlan plan;
  plan.memory = backend.memory();
  const auto free = static_cast<int64_t>(plan.memory.free);
  plan.utilization = options.memory_utilization.value_or(defaults.memory_share);
  plan.shared = defaults.share_of == DeviceDefaults::ShareOf::free
                    ? free
                    : static_cast<int64_t>(plan.memory.total);
  plan.taken = plan.shared - free + static_cast<int64_t>(plan.memory.later);
  plan.budget = std::max<int64_t>(
      0, std::llround(static_cast<double>(plan.shared) * plan.utilization) - plan.taken);
  plan.weights = sizes.placed_bytes;
  plan.parameters = sizes.parameters;
  // A device that computes with bf16 keeps that in the cache, too.
  plan.kv_type =
      options.kv_type.value_or(backend.activation_type() == DType::bf16 ? DType::bf16 : DType::f16);
  const KvNeeds needs = architecture.kv_needs(config);
  check_kv_type(plan.kv_type, needs, backend);
  plan.kv_bytes_per_token = needs.bytes_per_token(plan.kv_type);
  plan.state_type = options.state_type;
  plan.bytes_per_state = needs.states.bytes(plan.state_type);
  plan.max_length = positive_or(options.max_model_len, config.max_positions);
  plan.max_rows = positive_or(options.max_num_seqs, defaults.max_rows);
  plan.level_rows = defaults.level_rows;
  // Each expert has its share of the tokens.
  if (config.experts.count > 0) plan.level_rows *= config.experts.count / config.experts.chosen;
  plan.max_step_tokens = positive_or(options.max_num_batched_tokens, defaults.max_step_tokens);
  plan.step_multiple = defaults.step_multiple;
  if (config.max_positions > 0 && plan.max_length > config.max_positions) {
    throw Error(
        cat("--max-model-len ", plan.max_length, " is longer than the ", config.max_positions,
            " positions that the model was made for; give at most ", config.max_positions),
        ExitCode::usage);
  }
  const auto plan_workspace = [&] {
    plan.logit_rows = std::min(defaults.logit_rows, plan.max_rows);
    plan.workspace = Runner::workspace_bytes(backend, config, architecture, plan) +
                     KvPool::kSpareSlots * plan.kv_bytes_per_token;
  };
  plan_workspace();
  plan_states(plan.budget - plan.weights - plan.workspace, options, plan);
  plan_workspace();  // of so many rows

  const int64_t left = plan.budget - plan.weights - plan.workspace - plan.state_bytes;
  const int64_t most_tokens = std::max<int64_t>(0, left / plan.kv_bytes_per_token);
  if (most_tokens < std::min(kFewestTokens, plan.max_length)) {
    refuse_model(plan, options, defaults);
  }
  if (options.kv_cache_tokens > 0) {
    plan.kv_tokens = options.kv_cache_tokens;
    if (plan.kv_tokens > most_tokens) {
      throw Error(cat("--kv-cache-tokens ", plan.kv_tokens, " needs ",
                      mib(plan.kv_tokens * plan.kv_bytes_per_token), ", but ", shares(plan),
                      "; at most ", most_tokens, " tokens fit"),
                  ExitCode::memory);
    }
  } else {
    // More slots than every row at its longest could fill would never be used.
    plan.kv_tokens = std::min(most_tokens, plan.max_rows * plan.max_length);
  }
  // A cache shorter than the longest sequence would refuse rows that the limit promises.
  if (plan.kv_tokens < plan.max_length && options.max_model_len > 0) {
    throw Error(cat("--max-model-len ", plan.max_length,
                    " needs a KV cache of as many tokens, but ", plan.kv_tokens,
                    " fit: ", shares(plan), "; give --max-model-len ", plan.kv_tokens, " or less"),
                ExitCode::memory);
  }
  plan.max_length = std::min(plan.max_length, plan.kv_tokens);
  plan.kv_bytes = plan.kv_tokens * plan.kv_bytes_per_token;
  return plan;
}

}  // namespace spate

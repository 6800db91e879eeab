// `spate inspect`: what a model path holds, and the memory a run would plan. Loads no weights.
#include <algorithm>
#include <cstdio>
#include <map>

#include "apps/engine_flags.h"
#include "apps/figures.h"
#include "apps/list.h"
#include "apps/plan_text.h"

namespace spate {
namespace {

struct FormatTotal {
  int64_t tensors = 0, elements = 0, bytes = 0;
};

std::map<std::string, FormatTotal> totals_by_format(const Checkpoint& checkpoint) {
  std::map<std::string, FormatTotal> totals;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    FormatTotal& total = totals[std::string(tensor.format->name)];
    total.tensors += 1;
    total.elements += tensor.shape.elements();
    total.bytes += tensor.bytes;
  }
  return totals;
}

Json experts_json(const Config& config) {
  const Experts& experts = config.experts;
  if (experts.count == 0) return nullptr;
  return JsonObject{{"count", experts.count},
                    {"chosen", experts.chosen},
                    {"inner_width", experts.inner_width},
                    {"shared_width", experts.shared_width},
                    {"layers", static_cast<int64_t>(std::ranges::count(experts.in_layer, true))}};
}

std::string experts_text(const Experts& experts) {
  return cat(experts.chosen, " of ", experts.count, "  inner ", experts.inner_width,
             experts.shared_width > 0 ? cat("  shared ", experts.shared_width) : "", "  in ",
             std::ranges::count(experts.in_layer, true), " of ", experts.in_layer.size(),
             " layers");
}

Json config_json(const Config& config) {
  return JsonObject{{"architecture", config.architecture},
                    {"layers", config.layers},
                    {"width", config.width},
                    {"heads", config.heads},
                    {"kv_heads", config.kv_heads},
                    {"head_width", config.head_width},
                    {"latent_rank", config.latent.rank},
                    {"inner_width", config.inner_width},
                    {"linear_layers", config.linear_layers()},
                    {"experts", experts_json(config)},
                    {"vocabulary", config.vocabulary},
                    {"max_positions", config.max_positions},
                    {"rope_theta", config.rope_theta},
                    {"tied_embeddings", config.tied_embeddings},
                    {"sliding_window", config.window}};
}

Json tensors_json(const Checkpoint& checkpoint) {
  JsonArray list;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    JsonArray shape;
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) {
      shape.emplace_back(tensor.shape[axis]);
    }
    list.emplace_back(JsonObject{{"name", tensor.name},
                                 {"type", tensor.format->name},
                                 {"shape", std::move(shape)},
                                 {"bytes", tensor.bytes}});
  }
  return list;
}

Json tokenizer_json(const ModelFiles& files) {
  if (files.tokenizer == nullptr) {
    return JsonObject{{"kind", nullptr}, {"note", files.tokenizer_note}};
  }
  const auto token = [](const std::optional<Token>& id) { return id ? Json(*id) : Json(); };
  return JsonObject{{"kind", files.tokenizer->kind()},
                    {"vocabulary", files.tokenizer->vocabulary_size()},
                    {"bos", token(files.tokenizer->bos())},
                    {"eos", token(files.tokenizer->eos())}};
}

Json to_json(const ModelFiles& files, const MemoryPlan& plan, bool tensors) {
  JsonObject formats;
  for (const auto& [name, total] : totals_by_format(*files.checkpoint)) {
    formats.emplace_back(name, JsonObject{{"tensors", total.tensors},
                                          {"elements", total.elements},
                                          {"bytes", total.bytes}});
  }
  Json json =
      JsonObject{{"model", model_name(files.path)},
                 {"path", files.path},
                 {"file", files.checkpoint->describe()},
                 {"config", config_json(files.checkpoint->config())},
                 {"parameters", plan.parameters},
                 {"types", std::move(formats)},
                 {"tokenizer", tokenizer_json(files)},
                 {"chat_template", files.chat_template.has_value()},
                 {"end_tokens", JsonArray(files.end_tokens.begin(), files.end_tokens.end())},
                 {"plan", JsonObject{{"free_bytes", uint64_t{plan.memory.free}},
                                     {"budget_bytes", plan.budget},
                                     {"weights_bytes", plan.weights},
                                     {"workspace_bytes", plan.workspace},
                                     {"kv_bytes", plan.kv_bytes},
                                     {"kv_tokens", plan.kv_tokens},
                                     {"kv_bytes_per_token", plan.kv_bytes_per_token},
                                     {"kv_type", name_of(plan.kv_type)},
                                     {"state_type", name_of(plan.state_type)},
                                     {"state_bytes", plan.state_bytes},
                                     {"bytes_per_state", plan.bytes_per_state},
                                     {"row_states", plan.row_states},
                                     {"snapshots", plan.snapshots},
                                     {"max_model_len", plan.max_length},
                                     {"max_num_seqs", plan.max_rows},
                                     {"max_num_batched_tokens", plan.max_step_tokens}}}};
  if (tensors) {
    json.set("tensors", tensors_json(*files.checkpoint));
  }
  return json;
}

std::string tokenizer_text(const ModelFiles& files) {
  if (files.tokenizer == nullptr) {
    return cat("none: ", files.tokenizer_note);
  }
  const auto token = [&](const std::optional<Token>& id) {
    return id ? cat(*id, " ", files.tokenizer->bytes(*id)) : std::string("none");
  };
  return cat(files.tokenizer->kind(), "  ",
             with_commas(int64_t{files.tokenizer->vocabulary_size()}), " tokens  bos ",
             token(files.tokenizer->bos()), "  eos ", token(files.tokenizer->eos()));
}

void print(const ModelFiles& files, const MemoryPlan& plan, const std::string& device,
           bool tensors) {
  const Config& config = files.checkpoint->config();
  PlanLines lines = plan_lines(files, plan, device);
  const auto insert = lines.begin() + 1;
  const std::string kept =
      config.has_latents() ? cat("latents of ", config.latent.rank) : cat("kv ", config.kv_heads);
  PlanLines about{{"file", files.checkpoint->describe()},
                  {"sizes", cat("width ", config.width, "  heads ", config.heads, " of ",
                                config.head_width, " (", kept, ")  inner ", config.inner_width,
                                "  vocabulary ", with_commas(config.vocabulary), "  positions ",
                                with_commas(config.max_positions),
                                config.tied_embeddings ? "  head tied to the embedding" : "")}};
  if (config.linear_layers() > 0) {
    about.emplace_back("linear", cat(config.linear_layers(), " of ", config.layers, " layers"));
  }
  if (config.experts.count > 0) about.emplace_back("experts", experts_text(config.experts));
  for (const auto& [name, total] : totals_by_format(*files.checkpoint)) {
    about.emplace_back("type", cat(name, "  ", total.tensors, " tensors  ",
                                   count_text(static_cast<double>(total.elements)), " elements  ",
                                   bytes_text(static_cast<double>(total.bytes))));
  }
  std::string ends;
  for (const Token token : files.end_tokens) {
    ends += cat(ends.empty() ? "" : ", ", token);
  }
  about.emplace_back("tokens", tokenizer_text(files));
  about.emplace_back("ends", ends.empty() ? "none" : ends);
  about.emplace_back("template",
                     files.chat_template ? "present" : "none: " + files.chat_template_note);
  lines.insert(insert, about.begin(), about.end());
  std::fputs(plan_text(lines, false).c_str(), stdout);
  if (tensors) {
    for (const TensorInfo& tensor : files.checkpoint->tensors()) {
      std::printf("%-6s %-16s %12s  %s\n", std::string(tensor.format->name).c_str(),
                  tensor.shape.text().c_str(),
                  bytes_text(static_cast<double>(tensor.bytes)).c_str(), tensor.name.c_str());
    }
  }
}

}  // namespace

int inspect_command(const Arguments& arguments) {
  EngineFlags flags;
  bool tensors = false, json = false;
  const CommandLine command{
      "spate inspect",
      "MODEL [flags]",
      "Shows the family, sizes, types, tokenizer and chat template of a model, and the memory that "
      "a run\nwould plan for it. Loads no weights.",
      {{"flags",
        {model_flag(flags),
         {"--tensors", "", "list every tensor", "", set_true(tensors)},
         {"--json", "", "one JSON object", "", set_true(json)},
         random_weights_flag(flags),
         chat_template_flag(flags)}},
       engine_flag_group(flags)}};
  if (!parse_command_line(command, arguments)) {
    return 0;
  }
  const ModelFiles files = open_model(flags);
  const auto backend = open_backend(flags.options.backend);
  const MemoryPlan plan = plan_memory(*files.checkpoint, *backend, flags.options);
  if (json) {
    std::puts(to_json(files, plan, tensors).dump().c_str());
  } else {
    print(files, plan, backend->describe(), tensors);
  }
  return 0;
}

}  // namespace spate

#include "apps/sampling_flags.h"

#include <algorithm>

#include "sample/fields.h"

namespace spate {
namespace {

template <class T>
Json json_of(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// What generation_config says about fields, under their names; null where it says nothing.
Json generation_fields(const GenerationDefaults& model) {
  const bool greedy = model.sample.has_value() && !*model.sample;
  return JsonObject{{"temperature", greedy ? Json(0) : json_of(model.temperature)},
                    {"top_k", json_of(model.top_k)},
                    {"top_p", json_of(model.top_p)},
                    {"min_p", json_of(model.min_p)},
                    {"repetition_penalty", json_of(model.repetition_penalty)}};
}

std::string_view value_name(FieldForm form) {
  switch (form) {
    case FieldForm::number: return "N";
    case FieldForm::text: return "TEXT";
    case FieldForm::ids: return "IDS";
    case FieldForm::json: return "JSON";
    default: return "";
  }
}

std::string fallback_of(const Field& field) {
  const Json generation = generation_fields({});
  return generation.find(field.name) == nullptr ? std::string(field.fallback)
                                                : cat("generation_config's, else ", field.fallback);
}

// Stores the value under the field's name, so that flags and rows are read by the same code.
SetFlag set_field(SamplingFlags& flags, const Field& field) {
  return [&flags, &field](const std::string& text) {
    Json value = flag_json(field, text, flags.fields.find(field.name));
    Params trial;
    field.read(value, trial);
    flags.fields.set(field.name, std::move(value));
  };
}

void apply(const Json& fields, std::string_view source, std::string_view remedy, Params& params) {
  const FieldsRead read = read_fields(fields, params);
  if (read.error) {
    throw Error(cat(source, ": ", read.error->text, remedy), ExitCode::usage);
  }
}

}  // namespace

FlagGroup sampling_flag_group(SamplingFlags& flags) {
  FlagGroup group{"sampling (a row's own fields count more)", {}};
  for (const Field& field : sampling_fields()) {
    if (field.form == FieldForm::rows_only) continue;
    group.flags.push_back({flag_name(field), std::string(value_name(field.form)),
                           std::string(field.help), fallback_of(field), set_field(flags, field)});
  }
  group.flags.push_back(
      {"--generation-config", "NAME",
       "auto: defaults from the model's generation_config; none: without them", "auto",
       choose<bool>(flags.use_generation_config, {{"auto", true}, {"none", false}})});
  return group;
}

SamplingDefaults sampling_defaults(const SamplingFlags& flags, const GenerationDefaults& model,
                                   int64_t max_tokens) {
  const Json generation =
      flags.use_generation_config ? generation_fields(model) : Json(JsonObject());
  SamplingDefaults defaults;
  defaults.params.max_tokens = max_tokens;
  apply(generation, "generation_config", "; --generation-config none leaves it out",
        defaults.params);
  apply(flags.fields, "flags", "", defaults.params);

  // Printed also when nobody sets them.
  const JsonObject built_in = {
      {"max_tokens", max_tokens}, {"temperature", Params().temperature}, {"seed", Params().seed}};
  struct Origin {
    Json fields;
    std::string_view name;
  };
  const Origin origins[] = {
      {flags.fields, "flag"}, {generation, "generation_config"}, {built_in, "built in"}};
  for (const Field& field : sampling_fields()) {
    for (const auto& [fields, origin] : origins) {
      const Json* value = fields.find(field.name);
      if (value == nullptr || value->is_null()) continue;
      defaults.description += cat(defaults.description.empty() ? "" : ", ", field.name, " ",
                                  value->dump(), " (", origin, ")");
      defaults.values.emplace_back(field.name, *value);
      break;
    }
  }
  return defaults;
}

}  // namespace spate

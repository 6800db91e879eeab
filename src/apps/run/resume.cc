#include "apps/run/resume.h"

#include <algorithm>

#include "apps/journal/fingerprint.h"
#include "apps/run/row_output.h"
#include "base/files.h"

namespace spate {
namespace {

bool is_plain(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("-_./=,:+@%").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

std::string quoted(const std::string& word) {
  if (is_plain(word)) {
    return word;
  }
  std::string text = "'";
  for (const char c : word) {
    c == '\'' ? text.append("'\\''") : text.append(1, c);
  }
  text.append("'");
  return text;
}

}  // namespace

Manifest run_manifest(const RunFlags& flags, RowFormat format, const ModelFiles& files,
                      const SamplingDefaults& sampling, int64_t rows) {
  const SourceOptions& source = flags.job.source;
  const EngineOptions& engine = flags.engine.options;
  Manifest manifest;
  manifest.input = describe_input(real_file_system(), source.input);
  manifest.model = {.path = flags.engine.model,
                    .name = model_name(flags.engine.model),
                    .fingerprint = model_fingerprint(real_file_system(), files.path)};
  manifest.shard = cat(source.shard.index, "/", source.shard.count);
  manifest.offset = source.offset;
  manifest.limit = source.limit;
  manifest.rows = rows;
  manifest.config = flags.given;

  JsonObject& parameters = manifest.parameters;
  for (const auto& [name, value] : sampling.values) {
    parameters.emplace_back(name, value);
  }
  const auto add = [&parameters](std::string_view name, Json value) {
    parameters.emplace_back(name, std::move(value));
  };
  add("system", flags.chat.system);
  add("chat_template", flags.engine.chat_template.empty()
                           ? Json()
                           : hex(hash_of(std::string_view(read_file(flags.engine.chat_template)))));
  add("template_kwargs", flags.chat.template_arguments);
  add("on_too_long", word_of(flags.too_long, too_long_choices()));
  add("max_model_len", flags.engine.longest_row   ? Json("auto")
                       : engine.max_model_len > 0 ? Json(engine.max_model_len)
                                                  : Json());
  add("format", word_of(format, row_formats()));
  add("prompt_field", source.parse.prompt_field);
  add("id_field", source.parse.id_field);
  add("allow_duplicate_ids", source.repeated_ids);
  add("output_format", word_of(flags.job.answers.format, output_formats()));
  add("kv_cache_dtype", engine.kv_type ? Json(name_of(*engine.kv_type)) : Json());
  add("state_dtype", engine.state_type == DType::f32 ? Json() : Json(name_of(engine.state_type)));
  add("random_weights", flags.engine.random_weights
                            ? Json(static_cast<int64_t>(flags.engine.random_weights->seed))
                            : Json());
  return manifest;
}

KeySet keys_of_input(const SourceOptions& options) {
  KeySet keys;
  for_each_row(options, [&keys](const SourceRow& row) {
    keys.insert(row.row.key);
    return true;
  });
  return keys;
}

int64_t done_rows(const JobFiles& files) {
  const Journal::Totals totals = files.journal().totals();
  const int64_t again = totals.expired + (files.options().retry_errors ? totals.retryable : 0);
  return totals.answered + totals.failed - again;
}

bool any_row_left(const SourceOptions& options, const JobFiles& files) {
  bool left = false;
  for_each_row(options, [&](const SourceRow& row) {
    left = !files.is_done(files.journal().find(row.row.key));
    return !left;
  });
  return left;
}

void put_in_order(const SourceOptions& options, JobFiles& files) {
  RowOutput output(files);
  for_each_row(options, [&](const SourceRow& row) {
    output.put_done(row.place, row.row.key);
    return true;
  });
  output.close();
}

std::string resume_command(const Arguments& arguments) {
  std::string text = "spate run";
  for (const std::string& word : arguments) {
    if (word != "--overwrite" && word != "--no-resume") {
      text.append(" ").append(quoted(word));
    }
  }
  return text;
}

}  // namespace spate

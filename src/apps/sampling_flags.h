// Sampling fields as flags, and the defaults they make together with the model's
// generation_config. A row's own fields come on top, in rows/prepare.cc.
#pragma once

#include <string>

#include "apps/cli.h"
#include "base/json.h"
#include "load/config.h"
#include "sample/params.h"

namespace spate {

struct SamplingFlags {
  Json fields = JsonObject();  // what was given, under the names that rows use
  bool use_generation_config = true;
};

FlagGroup sampling_flag_group(SamplingFlags& flags);

// What holds for a row that says nothing: built-in values, generation_config, flags.
struct SamplingDefaults {
  Params params;
  std::string description;  // "temperature 0.6 (generation_config) top_p 0.9 (flag) ..."
  JsonObject values;        // of the fields that it names
};

SamplingDefaults sampling_defaults(const SamplingFlags& flags, const GenerationDefaults& model,
                                   int64_t max_tokens);

}  // namespace spate

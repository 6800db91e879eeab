// Sampling fields by name: one table gives the members of JSON bodies, the flags of commands and
// docs/sampling.md. Names are OpenAI's, and vLLM's for what OpenAI does not have.
//
// To add a field: its member in Params, its line in fields.cc, its row in docs/sampling.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "sample/params.h"

namespace spate {

// How a field is written on a command line.
enum class FieldForm {
  number,     // --top-p 0.9
  on_off,     // --ignore-eos
  text,       // --stop TEXT, once for each
  ids,        // --stop-token-ids 1,2,3
  json,       // --logit-bias '{"50": -100}'
  rows_only,  // has no flag
};

struct Field {
  std::string_view name;   // in JSON; the flag has dashes: --top-p
  std::string_view alias;  // a second name in JSON that wins over the first; may be empty
  FieldForm form = FieldForm::number;
  std::string_view fallback;  // what holds when nobody says anything
  std::string_view help;
  // Throws Error("expected ..., found ...").
  void (*read)(const Json& value, Params& params) = nullptr;
};

std::span<const Field> sampling_fields();

// Why fields cannot be served. Codes: "invalid_param", "unsupported_param".
struct FieldError {
  std::string code, text;
};

struct FieldsRead {
  std::optional<FieldError> error;   // the first one; params are then half changed
  std::vector<std::string> unknown;  // members that nobody here knows; they are passed over
};

// Sets in `params` what the members of `object` say; null members say nothing. With a vocabulary,
// all token ids of the result must be below it.
FieldsRead read_fields(const Json& object, Params& params, int64_t vocabulary = 0);

// "--top-p" of a field, and the JSON that a flag's text stands for. `before`: the flag's earlier
// value, for forms that may be given again. Throws Error when the text is malformed.
std::string flag_name(const Field& field);
Json flag_json(const Field& field, const std::string& text, const Json* before);

}  // namespace spate

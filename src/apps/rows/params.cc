// The sampling fields of a row on top of the run's defaults.
#include "apps/rows/prepare.h"
#include "sample/fields.h"

namespace spate {
namespace {

constexpr size_t kLongest = 60;

// Names are the user's own and may have any length.
std::string shortened(const std::string& name) { return name.substr(0, kLongest); }

// "HuggingFaceTB/SmolLM2-135M" means "SmolLM2-135M.Q4_1" too.
bool means(std::string_view asked, std::string_view model) {
  return model.starts_with(asked.substr(asked.find_last_of('/') + 1));
}

std::string unknown_field(const std::string& name) {
  const std::string near = nearest_sampling_field(name);
  return cat("rows have the field ", Json(shortened(name)).dump(),
             ", which is not known and has no effect",
             near.empty() ? "" : "; did you mean " + near + "?");
}

}  // namespace

std::string nearest_sampling_field(const std::string& name) {
  std::vector<std::string> known;
  for (const Field& field : sampling_fields()) known.emplace_back(field.name);
  return name.size() > kLongest ? "" : nearest_word(name, known);
}

Params RowPreparer::resolve_params(const InputRow& row) const {
  Params params = options_.defaults;
  FieldsRead read = read_fields(row.fields, params, options_.vocabulary);
  for (const std::string& name : read.unknown) notices_.add(unknown_field(name));
  if (const Json* model = row.fields.find("model"); !options_.model.empty() && model != nullptr &&
                                                    model->is_string() &&
                                                    !means(model->as_string(), options_.model)) {
    notices_.add(cat("rows ask for the model ", Json(shortened(model->as_string())).dump(), "; ",
                     options_.model, " answers them"));
  }
  if (read.error) throw RowRejected(read.error->code, read.error->text);
  return params;
}

}  // namespace spate

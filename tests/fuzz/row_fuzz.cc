// Lines of an input file, in every form, and the sampling fields they bring. Whatever a line holds,
// it becomes a row or is rejected with a code, and its error line is JSON again. The first byte of
// the input chooses the form.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "apps/answer.h"
#include "apps/bench/lengths.h"
#include "apps/rows/row.h"
#include "base/check.h"
#include "sample/fields.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view line(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto formats = spate::row_formats();
  const spate::ParseOptions options{.format = formats[data[0] % formats.size()].second};

  spate::JsonParser parser;
  spate::InputRow row;
  try {
    spate::parse_row(line, options, parser, row);
    spate::check(row.chat || !row.prompts.empty(), "a row asks for something");
    spate::Params params;
    const spate::FieldsRead read = spate::read_fields(row.fields, params, 1000);
    spate::check(!read.error || !read.error->code.empty(), "an error has a code");
  } catch (const spate::RowRejected& rejected) {
    for (const bool inside : {false, true}) {
      const std::string text = spate::error_line(row, rejected.error(), 1, inside);
      spate::check(text.find('\n') == std::string::npos, "an error is one line");
      spate::parse_json(text, "error line");
    }
  }

  try {
    spate::parse_lengths(line, "lengths");
  } catch (const spate::Error&) {
  }
  return 0;
}

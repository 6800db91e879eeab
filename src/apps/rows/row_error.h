// The error that work on one row ends with, as a value: nothing that is thrown there may end more
// than this row.
#pragma once

#include <optional>

#include "apps/rows/row.h"
#include "base/check.h"

namespace spate {

template <class Work>
std::optional<RowError> row_error_of(const Work& work) {
  try {
    work();
    return std::nullopt;
  } catch (const RowRejected& rejected) {
    return rejected.error();
  } catch (const Error& failed) {
    return RowError{"tokenizer_error", failed.what(), false};
  } catch (const std::exception& failed) {  // too large for memory, say
    return RowError{"engine_error", failed.what(), true};
  }
}

// Of a row whose id an earlier line of the input has.
inline RowError duplicate_id(const InputRow& row) {
  return {"duplicate_id",
          cat("an earlier line has the id ", Json(row.id).dump(),
              "; give each row its own, or see --allow-duplicate-ids"),
          false};
}

}  // namespace spate

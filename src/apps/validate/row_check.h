// What a run would say to one line, found by the code that the run itself uses: parse_row,
// read_fields, RowPreparer. Without a model the prompts are not tokenised, so what depends on
// tokens stays open.
#pragma once

#include <cstdint>
#include <vector>

#include "apps/validate/blocks.h"
#include "apps/validate/findings.h"

namespace spate {

struct CheckOptions {
  ParseOptions parse;
  Params defaults;                        // sampling values of rows that say nothing
  const RowPreparer* preparer = nullptr;  // null: without a model
};

// A row that brings an id. A row that cannot be read keeps its own error, and one that the job does
// not take has none.
struct RowId {
  uint64_t hash = 0;
  BlockLine line;  // its text is part of the block
  bool can_be_blamed = false;
};

struct BlockFindings {
  Block block;
  RowCounts counts;
  std::vector<BadRow> bad;  // in the order of the lines
  std::vector<RowId> ids;   // likewise
};

// Looks at one line and adds what it found. `parser` belongs to the calling thread.
void check_line(const BlockLine& line, const CheckOptions& options, JsonParser& parser,
                BlockFindings& findings);

// Of a line that the job passes over, its id alone.
void note_id(const BlockLine& line, const CheckOptions& options, JsonParser& parser,
             BlockFindings& findings);

// The row of a line that has an id of an earlier one; `first_line` 0-based.
BadRow repeated_row(const RowId& id, int64_t first_line, const ParseOptions& options,
                    JsonParser& parser);

}  // namespace spate

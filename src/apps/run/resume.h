// What ties a run to the runs before it: the manifest that says which job this is, the passes over
// the input that find out what is left of it, and the command that goes on.
#pragma once

#include <string>

#include "apps/journal/job_files.h"
#include "apps/list.h"
#include "apps/run/flags.h"

namespace spate {

// Of this run, with every parameter that changes answers. `format`: as asked for; `rows`: -1 when
// not known.
Manifest run_manifest(const RunFlags& flags, RowFormat format, const ModelFiles& files,
                      const SamplingDefaults& sampling, int64_t rows);

KeySet keys_of_input(const SourceOptions& options);

// Rows of earlier runs that this run leaves as they are.
int64_t done_rows(const JobFiles& files);

// Reads the input until a row is found that must run.
bool any_row_left(const SourceOptions& options, const JobFiles& files);

// Gives every row out once more, from what is on file, when all that is left to do is their order.
void put_in_order(const SourceOptions& options, JobFiles& files);

// For a shell. Flags that would begin anew are left out.
std::string resume_command(const Arguments& arguments);

}  // namespace spate

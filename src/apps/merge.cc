// `spate merge`: the outputs of shards, or of several jobs, as the output of one.
#include "apps/jobs/merge.h"

#include <cstdio>

#include "apps/cli.h"
#include "apps/figures.h"
#include "apps/list.h"

namespace spate {

int merge_command(const Arguments& arguments) {
  MergeOptions options;
  const CommandLine command{
      "spate merge",
      "OUT... -o FILE [flags]",
      "Joins outputs of runs over parts of an input (--shard, --offset) or over several inputs, "
      "each "
      "row\nonce, with their errors and a manifest. Exit code 3 when rows have failed or are "
      "missing.",
      {{"flags",
        {{"OUT...", "", "outputs of runs", "", into(options.outputs), true},
         {"-o,--output", "FILE", "the joined output", "", into(options.output), true},
         {"--errors", "FILE", "the joined errors", "FILE.errors.jsonl", into(options.errors)},
         {"-i,--input", "FILE", "the input of the runs, when it has moved", "as the manifests say",
          into(options.input)},
         {"--ordered", "", "in the order of the input", "", set_true(options.ordered)},
         {"--allow-incomplete", "", "some shards may be absent", "",
          set_true(options.allow_incomplete)},
         {"--force", "", "models or parameters may differ", "", set_true(options.force)},
         {"--overwrite", "", "replace files that are there", "", set_true(options.overwrite)}}}}};
  if (!parse_command_line(command, arguments)) {
    return 0;
  }
  const MergeResult result = merge_jobs(real_file_system(), options);
  std::fprintf(stderr, "%s", merge_text(result).c_str());
  const bool good = result.failed == 0 && result.missing() == 0;
  return static_cast<int>(good ? ExitCode::ok : ExitCode::rows_failed);
}

}  // namespace spate

#include "apps/run/status.h"

#include "apps/figures.h"
#include "base/check.h"

namespace spate {

std::string status_text(const RunStatus& status) {
  const ProgressCounts& counts = status.counts;
  const SchedulerStats& scheduler = status.engine.scheduler;
  std::string text = cat("status after ", duration_text(status.seconds), "\n");
  const auto line = [&text](const char* name, const std::string& rest) {
    text += report_line(name, rest);
  };
  line("rows",
       cat("done ", with_commas(counts.rows_done),
           counts.rows_total < 0 ? "" : " of " + with_commas(counts.rows_total), "  failed ",
           with_commas(counts.failed), "  running ", with_commas(counts.running), "  waiting ",
           with_commas(counts.waiting), "  prepared ", with_commas(status.inside), "  read ahead ",
           with_commas(status.read_ahead)));
  line("engine",
       cat("steps ", with_commas(status.engine.steps), "  last one ended ",
           fixed(status.step_seconds, 1), " s ago  busy ", fixed(status.engine.busy_seconds, 1),
           " s  idle ", fixed(status.engine.idle_seconds, 1), " s  tokens in ",
           with_commas(counts.prompt_tokens), " out ", with_commas(counts.output_tokens)));
  line("kv", cat("used ", with_commas(scheduler.kv_used), " of ", with_commas(scheduler.kv_slots),
                 " slots  cached ", with_commas(scheduler.kv_cached), "  free runs ",
                 with_commas(scheduler.free_runs), " largest ", with_commas(scheduler.largest_free),
                 "  preempted ", with_commas(scheduler.evictions)));
  line("output", cat("waited for ", fixed(status.output_wait, 1), " s"));
  for (const RunStatus::Row& row : status.oldest) {
    line(&row == &status.oldest.front() ? "oldest" : "",
         cat(Json(row.id).dump(), " (line ", row.line, ")  running ", fixed(row.seconds, 1), " s  ",
             with_commas(row.output_tokens), " tokens"));
  }
  return text;
}

}  // namespace spate

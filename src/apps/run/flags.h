// The flags of `spate run`, and which of them go together.
#pragma once

#include <string>

#include "apps/engine_flags.h"
#include "apps/journal/job_files.h"
#include "apps/list.h"
#include "apps/progress.h"
#include "apps/row_flags.h"
#include "apps/run/batch_job.h"
#include "apps/sampling_flags.h"

namespace spate {

struct RunFlags {
  EngineFlags engine;
  SamplingFlags sampling;
  OutputOptions output;
  JobOptions job;
  TooLong too_long = TooLong::error;
  ChatFlags chat;
  ProgressMode progress = ProgressMode::automatic;
  ColorMode color = ColorMode::automatic;
  double progress_interval = 0;
  std::string report = "text", log;
  std::string metrics_host = "127.0.0.1";
  int64_t metrics_port = -1;  // -1: no metrics; 0: any
  int64_t window = 0;         // 0: chosen
  Arguments arguments;        // as given
  JsonObject given;           // the flags by name, those of --config too
  bool quiet = false, dry_run = false, fail_fast = false;
};

CommandLine run_command_line(RunFlags& flags);

// Refuses (exit code 2) what cannot work, before anything runs.
void check_run_flags(RunFlags& flags, const ModelFiles& files);

}  // namespace spate

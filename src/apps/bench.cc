// `spate bench`: throughput on this machine, through the same engine as `spate run`. The work is a
// grid of equal rows, a list of lengths, or a file of rows; prompts of the first two are random
// token ids from a fixed seed, and several samples of one are drawn at temperature 1. Every row
// runs to its full length: end tokens are ignored.
#include <algorithm>
#include <cstdio>

#include "apps/bench/lengths.h"
#include "apps/bench/text.h"
#include "apps/engine_flags.h"
#include "apps/list.h"
#include "apps/plan_text.h"
#include "apps/progress.h"
#include "apps/reader.h"
#include "apps/rows/prepare.h"
#include "apps/sampling_flags.h"
#include "apps/writer.h"
#include "base/files.h"

namespace spate {
namespace {

struct BenchFlags {
  EngineFlags engine;
  std::vector<int64_t> prompt_tokens{512}, output_tokens{128}, rows{1, 16, 64};
  std::string lengths, input, report;
  int64_t limit = 0;  // rows of a file; 0: all
  int64_t samples = 1;
  int64_t seed = 1, repeat = 1;
  bool json = false;
};

// "1,16,64"
SetFlag into_list(std::vector<int64_t>& target) {
  return [&target](const std::string& value) {
    target.clear();
    for (size_t begin = 0; begin <= value.size();) {
      const size_t comma = std::min(value.find(',', begin), value.size());
      into(target.emplace_back(), 1)(value.substr(begin, comma - begin));
      begin = comma + 1;
    }
  };
}

CommandLine command_line(BenchFlags& flags) {
  return {
      "spate bench",
      "MODEL [--rows LIST | --lengths FILE | -i FILE] [flags]",
      "Measures throughput: random prompts of given lengths, run to the end (end tokens are "
      "ignored).\n"
      "LIST is 1,16,64: every combination of prompt tokens, output tokens and rows is a case.",
      {{"work",
        {model_flag(flags.engine),
         {"--prompt-tokens,--input-len", "LIST", "tokens of a prompt", "512",
          into_list(flags.prompt_tokens)},
         {"--output-tokens,--output-len", "LIST", "tokens generated for a row", "128",
          into_list(flags.output_tokens)},
         {"--rows,--num-prompts", "LIST", "rows of a case; all run at once", "1,16,64",
          into_list(flags.rows)},
         {"--samples", "N",
          "of each random prompt; more than one are drawn at temperature 1, else greedily", "1",
          into(flags.samples, 1, kMostSamples)},
         {"--lengths", "FILE", "a case with the lengths of a CSV file: prompt_tokens,output_tokens",
          "", into(flags.lengths)},
         {"-i,--input", "FILE", "a case with the rows of a file, in the forms of spate run", "",
          into(flags.input)},
         {"--limit", "N", "take at most N rows of the file; 0: all", "0", into(flags.limit, 0)},
         {"--seed", "N", "of the random token ids", "1", into(flags.seed, 0)},
         {"--repeat", "N", "runs of each case; shown are medians", "1",
          into(flags.repeat, 1, 1000)},
         profile_flag(flags.engine),
         trace_flag(flags.engine),
         {"--json", "", "one JSON object instead of text", "", set_true(flags.json)},
         {"--report", "FILE", "also write the JSON object there", "", into(flags.report)},
         chat_template_flag(flags.engine),
         random_weights_flag(flags.engine)}},
       engine_flag_group(flags.engine),
       config_flag_group()}};
}

Request random_request(const BenchFlags& flags, int64_t vocabulary, uint64_t row,
                       const RowLength& length) {
  Request request{.id = row + 1, .key = row};
  request.prompt = random_prompt(static_cast<uint64_t>(flags.seed), row, length.prompt, vocabulary);
  request.params.n = flags.samples;
  request.params.temperature = flags.samples > 1 ? 1 : 0;
  request.params.max_tokens = length.output;
  request.params.ignore_eos = true;
  return request;
}

BenchCase lengths_case(const BenchFlags& flags, int64_t vocabulary) {
  std::vector<RowLength> lengths = parse_lengths(read_file(flags.lengths), flags.lengths);
  if (flags.limit > 0 && lengths.size() > static_cast<size_t>(flags.limit)) {
    lengths.resize(static_cast<size_t>(flags.limit));
  }
  BenchCase one;
  for (const RowLength& length : lengths) {
    one.requests.push_back(random_request(flags, vocabulary, one.requests.size(), length));
  }
  one.name = cat(flags.lengths.substr(flags.lengths.find_last_of('/') + 1), ", ",
                 one.requests.size(), " rows");
  return one;
}

// The rows of a file as the engine would get them from `spate run`, but for end tokens and stops.
BenchCase file_case(const BenchFlags& flags, const ModelFiles& files, int64_t max_length) {
  Notices notices;
  const RowPreparer preparer(
      files,
      {.defaults = sampling_defaults({}, files.checkpoint->generation(), kDefaultMaxTokens).params,
       .max_length = max_length,
       .vocabulary = files.checkpoint->config().vocabulary,
       .width = files.checkpoint->config().width},
      notices);
  const std::atomic<bool> never{false};
  LineReader reader(flags.input);
  JsonParser parser;
  BenchCase one;
  int64_t rows = 0;
  for (; flags.limit == 0 || rows < flags.limit; ++rows) {
    const std::optional<Line> line = reader.next(never);
    if (!line) {
      break;
    }
    InputRow row;
    row.index = line->index;
    try {
      parse_row(line->text, {}, parser, row);
      PreparedRow prepared = preparer.prepare(std::move(row));
      for (std::vector<Token>& prompt : prepared.prompts) {
        const uint64_t number = one.requests.size();
        Request request{.id = number + 1,
                        .key = number,
                        .prompt = std::move(prompt),
                        .embedded = prepared.embedded,
                        .params = prepared.params};
        request.params.ignore_eos = true;
        request.params.stop.clear();
        request.params.stop_tokens.clear();
        request.params.loop_stop = {};
        if (request.params.max_tokens == 0) {  // as many as fit
          request.params.max_tokens = max_length - static_cast<int64_t>(request.prompt.size());
        }
        one.requests.push_back(std::move(request));
      }
    } catch (const RowRejected& rejected) {
      throw Error(cat(flags.input, ": line ", line->index + 1, ": ", rejected.error().code, ": ",
                      rejected.error().message),
                  ExitCode::usage);
    }
  }
  if (one.requests.empty()) {
    usage_error(cat("--input ", flags.input, " holds no rows"));
  }
  one.name = cat(flags.input.substr(flags.input.find_last_of('/') + 1), ", ", rows, " rows");
  return one;
}

std::vector<BenchCase> grid_cases(const BenchFlags& flags, int64_t vocabulary) {
  std::vector<BenchCase> cases;
  for (const int64_t prompt : flags.prompt_tokens) {
    for (const int64_t output : flags.output_tokens) {
      for (const int64_t rows : flags.rows) {
        BenchCase one{
            .name = cat(prompt, " + ", output, " tokens, ", rows, rows == 1 ? " row" : " rows",
                        flags.samples > 1 ? cat(" of ", flags.samples, " samples") : ""),
            .rows_at_once = rows * flags.samples};
        for (int64_t row = 0; row < rows; ++row) {
          one.requests.push_back(
              random_request(flags, vocabulary, static_cast<uint64_t>(row), {prompt, output}));
        }
        cases.push_back(std::move(one));
      }
    }
  }
  return cases;
}

std::vector<BenchCase> make_cases(const BenchFlags& flags, const ModelFiles& files) {
  if (!flags.lengths.empty() && !flags.input.empty()) {
    usage_error("--lengths and --input are two kinds of work; give one of them");
  }
  const Config& config = files.checkpoint->config();
  if (!flags.lengths.empty()) {
    return {lengths_case(flags, config.vocabulary)};
  }
  if (!flags.input.empty()) {
    const int64_t given = flags.engine.options.max_model_len;
    return {file_case(flags, files, given > 0 ? given : config.max_positions)};
  }
  return grid_cases(flags, config.vocabulary);
}

// What all cases share.
struct Measuring {
  std::optional<DeviceRates> rates;  // when profiling
  std::unique_ptr<Trace> trace;      // or null
};

EngineOptions options_of(const BenchFlags& flags, const Measuring& measuring,
                         const BenchCase& one) {
  EngineOptions options = flags.engine.options;
  options.profile = measuring.rates;
  options.trace = measuring.trace.get();
  if (options.max_model_len == 0) {
    options.max_model_len = std::max(one.longest(), kWarmUpTokens);
  }
  if (options.max_num_seqs == 0) {
    options.max_num_seqs = one.rows_at_once;
  }
  return options;
}

void print_plan(const ModelFiles& files, const EngineOptions& options) {
  const auto backend = open_backend(options.backend);
  const MemoryPlan plan = plan_memory(*files.checkpoint, *backend, options);
  const PlanLines lines = plan_lines(files, plan, backend->describe());
  std::fputs(plan_text(lines, use_color(ColorMode::automatic)).c_str(), stderr);
}

int measure(const BenchFlags& flags) {
  std::optional<LineFile> report;
  if (!flags.report.empty()) {
    report.emplace(flags.report, "--report", true);
  }
  Measuring measuring{.rates = {}, .trace = open_trace(flags.engine)};
  const ModelFiles files = open_model(flags.engine);
  std::vector<BenchCase> cases = make_cases(flags, files);
  std::string device;
  std::vector<BenchResult> results;
  JsonArray case_list;
  ProgressDisplay display(ProgressMode::automatic, ColorMode::automatic, 0);
  if (flags.engine.profile) {
    display.stage("measuring the device");
    measuring.rates = before_running([&] { return measure_rates(flags.engine.options.backend); });
    display.finish();
  }
  for (BenchCase& next : cases) {
    BenchResult result{.what = std::move(next)};
    const BenchCase& one = result.what;
    const EngineOptions options = options_of(flags, measuring, one);
    if (!flags.json) {
      print_plan(files, options);
    }
    for (int64_t run = 1; run <= flags.repeat; ++run) {
      display.stage(cat(one.name, "   run ", run, " of ", flags.repeat));
      const TraceSpan span(options.trace, TraceLane::main, one.name);
      result.runs.push_back(run_bench_case(files, options, one, device));
    }
    display.finish();
    if (!flags.json) {
      std::printf("%s\n", bench_case_text(result).c_str());
      std::fflush(stdout);
    }
    case_list.push_back(bench_case_json(result));
    results.push_back(std::move(result));
  }
  const Json all = JsonObject{
      {"event", "bench"}, {"version", SPATE_VERSION}, {"model", model_name(flags.engine.model)},
      {"device", device}, {"seed", flags.seed},       {"cases", std::move(case_list)}};
  if (flags.json) {
    std::puts(all.dump().c_str());
  } else if (results.size() > 1) {
    std::fputs(bench_table_text(results).c_str(), stdout);
  }
  if (report) {
    report->append(all.dump() + "\n");
  }
  close_trace(measuring.trace.get());
  return 0;
}

}  // namespace

int bench_command(const Arguments& arguments) {
  BenchFlags flags;
  const CommandLine command = command_line(flags);
  return parse_command_line(command, arguments) ? measure(flags) : 0;
}

}  // namespace spate

// `spate chat`: a conversation in the terminal, or one question. Answers stream as they are made;
// the history is sent whole each time, and the prefix cache makes that cheap.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "apps/engine_flags.h"
#include "apps/list.h"
#include "apps/rows/prepare.h"
#include "apps/sample_stream.h"
#include "apps/sampling_flags.h"
#include "apps/signals.h"
#include "base/clock.h"
#include "base/hash.h"

namespace spate {
namespace {

struct ChatFlags {
  EngineFlags engine;
  SamplingFlags sampling;
  std::string prompt, system;
  bool has_prompt = false, raw = false, stats = false;
};

class Conversation {
 public:
  Conversation(const ModelFiles& files, Engine& engine, const RowPreparer& preparer, bool raw)
      : files_(files), engine_(engine), preparer_(preparer), raw_(raw) {}

  // Streams the answer to stdout. The exchange joins the history, also when it was stopped halfway.
  void ask(const std::string& text, StopSignals& signals, bool stats) {
    messages_.emplace_back(JsonObject{{"role", "user"}, {"content", text}});
    InputRow row;
    row.id = cat("chat-", ++turns_);
    if (raw_) {
      row.prompts.emplace_back(text);
    } else {
      row.chat = true;
      row.messages = messages_;
    }
    PreparedRow prepared = preparer_.prepare(std::move(row));
    prepared.params.n = 1;  // a conversation goes on with one answer
    const auto prompt_tokens = prepared.prompts.front().size();
    SampleStream stream(files_.tokenizer.get(), prepared.params);
    const Stopwatch watch;
    engine_.submit({.id = turns_,
                    .key = stable_hash(cat("chat-", turns_)),
                    .prompt = std::move(prepared.prompts.front()),
                    .params = prepared.params});
    const int64_t cached = stream_answer(stream, signals);
    const double seconds = watch.seconds();
    std::puts("");
    SampleAnswer answer = stream.take();
    if (stats) {
      std::fprintf(stderr, "[%zu prompt tokens, %ld cached, %zu answer tokens, %.1f s, %s]\n",
                   prompt_tokens, static_cast<long>(cached), answer.tokens.size(), seconds,
                   std::string(name_of(answer.reason)).c_str());
    }
    messages_.emplace_back(JsonObject{{"role", "assistant"}, {"content", std::move(answer.text)}});
  }

  void forget() { messages_.clear(); }
  void take_back_question() { messages_.pop_back(); }

 private:
  // Returns how many prompt tokens the prefix cache had.
  int64_t stream_answer(SampleStream& stream, StopSignals& signals) {
    bool cancelled = false;
    for (;;) {
      for (Event& event : engine_.next_events(0.05)) {
        if (event.request != turns_) {
          continue;
        }
        std::fputs(stream.push(event).c_str(), stdout);
        std::fflush(stdout);
        if (event.finish) {
          if (event.finish->reason == FinishReason::error) {
            fail("the engine refused the prompt: ", event.finish->text);
          }
          return event.cached_tokens;
        }
      }
      if (!cancelled && (stream.stopped() || signals.received() != 0)) {
        cancelled = true;
        engine_.cancel(turns_);
      }
    }
  }

  const ModelFiles& files_;
  Engine& engine_;
  const RowPreparer& preparer_;
  bool raw_;
  JsonArray messages_;
  uint64_t turns_ = 0;
};

void talk(Conversation& conversation, StopSignals& signals, bool stats) {
  std::fputs("/exit ends, /clear forgets the conversation, Ctrl-C stops an answer\n", stderr);
  for (std::string line;;) {
    std::fputs("> ", stderr);
    signals.forget();
    if (!std::getline(std::cin, line) || line == "/exit" || signals.received() != 0) {
      std::fputs("\n", stderr);
      return;
    }
    if (line == "/clear") {
      conversation.forget();
    } else if (!line.empty()) {
      try {
        conversation.ask(line, signals, stats);
      } catch (const RowRejected& rejected) {
        conversation.take_back_question();
        std::fprintf(stderr, "%s\n", rejected.what());
      }
    }
  }
}

int start(ChatFlags& flags) {
  const ModelFiles files = open_model(flags.engine);
  if (files.tokenizer == nullptr) {
    throw Error(cat(flags.engine.model, " has no tokenizer: ", files.tokenizer_note),
                ExitCode::usage);
  }
  if (!files.chat_template && !flags.raw) {
    throw Error(cat(flags.engine.model, " has no chat template (", files.chat_template_note,
                    "); give one with --chat-template, or --raw to continue plain text"),
                ExitCode::usage);
  }
  EngineOptions& options = flags.engine.options;
  options.max_num_seqs = options.max_num_seqs == 0 ? 1 : options.max_num_seqs;
  Engine engine = before_running([&] { return Engine(files, options); });
  Notices notices;
  const SamplingDefaults sampling =
      sampling_defaults(flags.sampling, files.checkpoint->generation(), kDefaultMaxTokens);
  const RowPreparer preparer(files,
                             {.defaults = sampling.params,
                              .max_length = engine.plan().max_length,
                              .system = flags.system,
                              .vocabulary = files.checkpoint->config().vocabulary,
                              .width = files.checkpoint->config().width},
                             notices);
  Conversation conversation(files, engine, preparer, flags.raw);
  StopSignals signals;
  const bool interactive = !flags.has_prompt && ::isatty(STDIN_FILENO) == 1;
  if (interactive) {
    talk(conversation, signals, flags.stats);
    return 0;
  }
  if (!flags.has_prompt) {
    flags.prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
  }
  try {
    conversation.ask(flags.prompt, signals, flags.stats);
  } catch (const RowRejected& rejected) {
    throw Error(rejected.what(), ExitCode::usage);
  }
  return signals.received() == 0 ? 0 : exit_code_of_signal(signals.received());
}

}  // namespace

int chat_command(const Arguments& arguments) {
  ChatFlags flags;
  const CommandLine command{
      "spate chat",
      "MODEL [PROMPT] [flags]",
      "Talks to a model. With PROMPT, or with text on stdin, it answers once.",
      {{"chat",
        {model_flag(flags.engine),
         {"PROMPT", "", "one question", "asks in the terminal",
          [&flags](const std::string& value) {
            flags.prompt = value;
            flags.has_prompt = true;
          }},
         {"--system", "TEXT", "system message", "", into(flags.system)},
         {"--raw", "", "continue the text as it is, without a chat template or history", "",
          set_true(flags.raw)},
         {"--stats", "", "tokens and seconds after each answer", "", set_true(flags.stats)},
         chat_template_flag(flags.engine)}},
       sampling_flag_group(flags.sampling),
       engine_flag_group(flags.engine),
       {"weights", {random_weights_flag(flags.engine)}}}};
  return parse_command_line(command, arguments) ? start(flags) : 0;
}

}  // namespace spate

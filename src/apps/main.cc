// The `spate` program: picks the command, and turns errors into one line and an exit code.
#include <csignal>
#include <cstdio>
#include <exception>

#include "apps/cli.h"
#include "apps/list.h"
#include "base/check.h"

namespace spate {
namespace {

void print_overview(std::FILE* out) {
  std::fputs(
      "spate: throughput-first inference of language models\n\n"
      "usage: spate COMMAND [flags]        spate COMMAND --help for its flags\n\ncommands\n",
      out);
  for (const Command& command : all_commands()) {
    std::fprintf(out, "  %-10s%s\n", command.name.data(), command.help.data());
  }
  std::fputs("\nspate --version prints the version\n", out);
}

// Data that could not be written must not look like success.
int after(int code) {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fail("stdout: cannot write all of the output");
  }
  return code;
}

int dispatch(const Arguments& arguments) {
  if (arguments.empty()) {
    print_overview(stderr);
    return static_cast<int>(ExitCode::usage);
  }
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    print_overview(stdout);
    return 0;
  }
  if (name == "--version") {
    std::puts("spate " SPATE_VERSION);
    return 0;
  }
  std::vector<std::string> known;
  for (const Command& command : all_commands()) {
    if (command.name == name) {
      return command.run({arguments.begin() + 1, arguments.end()});
    }
    known.emplace_back(command.name);
  }
  const std::string near = nearest_word(name, known);
  usage_error(
      cat("unknown command '", name, "'; ",
          near.empty() ? "commands: " + join_words(known, ", ") : "did you mean " + near + "?"));
}

}  // namespace
}  // namespace spate

int main(int count, char** values) {
  // A closed pipe and a file that may not grow are errors of write(), with their own messages.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return spate::after(spate::dispatch({values + 1, values + count}));
  } catch (const spate::Error& error) {
    std::fprintf(stderr, "spate: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "spate: unexpected error: %s\n", error.what());
    return static_cast<int>(spate::ExitCode::engine);
  }
}

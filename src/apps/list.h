// The commands of the program. Each reads its own flags and returns the exit code of the process.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spate {

using Arguments = std::vector<std::string>;  // after the command's name

struct Command {
  std::string_view name;
  std::string_view help;
  int (*run)(const Arguments& arguments);
};

std::span<const Command> all_commands();

int run_command(const Arguments& arguments);       // run.cc
int chat_command(const Arguments& arguments);      // chat.cc
int bench_command(const Arguments& arguments);     // bench.cc
int inspect_command(const Arguments& arguments);   // inspect.cc
int tokenize_command(const Arguments& arguments);  // tokenize.cc
int validate_command(const Arguments& arguments);  // validate.cc
int report_command(const Arguments& arguments);    // job_report.cc
int merge_command(const Arguments& arguments);     // merge.cc
int doctor_command(const Arguments& arguments);    // doctor.cc

}  // namespace spate

// The built program as a child process, with its streams in files of a temporary folder.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/apps/support.h"

namespace spate::apps_test {

struct Ended {
  int code = -1;  // exit code; -signal when a signal ended it; -1000 when it ran too long
  std::string out, err;
};

class Program {
 public:
  // Starts it. `input` becomes its stdin; `output`, when not empty, is a file for its stdout.
  explicit Program(std::vector<std::string> arguments, const std::string& input = {},
                   const std::string& output = {})
      : out_(output.empty() ? folder_.file("stdout") : output) {
    folder_.write("stdin", input);
    folder_.write("stderr", "");  // it may be killed before it opens any
    arguments.insert(arguments.begin(), SPATE_BINARY);
    process_ = ::fork();
    if (process_ == 0) {
      redirect(folder_.file("stdin"), O_RDONLY, STDIN_FILENO);
      redirect(out_, O_WRONLY | O_CREAT, STDOUT_FILENO);
      redirect(folder_.file("stderr"), O_WRONLY | O_CREAT, STDERR_FILENO);
      std::vector<char*> raw;
      for (std::string& argument : arguments) raw.push_back(argument.data());
      raw.push_back(nullptr);
      ::execv(raw.front(), raw.data());
      ::_exit(127);
    }
  }
  ~Program() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const { ::kill(process_, number); }

  Ended wait(double seconds = 120) {
    Ended ended{.code = -1000};
    for (double waited = 0; waited < seconds; waited += 0.01) {
      int status = 0;
      if (::waitpid(process_, &status, WNOHANG) == process_) {
        process_ = -1;
        ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (std::filesystem::is_regular_file(out_)) ended.out = read_file(out_);
    ended.err = read_file(folder_.file("stderr"));
    return ended;
  }

 private:
  static void redirect(const std::string& path, int flags, int to) {
    const int file = ::open(path.c_str(), flags, 0666);
    ::dup2(file, to);
    ::close(file);
  }

  TemporaryFolder folder_;
  std::string out_;
  pid_t process_ = -1;
};

inline Ended run_program(std::vector<std::string> arguments, const std::string& input = {},
                         const std::string& output = {}) {
  return Program(std::move(arguments), input, output).wait();
}

// Waits until the file holds something; false after `seconds`.
inline bool wait_for_bytes(const std::string& path, double seconds = 60) {
  for (double waited = 0; waited < seconds; waited += 0.01) {
    std::error_code error;
    if (std::filesystem::file_size(path, error) > 0 && !error) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace spate::apps_test

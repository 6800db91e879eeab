// Log lines for people, on stderr and, with --log, in a file. The only global state of the program.
// Thread safe.
#pragma once

#include <string>

namespace spate {

enum class LogLevel { debug, info, warning, error, off };

void set_log_level(LogLevel level);
void set_log_file(const std::string& path);  // also write there; throws Error when it cannot be opened

void log_debug(const std::string& text);
void log_info(const std::string& text);
void log_warning(const std::string& text);
void log_error(const std::string& text);

}  // namespace spate

// Numbers as people read them: 12,340 rows, 15.3 GiB, 6m12s, 93%; and as programs do.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/json.h"

namespace spate {

std::string fixed(double value, int digits);  // 9.60; "-" when it is not finite
std::string with_commas(int64_t value);       // 7,911,003
std::string with_commas(double value);        // rounded to a whole number
std::string bytes_text(double bytes);         // 15.3 GiB, 98 MiB, 512 B
std::string count_text(double count);         // 8.19 B, 135 M, 798k, 512
std::string duration_text(double seconds);    // 45s, 6m12s, 3h04m; "-" when it is not finite
std::string percent_text(double part, double whole, int digits = 0);  // "-" when whole is 0

// "rows        12": a line of a report.
std::string report_line(std::string name, const std::string& rest);
std::string count_if_any(std::string_view name, int64_t count);  // "  failed 1,340"; empty for 0

using NamedCounts = std::map<std::string, int64_t>;
std::string counts_text(const NamedCounts& counts);  // length 12  stop 1,340
Json counts_json(const NamedCounts& counts);         // {"length": 12, "stop": 1340}

// Rounded to whole parts; null when it is not finite.
Json exact(double value, double parts = 1e4);

}  // namespace spate

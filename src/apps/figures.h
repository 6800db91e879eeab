// Numbers as people read them: 12,340 rows, 15.3 GiB, 6m12s, 93%.
#pragma once

#include <cstdint>
#include <string>

namespace spate {

std::string fixed(double value, int digits);  // 9.60; "-" when it is not finite
std::string with_commas(int64_t value);       // 7,911,003
std::string with_commas(double value);        // rounded to a whole number
std::string bytes_text(double bytes);         // 15.3 GiB, 98 MiB, 512 B
std::string count_text(double count);         // 8.19 B, 135 M, 798k, 512
std::string duration_text(double seconds);    // 45s, 6m12s, 3h04m; "-" when it is not finite
std::string percent_text(double part, double whole, int digits = 0);  // "-" when whole is 0

}  // namespace spate

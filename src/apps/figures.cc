#include "apps/figures.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/check.h"

namespace spate {
namespace {

struct Unit {
  double size;
  std::string_view name;
  int digits;  // after the point, for values below 100 of this unit
};

}  // namespace

std::string fixed(double value, int digits) {
  if (!std::isfinite(value)) {
    return "-";
  }
  std::array<char, 400> text;  // the largest double has 309 digits before the point
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string with_commas(int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    const bool group_starts = (digits.size() - i) % 3 == 0;
    if (group_starts && i > 0 && digits[i - 1] != '-') {
      text += ',';
    }
    text += digits[i];
  }
  return text;
}

std::string with_commas(double value) {
  constexpr double kLargest = 9e18;  // what an int64_t holds
  return std::abs(value) < kLargest ? with_commas(static_cast<int64_t>(std::llround(value))) : "-";
}

std::string bytes_text(double bytes) {
  constexpr Unit kUnits[] = {{1024.0 * 1024 * 1024 * 1024, " TiB", 2},
                             {1024.0 * 1024 * 1024, " GiB", 1},
                             {1024.0 * 1024, " MiB", 1},
                             {1024.0, " KiB", 1}};
  for (const Unit& unit : kUnits) {
    if (std::abs(bytes) >= unit.size) {
      const double value = bytes / unit.size;
      return fixed(value, value < 100 ? unit.digits : 0).append(unit.name);
    }
  }
  return fixed(bytes, 0) + " B";
}

std::string count_text(double count) {
  constexpr Unit kUnits[] = {{1e12, " T", 2}, {1e9, " B", 2}, {1e6, " M", 1}, {1e4, "k", 0}};
  for (const Unit& unit : kUnits) {
    if (std::abs(count) >= unit.size) {
      const double value = count / (unit.size == 1e4 ? 1e3 : unit.size);
      return fixed(value, value < 100 ? unit.digits : 0).append(unit.name);
    }
  }
  return with_commas(count);
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds > 1e9) {
    return "-";
  }
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  std::array<char, 64> text;
  if (whole < 60) {
    std::snprintf(text.data(), text.size(), "%ds", static_cast<int>(whole));
  } else if (whole < 3600) {
    std::snprintf(text.data(), text.size(), "%dm%02ds", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%ldh%02dm", static_cast<long>(whole / 3600),
                  static_cast<int>(whole % 3600 / 60));
  }
  return text.data();
}

std::string percent_text(double part, double whole, int digits) {
  return whole == 0 ? "-" : fixed(100 * part / whole, digits) + "%";
}

std::string report_line(std::string name, const std::string& rest) {
  name.resize(12, ' ');
  return name.append(rest).append("\n");
}

std::string count_if_any(std::string_view name, int64_t count) {
  return count == 0 ? std::string() : cat("  ", name, " ", with_commas(count));
}

std::string counts_text(const NamedCounts& counts) {
  std::string text;
  for (const auto& [name, count] : counts) {
    text.append(text.empty() ? "" : "  ").append(name).append(" ").append(with_commas(count));
  }
  return text;
}

Json counts_json(const NamedCounts& counts) {
  JsonObject object;
  for (const auto& [name, count] : counts) {
    object.emplace_back(name, count);
  }
  return object;
}

Json exact(double value, double parts) {
  return std::isfinite(value) ? Json(std::round(value * parts) / parts) : Json();
}

}  // namespace spate

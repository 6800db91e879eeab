// The profile of ops, for people and for programs. docs/report.md defines its numbers.
#pragma once

#include <string>

#include "base/json.h"
#include "engine/engine.h"

namespace spate {

// A line an op, slowest first, what is left of the steps' time, and the rates of the device below;
// empty without a profile.
std::string profile_text(const EngineStats& stats);
Json profile_json(const EngineStats& stats);
Json rates_json(const EngineStats& stats);  // null without a profile

}  // namespace spate

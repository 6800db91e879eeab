// The plan: what a run is about to do, printed before anything is loaded.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/model_files.h"
#include "engine/plan.h"

namespace spate {

// "name    rest" lines: model, device, memory, limits; callers append their own.
using PlanLines = std::vector<std::pair<std::string, std::string>>;

PlanLines plan_lines(const ModelFiles& files, const MemoryPlan& plan, const std::string& device);

std::string plan_text(const PlanLines& lines, bool color);

// The element type that most bytes of the weights have: "q4_1", or the config's when random.
std::string weight_type(const Checkpoint& checkpoint);

}  // namespace spate

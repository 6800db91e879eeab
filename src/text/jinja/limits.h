// Bounds that keep a runaway or hostile template from taking the machine with it. Real templates
// stay far below all of them; reaching one is an error that names the limit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace spate::jinja {

constexpr int64_t kMaxRange = 100'000;     // items of one range(), as in jinja2's sandbox
constexpr int64_t kMaxSteps = 10'000'000;  // nodes evaluated plus items produced, in one render
constexpr size_t kMaxOutput = 64u << 20;   // bytes of one text: the prompt, a macro's result
constexpr size_t kMaxMemory = 512u << 20;  // bytes of all values that live during one render
constexpr int kMaxDepth = 1000;            // nodes or values inside one another while rendering
constexpr int kMaxNesting = 200;  // expressions and blocks inside one another in the source
constexpr int kMaxLinks = 5000;   // operators, filters, subscripts and calls in one tag

}  // namespace spate::jinja

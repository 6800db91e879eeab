// What the engine can ask of any architecture. A model is const after construction: if it exists,
// its weights are on the device.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "load/source.h"
#include "nn/step.h"

namespace spate {

class Model {
 public:
  virtual ~Model() = default;
  virtual void embed(Step& step, Tensor hidden) const = 0;  // hidden [T, C]
  // Layers [first, end), at least one, in place. Behind the last layer of all the first rows are
  // those of the wanted tokens, and the others undefined, where not all are wanted.
  virtual void layers(Step& step, int64_t first, int64_t end, Tensor hidden) const = 0;
  // logits [B, V] f32 from rows [B, C], which are overwritten.
  virtual void logits(Step& step, Tensor rows, Tensor logits) const = 0;
};

// One architecture. What a plan needs to know before loading is a function of the config alone.
struct Architecture {
  std::string_view name;  // Config::architecture
  std::unique_ptr<Model> (*build)(const Source& root);
  KvNeeds (*kv_needs)(const Config& config);
  // Elements of scratch that a layer takes for each token of a step, besides the hidden row.
  int64_t (*scratch_width)(const Config& config);
};

std::span<const Architecture> architectures();
// Throws Error that lists the known ones.
const Architecture& find_architecture(const Config& config);

}  // namespace spate

// A GGUF file's metadata as a Config.
#pragma once

#include "load/config.h"
#include "load/gguf.h"

namespace spate {

// Throws Error that names the file and the key. What only the tensors tell (biases, a tied head,
// rope factors) is filled in by the checkpoint.
Config read_gguf_config(const GgufFile& file);
GenerationDefaults read_gguf_generation(const GgufFile& file);

}  // namespace spate

// Hybrids: Ling and Ring Linear. Decoders like those of models/dense.h, most of whose layers have
// linear attention; the others have attention with heads.
#pragma once

#include "models/model.h"

namespace spate {

std::unique_ptr<Model> build_hybrid(const Source& root);
KvNeeds hybrid_kv_needs(const Config& config);
int64_t hybrid_scratch_width(const Config& config);

}  // namespace spate

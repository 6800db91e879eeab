// What normalizer.cc, the list of normalizers, needs from the other files.
#pragma once

#include <memory>
#include <string_view>

#include "text/normalizer.h"

namespace spate {

// `charsmap` are the bytes of precompiled_charsmap; `where` stands in error texts.
std::unique_ptr<Normalizer> make_precompiled_normalizer(std::string_view charsmap,
                                                        std::string_view where);

}  // namespace spate

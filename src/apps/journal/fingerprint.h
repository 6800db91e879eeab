// Fingerprints: a few milliseconds tell whether files are those of an earlier run. They take sizes
// and samples, not every byte: an edit that keeps the size of a large file may go unseen here, and
// is left to the time of the change.
#pragma once

#include <string>

#include "base/file_system.h"

namespace spate {

// Size, first and last 64 KiB, and blocks spread evenly between: 32 hex digits.
std::string file_fingerprint(FileSystem& files, const std::string& path);

// Of a GGUF file (all its parts when it is split), or of those files of a folder that answers
// depend on: configuration, tokenizer, weights. The folder's name does not matter.
std::string model_fingerprint(FileSystem& files, const std::string& path);

}  // namespace spate

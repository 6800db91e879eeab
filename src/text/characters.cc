#include "text/characters.h"

#include <algorithm>

namespace spate {

CharacterClasses::CharacterClasses() : sets_(0x110000, 0) {
  for (size_t i = 0; i < kCharacterRangeCount; ++i) {
    const CharacterRange& range = kCharacterRanges[i];
    std::fill(sets_.begin() + range.begin, sets_.begin() + range.end, range.classes);
  }
}

const CharacterClasses& CharacterClasses::get() {
  static const CharacterClasses classes;
  return classes;
}

}  // namespace spate

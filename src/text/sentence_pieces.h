// The text of SentencePiece's pieces: U+2581 is a space, "<0x1F>" the byte 0x1F.
#pragma once

#include <string>
#include <string_view>

namespace spate {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

int byte_of_piece(std::string_view piece);  // -1 when it is no byte piece
std::string text_of_piece(std::string_view piece);

}  // namespace spate

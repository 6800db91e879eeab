// Stop strings: finds the first of several strings in a text that arrives in parts, and gives out
// what can be shown meanwhile. A part that may still turn into a stop string is held back.
//
// All stop strings are followed at once by an automaton (Aho and Corasick, "Efficient string
// matching", 1975): its state is the longest end of the text so far that begins a stop string. That
// state also spells the text held back, so nothing is stored twice, and the work is linear in the
// text however long the stop strings are and however they overlap themselves.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace spate {

class StopMatcher {
 public:
  // Empty strings in `stops` never match. With include_stop the text ends after the stop string,
  // else before it.
  StopMatcher(std::vector<std::string> stops, bool include_stop);

  // Takes the next part of the text and returns what can be shown now. The stop string that is
  // complete first counts; of several that are complete at the same byte, the longest, which leaves
  // the shortest text. After it everything is dropped.
  std::string push(std::string_view text);

  bool stopped() const { return stopped_; }

  // The text is over: what was still held back.
  std::string finish();

 private:
  // A state; state 0 is "nothing begun". Children form a chain of siblings.
  struct State {
    int stop = 0;         // index of a stop string that begins with this state's text
    int length = 0;       // bytes of that text
    int ending = 0;       // bytes of the longest stop string that this text ends with, or 0
    int fallback = 0;     // state of the longest proper end of this text that begins a stop string
    int first_child = 0;  // 0: none
    int next_sibling = 0;
  };

  void add(int stop);
  void link_fallbacks();
  int child(int state, char byte) const;  // 0 when there is none
  char last_byte(int state) const;
  std::string_view text_of(int state) const;
  void step(char byte, std::string& shown);

  std::vector<std::string> stops_;
  std::vector<State> states_;
  bool include_stop_;
  bool stopped_ = false;
  int state_ = 0;
};

}  // namespace spate

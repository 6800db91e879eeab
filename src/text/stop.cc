#include "text/stop.h"

#include <utility>

namespace spate {

StopMatcher::StopMatcher(std::vector<std::string> stops, bool include_stop)
    : stops_(std::move(stops)), states_(1), include_stop_(include_stop) {
  for (size_t i = 0; i < stops_.size(); ++i) {
    add(static_cast<int>(i));
  }
  link_fallbacks();
}

void StopMatcher::add(int stop) {
  const std::string& text = stops_[stop];
  int state = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    int next = child(state, text[i]);
    if (next == 0) {
      next = static_cast<int>(states_.size());
      states_.push_back({.stop = stop,
                         .length = static_cast<int>(i) + 1,
                         .next_sibling = states_[state].first_child});
      states_[state].first_child = next;
    }
    state = next;
  }
  states_[state].ending = states_[state].length;
}

// Breadth first, so that the shorter states a fallback may lead to are ready.
void StopMatcher::link_fallbacks() {
  std::vector<int> order{0};
  for (size_t i = 0; i < order.size(); ++i) {
    const int parent = order[i];
    for (int at = states_[parent].first_child; at != 0; at = states_[at].next_sibling) {
      order.push_back(at);
      int from = parent;
      while (from != 0 && states_[at].fallback == 0) {
        from = states_[from].fallback;
        states_[at].fallback = child(from, last_byte(at));
      }
      if (states_[at].ending == 0) {
        states_[at].ending = states_[states_[at].fallback].ending;
      }
    }
  }
}

int StopMatcher::child(int state, char byte) const {
  int at = states_[state].first_child;
  while (at != 0 && last_byte(at) != byte) {
    at = states_[at].next_sibling;
  }
  return at;
}

char StopMatcher::last_byte(int state) const { return text_of(state).back(); }

std::string_view StopMatcher::text_of(int state) const {
  if (state == 0) {
    return {};
  }
  return std::string_view(stops_[states_[state].stop]).substr(0, states_[state].length);
}

void StopMatcher::step(char byte, std::string& shown) {
  int next = child(state_, byte);
  while (next == 0 && state_ != 0) {
    const int fallback = states_[state_].fallback;
    shown += text_of(state_).substr(0, states_[state_].length - states_[fallback].length);
    state_ = fallback;
    next = child(state_, byte);
  }
  if (next == 0) {
    shown += byte;
  }
  state_ = next;
  if (const int ending = states_[state_].ending; ending > 0) {
    stopped_ = true;
    const std::string_view held = text_of(state_);
    shown += include_stop_ ? held : held.substr(0, held.size() - ending);
    state_ = 0;
  }
}

std::string StopMatcher::push(std::string_view text) {
  std::string shown;
  for (size_t i = 0; i < text.size() && !stopped_; ++i) {
    step(text[i], shown);
  }
  return shown;
}

std::string StopMatcher::finish() {
  std::string shown(text_of(state_));
  state_ = 0;
  return shown;
}

}  // namespace spate

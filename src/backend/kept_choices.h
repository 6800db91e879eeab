// What was measured on a device, kept in a file for later runs on the same one: a word for a key.
//
// The file is made anew as a whole when something is added, under another name that it then
// changes, so that no reader meets a part of it; of two programs that add at once one may lose. A
// file that cannot be read, or that holds for something else, counts as none and is made anew;
// where none can be written, choices last as long as the program.
#pragma once

#include <map>
#include <string>

namespace spate {

class KeptChoices {
 public:
  // `path`: empty, nothing is kept. `holds_for`: the device and whatever else the choices hang on.
  KeptChoices(std::string path, std::string holds_for);

  const std::string* find(const std::string& key) const;  // null: not measured yet
  void put(const std::string& key, const std::string& choice);

 private:
  void read();
  void write() const;

  std::string path_, holds_for_;
  std::map<std::string, std::string> choices_;
};

// A file among those that may be deleted at any time: in the folder spate of XDG_CACHE_HOME, or of
// ~/.cache. Empty where neither is known.
std::string cache_file(const std::string& name);

}  // namespace spate

#include "apps/journal/rewrite.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace spate {
namespace {

constexpr size_t kBlockBytes = 4 << 20;

void write_block(FileSystem& files, int file, const std::string& path, std::string& block) {
  if (write_all(files, file, block) < block.size()) {
    fail(path, ": cannot write: ", std::strerror(errno),
         "; nothing was taken out of the other files, the same command goes on from here");
  }
  block.clear();
}

}  // namespace

OpenFile rewrite_lines(FileSystem& files, const std::string& path, const KeepLine& keep,
                       bool lock) {
  const std::string temporary = path + ".spate-tmp";
  OpenFile file(files, files.open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_APPEND));
  if (!file.is_open()) {
    fail(temporary, ": cannot open for writing: ", std::strerror(errno));
  }
  try {
    std::string block;
    scan_file(files, path, [&](const ScannedLine& line) {
      if (line.facts.kind != LineKind::damaged && keep(line)) {
        block.append(line.text).append("\n");
        if (block.size() >= kBlockBytes) {
          write_block(files, file.number(), temporary, block);
        }
      }
    });
    write_block(files, file.number(), temporary, block);
    if (lock) {
      files.lock(file.number());  // cannot fail: nobody else knows of the file
    }
    move_into_place(files, file.number(), temporary, path);
  } catch (const Error&) {
    files.remove(temporary);  // its room may be what the disk lacks
    throw;
  }
  return file;
}

void cut_file(FileSystem& files, const std::string& path, const FileScan& scan) {
  if (!scan.exists || scan.to_cut() == 0) {
    return;
  }
  const OpenFile file(files, files.open(path, O_WRONLY));
  if (!file.is_open() || files.truncate(file.number(), scan.good_end) != 0 ||
      files.sync(file.number()) != 0) {
    fail(path, ": its last line is not whole and cannot be cut off: ", std::strerror(errno));
  }
}

void LineCollector::open() {
  const FileScan scan =
      scan_file(files_, path_, [&](const ScannedLine& line) { there_.insert(hash_of(line.text)); });
  cut_file(files_, path_, scan);
  file_ = OpenFile(files_, files_.open(path_, O_WRONLY | O_CREAT | O_APPEND));
  if (!file_.is_open()) {
    fail(path_, ": cannot open for writing: ", std::strerror(errno));
  }
}

void LineCollector::add(std::string_view line) {
  if (!file_.is_open()) {
    open();
  }
  if (there_.insert(hash_of(line))) {
    pending_.append(line).append("\n");
  }
  ++added_;
  if (pending_.size() >= kBlockBytes) {
    flush();
  }
}

void LineCollector::flush() { write_block(files_, file_.number(), path_, pending_); }

void LineCollector::sync() {
  if (!file_.is_open()) {
    return;
  }
  flush();
  if (files_.sync(file_.number()) != 0 || files_.sync_folder(folder_of(path_)) != 0) {
    fail(path_, ": cannot bring the data to disk: ", std::strerror(errno));
  }
}

}  // namespace spate

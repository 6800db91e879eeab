// Output files as journals: append only, whole lines, one write() for a block of lines, fdatasync
// every few seconds. After a kill at any moment the file holds whole lines, and at most a torn last
// one when the machine itself went down. A full disk never leaves part of a line behind.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

namespace spate {

// One open file. Owner: a LineWriter.
class LineFile {
 public:
  // "-" is stdout. An existing file that is not empty is refused (exit code 2) unless `overwrite`.
  // `flag` names the file in errors: "--output".
  LineFile(const std::string& path, const std::string& flag, bool overwrite);
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  // `lines` ends with a newline. Either all of it lands in the file or, after an Error, none.
  void append(const std::string& lines);
  void sync();

 private:
  std::string path_;
  int file_ = -1;
  bool regular_ = false;  // can be synchronised and cut
};

// A LineFile with a thread of its own, so that a slow disk does not hold up the callers until
// kMostPending bytes wait. Any thread may call put.
class LineWriter {
 public:
  LineWriter(const std::string& path, const std::string& flag, bool overwrite);
  ~LineWriter();  // writes what is pending; errors are lost, so call close first
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  void put(const std::string& line);  // without its newline
  void close();                       // returns when all is on disk

  // Each of put and close throws the Error that ended the writing; so can anybody who asks.
  void rethrow_failure();
  double waited_seconds() const;  // callers waited so long for the disk

 private:
  void work();

  LineFile file_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;  // pending lines, room for more, or the end
  std::string pending_;
  bool closing_ = false;
  std::exception_ptr failure_;
  double waited_ = 0;
  std::thread thread_;
};

}  // namespace spate

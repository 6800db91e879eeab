// The files of a job with any bytes in them, as a crash of the machine may leave them: an output,
// and after a byte 0xFF the errors file and OUT.part. Going on never crashes, and when the damaged
// ends are cut off, a second look finds the same rows and nothing more to cut.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "apps/journal/job_files.h"
#include "base/check.h"
#include "tests/support/faulty_files.h"

namespace {

using namespace spate;

// A folder for this process, gone at its end.
struct Folder {
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "spate-fuzz-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

void write(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

struct Found {
  Journal::Totals totals;
  std::vector<Hash128> keys;
  int64_t to_cut = 0;
};

Found look(const std::string& out) {
  Found found;
  Journal journal;
  for (const std::string& path : {out, out + ".errors.jsonl", out + ".part"}) {
    const FileScan scan = scan_file(real_file_system(), path, [&](const ScannedLine& line) {
      if (line.facts.kind == LineKind::answer) {
        journal.add_answer(line.facts.key);
      } else if (line.facts.kind == LineKind::failure) {
        journal.add_failure(line.facts);
      } else {
        return;
      }
      found.keys.push_back(line.facts.key);
    });
    check(scan.good_end <= scan.bytes && scan.ours + scan.foreign + scan.damaged <= scan.lines,
          "the counts fit together");
    // Damaged lines inside of OUT.part are passed over, and go with the file.
    found.to_cut += scan.to_cut() + (path.ends_with(".part") ? 0 : scan.damaged);
  }
  found.totals = journal.totals();
  return found;
}

void go_on(const std::string& out, bool ordered) {
  OutputOptions options{.output = out, .ordered = ordered, .resume = ResumeMode::force};
  options.sync.when = SyncPolicy::When::never;
  test::FaultyFileSystem files;  // without a fault; its syncs take no time
  JobFiles job(files, options, Manifest{});
  job.begin();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  const std::string out = folder.path + "/out";
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string_view parts[3];
  for (std::string_view& part : parts) {
    const size_t end = std::min(text.find('\xFF'), text.size());
    part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  std::filesystem::remove(out + ".stale.jsonl");
  for (const bool ordered : {true, false}) {
    write(out, parts[0]);
    write(out + ".errors.jsonl", parts[1]);
    write(out + ".part", parts[2]);
    // It is the job's own, and was ordered before, or was not.
    Manifest manifest;
    manifest.output = out;
    manifest.errors = out + ".errors.jsonl";
    manifest.ordered = parts[0].size() % 2 == 0;
    write(out + ".manifest.json", manifest_json(manifest).dump());

    const Found before = look(out);
    go_on(out, ordered);
    const Found after = look(out);
    check(after.to_cut == 0, "nothing is left to cut");
    check(after.totals.answered == before.totals.answered, "no answer is lost");
    check(after.totals.failed == before.totals.failed, "no failure is lost");
    go_on(out, ordered);
    const Found again = look(out);
    check(again.keys.size() <= after.keys.size(), "nothing is doubled by going on again");
    check(again.totals.answered == after.totals.answered &&
              again.totals.failed == after.totals.failed,
          "a second look finds the same rows");
  }
  return 0;
}

// The files of a job as one thing: who may write to them, what earlier runs have left in them, and
// the steps in which they change. Every step may be cut off at any moment: the next run finds each
// finished row, once.
//
//   OUT                answers, the journal      OUT.manifest.json  what identifies the job
//   OUT.errors.jsonl   failed rows               OUT.part           --ordered: finished before
//   their turn OUT.stale.jsonl    outcomes of rows that are no longer in the input
//
// In order: the constructor decides and reads and changes nothing; drop_stale when the input has
// changed; begin; rows run (apps/run/row_output); finish.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/cli.h"
#include "apps/journal/journal.h"
#include "apps/journal/manifest.h"
#include "apps/journal/scan.h"
#include "apps/writer.h"
#include "base/file_system.h"

namespace spate {

enum class ResumeMode { automatic, never, force };

struct OutputOptions {
  std::string output = "-";
  std::string errors;  // "inline"; empty: <output>.errors.jsonl, or spate.errors.jsonl for stdout
  bool ordered = false;
  bool overwrite = false;  // what is there is replaced, even when it could be gone on with
  ResumeMode resume = ResumeMode::automatic;
  bool retry_errors = false;
  SyncPolicy sync;
};

struct JobFileNames {
  std::string output, errors, manifest, part, stale;
};
// `errors` as in OutputOptions. Commands that read a job's files use it too.
JobFileNames job_file_names(FileSystem& files, const std::string& output,
                            const std::string& errors);

// Where a finished line is in OUT.part.
struct PartLine {
  int64_t offset = 0, bytes = 0;  // without its newline
  bool in_output = false;         // it is in OUT too, at its place
  bool claimed = false;           // its row has come in this run
};

class JobFiles {
 public:
  // `wanted`: the manifest of this run; `runs` and what the options say are filled in here. Throws
  // Error (exit code 2) when the output belongs to something else, with what to do about it.
  JobFiles(FileSystem& files, OutputOptions options, Manifest wanted);
  JobFiles(const JobFiles&) = delete;
  JobFiles& operator=(const JobFiles&) = delete;

  bool resumable() const { return regular_; }    // false: stdout, a pipe, a device
  bool continues() const { return continues_; }  // with the rows of an earlier run
  const Journal& journal() const { return journal_; }
  // The row need not run: it is answered, or failed in a way that this run does not try again.
  bool is_done(const Journal::Outcome& outcome) const;
  // Things about what was found that the user should know, a line each.
  const std::vector<std::string>& notes() const { return notes_; }

  // The input is not the one of the earlier run. The caller then reads all keys of its rows, those
  // that --offset, --limit and --shard take, and calls drop_stale.
  bool input_changed() const { return input_changed_; }
  // Moves every outcome of other rows to OUT.stale.jsonl and returns how many.
  int64_t drop_stale(const KeySet& keys_of_input);

  // Finished rows are not yet where they belong in an ordered output. The rows must then come to a
  // row output even when none of them is left to run.
  bool must_arrange() const;

  // The files are made, cut and put into order, and the manifest says that a run has started. From
  // here on the job is ours.
  void begin();
  // After the row output is closed. `ended_by`: "end", or what stopped the run in good order.
  void finish(const std::string& ended_by, Json report);

  // For the row output.
  FileSystem& files() const { return files_; }
  const OutputOptions& options() const { return options_; }
  const JobFileNames& names() const { return names_; }
  bool errors_inline() const { return names_.errors == "inline"; }
  KeyMap<PartLine>& part_lines() { return part_lines_; }
  // An earlier failure of the row no longer counts. One thread at a time.
  void supersede(const Hash128& key, bool answered);
  void note_output_opened() { output_ = OutputState::open; }
  void note_output_closed() { output_ = OutputState::closed; }  // all is on disk

  const Manifest& manifest() const { return manifest_; }

 private:
  // What became of the row output: none was made, it writes or has failed, all is on disk.
  enum class OutputState { none, open, closed };

  void look();
  void refuse_leftovers(const char* why) const;
  void lock_output();
  void read_journal();
  void note_findings();
  void check_errors_file() const;
  bool anything_on_file() const;
  void start_anew();
  void create_output();
  void mend();
  bool order_kept() const;
  void move_output_to_part();
  void move_part_to_output();
  void drop_superseded();
  void drop_part();
  int64_t size_of(const std::string& path) const;  // -1: not there

  FileSystem& files_;
  OutputOptions options_;
  JobFileNames names_;
  Manifest manifest_;            // of this run
  std::optional<Manifest> was_;  // of the earlier one
  bool regular_ = true, continues_ = false, input_changed_ = false, begun_ = false;
  OutputState output_ = OutputState::none;
  OpenFile lock_;  // OUT, held as long as this lives
  Journal journal_;
  FileScan output_scan_, errors_scan_, part_scan_;
  KeyMap<PartLine> part_lines_;
  KeySet answered_again_;  // rows with an earlier failure that this run has answered
  bool failed_again_ = false;
  std::vector<std::string> notes_;
};

}  // namespace spate

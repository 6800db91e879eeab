// `spate doctor`: what this machine has and how fast it is, in about two seconds.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "apps/cli.h"
#include "apps/figures.h"
#include "apps/list.h"
#include "backend/backend.h"
#include "backend/cpu/rates.h"
#include "backend/cuda/devices.h"
#include "backend/cuda/libraries.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/json.h"
#include "base/threads.h"

namespace spate {
namespace {

struct Findings {
  std::string cpu, instruction_sets;
  int processors = 0;
  MemoryInfo memory;
  cpu::Rates rates;  // of all processors
  double matmul_gflop_per_s = 0;
  std::string disk_folder, disk_note;
  double disk_mb_per_s = 0;
  CudaDevices cuda;
  std::vector<CudaLibrary> libraries;
  std::vector<CudaState> cuda_states;    // of its devices
  std::vector<std::string> driver_gpus;  // what the driver lists, whether or not we can use it
};

// Lines "key : value" of files in /proc.
std::map<std::string, std::string> read_pairs(const std::string& path) {
  std::map<std::string, std::string> pairs;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    const size_t key_end = line.find_last_not_of(" \t", colon == 0 ? 0 : colon - 1);
    if (colon == std::string::npos || key_end == std::string::npos) {
      continue;
    }
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    pairs.emplace(line.substr(0, key_end + 1),
                  value == std::string::npos ? "" : line.substr(value));
  }
  return pairs;
}

// Of the sets that matter to matrix products, those that the processor lists.
std::string interesting_sets(const std::string& flags) {
  std::string text;
  for (const std::string_view name :
       {"sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
        "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}) {
    if ((" " + flags + " ").find(cat(" ", name, " ")) != std::string::npos) {
      text.append(text.empty() ? "" : " ").append(name);
    }
  }
  return text;
}

// The rate of this program's own kernels: a product [256, 1024] x [1024, 1024] in f32.
double measure_matmul() {
  constexpr int64_t kRows = 256, kWidth = 1024;
  const auto backend = open_cpu_backend({});
  const std::vector<float> ones(kWidth * kWidth, 1.0F);
  const Weight weight =
      backend->place({&kF32, kWidth, kWidth, reinterpret_cast<const std::byte*>(ones.data())});
  const DType type = backend->activation_type();
  const Buffer in = backend->allocate(kRows * kWidth * size_of(type));
  const Buffer out = backend->allocate(kRows * kWidth * size_of(type));
  const op::Linear product{.x = in.view({kRows, kWidth}, type),
                           .weight = &weight,
                           .out = out.view({kRows, kWidth}, type)};
  return cpu::best_rate(0.3, [&] {
    backend->run(product);
    backend->finish();
    return 1e-9 * static_cast<double>(product.flops());
  });
}

void measure_disk(const std::string& folder, Findings& findings) {
  constexpr size_t kBytes = size_t{64} << 20;
  findings.disk_folder = folder;
  std::string path = folder + "/spate-doctor-XXXXXX";
  const int file = ::mkstemp(path.data());
  if (file < 0) {
    findings.disk_note = cat("cannot write there: ", std::strerror(errno));
    return;
  }
  ::unlink(path.c_str());
  const std::string block(kBytes, 'x');
  const Stopwatch watch;
  size_t done = 0;
  while (done < kBytes) {
    const ssize_t count = ::write(file, block.data() + done, kBytes - done);
    if (count <= 0) {
      findings.disk_note = cat("cannot write 64 MiB there: ", std::strerror(errno));
      break;
    }
    done += static_cast<size_t>(count);
  }
  if (done == kBytes && ::fdatasync(file) == 0) {
    findings.disk_mb_per_s = 1e-6 * static_cast<double>(kBytes) / watch.seconds();
  }
  ::close(file);
}

std::vector<std::string> list_driver_gpus() {
  std::vector<std::string> names;
  std::error_code error;  // no such folder: no driver
  for (const auto& entry : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    const auto pairs = read_pairs(entry.path() / "information");
    const auto model = pairs.find("Model");
    names.push_back(model == pairs.end() ? entry.path().filename().string() : model->second);
  }
  return names;
}

Findings examine(const std::string& folder, bool quick) {
  Findings findings;
  const auto cpu = read_pairs("/proc/cpuinfo");
  const auto value = [&cpu](const char* key) {
    const auto found = cpu.find(key);
    return found == cpu.end() ? std::string("unknown") : found->second;
  };
  findings.cpu = value("model name");
  findings.instruction_sets = interesting_sets(value("flags"));
  findings.processors = available_cpus();
  findings.memory = open_cpu_backend({.threads = 1})->memory();
  findings.driver_gpus = list_driver_gpus();
  findings.cuda = list_cuda_devices();
  for (const CudaDevice& device : findings.cuda.devices) {
    findings.cuda_states.push_back(examine_cuda_device(device.index, !quick));
  }
  findings.libraries = list_cuda_libraries();
  if (!quick) {
    findings.rates = cpu::measure_rates(findings.processors, "");
    findings.matmul_gflop_per_s = measure_matmul();
    measure_disk(folder, findings);
  }
  return findings;
}

std::string gpu_text(const Findings& findings) {
  std::string text;
  for (size_t i = 0; i < findings.cuda.devices.size(); ++i) {
    const CudaDevice& device = findings.cuda.devices[i];
    const CudaState& state = findings.cuda_states[i];
    text +=
        cat(text.empty() ? "" : "\n        ", device.index, ": ", device.name, "  sm_",
            device.compute_major, device.compute_minor, "  ",
            bytes_text(static_cast<double>(state.free_bytes)), " free of ",
            bytes_text(static_cast<double>(device.total_bytes)),
            state.read_gb_per_s > 0 ? "  reads " + with_commas(state.read_gb_per_s) + " GB/s" : "");
  }
  if (text.empty()) {
    text = findings.driver_gpus.empty()
               ? cat("none (", findings.cuda.note, ")")
               : cat(join_words(findings.driver_gpus, ", "), ", not usable: ", findings.cuda.note);
  }
  return text;
}

std::string library_text(const CudaLibrary& library) {
  return cat(library.name, " ", library.version.empty() ? "not found" : library.version, " (",
             library.use, ")");
}

Json to_json(const Findings& findings) {
  JsonArray gpus;
  JsonObject libraries;
  for (const CudaLibrary& library : findings.libraries) {
    libraries.emplace_back(std::string(library.name),
                           library.version.empty() ? Json() : Json(library.version));
  }
  for (size_t i = 0; i < findings.cuda.devices.size(); ++i) {
    const CudaDevice& device = findings.cuda.devices[i];
    const CudaState& state = findings.cuda_states[i];
    gpus.emplace_back(JsonObject{{"name", device.name},
                                 {"compute", cat(device.compute_major, ".", device.compute_minor)},
                                 {"total_bytes", uint64_t{device.total_bytes}},
                                 {"free_bytes", uint64_t{state.free_bytes}},
                                 {"read_gb_per_s", state.read_gb_per_s}});
  }
  return JsonObject{{"version", SPATE_VERSION},
                    {"compiler", __VERSION__},
                    {"cpu", findings.cpu},
                    {"processors", findings.processors},
                    {"instruction_sets", findings.instruction_sets},
                    {"memory_total_bytes", uint64_t{findings.memory.total}},
                    {"memory_free_bytes", uint64_t{findings.memory.free}},
                    {"measured_set", std::string(findings.rates.isa)},
                    {"read_gb_per_s", 1e-9 * findings.rates.read_bytes},
                    {"fma_gflop_per_s", 1e-9 * findings.rates.float_ops},
                    {"dot_gop_per_s", 1e-9 * findings.rates.byte_ops},
                    {"dot_instructions", std::string(findings.rates.dot)},
                    {"matmul_gflop_per_s", findings.matmul_gflop_per_s},
                    {"disk_folder", findings.disk_folder},
                    {"disk_mb_per_s", findings.disk_mb_per_s},
                    {"disk_note", findings.disk_note},
                    {"gpus", std::move(gpus)},
                    {"gpu_note", findings.cuda.note},
                    {"cuda_driver", findings.cuda.driver_version},
                    {"cuda_runtime", findings.cuda.runtime_version},
                    {"cuda_libraries", std::move(libraries)}};
}

void print(const Findings& findings, bool quick) {
  const auto line = [](const char* name, const std::string& text) {
    std::printf("%-8s%s\n", name, text.c_str());
  };
  line("spate", SPATE_VERSION "  built by compiler " __VERSION__);
  line("cpu", cat(findings.cpu, "  ", findings.processors, " processors for this process"));
  line("sets", findings.instruction_sets);
  line("memory", cat(bytes_text(static_cast<double>(findings.memory.free)), " free of ",
                     bytes_text(static_cast<double>(findings.memory.total))));
  if (!quick) {
    const cpu::Rates& rates = findings.rates;
    line("reads", fixed(1e-9 * rates.read_bytes, 1) + " GB/s, all processors summing 256 MiB");
    line("fma",
         cat(fixed(1e-9 * rates.float_ops, 1), " GFLOP/s, f32 multiply-adds of ", rates.isa));
    line("dots", cat(fixed(1e-9 * rates.byte_ops, 1), " Gop/s, u8 times s8 of ", rates.isa, " (",
                     rates.dot, ")"));
    line("matmul",
         fixed(findings.matmul_gflop_per_s, 1) + " GFLOP/s, f32 [256,1024] x [1024,1024]");
    line("disk", findings.disk_note.empty()
                     ? cat("writes ", with_commas(findings.disk_mb_per_s), " MB/s to ",
                           findings.disk_folder, " (64 MiB with fdatasync)")
                     : cat(findings.disk_folder, ": ", findings.disk_note));
  }
  line("gpu", gpu_text(findings));
  std::vector<std::string> libraries;
  for (const CudaLibrary& library : findings.libraries) libraries.push_back(library_text(library));
  if (!libraries.empty()) line("opens", join_words(libraries, ", "));
}

}  // namespace

int doctor_command(const Arguments& arguments) {
  std::string folder = ".";
  bool json = false, quick = false;
  const CommandLine command{
      "spate doctor",
      "[flags]",
      "Shows what this machine has and measures how fast memory, processors and disk are.",
      {{"flags",
        {{"--folder", "FOLDER", "where to measure the disk", ".", into(folder)},
         {"--quick", "", "measure nothing", "", set_true(quick)},
         {"--json", "", "one JSON object", "", set_true(json)}}}}};
  if (!parse_command_line(command, arguments)) {
    return 0;
  }
  const Findings findings = examine(folder, quick);
  if (json) {
    std::puts(to_json(findings).dump().c_str());
  } else {
    print(findings, quick);
  }
  return 0;
}

}  // namespace spate

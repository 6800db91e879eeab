#include "apps/engine_flags.h"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <optional>

namespace spate {
namespace {

SetFlag set_share(std::optional<double>& target) {
  return [&target](const std::string& value) {
    double share = 0;
    into(share, 0.01, 1)(value);
    target = share;
  };
}

SetFlag set_device(std::string& target) {
  return [&target](const std::string& value) {
    const bool number = !value.empty() && value.size() < 4 &&
                        value.find_first_not_of("0123456789") == std::string::npos;
    if (!number && value != "auto" && value != "cpu") {
      usage_error(cat("expected auto, cpu or the number of a GPU, found '", value, "'"));
    }
    target = value;
  };
}

SetFlag set_max_length(EngineFlags& flags) {
  return [&flags](const std::string& value) {
    flags.longest_row = value == "auto";
    if (!flags.longest_row) {
      into(flags.options.max_model_len, 1)(value);
    }
  };
}

SetFlag set_threads(int& target) {
  return [&target](const std::string& value) {
    int64_t threads = 0;
    into(threads, 0, 1024)(value);
    target = static_cast<int>(threads);
  };
}

SetFlag set_random_weights(std::optional<RandomWeights>& target) {
  return [&target](const std::string& value) {
    int64_t seed = 0;
    if (!value.empty()) {
      into(seed, 0)(value);
    }
    target = RandomWeights{static_cast<uint64_t>(seed)};
  };
}

}  // namespace

Choices<Batching> batchings() {
  return {{"mix", Batching::mix}, {"pingpong", Batching::pingpong}, {"timely", Batching::timely}};
}

Choices<Order> orders() {
  return {{"auto", Order::automatic},
          {"fifo", Order::fifo},
          {"longest-first", Order::longest_first},
          {"prefix", Order::prefix}};
}

Flag model_flag(EngineFlags& flags) {
  return {"MODEL",           "",  "a .gguf file or a folder with Hugging Face files", "",
          into(flags.model), true};
}

Flag random_weights_flag(EngineFlags& flags) {
  return {"--random-weights", "[SEED]",
          "make the weights up from the model's config; its tensors are not read", "SEED 0",
          set_random_weights(flags.random_weights)};
}

Flag chat_template_flag(EngineFlags& flags) {
  return {"--chat-template", "FILE", "a Jinja file instead of the model's own chat template", "",
          into(flags.chat_template)};
}

Flag max_length_flag(EngineFlags& flags) {
  return {"--max-model-len", "N|auto",
          "longest sequence, prompt and output; auto: what the longest row of the input needs",
          "the model's", set_max_length(flags)};
}

Flag profile_flag(EngineFlags& flags) {
  return {
      "--profile", "",
      "time every op on the device; decode steps are not recorded then, so that small ones wait "
      "for the host",
      "", set_true(flags.profile)};
}

Flag trace_flag(EngineFlags& flags) {
  return {"--trace", "FILE",
          "a Chrome trace of the steps, host and device, with the ops when they are profiled", "",
          into(flags.trace)};
}

FlagGroup engine_flag_group(EngineFlags& flags) {
  EngineOptions& options = flags.options;

  return {
      "engine",
      {
          {"--dtype", "NAME", "of activations: auto, f32, bf16 (GPU alone)",
           "auto: bf16 on a GPU, f32",
           choose<std::optional<DType>>(
               options.backend.activation,
               {{"auto", std::nullopt}, {"f32", DType::f32}, {"bf16", DType::bf16}})},
          {"--kv-cache-dtype", "NAME",
           "of the KV cache: auto, f32, f16, bf16; fp8: e4m3 with a scale a head (GPU alone)",
           "auto: bf16 on a GPU, f16",
           choose<std::optional<DType>>(options.kv_type, {{"auto", std::nullopt},
                                                          {"f32", DType::f32},
                                                          {"f16", DType::f16},
                                                          {"bf16", DType::bf16},
                                                          {"fp8", DType::e4m3}})},
          {"--state-dtype", "NAME",
           "of the states of linear attention, where a model keeps them: f32, bf16", "f32",
           choose(options.state_type, {{"f32", DType::f32}, {"bf16", DType::bf16}})},
          {"--quantize", "NAME",
           "products of layers: none; fp8: weights and hidden states as e4m3 (GPU alone); "
           "fp8-fast: faster, with sums of 13 bits",
           "none",
           choose<Quantize>(options.backend.quantize, {{"none", Quantize::none},
                                                       {"fp8", Quantize::fp8},
                                                       {"fp8-fast", Quantize::fp8_fast}})},
          {"--kv-cache-tokens", "N", "tokens the KV cache holds; 0: what the memory allows", "0",
           into(options.kv_cache_tokens, 0)},
          {"--memory-utilization,--gpu-memory-utilization", "SHARE",
           "of a GPU's memory, or of the machine's free memory, for weights, workspace and KV "
           "cache",
           "0.92 on a GPU, 0.85", set_share(options.memory_utilization)},
          max_length_flag(flags),
          {"--max-num-seqs", "N", "rows running at once; 0: chosen", "0",
           into(options.max_num_seqs, 0)},
          {"--max-num-batched-tokens", "N", "tokens in a step; 0: chosen", "0",
           into(options.max_num_batched_tokens, 0)},
          {"--schedule", "NAME",
           "order in which rows start: fifo; longest-first; prefix: equal beginnings together; "
           "auto: long outputs first, equal beginnings together",
           std::string(word_of(options.order, orders())), choose(options.order, orders())},
          {"--batching", "NAME",
           "mix: prompts and outputs in one step; pingpong: fill, then drain; timely: prompts "
           "whenever they fit",
           "mix", choose(options.batching, batchings())},
          {"--prefix-cache", "NAME", "share equal beginnings of prompts: auto, on, off",
           "auto = on",
           choose<bool>(options.share_prefixes, {{"auto", true}, {"on", true}, {"off", false}})},
          {"--device", "NAME", "auto: the first GPU, else the CPU; cpu; or the number of a GPU",
           "auto", set_device(options.backend.device)},
          {"--deterministic", "",
           "only kernels with which a row does not depend on the batch; the CPU has no others", "",
           set_true(options.backend.deterministic)},
          {"--measure-products", "NAME",
           "time algorithms for products that come often on a GPU, and keep the fastest in a file "
           "of ~/.cache/spate for later runs: auto, on, off",
           "auto = on",
           choose<bool>(options.backend.measure_products,
                        {{"auto", true}, {"on", true}, {"off", false}})},
          {"--cuda-graph", "NAME", "record and replay steps on a GPU: auto, on, off", "auto = on",
           choose<bool>(options.graphs, {{"auto", true}, {"on", true}, {"off", false}})},
          {"--threads", "N", "worker threads; 0: all processors of this process", "0",
           set_threads(options.backend.threads)},
          {"--isa", "NAME", "instruction set: generic, avx2, avx2_vnni, avx512, avx512_vnni",
           "the best there is", into(options.backend.instruction_set)},
          {"--kernel", "LIST", "force kernels by name: attention=stream", "",
           into(options.backend.kernels)},
      }};
}

ModelFiles open_model(const EngineFlags& flags) {
  return before_running(
      [&] { return open_model_files(flags.model, flags.random_weights, flags.chat_template); });
}

std::unique_ptr<Trace> open_trace(const EngineFlags& flags) {
  if (flags.trace.empty()) {
    return nullptr;
  }
  try {
    return std::make_unique<Trace>(flags.trace);
  } catch (const Error& error) {
    throw Error(cat("--trace ", error.what()), error.code());
  }
}

void close_trace(Trace* trace) {
  if (trace == nullptr) {
    return;
  }
  trace->close();
  if (const std::string problem = trace->problem(); !problem.empty()) {
    std::fprintf(stderr, "spate: --trace %s\n", problem.c_str());
  }
}

std::string model_name(const std::string& path) {
  char real[PATH_MAX];
  std::string name = ::realpath(path.c_str(), real) == nullptr ? path : real;
  name = name.substr(name.find_last_of('/') + 1);
  for (const std::string_view ending : {".gguf", ".json"}) {
    if (name.size() > ending.size() && name.ends_with(ending)) {
      name.resize(name.size() - ending.size());
    }
  }
  return name.empty() ? path : name;
}

}  // namespace spate

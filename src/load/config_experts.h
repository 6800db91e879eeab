// What config.json says of mixtures of experts, family by family. Each throws Error that names the
// file and the key.
#pragma once

#include <string>

#include "load/config.h"
#include "load/config_members.h"

namespace spate {

// Sets config.experts; the rest of the config has been read.
using ReadExperts = void (*)(const Members& members, const std::string& name, Config& config);

void read_qwen2_experts(const Members& members, const std::string& name, Config& config);
void read_qwen3_experts(const Members& members, const std::string& name, Config& config);
void read_mixtral_experts(const Members& members, const std::string& name, Config& config);
void read_deepseek_experts(const Members& members, const std::string& name, Config& config);
void read_deepseek2_experts(const Members& members, const std::string& name, Config& config);
void read_deepseek3_experts(const Members& members, const std::string& name, Config& config);
void read_gpt_oss_experts(const Members& members, const std::string& name, Config& config);
void read_bailing_experts(const Members& members, const std::string& name, Config& config);

}  // namespace spate

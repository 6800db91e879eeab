// What a model path brings besides weights: tokenizer, chat templates, end tokens, and notes on
// what is missing.
#include "engine/model_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/check.h"

namespace spate {
namespace {

const std::string kTiny = SPATE_SOURCE_DIR "/tests/golden/models/llama";

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// A copy of the tiny checkpoint to put files into.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "spate-model-XXXXXX";
    path_ = ::mkdtemp(name.data());
    std::filesystem::copy(kTiny, path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name) << text;
  }
  void write_tokenizer() const {
    write("tokenizer.json",
          R"({"added_tokens": [{"id": 4, "content": "<s>", "special": true},)"
          R"( {"id": 5, "content": "<|im_end|>", "special": true}],)"
          R"( "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "d": 3}, "merges": []}})");
  }

 private:
  std::string path_;
};

std::string render(const ChatTemplate& chat) {
  return chat.render({.messages = JsonArray{JsonObject{{"role", "user"}, {"content", "x"}}}});
}

TEST(ModelFiles, NoTokenizer) {
  const ModelFiles files = open_model_files(kTiny);
  EXPECT_EQ(files.tokenizer, nullptr);
  EXPECT_TRUE(contains(files.tokenizer_note, "no tokenizer.json")) << files.tokenizer_note;
  EXPECT_FALSE(files.chat_template.has_value());
  EXPECT_TRUE(contains(files.chat_template_note, "no tokenizer")) << files.chat_template_note;
  EXPECT_EQ(files.end_tokens, (std::vector<Token>{2, 3}));  // generation_config.json
}

TEST(ModelFiles, TokenizerWithoutTemplate) {
  const Folder folder;
  folder.write_tokenizer();
  const ModelFiles files = open_model_files(folder.path());
  ASSERT_NE(files.tokenizer, nullptr) << files.tokenizer_note;
  EXPECT_EQ(files.tokenizer_note, "");
  EXPECT_TRUE(contains(files.chat_template_note, "brings none")) << files.chat_template_note;
  EXPECT_EQ(files.end_tokens, (std::vector<Token>{2, 3}));  // no chats, so no ends of turns
}

TEST(ModelFiles, TemplatesByNameAndEndsOfTurns) {
  const Folder folder;
  folder.write_tokenizer();
  folder.write("tokenizer_config.json",
               R"({"bos_token": "<s>", "eos_token": "<|im_end|>", "chat_template": [)"
               R"({"name": "default", "template": "D{{ bos_token }}{{ messages[0].content }}"},)"
               R"({"name": "tool_use", "template": "T"}]})");
  const ModelFiles files = open_model_files(folder.path());
  ASSERT_TRUE(files.chat_template && files.tool_template) << files.chat_template_note;
  EXPECT_EQ(render(*files.chat_template), "D<s>x");
  EXPECT_EQ(render(*files.tool_template), "T");
  EXPECT_EQ(files.end_tokens, (std::vector<Token>{2, 3, 5}));  // <|im_end|> too
}

TEST(ModelFiles, FilesOfTheirOwnCountMore) {
  const Folder folder;
  folder.write_tokenizer();
  folder.write("tokenizer_config.json", R"({"chat_template": "config"})");
  EXPECT_EQ(render(*open_model_files(folder.path()).chat_template), "config");
  folder.write("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(render(*open_model_files(folder.path()).chat_template), "json");
  folder.write("chat_template.jinja", "jinja");
  EXPECT_EQ(render(*open_model_files(folder.path()).chat_template), "jinja");
  folder.write("mine.jinja", "mine");
  const ModelFiles mine = open_model_files(folder.path(), {}, folder.path() + "/mine.jinja");
  EXPECT_EQ(render(*mine.chat_template), "mine");
}

TEST(ModelFiles, BrokenTextFilesLeaveANote) {
  const Folder folder;
  folder.write("tokenizer.json", "{\"model\": ");
  const ModelFiles broken = open_model_files(folder.path());
  EXPECT_EQ(broken.tokenizer, nullptr);
  EXPECT_TRUE(contains(broken.tokenizer_note, "tokenizer.json: offset")) << broken.tokenizer_note;
  folder.write_tokenizer();
  folder.write("chat_template.jinja", "{% if %}");
  const ModelFiles no_chat = open_model_files(folder.path());
  EXPECT_FALSE(no_chat.chat_template.has_value());
  EXPECT_TRUE(contains(no_chat.chat_template_note, "line 1")) << no_chat.chat_template_note;
  // The user's own template must be right.
  EXPECT_THROW(open_model_files(folder.path(), {}, folder.path() + "/chat_template.jinja"), Error);
  EXPECT_THROW(open_model_files(folder.path(), {}, folder.path() + "/none.jinja"), Error);
}

TEST(ModelFiles, RandomWeightsTakeTheTokenizerBesideTheConfig) {
  const Folder folder;
  folder.write_tokenizer();
  std::filesystem::remove(folder.path() + "/model.safetensors");
  EXPECT_NE(open_model_files(folder.path(), RandomWeights{1}).tokenizer, nullptr);
  EXPECT_NE(open_model_files(folder.path() + "/config.json", RandomWeights{1}).tokenizer, nullptr);
}

}  // namespace
}  // namespace spate

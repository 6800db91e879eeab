#include "text/chat.h"

#include <gtest/gtest.h>

namespace spate {
namespace {
TEST(Chat, Smoke) {
  ChatTemplate t("{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}\n{% endfor %}", "t",
                 "", "");
  ChatRequest r;
  r.messages = parse_json(R"([{"role":"user","content":" hi "}])", "t");
  EXPECT_EQ(t.render(r), "<|user|>hi\n");
}
}  // namespace
}  // namespace spate

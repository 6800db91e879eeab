// What the golden cases do not show: error texts, limits, threads, special tokens.
#include "text/chat.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/check.h"

namespace spate {
namespace {

constexpr std::string_view kChatMl =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

ChatTemplate compile(std::string_view source) {
  return ChatTemplate(source, "model", "<s>", "</s>");
}

ChatRequest request(std::string_view messages = "[]") {
  ChatRequest result;
  result.messages = parse_json(messages, "messages");
  return result;
}

std::string render(std::string_view source) { return compile(source).render(request()); }

std::string error_of(std::string_view source) {
  try {
    render(source);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Chat, ChatMl) {
  EXPECT_EQ(compile(kChatMl).render(request(R"([{"role": "user", "content": "Hi"}])")),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(Chat, ErrorsNameTheTemplateAndTheLine) {
  EXPECT_EQ(error_of("a\n{% if %}"),
            "model: line 2: Expected an expression, got 'end of statement block'");
  EXPECT_EQ(error_of("\n\n{{ x.y }}"), "model: line 3: 'x' is undefined");
  EXPECT_EQ(error_of("{{ raise_exception('Only one turn.') }}"), "Only one turn.");
  EXPECT_EQ(error_of("{% extends 'base' %}"),
            "model: line 1: the tag 'extends' is not supported in chat templates");
}

TEST(Chat, ATokenThatTheModelLacksIsUndefined) {
  const ChatTemplate compiled("{{ bos_token is defined }}{{ eos_token }}", "model", "", "</s>");
  EXPECT_EQ(compiled.render(request()), "False</s>");
}

TEST(Chat, ArgumentsAreVariables) {
  ChatRequest with = request();
  with.arguments = parse_json(R"({"bos_token": "!", "k": {"v": [1, 2.5]}})", "a").as_object();
  EXPECT_EQ(compile("{{ bos_token }}{{ k.v }}{{ k.w is defined }}").render(with), "![1, 2.5]False");
}

TEST(Chat, ARepeatedKeyKeepsItsPlaceAndTheLastValue) {
  ChatRequest with = request(R"([{"a": 1, "b": 2, "a": 3}])");
  EXPECT_EQ(compile("{{ messages }}").render(with), "[{'a': 3, 'b': 2}]");
}

TEST(Chat, IntegersPast64BitsAreErrorsNotWrapped) {
  EXPECT_NE(error_of("{{ 9223372036854775807 + 1 }}").find("past 64 bits"), std::string::npos);
  EXPECT_NE(error_of("{{ -9223372036854775807 - 2 }}").find("past 64 bits"), std::string::npos);
  EXPECT_NE(error_of("{{ 10 ** 19 }}").find("past 64 bits"), std::string::npos);
  EXPECT_NE(error_of("{{ 9223372036854775808 }}").find("past 64 bits"), std::string::npos);
  EXPECT_NE(error_of("{{ (-9223372036854775807 - 1) // -1 }}").find("past 64 bits"),
            std::string::npos);
  EXPECT_NE(error_of("{{ -(-9223372036854775807 - 1) }}").find("past 64 bits"), std::string::npos);
}

TEST(Chat, RunawayTemplatesAreStopped) {
  constexpr std::string_view kEndless[] = {
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{{ 'x' * 10000000000 }}",
      "{{ [1] * 10000000000 }}",
      "{{ ('x' * 1000000) | replace('x', 'y' * 100000) }}",
      "{{ 'x' | center(10000000000) }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ 'a\nb' | indent(10000000000) }}",
      "{{ [1] | batch(10000000000, 0) | list }}",
      "{% set ns = namespace(x='x') %}"
      "{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}"
      "{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1], y=[1]) %}"
      "{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}"
      "{% endfor %}{{ ns.x == ns.y }}",
      "{% set ns = namespace(x=[1]) %}"
      "{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
      "{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}",
      "{% for x in [[]] recursive %}{{ loop([[]]) }}{% endfor %}",
      "{{ range(100000) | slice(1000000000000) | list }}",
  };
  for (const std::string_view source : kEndless) {
    EXPECT_NE(error_of(source), "no error") << source;
  }
}

TEST(Chat, DeepSourceIsRefused) {
  const auto repeat = [](std::string_view text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
  };
  for (const std::string& source :
       {"{{ " + repeat("(", 10000) + "1" + repeat(")", 10000) + " }}",
        "{{ " + repeat("[", 10000) + " }}", "{{ " + repeat("not ", 10000) + "1 }}",
        "{{ " + repeat("-", 10000) + "1 }}", "{{ 1" + repeat(" + 1", 10000) + " }}",
        "{{ a" + repeat(".b", 10000) + " }}", "{{ a" + repeat("|trim", 10000) + " }}",
        "{{ 1" + repeat(" if 1 else 1", 10000) + " }}", repeat("{% if 1 %}", 10000),
        repeat("{% for x in y %}", 10000)}) {
    EXPECT_NE(error_of(source), "no error") << source.substr(0, 20);
  }
  EXPECT_EQ(render("{{ 0" + repeat(" + 1", 300) + " }}"), "300");
  EXPECT_EQ(render("{{ " + repeat("(", 50) + "1" + repeat(")", 50) + " }}"), "1");
}

TEST(Chat, ManyThreadsShareATemplate) {
  const ChatTemplate compiled = compile(
      "{% set ns = namespace(n=0) %}{% macro m(x) %}[{{ x }}]{% endmacro %}"
      "{% for i in range(50) %}{% set ns.n = ns.n + messages[0].n %}{{ m(ns.n) }}{% endfor %}");
  std::vector<std::string> found(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < found.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        found[i] = compiled.render(request(cat("[{\"n\": ", i, "}]")));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < found.size(); ++i) {
    std::string expected;
    for (size_t n = 1; n <= 50; ++n) expected += cat("[", n * i, "]");
    EXPECT_EQ(found[i], expected);
  }
}

TEST(Chat, TextThatIsNotUtf8PassesThrough) {
  EXPECT_EQ(render("a\xff\xc3{{ 'b\x80' }}{{ 'b\x80'[1] }}{{ '\xffz' | upper }}"),
            "a\xff\xc3"
            "b\x80\x80\xffZ");
}

}  // namespace
}  // namespace spate

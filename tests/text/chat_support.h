// Runs the cases that tools/make_chat_golden.py made: a template and a request, and the text or the
// error that jinja2 gives for them.
#pragma once

#include <stdlib.h>
#include <time.h>

#include <optional>
#include <string>

#include "base/check.h"
#include "base/json.h"
#include "text/chat.h"

namespace spate {

inline ChatRequest chat_request(const Json* json) {
  ::setenv("TZ", "UTC", 1);  // the golden times are in UTC
  ::tzset();
  ChatRequest request;
  request.messages = JsonArray{};
  request.add_generation_prompt = false;
  request.now = 1722470400;
  if (json == nullptr) return request;
  if (const Json* messages = json->find("messages")) request.messages = *messages;
  if (const Json* tools = json->find("tools")) request.tools = *tools;
  if (const Json* documents = json->find("documents")) request.documents = *documents;
  if (const Json* prompt = json->find("add_generation_prompt")) {
    request.add_generation_prompt = prompt->as_bool();
  }
  if (const Json* arguments = json->find("arguments")) request.arguments = arguments->as_object();
  return request;
}

// Python does not know the line of some errors; 0 stands for it.
inline std::string without_line(const std::string& outcome) {
  const size_t start = outcome.find(": line "), end = outcome.find(": ", start + 1);
  return start == outcome.npos ? outcome
                               : outcome.substr(0, start) + ": line 0" + outcome.substr(end);
}

// What came out: "text: ..." or "error: ...". The template's own errors have no line.
inline std::string chat_outcome(const ChatTemplate& compiled, const ChatRequest& request) {
  try {
    return "text: " + compiled.render(request);
  } catch (const Error& error) {
    return cat("error: ", error.what());
  }
}

inline std::string compile_outcome(std::string_view source, std::string_view name,
                                   std::optional<ChatTemplate>& compiled) {
  try {
    compiled.emplace(source, name, "<s>", "</s>");
    return "";
  } catch (const Error& error) {
    return cat("error: ", error.what());
  }
}

// What should come out.
inline std::string expected_outcome(const Json& golden, std::string_view name) {
  if (const Json* text = golden.find("text")) return "text: " + text->as_string();
  const std::string& message = golden.find("message")->as_string();
  const std::string& kind = golden.find("error")->as_string();
  if (kind == "TemplateError") return "error: " + message;
  return cat("error: ", name, ": line ", golden.find("line")->as_integer(), ": ", message);
}

}  // namespace spate

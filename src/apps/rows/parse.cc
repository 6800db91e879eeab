#include <algorithm>
#include <limits>
#include <optional>

#include "apps/rows/row.h"
#include "base/random.h"

namespace spate {
namespace {

[[noreturn]] void reject(const char* code, const std::string& message) {
  throw RowRejected(code, message);
}

std::string kind_of(const Json& value) { return std::string(type_name(value.type())); }

bool is_token(const Json& value) {
  return value.is_integer() && value.as_integer() >= 0 &&
         value.as_integer() <= std::numeric_limits<Token>::max();
}

std::vector<Token> read_tokens(const Json& list, const std::string& name) {
  std::vector<Token> tokens;
  tokens.reserve(list.as_array().size());
  for (const Json& value : list.as_array()) {
    if (!is_token(value)) {
      reject("missing_field", cat(name, "[", tokens.size(), "] is ", value.dump(),
                                  ", expected a token id, a whole number from 0 on"));
    }
    tokens.push_back(static_cast<Token>(value.as_integer()));
  }
  return tokens;
}

// Moves a member out of its object: rows are large, and copies of them cost as much as parsing. Of
// a repeated key the last value counts.
Json take(Json& object, std::string_view key, std::string_view where) {
  JsonObject& members = object.as_object();
  const auto same = [key](const JsonMember& member) { return member.first == key; };
  const auto found = std::find_if(members.rbegin(), members.rend(), same);
  if (found == members.rend()) {
    reject("missing_field", cat(where, " has no \"", key, "\""));
  }
  Json value = std::move(found->second);
  std::erase_if(members, same);
  return value;
}

// A string, token ids, or a list of either.
std::vector<Prompt> read_prompts(const Json& value, const std::string& name) {
  if (value.is_string()) {
    return {value.as_string()};
  }
  if (!value.is_array()) {
    reject("missing_field", cat(name, " is ", kind_of(value),
                                ", expected a string, token ids, or a list of either"));
  }
  const JsonArray& list = value.as_array();
  if (list.empty()) {
    reject("empty_prompt", cat(name, " is an empty list; give at least one prompt"));
  }
  if (list.front().is_integer()) {
    return {read_tokens(value, name)};
  }
  std::vector<Prompt> prompts;
  for (const Json& entry : list) {
    if (entry.is_string()) {
      prompts.emplace_back(entry.as_string());
    } else if (entry.is_array()) {
      prompts.emplace_back(read_tokens(entry, cat(name, "[", prompts.size(), "]")));
    } else {
      reject("missing_field", cat(name, "[", prompts.size(), "] is ", kind_of(entry),
                                  ", expected a string or a list of token ids"));
    }
  }
  return prompts;
}

// From row.fields, which loses them.
void read_messages(std::string_view where, InputRow& row) {
  Json messages = take(row.fields, "messages", where);
  if (!messages.is_array() || messages.as_array().empty()) {
    reject("missing_field",
           cat("messages is ", messages.is_array() ? "an empty list" : kind_of(messages),
               ", expected a list of {\"role\", \"content\"} objects"));
  }
  for (size_t i = 0; i < messages.as_array().size(); ++i) {
    const Json* role = messages.as_array()[i].find("role");
    if (role == nullptr || !role->is_string()) {
      reject("missing_field", cat("messages[", i, "] has no \"role\" string"));
    }
  }
  row.chat = true;
  row.messages = std::move(messages);
  const auto copy = [&row](std::string_view key, Json& to) {
    if (const Json* value = row.fields.find(key); value != nullptr) {
      to = *value;
    }
  };
  copy("tools", row.tools);
  copy("documents", row.documents);
  copy("chat_template_kwargs", row.template_arguments);
  if (!row.template_arguments.is_null() && !row.template_arguments.is_object()) {
    reject("invalid_param", cat("chat_template_kwargs is ", kind_of(row.template_arguments),
                                ", expected an object"));
  }
}

// Ids may be strings or whole numbers.
std::optional<std::string> read_id(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  if (value == nullptr || value->is_null()) {
    return std::nullopt;
  }
  if (value->is_string()) {
    return value->as_string();
  }
  if (value->is_integer()) {
    return value->dump();
  }
  reject("missing_field", cat(name, " is ", kind_of(*value), ", expected a string"));
}

void set_id(const Json& object, const ParseOptions& options, InputRow& row) {
  std::optional<std::string> id;
  if (!options.id_field.empty()) {
    id = read_id(object, options.id_field);
  } else if ((id = read_id(object, "custom_id"))) {
    row.has_custom_id = true;
  } else {
    id = read_id(object, "id");
  }
  if (id) {
    row.id = *std::move(id);
    row.named = true;
  }
}

void read_openai(Json& line, InputRow& row) {
  row.openai = true;
  Json body = take(line, "body", "the row");
  if (!body.is_object()) {
    reject("missing_field", cat("body is ", kind_of(body), ", expected an object"));
  }
  row.fields = std::move(body);
  // A row without a url is read by what its body has.
  const Json* url = line.find("url");
  const bool by_body = url == nullptr;
  if (!by_body && (!url->is_string() || (url->as_string() != "/v1/chat/completions" &&
                                         url->as_string() != "/v1/completions"))) {
    reject("unsupported_param",
           cat("url is ", url->dump(), ", expected /v1/chat/completions or /v1/completions"));
  }
  if (by_body ? row.fields.find("messages") != nullptr
              : url->as_string() == "/v1/chat/completions") {
    read_messages("body", row);
  } else {
    row.prompts = read_prompts(take(row.fields, "prompt", "body"), "prompt");
  }
}

void read_ids(Json& line, InputRow& row) {
  const bool bare = line.is_array();
  const Json ids = bare ? std::move(line) : take(line, "prompt_token_ids", "the row");
  if (!ids.is_array()) {
    reject("missing_field", cat("prompt_token_ids is ", kind_of(ids), ", expected a list"));
  }
  if (!bare) {
    row.fields = std::move(line);
  }
  row.prompts.emplace_back(read_tokens(ids, bare ? "the row" : "prompt_token_ids"));
}

Hash128 key_of(const std::string& id, const Hash128& content) {
  Hasher128 hasher;
  hasher.add(std::string_view(id));
  hasher.add(content);
  return hasher.finish();
}

RowFormat recognise(const Json& line, const ParseOptions& options) {
  struct Sign {
    std::string_view key;
    RowFormat format;
  };
  const Sign signs[] = {{"body", RowFormat::openai},
                        {"messages", RowFormat::messages},
                        {"prompt_token_ids", RowFormat::ids},
                        {options.prompt_field, RowFormat::prompt}};
  for (const Sign& sign : signs) {
    if (line.find(sign.key) != nullptr) {
      return sign.format;
    }
  }
  reject("missing_field", cat("the row has none of body, messages, prompt_token_ids and ",
                              options.prompt_field, "; name its field with --prompt-field"));
}

}  // namespace

Choices<RowFormat> row_formats() {
  return {{"auto", RowFormat::automatic}, {"openai", RowFormat::openai},
          {"prompt", RowFormat::prompt},  {"messages", RowFormat::messages},
          {"text", RowFormat::text},      {"ids", RowFormat::ids}};
}

void parse_row(std::string_view line, const ParseOptions& options, JsonParser& parser,
               InputRow& row) {
  row.id = "row-" + std::to_string(row.index);
  if (options.format == RowFormat::text) {
    row.key = key_of(row.id, hash_of(line));
    row.prompts.emplace_back(std::string(line));
    return;
  }
  Json json;
  JsonError error;
  if (!parser.parse(line, json, error)) {
    row.key = key_of(row.id, hash_of(line));
    reject("invalid_json", cat("byte ", error.offset, ": ", error.reason));
  }
  const Hash128 content = hash_of(json);
  row.key = key_of(row.id, content);
  if (json.is_array() &&
      (options.format == RowFormat::automatic || options.format == RowFormat::ids)) {
    read_ids(json, row);
    return;
  }
  if (!json.is_object()) {
    reject("invalid_json", cat("the row is ", kind_of(json),
                               ", expected an object; plain text needs --format text"));
  }
  set_id(json, options, row);
  row.key = key_of(row.id, content);
  const RowFormat format =
      options.format == RowFormat::automatic ? recognise(json, options) : options.format;
  switch (format) {
    case RowFormat::openai: read_openai(json, row); break;
    case RowFormat::ids: read_ids(json, row); break;
    case RowFormat::messages:
      row.fields = std::move(json);
      read_messages("the row", row);
      break;
    default:
      row.fields = std::move(json);
      row.prompts =
          read_prompts(take(row.fields, options.prompt_field, "the row"), options.prompt_field);
  }
  if (const Json* embeds = row.fields.find("embeds"); embeds != nullptr) row.embeds = *embeds;
  // Fields of the user's own names have been read here; what stays is for prepare.h.
  std::erase_if(row.fields.as_object(), [&options](const JsonMember& member) {
    return member.first == options.prompt_field || member.first == options.id_field ||
           member.first == "embeds";
  });
}

void mark_repeated(InputRow& row) {
  row.repeated = true;
  Hasher128 hasher;
  hasher.add(row.key);
  hasher.add(static_cast<uint64_t>(row.index));
  row.key = hasher.finish();
}

uint64_t random_key(const InputRow& row) {
  const uint64_t key = stable_hash(row.id);
  return row.repeated ? mix_keys(key, static_cast<uint64_t>(row.index)) : key;
}

}  // namespace spate

// The page for Prometheus, read by the rules of its text format, and the server that hands it out,
// over real sockets: routes, bad requests, slow and many clients.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <set>

#include "apps/metrics_server.h"
#include "tests/apps/program.h"

namespace spate::apps_test {
namespace {

// What a page says: type by name, and value by "name{label=value,...}" without the model's label.
struct Exposition {
  std::map<std::string, std::string> types;
  std::map<std::string, double> samples;
  std::string model;
};

bool is_name(std::string_view text, bool colons) {
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(c >= '0' && c <= '9' && &c != text.data()) && !(colons && c == ':')) {
      return false;
    }
  }
  return !text.empty();
}

// Reads {a="b",c="d"} from the front of `rest`.
std::map<std::string, std::string> read_labels(std::string_view& rest) {
  std::map<std::string, std::string> labels;
  if (!rest.starts_with('{')) return labels;
  rest.remove_prefix(1);
  while (!rest.starts_with('}')) {
    const size_t equals = rest.find("=\"");
    if (equals == std::string_view::npos) {
      ADD_FAILURE() << "no label in " << rest;
      return labels;
    }
    const std::string name(rest.substr(0, equals));
    EXPECT_TRUE(is_name(name, false)) << name;
    rest.remove_prefix(equals + 2);
    std::string value;
    while (!rest.empty() && rest.front() != '"') {
      char c = rest.front();
      rest.remove_prefix(1);
      if (c == '\\') {
        c = rest.front() == 'n' ? '\n' : rest.front();
        rest.remove_prefix(1);
      }
      value += c;
    }
    rest.remove_prefix(1);
    EXPECT_TRUE(labels.emplace(name, value).second) << name;
    if (rest.starts_with(',')) rest.remove_prefix(1);
  }
  rest.remove_prefix(1);
  return labels;
}

Exposition read_exposition(const std::string& text) {
  Exposition page;
  std::set<std::string> helped;
  std::string family;
  EXPECT_TRUE(text.ends_with('\n'));
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with("# HELP ")) {
      const size_t space = line.find(' ', 7);
      EXPECT_TRUE(helped.insert(line.substr(7, space - 7)).second) << line;
      EXPECT_GT(line.size(), space + 1) << line;
    } else if (line.starts_with("# TYPE ")) {
      const size_t space = line.find(' ', 7);
      family = line.substr(7, space - 7);
      EXPECT_TRUE(is_name(family, true)) << line;
      EXPECT_TRUE(helped.contains(family)) << line;
      EXPECT_TRUE(page.types.emplace(family, line.substr(space + 1)).second) << line;
    } else {
      std::string_view rest = line;
      std::string name(rest.substr(0, rest.find_first_of("{ ")));
      rest.remove_prefix(name.size());
      EXPECT_TRUE(name == family ||
                  (page.types[family] == "histogram" && name.starts_with(family + "_")))
          << line << " is not of " << family;
      auto labels = read_labels(rest);
      page.model = labels["model_name"];
      labels.erase("model_name");
      char separator = '{';
      for (const auto& [label, value] : labels) {
        name += cat(separator, label, "=", value);
        separator = ',';
      }
      if (separator == ',') name += '}';
      EXPECT_TRUE(rest.starts_with(' ')) << line;
      char* end = nullptr;
      const std::string value(rest.substr(1));
      const double number = std::strtod(value.c_str(), &end);
      EXPECT_EQ(*end, '\0') << line;
      EXPECT_TRUE(page.samples.emplace(name, number).second) << line;
    }
  }
  return page;
}

MetricsSnapshot snapshot() {
  MetricsSnapshot snapshot;
  snapshot.model = "a \"model\"\\n\nx";
  snapshot.seconds = 12.5;
  snapshot.eta_seconds = std::nan("");
  snapshot.counts.running = 3;
  snapshot.counts.kv_share = 0.25;
  snapshot.counts.rows_total = 100;
  snapshot.counts.prompt_tokens = 123456789012;
  snapshot.tally.ok = 5;
  snapshot.tally.failed = 2;
  snapshot.tally.errors = {{"timeout", 2}};
  snapshot.tally.finishes = {{"length", 1}, {"stop", 4}};
  for (int i = 1; i <= 1000; ++i) snapshot.tally.first_token.add(0.01 * i);
  return snapshot;
}

TEST(Metrics, ThePageKeepsToTheFormat) {
  const Exposition page = read_exposition(metrics_text(snapshot()));
  EXPECT_EQ(page.model, "a \"model\"\\n\nx");
  EXPECT_EQ(page.samples.at("spate:num_requests_running"), 3);
  EXPECT_EQ(page.samples.at("spate:kv_cache_usage_perc"), 0.25);
  EXPECT_EQ(page.samples.at("spate:prompt_tokens_total"), 123456789012.0);
  EXPECT_EQ(page.samples.at("spate:request_success_total{finished_reason=stop}"), 4);
  EXPECT_EQ(page.samples.at("spate:rows_done_total{outcome=failed}"), 2);
  EXPECT_EQ(page.samples.at("spate:row_errors_total{code=timeout}"), 2);
  EXPECT_TRUE(std::isnan(page.samples.at("spate:eta_seconds")));
  for (const auto& [name, type] : page.types) {
    EXPECT_EQ(name.ends_with("_total"), type == "counter") << name;
  }
}

TEST(Metrics, HistogramsAreCumulative) {
  const std::string text = metrics_text(snapshot());
  const Exposition page = read_exposition(text);
  const auto at_most = [&](const std::string& bound) {
    return page.samples.at(cat("spate:time_to_first_token_seconds_bucket{le=", bound, "}"));
  };
  EXPECT_NEAR(at_most("0.1"), 10, 1);
  EXPECT_NEAR(at_most("2.5"), 250, 5);
  EXPECT_NEAR(at_most("5"), 500, 10);
  EXPECT_EQ(at_most("20"), 1000);
  EXPECT_EQ(at_most("+Inf"), 1000);
  EXPECT_EQ(page.samples.at("spate:time_to_first_token_seconds_count"), 1000);
  EXPECT_NEAR(page.samples.at("spate:time_to_first_token_seconds_sum"), 5005, 1e-6);
  double before = 0;
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with("spate:time_to_first_token_seconds_bucket")) {
      const double value = std::stod(line.substr(line.rfind(' ')));
      EXPECT_GE(value, before) << line;
      before = value;
    }
  }
}

// Of "... http://127.0.0.1:PORT/metrics".
int port_of(const std::string& text) {
  const std::string_view head = "http://127.0.0.1:";
  const size_t at = text.find(head);
  return at == std::string::npos ? 0 : std::stoi(text.substr(at + head.size()));
}

class Connection {
 public:
  explicit Connection(const MetricsServer& server) : Connection(port_of(server.address())) {}
  explicit Connection(int port) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    timeval wait{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~Connection() { ::close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void send(std::string_view text) const {
    EXPECT_EQ(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // Until the other side closes.
  std::string read_all() const {
    std::string text;
    char block[4096];
    for (ssize_t n = 0; (n = ::recv(socket_, block, sizeof block, 0)) > 0;) {
      text.append(block, static_cast<size_t>(n));
    }
    return text;
  }
  // One answer of a connection that stays open.
  std::string read_answer() const {
    std::string text;
    char c = 0;
    while (!text.ends_with("\r\n\r\n") && ::recv(socket_, &c, 1, 0) == 1) text += c;
    const size_t at = text.find("Content-Length: ");
    const size_t body = at == std::string::npos ? 0 : std::stoul(text.substr(at + 16));
    for (size_t i = 0; i < body && ::recv(socket_, &c, 1, 0) == 1; ++i) text += c;
    return text;
  }

 private:
  int socket_ = -1;
};

std::string ask(const MetricsServer& server, const std::string& request) {
  const Connection connection(server);
  connection.send(request);
  return connection.read_all();
}

std::string get(const MetricsServer& server, const std::string& target) {
  return ask(server, cat("GET ", target, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
}

TEST(MetricsServer, AnswersWhatWasPublishedLast) {
  MetricsServer server("127.0.0.1", 0);
  server.publish("one 1\n");
  const std::string first = get(server, "/metrics");
  EXPECT_TRUE(first.starts_with("HTTP/1.1 200 OK\r\n")) << first;
  EXPECT_TRUE(contains(first, "Content-Type: text/plain; version=0.0.4")) << first;
  EXPECT_TRUE(first.ends_with("\r\n\r\none 1\n")) << first;
  server.publish("two 2\n");
  EXPECT_TRUE(get(server, "/metrics?x=y").ends_with("two 2\n"));
  EXPECT_TRUE(contains(get(server, "/"), "/metrics"));
  EXPECT_TRUE(get(server, "/health").starts_with("HTTP/1.1 200"));
  const std::string head = ask(server, "HEAD /metrics HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(contains(head, "Content-Length: 6") && head.ends_with("\r\n\r\n")) << head;
}

TEST(MetricsServer, BadRequestsAreRefused) {
  MetricsServer server("127.0.0.1", 0);
  EXPECT_TRUE(get(server, "/other").starts_with("HTTP/1.1 404"));
  EXPECT_TRUE(
      ask(server, "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
          .starts_with("HTTP/1.1 405"));
  EXPECT_TRUE(ask(server, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(ask(server, cat("GET /metrics HTTP/1.1\r\nX: ", std::string(20'000, 'x'), "\r\n\r\n"))
                  .starts_with("HTTP/1.1 431"));
  EXPECT_TRUE(ask(server, "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
                  .starts_with("HTTP/1.1 413"));
  EXPECT_TRUE(get(server, "/health").starts_with("HTTP/1.1 200"));
}

TEST(MetricsServer, ConnectionsStayOpen) {
  MetricsServer server("127.0.0.1", 0);
  server.publish("a 1\n");
  const Connection connection(server);
  for (int i = 0; i < 3; ++i) {
    connection.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(connection.read_answer().ends_with("a 1\n"));
  }
}

TEST(MetricsServer, SlowAndManyClientsHoldUpNobody) {
  MetricsServer server("127.0.0.1", 0);
  server.publish("a 1\n");
  std::vector<std::unique_ptr<Connection>> silent;
  for (int i = 0; i < 40; ++i) {
    silent.push_back(std::make_unique<Connection>(server));
    silent.back()->send("GET /met");
  }
  EXPECT_TRUE(get(server, "/metrics").ends_with("a 1\n"));
  for (int i = 0; i < 100; ++i) silent.push_back(std::make_unique<Connection>(server));
  silent.clear();
  bool served = false;  // once the others are gone, there is room again
  for (int i = 0; i < 100 && !served; ++i) {
    served = get(server, "/metrics").ends_with("a 1\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(served);
  // The server may go while clients are connected.
  const Connection last(server);
  last.send("GET /");
}

TEST(MetricsServer, PortsAndHostsThatCannotBe) {
  const MetricsServer server("127.0.0.1", 0);
  const int port = port_of(server.address());
  EXPECT_TRUE(contains(error_of([&] { MetricsServer("127.0.0.1", port); }), cat("port ", port)));
  EXPECT_TRUE(contains(error_of([&] { MetricsServer("nowhere", 0); }), "is no IP address"));
  EXPECT_TRUE(contains(error_of([&] { MetricsServer("192.0.2.1", 0); }), "cannot listen"));
}

TEST(MetricsServer, ARunServesItsCounts) {
  const TemporaryFolder folder;
  // The input is a pipe that stays open, so that the run goes on until it is told to end.
  const std::string input = folder.file("pipe"), log = folder.file("log");
  ASSERT_EQ(::mkfifo(input.c_str(), 0600), 0);
  const Program program({"run", kTiny, "-i", input, "-o", folder.file("out"), "--metrics-port", "0",
                         "--log", log, "--max-tokens", "3", "--temperature", "0"});
  std::ofstream rows(input);
  rows << "{\"prompt_token_ids\": [1, 2, 3]}\n{\"prompt_token_ids\": []}\n" << std::flush;
  ASSERT_TRUE(wait_for_bytes(log));
  std::map<std::string, double> samples;
  for (int i = 0; i < 100 && samples["spate:rows_done_total{outcome=ok}"] < 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const int port = port_of(read_file(log));
    ASSERT_NE(port, 0) << read_file(log);
    const Connection connection(port);
    connection.send("GET /metrics HTTP/1.0\r\n\r\n");
    const std::string page = connection.read_all();
    const size_t body = page.find("\r\n\r\n");
    ASSERT_NE(body, std::string::npos) << page;
    samples = read_exposition(page.substr(body + 4)).samples;
  }
  EXPECT_EQ(samples["spate:rows_done_total{outcome=ok}"], 1);
  EXPECT_EQ(samples["spate:row_errors_total{code=empty_prompt}"], 1);
  EXPECT_EQ(samples["spate:prompt_tokens_total"], 3);
  EXPECT_GE(samples["spate:generation_tokens_total"], 1);
  EXPECT_EQ(samples["spate:e2e_request_latency_seconds_count"], 1);
}

TEST(MetricsServer, APortInUseIsAUsageError) {
  const TemporaryFolder folder;
  const MetricsServer server("127.0.0.1", 0);
  const std::string output = folder.file("out");
  const Ended ended = run_program({"run", kTiny, "-i", folder.write("in", "[1]\n"), "-o", output,
                                   "--metrics-port", std::to_string(port_of(server.address()))});
  EXPECT_EQ(ended.code, 2);
  EXPECT_TRUE(contains(ended.err, "--metrics-port")) << ended.err;
  EXPECT_FALSE(file_exists(output));
}

}  // namespace
}  // namespace spate::apps_test

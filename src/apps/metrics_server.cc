#include "apps/metrics_server.h"

#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>
#include <utility>  // before Asio, whose older versions use std::exchange without it

#include "base/check.h"

namespace spate {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Tcp = asio::ip::tcp;

constexpr std::chrono::seconds kDeadline(10);  // of a request and of its answer
constexpr uint32_t kMostHeader = 8192;         // bytes
constexpr uint64_t kMostBody = 4096;
constexpr int kMostClients = 64;  // at once; more are turned away

// What the thread answers from.
struct Pages {
  std::mutex mutex;
  std::shared_ptr<const std::string> metrics = std::make_shared<const std::string>();
  int clients = 0;  // of the server's thread alone

  std::shared_ptr<const std::string> get() {
    const std::lock_guard lock(mutex);
    return metrics;
  }
};

// One connection. Lives as long as an operation on it is under way.
class Client : public std::enable_shared_from_this<Client> {
 public:
  Client(Tcp::socket socket, Pages& pages) : stream_(std::move(socket)), pages_(pages) {
    ++pages_.clients;
  }
  ~Client() { --pages_.clients; }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void read() {
    parser_.emplace();
    parser_->header_limit(kMostHeader);
    parser_->body_limit(kMostBody);
    stream_.expires_after(kDeadline);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, size_t /*bytes*/) {
                       self->on_read(error);
                     });
  }

 private:
  void on_read(beast::error_code error) {
    if (error == http::error::end_of_stream) {
      close();
    } else if (error == http::error::header_limit) {
      answer(http::status::request_header_fields_too_large, "the request is too long\n");
    } else if (error == http::error::body_limit) {
      answer(http::status::payload_too_large, "the request is too long\n");
    } else if (error && error.category() == make_error_code(http::error::bad_method).category()) {
      answer(http::status::bad_request, "this is no HTTP request\n");
    } else if (!error) {
      route();
    }  // else the client is gone, or was too slow
  }

  void route() {
    const auto& request = parser_->get();
    keep_alive_ = request.keep_alive();
    head_ = request.method() == http::verb::head;
    const std::string target(request.target().substr(0, request.target().find('?')));
    if (target != "/metrics" && target != "/" && target != "/health") {
      answer(http::status::not_found, "not here; /metrics is\n");
    } else if (request.method() != http::verb::get && !head_) {
      answer(http::status::method_not_allowed, "only GET and HEAD are answered\n");
    } else if (target == "/metrics") {
      answer(http::status::ok, *pages_.get(), "text/plain; version=0.0.4; charset=utf-8");
    } else {
      answer(http::status::ok, "spate " SPATE_VERSION " runs a batch job; see /metrics\n");
    }
  }

  void answer(http::status status, std::string body,
              const char* type = "text/plain; charset=utf-8") {
    response_ = {};
    response_.version(11);
    response_.result(status);
    response_.set(http::field::server, "spate/" SPATE_VERSION);
    response_.set(http::field::content_type, type);
    if (status == http::status::method_not_allowed) {
      response_.set(http::field::allow, "GET, HEAD");
    }
    response_.content_length(body.size());
    if (!head_) {
      response_.body() = std::move(body);
    }
    response_.keep_alive(keep_alive_);
    stream_.expires_after(kDeadline);
    serializer_.emplace(response_);
    http::async_write(stream_, *serializer_,
                      [self = shared_from_this()](beast::error_code error, size_t /*bytes*/) {
                        if (!error && self->keep_alive_) {
                          self->read();
                        } else {
                          self->close();
                        }
                      });
  }

  void close() {
    beast::error_code ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_send, ignored);
  }

  beast::tcp_stream stream_;
  Pages& pages_;
  beast::flat_buffer buffer_{kMostHeader + kMostBody};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  bool keep_alive_ = false, head_ = false;
};

}  // namespace

struct MetricsServer::State {
  Pages pages;  // outlives the clients, which the context holds
  asio::io_context context{1};
  Tcp::acceptor acceptor{context};
  asio::steady_timer pause{context};
  std::thread thread;

  void listen(const std::string& host, int port) {
    const std::string where = cat("--metrics-port: cannot listen on ", host, " port ", port, ": ");
    beast::error_code error;
    const auto address = asio::ip::make_address(host, error);
    if (error) {
      throw Error(cat("--metrics-host: '", host, "' is no IP address; 127.0.0.1 and 0.0.0.0 are"),
                  ExitCode::usage);
    }
    const Tcp::endpoint endpoint(address, static_cast<uint16_t>(port));
    const auto check_step = [&](const beast::error_code& step) {
      if (step) {
        throw Error(cat(where, step.message(), "; give another, or 0 for any"), ExitCode::usage);
      }
    };
    check_step(acceptor.open(endpoint.protocol(), error));
    check_step(acceptor.set_option(asio::socket_base::reuse_address(true), error));
    check_step(acceptor.bind(endpoint, error));
    check_step(acceptor.listen(asio::socket_base::max_listen_connections, error));
  }

  void accept() {
    acceptor.async_accept([this](beast::error_code error, Tcp::socket socket) {
      if (error == asio::error::operation_aborted) {
        return;
      }
      if (error) {  // no more descriptors, say: they may come back
        pause.expires_after(std::chrono::milliseconds(100));
        pause.async_wait([this](beast::error_code /*error*/) { accept(); });
        return;
      }
      if (pages.clients < kMostClients) {
        std::make_shared<Client>(std::move(socket), pages)->read();
      }
      accept();
    });
  }

  void serve() {
    for (;;) {
      try {
        context.run();
        return;
      } catch (const std::exception&) {  // of one client: the others go on
      }
    }
  }
};

MetricsServer::MetricsServer(const std::string& host, int port)
    : state_(std::make_unique<State>()) {
  state_->listen(host, port);
  state_->accept();
  state_->thread = std::thread([state = state_.get()] { state->serve(); });
}

MetricsServer::~MetricsServer() {
  state_->context.stop();
  state_->thread.join();
}

void MetricsServer::publish(std::string text) {
  auto page = std::make_shared<const std::string>(std::move(text));
  const std::lock_guard lock(state_->pages.mutex);
  state_->pages.metrics.swap(page);
}

std::string MetricsServer::address() const {
  const Tcp::endpoint endpoint = state_->acceptor.local_endpoint();
  return cat("http://", endpoint, "/metrics");
}

void MetricsFeed::open(const std::string& host, int port, const std::string& model) {
  server_.emplace(host, port);
  server_->publish(metrics_text({.model = model, .eta_seconds = std::nan("")}));
}

void MetricsFeed::publish(MetricsSnapshot snapshot) {
  since_.restart();
  snapshot.eta_seconds = meter_.update(snapshot.seconds, snapshot.counts).eta_seconds;
  server_->publish(metrics_text(snapshot));
}

}  // namespace spate

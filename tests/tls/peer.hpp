// A TLS server in memory, and conversations between it and the client's machine.
#pragma once

#include "certificates.hpp"
#include "tern/transport/detail/tls_machine.hpp"
#include "tern/transport/tls_context.hpp"
#include "tern/transport/tls_options.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tls_test {

using tern::tls_errc;
using tern::detail::tls_machine;

/// How a server is set up.
struct server_options {
    const identity* own = &common().server; // null: none, for shared keys
    std::vector<const identity*> chain = {};
    int version = 0;                            // TLS1_2_VERSION, TLS1_3_VERSION, ...; 0: 1.2 or 1.3
    const identity* client_authority = nullptr; // requires a client certificate that it has issued
    std::string ciphers = {};                   // of TLS 1.2, such as "DEFAULT@SECLEVEL=0"
    std::optional<tern::tls_psk> psk = {};
    std::vector<std::string> alpn = {};
};

/// The SSL_CTX of servers, which has the keys of their session tickets.
std::shared_ptr<SSL_CTX> make_server_context(const server_options& options);

/// One connection of a server.
class tls_server {
public:
    explicit tls_server(std::shared_ptr<SSL_CTX> context);
    explicit tls_server(const server_options& options) : tls_server(make_server_context(options)) {}

    /// Processes bytes of the client.
    void receive(std::string_view bytes);
    /// The bytes that the server has written since the last call.
    std::string output();

    /// Encrypts bytes for the client.
    void send(std::string_view plain);
    /// Sends a KeyUpdate that asks for another one.
    void update_keys();
    /// Asks a client of TLS 1.2 to renegotiate.
    void renegotiate();
    void shutdown();

    SSL* ssl() const { return ssl_.get(); }
    bool is_ready() const { return is_ready_; }
    bool has_failed() const { return !failure_.empty(); }
    bool has_seen_close_notify() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }
    const std::string& failure() const { return failure_; }
    /// The bytes that the client has sent.
    const std::string& received() const { return received_; }
    /// The same, removed.
    std::string take_received() { return std::exchange(received_, {}); }

private:
    void proceed();
    void on_result(int result);

    std::shared_ptr<SSL_CTX> context_;
    tern::detail::ssl_ptr ssl_;
    std::string received_;
    std::string failure_;
    bool is_ready_ = false;
};

/// Options of a client that trusts `common().root`.
tern::tls_options trusting_options();

/// The client's side of a conversation.
struct client_parameters {
    std::string host = "broker.example";
    std::uint16_t port = 8883;
    std::size_t piece = SIZE_MAX; ///< at most this many bytes are passed on at a time
    std::shared_ptr<tern::detail::tls_session_store> sessions = {};
};

/// A client's machine and a server that exchange bytes.
class conversation {
public:
    conversation(const tern::tls_options& options, const server_options& server, const client_parameters& p = {});
    conversation(const tern::tls_context& options, std::shared_ptr<SSL_CTX> server, const client_parameters& p = {});

    /// Exchanges bytes until both sides wait for the other.
    void run();

    tls_machine& client() { return *client_; }
    tls_server& server() { return server_; }
    /// Whether the client has ended its handshake.
    bool is_ready() const { return client_ && client_->is_ready(); }
    std::error_code error() const { return error_; }
    /// The bytes that the server has sent.
    const std::string& received() const { return received_; }

    /// Sends bytes of the client, and returns how many of them were reported as passed on.
    std::size_t send(std::string_view plain);

    /// Destroys the client's machine, which stores its session.
    void end() { client_.reset(); }

private:
    bool to_server();
    bool to_client();
    void read(std::string_view raw);

    client_parameters parameters_;
    tls_server server_;
    std::unique_ptr<tls_machine> client_;
    std::error_code error_;
    std::string received_;
    std::size_t passed_on_ = 0;
};

} // namespace tls_test

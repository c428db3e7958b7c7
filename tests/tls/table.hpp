// The table of servers that are accepted, retried or refused for good. A case is a server, a client and the outcome.
// Each is run with TLS 1.2 and 1.3, with whole flights and in pieces.
#pragma once

#include "certificates.hpp"
#include "peer.hpp"
#include "tern/error.hpp"
#include "tern/transport/tls_options.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace tls_test {

struct test_case {
    std::string_view name;
    tls_errc expected; // none: the server is accepted
    tern::failure_class kind;
    server_options server;
    std::string host;
    tern::tls_options client;
};

test_case refused(std::string_view name, tls_errc error, const server_options& server,
                  std::string host = "broker.example", const tern::tls_options& client = trusting_options());
test_case retried(std::string_view name, tls_errc error, const server_options& server,
                  std::string host = "broker.example", const tern::tls_options& client = trusting_options());
test_case accepted(std::string_view name, const server_options& server, std::string host = "broker.example",
                   const tern::tls_options& client = trusting_options());

/// Runs each case with both versions, and compares the outcome.
void check_all(const std::vector<test_case>& cases);

/// A server's certificate with its options.
struct issued {
    explicit issued(const certificate_spec& spec, const identity& issuer = common().root) : own(issue(issuer, spec)) {}

    operator server_options() const { return {.own = &own}; } // NOLINT(google-explicit-constructor)

    identity own;
};

} // namespace tls_test

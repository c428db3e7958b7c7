#include "table.hpp"

#include "catch.hpp"
#include "peer.hpp"
#include "tern/error.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tls_test {
namespace {

// The handshake, and one message in each direction.
conversation converse(const test_case& c, int version, std::size_t piece) {
    server_options server = c.server;
    if (server.version == 0) server.version = version;
    conversation talk(c.client, server, {.host = c.host, .piece = piece});
    talk.run();
    if (talk.is_ready() && !talk.error()) talk.send("CONNECT");
    if (talk.server().is_ready() && !talk.server().has_failed()) talk.server().send("CONNACK");
    talk.run();
    return talk;
}

void check(const test_case& c, int version, std::size_t piece) {
    CAPTURE(c.name, version, piece);
    conversation talk = converse(c, version, piece);
    CAPTURE(talk.error().message());
    if (c.expected == tls_errc::none) {
        CHECK_FALSE(talk.error());
        CHECK(talk.received() == "CONNACK");
    } else {
        CHECK(talk.error() == c.expected);
        CHECK(talk.error() == c.kind);
        CHECK(talk.received().empty());
        CHECK_FALSE(talk.server().is_ready()); // it has not seen the end of the client's handshake
    }
}

} // namespace

void check_all(const std::vector<test_case>& cases) {
    for (const test_case& c : cases)
        for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION})
            for (const std::size_t piece : {std::size_t{1}, std::size_t{37}, SIZE_MAX})
                check(c, version, piece);
}

test_case refused(std::string_view name, tls_errc error, const server_options& server, std::string host,
                  const tern::tls_options& client) {
    return {name, error, tern::failure_class::permanent, server, std::move(host), client};
}

test_case retried(std::string_view name, tls_errc error, const server_options& server, std::string host,
                  const tern::tls_options& client) {
    return {name, error, tern::failure_class::lasting, server, std::move(host), client};
}

test_case accepted(std::string_view name, const server_options& server, std::string host,
                   const tern::tls_options& client) {
    return {name, tls_errc::none, tern::failure_class::transient, server, std::move(host), client};
}

} // namespace tls_test

// Resumption: which connections continue an earlier session, and which must not.
#include "catch.hpp"
#include "certificates.hpp"
#include "peer.hpp"
#include "tern/transport/detail/tls_session.hpp"
#include "tern/transport/tls_context.hpp"
#include "tern/transport/tls_options.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace tls_resumption_tests {

using namespace tls_test;

struct result {
    bool is_accepted = false;
    bool is_resumed = false;
    std::error_code error = {};
};

// A transport's connections to one server.
class transport {
public:
    explicit transport(int version) : version_(version) {}

    result connect(const tern::tls_context& options, const std::string& host = "broker.example",
                   std::uint16_t port = 8883) {
        if (!keys_) keys_ = make_server_context({.own = server_, .version = version_, .psk = psk_});
        conversation talk(options, keys_, {.host = host, .port = port, .sessions = sessions_});
        talk.run();
        result r{talk.is_ready() && !talk.error(), talk.is_ready() && talk.client().is_resumed(), talk.error()};
        if (r.is_accepted) talk.send("x");
        return r;
    }
    void replace_server(const identity& by) {
        server_ = &by;
        keys_.reset();
    }
    // The server has no certificate, but a key.
    void share(const tern::tls_psk& key) {
        server_ = nullptr;
        psk_ = key;
    }

private:
    int version_;
    const identity* server_ = &common().server;
    std::optional<tern::tls_psk> psk_;
    std::shared_ptr<SSL_CTX> keys_;
    std::shared_ptr<tern::detail::tls_session_store> sessions_ = std::make_shared<tern::detail::tls_session_store>();
};

const std::vector<int> versions{TLS1_2_VERSION, TLS1_3_VERSION};

TEST_CASE("a later connection to the same host resumes, each time") {
    for (const int version : versions) {
        transport t(version);
        const tern::tls_context options(trusting_options());
        CHECK_FALSE(t.connect(options).is_resumed);
        for (int i = 0; i != 3; ++i) {
            const result r = t.connect(options);
            CHECK(r.is_accepted);
            CHECK(r.is_resumed);
        }
    }
}

TEST_CASE("a client with a shared key connects again, by a handshake with the key") {
    for (const int version : versions) {
        transport t(version);
        const tern::tls_psk key{"sensor", "0123456789abcdef"};
        t.share(key);
        const tern::tls_context options(tern::tls_options{.psk = key});
        for (int i = 0; i != 3; ++i) {
            const result r = t.connect(options);
            CHECK_FALSE(r.error);
            CHECK(r.is_accepted);
        }
    }
}

TEST_CASE("another host, port or name does not resume") {
    for (const int version : versions) {
        transport t(version);
        tern::tls_options names = trusting_options();
        const tern::tls_context options(names);
        CHECK(t.connect(options).is_accepted);
        CHECK_FALSE(t.connect(options, "broker.example", 8884).is_resumed);
        const result other = t.connect(options, "other.example", 8884);
        CHECK_FALSE(other.is_resumed);
        CHECK(other.error == tls_errc::wrong_host);
        CHECK_FALSE(t.connect(options, "broker.example", 8884).is_resumed); // it was used up
        CHECK(t.connect(options, "broker.example", 8884).is_resumed);
        names.verify_name = "other.example";
        const result renamed = t.connect(tern::tls_context(names), "broker.example", 8884);
        CHECK_FALSE(renamed.is_resumed);
        CHECK(renamed.error == tls_errc::wrong_host);
    }
}

TEST_CASE("changed options do not resume, even if they are equal") {
    for (const int version : versions) {
        transport t(version);
        CHECK(t.connect(tern::tls_context(trusting_options())).is_accepted);
        const result r = t.connect(tern::tls_context(trusting_options()));
        CHECK(r.is_accepted);
        CHECK_FALSE(r.is_resumed);
    }
}

TEST_CASE("a connection without verification is never resumed with verification") {
    const identity stranger = make_self_signed(server_spec({"broker.example"}));
    for (const int version : versions) {
        transport t(version);
        t.replace_server(stranger);
        tern::tls_options insecure;
        insecure.verification = tern::tls_verification::none_insecure;
        CHECK(t.connect(tern::tls_context(insecure)).is_accepted);
        const result r = t.connect(tern::tls_context(trusting_options()));
        CHECK_FALSE(r.is_accepted);
        CHECK(r.error == tls_errc::self_signed_certificate);
    }
}

TEST_CASE("an SSL_CTX of the application is verified on each of its connections, resumed or not") {
    const identity stranger = make_self_signed(server_spec({"broker.example"}));
    const std::shared_ptr<SSL_CTX> own(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
    SSL_CTX_set_session_cache_mode(own.get(), SSL_SESS_CACHE_CLIENT);
    for (const int version : versions) {
        transport t(version);
        t.replace_server(stranger);
        tern::tls_options insecure;
        insecure.own_context = own;
        insecure.verification = tern::tls_verification::none_insecure;
        CHECK(t.connect(tern::tls_context(insecure)).is_accepted);
        tern::tls_options secure;
        secure.own_context = own;
        CHECK(t.connect(tern::tls_context(secure)).error == tls_errc::self_signed_certificate);
    }
}

TEST_CASE("a server that has lost its keys makes a full handshake") {
    for (const int version : versions) {
        transport t(version);
        const tern::tls_context options(trusting_options());
        CHECK(t.connect(options).is_accepted);
        t.replace_server(common().server);
        const result r = t.connect(options);
        CHECK(r.is_accepted);
        CHECK_FALSE(r.is_resumed);
        CHECK(t.connect(options).is_resumed);
        const identity stranger = make_self_signed(server_spec({"broker.example"}));
        t.replace_server(stranger);
        CHECK(t.connect(options).error == tls_errc::self_signed_certificate);
    }
}

TEST_CASE("a session is not resumed after its certificate has expired") {
    // Without verification a session with an expired certificate can be made.
    certificate_spec spec = server_spec({"broker.example"});
    spec.first_day = -20;
    spec.last_day = -1;
    const identity expired = issue(common().root, spec);
    tern::tls_options insecure;
    insecure.verification = tern::tls_verification::none_insecure;
    for (const int version : versions) {
        transport t(version);
        const tern::tls_context options(insecure);
        CHECK(t.connect(options).is_accepted);
        CHECK(t.connect(options).is_resumed);
        t.replace_server(expired);
        CHECK(t.connect(options).is_accepted);
        CHECK_FALSE(t.connect(options).is_resumed);
    }
}

TEST_CASE("resumption can be disabled") {
    for (const int version : versions) {
        transport t(version);
        tern::tls_options options = trusting_options();
        options.resumption = tern::tls_resumption::disabled;
        const tern::tls_context context(options);
        CHECK(t.connect(context).is_accepted);
        CHECK_FALSE(t.connect(context).is_resumed);
    }
}

} // namespace tls_resumption_tests

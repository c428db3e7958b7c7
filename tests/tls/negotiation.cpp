// Cases of the table about the negotiation: client certificates, shared keys, versions, application protocols; and
// peers that do not speak TLS, or stop in the middle of it.
#include "catch.hpp"
#include "certificates.hpp"
#include "peer.hpp"
#include "table.hpp"
#include "tern/transport/detail/tls_machine.hpp"
#include "tern/transport/tls_context.hpp"
#include "tern/transport/tls_error.hpp"
#include "tern/transport/tls_options.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tls_negotiation {

using namespace tls_test;
using namespace std::string_view_literals;
using enum tern::tls_errc;
using tern::failure_class;

const std::string host = "broker.example";

tern::tls_options presenting(const identity& who, const identity* intermediate = nullptr) {
    tern::tls_options options = trusting_options();
    options.certificate_pem = who.certificate_pem();
    if (intermediate != nullptr) options.certificate_pem += intermediate->certificate_pem();
    options.key_pem = who.key_pem();
    return options;
}

tern::tls_options sharing(std::string identity, std::string key) {
    tern::tls_options options;
    options.psk = tern::tls_psk{std::move(identity), std::move(key)};
    return options;
}

TEST_CASE("a server can require a client certificate") {
    const server_options server{.client_authority = &common().root};
    certificate_spec spec;
    spec.common_name = "an expired client";
    spec.extended_key_usage = "clientAuth";
    spec.first_day = -20;
    spec.last_day = -1;
    const identity expired = issue(common().root, spec);
    spec = {};
    spec.extended_key_usage = "clientAuth";
    const identity foreign = issue(common().other_root, spec);
    const identity below = issue(common().intermediate, spec);
    spec.extended_key_usage = "serverAuth";
    const identity wrong_usage = issue(common().root, spec);
    check_all({
        accepted("right certificate", server, host, presenting(common().client)),
        accepted("with its intermediate", server, host, presenting(below, &common().intermediate)),
        accepted("a certificate that is not asked for", {}, host, presenting(common().client)),
        refused("no certificate", client_certificate_required, server),
        refused("unknown authority", client_certificate_unknown_authority, server, host, presenting(foreign)),
        refused("without its intermediate", client_certificate_unknown_authority, server, host, presenting(below)),
        refused("expired", client_certificate_expired, server, host, presenting(expired)),
        refused("wrong usage", client_certificate_refused, server, host, presenting(wrong_usage)),
    });
}

TEST_CASE("with TLS 1.3 a missing client certificate is reported by the first read [RFC 8446 §4.4.2.4]") {
    conversation talk(trusting_options(), {.version = TLS1_3_VERSION, .client_authority = &common().root});
    talk.client();
    bool was_ready = false;
    talk.server().receive(talk.client().output());
    talk.client().commit_output(talk.client().output().size());
    std::error_code error;
    talk.client().read(talk.server().output(), {}, error);
    was_ready = talk.client().is_ready();
    CHECK(was_ready);
    CHECK_FALSE(error);
    talk.run();
    CHECK(talk.error() == client_certificate_required);
}

TEST_CASE("a shared key replaces certificates [RFC 4279]") {
    const tern::tls_psk psk{"sensor-1", "0123456789abcdef"};
    const server_options server{.own = nullptr, .psk = psk};
    const server_options both{.psk = psk};
    const identity stranger = make_self_signed(server_spec({host}));
    check_all({
        accepted("right key", server, host, sharing("sensor-1", "0123456789abcdef")),
        accepted("right key, and a server that also has a certificate", both, host,
                 sharing("sensor-1", "0123456789abcdef")),
        refused("wrong key", psk_refused, server, host, sharing("sensor-1", "0123456789abcdeF")),
        refused("unknown identity", psk_refused, server, host, sharing("sensor-2", "0123456789abcdef")),
        refused("a server with an untrusted certificate instead", self_signed_certificate, {.own = &stranger}, host,
                sharing("sensor-1", "0123456789abcdef")),
        refused("empty key", invalid_psk, server, host, sharing("sensor-1", "")),
        refused("empty identity", invalid_psk, server, host, sharing("", "0123456789abcdef")),
        refused("long identity", invalid_psk, server, host, sharing(std::string(129, 'x'), "0123456789abcdef")),
        refused("long key", invalid_psk, server, host, sharing("sensor-1", std::string(257, 'x'))),
        retried("no key", handshake_failed, server, host),
    });
}

TEST_CASE("a version that is too old is refused") {
    const std::string weak = "DEFAULT@SECLEVEL=0";
    tern::tls_options only_1_3 = trusting_options();
    only_1_3.minimum_version = tern::tls_version::v1_3;
    check_all({
        refused("TLS 1.1 only", unsupported_version, {.version = TLS1_1_VERSION, .ciphers = weak}),
        refused("TLS 1.0 only", unsupported_version, {.version = TLS1_VERSION, .ciphers = weak}),
        refused("TLS 1.2 where 1.3 is required", unsupported_version, {.version = TLS1_2_VERSION}, host, only_1_3),
        accepted("TLS 1.3 where it is required", {.version = TLS1_3_VERSION}, host, only_1_3),
    });
}

TEST_CASE("application protocols are offered [RFC 7301]") {
    tern::tls_options options = trusting_options();
    options.alpn = {"mqtt", "x-amzn-mqtt-ca"};
    tern::tls_options empty = options;
    empty.alpn.emplace_back();
    tern::tls_options long_name = options;
    long_name.alpn.emplace_back(256, 'x');
    check_all({
        accepted("the second one", {.alpn = {"x-amzn-mqtt-ca"}}, host, options),
        accepted("ignored by the server", {}, host, options),
        refused("none in common", no_common_application_protocol, {.alpn = {"http/1.1"}}, host, options),
        refused("empty name", invalid_alpn, {}, host, empty),
        refused("long name", invalid_alpn, {}, host, long_name),
    });
}

TEST_CASE("the name of the server is sent, but no address [RFC 6066 §3]") {
    const auto name_sent = [](const std::string& where, const std::string& verify_name) {
        tern::tls_options options = trusting_options();
        options.verify_name = verify_name;
        conversation talk(options, {}, {.host = where});
        talk.run();
        const char* name = SSL_get_servername(talk.server().ssl(), TLSEXT_NAMETYPE_host_name);
        return std::string(name == nullptr ? "" : name);
    };
    CHECK(name_sent("broker.example", "") == "broker.example");
    CHECK(name_sent("broker.example.", "") == "broker.example");
    CHECK(name_sent("192.0.2.1", "broker.example") == "broker.example");
    CHECK(name_sent("192.0.2.1", "").empty());
    CHECK(name_sent("2001:db8::1", "").empty());
}

TEST_CASE("verification can be turned off") {
    const identity stranger = make_self_signed(server_spec({"other.example"}));
    tern::tls_options insecure;
    insecure.verification = tern::tls_verification::none_insecure;
    check_all({
        accepted("any certificate", {.own = &stranger}, host, insecure),
        accepted("any host", {.own = &stranger}, "not a host name", insecure),
    });
}

TEST_CASE("a server that does not speak TLS is recognised by its first bytes") {
    for (const std::string_view answer :
         {"HTTP/1.1 400 Bad Request\r\n"sv, "SSH-2.0-OpenSSH_9.2\r\n"sv, "\x20\x02\x00\x00"sv, "\0"sv, "\x16\x16"sv,
          "\x17\x03\x03"sv, "220 mail\r\n"sv})
        for (const std::size_t piece : {std::size_t{1}, SIZE_MAX}) {
            conversation talk(trusting_options(), {});
            std::error_code error;
            for (std::size_t at = 0; at < answer.size() && !error; at += std::min(piece, answer.size() - at))
                talk.client().read(answer.substr(at, piece), {}, error);
            CHECK(error == not_tls);
            CHECK(error == failure_class::lasting);
        }
}

// What a server sends in a handshake, one record after the other.
std::vector<std::string> records_of(std::string_view flight) {
    std::vector<std::string> records;
    while (flight.size() >= 5) {
        const std::size_t size =
            5U + 256U * static_cast<unsigned char>(flight[3]) + static_cast<unsigned char>(flight[4]);
        records.emplace_back(flight.substr(0, size));
        flight.remove_prefix(std::min(size, flight.size()));
    }
    return records;
}

TEST_CASE("a handshake can be cut or stalled at every byte, and waits") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        std::size_t bytes = 0;
        for (std::size_t cut = 0;; ++cut) {
            conversation talk(trusting_options(), {.version = version});
            std::size_t left = cut;
            std::error_code error;
            while (left != 0 && !talk.client().is_ready()) {
                talk.server().receive(talk.client().output());
                talk.client().commit_output(talk.client().output().size());
                const std::string answer = talk.server().output();
                const std::string_view part = std::string_view(answer).substr(0, left);
                talk.client().read(part, {}, error);
                REQUIRE_FALSE(error);
                left -= part.size();
                if (answer.empty()) break;
            }
            CHECK_FALSE(talk.client().has_plain());
            if (talk.client().is_ready()) break;
            bytes = cut;
        }
        CHECK(bytes > 500);
    }
}

TEST_CASE("a handshake in which any byte of any record is changed never succeeds") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        std::size_t accepted_changes = 0;
        for (std::size_t at = 0;; at += 3) {
            conversation talk(trusting_options(), {.version = version});
            std::size_t seen = 0;
            std::error_code error;
            bool is_changed = false;
            for (int flight = 0; flight != 4 && !error && !talk.client().is_ready(); ++flight) {
                talk.server().receive(talk.client().output());
                talk.client().commit_output(talk.client().output().size());
                std::string answer = talk.server().output();
                if (at >= seen && at < seen + answer.size()) {
                    answer[at - seen] = static_cast<char>(answer[at - seen] ^ 0x01);
                    is_changed = true;
                }
                seen += answer.size();
                talk.client().read(answer, {}, error);
            }
            if (!is_changed) break;
            // The versions of records are ignored in TLS 1.3, and a longer record waits for its end.
            if (talk.client().is_ready()) ++accepted_changes;
        }
        CHECK(accepted_changes <= 6);
    }
}

TEST_CASE("records that are lost or repeated in a handshake never lead to a connection") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION})
        for (std::size_t which = 0; which != 8; ++which)
            for (const std::size_t copies : {std::size_t{0}, std::size_t{2}}) {
                conversation talk(trusting_options(), {.version = version});
                std::size_t seen = 0;
                std::error_code error;
                bool is_changed = false;
                for (int flight = 0; flight != 4 && !error && !talk.client().is_ready(); ++flight) {
                    talk.server().receive(talk.client().output());
                    talk.client().commit_output(talk.client().output().size());
                    for (const std::string& each : records_of(talk.server().output())) {
                        const bool is_compatible = each[0] == SSL3_RT_CHANGE_CIPHER_SPEC && version == TLS1_3_VERSION;
                        const std::size_t times = seen++ == which && !is_compatible ? copies : 1;
                        is_changed = is_changed || times != 1;
                        for (std::size_t i = 0; i != times && !error; ++i)
                            talk.client().read(each, {}, error);
                    }
                }
                CAPTURE(version, which, copies, error.message());
                if (is_changed) CHECK((!talk.client().is_ready() || talk.client().has_plain()));
            }
}

} // namespace tls_negotiation

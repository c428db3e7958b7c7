// Cases of the table about chains, authorities, revocation, keys and their usage.
#include "catch.hpp"
#include "certificates.hpp"
#include "peer.hpp"
#include "table.hpp"
#include "tern/transport/tls_options.hpp"

#include <string>
#include <utility>
#include <vector>

namespace tls_trust {

using namespace tls_test;
using enum tern::tls_errc;

tern::tls_options trusting(std::string ca_pem, std::string crl_pem = {}) {
    tern::tls_options options;
    options.ca_pem = std::move(ca_pem);
    options.crl_pem = std::move(crl_pem);
    return options;
}

TEST_CASE("a chain must lead to a trusted authority") {
    const identity self_signed = make_self_signed(server_spec({"broker.example"}));
    const issued below(server_spec({"broker.example"}), common().intermediate);
    const std::string root = common().root.certificate_pem();
    const std::string other = common().other_root.certificate_pem();
    check_all({
        accepted("the authority beside others", {}, "broker.example", trusting(other + root + other)),
        refused("self-signed", self_signed_certificate, {.own = &self_signed}),
        accepted("self-signed, but trusted itself", {.own = &self_signed}, "broker.example",
                 trusting(self_signed.certificate_pem())),
        refused("unknown authority", missing_issuer, {}, "broker.example", trusting(other)),
        refused("unknown authority that the server sends", unknown_authority, {.chain = {&common().root}},
                "broker.example", trusting(other)),
        refused("missing intermediate", missing_issuer, {.own = &below.own}),
        accepted("intermediate sent", {.own = &below.own, .chain = {&common().intermediate}}),
        accepted("intermediate known", {.own = &below.own}, "broker.example",
                 trusting(root + common().intermediate.certificate_pem())),
        refused("wrong intermediate", missing_issuer, {.own = &below.own, .chain = {&common().other_root}}),
        refused("authorities of the system", missing_issuer, {}, "broker.example", {}),
    });
}

TEST_CASE("a certificate may be used only for what it was issued for") {
    certificate_spec for_clients = server_spec({"broker.example"});
    for_clients.extended_key_usage = "clientAuth";
    certificate_spec for_anything = server_spec({"broker.example"});
    for_anything.extended_key_usage = {};
    certificate_spec not_for_signing = server_spec({"broker.example"});
    not_for_signing.key_usage = "critical,keyCertSign";
    const issued client_only(for_clients);
    const issued unlimited(for_anything);
    const issued cannot_sign(not_for_signing);
    certificate_spec other_subject = server_spec({"broker.example"});
    other_subject.common_name = "below a server";
    const issued below_server(other_subject, common().server);
    certificate_spec no_cert_sign = authority_spec("an authority that may not sign certificates");
    no_cert_sign.key_usage = "critical,cRLSign";
    const identity cannot_issue = issue(common().root, no_cert_sign);
    const issued wrongly_issued(server_spec({"broker.example"}), cannot_issue);
    certificate_spec constrained = authority_spec("an authority for one domain");
    constrained.name_constraints = "critical,permitted;DNS:other.example";
    const identity for_other = issue(common().root, constrained);
    const issued out_of_domain(server_spec({"broker.example"}), for_other);
    certificate_spec short_chain = authority_spec("an authority that may not have others below it");
    short_chain.basic_constraints = "critical,CA:TRUE,pathlen:0";
    const identity last_authority = issue(common().root, short_chain);
    const identity below_last = issue(last_authority, authority_spec("one too many"));
    const issued too_deep(server_spec({"broker.example"}), below_last);
    check_all({
        refused("client authentication only", wrong_key_usage, client_only),
        accepted("no extended key usage", unlimited),
        refused("key may not sign", wrong_key_usage, {.own = &cannot_sign.own, .version = TLS1_3_VERSION}),
        refused("issued by a server's certificate", wrong_key_usage,
                {.own = &below_server.own, .chain = {&common().server}}),
        refused("issuer may not sign certificates", wrong_key_usage,
                {.own = &wrongly_issued.own, .chain = {&cannot_issue}}),
        refused("name constraints", invalid_certificate, {.own = &out_of_domain.own, .chain = {&for_other}}),
        refused("path length", invalid_certificate, {.own = &too_deep.own, .chain = {&below_last, &last_authority}}),
    });
}

TEST_CASE("a key that is too weak for the security level is refused") {
    certificate_spec weak = server_spec({"broker.example"});
    weak.key = key_kind::rsa_1024;
    const issued weak_server(weak);
    certificate_spec weak_ca = authority_spec("a weak root");
    weak_ca.key = key_kind::rsa_1024;
    const identity weak_root = make_self_signed(weak_ca);
    const issued below_weak(server_spec({"broker.example"}), weak_root);
    certificate_spec strong = server_spec({"broker.example"});
    strong.key = key_kind::rsa_2048;
    const issued strong_server(strong);
    check_all({
        refused("weak key", key_too_weak, {.own = &weak_server.own, .ciphers = "DEFAULT@SECLEVEL=0"}),
        refused("weak key of the authority", key_too_weak, {.own = &below_weak.own, .ciphers = "DEFAULT@SECLEVEL=0"},
                "broker.example", trusting(weak_root.certificate_pem())),
        accepted("strong RSA key", strong_server),
    });
}

TEST_CASE("a revocation list that is given is required of the whole chain") {
    const identity& root = common().root;
    const issued below(server_spec({"broker.example"}), common().intermediate);
    const server_options with_chain{.own = &below.own, .chain = {&common().intermediate}};
    const std::string ca = root.certificate_pem();
    const std::string none_revoked = make_crl(root, {});
    const std::string server_revoked = make_crl(root, {&common().server});
    const std::string intermediate_revoked = make_crl(root, {&common().intermediate});
    const std::string below_fine = make_crl(common().intermediate, {});
    const std::string below_revoked = make_crl(common().intermediate, {&below.own});
    const std::string outdated = make_crl(root, {}, -1);
    const std::string forged = [] {
        certificate_spec spec = authority_spec("the root");
        return make_crl(make_self_signed(spec), {});
    }();
    const std::string host = "broker.example";
    check_all({
        accepted("not revoked", {}, host, trusting(ca, none_revoked)),
        refused("revoked", certificate_revoked, {}, host, trusting(ca, server_revoked)),
        refused("revoked in one of two lists", certificate_revoked, with_chain, host,
                trusting(ca, none_revoked + below_revoked)),
        refused("revoked intermediate", certificate_revoked, with_chain, host,
                trusting(ca, intermediate_revoked + below_fine)),
        accepted("chain not revoked", with_chain, host, trusting(ca, none_revoked + below_fine)),
        retried("no list of the intermediate", revocation_unknown, with_chain, host, trusting(ca, none_revoked)),
        retried("outdated list", revocation_unknown, {}, host, trusting(ca, outdated)),
        retried("forged list", revocation_unknown, {}, host, trusting(ca, forged)),
        accepted("no lists given", {}, host, trusting(ca)),
    });
}

} // namespace tls_trust

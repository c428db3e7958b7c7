// Cases of the table about validity and names.
#include "catch.hpp"
#include "certificates.hpp"
#include "peer.hpp"
#include "table.hpp"
#include "tern/transport/tls_options.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tls_names {

using namespace tls_test;
using namespace std::string_literals;
using enum tern::tls_errc;

certificate_spec address_spec(std::vector<std::string> addresses) {
    certificate_spec spec = server_spec({});
    spec.addresses = std::move(addresses);
    return spec;
}

tern::tls_options verifying(std::string_view name) {
    tern::tls_options options = trusting_options();
    options.verify_name = name;
    return options;
}

TEST_CASE("a certificate out of its time is refused") {
    certificate_spec expired = server_spec({"broker.example"});
    expired.first_day = -20;
    expired.last_day = -1;
    certificate_spec early = server_spec({"broker.example"});
    early.first_day = 1;
    certificate_spec old_authority = authority_spec("an expired intermediate");
    old_authority.first_day = -20;
    old_authority.last_day = -1;
    const identity intermediate = issue(common().root, old_authority);
    const issued expired_server(expired);
    const issued early_server(early);
    const issued below(server_spec({"broker.example"}), intermediate);
    check_all({
        refused("expired", certificate_expired, expired_server),
        retried("not yet valid", certificate_not_yet_valid, early_server),
        refused("expired intermediate", certificate_expired, {.own = &below.own, .chain = {&intermediate}}),
    });
}

TEST_CASE("a certificate for another name is refused [RFC 9525 §6]") {
    certificate_spec common_name_only = server_spec({});
    common_name_only.common_name = "broker.example";
    certificate_spec common_name_beside = server_spec({"other.example"});
    common_name_beside.common_name = "broker.example";
    const issued in_common_name(common_name_only);
    const issued beside(common_name_beside);
    const issued with_nul(server_spec({"broker.example\0.evil.example"s}));
    const issued with_last_nul(server_spec({"broker.example\0"s}));
    const issued with_port(server_spec({"broker.example:8883"}));
    const issued parent(server_spec({"example"}));
    const issued several(server_spec({"a.example", "BROKER.example", "c.example"}));
    const issued with_dot(server_spec({"broker.example."}));
    check_all({
        refused("wrong host", wrong_host, {}, "other.example"),
        refused("subdomain of the name", wrong_host, {}, "sub.broker.example"),
        refused("parent domain in the certificate", wrong_host, parent),
        refused("name only in the common name", wrong_host, in_common_name),
        refused("name in the common name beside others", wrong_host, beside),
        refused("embedded NUL", wrong_host, with_nul),
        refused("NUL at the end", wrong_host, with_last_nul),
        refused("name with a port in the certificate", wrong_host, with_port),
        refused("trailing dot in the certificate", wrong_host, with_dot),
        refused("a name other than the host to verify", wrong_host, {}, "broker.example", verifying("other.example")),
        accepted("the name, in other letters", several, "Broker.Example"),
        accepted("a host with a trailing dot", {}, "broker.example."),
        accepted("a name to verify, connecting by address", {}, "192.0.2.7", verifying("broker.example")),
    });
}

TEST_CASE("a wildcard stands for exactly one whole label [RFC 9525 §6.3]") {
    const issued subdomains(server_spec({"*.example.com"}));
    const issued top(server_spec({"*.com"}));
    const issued any(server_spec({"*"}));
    const issued partial(server_spec({"b*.example.com"}));
    const issued partial_end(server_spec({"*r.example.com"}));
    const issued inner(server_spec({"broker.*.com"}));
    const issued twice(server_spec({"*.*.com"}));
    const issued address(server_spec({"*.0.2.1"}));
    const issued encoded(server_spec({"xn--*.example.com"}));
    check_all({
        accepted("one label", subdomains, "broker.example.com"),
        refused("two labels", wrong_host, subdomains, "a.broker.example.com"),
        refused("no label", wrong_host, subdomains, "example.com"),
        refused("a whole top-level domain", wrong_host, top, "example.com"),
        refused("everything", wrong_host, any, "localhost"),
        refused("a part of a label", wrong_host, partial, "broker.example.com"),
        refused("the beginning of a label", wrong_host, partial_end, "broker.example.com"),
        refused("in the middle", wrong_host, inner, "broker.example.com"),
        refused("two wildcards", wrong_host, twice, "broker.example.com"),
        refused("a part of an address", wrong_address, address, "192.0.2.1"),
        refused("a part of an encoded name", wrong_host, encoded, "xn--bcher-kva.example.com"),
        accepted("an encoded name", subdomains, "xn--bcher-kva.example.com"),
    });
}

TEST_CASE("an address is verified as an address") {
    const issued v4(address_spec({"192.0.2.1"}));
    const issued v6(address_spec({"2001:db8::1", "fe80::1"}));
    const issued as_name(server_spec({"192.0.2.1"}));
    certificate_spec common_name = server_spec({});
    common_name.common_name = "192.0.2.1";
    const issued in_common_name(common_name);
    check_all({
        accepted("IPv4", v4, "192.0.2.1"),
        accepted("IPv6", v6, "2001:db8::1"),
        accepted("IPv6 in another form", v6, "2001:DB8:0:0::1"),
        accepted("link-local IPv6 with a scope", v6, "fe80::1%lo"),
        accepted("an address to verify", v4, "broker.example", verifying("192.0.2.1")),
        refused("wrong IPv4", wrong_address, v4, "192.0.2.2"),
        refused("wrong IPv6", wrong_address, v6, "2001:db8::2"),
        refused("address as a name", wrong_address, as_name, "192.0.2.1"),
        refused("address in the common name", wrong_address, in_common_name, "192.0.2.1"),
        refused("IPv4 mapped to IPv6", wrong_address, v4, "::ffff:192.0.2.1"),
        refused("certificate for a name", wrong_address, {}, "192.0.2.1"),
    });
}

TEST_CASE("a host that is no name or address is refused before anything is sent") {
    const issued subdomains(server_spec({"*.example.com", "a.example.com"}));
    std::vector<test_case> cases;
    const std::string long_label(64, 'a');
    std::string long_name = "example.com";
    while (long_name.size() <= 253)
        long_name.insert(0, "abcdefghi.");
    for (const std::string& host :
         {"broker.example:8883"s, ".example.com"s, ""s, "."s, "a..example.com"s, "*.example.com"s, "b\xC3\xBC.example"s,
          "broker.example\0"s, "192.0.2.1\0"s, "a b.example"s, "[::1]"s, "https://broker.example"s,
          long_label + ".example", long_name, "192.0.2.1%lo"s}) {
        cases.push_back(refused("host", invalid_host_name, subdomains, host));
        if (!host.empty()) cases.push_back(refused("name", invalid_host_name, subdomains, "a", verifying(host)));
    }
    check_all(cases);
}

} // namespace tls_names

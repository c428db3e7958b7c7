// Options: files that are missing, empty, wrong or renewed; keys with passwords; an SSL_CTX of the application.
#include "catch.hpp"
#include "certificates.hpp"
#include "peer.hpp"
#include "tern/error.hpp"
#include "tern/transport/tls_context.hpp"
#include "tern/transport/tls_error.hpp"
#include "tern/transport/tls_options.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace tls_options_tests {

namespace fs = std::filesystem;
using namespace tls_test;
using enum tern::tls_errc;

class directory {
public:
    directory() : path_(fs::temp_directory_path() / ("tern-tls-" + std::to_string(std::random_device{}()))) {
        fs::create_directories(path_);
    }
    ~directory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    directory(const directory&) = delete;
    directory& operator=(const directory&) = delete;

    const fs::path& path() const { return path_; }
    fs::path write(std::string_view name, std::string_view content) const {
        const fs::path file = path_ / name;
        std::ofstream(file, std::ios::binary) << content;
        // Two writes in a row may have the same time.
        fs::last_write_time(file, fs::last_write_time(file) + std::chrono::seconds(++*writes_));
        return file;
    }

private:
    fs::path path_;
    std::shared_ptr<int> writes_ = std::make_shared<int>(0);
};

std::error_code outcome(const tern::tls_options& options, const server_options& server = {}) {
    conversation talk(options, server);
    talk.run();
    if (talk.is_ready()) talk.send("x");
    if (!talk.error() && !talk.is_ready()) return std::make_error_code(std::errc::timed_out);
    return talk.error();
}

void refuses(const tern::tls_options& options, tls_errc error, const server_options& server = {}) {
    CHECK(outcome(options, server) == error);
    CHECK(make_error_code(error) == tern::failure_class::permanent);
}

TEST_CASE("trusted authorities come from a file, a directory or memory") {
    const directory files;
    const std::string root = common().root.certificate_pem();
    const fs::path file = files.write("ca.pem", "a comment\n" + common().other_root.certificate_pem() + root);
    CHECK_FALSE(outcome({.ca_file = file}));
    CHECK_FALSE(outcome({.ca_pem = root}));
    refuses({.ca_file = files.path() / "missing.pem"}, unreadable_ca_file);
    refuses({.ca_file = files.path()}, unreadable_ca_file);
    refuses({.ca_file = files.write("empty.pem", "")}, empty_ca_file);
    refuses({.ca_file = files.write("text.pem", "no certificate\n")}, empty_ca_file);
    refuses({.ca_file = files.write("key.pem", common().root.key_pem())}, empty_ca_file);
    refuses({.ca_file = files.write("short.pem", root.substr(0, root.size() / 2))}, invalid_ca_file);
    std::string changed = root;
    changed[100] = changed[100] == 'A' ? 'B' : 'A';
    changed[101] = '!';
    refuses({.ca_file = files.write("changed.pem", changed)}, invalid_ca_file);
    refuses({.ca_file = files.write("second.pem", root + root.substr(0, 300))}, invalid_ca_file);
    refuses({.ca_pem = "text"}, empty_ca_file);
    refuses({.ca_directory = files.path() / "missing"}, unreadable_ca_file);

    const directory hashed;
    refuses({.ca_directory = hashed.path()}, empty_ca_file);
    hashed.write("00000000.0", root);
    refuses({.ca_directory = hashed.path()}, missing_issuer);
    char name[16];
    std::snprintf(name, sizeof(name), "%08lx.0", X509_subject_name_hash(common().root.certificate()));
    hashed.write(name, root);
    CHECK_FALSE(outcome({.ca_directory = hashed.path()}));
}

TEST_CASE("revocation lists come from a file or memory") {
    const directory files;
    const auto with = [](const fs::path& file, std::string pem = {}) {
        tern::tls_options options = trusting_options();
        options.crl_file = file;
        options.crl_pem = std::move(pem);
        return options;
    };
    CHECK_FALSE(outcome(with(files.write("crl.pem", make_crl(common().root, {})))));
    refuses(with(files.write("crl.pem", make_crl(common().root, {&common().server}))), certificate_revoked);
    refuses(with(files.path() / "missing.pem"), unreadable_crl_file);
    refuses(with(files.write("empty.pem", "")), invalid_crl_file);
    refuses(with({}, "text"), invalid_crl_file);
    refuses(with({}, make_crl(common().root, {}).substr(0, 200)), invalid_crl_file);
}

TEST_CASE("a client certificate and its key come from files or memory, and the key may be encrypted") {
    const directory files;
    const identity& client = common().client;
    const server_options server{.client_authority = &common().root};
    const fs::path certificate = files.write("client.pem", client.certificate_pem());
    const fs::path key = files.write("client.key", client.key_pem());
    const fs::path encrypted = files.write("encrypted.key", client.key_pem("correct horse"));
    const auto with = [&](const fs::path& certificate_file, const fs::path& key_file, std::string password = {}) {
        tern::tls_options options = trusting_options();
        options.certificate_file = certificate_file;
        options.key_file = key_file;
        options.key_password = std::move(password);
        return options;
    };
    CHECK_FALSE(outcome(with(certificate, key), server));
    CHECK_FALSE(outcome(with(certificate, key, "not needed"), server));
    CHECK_FALSE(outcome(with(certificate, encrypted, "correct horse"), server));
    CHECK_FALSE(outcome(with(files.write("both.pem", client.key_pem() + client.certificate_pem()), {}), server));

    refuses(with(certificate, encrypted), wrong_key_password, server);
    for (const std::string_view wrong : {"wrong", "correct horse ", "x"})
        refuses(with(certificate, encrypted, std::string(wrong)), wrong_key_password, server);
    refuses(with(certificate, encrypted, std::string(5000, 'x')), wrong_key_password, server);
    refuses(with(files.path() / "missing.pem", key), unreadable_certificate_file, server);
    refuses(with(certificate, files.path() / "missing.key"), unreadable_key_file, server);
    refuses(with(files.write("empty.pem", ""), key), invalid_certificate_file, server);
    refuses(with(certificate, files.write("empty.key", "")), invalid_key_file, server);
    refuses(with(certificate, certificate), invalid_key_file, server);
    refuses(with(certificate, {}), invalid_key_file, server);
    refuses(with({}, key), invalid_certificate_file, server);
    refuses(with(certificate, files.write("other.key", common().server.key_pem())), key_mismatch, server);
    certificate_spec weak;
    weak.key = key_kind::rsa_1024;
    const identity weak_client = issue(common().root, weak);
    refuses(
        with(files.write("weak.pem", weak_client.certificate_pem()), files.write("weak.key", weak_client.key_pem())),
        key_too_weak, server);
}

TEST_CASE("no error contains a password, a key or a name") {
    for (int value = 0; value != 60; ++value) {
        const std::string text = std::error_code(value, tern::tls_category()).message();
        CHECK(text.find("horse") == std::string::npos);
        CHECK(text.find("broker.example") == std::string::npos);
    }
    CHECK(std::error_code(1000, tern::tls_category()).message() == "unknown error");
    CHECK(std::error_code(-1, tern::tls_category()).message() == "unknown error");
}

TEST_CASE("a changed file is read again at the next attempt, and copies share what was read") {
    const directory files;
    const fs::path file = files.write("ca.pem", common().root.certificate_pem());
    const tern::tls_context context(tern::tls_options{.ca_file = file});
    const tern::tls_context copy = context;
    std::error_code error;
    const auto first = context.load(error);
    CHECK(copy.load(error) == first);
    CHECK_FALSE(error);
    files.write("ca.pem", common().other_root.certificate_pem());
    const auto second = context.load(error);
    CHECK(second != first);
    CHECK(copy.load(error) == second);

    const auto keys = make_server_context({});
    conversation talk(context, keys);
    talk.run();
    CHECK(talk.error() == missing_issuer);

    // A half-written file does not end a client that works.
    files.write("ca.pem", common().root.certificate_pem().substr(0, 300));
    CHECK(context.load(error) == second);
    CHECK_FALSE(error);
    fs::remove(file);
    CHECK(context.load(error) == second);
    CHECK_FALSE(error);
    files.write("ca.pem", common().root.certificate_pem());
    CHECK(context.load(error) != second);
    conversation again(context, keys);
    again.run();
    CHECK_FALSE(again.error());
}

TEST_CASE("a context whose files cannot be read is tried again") {
    const directory files;
    const tern::tls_context context(tern::tls_options{.ca_file = files.path() / "ca.pem"});
    std::error_code error;
    CHECK(context.load(error) == nullptr);
    CHECK(error == unreadable_ca_file);
    error.clear();
    files.write("ca.pem", common().root.certificate_pem());
    CHECK(context.load(error) != nullptr);
    CHECK_FALSE(error);
}

std::shared_ptr<SSL_CTX> own_context() {
    std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), common().root.certificate());
    return context;
}

TEST_CASE("an SSL_CTX of the application is used, with verification") {
    const auto context = own_context();
    CHECK_FALSE(outcome({.own_context = context}));
    CHECK(SSL_CTX_get_verify_mode(context.get()) == SSL_VERIFY_NONE); // is not changed
    refuses({.verify_name = "other.example", .own_context = context}, wrong_host);

    const identity stranger = make_self_signed(server_spec({"broker.example"}));
    refuses({.own_context = context}, self_signed_certificate, {.own = &stranger});
    CHECK_FALSE(
        outcome({.verification = tern::tls_verification::none_insecure, .own_context = context}, {.own = &stranger}));
    refuses({.own_context = context}, unsupported_version,
            {.version = TLS1_1_VERSION, .ciphers = "DEFAULT@SECLEVEL=0"});
    refuses({.ca_pem = common().root.certificate_pem(), .own_context = context}, conflicting_options);
    refuses({.key_file = "x", .own_context = context}, conflicting_options);
}

TEST_CASE("an SSL_CTX of the application that accepts anything is still verified") {
    const auto context = own_context();
    const identity stranger = make_self_signed(server_spec({"broker.example"}));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
    refuses({.own_context = context}, self_signed_certificate, {.own = &stranger});
    refuses({.verify_name = "other.example", .own_context = context}, wrong_host);
    CHECK_FALSE(outcome({.own_context = context}));

    // A server without a certificate, by an anonymous cipher suite.
    const auto anonymous = own_context();
    SSL_CTX_set_cipher_list(anonymous.get(), "aNULL:@SECLEVEL=0");
    refuses({.own_context = anonymous}, no_certificate,
            {.own = nullptr, .version = TLS1_2_VERSION, .ciphers = "aNULL:@SECLEVEL=0"});
}

TEST_CASE("a function of an SSL_CTX may refuse what is otherwise valid") {
    const auto context = own_context();
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX* c) {
        X509_STORE_CTX_set_error(c, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    });
    refuses({.own_context = context}, invalid_certificate);
}

TEST_CASE("a stricter minimum of an SSL_CTX stays") {
    const auto context = own_context();
    SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
    refuses({.own_context = context}, unsupported_version, {.version = TLS1_2_VERSION});
}

TEST_CASE("the key log is written by explicit option only") {
    std::vector<std::string> lines;
    tern::tls_options options = trusting_options();
    options.key_log = [&](std::string_view line) { lines.emplace_back(line); };
    CHECK_FALSE(outcome(options, {.version = TLS1_3_VERSION}));
    REQUIRE(lines.size() >= 4);
    CHECK(lines[0].find("_TRAFFIC_SECRET ") != std::string::npos);
    options.key_log = [](std::string_view) { throw std::bad_alloc(); };
    CHECK_FALSE(outcome(options));
}

} // namespace tls_options_tests

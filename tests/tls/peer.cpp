#include "peer.hpp"

#include "certificates.hpp"
#include "tern/transport/detail/tls_machine.hpp"
#include "tern/transport/tls_context.hpp"

#include <asio/buffer.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace tls_test {
namespace {

void require(bool success, const char* what) {
    if (success) return;
    std::fprintf(stderr, "peer: %s failed\n", what);
    ERR_print_errors_fp(stderr);
    std::abort();
}

// What the callbacks of a server's SSL_CTX need.
struct server_state {
    server_options options;
    std::string alpn; // the first protocol
};

server_state& state_of(const SSL* ssl) {
    return *static_cast<server_state*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0));
}

unsigned find_psk(SSL* ssl, const char* identity, unsigned char* key, unsigned size) {
    const tern::tls_psk& psk = *state_of(ssl).options.psk;
    if (psk.identity != identity || psk.key.size() > size) return 0;
    std::copy(psk.key.begin(), psk.key.end(), key);
    return static_cast<unsigned>(psk.key.size());
}

int choose_protocol(SSL* ssl, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned in_size,
                    void*) {
    const std::vector<std::string>& names = state_of(ssl).options.alpn;
    for (unsigned at = 0; at < in_size; at += in[at] + 1U) {
        const std::string_view offered(reinterpret_cast<const char*>(in + at + 1), in[at]);
        if (std::find(names.begin(), names.end(), offered) == names.end()) continue;
        *out = in + at + 1;
        *size = in[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

} // namespace

std::shared_ptr<SSL_CTX> make_server_context(const server_options& options) {
    auto* state = new server_state{options, {}};
    const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), [state](SSL_CTX* c) {
        SSL_CTX_free(c);
        delete state;
    });
    SSL_CTX* c = context.get();
    SSL_CTX_set_ex_data(c, 0, state);
    if (!options.ciphers.empty()) require(SSL_CTX_set_cipher_list(c, options.ciphers.c_str()) == 1, "ciphers");
    if (options.own != nullptr) {
        require(SSL_CTX_use_certificate(c, options.own->certificate()) == 1, "certificate");
        require(SSL_CTX_use_PrivateKey(c, options.own->key()) == 1, "key");
    }
    for (const identity* each : options.chain)
        require(SSL_CTX_add1_chain_cert(c, each->certificate()) == 1, "chain");
    require(SSL_CTX_set_min_proto_version(c, options.version == 0 ? TLS1_2_VERSION : options.version) == 1, "version");
    require(SSL_CTX_set_max_proto_version(c, options.version) == 1, "version");
    if (options.client_authority != nullptr) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(c), options.client_authority->certificate());
        SSL_CTX_add_client_CA(c, options.client_authority->certificate());
        SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    if (options.psk) SSL_CTX_set_psk_server_callback(c, &find_psk);
    if (!options.alpn.empty()) SSL_CTX_set_alpn_select_cb(c, &choose_protocol, nullptr);
    SSL_CTX_set_session_id_context(c, reinterpret_cast<const unsigned char*>("tern"), 4);
    return context;
}

tls_server::tls_server(std::shared_ptr<SSL_CTX> context) : context_(std::move(context)), ssl_(SSL_new(context_.get())) {
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(ssl_.get()), -1);
    SSL_set_accept_state(ssl_.get());
}

void tls_server::receive(std::string_view bytes) {
    BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
    proceed();
}

std::string tls_server::output() {
    std::string out(BIO_ctrl_pending(SSL_get_wbio(ssl_.get())), '\0');
    if (!out.empty()) BIO_read(SSL_get_wbio(ssl_.get()), out.data(), static_cast<int>(out.size()));
    return out;
}

void tls_server::send(std::string_view plain) {
    on_result(SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size())));
}

void tls_server::update_keys() {
    require(SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) == 1, "key update");
    on_result(SSL_do_handshake(ssl_.get()));
}

void tls_server::renegotiate() {
    require(SSL_renegotiate(ssl_.get()) == 1, "renegotiate");
    on_result(SSL_do_handshake(ssl_.get()));
}

void tls_server::shutdown() {
    SSL_shutdown(ssl_.get());
}

void tls_server::proceed() {
    ERR_clear_error();
    if (has_failed()) return;
    if (!is_ready_) {
        const int result = SSL_do_handshake(ssl_.get());
        is_ready_ = result == 1;
        if (!is_ready_) return on_result(result);
    }
    std::array<char, 20'000> block;
    int count = 0;
    while ((count = SSL_read(ssl_.get(), block.data(), static_cast<int>(block.size()))) > 0)
        received_.append(block.data(), static_cast<std::size_t>(count));
    on_result(count);
}

void tls_server::on_result(int result) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_NONE || error == SSL_ERROR_WANT_READ || error == SSL_ERROR_ZERO_RETURN) return;
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    failure_ = reason == nullptr ? "unknown" : reason;
}

tern::tls_options trusting_options() {
    tern::tls_options options;
    options.ca_pem = common().root.certificate_pem();
    return options;
}

conversation::conversation(const tern::tls_options& options, const server_options& server, const client_parameters& p)
    : conversation(tern::tls_context(options), make_server_context(server), p) {}

conversation::conversation(const tern::tls_context& options, std::shared_ptr<SSL_CTX> server,
                           const client_parameters& p)
    : parameters_(p)
    , server_(std::move(server)) {
    try {
        client_ = std::make_unique<tls_machine>(tls_machine::settings{options, p.sessions},
                                                tern::endpoint{.host = p.host, .port = p.port});
    } catch (const std::system_error& e) {
        error_ = e.code();
    }
}

void conversation::run() {
    if (!client_) return;
    while (to_server() || to_client()) {
    }
}

bool conversation::to_server() {
    const std::string_view out = client_->output().substr(0, parameters_.piece);
    if (out.empty()) return false;
    server_.receive(out);
    passed_on_ += client_->commit_output(out.size());
    return true;
}

bool conversation::to_client() {
    const std::string out = server_.output();
    if (out.empty() || error_) return false;
    for (std::size_t at = 0; at < out.size() && !error_; at += std::min(parameters_.piece, out.size() - at))
        read(std::string_view(out).substr(at, parameters_.piece));
    return true;
}

void conversation::read(std::string_view raw) {
    std::array<char, 1000> plain; // less than a record
    do {
        const std::span<char> room = client_->is_ready() ? std::span<char>(plain) : std::span<char>();
        const std::size_t count = client_->read(raw, room, error_);
        received_.append(plain.data(), count);
        raw = {};
    } while (client_->has_plain() && !error_);
}

std::size_t conversation::send(std::string_view plain) {
    const std::size_t before = passed_on_;
    while (!plain.empty()) {
        const std::array<asio::const_buffer, 1> pieces{asio::const_buffer(plain.data(), plain.size())};
        const std::size_t count = client_->write(pieces);
        if (count == 0) break;
        plain.remove_prefix(count);
        run();
    }
    return passed_on_ - before;
}

} // namespace tls_test

// What the sink's connections over WebSocket and TLS add to a plain one. They do not read or write the socket, so that
// all bytes of an answer leave in one call.
#ifndef TERN_BENCHMARKS_SUPPORT_TUNNEL_HPP
#define TERN_BENCHMARKS_SUPPORT_TUNNEL_HPP

#include "support/bench.hpp"
#include "tern/transport/detail/base64.hpp"
#include "tern/transport/detail/mask.hpp"
#include "tern/transport/detail/sha1.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#ifdef TERN_BENCHMARKS_TLS
#include <openssl/ssl.h>
#endif

namespace bench {

class tunnel {
public:
    tunnel() = default;
    tunnel(const tunnel&) = delete;
    tunnel& operator=(const tunnel&) = delete;
    virtual ~tunnel() = default;

    // Appends what received bytes contain. Returns false if the connection must be closed.
    virtual bool receive(std::string_view raw, std::string& plain) = 0;
    // Appends the bytes to the output.
    virtual bool send(std::string_view plain) = 0;

    // The bytes for the socket.
    std::string_view output() const { return std::string_view(output_).substr(sent_); }
    void commit(std::size_t bytes) {
        sent_ += bytes;
        if (sent_ != output_.size()) return;
        output_.clear();
        sent_ = 0;
    }

protected:
    std::string output_;

private:
    std::size_t sent_ = 0;
};

// The server of RFC 6455 with just enough checks to notice a client that is wrong.
class websocket_tunnel : public tunnel {
public:
    bool receive(std::string_view raw, std::string& plain) override {
        if (left_ != 0) raw.remove_prefix(take_payload(raw, plain));
        in_.append(raw);
        std::string_view rest = in_;
        if (!upgraded_ && !upgrade(rest)) return false;
        while (upgraded_ && !rest.empty()) {
            const std::size_t head = begin_frame(rest);
            if (head == malformed) return false;
            if (head == 0) break;
            rest.remove_prefix(head);
            rest.remove_prefix(take_payload(rest, plain));
        }
        in_.erase(0, in_.size() - rest.size());
        return in_.size() <= most_buffered;
    }

    // One unmasked binary message (§5.2).
    bool send(std::string_view plain) override {
        if (plain.empty()) return true;
        output_ += '\x82';
        const int bytes = plain.size() < 126 ? 0 : plain.size() < 65536 ? 2 : 8;
        output_ += static_cast<char>(bytes == 0 ? plain.size() : bytes == 2 ? 126 : 127);
        for (int i = bytes; i-- != 0;)
            output_ += static_cast<char>(plain.size() >> 8 * i & 0xff);
        output_ += plain;
        return true;
    }

private:
    static constexpr std::size_t malformed = ~std::size_t{0};
    static constexpr std::size_t most_buffered = 8192;

    // Answers the request if it is complete (§4.2.2).
    bool upgrade(std::string_view& rest) {
        const std::size_t end = rest.find("\r\n\r\n");
        if (end == std::string_view::npos) return true;
        constexpr std::string_view name = "Sec-WebSocket-Key: ";
        const std::size_t at = rest.find(name);
        if (!rest.starts_with("GET ") || at > end) return false;
        const std::string_view key = rest.substr(at + name.size(), 24);
        const auto digest = tern::detail::sha1(std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        output_ += "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: ";
        output_ += tern::detail::to_base64({digest.data(), digest.size()});
        output_ += "\r\n\r\n";
        rest.remove_prefix(end + 4);
        upgraded_ = true;
        return true;
    }

    // Reads the head of a frame, and returns its size: 0 if it is incomplete. A control frame ends the connection.
    std::size_t begin_frame(std::string_view bytes) {
        if (bytes.size() < 2) return 0;
        const auto byte = [bytes](std::size_t i) { return std::size_t{static_cast<std::uint8_t>(bytes[i])}; };
        if ((byte(0) & 0x0f) > 2 || byte(1) < 0x80) return malformed;
        left_ = byte(1) & 0x7f;
        const std::size_t length_bytes = left_ < 126 ? 0 : left_ == 126 ? 2 : 8;
        const std::size_t head = 2 + length_bytes + key_.size();
        if (bytes.size() < head) {
            left_ = 0;
            return 0;
        }
        if (length_bytes != 0) left_ = 0;
        for (std::size_t i = 0; i != length_bytes; ++i)
            left_ = left_ << 8 | byte(2 + i);
        std::memcpy(key_.data(), bytes.data() + 2 + length_bytes, key_.size());
        offset_ = 0;
        return head;
    }

    // Unmasks the part of the payload that has arrived, and returns its size.
    std::size_t take_payload(std::string_view bytes, std::string& plain) {
        const std::size_t count = std::min(left_, bytes.size());
        const std::size_t before = plain.size();
        plain.resize(before + count);
        tern::detail::copy_masked(bytes.data(), count, plain.data() + before, key_, offset_);
        offset_ += count;
        left_ -= count;
        return count;
    }

    std::string in_; // the request, or the beginning of the head of a frame
    bool upgraded_ = false;
    tern::detail::mask_key key_{};
    std::size_t left_ = 0;   // bytes of the payload that have not arrived yet
    std::size_t offset_ = 0; // bytes that have
};

#ifdef TERN_BENCHMARKS_TLS

// The certificate and the key are server.pem and server.key of the directory. The context is never freed.
inline SSL_CTX* make_tls_server(const std::string& directory) {
    SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
    if (context == nullptr || SSL_CTX_use_certificate_chain_file(context, (directory + "/server.pem").c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, (directory + "/server.key").c_str(), SSL_FILETYPE_PEM) != 1)
        fail("no certificate in " + directory);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    return context;
}

class tls_tunnel : public tunnel {
public:
    explicit tls_tunnel(SSL_CTX* context) : ssl_(SSL_new(context)) {
        SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_accept_state(ssl_.get());
    }

    bool receive(std::string_view raw, std::string& plain) override {
        BIO_write(SSL_get_rbio(ssl_.get()), raw.data(), static_cast<int>(raw.size()));
        int result = 0;
        for (;;) {
            constexpr std::size_t record_bytes = 16 * 1024;
            const std::size_t before = plain.size();
            std::size_t count = 0;
            plain.resize(before + record_bytes);
            result = SSL_read_ex(ssl_.get(), plain.data() + before, record_bytes, &count);
            plain.resize(before + count);
            if (result != 1) break;
        }
        take_output();
        return SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ;
    }

    bool send(std::string_view plain) override {
        std::size_t count = 0;
        if (!plain.empty() && SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &count) != 1) return false;
        take_output();
        return true;
    }

private:
    struct deleter {
        void operator()(SSL* ssl) const { SSL_free(ssl); }
    };

    // BIO_reset would overwrite the memory of the BIO with zeros.
    void take_output() {
        const std::size_t count = BIO_ctrl_pending(SSL_get_wbio(ssl_.get()));
        const std::size_t before = output_.size();
        output_.resize(before + count);
        BIO_read(SSL_get_wbio(ssl_.get()), output_.data() + before, static_cast<int>(count));
    }

    std::unique_ptr<SSL, deleter> ssl_;
};

#endif

} // namespace bench

#endif

// The server's side of a WebSocket connection, written from RFC 6455 alone, and a client's machine in a test.
#pragma once

#include "catch.hpp"
#include "tern/transport/detail/base64.hpp"
#include "tern/transport/detail/sha1.hpp"
#include "tern/transport/detail/websocket_machine.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace websocket_test {

using namespace std::string_literals;
using tern::websocket_errc;
using tern::detail::websocket_machine;

constexpr tern::detail::mask_seed seed = {1, 2, 3, 4, 5, 6, 7, 8};

// ----- the server -----

/// A frame in which each field can be wrong.
struct frame {
    unsigned opcode = 2;
    std::string payload = {};
    unsigned flags = 0x80;                    ///< FIN and the reserved bits
    std::string mask = {};                    ///< four bytes, or empty
    int length_bytes = -1;                    ///< of the extended length: 0, 2 or 8, the least possible by default
    std::optional<std::uint64_t> length = {}; ///< announced in place of the real one

    std::string bytes() const {
        const std::uint64_t announced = length.value_or(payload.size());
        const int extended = length_bytes >= 0 ? length_bytes : announced < 126 ? 0 : announced < 65536 ? 2 : 8;
        const unsigned masked = mask.empty() ? 0U : 0x80U;
        std::string text = {static_cast<char>(flags | opcode)};
        text += static_cast<char>(masked | (extended == 0   ? static_cast<unsigned>(announced)
                                            : extended == 2 ? 126U
                                                            : 127U));
        for (int i = extended; i-- != 0;)
            text += static_cast<char>(announced >> (8 * i) & 0xFFU);
        text += mask;
        for (std::size_t i = 0; i != payload.size(); ++i)
            text += mask.empty() ? payload[i] : static_cast<char>(payload[i] ^ mask[i % 4]);
        return text;
    }

    friend bool operator==(const frame&, const frame&) = default;
};

inline std::string data(const std::string& payload) {
    return frame{.payload = payload}.bytes();
}
inline std::string first(const std::string& payload) {
    return frame{.payload = payload, .flags = 0}.bytes();
}
inline std::string more(const std::string& payload) {
    return frame{.opcode = 0, .payload = payload, .flags = 0}.bytes();
}
inline std::string last(const std::string& payload) {
    return frame{.opcode = 0, .payload = payload}.bytes();
}
inline std::string ping(const std::string& payload) {
    return frame{.opcode = 9, .payload = payload}.bytes();
}
inline std::string pong(const std::string& payload) {
    return frame{.opcode = 10, .payload = payload}.bytes();
}
inline std::string close_frame(const std::string& payload) {
    return frame{.opcode = 8, .payload = payload}.bytes();
}
inline std::string close_payload(unsigned code, const std::string& reason = {}) {
    return std::string{static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)} + reason;
}
inline std::string close_frame(unsigned code, const std::string& reason = {}) {
    return close_frame(close_payload(code, reason));
}

/// Decodes the frames of a client, one byte after the other. They must be complete, masked, minimal and final.
inline std::vector<frame> client_frames(std::string_view bytes) {
    std::vector<frame> all;
    std::size_t at = 0;
    auto next = [&] {
        if (at >= bytes.size()) FAIL("an incomplete frame");
        return static_cast<unsigned>(static_cast<unsigned char>(bytes[at++]));
    };
    while (at != bytes.size()) {
        frame f{.opcode = next()};
        REQUIRE((f.opcode & 0xF0U) == 0x80U); // FIN, no reserved bit
        f.opcode &= 0x0FU;
        std::uint64_t length = next();
        REQUIRE((length & 0x80U) != 0); // §5.1: masked
        length &= 0x7FU;
        const int extended = length == 126 ? 2 : length == 127 ? 8 : 0;
        if (extended != 0) length = 0;
        for (int i = 0; i != extended; ++i)
            length = length << 8U | next();
        REQUIRE(length >= (extended == 0 ? 0U : extended == 2 ? 126U : 65536U));
        if (f.opcode >= 8) REQUIRE(length <= 125);
        for (int i = 0; i != 4; ++i)
            f.mask += static_cast<char>(next());
        REQUIRE(length <= bytes.size() - at);
        for (std::size_t i = 0; i != length; ++i)
            f.payload += static_cast<char>(bytes[at++] ^ f.mask[i % 4]);
        all.push_back(f);
    }
    return all;
}

inline std::string header_of(std::string_view request, const std::string& name) {
    const std::string begin = "\r\n" + name + ": ";
    const std::size_t at = request.find(begin);
    if (at == std::string_view::npos) return "(absent)";
    const std::size_t value = at + begin.size();
    return std::string(request.substr(value, request.find("\r\n", value) - value));
}

inline std::string accept_of(const std::string& key) {
    const tern::detail::sha1_digest digest = tern::detail::sha1(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    return tern::detail::to_base64({digest.data(), digest.size()});
}

/// The answer that accepts a request.
inline std::string acceptance(std::string_view request) {
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
           accept_of(header_of(request, "Sec-WebSocket-Key")) + "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
}

// ----- the client -----

constexpr tern::endpoint usual = {.host = "broker.example", .port = 8080, .path = "/mqtt"};

inline tern::detail::websocket_settings settings_with(tern::websocket_options options) {
    return {.options = std::move(options), .seed = seed};
}

/// A machine whose output a test takes. Its input and its room for plain bytes lie in blocks of exactly their size.
class client {
public:
    explicit client(const tern::detail::websocket_settings& settings = settings_with({}),
                    const tern::endpoint& where = usual)
        : machine(settings, where)
        , request_(machine.output()) {}

    const std::string& request() const { return request_; }

    /// Takes all output.
    std::string sent() {
        std::string bytes;
        while (!machine.output().empty()) {
            bytes += machine.output();
            payload_sent += machine.commit_output(machine.output().size());
        }
        return bytes;
    }

    /// Receives bytes, and then reads with rooms of this size until nothing is left.
    std::string receive(std::string_view raw, std::size_t room = 4096) {
        std::string plain = read(raw, room);
        while (!error && machine.has_plain()) {
            const std::string more = read({}, room);
            if (more.empty() && !error) FAIL("has_plain, but there is none");
            plain += more;
        }
        return plain;
    }

    std::string read(std::string_view raw, std::size_t room) {
        const std::vector<char> in(raw.begin(), raw.end());
        std::vector<char> out(room);
        const std::size_t count = machine.read({in.data(), in.size()}, out, error);
        if (count > room || (count != 0 && error)) FAIL("count and error");
        return {out.data(), count};
    }

    std::size_t write(const std::string& bytes) {
        return machine.write(std::array<asio::const_buffer, 1>{asio::buffer(bytes)});
    }

    void upgrade(std::string_view after = {}) {
        CHECK(sent() == request_);
        CHECK(receive(acceptance(request_) + std::string(after)).empty() == after.empty());
        REQUIRE(machine.is_ready());
    }

    websocket_machine machine;
    std::error_code error;
    std::size_t payload_sent = 0;

private:
    std::string request_;
};

/// An upgraded client.
struct ready_client : client {
    explicit ready_client(std::uint64_t max_message_bytes = 0)
        : client(settings_with({.max_message_bytes = max_message_bytes})) {
        upgrade();
    }
};

} // namespace websocket_test

// A WebSocket connection of a client (RFC 6455) that carries MQTT (MQTT 5.0 §6), without I/O.
//
//     upgrading --(accepted)--> ready --(Close from the server)--> ended: end of file
//          \------(refused)----------\--(violation, sends Close)--> ended: the violation
//
// Received bytes are decoded at once. If the room for the result is too small, the rest is kept. It then begins with
// payload, because everything before that is decoded without room.
#pragma once

#include "tern/detail/entropy.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/transport/detail/byte_queue.hpp"
#include "tern/transport/detail/mask_keys.hpp"
#include "tern/transport/detail/websocket_decoder.hpp"
#include "tern/transport/detail/websocket_encoder.hpp"
#include "tern/transport/detail/websocket_frame.hpp"
#include "tern/transport/detail/websocket_upgrade.hpp"
#include "tern/transport/websocket_options.hpp"

#include <asio/error.hpp>

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

/// The settings of later connections.
struct websocket_settings {
    websocket_options options = {};
    std::uint16_t default_port = 80;
    std::optional<mask_seed> seed = {}; ///< of a test; the system provides others
};

/// All functions that are not `noexcept` may throw `std::bad_alloc`, after which the connection is unusable.
class websocket_machine {
public:
    using settings = websocket_settings;

    static constexpr connection_phase phase = connection_phase::upgrading;
    static constexpr errc late = errc::upgrade_timeout;
    static constexpr bool decodes_in_place = true;
    static std::chrono::milliseconds limit(const open_timeouts& timeouts) noexcept { return timeouts.upgrade; }

    /// Throws `std::system_error` if the request may not be sent, or if the system provides no seed.
    websocket_machine(const settings& s, const endpoint& where)
        : encoder_(seed_of(s))
        , decoder_(s.options.max_message_bytes)
        , upgrade_(new websocket_upgrade(encoder_.keys())) {
        const websocket_request request{.host = where.host,
                                        .port = where.port,
                                        .default_port = s.default_port,
                                        .path = where.path,
                                        .headers = s.options.headers};
        if (const websocket_errc broken = validate(request); broken != websocket_errc::none)
            throw std::system_error(make_error_code(broken));
        encoder_.put_request(upgrade_->request(request));
    }

    /// The bytes to be written to the server. They stay where they are until they are committed.
    std::string_view output() const noexcept { return encoder_.output(); }

    /// `count` bytes of `output()` were written. Returns how many bytes of `write` were among them.
    std::size_t commit_output(std::size_t count) noexcept { return encoder_.commit_output(count); }

    /// Whether the server has accepted the upgrade.
    bool is_ready() const noexcept { return !upgrade_; }

    /// The answer of a server that refused the upgrade, after `read` has reported it.
    const websocket_refusal& refusal() const noexcept { return refusal_; }

    /// Takes all received bytes and stores decoded ones. Without `has_plain()`, the received bytes may lie in the room
    /// for decoded ones. Returns the number of decoded bytes. The error is the reason why no more will follow:
    /// `asio::error::eof` after Close. It is reported after all bytes that precede it.
    std::size_t read(std::string_view raw, std::span<char> plain, std::error_code& error) {
        const std::size_t room = plain.size();
        if (upgrade_ && !end_) read_answer(raw);
        if (!incoming_.empty()) decode_kept(plain);
        if (!upgrade_ && !end_ && incoming_.empty()) decode(raw, plain);
        if (!raw.empty() && !end_) incoming_.append(raw);
        const std::size_t count = room - plain.size();
        error = count == 0 ? end_ : std::error_code();
        return count;
    }

    /// Whether `read` would return bytes or an error without further bytes from the server.
    bool has_plain() const noexcept { return !incoming_.empty() || end_; }

    /// Encodes as many bytes as fit into one frame. Returns their number, which is 0 after Close. All bytes of earlier
    /// calls must have been committed.
    template <class Buffers>
    std::size_t write(const Buffers& buffers) {
        return encoder_.write(buffers);
    }

    /// Begins the closing handshake (§7.1.2). Nothing can be written afterwards.
    void shutdown() {
        if (is_ready()) encoder_.close(websocket_close_code::normal);
    }

    /// Frees large blocks that are empty.
    void trim() noexcept {
        encoder_.trim();
        incoming_.trim();
    }

private:
    static mask_seed seed_of(const settings& s) {
        if (s.seed) return *s.seed;
        std::array<char, sizeof(mask_seed)> bytes{};
        if (const std::error_code failure = fill_with_entropy(bytes)) throw std::system_error(failure);
        return std::bit_cast<mask_seed>(bytes);
    }

    void read_answer(std::string_view& raw) {
        raw.remove_prefix(upgrade_->read(raw));
        if (!upgrade_->is_complete()) return;
        end_ = upgrade_->error();
        if (!end_) return upgrade_.reset();
        if (http_status(end_) == 0) return;
        refusal_.status = upgrade_->response().status();
        refusal_.location = upgrade_->response().field("Location");
    }

    void decode_kept(std::span<char>& plain) {
        std::string_view rest = incoming_.view();
        decode(rest, plain);
        if (!end_) incoming_.consume(incoming_.size() - rest.size());
    }

    void decode(std::string_view& raw, std::span<char>& plain) {
        for (;;) {
            switch (decoder_.decode(raw, plain)) {
            case websocket_event::none: return;
            case websocket_event::ping: encoder_.answer_ping(decoder_.control_payload()); break;
            case websocket_event::close: return end(received_close_code(), asio::error::eof);
            case websocket_event::violation:
                return end(close_code_of(decoder_.violated_rule()), decoder_.violated_rule());
            }
        }
    }

    // The answer to Close has the same code (§5.5.1).
    std::uint16_t received_close_code() const noexcept {
        const std::string_view payload = decoder_.control_payload();
        if (payload.empty()) return websocket_close_code::absent;
        const auto high = static_cast<unsigned char>(payload[0]), low = static_cast<unsigned char>(payload[1]);
        return static_cast<std::uint16_t>(high << 8U | low);
    }

    void end(std::uint16_t code, std::error_code error) {
        end_ = error;
        incoming_.clear();
        encoder_.close(code);
    }

    websocket_encoder encoder_;
    websocket_decoder decoder_;
    std::unique_ptr<websocket_upgrade> upgrade_; // until it is accepted
    byte_queue incoming_;                        // undecoded bytes, the first of which is payload
    std::error_code end_;                        // the reason why no more bytes will be decoded
    websocket_refusal refusal_;
};

} // namespace tern::detail

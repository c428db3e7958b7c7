// Encodes the frames of a client (RFC 6455 §5): binary frames, pongs and Close, all masked.
//
//     open --(Close is appended)--> closed
//
// The output holds at most one binary frame, one pong and one Close. A pong waits until the output is empty, and a
// newer ping replaces it (§5.5.3), so that a server cannot make the output grow.
#pragma once

#include "tern/transport/detail/byte_queue.hpp"
#include "tern/transport/detail/mask.hpp"
#include "tern/transport/detail/mask_keys.hpp"
#include "tern/transport/detail/websocket_frame.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>

namespace tern::detail {

class websocket_encoder {
public:
    /// The largest output after `write`.
    static constexpr std::size_t most_output_bytes = 64 * 1024;

    explicit websocket_encoder(const mask_seed& seed) noexcept : keys_(seed) {}

    mask_keys& keys() noexcept { return keys_; }

    std::string_view output() const noexcept { return output_.view(); }

    /// Appends bytes that precede all frames.
    void put_request(std::string_view bytes) { output_.append(bytes); }

    /// Removes output that was written. Returns how many bytes of `write` are in it. If allocation fails, a pong waits
    /// for the next output.
    std::size_t commit_output(std::size_t count) noexcept {
        const std::size_t before = std::min(count, before_payload_);
        before_payload_ -= before;
        const std::size_t payload = std::min(count - before, payload_left_);
        payload_left_ -= payload;
        output_.consume(count);
        try {
            if (output_.empty() && pong_state_ == pong_state::waiting) put_pong();
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch)
        }
        return payload;
    }

    /// Appends a binary frame [MQTT-6.0.0-1] with as many bytes as fit. Returns their number: 0 after Close, or while
    /// more than a pong is in the output.
    template <class Pieces>
    std::size_t write(const Pieces& pieces) {
        if (state_ == state::closed || payload_left_ != 0 || output_.size() > largest_pong) return 0;
        const std::size_t room = most_output_bytes - long_header - output_.size();
        std::size_t size = 0;
        for (const auto& piece : pieces)
            size = std::min(room, size + std::min(room, static_cast<std::size_t>(piece.size())));
        if (size == 0) return 0;

        const mask_key key = keys_.next();
        char* const begin = output_.prepare(long_header + size);
        char* const payload = put_header(begin, websocket_frame::binary, size, key);
        std::size_t masked = 0;
        for (const auto& piece : pieces) {
            const std::size_t count = std::min(size - masked, static_cast<std::size_t>(piece.size()));
            copy_masked(static_cast<const char*>(piece.data()), count, payload + masked, key, masked);
            masked += count;
        }
        const auto header = static_cast<std::size_t>(payload - begin);
        before_payload_ = output_.size() + header;
        payload_left_ = size;
        output_.commit(header + size);
        return size;
    }

    /// Answers a ping (§5.5.2).
    void answer_ping(std::string_view payload) {
        if (state_ == state::closed) return;
        std::copy(payload.begin(), payload.end(), pong_.begin());
        pong_size_ = static_cast<std::uint8_t>(payload.size());
        pong_state_ = pong_state::waiting;
        if (output_.empty()) put_pong();
    }

    /// Appends a Close frame, with an empty payload if the code is `absent`. Nothing follows it (§5.5.1).
    void close(std::uint16_t code) {
        if (state_ == state::closed) return;
        const std::array<char, 2> payload = {static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)};
        const bool is_absent = code == websocket_close_code::absent;
        put_control(websocket_frame::close, {payload.data(), is_absent ? 0 : payload.size()});
        state_ = state::closed;
        pong_state_ = pong_state::none;
    }

private:
    enum class state : std::uint8_t {
        open,
        closed, ///< Close was appended.
    };
    enum class pong_state : std::uint8_t {
        none,
        waiting, ///< The output is not empty.
    };

    static constexpr std::size_t long_header = 8; // of a frame below 64 KiB
    static constexpr std::size_t largest_pong = 6 + websocket_frame::most_control_bytes;

    // A payload is smaller than 64 KiB.
    static char* put_header(char* p, unsigned opcode, std::size_t size, const mask_key& key) noexcept {
        *p++ = static_cast<char>(websocket_frame::final_bit | opcode);
        if (size < 126) {
            *p++ = static_cast<char>(websocket_frame::mask_bit | size);
        } else {
            *p++ = static_cast<char>(websocket_frame::mask_bit | 126U);
            *p++ = static_cast<char>(size >> 8U);
            *p++ = static_cast<char>(size & 0xFFU);
        }
        return std::copy(key.begin(), key.end(), p);
    }

    void put_control(unsigned opcode, std::string_view payload) {
        const mask_key key = keys_.next();
        char* const begin = output_.prepare(long_header + payload.size());
        char* const masked = put_header(begin, opcode, payload.size(), key);
        copy_masked(payload.data(), payload.size(), masked, key, 0);
        output_.commit(static_cast<std::size_t>(masked - begin) + payload.size());
    }

    void put_pong() {
        put_control(websocket_frame::pong, {pong_.data(), pong_size_});
        pong_state_ = pong_state::none;
    }

    byte_queue output_;
    mask_keys keys_;
    std::size_t before_payload_ = 0; // bytes of output before the payload of the binary frame
    std::size_t payload_left_ = 0;   // bytes of that payload in the output
    state state_ = state::open;
    pong_state pong_state_ = pong_state::none;
    std::uint8_t pong_size_ = 0;
    std::array<char, websocket_frame::most_control_bytes> pong_{};
};

} // namespace tern::detail

// Encodes the frames of a client (RFC 6455 §5): binary frames, pongs and Close, all masked.
//
//     open --(Close is appended)--> closed
//
// The output holds at most one binary frame, one pong and one Close. A pong waits until the output is empty, and a
// newer ping replaces it (§5.5.3), so that a server cannot make the output grow. Bytes that are being written stay
// where they are: what is appended meanwhile goes to a second block.
#pragma once

#include "tern/transport/detail/byte_queue.hpp"
#include "tern/transport/detail/mask.hpp"
#include "tern/transport/detail/mask_keys.hpp"
#include "tern/transport/detail/websocket_frame.hpp"

#include <asio/buffer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <utility>

namespace tern::detail {

class websocket_encoder {
public:
    /// The largest payload of a frame, which then has 64 KiB with its header.
    static constexpr std::size_t most_payload = 64 * 1024 - 8;

    explicit websocket_encoder(const mask_seed& seed) noexcept : keys_(seed) {}

    mask_keys& keys() noexcept { return keys_; }

    /// The bytes to be written next. They stay where they are until they are committed.
    std::string_view output() const noexcept { return front_.view(); }

    /// Appends bytes that precede all frames.
    void put_request(std::string_view bytes) { front_.append(bytes); }

    /// Removes output that was written. Returns how many bytes of `write` are in it. If allocation fails, a pong waits
    /// for the next output.
    std::size_t commit_output(std::size_t count) noexcept {
        const std::size_t before = (std::min)(count, before_payload_);
        before_payload_ -= before;
        const std::size_t payload = (std::min)(count - before, payload_left_);
        payload_left_ -= payload;
        front_.consume(count);
        if (front_.empty() && !back_.empty()) std::swap(front_, back_);
        try {
            if (front_.empty() && pong_state_ == pong_state::waiting) put_pong();
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch)
        }
        return payload;
    }

    /// Appends a binary frame [MQTT-6.0.0-1] with as many bytes as fit. Returns their number: 0 after Close, or while
    /// bytes of an earlier frame are in the output.
    template <class Buffers>
    std::size_t write(const Buffers& buffers) {
        if (state_ == state::closed || payload_left_ != 0) return 0;
        const std::size_t size = (std::min)(asio::buffer_size(buffers), most_payload);
        if (size == 0) return 0;

        const std::size_t before = front_.size() + back_.size();
        const mask_key key = keys_.next();
        byte_queue& to = free_block();
        char* const begin = to.prepare(long_header + size);
        char* const payload = put_header(begin, websocket_frame::binary, size, key);
        put_masked(buffers, size, key, payload);
        const auto header = static_cast<std::size_t>(payload - begin);
        before_payload_ = before + header;
        payload_left_ = size;
        to.commit(header + size);
        return size;
    }

    /// Answers a ping (§5.5.2).
    void answer_ping(std::string_view payload) {
        if (state_ == state::closed) return;
        std::copy(payload.begin(), payload.end(), pong_.begin());
        pong_size_ = static_cast<std::uint8_t>(payload.size());
        pong_state_ = pong_state::waiting;
        if (front_.empty()) put_pong();
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

    /// Frees large blocks that are empty.
    void trim() noexcept {
        front_.trim();
        back_.trim();
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

    // Where bytes are appended. A block that is not empty may be in use.
    byte_queue& free_block() noexcept { return front_.empty() ? front_ : back_; }

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

    template <class Buffers>
    static void put_masked(const Buffers& buffers, std::size_t size, const mask_key& key, char* to) noexcept {
        std::size_t done = 0;
        const auto end = asio::buffer_sequence_end(buffers);
        for (auto i = asio::buffer_sequence_begin(buffers); i != end; ++i) {
            const asio::const_buffer piece = *i;
            const std::size_t count = (std::min)(size - done, piece.size());
            copy_masked(static_cast<const char*>(piece.data()), count, to + done, key, done);
            done += count;
        }
    }

    void put_control(unsigned opcode, std::string_view payload) {
        const mask_key key = keys_.next();
        byte_queue& to = free_block();
        char* const begin = to.prepare(long_header + payload.size());
        char* const masked = put_header(begin, opcode, payload.size(), key);
        copy_masked(payload.data(), payload.size(), masked, key, 0);
        to.commit(static_cast<std::size_t>(masked - begin) + payload.size());
    }

    void put_pong() {
        put_control(websocket_frame::pong, {pong_.data(), pong_size_});
        pong_state_ = pong_state::none;
    }

    byte_queue front_; // written next
    byte_queue back_;  // follows
    mask_keys keys_;
    std::size_t before_payload_ = 0; // bytes of output before the payload of the binary frame
    std::size_t payload_left_ = 0;   // bytes of that payload in the output
    state state_ = state::open;
    pong_state pong_state_ = pong_state::none;
    std::uint8_t pong_size_ = 0;
    std::array<char, websocket_frame::most_control_bytes> pong_{};
};

} // namespace tern::detail

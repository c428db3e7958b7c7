// Decodes the frames of a server (RFC 6455 §5).
//
//     header --(complete)--> payload of data ----(all passed on)--> header
//                      \---> payload of control --(all read)------> header, event
//                       \--> violation
//
// The payload of data is passed on while it arrives. Only that of a control frame is stored, at most 125 bytes.
#pragma once

#include "tern/transport/detail/websocket_frame.hpp"
#include "tern/transport/websocket_error.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace tern::detail {

enum class websocket_event : std::uint8_t {
    none,      ///< All bytes are decoded, or there is no room for the next ones.
    ping,      ///< A ping has arrived, see `control_payload()`.
    close,     ///< A valid Close frame has arrived, see `control_payload()`. Nothing else may be decoded.
    violation, ///< The server violated `violated_rule()`. Nothing else may be decoded.
};

class websocket_decoder {
public:
    /// `max_message_bytes` is 0 if there is no limit.
    explicit websocket_decoder(std::uint64_t max_message_bytes) noexcept : max_message_bytes_(max_message_bytes) {}

    /// Decodes until an event occurs. Removes the decoded bytes from the front of `raw`, and the room that the payload
    /// needed from the front of `plain`. If bytes remain without an event, the first one is payload. `raw` may lie in
    /// `plain`: what is decoded never reaches what is not.
    websocket_event decode(std::string_view& raw, std::span<char>& plain) noexcept {
        for (;;) {
            if (step_ == step::header) {
                if (pass_small_message(raw, plain)) continue;
                if (!read_header(raw)) return websocket_event::none;
                if (violated_ != websocket_errc::none) return websocket_event::violation;
            } else if (step_ == step::data) {
                if (!pass_data(raw, plain)) return websocket_event::none;
            } else {
                if (!store_control(raw)) return websocket_event::none;
                if (opcode() == websocket_frame::ping) return websocket_event::ping;
                if (opcode() == websocket_frame::close) return on_close();
            }
        }
    }

    /// The payload of the control frame that was last read.
    std::string_view control_payload() const noexcept { return {control_.data(), control_size_}; }

    websocket_errc violated_rule() const noexcept { return violated_; }

private:
    enum class step : std::uint8_t {
        header,  ///< in the header of a frame
        data,    ///< in the payload of a data frame
        control, ///< in the payload of a control frame
    };
    enum class message : std::uint8_t {
        none, ///< The next data frame begins a message.
        open, ///< The next data frame continues the message.
    };

    static constexpr unsigned reserved_bits = 0x70, control_bit = 0x08;

    unsigned header_byte(std::size_t i) const noexcept { return static_cast<unsigned char>(header_[i]); }
    unsigned opcode() const noexcept { return header_byte(0) & 0x0FU; }
    bool is_control() const noexcept { return (header_byte(0) & control_bit) != 0; }

    // Returns false if bytes are missing. A violation is found as soon as both first bytes, or all bytes, are there.
    bool read_header(std::string_view& raw) noexcept {
        while (header_size_ != header_needed_) {
            if (raw.empty()) return false;
            header_[header_size_++] = raw.front();
            raw.remove_prefix(1);
            if (header_size_ == 2) {
                violated_ = check_first_bytes();
                if (violated_ != websocket_errc::none) return true;
                const unsigned length = header_byte(1);
                header_needed_ = length < 126 ? 2U : length == 126 ? 4U : 10U;
            }
        }
        violated_ = begin_payload();
        return true;
    }

    websocket_errc check_first_bytes() const noexcept {
        const unsigned first = header_byte(0);
        if ((first & reserved_bits) != 0) return websocket_errc::reserved_bits; // §5.2: no extension was agreed on
        if ((header_byte(1) & websocket_frame::mask_bit) != 0) return websocket_errc::masked_frame; // §5.1
        if (is_control()) {
            if (opcode() > websocket_frame::pong) return websocket_errc::reserved_opcode;
            if ((first & websocket_frame::final_bit) == 0) return websocket_errc::fragmented_control_frame; // §5.5
            if (header_byte(1) > websocket_frame::most_control_bytes) return websocket_errc::control_frame_too_long;
            return websocket_errc::none;
        }
        if (opcode() > websocket_frame::binary) return websocket_errc::reserved_opcode;
        if (opcode() == websocket_frame::text) return websocket_errc::text_frame; // [MQTT-6.0.0-1]
        if (opcode() == websocket_frame::continuation)                            // §5.4
            return message_ == message::none ? websocket_errc::unexpected_continuation : websocket_errc::none;
        return message_ == message::open ? websocket_errc::unfinished_message : websocket_errc::none;
    }

    websocket_errc begin_payload() noexcept {
        std::uint64_t length = header_needed_ == 2 ? header_byte(1) : 0;
        for (std::size_t i = 2; i != header_needed_; ++i)
            length = length << 8U | header_byte(i);
        if (length >> 63U != 0) return websocket_errc::length_out_of_range; // §5.2
        const std::uint64_t least = header_needed_ == 2 ? 0 : header_needed_ == 4 ? 126 : 0x1'0000;
        if (length < least) return websocket_errc::length_not_minimal;
        left_ = length;
        header_size_ = 0;
        header_needed_ = 2;
        if (is_control()) {
            control_size_ = 0;
            step_ = step::control;
            return websocket_errc::none;
        }
        step_ = step::data;
        return begin_data();
    }

    websocket_errc begin_data() noexcept {
        if (message_ == message::none) message_bytes_ = 0;
        message_ = (header_byte(0) & websocket_frame::final_bit) != 0 ? message::none : message::open;
        if (max_message_bytes_ == 0) return websocket_errc::none;
        if (left_ > max_message_bytes_ - message_bytes_) return websocket_errc::message_too_large;
        message_bytes_ += left_;
        return websocket_errc::none;
    }

    // Passes on a whole small message, as most packets are. Returns false if it is anything else.
    bool pass_small_message(std::string_view& raw, std::span<char>& plain) noexcept {
        constexpr unsigned whole_message = websocket_frame::final_bit | websocket_frame::binary;
        if (raw.size() < 2 || static_cast<unsigned char>(raw[0]) != whole_message) return false;
        const std::size_t length = static_cast<unsigned char>(raw[1]);
        if (length > 125 || raw.size() - 2 < length || plain.size() < length) return false;
        if (header_size_ != 0 || message_ == message::open || max_message_bytes_ != 0) return false;
        if (length != 0) std::memmove(plain.data(), raw.data() + 2, length);
        raw.remove_prefix(2 + length);
        plain = plain.subspan(length);
        return true;
    }

    // Returns false unless the frame is complete.
    bool pass_data(std::string_view& raw, std::span<char>& plain) noexcept {
        const std::uint64_t possible = (std::min)(raw.size(), plain.size());
        const auto count = static_cast<std::size_t>((std::min)(left_, possible));
        if (count != 0) std::memmove(plain.data(), raw.data(), count);
        raw.remove_prefix(count);
        plain = plain.subspan(count);
        left_ -= count;
        if (left_ != 0) return false;
        step_ = step::header;
        return true;
    }

    bool store_control(std::string_view& raw) noexcept {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, raw.size()));
        if (count != 0) std::memcpy(control_.data() + control_size_, raw.data(), count);
        control_size_ += count;
        raw.remove_prefix(count);
        left_ -= count;
        if (left_ != 0) return false;
        step_ = step::header;
        return true;
    }

    websocket_event on_close() noexcept {
        const std::string_view payload = control_payload();
        if (payload.empty()) return websocket_event::close;
        auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(payload[i])); };
        if (payload.size() == 1 || !is_valid_close_code(byte(0) << 8U | byte(1)))
            violated_ = websocket_errc::invalid_close_frame; // §5.5.1
        else if (!is_utf8(payload.substr(2)))
            violated_ = websocket_errc::invalid_close_reason; // §8.1
        return violated_ == websocket_errc::none ? websocket_event::close : websocket_event::violation;
    }

    std::uint64_t max_message_bytes_;
    std::uint64_t message_bytes_ = 0; // announced so far for the present message, if there is a limit
    std::uint64_t left_ = 0;          // bytes of the payload that are still to come
    std::size_t control_size_ = 0;
    std::array<char, 10> header_{};
    std::uint8_t header_size_ = 0;
    std::uint8_t header_needed_ = 2;
    step step_ = step::header;
    message message_ = message::none;
    websocket_errc violated_ = websocket_errc::none;
    std::array<char, websocket_frame::most_control_bytes> control_{};
};

} // namespace tern::detail

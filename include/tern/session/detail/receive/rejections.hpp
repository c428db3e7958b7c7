// Received messages that the application has refused, and whose acknowledgements have not been sent.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/codec/publish.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/event.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

/// The reason codes with which the application may refuse a message [§3.4.2.1, §3.5.2.1].
constexpr bool is_rejection(reason_code code) noexcept {
    switch (code) {
    case reason_code::unspecified_error:
    case reason_code::implementation_specific_error:
    case reason_code::not_authorized:
    case reason_code::topic_name_invalid:
    case reason_code::quota_exceeded:
    case reason_code::payload_format_invalid: return true;
    default: return false;
    }
}

/// A PUBACK or PUBREC that refuses a message. The broker's limit decides which properties it may have
/// [MQTT-3.4.2-2, MQTT-3.4.2-3].
struct rejection {
    reason_code code = reason_code::unspecified_error;
    ack_properties properties = {};
    std::uint32_t maximum_packet_bytes = packet_size_max;

    /// Encodes it. Properties that do not fit are left out: user properties first, then the reason string.
    template <class Packet>
    TERN_COLD std::string encode(packet_id id) const {
        Packet packet{id, code, properties};
        if (is_too_large(packet)) packet.properties.user_properties = {};
        if (is_too_large(packet)) packet.properties = {};
        std::string bytes(*encoded_size(packet, protocol_version::v5), '\0');
        (void)tern::encode(packet, protocol_version::v5, bytes);
        return bytes;
    }

private:
    template <class Packet>
    bool is_too_large(const Packet& packet) const noexcept {
        return *encoded_size(packet, protocol_version::v5) > maximum_packet_bytes;
    }
};

/// Their packets, by the tokens of their acknowledgements. The acknowledgements are sent in the order of their tokens.
class rejections {
public:
    bool empty() const noexcept { return list_.empty(); }

    TERN_COLD void push(message_token token, std::string packet) {
        list_.push_back({token, std::move(packet)});
        std::push_heap(list_.begin(), list_.end(), is_later);
    }
    /// The packet for this token, or nothing. The tokens before it have been removed.
    TERN_COLD std::string_view find(message_token token) const noexcept {
        return !list_.empty() && list_[0].token == token ? std::string_view(list_[0].packet) : std::string_view{};
    }
    TERN_COLD void pop(message_token token) noexcept {
        if (find(token).empty()) return;
        std::pop_heap(list_.begin(), list_.end(), is_later);
        list_.pop_back();
    }

private:
    friend struct session_inspector;

    struct entry {
        message_token token = message_token::none;
        std::string packet;
    };
    static bool is_later(const entry& a, const entry& b) noexcept { return a.token > b.token; }

    growing_array<entry> list_; // a heap, the smallest token first
};

} // namespace tern::detail

// A PUBLISH that is larger than the client accepts: its topic and identifier are read, so that it can be acknowledged
// and reported. The rest is skipped, and never stored.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/detail/bytes.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/event.hpp"
#include "tern/topic.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <string_view>

namespace tern::detail {

/// The beginning of a PUBLISH.
struct large_message {
    received head;        // topic, QoS and identifier; only if it is complete
    std::size_t size = 0; // of the whole packet
    std::size_t need = 0; // how many bytes must be there; if they are, the head is complete
};

/// Reads the beginning of a PUBLISH whose fixed header is complete. Returns a violation of the topic or the identifier.
TERN_COLD inline errc read_large_message(std::string_view bytes, large_message& m) {
    const auto found = next_frame(bytes);
    if (!found) return found.error();
    m.size = found->size;
    std::size_t at = 2;
    while ((static_cast<unsigned char>(bytes[at - 1]) & 0x80U) != 0)
        ++at;
    const unsigned level = static_cast<unsigned char>(bytes[0]) >> 1U & 3U;
    m.need = at + 2;
    if (bytes.size() < m.need) return errc::none;
    reader length(bytes.substr(at, 2));
    const std::size_t topic_size = length.two_bytes();
    m.need += topic_size + (level == 0 ? 0U : 2U);
    if (m.need > m.size) return errc::truncated_packet;
    if (bytes.size() < m.need) return errc::none;
    m.head.topic = bytes.substr(at + 2, topic_size);
    m.head.qos = static_cast<qos>(level);
    if (level != 0) {
        reader id(bytes.substr(m.need - 2, 2));
        m.head.packet_id = id.two_bytes();
        if (m.head.packet_id == 0) return errc::zero_packet_id;
    }
    const std::string_view topic = m.head.topic;
    return topic.empty() ? errc::none : check_topic_name(topic); // an empty one of 5.0 has an alias
}

} // namespace tern::detail

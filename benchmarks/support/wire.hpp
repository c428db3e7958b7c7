// Encodes the few packets that the sink and the bare Asio program write.
#ifndef TERN_BENCHMARKS_SUPPORT_WIRE_HPP
#define TERN_BENCHMARKS_SUPPORT_WIRE_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bench::wire {

enum : std::uint8_t {
    connect = 0x10,
    connack = 0x20,
    publish = 0x30,
    puback = 0x40,
    pubrec = 0x50,
    pubrel = 0x62,
    pubcomp = 0x70,
    subscribe = 0x82,
    suback = 0x90,
    unsubscribe = 0xa2,
    unsuback = 0xb0,
    pingreq = 0xc0,
    pingresp = 0xd0,
    disconnect = 0xe0,
};

inline char to_char(std::size_t byte) {
    return static_cast<char>(static_cast<std::uint8_t>(byte));
}

inline std::uint16_t get_16(const std::uint8_t* p) {
    return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}

inline void append_16(std::string& to, std::size_t number) {
    to += to_char(number >> 8);
    to += to_char(number & 0xff);
}

inline void append_length(std::string& to, std::size_t length) {
    for (; length >= 0x80; length >>= 7)
        to += to_char((length & 0x7f) | 0x80);
    to += to_char(length);
}

inline void append_string(std::string& to, std::string_view text) {
    append_16(to, text.size());
    to += text;
}

// PUBACK, PUBREC, PUBREL or PUBCOMP without a reason code, which means success.
inline void append_ack(std::string& to, std::uint8_t type, std::size_t id) {
    to += to_char(type);
    to += to_char(2);
    append_16(to, id);
}

inline void append_packet(std::string& to, std::uint8_t type, std::string_view body) {
    to += to_char(type);
    append_length(to, body.size());
    to += body;
}

// A decoded remaining length, and the size of its encoding: 0 if it is incomplete, 5 if it is malformed.
struct length {
    std::size_t value;
    std::size_t bytes;
};

inline length get_length(const std::uint8_t* p, const std::uint8_t* end) {
    std::size_t value = 0;
    for (std::size_t i = 0; i != 4; ++i) {
        if (p + i == end) return {0, 0};
        value |= static_cast<std::size_t>(p[i] & 0x7f) << 7 * i;
        if (p[i] < 0x80) return {value, i + 1};
    }
    return {0, 5};
}

// An encoded PUBLISH packet, and the offset of its packet identifier.
struct publish_packet {
    publish_packet(bool v5, std::string_view topic, std::uint8_t qos, std::size_t size) {
        bytes += to_char(publish | static_cast<std::size_t>(qos << 1));
        append_length(bytes, 2 + topic.size() + (qos != 0 ? 2u : 0u) + (v5 ? 1u : 0u) + size);
        append_string(bytes, topic);
        id_offset = bytes.size();
        if (qos != 0) append_16(bytes, 1);
        if (v5) bytes += to_char(0);
        bytes.append(size, 'x');
    }

    std::string bytes;
    std::size_t id_offset;
};

inline constexpr std::size_t block_bytes = 65536;

// Copies of one packet, at least one and at most 64 KiB of them. set_id() writes a packet identifier into each.
class publish_block {
public:
    publish_block(const publish_packet& packet, std::size_t max_packets)
        : packet_bytes_(packet.bytes.size())
        , id_offset_(packet.id_offset) {
        const std::size_t fit = block_bytes / packet_bytes_;
        packets_ = fit < 1 ? 1 : fit < max_packets ? fit : max_packets;
        bytes_.reserve(packets_ * packet_bytes_);
        for (std::size_t i = 0; i != packets_; ++i)
            bytes_ += packet.bytes;
    }

    const char* data() const { return bytes_.data(); }
    std::size_t packets() const { return packets_; }
    std::size_t bytes_of(std::size_t packets) const { return packets * packet_bytes_; }

    void set_id(std::size_t packet, std::size_t id) {
        char* const p = &bytes_[packet * packet_bytes_ + id_offset_];
        p[0] = to_char(id >> 8);
        p[1] = to_char(id & 0xff);
    }

private:
    std::string bytes_;
    std::size_t packet_bytes_;
    std::size_t id_offset_;
    std::size_t packets_ = 1;
};

} // namespace bench::wire

#endif

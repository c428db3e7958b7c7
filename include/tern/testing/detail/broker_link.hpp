// The broker's side of one connection: the client's properties and the output.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/testing/broker_options.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

namespace tern::testing::detail {

struct broker_session;

enum class connection_end {
    disconnected, // by the client's DISCONNECT, which discards its will
    lost,         // without DISCONNECT, or with one that requests the will
};

class broker_link {
public:
    explicit broker_link(const broker_options& options) : options_(options) {}
    broker_link(const broker_link&) = delete;
    broker_link& operator=(const broker_link&) = delete;

    protocol_version version = protocol_version::v5;
    std::string client_id;
    broker_session* session = nullptr;                   // while it is attached to this connection
    std::uint32_t maximum_packet_size = packet_size_max; // the client's
    std::uint16_t receive_maximum = 65'535;              // the client's

    // Is called when there is output, or the connection must be closed. Must not call this object.
    std::function<void()> on_change;

    // Whether a packet is within the client's Maximum Packet Size.
    template <packet Packet>
    bool accepts(const Packet& p) const {
        const auto size = encoded_size(p, version);
        return size && *size <= maximum_packet_size;
    }

    // Encodes a packet. Returns false if it exceeds the client's Maximum Packet Size [MQTT-3.1.2-24].
    template <packet Packet>
    bool send(const Packet& p) {
        const auto size = encoded_size(p, version);
        if (ended_ || !size || *size > maximum_packet_size) return false;
        const std::size_t before = output_.size();
        output_.resize(before + *size);
        (void)encode(p, version, std::span(output_).subspan(before));
        if (options_.on_packet) options_.on_packet(packet_direction::sent, client_id, any_packet{p});
        notify();
        return true;
    }

    // Acknowledgements in the output that is not yet written, so the client cannot have received them. Until they are
    // written, the packet identifiers that they free are in use and count against Receive Maximum.
    enum class unwritten : std::uint8_t {
        pubrec,
        end_of_publish,         // PUBACK, or PUBCOMP for a PUBLISH of this connection
        end_of_earlier_publish, // PUBCOMP for a PUBLISH of an earlier connection, which does not count
        end_of_request,         // SUBACK or UNSUBACK
    };

    void add_unwritten(unwritten what, packet_id id) {
        unwritten_[id] = what;
        unwritten_publish_ends_ += what == unwritten::end_of_publish ? 1 : 0;
    }
    void add_unwritten_connack() noexcept { connack_is_unwritten_ = true; }
    // Until CONNACK is written, the client cannot know the broker's limits.
    bool has_unwritten_connack() const noexcept { return connack_is_unwritten_; }
    bool has_unwritten_end(packet_id id) const {
        const auto found = unwritten_.find(id);
        return found != unwritten_.end() && found->second != unwritten::pubrec;
    }
    bool has_unwritten_pubrec(packet_id id) const {
        const auto found = unwritten_.find(id);
        return found != unwritten_.end() && found->second == unwritten::pubrec;
    }
    std::size_t unwritten_publish_ends() const noexcept { return unwritten_publish_ends_; }

    std::size_t output_size() const noexcept { return output_.size(); }
    std::string take_output() {
        unwritten_.clear();
        unwritten_publish_ends_ = 0;
        connack_is_unwritten_ = false;
        return std::exchange(output_, {});
    }

    // Sends no further packets. The connection is closed when the output is written.
    void end() {
        ended_ = true;
        notify();
    }
    // Discards the output. The connection is closed immediately.
    void cut() {
        cut_ = true;
        output_.clear();
        end();
    }
    bool is_ended() const noexcept { return ended_; }
    bool is_cut() const noexcept { return cut_; }

private:
    void notify() {
        if (on_change) on_change();
    }

    const broker_options& options_;
    std::string output_;
    std::unordered_map<packet_id, unwritten> unwritten_;
    std::size_t unwritten_publish_ends_ = 0;
    bool connack_is_unwritten_ = false;
    bool ended_ = false;
    bool cut_ = false;
};

} // namespace tern::testing::detail

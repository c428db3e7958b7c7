// The broker's side of one connection: what it knows of the client, and the bytes that go out.
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

    // Is called when there is something to write, or to end. Never calls back.
    std::function<void()> on_change;

    // Encodes a packet. False if the client does not take it because of its size [MQTT-3.1.2-24].
    template <packet Packet>
    bool send(const Packet& p) {
        const auto size = encoded_size(p, version);
        if (ended_ || !size || *size > maximum_packet_size) return false;
        const std::size_t before = output_.size();
        output_.resize(before + *size);
        (void)encode(p, version, std::span(output_).subspan(before));
        if (options_.on_packet) options_.on_packet(packet_direction::sent, client_id, any_packet{p});
        changed();
        return true;
    }

    // What the client cannot know of before the output is written. Until then the packet identifier that an
    // acknowledgement frees is in use, and counts for Receive Maximum.
    enum class unseen { pubrec, end_of_publish, end_of_request };

    void note(unseen what, packet_id id) {
        unseen_[id] = what;
        unseen_ends_ += what == unseen::end_of_publish ? 1 : 0;
    }
    bool still_uses(packet_id id) const {
        const auto found = unseen_.find(id);
        return found != unseen_.end() && found->second != unseen::pubrec;
    }
    bool pubrec_is_unseen(packet_id id) const {
        const auto found = unseen_.find(id);
        return found != unseen_.end() && found->second == unseen::pubrec;
    }
    std::size_t unseen_ends() const noexcept { return unseen_ends_; }

    std::size_t output_size() const noexcept { return output_.size(); }
    std::string take_output() {
        unseen_.clear();
        unseen_ends_ = 0;
        return std::exchange(output_, {});
    }

    // Nothing more is sent; the connection ends when the output is written.
    void end() {
        ended_ = true;
        changed();
    }
    // The connection ends now, without a word.
    void cut() {
        cut_ = true;
        output_.clear();
        end();
    }
    bool ended() const noexcept { return ended_; }
    bool is_cut() const noexcept { return cut_; }

private:
    void changed() {
        if (on_change) on_change();
    }

    const broker_options& options_;
    std::string output_;
    std::unordered_map<packet_id, unseen> unseen_;
    std::size_t unseen_ends_ = 0;
    bool ended_ = false;
    bool cut_ = false;
};

} // namespace tern::testing::detail

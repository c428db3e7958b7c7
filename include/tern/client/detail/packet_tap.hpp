// The packet tap. It decodes copies of the bytes, and therefore does not affect the connection.
#pragma once

#include "tern/client/detail/transport/tap.hpp"
#include "tern/codec/packet.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace tern::detail {

// A template, so that only programs that set one compile the decoders of all packets.
template <class AnyPacket>
class packet_tap final : public tap {
public:
    using observer = std::function<void(packet_direction, const AnyPacket&)>;

    explicit packet_tap(observer f) : observer_(std::move(f)) {}

    void start() noexcept override {
        received_ = {.live = true};
        sent_ = {.live = true};
    }
    void stop() noexcept override { received_.live = sent_.live = false; }

private:
    struct stream {
        bool live = false;
        std::string bytes = {}; // the beginning of an incomplete packet
    };

    void see(packet_direction where, std::string_view bytes) override {
        stream& in = where == packet_direction::sent ? sent_ : received_;
        if (!in.live || bytes.empty()) return;
        try {
            in.bytes += bytes;
        } catch (const std::bad_alloc&) {
            in = {};
            return;
        }
        std::size_t shown = 0;
        for (;;) {
            const auto found = next_frame(std::string_view(in.bytes).substr(shown));
            if (found && !found->complete) break;
            if (!found || !show(where, found->frame) || !in.live) {
                in = {};
                return;
            }
            shown += found->size;
        }
        in.bytes.erase(0, shown);
    }

    bool show(packet_direction where, const frame& from) noexcept {
        auto packet = decode<AnyPacket>(from, version_);
        // A broker that does not support this version may refuse it in the format of its own version [MQTT-3.1.2-2].
        if (!packet && from.type() == packet_type::connack)
            packet = decode<AnyPacket>(from, version_ == protocol_version::v5 ? protocol_version::v3_1_1
                                                                              : protocol_version::v5);
        if (!packet) return false;
        if (const auto* const p = std::get_if<connect>(&*packet)) version_ = p->version;
        observer_(where, *packet);
        return true;
    }

    observer observer_;
    protocol_version version_ = protocol_version::v5; // CONNECT sets it
    stream received_;
    stream sent_;
};

template <class AnyPacket>
std::shared_ptr<tap> make_packet_tap(std::function<void(packet_direction, const AnyPacket&)> observer) {
    if (!observer) return nullptr;
    return std::make_shared<packet_tap<AnyPacket>>(std::move(observer));
}

} // namespace tern::detail

// The topic aliases of outgoing messages on one connection [§3.3.2.3.4].
//
// A message lies in the log with its topic, and without an alias, because an alias has no meaning on another
// connection. When it takes its place among the bytes to be written for the first time, a copy with the alias is queued
// instead. From then on it is neither dropped nor passed by another one, so the broker sees the aliases in the order of
// these copies:
//
//     the broker knows the alias   the copy has
//     not, or with another topic   topic and alias
//     with the topic               the alias only
//
// A message that is sent again carries its topic. An alias is set again if the message that has set it was refused.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/codec/publish.hpp"
#include "tern/detail/allocation_failure.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/send/alias_policy.hpp"
#include "tern/session/detail/send/packet_log.hpp"
#include "tern/session/detail/send/patch.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

class connection_aliases {
public:
    /// `own` aliases, from 1, are for the client itself, the others for the application.
    TERN_COLD connection_aliases(std::uint16_t own, std::uint32_t maximum_packet_bytes)
        : own_(own)
        , maximum_packet_bytes_(maximum_packet_bytes) {
        if (own != 0) policy_.emplace(own);
    }

    std::uint16_t own() const noexcept { return own_; }

    /// Returns the packet to be queued next in place of a PUBLISH that is retained and was never sent. `wanted`: the
    /// application's alias, or 0. If memory runs out, the message has no alias.
    TERN_COLD packet_slice replace(packet_log& log, const packet_slice& stored, std::uint16_t wanted) noexcept {
        if (wanted == 0 && !policy_) return stored;
        packet_slice replacement = stored;
        const bool is_made = succeeds_in_allocating([&] { replacement = with_alias(log, stored, wanted); });
        return is_made ? replacement : stored;
    }

    /// The broker has refused a message: it may not have set the alias that the message carried.
    TERN_COLD void on_refused(packet_id id) noexcept {
        for (alias& a : aliases_)
            if (a.set_by == id) a.is_set = false;
    }

    /// The topic of an alias in a message that was queued up to this position.
    TERN_COLD std::string_view topic_of(std::size_t number, packet_log::position end) const noexcept {
        for (const replaced& r : replaced_)
            if (r.number == number && end <= r.end) return r.topic;
        return aliases_[number - 1].topic;
    }
    /// The size of a message that was queued up to this position, and is not written. `stored`: without an alias.
    TERN_COLD std::size_t size_of(packet_log::position end, std::size_t stored) const noexcept {
        for (std::size_t i = sizes_.size(); i != 0 && sizes_[i - 1].end >= end; --i)
            if (sizes_[i - 1].end == end) return sizes_[i - 1].size;
        return stored;
    }

private:
    friend struct session_inspector;

    // A shorter topic would save nothing. The payload is copied, so a large one has no alias of the client's own.
    static constexpr std::size_t shortest_topic = 6;
    static constexpr std::size_t largest_packet = std::size_t{16} * 1024;

    struct alias {
        std::string topic;
        packet_id set_by = 0; // the message that has set it; 0: QoS 0, which is not refused
        bool is_set = false;  // on this connection
    };

    // The topic that an alias had before. A message with it may have to be sent again.
    struct replaced {
        std::size_t number = 0;
        packet_log::position end = 0; // of the last packet before the alias changed
        std::string topic;
    };

    struct queued_size {
        packet_log::position end = 0;
        std::size_t size = 0;
    };

    packet_slice with_alias(packet_log& log, const packet_slice& stored, std::uint16_t wanted) {
        publish p = decode_publish(log.view(stored), protocol_version::v5);
        const std::string_view topic = p.message.topic;
        if (wanted == 0 && (topic.size() < shortest_topic || stored.size > largest_packet)) return stored;
        const std::uint32_t hash = wanted == 0 ? alias_policy::hash_of(topic) : 0;
        const std::uint16_t number = wanted == 0 ? policy_->choose(hash) : wanted;
        if (number == 0) return stored;
        if (number > aliases_.size()) aliases_.resize(number);
        alias& a = aliases_[number - std::size_t{1}];
        const bool is_known = a.is_set && a.topic == topic;
        p.message.properties.topic_alias = number;
        if (is_known) p.message.topic = {};
        const auto length = measure(p, protocol_version::v5);
        if (!length || with_header(*length) > maximum_packet_bytes_) return stored;
        // Nothing may fail once an alias has changed: all that needs memory comes first.
        std::string name(is_known ? std::string_view{} : topic);
        if (!is_known) reserve_replaced(log.written());
        drop_written(log.written());
        sizes_.reserve(1);
        const packet_slice sent = log.encode(p, protocol_version::v5, *length);
        const packet_log::position before = log.queued();
        sizes_.next_reserved() = {before + sent.size, sent.size};
        if (!is_known) set(a, number, std::move(name), p.packet_id, before);
        if (wanted != 0) return sent;
        if (!is_known) policy_->assign(number, hash);
        policy_->count_bytes(sent.size, stored.size);
        return sent;
    }

    void set(alias& a, std::size_t number, std::string topic, packet_id by, packet_log::position before) noexcept {
        a.topic.swap(topic);
        a.is_set = true;
        a.set_by = by;
        if (!topic.empty()) replaced_.push_back({number, before, std::move(topic)});
    }

    void reserve_replaced(packet_log::position written) {
        replaced_.erase_if([&](const replaced& r) { return r.end <= written; });
        replaced_.reserve(replaced_.size() + 1);
    }
    void drop_written(packet_log::position written) noexcept {
        while (!sizes_.empty() && sizes_.front().end <= written)
            sizes_.drop_front();
    }

    growing_array<alias> aliases_; // by their numbers less one
    growing_array<replaced> replaced_;
    ring<queued_size> sizes_; // of messages with aliases
    heap_optional<alias_policy> policy_;
    std::uint16_t own_;
    std::uint32_t maximum_packet_bytes_;
};

} // namespace tern::detail

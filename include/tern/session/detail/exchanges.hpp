// The client's unfinished exchanges, by packet identifier, in the order in which their packets were first sent: an
// exchange whose PUBLISH is answered by PUBREC goes to the end, because its packet is PUBREL from then on.
//
// Identifiers are given out in turn, so that one is not used again soon after it became free; an identifier
// in use is never given out [MQTT-2.2.1-3]. An exchange lies in the slot `id mod size`, and the table grows
// before it is more than half full: finding, adding and removing take the same time with one exchange as
// with 65,535.
//
//     publish_1   PUBLISH sent (QoS 1)   PUBACK -> over
//     publish_2   PUBLISH sent (QoS 2)   PUBREC -> pubrel
//     pubrel      PUBREL sent            PUBCOMP -> over
//     subscribe   SUBSCRIBE sent         SUBACK -> over
//     unsubscribe UNSUBSCRIBE sent       UNSUBACK -> over
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/session/detail/block.hpp"
#include "tern/session/detail/outbox.hpp"
#include "tern/session/detail/packet_id_set.hpp"
#include "tern/session/event.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tern::detail {

enum class exchange_state : std::uint8_t { publish_1, publish_2, pubrel, subscribe, unsubscribe };

struct exchange {
    packet_id id = 0; // 0: the slot is free
    packet_id before = 0;
    packet_id after = 0;
    exchange_state state = exchange_state::publish_1;
    bool sent : 1 = false;      // on this connection
    bool fresh : 1 = false;     // for the first time
    bool tried : 1 = false;     // on an earlier one, of which the peer may have got it
    bool given_up : 1 = false;  // it has failed already, and is only there because the session goes on
    bool withdrawn : 1 = false; // too late; but it is not to be sent once more
    op_id op = op_id::none;
    outbox::place packet;                   // retained in all states but pubrel
    std::uint32_t filters = 0;              // how many reason codes answer a SUBSCRIBE or UNSUBSCRIBE
    time_point expires = time_point::max(); // of a message that is published anew; as in the queue
    time_point counts_from = time_point::max();
    outbox::position sent_at_position = 0;
    time_point sent_at;
};
static_assert(sizeof(exchange) == 64, "a power of two is found by a shift");

class exchange_table {
public:
    static constexpr std::size_t capacity = 65'535;

    bool empty() const noexcept { return used_ == 0; }
    std::size_t size() const noexcept { return used_; }
    bool full() const noexcept { return used_ == capacity; }

    /// The exchange that uses the identifier, which is not 0, or null.
    exchange* find(packet_id id) noexcept {
        if (slots_.empty()) return nullptr;
        exchange& slot = slot_of(id);
        return slot.id == id ? &slot : nullptr;
    }
    /// The same of an identifier that is in use, or 0 for none.
    exchange* at(packet_id id) noexcept { return id == 0 ? nullptr : &slot_of(id); }
    /// Where the exchange lies that uses, or has used, the identifier; or another one by now.
    exchange& slot_of(packet_id id) noexcept { return slots_[id & (slots_.size() - 1)]; }

    /// The oldest exchange, or null; and the one that began after a given one.
    exchange* first() noexcept { return at(first_); }
    exchange* next(const exchange& e) noexcept { return at(e.after); }
    /// The same from the newest on.
    exchange* last() noexcept { return at(last_); }
    exchange* previous(const exchange& e) noexcept { return at(e.before); }

    /// Identifiers are given out from the one behind this, if none is in use.
    void begin_behind(packet_id id) noexcept {
        if (empty()) last_id_ = id;
    }

    /// Makes room, so that one can be added without memory.
    void reserve() {
        if (used_ * 2 >= slots_.size() && slots_.size() <= capacity) [[unlikely]]
            grow();
    }

    /// The next free identifier. The table must not be full, and have room.
    TERN_INLINE packet_id next_id() const noexcept {
        packet_id id = last_id_;
        if (slots_.size() > capacity) [[unlikely]]
            return taken_.next_absent(static_cast<packet_id>(id + 1));
        do
            id = id == capacity ? packet_id{1} : static_cast<packet_id>(id + 1);
        while (slots_[id & (slots_.size() - 1)].id != 0);
        return id;
    }
    /// Begins an exchange under that identifier.
    TERN_INLINE exchange& add(packet_id id) {
        exchange& e = slot_of(id);
        e = exchange{};
        e.id = id;
        append(e);
        last_id_ = id;
        ++used_;
        if (slots_.size() > capacity) [[unlikely]]
            taken_.insert(id);
        return e;
    }

    TERN_INLINE void remove(exchange& e) noexcept {
        unlink(e);
        if (slots_.size() > capacity) [[unlikely]]
            taken_.erase(e.id);
        e.id = 0;
        --used_;
    }

    void move_to_end(exchange& e) noexcept {
        unlink(e);
        append(e);
    }

private:
    friend struct session_inspector;

    TERN_INLINE void append(exchange& e) noexcept {
        e.before = last_;
        e.after = 0;
        (last_ == 0 ? first_ : slot_of(last_).after) = e.id;
        last_ = e.id;
    }

    TERN_INLINE void unlink(exchange& e) noexcept {
        (e.before == 0 ? first_ : slot_of(e.before).after) = e.after;
        (e.after == 0 ? last_ : slot_of(e.after).before) = e.before;
    }

    TERN_NOINLINE void grow() {
        block<exchange> larger(slots_.empty() ? std::size_t{8} : std::size_t{slots_.size()} * 2);
        if (larger.size() > capacity) taken_.reserve();
        for (exchange& e : slots_)
            if (e.id != 0) larger[e.id & (larger.size() - 1)] = e;
        slots_ = std::move(larger);
        if (slots_.size() <= capacity) return;
        taken_.insert(0);
        for (exchange& e : slots_)
            if (e.id != 0) taken_.insert(e.id);
    }

    block<exchange> slots_; // a power of two, or none
    packet_id_set taken_;   // and 0, once the table has its full size and can be more than half full
    std::uint32_t used_ = 0;
    packet_id last_id_ = 0; // given out last
    packet_id first_ = 0;   // of the list in order of their beginning
    packet_id last_ = 0;
};

} // namespace tern::detail

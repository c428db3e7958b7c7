// The client's unfinished exchanges, by packet identifier, in the order in which their packets were first sent. An
// exchange whose PUBLISH is answered by PUBREC moves to the end, because its packet is PUBREL from then on.
//
// Identifiers are assigned in turn, so that one is not reused soon after it became free. An identifier in use is never
// assigned [MQTT-2.2.1-3]. An exchange lies in the slot `id mod size`, and the table grows before it is more than half
// full: finding, adding and removing take the same time with one exchange as with 65,535.
//
//     state        packet that was sent   ends with
//     publish_1    PUBLISH (QoS 1)        PUBACK
//     publish_2    PUBLISH (QoS 2)        PUBREC >= 0x80; otherwise PUBREC leads to pubrel
//     pubrel       PUBREL                 PUBCOMP
//     pubrel_in_doubt  the same, but its PUBREC came in a session that the broker may have lost unnoticed
//     subscribe    SUBSCRIBE              SUBACK
//     unsubscribe  UNSUBSCRIBE            UNSUBACK
//
// An exchange whose packet must not be sent again is withheld: its operation has ended and its packet is freed, but its
// identifier stays taken while the session lives, because the broker may know it.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/memory/packet_id_set.hpp"
#include "tern/session/detail/send/packet_log.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tern::detail {

enum class exchange_state : std::uint8_t { publish_1, publish_2, pubrel, pubrel_in_doubt, subscribe, unsubscribe };

/// Whether an operation still waits for the end of an exchange.
enum class exchange_owner : std::uint8_t {
    waiting,   ///< an operation waits, or the session itself (`op_id::none`)
    cancelled, ///< cancelled after it had been sent: the exchange goes on, but the message is not published again
    gone,      ///< it has completed with an error: the exchange only goes on because the broker keeps the session
};

/// How much of a packet was written.
enum class reach : std::uint8_t {
    unsent,      ///< not a byte
    partly_sent, ///< not all of it: the broker cannot have processed it
    sent,        ///< all of it
};

/// How the packet of an exchange was sent on the present connection.
enum class transmission_state : std::uint8_t {
    unsent, ///< not yet
    first,  ///< for the first time on any connection
    resent, ///< again, after an earlier connection or an earlier transmission
};

struct exchange {
    packet_id id = 0; // 0: the slot is free
    packet_id previous = 0;
    packet_id next = 0;
    exchange_state state = exchange_state::publish_1;
    exchange_owner owner : 2 = exchange_owner::waiting;
    transmission_state transmission : 2 = transmission_state::unsent;
    reach earlier : 2 = reach::unsent; // in the present session, before the present connection or transmission
    bool in_lost_session : 1 = false;  // at least a byte was written in an earlier session
    op_id op = op_id::none;
    packet_slice packet;                      // retained in all states but pubrel
    std::uint32_t request_number = 0;         // of SUBSCRIBE and UNSUBSCRIBE, in the order of requests
    time_point expires = (time_point::max)(); // of a message that is published again; as in the queue
    time_point expiry_counted_from = (time_point::max)();
    packet_log::position end = 0; // of its last transmission on this connection
    time_point sent_at;           // when that was written

    bool is_sent() const noexcept { return transmission != transmission_state::unsent; }
    bool is_publish() const noexcept {
        return state == exchange_state::publish_1 || state == exchange_state::publish_2;
    }
    bool is_request() const noexcept {
        return state == exchange_state::subscribe || state == exchange_state::unsubscribe;
    }
    bool awaits_pubcomp() const noexcept {
        return state == exchange_state::pubrel || state == exchange_state::pubrel_in_doubt;
    }
    bool is_withheld() const noexcept { return packet.size == 0 && !awaits_pubcomp(); }
    /// Whether the broker may have received a byte of it, before the present connection.
    bool was_offered() const noexcept { return earlier != reach::unsent || in_lost_session; }
};
static_assert(sizeof(exchange) == 64, "slots are found by a shift, not by a multiplication");

class exchange_table {
public:
    static constexpr std::size_t capacity = 65'535;

    bool empty() const noexcept { return used_ == 0; }
    std::size_t size() const noexcept { return used_; }
    bool full() const noexcept { return used_ == capacity; }

    /// The exchange that uses the identifier, which is not 0; null if there is none.
    const exchange* find(packet_id id) const noexcept {
        if (slots_.empty()) return nullptr;
        const exchange& slot = slot_of(id);
        return slot.id == id ? &slot : nullptr;
    }
    /// The same for an identifier that is in use, or for 0, which gives null.
    const exchange* at(packet_id id) const noexcept { return id == 0 ? nullptr : &slot_of(id); }
    /// The slot of the exchange that uses the identifier, or has used it. Another exchange may be there by now.
    const exchange& slot_of(packet_id id) const noexcept { return slots_[id & (slots_.size() - 1)]; }
    /// The same exchange, to be changed. It lies in this table, which is not const here.
    exchange& writable(const exchange& e) noexcept {
        return const_cast<exchange&>(e); // NOLINT(cppcoreguidelines-pro-type-const-cast)
    }

    /// The oldest exchange, and the next newer one; null if there is none.
    const exchange* first() const noexcept { return at(first_); }
    const exchange* next(const exchange& e) const noexcept { return at(e.next); }
    /// The newest exchange, and the next older one; null if there is none.
    const exchange* last() const noexcept { return at(last_); }
    const exchange* previous(const exchange& e) const noexcept { return at(e.previous); }

    /// Assigns the identifiers after this one from now on.
    void start_ids_after(packet_id id) noexcept { last_id_ = id; }

    /// Makes room: the next exchange is added without allocating.
    void reserve() {
        if (used_ * 2 >= slots_.size() && slots_.size() <= capacity) [[unlikely]]
            grow();
    }

    /// Frees the memory if it is not in use.
    TERN_COLD void trim() noexcept {
        if (used_ != 0) return;
        slots_ = {};
        taken_.clear();
    }

    /// The next free identifier. The table must not be full and must have room.
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
        exchange& e = slot(id);
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

    exchange& slot(packet_id id) noexcept { return slots_[id & (slots_.size() - 1)]; }

    TERN_INLINE void append(exchange& e) noexcept {
        e.previous = last_;
        e.next = 0;
        (last_ == 0 ? first_ : slot(last_).next) = e.id;
        last_ = e.id;
    }

    TERN_INLINE void unlink(exchange& e) noexcept {
        (e.previous == 0 ? first_ : slot(e.previous).next) = e.next;
        (e.next == 0 ? last_ : slot(e.next).previous) = e.previous;
    }

    TERN_COLD TERN_NOINLINE void grow() {
        growing_array<exchange> larger(slots_.empty() ? std::size_t{8} : std::size_t{slots_.size()} * 2);
        if (larger.size() > capacity) taken_.reserve();
        for (exchange& e : slots_)
            if (e.id != 0) larger[e.id & (larger.size() - 1)] = e;
        slots_ = std::move(larger);
        if (slots_.size() <= capacity) return;
        taken_.insert(0);
        for (exchange& e : slots_)
            if (e.id != 0) taken_.insert(e.id);
    }

    growing_array<exchange> slots_; // their number is a power of two, or 0
    packet_id_set taken_;           // and 0. Used once the table has its full size and can be more than half full
    std::uint32_t used_ = 0;
    packet_id last_id_ = 0; // assigned last
    packet_id first_ = 0;   // the ends of the list, in the order of the first transmissions
    packet_id last_ = 0;
};

} // namespace tern::detail

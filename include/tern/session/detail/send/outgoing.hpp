// The outgoing half of the lasting state: unfinished exchanges, queued messages, and the log that holds their packets.
// It outlives connections, and only the functions here change it.
//
//     begin_publish, begin_request   an exchange begins, its packet is retained
//     release_message                PUBREC: the broker owns the message, PUBREL is due until PUBCOMP
//     cancel                         the operation no longer waits: the message is not published again
//     abandon                        the operation has completed with an error, but the broker may know the exchange
//     withhold                       the same, and the packet is not sent again
//     restart                        the broker has lost the session: the exchange begins again
//     end                            the exchange is over, its identifier is free
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/send/exchange_table.hpp"
#include "tern/session/detail/send/op_index.hpp"
#include "tern/session/detail/send/packet_log.hpp"
#include "tern/session/detail/send/patch.hpp"
#include "tern/session/detail/send/send_queue.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace tern::detail {

/// Whether the slots of exchanges that have ended may be freed.
enum class trim_exchanges : std::uint8_t {
    yes,
    no, ///< packets of exchanges are not written yet, and refer to the slots
};

class outgoing {
public:
    packet_log& log() noexcept { return log_; }
    const packet_log& log() const noexcept { return log_; }
    send_queue& queue() noexcept { return queue_; }
    const send_queue& queue() const noexcept { return queue_; }
    const exchange_table& exchanges() const noexcept { return exchanges_; }
    protocol_version version() const noexcept { return version_; }

    std::uint64_t messages_sent() const noexcept { return messages_sent_; }
    std::uint64_t messages_resent() const noexcept { return messages_resent_; }
    std::uint64_t messages_unsent() const noexcept { return messages_unsent_; }
    /// How many PUBLISH exchanges an operation, or the session itself, still waits for.
    std::uint32_t awaited_publishes() const noexcept { return awaited_publishes_; }
    /// Whether an answer of the broker is expected, on this connection or a later one.
    bool awaits_answers() const noexcept { return exchanges_.size() != withheld_; }

    // ---- exchanges

    /// Makes room: the next exchange begins without allocating.
    TERN_INLINE void reserve_exchange() { exchanges_.reserve(); }

    TERN_INLINE const exchange& begin_publish(const packet_slice& packet, packet_id id, qos level, op_id op) {
        log_.retain(packet);
        exchange& e = exchanges_.add(id);
        e.state = level == qos::exactly_once ? exchange_state::publish_2 : exchange_state::publish_1;
        e.op = op;
        e.packet = packet;
        ++messages_sent_;
        ++awaited_publishes_;
        if (indexes_) [[unlikely]]
            add_to_index(e);
        return e;
    }
    TERN_COLD const exchange& begin_request(const packet_slice& packet, packet_id id, exchange_state state,
                                            std::uint32_t number, op_id op) {
        log_.retain(packet);
        exchange& e = exchanges_.add(id);
        e.state = state;
        e.op = op;
        e.packet = packet;
        e.request_number = number;
        if (indexes_) add_to_index(e);
        return e;
    }
    /// Makes the indexes of operations. Null if allocation fails. The owner of what else is sent may use `unwritten`.
    struct indexes {
        op_index exchanges;
        op_index unwritten; // QoS 0 messages
    };
    TERN_COLD indexes* make_indexes() noexcept {
        if (!indexes_ && indexes_.try_emplace()) fill_index();
        return indexes_ ? &*indexes_ : nullptr;
    }
    /// The exchange for which an operation waits, or null.
    TERN_COLD const exchange* find(op_id op) noexcept {
        if (exchanges_.size() > op_index::few) make_indexes();
        if (!indexes_) {
            const exchange* e = exchanges_.last();
            while (e && e->op != op)
                e = exchanges_.previous(*e);
            return e;
        }
        const std::uint64_t* const id = indexes_->exchanges.find(op);
        const exchange* const e = id ? exchanges_.find(static_cast<packet_id>(*id)) : nullptr;
        return e && e->op == op ? e : nullptr;
    }
    TERN_INLINE void set_times(const exchange& e, time_point expires, time_point expiry_counted_from) noexcept {
        exchange& writable = exchanges_.writable(e);
        writable.expires = expires;
        writable.expiry_counted_from = expiry_counted_from;
    }

    /// The packet of an exchange was queued to be written up to this position.
    TERN_INLINE void mark_sent(const exchange& e, transmission_state how, packet_log::position end,
                               time_point now) noexcept {
        exchange& writable = exchanges_.writable(e);
        writable.transmission = how;
        writable.end = end;
        writable.sent_at = now;
    }
    TERN_INLINE void mark_written(const exchange& e, time_point now) noexcept { exchanges_.writable(e).sent_at = now; }
    /// The connection is lost, or an acknowledgement was late: the broker may have received that much of the packet.
    void mark_earlier(const exchange& e, reach sent) noexcept {
        exchange& writable = exchanges_.writable(e);
        if (sent > writable.earlier) writable.earlier = sent;
    }
    void mark_unsent(const exchange& e) noexcept { exchanges_.writable(e).transmission = transmission_state::unsent; }
    void count_resent() noexcept { ++messages_resent_; }

    void release_message(const exchange& e) noexcept {
        exchange& writable = exchanges_.writable(e);
        exchanges_.move_to_end(writable);
        free_packet(writable);
        writable.packet = {};
        writable.earlier = reach::sent;
        writable.state = exchange_state::pubrel;
    }
    void cancel(const exchange& e) noexcept { exchanges_.writable(e).owner = exchange_owner::cancelled; }
    /// The operation is the caller's to complete.
    TERN_COLD op_id abandon(const exchange& e) noexcept {
        exchange& writable = exchanges_.writable(e);
        stop_awaiting(writable);
        writable.owner = exchange_owner::gone;
        return std::exchange(writable.op, op_id::none);
    }
    /// A request of the session itself was repeated: nothing waits for this one any more.
    TERN_COLD void disown(const exchange& e) noexcept { exchanges_.writable(e).owner = exchange_owner::gone; }
    TERN_COLD op_id withhold(const exchange& e) noexcept {
        exchange& writable = exchanges_.writable(e);
        if (!e.is_withheld()) {
            if (e.awaits_pubcomp())
                writable.state = exchange_state::publish_2;
            else
                log_.release(writable.packet);
            writable.packet = {};
            ++withheld_;
        }
        return abandon(e);
    }
    TERN_COLD void restart(const exchange& e, time_point now) noexcept {
        exchange& writable = exchanges_.writable(e);
        writable.in_lost_session = e.was_offered();
        writable.earlier = reach::unsent;
        if (writable.expiry_counted_from != (time_point::max)())
            age_expiry_interval(log_.bytes(writable.packet), writable.expiry_counted_from, now);
    }
    /// The broker may have lost the session unnoticed: PUBCOMP no longer shows that the message has arrived.
    TERN_COLD void begin_doubt() noexcept {
        for (const exchange* e = exchanges_.first(); e; e = exchanges_.next(*e))
            if (e->awaits_pubcomp()) exchanges_.writable(*e).state = exchange_state::pubrel_in_doubt;
    }
    TERN_INLINE void end(const exchange& e) noexcept {
        exchange& writable = exchanges_.writable(e);
        stop_awaiting(writable);
        exchanges_.remove(writable);
        free_packet(writable);
    }

    /// A message that was not written goes back to the head of the queue.
    TERN_COLD void requeue(const exchange& e) {
        const queued_message m{.packet = e.packet,
                               .version = version_,
                               .op = e.op,
                               .expires = e.expires,
                               .expiry_counted_from = e.expiry_counted_from};
        const exchange_owner owner = e.owner;
        queue_.reserve();
        log_.retain(m.packet);
        end(e);
        --messages_sent_;
        if (owner == exchange_owner::cancelled)
            queue_.drop(log_, m);
        else
            queue_.push_front(m, true);
    }

    /// The session is over: ends the exchanges that only went on because the broker kept it.
    TERN_COLD void forget_session() noexcept {
        for (const exchange *e = exchanges_.first(), *after = nullptr; e; e = after) {
            after = exchanges_.next(*e);
            if (e->op == op_id::none) end(*e);
        }
    }

    /// In a session that another process has begun, its identifiers may be in use: gives other ones to all exchanges.
    TERN_COLD void renumber_after(packet_id id) noexcept {
        exchanges_.start_ids_after(id);
        for (std::size_t n = exchanges_.size(); n != 0; --n) {
            exchange& first = exchanges_.writable(*exchanges_.first());
            exchange moved = first;
            exchanges_.remove(first);
            exchange& e = exchanges_.add(exchanges_.next_id());
            moved.id = e.id;
            moved.previous = e.previous;
            moved.next = e.next;
            e = moved;
            if (e.packet.size != 0) set_packet_id(log_.bytes(e.packet), e.id);
        }
    }

    // ---- messages without an exchange

    void count_sent() noexcept { ++messages_sent_; }
    void count_unsent() noexcept { --messages_sent_; }
    /// A message was not sent before the end of the run.
    void count_left_unsent() noexcept { ++messages_unsent_; }

    /// Encodes queued messages for another protocol version. If it throws, this was done for some of them.
    TERN_COLD void set_version(protocol_version version) {
        queue_.check_all(log_, [&](queued_message& m) {
            if (m.version == version) return errc::none;
            return encode_again(m, decode_publish(log_.view(m.packet), m.version), version);
        });
        version_ = version;
    }

    /// Frees the memory that is not in use.
    TERN_COLD void trim(trim_exchanges exchanges) noexcept {
        log_.trim();
        queue_.trim();
        if (!exchanges_.empty() || exchanges == trim_exchanges::no) return;
        exchanges_.trim();
        indexes_.reset();
    }

    /// Bounds the memory of the log, after each write. Acknowledgements may come in any order, so any number of chunks
    /// can be left with one packet: then the packets move together.
    TERN_INLINE void bound_log() {
        if (log_.allocated() >= smallest_sparse_log) [[unlikely]]
            compact_if_sparse();
    }

private:
    friend struct session_inspector;

    TERN_INLINE void free_packet(const exchange& e) noexcept {
        if (e.packet.size != 0)
            log_.release(e.packet);
        else if (!e.awaits_pubcomp())
            --withheld_;
    }

    static constexpr std::size_t smallest_sparse_log = std::size_t{512} * 1024;

    // Between two times, about as many bytes are encoded as the second one moves: the cost of both is linear.
    TERN_NOINLINE void compact_if_sparse() {
        const std::uint64_t in_use = log_.retained() + log_.unwritten();
        compacted_to_ = (std::min)(compacted_to_, log_.in_chunks());
        if (log_.in_chunks() < smallest_sparse_log + 2 * in_use) return;
        if (log_.in_chunks() < compacted_to_ + (smallest_sparse_log + in_use) / 2) return;
        queue_.check_all(log_, [&](queued_message& m) {
            if (log_.is_movable(m.packet)) m.packet = log_.move(m.packet);
            return errc::none;
        });
        for (const exchange* e = exchanges_.first(); e; e = exchanges_.next(*e)) {
            if (e->packet.size == 0 || !log_.is_movable(e->packet)) continue;
            exchanges_.writable(*e).packet = log_.move(e->packet);
        }
        compacted_to_ = log_.in_chunks();
    }

    TERN_COLD errc encode_again(queued_message& m, const publish& p, protocol_version version) {
        const auto length = measure(p, version);
        if (!length) return length.error();
        const packet_slice slice = log_.encode(p, version, *length);
        log_.retain(slice);
        log_.release(m.packet);
        m.packet = slice;
        m.version = version;
        return errc::none;
    }

    // From the first search among many exchanges on, the index has all of them.
    TERN_NOINLINE void add_to_index(const exchange& e) noexcept {
        op_index& index = indexes_->exchanges;
        if (index.size() <= 2 * exchanges_.size() + op_index::few && index.reserve(1))
            index.set(e.op, e.id);
        else
            fill_index(); // most of it is about exchanges that have ended
    }
    TERN_COLD void fill_index() noexcept {
        op_index& index = indexes_->exchanges;
        index.clear();
        if (!index.reserve(exchanges_.size())) return indexes_.reset();
        for (const exchange* e = exchanges_.first(); e; e = exchanges_.next(*e))
            index.set(e->op, e->id);
    }

    TERN_INLINE void stop_awaiting(const exchange& e) noexcept {
        if (!e.is_request() && e.owner != exchange_owner::gone) --awaited_publishes_;
    }

    packet_log log_;
    exchange_table exchanges_;
    send_queue queue_;
    heap_optional<indexes> indexes_; // once an operation is cancelled among many
    protocol_version version_ = protocol_version::v5;
    std::uint32_t awaited_publishes_ = 0;
    std::uint32_t withheld_ = 0; // exchanges
    std::uint32_t messages_unsent_ = 0;
    std::size_t compacted_to_ = 0; // the least memory of the log since it was compacted last
    std::uint64_t messages_sent_ = 0;
    std::uint64_t messages_resent_ = 0;
};

} // namespace tern::detail

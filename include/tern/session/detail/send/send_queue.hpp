// The messages that wait to be sent: encoded, but without a packet identifier.
//
// QoS 0 waits for nothing but the connection, so there are two queues. Numbers in the order of publishing keep the
// order over both. The queue is bounded, and `queue_options::when_full` decides about a message that finds it full.
//
// The queue also holds the local completions: operations that end without an answer of the broker.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/send/op_index.hpp"
#include "tern/session/detail/send/packet_log.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <system_error>

namespace tern::detail {

struct queued_message {
    packet_slice packet;                             // retained; empty if the message was cancelled
    protocol_version version = protocol_version::v5; // of the packet
    bool acknowledged = false;                       // QoS 1 or 2
    op_id op = op_id::none;
    std::uint64_t number = 0;
    time_point expires = (time_point::max)();
    time_point expiry_counted_from = (time_point::max)(); // set if the packet has a message expiry interval
};

/// The end of an operation without an answer of the broker.
struct local_completion {
    op_id op = op_id::none;
    std::error_code error;
};

/// What the queue does with a new message.
enum class admission : std::uint8_t {
    accept,
    drop, ///< the message completes with `errc::message_dropped`
    refuse,
};

class send_queue {
public:
    void set_options(const queue_options& options) noexcept { options_ = options; }

    std::size_t size() const noexcept { return messages_; }
    std::size_t bytes() const noexcept { return bytes_; }
    std::size_t byte_limit() const noexcept { return options_.bytes; }
    bool empty() const noexcept { return messages_ == 0; }
    std::uint64_t dropped() const noexcept { return dropped_; }

    /// Decides about a new message of this size.
    admission admit(std::size_t size, op_id op) {
        if (has_room(messages_, bytes_, size)) return admission::accept;
        switch (options_.when_full) {
        case full_queue_action::refuse: break;
        case full_queue_action::wait: return op == op_id::none ? admission::refuse : admission::accept;
        case full_queue_action::drop_newest:
            add_completion(op, errc::message_dropped);
            ++dropped_;
            return admission::drop;
        case full_queue_action::drop_oldest_qos_0:
            if (can_make_room(size)) return admission::accept;
        }
        return admission::refuse;
    }
    /// Makes room in memory: the accepted message is queued, and those that are dropped for it end, without allocating.
    void reserve_for(std::size_t size) {
        reserve();
        completions_.reserve(1 + surplus(size));
    }
    /// Drops the messages that have to make room for the accepted one.
    TERN_COLD void make_room(packet_log& log, std::size_t size) {
        for (std::size_t n = surplus(size); n != 0; --n) {
            pop_cancelled(at_most_once_);
            end(log, at_most_once_.front(), errc::message_dropped);
        }
    }

    /// Frees the memory that is not in use.
    void trim() noexcept {
        if (messages_ == 0) {
            acknowledged_.clear();
            at_most_once_.clear();
            indexes_.reset();
            gaps_ = 0;
        }
        if (completions_.empty()) completions_.clear();
    }

    /// Makes room: the next message is queued, and ends, without allocating.
    void reserve() {
        acknowledged_.reserve(1);
        at_most_once_.reserve(1);
        completions_.reserve(1);
    }

    /// Appends a message, whose packet is retained.
    void push(queued_message m, bool acknowledged) {
        m.number = next_number_++;
        m.acknowledged = acknowledged;
        (acknowledged ? acknowledged_ : at_most_once_).push_back(m);
        count(m);
    }
    /// Puts a message before all others.
    void push_front(queued_message m, bool acknowledged) {
        m.number = --first_number_;
        m.acknowledged = acknowledged;
        (acknowledged ? acknowledged_ : at_most_once_).push_front(m);
        count(m);
    }

    /// Whether a new message may overtake the queue: nothing in it can be sent now.
    TERN_INLINE bool can_overtake(bool window_open) noexcept { return messages_ == 0 || !front(window_open); }

    /// The message to be sent next, or null. Only QoS 0 if the window is full.
    TERN_NOINLINE queued_message* front(bool window_open) noexcept {
        pop_cancelled(acknowledged_);
        pop_cancelled(at_most_once_);
        queued_message* const first = acknowledged_.empty() || !window_open ? nullptr : &acknowledged_.front();
        queued_message* const second = at_most_once_.empty() ? nullptr : &at_most_once_.front();
        if (!first || !second) return first ? first : second;
        return first->number < second->number ? first : second;
    }
    bool is_acknowledged(const queued_message* m) noexcept {
        return !acknowledged_.empty() && m == &acknowledged_.front();
    }
    /// Removes the result of `front`. Its packet stays retained.
    queued_message pop(const queued_message* m) noexcept {
        queued_message taken = (is_acknowledged(m) ? acknowledged_ : at_most_once_).pop_front();
        uncount(taken);
        return taken;
    }

    /// Removes a message. False if it is not here.
    TERN_COLD bool cancel(packet_log& log, op_id op) noexcept {
        for (const queue_name name : {queue_name::acknowledged, queue_name::at_most_once}) {
            ring<queued_message>& queue = queue_of(name);
            pop_cancelled(queue);
            queued_message* const m = find(name, op);
            if (!m) continue;
            remove(log, *m);
            while (!queue.empty() && queue.back().packet.size == 0) {
                queue.pop_back();
                --gaps_;
            }
            if (gaps_ * 2 > acknowledged_.size() + at_most_once_.size()) close_gaps();
            return true;
        }
        return false;
    }

    /// Ends each message for which `error_of` gives an error. `error_of` may change the packet.
    template <class Check>
    TERN_COLD void check_all(packet_log& log, Check error_of) {
        for (ring<queued_message>* const queue : {&acknowledged_, &at_most_once_}) {
            for (std::size_t i = 0; i != queue->size(); ++i) {
                queued_message& m = (*queue)[i];
                if (m.packet.size == 0) continue;
                const std::size_t before = m.packet.size;
                const errc error = error_of(m); // may throw when it allocates another packet
                bytes_ += m.packet.size - before;
                if (!m.acknowledged) at_most_once_bytes_ += m.packet.size - before;
                if (error != errc::none) end(log, m, error);
            }
        }
    }

    /// Removes the next message of all, because nothing more will be sent. False if there is none.
    TERN_COLD bool fail_next(packet_log& log, op_id& op) noexcept {
        queued_message* const m = front(true);
        if (!m) return false;
        const queued_message taken = pop(m);
        op = taken.op;
        log.release(taken.packet);
        return true;
    }

    /// Ends a message that was removed by `pop` without sending it.
    void expire(packet_log& log, const queued_message& m) { end_popped(log, m, errc::message_expired); }
    void drop(packet_log& log, const queued_message& m) { end_popped(log, m, errc::message_dropped); }

    // ---- local completions

    /// The number of the next message that is added at the end.
    std::uint64_t next_number() const noexcept { return next_number_; }

    /// Makes room: the next `count` completions are added without allocating.
    void reserve_completions(std::size_t count) { completions_.reserve(count); }
    void add_completion(op_id op, errc error) { add_completion(op, misuse(error)); }
    void add_completion(op_id op, std::error_code error) {
        if (op != op_id::none) completions_.push_back({op, error});
    }
    /// Adds a success before all other completions.
    void add_first_completion(op_id op) {
        if (op != op_id::none) completions_.push_front({op, std::error_code{}});
    }
    bool next_completion(local_completion& next) noexcept {
        if (completions_.empty()) return false;
        next = completions_.pop_front();
        return true;
    }
    std::size_t completions() const noexcept { return completions_.size(); }

    // ---- time

    /// When a message expires, or shortly after: a deadline for each message would be too frequent.
    /// The value may change after every other call.
    time_point deadline() const noexcept { return expiry_; }
    /// If an allocation fails, the deadline stays, and the next call ends the rest of the expired messages.
    TERN_COLD void on_deadline(packet_log& log, time_point now) {
        time_point next = (time_point::max)();
        check_all(log, [&](const queued_message& m) {
            if (m.expires <= now) return errc::message_expired;
            next = (std::min)(next, m.expires);
            return errc::none;
        });
        close_gaps();
        expiry_ = next == (time_point::max)() ? next : (std::max)(next, now + expiry_granularity);
    }

private:
    friend struct session_inspector;

    static constexpr std::chrono::milliseconds expiry_granularity{100};
    static constexpr std::uint64_t middle = std::uint64_t{1} << 63U;

    enum class queue_name : std::uint8_t {
        acknowledged, ///< QoS 1 and 2
        at_most_once,
    };
    struct indexes {
        op_index acknowledged;
        op_index at_most_once;
    };

    ring<queued_message>& queue_of(queue_name name) noexcept {
        return name == queue_name::acknowledged ? acknowledged_ : at_most_once_;
    }
    TERN_COLD queued_message* find(queue_name name, op_id op) noexcept {
        ring<queued_message>& queue = queue_of(name);
        op_index none;
        op_index* index = &none;
        if (queue.size() > op_index::few && (indexes_ || indexes_.try_emplace()))
            index = name == queue_name::acknowledged ? &indexes_->acknowledged : &indexes_->at_most_once;
        return index->find(queue, op, [](const queued_message& m) { return m.number; });
    }

    // Whether a queue of so many messages and bytes has room for a message of this size.
    bool has_room(std::size_t messages, std::size_t bytes, std::size_t size) const noexcept {
        return messages < options_.messages && bytes + size <= options_.bytes;
    }
    // Whether dropping QoS 0 can make room for it.
    bool can_make_room(std::size_t size) const noexcept {
        return has_room(messages_ - at_most_once_messages_, bytes_ - at_most_once_bytes_, size);
    }
    // How many QoS 0 messages, the oldest first, are dropped for it.
    std::size_t surplus(std::size_t size) const noexcept {
        std::size_t count = 0, bytes = bytes_;
        if (options_.when_full != full_queue_action::drop_oldest_qos_0) return count;
        for (std::size_t i = 0; i != at_most_once_.size() && !has_room(messages_ - count, bytes, size); ++i) {
            if (at_most_once_[i].packet.size == 0) continue; // cancelled
            bytes -= at_most_once_[i].packet.size;
            ++count;
        }
        return count;
    }

    void pop_cancelled(ring<queued_message>& queue) noexcept {
        for (; !queue.empty() && queue.front().packet.size == 0; --gaps_)
            queue.pop_front();
    }
    // Cancelled messages leave gaps, which must not accumulate behind a message that stays.
    TERN_COLD void close_gaps() noexcept {
        for (ring<queued_message>* const queue : {&acknowledged_, &at_most_once_}) {
            for (std::size_t n = queue->size(); n != 0; --n)
                if (const queued_message m = queue->pop_front(); m.packet.size != 0) queue->push_back(m);
        }
        gaps_ = 0;
    }

    void count(const queued_message& m) noexcept {
        ++messages_;
        bytes_ += m.packet.size;
        if (!m.acknowledged) {
            ++at_most_once_messages_;
            at_most_once_bytes_ += m.packet.size;
        }
        expiry_ = (std::min)(expiry_, m.expires);
    }
    void uncount(const queued_message& m) noexcept {
        bytes_ -= m.packet.size;
        if (!m.acknowledged) {
            --at_most_once_messages_;
            at_most_once_bytes_ -= m.packet.size;
        }
        if (--messages_ == 0) expiry_ = (time_point::max)();
    }
    void remove(packet_log& log, queued_message& m) noexcept {
        uncount(m);
        log.release(m.packet);
        m.packet = {}; // the number stays: the search for others depends on it
        m.op = op_id::none;
        ++gaps_;
    }
    TERN_COLD void end(packet_log& log, queued_message& m, errc error) {
        add_completion(m.op, error);
        ++dropped_;
        remove(log, m);
    }
    TERN_COLD void end_popped(packet_log& log, const queued_message& m, errc error) {
        add_completion(m.op, error);
        ++dropped_;
        log.release(m.packet);
    }

    queue_options options_;
    ring<queued_message> acknowledged_; // QoS 1 and 2
    ring<queued_message> at_most_once_;
    ring<local_completion> completions_;
    std::uint64_t first_number_ = middle;
    std::uint64_t next_number_ = middle;
    std::size_t bytes_ = 0;
    std::size_t at_most_once_bytes_ = 0;
    std::uint32_t messages_ = 0;
    std::uint32_t at_most_once_messages_ = 0;
    std::uint32_t gaps_ = 0;
    heap_optional<indexes> indexes_; // once a message is cancelled among many
    std::uint64_t dropped_ = 0;
    time_point expiry_ = (time_point::max)();
};

} // namespace tern::detail

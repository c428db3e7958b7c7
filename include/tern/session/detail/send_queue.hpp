// The messages that wait to be sent: encoded, but without a packet identifier.
//
// QoS 0 waits for nothing but the connection, so there are two queues. Numbers in the order of publishing let what
// may be sent leave in that order. The queue is bounded; what to do with a message that finds it full, the owner
// has decided. A message that is dropped or has expired ends with an error of its own, which `next_ended` gives.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/outbox.hpp"
#include "tern/session/detail/ring.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

struct queued_message {
    outbox::place packet;                            // retained; empty if the message was taken back
    protocol_version version = protocol_version::v5; // of its packet
    op_id op = op_id::none;
    std::uint64_t number = 0;
    time_point expires = time_point::max();
    time_point counts_from = time_point::max(); // its packet has a message expiry interval, as of then
};

class send_queue {
public:
    struct ended_message {
        op_id op = op_id::none;
        errc error = errc::none;
    };

    void set_options(const queue_options& options) noexcept { options_ = options; }

    std::size_t size() const noexcept { return messages_; }
    std::size_t bytes() const noexcept { return bytes_; }
    std::size_t byte_limit() const noexcept { return options_.bytes; }
    bool empty() const noexcept { return messages_ == 0; }
    std::uint64_t dropped() const noexcept { return dropped_; }

    /// Whether a message of this size finds room. If not, but one may be dropped, `drop` says that it has to be
    /// the new one; an older one is dropped here.
    errc admit(outbox& out, std::size_t size, op_id op, bool& drop) {
        drop = false;
        while (messages_ >= options_.messages || bytes_ + size > options_.bytes) {
            switch (options_.when_full) {
            case full_queue_action::refuse: return errc::queue_full;
            case full_queue_action::wait: return op == op_id::none ? errc::queue_full : errc::none;
            case full_queue_action::drop_newest:
                drop = true;
                add_ended(op, errc::message_dropped);
                ++dropped_;
                return errc::none;
            case full_queue_action::drop_oldest_qos_0:
                clean(at_most_once_);
                if (!can_make_room(size)) return errc::queue_full;
                end(out, at_most_once_.front(), errc::message_dropped);
                break;
            }
        }
        return errc::none;
    }

    /// Makes room, so that a message can be taken, and can end, without memory.
    void reserve() {
        acknowledged_.reserve(1);
        at_most_once_.reserve(1);
        ended_.reserve(1);
    }
    /// Makes room, so that so many can end without memory.
    void reserve_ends(std::size_t count) { ended_.reserve(count); }

    /// Takes a message whose packet is retained.
    void push(queued_message m, bool acknowledged) {
        m.number = next_number_++;
        (acknowledged ? acknowledged_ : at_most_once_).push_back(m);
        count(m);
    }
    /// Takes back a message that was to be written next; the last one first.
    void push_front(queued_message m, bool acknowledged) {
        m.number = --first_number_;
        (acknowledged ? acknowledged_ : at_most_once_).push_front(m);
        count(m);
    }

    /// Whether nothing waits here that is to be sent before a new message.
    TERN_INLINE bool may_pass(bool window_open) noexcept { return messages_ == 0 || !front(window_open); }

    /// The message that is to be sent next, or null; QoS 0 only, if the window is full.
    TERN_NOINLINE queued_message* front(bool window_open) noexcept {
        clean(acknowledged_);
        clean(at_most_once_);
        queued_message* const first =
            acknowledged_.empty() || !window_open ? nullptr : &acknowledged_.front();
        queued_message* const second = at_most_once_.empty() ? nullptr : &at_most_once_.front();
        if (!first || !second) return first ? first : second;
        return first->number < second->number ? first : second;
    }
    bool is_acknowledged(const queued_message* m) noexcept {
        return !acknowledged_.empty() && m == &acknowledged_.front();
    }
    /// Takes out what `front` gave. Its packet is still retained.
    queued_message pop(const queued_message* m) noexcept {
        queued_message taken = (is_acknowledged(m) ? acknowledged_ : at_most_once_).pop_front();
        uncount(taken);
        return taken;
    }

    /// Takes a message back; false if it is not here. It is looked for from both ends: many are cancelled in the
    /// order of their coming, or in the opposite one.
    bool withdraw(outbox& out, op_id op) noexcept {
        for (ring<queued_message>* const queue : {&acknowledged_, &at_most_once_}) {
            clean(*queue);
            for (std::size_t i = 0; i < queue->size() - i; ++i) {
                for (const std::size_t index : {i, queue->size() - 1 - i}) {
                    queued_message& m = (*queue)[index];
                    if (m.op != op || m.packet.size == 0) continue;
                    forget(out, m);
                    while (!queue->empty() && queue->back().packet.size == 0) {
                        queue->pop_back();
                        --gaps_;
                    }
                    if (gaps_ * 2 > acknowledged_.size() + at_most_once_.size()) close_gaps();
                    return true;
                }
            }
        }
        return false;
    }

    /// Ends every message for which `check` gives an error; `check` may change the packet.
    template <class Check>
    void check_all(outbox& out, Check check) {
        for (ring<queued_message>* const queue : {&acknowledged_, &at_most_once_}) {
            for (std::size_t i = 0; i != queue->size(); ++i) {
                queued_message& m = (*queue)[i];
                if (m.packet.size == 0) continue;
                const std::size_t before = m.packet.size;
                const errc error = check(m); // may throw, when there is no memory for another packet
                bytes_ += m.packet.size - before;
                if (error != errc::none) end(out, m, error);
            }
        }
    }

    /// The next that is given up, because nothing will be sent any more.
    bool next_failed(outbox& out, op_id& op) noexcept {
        queued_message* const m = front(true);
        if (!m) return false;
        const queued_message taken = pop(m);
        op = taken.op;
        out.release(taken.packet);
        return true;
    }

    /// A message that was taken out is not sent.
    void expire(outbox& out, const queued_message& m) { end_taken(out, m, errc::message_expired); }
    void drop(outbox& out, const queued_message& m) { end_taken(out, m, errc::message_dropped); }

    /// A message ended in another way than by the broker's answer.
    void add_ended(op_id op, errc error) {
        if (op != op_id::none) ended_.push_back({op, error});
    }
    bool next_ended(ended_message& ended) noexcept {
        if (ended_.empty()) return false;
        ended = ended_.pop_front();
        return true;
    }
    std::size_t ended() const noexcept { return ended_.size(); }

    /// When a message expires, or shortly after; that would be too often for every single one.
    time_point deadline() const noexcept { return expiry_; }
    void on_deadline(outbox& out, time_point now) {
        expiry_ = time_point::max();
        check_all(out, [&](const queued_message& m) {
            if (m.expires <= now) return errc::message_expired;
            if (m.expires != time_point::max()) expiry_ = std::min(expiry_, m.expires);
            return errc::none;
        });
        close_gaps();
        if (expiry_ != time_point::max()) expiry_ = std::max(expiry_, now + expiry_grain);
    }

private:
    friend struct session_inspector;

    static constexpr std::chrono::milliseconds expiry_grain{100};
    static constexpr std::uint64_t middle = std::uint64_t{1} << 63U;

    // Whether it is of use to drop QoS 0.
    bool can_make_room(std::size_t size) const noexcept {
        std::size_t messages = messages_, bytes = bytes_ + size;
        const auto has_room = [&] { return messages < options_.messages && bytes <= options_.bytes; };
        for (std::size_t i = 0; i != at_most_once_.size() && !has_room(); ++i) {
            const queued_message& m = at_most_once_[i];
            if (m.packet.size == 0) continue;
            --messages;
            bytes -= m.packet.size;
        }
        return has_room();
    }

    void clean(ring<queued_message>& queue) noexcept {
        for (; !queue.empty() && queue.front().packet.size == 0; --gaps_)
            queue.pop_front();
    }
    // Messages taken back leave gaps, which must not pile up behind one that stays.
    void close_gaps() noexcept {
        for (ring<queued_message>* const queue : {&acknowledged_, &at_most_once_}) {
            for (std::size_t n = queue->size(); n != 0; --n)
                if (const queued_message m = queue->pop_front(); m.packet.size != 0) queue->push_back(m);
        }
        gaps_ = 0;
    }

    void count(const queued_message& m) noexcept {
        ++messages_;
        bytes_ += m.packet.size;
        expiry_ = std::min(expiry_, m.expires);
    }
    void uncount(const queued_message& m) noexcept {
        bytes_ -= m.packet.size;
        if (--messages_ == 0) expiry_ = time_point::max();
    }
    void forget(outbox& out, queued_message& m) noexcept {
        uncount(m);
        out.release(m.packet);
        m = {};
        ++gaps_;
    }
    void end(outbox& out, queued_message& m, errc error) {
        add_ended(m.op, error);
        ++dropped_;
        forget(out, m);
    }

    void end_taken(outbox& out, const queued_message& m, errc error) {
        add_ended(m.op, error);
        ++dropped_;
        out.release(m.packet);
    }

    queue_options options_;
    ring<queued_message> acknowledged_; // QoS 1 and 2
    ring<queued_message> at_most_once_;
    ring<ended_message> ended_;
    std::uint64_t first_number_ = middle;
    std::uint64_t next_number_ = middle;
    std::size_t messages_ = 0;
    std::size_t bytes_ = 0;
    std::size_t gaps_ = 0;
    std::uint64_t dropped_ = 0;
    time_point expiry_ = time_point::max();
};

} // namespace tern::detail

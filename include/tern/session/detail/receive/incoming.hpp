// The incoming half of the lasting state: the packet identifiers of QoS 2 messages whose PUBREL has not come, and the
// messages among them that the application has but has not released. Only the functions here change it.
//
//     state               leaves it by
//     none                PUBLISH: pubrec_due
//     pubrec_due          PUBREC sent: open; connection lost: earlier_connection
//     open                PUBREL: none; PUBLISH again: pubrec_due; connection lost: earlier_connection
//     earlier_connection  PUBREL: none; PUBLISH again: pubrec_due; the session is assumed to be new: none
//
// If the broker did not answer CONNECT, it may have lost the session without the client's knowledge, and the next
// CONNACK says "session present" for a new one. Then it is in doubt whether an identifier of before still stands for
// the same message. A PUBREL, or a PUBLISH with DUP, for such an identifier shows that it does: a new session has no
// messages before the client has subscribed. Without that, the identifiers are forgotten with the first SUBACK. So in
// doubt a message may be delivered twice, but is never taken for another one.
//
//     doubt        leaves it by
//     none         CONNACK with "session present" after an unanswered CONNECT: undecided
//     undecided    PUBREL, or PUBLISH with DUP, for an identifier of before: none
//                  PUBLISH without DUP for one; SUBACK; the end of a connection with a SUBSCRIBE: assumed_new
//     assumed_new  CONNACK without a session: none
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/session/detail/memory/heap_optional.hpp"
#include "tern/session/detail/receive/unreleased.hpp"
#include "tern/session/event.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

enum class incoming_state : std::uint8_t {
    none,               ///< the identifier is free
    pubrec_due,         ///< the PUBREC has not been sent on this connection
    open,               ///< the PUBREC was sent on this connection, the PUBREL has not come
    earlier_connection, ///< the PUBREL has not come, and the PUBLISH has not come again on this connection
};

/// Whether the broker's session is the one of before.
enum class session_doubt : std::uint8_t {
    none,        ///< it is
    undecided,   ///< it may be a new one, and the broker may still show that it is not
    assumed_new, ///< nothing has shown that it is not, so the identifiers of before are forgotten
};

class incoming {
public:
    session_doubt doubt() const noexcept { return doubt_; }
    void begin_doubt() noexcept {
        doubt_ = session_doubt::undecided;
        session_start_ = static_cast<std::uint32_t>(first_token_);
    }
    /// Whether the broker's session is certainly the one in which a message with this token came.
    bool is_of_session(message_token token) const noexcept {
        const auto number = static_cast<std::uint32_t>(token);
        return static_cast<std::int32_t>(number - session_start_) >= 0; // numbers wrap around
    }
    /// PUBREL for an identifier of before.
    void confirm_session() noexcept {
        if (doubt_ == session_doubt::undecided) doubt_ = session_doubt::none;
    }
    /// PUBLISH with an identifier in this state. Returns whether it repeats the message of before.
    TERN_COLD bool resolve_doubt(incoming_state state, bool dup) noexcept {
        if (doubt_ != session_doubt::undecided || state != incoming_state::earlier_connection) return true;
        if (dup)
            confirm_session();
        else
            assume_new_session();
        return dup;
    }
    /// If it is undecided: forgets the identifiers of earlier connections.
    TERN_COLD void assume_new_session() noexcept {
        if (doubt_ != session_doubt::undecided) return;
        doubt_ = session_doubt::assumed_new;
        if (words_)
            for (std::uint64_t& word : *words_)
                word &=
                    ~((word & word >> 1U & low_bits) * static_cast<std::uint64_t>(incoming_state::earlier_connection));
        if (unreleased_)
            unreleased_->remove_if(
                [&](const unreleased_message& m) { return state_of(m.packet_id) == incoming_state::none; });
    }

    /// Two bits for each of the 65,535 identifiers, allocated with the first.
    TERN_INLINE incoming_state state_of(packet_id id) const noexcept {
        return words_ ? static_cast<incoming_state>((*words_)[id / 32U] >> shift(id) & 3U) : incoming_state::none;
    }
    bool has_open_ids() const noexcept {
        return words_ && std::any_of(words_->begin(), words_->end(), [](std::uint64_t word) { return word != 0; });
    }
    /// Makes room: every identifier is set without allocating.
    void reserve_ids() {
        if (!words_) words_.emplace();
    }
    /// There must be room.
    TERN_INLINE void set_state(packet_id id, incoming_state from, incoming_state to) noexcept {
        const auto bits = static_cast<std::uint64_t>(from) ^ static_cast<std::uint64_t>(to);
        (*words_)[id / 32U] ^= bits << shift(id);
    }

    /// The token of the first message of the next connection.
    std::uint64_t first_token() const noexcept { return first_token_; }

    bool has_unreleased() const noexcept { return unreleased_ && !unreleased_->empty(); }
    unreleased_message* find_unreleased(packet_id id) noexcept { return unreleased_ ? unreleased_->find(id) : nullptr; }
    /// Makes room: the next `count` messages are added without allocating.
    void reserve_unreleased(std::size_t count) {
        if (count == 0) return;
        if (!unreleased_) unreleased_.emplace();
        unreleased_->reserve(count);
    }
    /// Adds a QoS 2 message that was delivered but is not released. It is found after `end_connection`.
    void add_unreleased(packet_id id, message_token token) noexcept { unreleased_->add(id, token); }
    TERN_INLINE void remove_unreleased(packet_id id) noexcept {
        if (unreleased_) [[unlikely]]
            remove_earlier(id);
    }
    /// The application has released a message of an earlier connection, or another one. Returns the token of the
    /// acknowledgement that is due for it on this connection.
    TERN_INLINE message_token release(message_token token) noexcept {
        return unreleased_ ? release_earlier(token) : token;
    }

    /// The connection is lost.
    void end_connection(std::uint64_t next_token) noexcept {
        first_token_ = next_token;
        if (unreleased_) {
            unreleased_->clear_due();
            unreleased_->sort();
        }
        if (!words_) return;
        for (std::uint64_t& word : *words_)
            word = ((word | word >> 1U) & low_bits) * static_cast<std::uint64_t>(incoming_state::earlier_connection);
    }
    /// The broker has lost the session: nothing comes again.
    void forget_session() noexcept {
        if (words_) words_->fill(0);
        unreleased_.reset();
        doubt_ = session_doubt::none;
        session_start_ = static_cast<std::uint32_t>(first_token_);
    }
    /// Frees the memory that is not in use.
    void trim() noexcept {
        if (words_ && !has_open_ids()) words_.reset();
        if (!has_unreleased()) unreleased_.reset();
    }

private:
    TERN_NOINLINE message_token release_earlier(message_token token) noexcept {
        unreleased_message* const m = unreleased_->find(token);
        if (!m) return token;
        const message_token due_as = m->due_as;
        unreleased_->remove(*m);
        return due_as;
    }
    TERN_NOINLINE void remove_earlier(packet_id id) noexcept {
        if (unreleased_message* const m = unreleased_->find(id)) unreleased_->remove(*m);
    }

    friend struct session_inspector;

    static constexpr std::uint64_t low_bits = ~std::uint64_t{0} / 3; // of all states in a word
    static constexpr unsigned shift(packet_id id) noexcept { return id % 32U * 2; }

    heap_optional<std::array<std::uint64_t, 65'536 / 32>> words_;
    heap_optional<unreleased_messages> unreleased_; // once a connection ends with one
    std::uint64_t first_token_ = 1;
    std::uint32_t session_start_ = 1; // the first token of the session, as far as that is certain
    session_doubt doubt_ = session_doubt::none;
};

} // namespace tern::detail

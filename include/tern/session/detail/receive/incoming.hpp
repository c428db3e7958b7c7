// The incoming half of the lasting state: the packet identifiers of QoS 2 messages whose PUBREL has not come, and the
// messages among them that the application has but has not released. Only the functions here change it.
//
//     state               leaves it by
//     none                PUBLISH: pubrec_due
//     pubrec_due          PUBREC sent: open; connection lost: earlier_connection
//     open                PUBREL: none; PUBLISH again: pubrec_due; connection lost: earlier_connection
//     earlier_connection  PUBREL: none; PUBLISH again: pubrec_due; PUBLISH, and the identifier is in doubt: as in none
//
// If the broker did not answer CONNECT, it may have lost the session without the client's knowledge, and the next
// CONNACK says "session present" for a new one. Then it is in doubt whether an identifier of before still stands for
// the same message. A PUBLISH under it is delivered, and the identifier is in doubt no longer. Two packets show that
// the session is the old one: a PUBREL for an identifier in doubt, because the client has sent it no PUBREC since; and
// a PUBLISH with DUP, as long as the client may have no subscription in a new session. So in doubt a message may be
// delivered twice, but is never taken for another one.
//
//     doubt      leaves it by
//     none       CONNACK with "session present" after an unanswered CONNECT: undecided
//     undecided  PUBREL, or PUBLISH with DUP, for an identifier in doubt; CONNACK without a session: none
//                PUBLISH without DUP for one; SUBACK; the end of a connection on which SUBSCRIBE was sent: unclear
//     unclear    PUBREL for an identifier in doubt; CONNACK without a session: none
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/memory/packet_id_set.hpp"
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
    none,      ///< it is
    undecided, ///< it may be a new one, unless the broker shows that it is not
    unclear,   ///< the same, and a new one may send messages: DUP shows nothing any longer
};

class incoming {
public:
    session_doubt doubt() const noexcept { return doubt_; }
    /// Whether the broker's session is certainly the one in which a message with this token came.
    bool is_of_session(message_token token) const noexcept {
        const auto number = static_cast<std::uint32_t>(token);
        return static_cast<std::int32_t>(number - session_start_) >= 0; // numbers wrap around
    }
    /// The identifiers of before are in doubt. If an allocation fails, nothing has changed.
    TERN_COLD void begin_doubt() {
        if (has_open_ids()) doubted_.reserve();
        if (doubt_ == session_doubt::none) doubt_ = session_doubt::undecided;
        session_start_ = static_cast<std::uint32_t>(first_token_);
        for (std::size_t id = 1; words_ && id != 65'536; ++id)
            if (state_of(static_cast<packet_id>(id)) != incoming_state::none)
                doubted_.insert(static_cast<packet_id>(id));
    }
    /// PUBREL for an identifier of an earlier connection.
    TERN_COLD void resolve_doubt(packet_id id) noexcept {
        if (doubted_.contains(id)) end_doubt();
    }
    /// SUBSCRIBE may have had an effect.
    void on_subscribed() noexcept {
        if (doubt_ == session_doubt::undecided) doubt_ = session_doubt::unclear;
    }
    /// PUBLISH with an identifier that is in use. If it is in doubt, it is free then, and the message of before
    /// forgotten. Returns whether it was.
    TERN_COLD bool free_doubted(packet_id id, bool dup) noexcept {
        if (!doubted_.contains(id)) return false;
        if (dup && doubt_ == session_doubt::undecided) {
            end_doubt();
            return false;
        }
        doubt_ = session_doubt::unclear;
        doubted_.erase(id);
        set_state(id, incoming_state::earlier_connection, incoming_state::none);
        remove_unreleased(id);
        return true;
    }

    /// Two bits for each of the 65,535 identifiers, allocated with the first.
    TERN_INLINE incoming_state state_of(packet_id id) const noexcept {
        return words_ ? static_cast<incoming_state>((*words_)[id / 32U] >> shift(id) & 3U) : incoming_state::none;
    }
    TERN_COLD bool has_open_ids() const noexcept {
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
    /// The same by its token.
    TERN_COLD unreleased_message* find_unreleased(message_token token) noexcept {
        return unreleased_ ? unreleased_->find(token) : nullptr;
    }
    /// The application has refused a message of an earlier connection that has not come again: it is new then.
    TERN_COLD void forget_unreleased(message_token token) noexcept {
        unreleased_message* const m = find_unreleased(token);
        if (!m) return;
        set_state(m->packet_id, incoming_state::earlier_connection, incoming_state::none);
        doubted_.erase(m->packet_id);
        unreleased_->remove(*m);
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
    TERN_COLD void end_connection(std::uint64_t next_token) noexcept {
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
    TERN_COLD void forget_session() noexcept {
        if (words_) words_->fill(0);
        unreleased_.reset();
        session_start_ = static_cast<std::uint32_t>(first_token_);
        end_doubt();
    }
    /// Frees the memory that is not in use.
    TERN_COLD void trim() noexcept {
        if (words_ && !has_open_ids()) words_.reset();
        if (!has_unreleased()) unreleased_.reset();
        doubted_.trim();
    }

private:
    void end_doubt() noexcept {
        doubt_ = session_doubt::none;
        doubted_.clear();
    }
    TERN_COLD TERN_NOINLINE message_token release_earlier(message_token token) noexcept {
        unreleased_message* const m = unreleased_->find(token);
        if (!m) return token;
        const message_token due_as = m->due_as;
        unreleased_->remove(*m);
        return due_as;
    }
    TERN_COLD TERN_NOINLINE void remove_earlier(packet_id id) noexcept {
        if (unreleased_message* const m = unreleased_->find(id)) unreleased_->remove(*m);
    }

    friend struct session_inspector;

    static constexpr std::uint64_t low_bits = ~std::uint64_t{0} / 3; // of all states in a word
    static constexpr unsigned shift(packet_id id) noexcept { return id % 32U * 2; }

    heap_optional<std::array<std::uint64_t, 65'536 / 32>> words_;
    heap_optional<unreleased_messages> unreleased_; // once a connection ends with one
    packet_id_set doubted_;                         // identifiers that are in doubt
    std::uint64_t first_token_ = 1;
    std::uint32_t session_start_ = 1; // the first token of the session, as far as that is certain
    session_doubt doubt_ = session_doubt::none;
};

} // namespace tern::detail

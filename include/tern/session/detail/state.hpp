// The lasting state of a session: everything that outlives a connection, and with a store the process. Only the named
// functions here, and those of its parts, change it.
//
//     part            holds                                                         changed by
//     out             unfinished exchanges, queued messages, their packets          send/outgoing.hpp
//     in              QoS 2 identifiers, messages that are delivered, not released  receive/incoming.hpp
//     subscriptions   filters: what is wanted, requested and granted                subscribe/registry.hpp
//     aliases         topics of the application's topic aliases                     send/outgoing_aliases.hpp
//     the rest        identity, and what is known about the broker's session        here
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/session/detail/receive/incoming.hpp"
#include "tern/session/detail/send/outgoing.hpp"
#include "tern/session/detail/send/outgoing_aliases.hpp"
#include "tern/session/detail/subscribe/registry.hpp"
#include "tern/types.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace tern::detail {

/// The client's knowledge about the broker's session.
enum class session_status : std::uint8_t {
    none, ///< there is none: it was never begun, or the broker does not keep it
    kept, ///< the broker has it, as far as the client knows
    lost, ///< the broker has lost it, and not everything that follows has been done
};

/// Whether the broker's answer to the last CONNECT is known.
enum class connect_outcome : std::uint8_t {
    known,
    unknown, ///< CONNECT was sent whole, no CONNACK came: the broker may have begun or lost a session
};

class lasting_state {
public:
    outgoing out;
    incoming in;
    subscription_registry subscriptions;
    outgoing_aliases aliases;

    std::string_view client_id() const noexcept { return client_id_; }
    protocol_version version() const noexcept { return out.version(); }
    session_status status() const noexcept { return status_; }
    /// Whether the client has state of a session, which the broker has or has just lost.
    bool has_session() const noexcept { return status_ != session_status::none; }
    tern::detail::connect_outcome connect_outcome() const noexcept { return connect_outcome_; }
    /// The expiry interval in seconds that applies to the session.
    std::uint32_t expiry_interval() const noexcept { return expiry_interval_; }

    /// The application connects. With another version or name, or a clean start, nothing of before goes on
    /// [MQTT-3.1.2-4, MQTT-3.1.3-2].
    TERN_COLD void set_version(protocol_version version) {
        if (version != out.version()) begin_identity();
        out.set_version(version);
    }
    TERN_COLD void set_client_id(std::string& id, bool clean_start) noexcept {
        if (clean_start || id != client_id_) begin_identity();
        client_id_.swap(id);
    }
    void set_assigned_client_id(std::string_view id) { client_id_ = id; }
    void set_expiry_interval(std::uint32_t seconds) noexcept { expiry_interval_ = seconds; }

    /// CONNACK says that the broker has no session.
    void mark_session_lost() noexcept { status_ = session_status::lost; }
    /// Everything that follows from CONNACK has been done.
    void mark_session_kept() noexcept {
        status_ = session_status::kept;
        connect_outcome_ = tern::detail::connect_outcome::known;
    }
    /// CONNACK says that the broker has the session, but the answer to the last CONNECT was lost.
    TERN_COLD void begin_doubt() {
        in.begin_doubt();
        out.begin_doubt();
    }
    void mark_connect_unanswered() noexcept { connect_outcome_ = tern::detail::connect_outcome::unknown; }
    /// The connection is lost.
    void end_connection(bool broker_keeps_session) noexcept {
        if (status_ == session_status::lost) return; // CONNACK was not processed to its end: the next one goes on
        status_ = broker_keeps_session ? session_status::kept : session_status::none;
    }

    TERN_COLD void forget_session() noexcept {
        status_ = session_status::none;
        in.forget_session();
        subscriptions.clear();
        out.forget_session();
    }

private:
    friend struct session_inspector;

    void begin_identity() noexcept {
        forget_session();
        connect_outcome_ = tern::detail::connect_outcome::known;
    }

    std::string client_id_;
    std::uint32_t expiry_interval_ = 0;
    session_status status_ = session_status::none;
    tern::detail::connect_outcome connect_outcome_ = tern::detail::connect_outcome::known;
};

} // namespace tern::detail

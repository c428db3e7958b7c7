// A session that has been brought to a state, and what it does with the bytes of a broker.
//
//     probe p(protocol_version::v5, standing::publishing_1);
//     p.receive(bytes);
//     CHECK(p.matches(standard::outcome::malformed));
//
// Every request of the client has identifier 1, and so has every message of the broker.
#pragma once

#include "../session/session_driver.hpp"
#include "standard.hpp"
#include "tern/session/session.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>

/// The states of a session in which packets of a broker differ in what they mean.
enum class standing : std::uint8_t {
    awaiting_connack, ///< CONNECT was sent.
    connected,        ///< Nothing is unfinished.
    publishing_1,     ///< PUBLISH of QoS 1 was sent.
    publishing_2,     ///< PUBLISH of QoS 2 was sent.
    releasing_2,      ///< PUBREL was sent.
    subscribing,      ///< SUBSCRIBE was sent.
    unsubscribing,    ///< UNSUBSCRIBE was sent.
    pinging,          ///< PINGREQ was sent.
    holding_1,        ///< A QoS 1 message was received, and is not acknowledged.
    holding_2,        ///< A QoS 2 message was received, and PUBREC was not sent.
    received_2,       ///< PUBREC was sent.
    draining,         ///< A drain waits for PUBACK.
    resumed,          ///< PUBLISH of QoS 1 was sent again on a second connection.
    authenticating,   ///< CONNECT with an authentication method was sent.
    authenticated,    ///< CONNACK has ended that exchange.
    reauthenticating, ///< AUTH 0x19 was sent.
    leaving,          ///< DISCONNECT was requested, and not written.
    left,             ///< DISCONNECT was written.
};
inline constexpr standing all_standings[] = {
    standing::awaiting_connack, standing::connected,      standing::publishing_1,  standing::publishing_2,
    standing::releasing_2,      standing::subscribing,    standing::unsubscribing, standing::pinging,
    standing::holding_1,        standing::holding_2,      standing::received_2,    standing::draining,
    standing::resumed,          standing::authenticating, standing::authenticated, standing::reauthenticating,
    standing::leaving,          standing::left,
};
/// 3.1.1 has no authentication method.
constexpr bool exists(tern::protocol_version v, standing s) {
    return v == tern::protocol_version::v5 || s < standing::authenticating || s > standing::reauthenticating;
}
std::string_view name_of(standing s);

class probe {
public:
    probe(tern::protocol_version v, standing s);

    /// The broker sends bytes. Everything that the session then wants to write is written.
    void receive(std::string_view bytes);

    /// Whether the session did what the standard demands.
    bool matches(standard::outcome expected) const;
    /// What it did, for the report of a failure.
    std::string did() const;

    const std::string& sent() const { return sent_; }
    unsigned operations() const { return operations_; }
    unsigned messages() const { return messages_; }
    bool is_closing() const { return closes_; }
    /// The end of the last operation, and CONNACK's.
    std::error_code error() const { return error_; }

private:
    void reach(standing s);
    void open(tern::connack answer);
    void answer();
    void give(std::string_view bytes);
    void write();
    std::optional<unsigned> farewell() const;

    session_driver driver_;
    tern::protocol_version version_;
    standing standing_;
    std::string sent_;
    std::string text_; // what the tests are not interested in
    tern::message_token token_ = tern::message_token::none;
    std::error_code error_;
    unsigned operations_ = 0;
    unsigned messages_ = 0;
    bool closes_ = false;
};

/// The state in which a packet with this first byte is an answer, otherwise `connected`.
standing state_answered_by(unsigned first_byte);

/// A session in each state, made once and copied: 20,000 cases take a few seconds.
const probe& fresh_probe(tern::protocol_version v, standing s);

// The broker's side of enhanced authentication [§4.12] on one connection. The exchange itself is a function of the
// options.
//
//     none --CONNECT with a method--> connecting --the exchange succeeds--> authenticated
//     authenticated --AUTH 0x19--> renewing --the exchange succeeds--> authenticated
//     connecting, renewing --the exchange fails--> the connection ends
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/control.hpp"
#include "tern/codec/packet.hpp"
#include "tern/testing/broker_options.hpp"
#include "tern/testing/detail/broker_rule.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tern::testing::detail {

class broker_authentication {
public:
    bool is_connecting() const noexcept { return state_ == state::connecting; }
    const std::string& method() const noexcept { return method_; }
    /// CONNECT, which waits for the end of the exchange.
    connect awaited_connect() const { return *decode<connect>(next_frame(connect_)->frame, protocol_version::v5); }

    /// CONNECT has a method. Returns whether there is an exchange for it.
    bool begin(const broker_options& options, const connect& p) {
        method_ = *p.properties.authentication_method;
        begin_exchange(options, p.client_id);
        if (!exchange_) return false;
        connect_.resize(*encoded_size(p, p.version));
        (void)encode(p, p.version, std::span(connect_));
        state_ = state::connecting;
        return true;
    }

    /// The rule that an AUTH of the client violates. Begins a re-authentication.
    broker_rule on_auth(const broker_options& options, const std::string& client_id, const auth& p) {
        if (state_ == state::none) return rules::auth_without_method;
        if (p.properties.authentication_method != method_) return rules::auth_other_method;
        const bool is_new = p.reason_code == reason_code::re_authenticate && state_ == state::authenticated;
        const bool continues = p.reason_code == reason_code::continue_authentication && state_ != state::authenticated;
        if (!is_new && !continues) return rules::auth_out_of_turn;
        if (is_new) begin_exchange(options, client_id);
        if (is_new) state_ = state::renewing;
        return {};
    }

    /// The next step of the exchange.
    authentication_answer answer(std::optional<std::string_view> data) {
        const authentication_answer a =
            exchange_ ? exchange_(data) : authentication_answer{reason_code::bad_authentication_method, {}};
        if (a.reason_code == reason_code::continue_authentication) return a;
        exchange_ = {};
        state_ = state::authenticated;
        return a;
    }

private:
    enum class state {
        none,          // CONNECT has no method
        connecting,    // CONNACK waits for the exchange
        authenticated, // no exchange is in progress
        renewing,      // on a connection
    };

    void begin_exchange(const broker_options& options, std::string_view client_id) {
        exchange_ = options.on_authenticate ? options.on_authenticate(client_id, method_) : authentication_exchange{};
    }

    state state_ = state::none;
    std::string method_;
    std::string connect_; // encoded
    authentication_exchange exchange_;
};

} // namespace tern::testing::detail

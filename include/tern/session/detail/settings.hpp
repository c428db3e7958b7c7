// The part of `connect_options` that a session keeps for all its connections, and the CONNECT packet made from it.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/packet.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/options.hpp"
#include "tern/session/reconnect.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

/// Why this is not a host. Without this check a URL or a port would only be an unknown name.
TERN_COLD constexpr errc check_host(std::string_view host) noexcept {
    if (host.empty()) return errc::empty_host;
    for (const char c : host)
        if (static_cast<unsigned char>(c) <= ' ' || c == '\x7F') return errc::invalid_host;
    // With `@` it would have a user name, and events would show a password.
    if (host.find_first_of("/@") != std::string_view::npos) return errc::host_is_url;
    if (host.front() == '[') return errc::host_in_brackets;
    // An IPv6 address contains several colons.
    const bool has_port = host.find(':') != std::string_view::npos && host.find(':') == host.rfind(':');
    return has_port ? errc::host_with_port : errc::none;
}

/// Why this is not an endpoint.
constexpr errc check_endpoint(const endpoint& e) noexcept {
    if (!is_unix_socket(e)) return check_host(e.host);
    return e.path.empty() ? errc::empty_path : errc::none;
}

constexpr endpoint first_endpoint(const connect_options& options) noexcept {
    return {.host = options.host, .port = options.port, .path = options.path, .scheme = options.scheme};
}

/// Why the options cannot be used, apart from the CONNECT packet.
TERN_COLD inline errc check_options(const connect_options& options) {
    const reconnect_policy& reconnect = options.reconnect;
    const std::pair<std::chrono::milliseconds, errc> durations[] = {
        {options.resolve_timeout, errc::invalid_resolve_timeout},
        {options.connect_timeout, errc::invalid_connect_timeout},
        {options.tls_timeout, errc::invalid_tls_timeout},
        {options.upgrade_timeout, errc::invalid_upgrade_timeout},
        {options.connack_timeout, errc::invalid_connack_timeout},
        {options.ack_timeout, errc::invalid_ack_timeout},
        {options.disconnect_timeout, errc::invalid_disconnect_timeout},
        {reconnect.first_delay, errc::invalid_reconnect_delay},
        {reconnect.longest_delay, errc::invalid_reconnect_delay},
    };
    for (const auto& [time, error] : durations)
        if (!is_valid_duration(time)) return error;
    if (reconnect.first_delay.count() == 0 || reconnect.longest_delay.count() == 0)
        return errc::invalid_reconnect_delay;
    if (!reconnect.classify) return errc::missing_classify;
    if (options.maximum_packet_size == 0) return errc::invalid_maximum_packet_size;
    if (const errc error = check_endpoint(first_endpoint(options)); error != errc::none) return error;
    for (const endpoint& each : options.more_endpoints)
        if (const errc error = check_endpoint(each); error != errc::none) return error;
    if (options.max_in_flight == 0) return errc::invalid_max_in_flight;
    if (options.max_renewal_filters == 0) return errc::invalid_max_renewal_filters;
    if (options.inbox_limit == 0 || options.inbox_hard_limit.value_or(SIZE_MAX) < options.inbox_limit)
        return errc::invalid_inbox_limit;
    if (options.inbox_bytes == 0 || options.inbox_hard_bytes.value_or(SIZE_MAX) < options.inbox_bytes)
        return errc::invalid_inbox_bytes;
    if (options.keep_alive.count() < 0 || options.keep_alive.count() > 65'535) return errc::invalid_keep_alive;
    return is_valid_duration(options.authentication_timeout) ? errc::none : errc::invalid_authentication_timeout;
}

/// Enhanced authentication, if CONNECT has a method.
struct authentication_settings {
    std::string method;
    std::chrono::milliseconds timeout{0}; // of each step
};

/// What an attempt to connect needs.
struct attempt_settings {
    open_timeouts timeouts;
    heap_optional<authentication_settings> authentication;
};

struct session_settings {
    // The window towards a 3.1.1 broker, which cannot announce one: every broker accepts this number of messages before
    // it has acknowledged one.
    static constexpr std::uint16_t safe_in_flight = 20;

    std::string connect_packet;              // encoded
    heap_optional<attempt_settings> attempt; // none before the first connect
    std::chrono::milliseconds connack_timeout{0};
    std::chrono::milliseconds ack_timeout{0};
    std::chrono::milliseconds disconnect_timeout{0};
    std::uint32_t maximum_packet_bytes = 0;    // that the client accepts
    std::uint32_t session_expiry_interval = 0; // that CONNECT asks for, in seconds
    std::uint16_t receive_maximum = 0;         // of the client. 3.1.1 has none
    std::uint16_t most_unacknowledged = 0;     // more messages of the broker are a violation
    std::uint16_t max_in_flight = 0;
    std::uint16_t topic_alias_maximum = 0;
    std::uint16_t automatic_topic_aliases = 0;
    std::uint16_t keep_alive = 0; // in seconds
    std::uint16_t max_renewal_filters = 0;
    std::uint8_t refusal_limit = 0;
    ack_timeout_action on_ack_timeout = ack_timeout_action::resend;
    invalid_message_action on_invalid_message = invalid_message_action::disconnect;
    bool clean_start = true; // as in the CONNECT packet
    bool assume_session = false;
    bool resubscribe = true;
    bool republish_qos_2 = false;
    bool wants_problem_information = true;
    bool wants_response_information = false;

    /// Takes over the options, which `check_options` has accepted. If there is an error, nothing has changed.
    TERN_COLD errc set(const connect_options& options) {
        heap_optional<attempt_settings> limits;
        limits.emplace(open_timeouts{options.resolve_timeout, options.connect_timeout, options.tls_timeout,
                                     options.upgrade_timeout},
                       heap_optional<authentication_settings>());
        if (options.properties.authentication_method)
            limits->authentication.emplace(std::string(*options.properties.authentication_method),
                                           options.authentication_timeout);
        if (const errc error = encode_connect(connect_of(options), options.version); error != errc::none) return error;
        const connect_properties& properties = options.properties;
        attempt = std::move(limits);
        connack_timeout = options.connack_timeout;
        ack_timeout = options.ack_timeout;
        disconnect_timeout = options.disconnect_timeout;
        maximum_packet_bytes = properties.maximum_packet_size.value_or(options.maximum_packet_size);
        session_expiry_interval = number_of(properties.session_expiry_interval.value_or(std::chrono::seconds{0}));
        const bool v5 = options.version == protocol_version::v5;
        max_in_flight = options.max_in_flight.value_or(v5 ? std::uint16_t{65'535} : safe_in_flight);
        receive_maximum = properties.receive_maximum.value_or(derived_receive_maximum(options));
        most_unacknowledged = receive_maximum;
        if (!properties.receive_maximum) // some brokers send more than that
            most_unacknowledged = static_cast<std::uint16_t>(std::min<std::size_t>(inbox_hard_limit(options), 65'535));
        topic_alias_maximum = properties.topic_alias_maximum.value_or(0);
        automatic_topic_aliases = options.automatic_topic_aliases;
        keep_alive = static_cast<std::uint16_t>(options.keep_alive.count());
        max_renewal_filters = options.max_renewal_filters;
        refusal_limit = options.refusal_limit;
        on_ack_timeout = options.on_ack_timeout;
        on_invalid_message = options.on_invalid_message;
        assume_session = options.assume_session;
        resubscribe = options.resubscribe;
        republish_qos_2 = options.republish_qos_2;
        wants_problem_information = properties.request_problem_information.value_or(true);
        wants_response_information = properties.request_response_information.value_or(false);
        return errc::none;
    }

    /// The broker's Server Keep Alive replaces the client's [MQTT-3.2.2-21]. 0 does not stop the client's own checks.
    std::chrono::seconds keep_alive_with(std::optional<std::chrono::seconds> server) const noexcept {
        return server && server->count() != 0 ? *server : std::chrono::seconds(keep_alive);
    }

    /// Encodes CONNECT again for a later connection: with the client identifier that the broker may have assigned, with
    /// the overrides, and without Clean Start if a session is to be resumed.
    TERN_COLD errc rewrite_connect(const connect_overrides& overrides, std::string_view client_id,
                                   protocol_version version, bool resumes_session) {
        tern::connect packet = *decode<tern::connect>(next_frame(connect_packet)->frame, version);
        if (version == protocol_version::v5 && resumes_session) packet.clean_start = false;
        packet.client_id = client_id;
        if (topic_alias_maximum == 0)
            packet.properties.topic_alias_maximum.reset(); // the broker's took too much memory
        if (overrides.user_name) packet.user_name = overrides.user_name;
        if (overrides.password) packet.password = overrides.password;
        return encode_connect(packet, version);
    }

private:
    // More messages than the inbox has room for would not be read.
    static std::uint16_t derived_receive_maximum(const connect_options& options) noexcept {
        return static_cast<std::uint16_t>(std::min<std::size_t>(options.inbox_limit, 65'535));
    }

    TERN_COLD static tern::connect connect_of(const connect_options& options) noexcept {
        tern::connect packet{
            .version = options.version,
            .clean_start = options.clean_start,
            .keep_alive = options.keep_alive,
            .client_id = options.client_id,
            .will = options.will,
            .will_delay_interval = options.will_delay_interval,
            .user_name = options.user_name,
            .password = options.password,
            .properties = options.properties,
        };
        if (options.version != protocol_version::v5) return packet;
        connect_properties& properties = packet.properties;
        if (!properties.maximum_packet_size && options.maximum_packet_size < packet_size_max)
            properties.maximum_packet_size = options.maximum_packet_size;
        if (!properties.receive_maximum && derived_receive_maximum(options) < 65'535)
            properties.receive_maximum = derived_receive_maximum(options);
        return packet;
    }

    TERN_COLD errc encode_connect(const tern::connect& packet, protocol_version version) {
        const auto length = measure(packet, version);
        if (!length) return length.error();
        std::string bytes(with_header(*length), '\0'); // the packet may borrow from the old one
        write(packet, version, *length, bytes.data());
        connect_packet = std::move(bytes);
        clean_start = packet.clean_start;
        return errc::none;
    }
};

} // namespace tern::detail

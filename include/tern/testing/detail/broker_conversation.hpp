// The broker's side of the protocol on one connection: checks and processes received packets, and sends packets to the
// link.
//
//     awaiting CONNECT --CONNECT--> connected --DISCONNECT--> ended
//            `--other packet, refusal--> ended <--violation, timeout, lost connection--'
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/testing/broker_options.hpp"
#include "tern/testing/detail/broker_authentication.hpp"
#include "tern/testing/detail/broker_core.hpp"
#include "tern/testing/detail/broker_link.hpp"
#include "tern/testing/detail/broker_rule.hpp"
#include "tern/topic.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace tern::testing::detail {

class broker_conversation {
public:
    broker_conversation(broker_core& core, broker_time now)
        : core_(core)
        , link_(core.options())
        , deadline_(now + connect_timeout) {}

    broker_conversation(const broker_conversation&) = delete;
    broker_conversation& operator=(const broker_conversation&) = delete;
    ~broker_conversation() {
        if (link_.session) link_.session->link = nullptr;
    }

    broker_link& link() noexcept { return link_; }

    void on_bytes(std::string_view bytes, broker_time now) {
        if (bytes.empty()) return;
        if (link_.is_ended()) return on_late_bytes();
        input_ += bytes;
        std::size_t at = 0;
        while (!link_.is_ended()) {
            const auto next = next_frame(std::string_view(input_).substr(at), maximum_packet_size());
            if (!next) {
                violate(next.error() == errc::packet_too_large ? rules::maximum_packet_size : next.error(), now);
            } else if (!next->complete) {
                break;
            } else {
                at += next->size;
                on_frame(next->frame, now);
            }
        }
        input_.erase(0, at);
        if (link_.is_ended() && !input_.empty()) on_late_bytes();
    }

    // The connection is lost, or the broker closes it without DISCONNECT.
    void on_lost(broker_time now) {
        if (!link_.is_ended()) link_.cut();
        core_.detach(link_, connection_end::lost, now);
    }

    // The time at which on_deadline() must be called. The value may change after a call of a function above.
    std::optional<broker_time> deadline() const noexcept { return link_.is_ended() ? std::nullopt : deadline_; }

    void on_deadline(broker_time now) {
        if (!deadline() || *deadline() > now) return;
        if (link_.session)
            disconnect_client(rules::keep_alive, now); // no violation: the network may have lost packets
        else
            link_.cut(); // no CONNECT within a reasonable time [§3.1.4]
    }

private:
    static constexpr std::chrono::seconds connect_timeout{30};

    bool is_v5() const noexcept { return link_.version == protocol_version::v5; }
    const connack_properties& limits() const noexcept { return core_.options().limits; }

    std::size_t maximum_packet_size() const noexcept {
        constexpr std::uint32_t most = packet_size_max;
        return link_.session && is_v5() ? limits().maximum_packet_size.value_or(most) : most;
    }

    // ---- violations and the end of the connection

    void violate(const broker_rule& rule, broker_time now) {
        // A client need not wait for CONNACK, and cannot respect limits that it does not know yet [§3.1.4].
        if (!is_limit(rule.error) || !link_.has_unwritten_connack()) core_.report(link_, rule);
        disconnect_client(rule, now);
    }

    // Whether the error means that the client has exceeded a limit of CONNACK.
    static bool is_limit(errc error) noexcept {
        switch (error) {
        case errc::receive_maximum_exceeded:
        case errc::qos_not_supported:
        case errc::retain_not_supported:
        case errc::packet_too_large:
        case errc::wildcard_subscriptions_not_supported:
        case errc::subscription_identifiers_not_supported:
        case errc::shared_subscriptions_not_supported: return true;
        default: return false;
        }
    }

    // Ends the connection, in 5.0 with the reason in DISCONNECT.
    void disconnect_client(const broker_rule& rule, broker_time now) {
        if (link_.session && is_v5() && is_valid(rule.answer, packet_type::disconnect, protocol_version::v5)) {
            const std::string reason = std::string(rule.clause_v5) + ": " + std::string(rule.text);
            disconnect answer{.reason_code = rule.answer, .properties = {.reason_string = reason}};
            if (!link_.send(answer)) { // the reason string may exceed the client's limit [MQTT-3.14.2-3]
                answer.properties = {};
                link_.send(answer);
            }
        }
        end(connection_end::lost, now);
    }

    void end(connection_end cause, broker_time now) {
        link_.end();
        core_.detach(link_, cause, now);
    }

    // A client must not send anything after its DISCONNECT. After the broker's, packets may still be in flight.
    void on_late_bytes() {
        input_.clear();
        if (std::exchange(has_received_disconnect_, false)) core_.report(link_, rules::after_disconnect);
    }

    // ---- packets

    void on_frame(const frame& f, broker_time now) {
        if (authentication_.is_connecting()) {
            if (f.type() != packet_type::auth && f.type() != packet_type::disconnect)
                return violate(rules::before_connack, now);
        } else if (!link_.session) {
            if (f.type() != packet_type::connect) return violate(rules::connect_first, now);
            const auto p = decode<connect>(f, link_.version);
            return p ? on_connect(*p, now) : on_bad_connect(f, p.error(), now);
        }
        if (link_.session) deadline_ = keep_alive_ ? std::optional(now + *keep_alive_) : std::nullopt;
        const auto packet = decode(f, link_.version);
        if (!packet) return violate(packet.error(), now);
        if (core_.options().on_packet) core_.options().on_packet(packet_direction::received, link_.client_id, *packet);
        std::visit([&](const auto& p) { on(p, now); }, *packet);
    }

    void on_bad_connect(const frame& f, errc error, broker_time now) {
        // The version is the byte after the protocol name, which both versions share.
        const std::uint8_t level = f.body.size() > 6 ? static_cast<std::uint8_t>(f.body[6]) : 0;
        link_.version = level < 5 ? protocol_version::v3_1_1 : protocol_version::v5;
        const bool sends_connack = is_v5()
                                       ? error != errc::invalid_protocol_name
                                       : error == errc::unsupported_protocol_version || error == errc::empty_client_id;
        if (sends_connack) // otherwise the connection is closed without CONNACK [3.1.1 MQTT-3.1.4-1]
            link_.send(connack{.reason_code = answer_to(error)});
        violate(error, now);
    }

    void on_connect(const connect& p, broker_time now) {
        link_.version = p.version;
        link_.client_id = p.client_id;
        link_.receive_maximum = p.properties.receive_maximum.value_or(65'535);
        link_.maximum_packet_size = p.properties.maximum_packet_size.value_or(link_.maximum_packet_size);
        if (core_.options().on_packet)
            core_.options().on_packet(packet_direction::received, link_.client_id, any_packet{p});
        if (const reason_code refusal = refusal_of(p); refusal != reason_code::success) return refuse(refusal, now);
        if (!p.properties.authentication_method) return accept(p, {}, now);
        if (!authentication_.begin(core_.options(), p)) // [MQTT-4.12.0-1]
            return refuse(reason_code::bad_authentication_method, now);
        authenticate(p.properties.authentication_data, now);
    }

    void refuse(reason_code why, broker_time now) {
        if (is_valid(why, packet_type::connack, link_.version)) // [3.1.1 MQTT-3.2.2-6]
            link_.send(connack{.reason_code = why});
        end(connection_end::lost, now);
    }

    void authenticate(std::optional<std::string_view> data, broker_time now) {
        const bool connects = authentication_.is_connecting();
        const authentication_answer answer = authentication_.answer(data);
        const bool fails = is_failure(answer.reason_code);
        if (fails && connects) return refuse(answer.reason_code, now); // [MQTT-4.12.0-4]
        if (fails) {                                                   // [MQTT-4.12.1-2]
            link_.send(disconnect{.reason_code = answer.reason_code});
            return end(connection_end::lost, now);
        }
        if (connects && answer.reason_code == reason_code::success)
            return accept(authentication_.awaited_connect(), answer.data, now);
        link_.send(auth{
            .reason_code = answer.reason_code,
            .properties = {.authentication_method = authentication_.method(), .authentication_data = answer.data}});
    }

    void accept(const connect& p, const std::optional<std::string>& data, broker_time now) {
        if (p.client_id.empty()) link_.client_id = core_.unused_client_id();
        connack answer = make_connack(p);
        if (p.properties.authentication_method) { // [MQTT-4.12.0-5]
            answer.properties.authentication_method = authentication_.method();
            answer.properties.authentication_data = data;
        }
        if (!link_.accepts(answer)) return end(connection_end::lost, now); // [MQTT-3.1.2-24]
        answer.session_present = core_.attach(link_, p, now);
        const std::chrono::seconds keep_alive =
            is_v5() ? limits().server_keep_alive.value_or(p.keep_alive) : p.keep_alive;           // [MQTT-3.2.2-21]
        if (keep_alive.count() != 0) keep_alive_ = std::chrono::milliseconds(keep_alive) * 3 / 2; // [MQTT-3.1.2-22]
        deadline_ = keep_alive_ ? std::optional(now + *keep_alive_) : std::nullopt;
        may_set_expiry_ = p.properties.session_expiry_interval.value_or(std::chrono::seconds{0}).count() != 0;
        link_.send(answer);
        link_.add_unwritten_connack();
        link_.session->deliveries.on_connected(link_, now);
    }

    reason_code refusal_of(const connect& p) const {
        if (p.version == protocol_version::v5 && p.will) {
            if (p.will->qos > limits().maximum_qos.value_or(qos::exactly_once)) // [MQTT-3.2.2-12]
                return reason_code::qos_not_supported;
            if (p.will->retain && !limits().retain_available.value_or(true)) // [MQTT-3.2.2-13]
                return reason_code::retain_not_supported;
        }
        return core_.options().on_connect ? core_.options().on_connect(p) : reason_code::success;
    }

    // The CONNACK that accepts the connection, within the client's Maximum Packet Size if that is possible.
    connack make_connack(const connect& p) const {
        connack answer;
        if (!is_v5()) return answer;
        answer.properties = limits();
        if (p.client_id.empty()) // [MQTT-3.2.2-16]
            answer.properties.assigned_client_identifier = link_.client_id;
        if (!p.properties.request_response_information.value_or(false)) // [MQTT-3.1.2-28]
            answer.properties.response_information.reset();
        if (!link_.accepts(answer)) { // [MQTT-3.2.2-19, MQTT-3.2.2-20]
            answer.properties.reason_string.reset();
            answer.properties.user_properties = {};
        }
        return answer;
    }

    void on(const connect&, broker_time now) { violate(rules::connect_once, now); }
    void on(const connack&, broker_time now) { violate(rules::server_packet, now); }
    void on(const suback&, broker_time now) { violate(rules::server_packet, now); }
    void on(const unsuback&, broker_time now) { violate(rules::server_packet, now); }
    void on(const pingresp&, broker_time now) { violate(rules::server_packet, now); }
    void on(const auth& p, broker_time now) {
        const broker_rule broken = authentication_.on_auth(core_.options(), link_.client_id, p);
        broken ? violate(broken, now) : authenticate(p.properties.authentication_data, now);
    }
    void on(const pingreq&, broker_time) { link_.send(pingresp{}); }

    void on(const disconnect& p, broker_time now) {
        if (!link_.session) return end(connection_end::lost, now); // before the end of authentication
        if (p.properties.server_reference) return violate(rules::server_reference, now);
        if (const auto interval = p.properties.session_expiry_interval) {
            if (interval->count() != 0 && !may_set_expiry_) return violate(rules::session_expiry_raised, now);
            link_.session->expiry_interval = *interval;
        }
        has_received_disconnect_ = true;
        end(p.reason_code == reason_code::normal_disconnection ? connection_end::disconnected : connection_end::lost,
            now);
    }

    void on(const publish& p, broker_time now) {
        publish resolved = p;
        if (const broker_rule broken = exceeded_limit(p)) return violate(broken, now);
        if (const broker_rule broken = resolve_alias(resolved.message)) return violate(broken, now);
        const broker_message m(resolved.message, link_.client_id, now);
        if (p.message.qos == qos::at_most_once) {
            core_.route(m, now);
            return;
        }
        const std::size_t receive_maximum = is_v5() ? limits().receive_maximum.value_or(65'535) : SIZE_MAX;
        const auto verdict = link_.session->arrivals.on_publish(p, m, link_, receive_maximum);
        if (verdict.broken_rule) return violate(verdict.broken_rule, now);
        const std::size_t receivers = verdict.is_new ? core_.route(m, now) : 1;
        const reason_code code =
            is_v5() && receivers == 0 ? reason_code::no_matching_subscribers : reason_code::success;
        if (p.message.qos == qos::at_least_once)
            link_.send(puback{.packet_id = p.packet_id, .reason_code = code});
        else
            link_.send(pubrec{.packet_id = p.packet_id, .reason_code = code});
        if (verdict.acknowledgement) link_.add_unwritten(*verdict.acknowledgement, p.packet_id);
    }

    broker_rule exceeded_limit(const publish& p) const {
        if (!p.message.properties.subscription_identifiers.empty()) return rules::identifier_in_publish;
        if (!is_v5()) return {};
        if (p.message.qos > limits().maximum_qos.value_or(qos::exactly_once)) return rules::maximum_qos;
        if (p.message.retain && !limits().retain_available.value_or(true)) return rules::retain_available;
        return {};
    }

    broker_rule resolve_alias(message_view& m) {
        const auto alias = m.properties.topic_alias;
        if (!alias) return {};
        if (*alias > limits().topic_alias_maximum.value_or(0)) return rules::topic_alias_maximum;
        if (!m.topic.empty()) {
            topic_aliases_[*alias] = m.topic;
            return {};
        }
        const auto known = topic_aliases_.find(*alias);
        if (known == topic_aliases_.end()) return rules::topic_alias_unknown;
        m.topic = known->second;
        return {};
    }

    void on(const puback& p, broker_time now) { check_rule(link_.session->deliveries.on_puback(p, link_, now), now); }
    void on(const pubrec& p, broker_time now) { check_rule(link_.session->deliveries.on_pubrec(p, link_, now), now); }
    void on(const pubcomp& p, broker_time now) { check_rule(link_.session->deliveries.on_pubcomp(p, link_, now), now); }
    void check_rule(const broker_rule& broken, broker_time now) {
        if (broken) violate(broken, now);
    }

    void on(const pubrel& p, broker_time now) {
        const auto verdict = link_.session->arrivals.on_pubrel(p, link_);
        if (verdict.broken_rule) return violate(verdict.broken_rule, now);
        const bool unknown = is_v5() && !verdict.is_new;
        link_.send(pubcomp{.packet_id = p.packet_id,
                           .reason_code = unknown ? reason_code::packet_identifier_not_found : reason_code::success});
        if (verdict.acknowledgement) link_.add_unwritten(*verdict.acknowledgement, p.packet_id);
    }

    bool is_id_in_use(packet_id id) const {
        return link_.session->arrivals.has_exchange(id) || link_.has_unwritten_end(id);
    }
    // In 3.1.1 a second request with the same identifier may be a repetition [3.1.1 MQTT-2.3.1-3].
    void add_unwritten_end_of_request(packet_id id) {
        if (is_v5()) link_.add_unwritten(broker_link::unwritten::end_of_request, id);
    }

    void on(const subscribe& p, broker_time now) {
        if (is_id_in_use(p.packet_id)) return violate(rules::id_in_use, now);
        if (const errc broken = exceeded_limit(p); broken != errc::none) return violate(broken, now);
        broker_session& session = *link_.session;
        const qos maximum = is_v5() ? limits().maximum_qos.value_or(qos::exactly_once) : qos::exactly_once;
        std::vector<reason_code> granted;
        std::vector<subscription> retained_for;
        for (subscription s : p.subscriptions) {
            s.max_qos = (std::min)(s.max_qos, maximum); // [MQTT-3.2.2-10]
            granted.push_back(static_cast<reason_code>(s.max_qos));
            const bool is_new = core_.subscribe(session, s, p.properties.subscription_identifier);
            const bool sends_retained = s.retain_handling == retain_handling::send ||
                                        (s.retain_handling == retain_handling::send_if_new && is_new);
            if (sends_retained && !is_shared(s.filter)) // [§4.8.2]
                retained_for.push_back(s);
        }
        link_.send(suback{.packet_id = p.packet_id, .reason_codes = granted});
        add_unwritten_end_of_request(p.packet_id);
        for (const subscription& s : retained_for)
            core_.send_retained(session, s, p.properties.subscription_identifier, now);
    }

    errc exceeded_limit(const subscribe& p) const {
        if (!is_v5()) return errc::none;
        if (p.properties.subscription_identifier && !limits().subscription_identifier_available.value_or(true))
            return errc::subscription_identifiers_not_supported;
        for (const subscription& s : p.subscriptions) {
            if (is_shared(s.filter) && !limits().shared_subscription_available.value_or(true))
                return errc::shared_subscriptions_not_supported;
            if (has_wildcard(s.filter) && !limits().wildcard_subscription_available.value_or(true))
                return errc::wildcard_subscriptions_not_supported;
        }
        return errc::none;
    }

    void on(const unsubscribe& p, broker_time now) {
        if (is_id_in_use(p.packet_id)) return violate(rules::id_in_use, now);
        std::vector<reason_code> codes;
        for (const std::string_view filter : p.filters) {
            const bool existed = core_.unsubscribe(*link_.session, filter);
            codes.push_back(existed ? reason_code::success : reason_code::no_subscription_existed);
        }
        if (!is_v5()) codes.clear(); // UNSUBACK has no reason codes in 3.1.1
        link_.send(unsuback{.packet_id = p.packet_id, .reason_codes = codes});
        add_unwritten_end_of_request(p.packet_id);
    }

    broker_core& core_;
    broker_link link_;
    broker_authentication authentication_;
    std::string input_;
    std::optional<broker_time> deadline_;
    std::optional<std::chrono::milliseconds> keep_alive_;
    std::unordered_map<std::uint16_t, std::string> topic_aliases_; // of this connection [MQTT-3.3.2-7]
    bool may_set_expiry_ = false;
    bool has_received_disconnect_ = false;
};

} // namespace tern::testing::detail

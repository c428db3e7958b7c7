// Makes packets that the standard allows, from a seed: the same seed gives the same packets everywhere.
//
// Lengths are mostly short and often just at a border: 0, 1, 127, 128, 16,383, 16,384 and 65,535 bytes.
#pragma once

#include "tern/codec/packet.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace codec_test {

using namespace tern;

class generator {
public:
    /// `simple` leaves out what is allowed but which other implementations cannot say: AUTH without content,
    /// a password without a user name, an empty client identifier without clean start, user properties that
    /// are empty or not sorted.
    enum style { anything, simple };

    explicit generator(std::uint64_t seed, style how = anything) : random_(seed), simple_(how == simple) {}

    /// The next packet, which borrows from the generator until the next call.
    any_packet next(protocol_version version) {
        forget();
        version_ = version;
        switch (below(v5() ? 15 : 14)) {
        case 0: return make_connect();
        case 1: return make_connack();
        case 2: return make_publish();
        case 3: return make_ack<puback>();
        case 4: return make_ack<pubrec>();
        case 5: return make_ack<pubrel>();
        case 6: return make_ack<pubcomp>();
        case 7: return make_subscribe();
        case 8: return make_filter_ack<suback>();
        case 9: return make_unsubscribe();
        case 10: return make_filter_ack<unsuback>();
        case 11: return pingreq{};
        case 12: return pingresp{};
        case 13: return make_disconnect();
        default: return make_auth();
        }
    }

private:
    // The standard's distributions differ between libraries, its engines do not.
    std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    bool v5() const { return version_ == protocol_version::v5; }
    bool has_property() { return v5() && one_in(3); }

    std::size_t length() {
        constexpr std::size_t borders[] = {0, 1, 127, 128, 16'383, 16'384, 65'535};
        return one_in(12) ? borders[below(std::size(borders))] : below(24);
    }

    std::string& keep(std::string text) { return strings_.emplace_back(std::move(text)); }

    std::string_view binary() {
        std::string bytes(length(), '\0');
        for (char& byte : bytes)
            byte = static_cast<char>(below(256));
        return keep(std::move(bytes));
    }

    // Characters of all lengths, in about one string of four; without wildcards, so that a topic is one too.
    std::string_view string(std::size_t size) {
        static constexpr std::string_view odd[] = {"\xC2\x80",         "\xDF\xBF",        "\xE0\xA0\x80",
                                                   "\xED\x9F\xBF",     "\xEE\x80\x80",    "\xEF\xBB\xBF",
                                                   "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
        const bool ascii_only = !one_in(4);
        std::string text;
        while (text.size() < size) {
            const std::string_view character = odd[below(std::size(odd))];
            if (!ascii_only && text.size() + character.size() <= size)
                text += character;
            else
                text += "abcdefghijklmnopqrstuvwxyz/$ \x01\x7F"[below(31)];
        }
        return keep(std::move(text));
    }
    std::string_view string() { return string(length()); }
    std::string_view topic() { return string(std::max<std::size_t>(length(), 1)); }

    std::string_view filter() {
        constexpr std::string_view some[] = {"#", "+", "/", "+/+", "a/#", "$SYS/#", "/+/b/#", "$share/g/+/a"};
        if (one_in(3)) return some[below(std::size(some))];
        return keep("f/" + std::string(string(length() / 2)));
    }

    packet_id id() {
        constexpr packet_id borders[] = {1, 255, 256, 65'535};
        return one_in(3) ? borders[below(4)] : static_cast<packet_id>(1 + below(65'535));
    }

    std::uint32_t number(std::uint32_t least) {
        constexpr std::uint32_t borders[] = {0, 1, 0xFFFF, 0x1'0000, 0x7FFF'FFFF, 0x8000'0000, 0xFFFF'FFFF};
        return std::max(least, one_in(2) ? borders[below(7)] : static_cast<std::uint32_t>(random_()));
    }
    std::uint32_t identifier() {
        constexpr std::uint32_t borders[] = {1, 127, 128, 16'383, 16'384, 2'097'151, 2'097'152, 268'435'455};
        return one_in(2) ? borders[below(8)] : static_cast<std::uint32_t>(1 + below(268'435'455));
    }

    void maybe(std::optional<std::uint32_t>& to, std::uint32_t least = 0) {
        if (has_property()) to = number(least);
    }
    void maybe(std::optional<std::uint16_t>& to, std::uint16_t least = 0) {
        if (has_property()) to = static_cast<std::uint16_t>(std::max<std::uint64_t>(least, below(65'536)));
    }
    void maybe(std::optional<bool>& to) {
        if (has_property()) to = one_in(2);
    }
    void maybe(std::optional<std::string_view>& to) {
        if (has_property()) to = string();
    }
    void maybe_binary(std::optional<std::string_view>& to) {
        if (has_property()) to = binary();
    }
    void maybe(user_properties_view& to) {
        if (!has_property()) return;
        auto& items = user_properties_.emplace_back();
        for (std::uint64_t i = 0, count = 1 + below(4); i != count; ++i) {
            if (simple_)
                items.push_back({keep("key" + std::to_string(i / 2)), string(1 + below(9))});
            else
                items.push_back({string(), string()});
        }
        to = items;
    }

    template <class Properties>
    void maybe_authentication(Properties& p, bool needed = false) {
        maybe(p.authentication_method);
        if (needed && !p.authentication_method) p.authentication_method = "SCRAM-SHA-256";
        if (p.authentication_method) maybe_binary(p.authentication_data);
    }

    reason_code any_code(packet_type type) {
        for (;;) {
            const auto code = static_cast<reason_code>(one_in(2) ? 0 : below(256));
            const bool disputed =
                type == packet_type::disconnect && code == reason_code::bad_authentication_method;
            if (is_valid(code, type, version_) && !(simple_ && disputed)) return code;
        }
    }

    message_view message(bool is_will) {
        message_view m{
            .topic = topic(), .payload = binary(), .qos = static_cast<qos>(below(3)), .retain = one_in(2)};
        auto& p = m.properties;
        if (has_property()) {
            p.payload_format_indicator = one_in(2) ? payload_format::utf8 : payload_format::unspecified;
            if (*p.payload_format_indicator == payload_format::utf8) m.payload = string();
        }
        maybe(p.message_expiry_interval);
        if (has_property()) p.response_topic = topic();
        maybe_binary(p.correlation_data);
        maybe(p.content_type);
        maybe(p.user_properties);
        if (is_will) return m;
        maybe(p.topic_alias, 1);
        if (p.topic_alias && one_in(2)) m.topic = {};
        if (has_property()) {
            auto& items = identifiers_.emplace_back();
            for (std::uint64_t i = 0, count = 1 + below(3); i != count; ++i)
                items.push_back(identifier());
            p.subscription_identifiers = items;
        }
        return m;
    }

    connect make_connect() {
        connect p{.version = version_,
                  .clean_start = one_in(2),
                  .keep_alive = static_cast<std::uint16_t>(below(65'536)),
                  .client_id = string()};
        if (p.client_id.empty() && (simple_ || !v5())) p.clean_start = true;
        if (one_in(2)) {
            p.will = message(true);
            maybe(p.will_delay_interval);
        }
        if (one_in(2)) p.user_name = string();
        if (one_in(2) && (p.user_name || (v5() && !simple_))) p.password = binary();
        maybe(p.properties.session_expiry_interval);
        maybe(p.properties.receive_maximum, 1);
        maybe(p.properties.maximum_packet_size, 1);
        maybe(p.properties.topic_alias_maximum);
        maybe(p.properties.request_response_information);
        maybe(p.properties.request_problem_information);
        maybe_authentication(p.properties);
        maybe(p.properties.user_properties);
        return p;
    }

    connack make_connack() {
        connack p{.reason_code = any_code(packet_type::connack)};
        p.session_present = p.reason_code == reason_code::success && one_in(2);
        auto& of = p.properties;
        maybe(of.session_expiry_interval);
        maybe(of.receive_maximum, 1);
        if (has_property()) of.maximum_qos = static_cast<qos>(below(2));
        maybe(of.retain_available);
        maybe(of.maximum_packet_size, 1);
        maybe(of.assigned_client_identifier);
        maybe(of.topic_alias_maximum);
        maybe(of.reason_string);
        maybe(of.wildcard_subscription_available);
        maybe(of.subscription_identifier_available);
        maybe(of.shared_subscription_available);
        maybe(of.server_keep_alive);
        maybe(of.response_information);
        maybe(of.server_reference);
        maybe_authentication(of);
        maybe(of.user_properties);
        return p;
    }

    publish make_publish() {
        publish p{.message = message(false)};
        if (p.message.qos != qos::at_most_once) {
            p.packet_id = id();
            p.dup = one_in(2);
        }
        return p;
    }

    template <class Ack>
    Ack make_ack() {
        Ack p{.packet_id = id(), .reason_code = any_code(Ack::type)};
        maybe(p.properties.reason_string);
        maybe(p.properties.user_properties);
        return p;
    }

    subscribe make_subscribe() {
        auto& items = subscriptions_.emplace_back();
        for (std::uint64_t i = 0, count = 1 + below(4); i != count; ++i) {
            subscription& s = items.emplace_back();
            s.filter = filter();
            s.max_qos = static_cast<qos>(below(3));
            if (!v5()) continue;
            s.no_local = one_in(2) && !is_shared(s.filter);
            s.retain_as_published = one_in(2);
            s.retain_handling = static_cast<retain_handling>(below(3));
        }
        subscribe p{.packet_id = id(), .subscriptions = items};
        if (has_property()) p.properties.subscription_identifier = identifier();
        maybe(p.properties.user_properties);
        return p;
    }

    unsubscribe make_unsubscribe() {
        auto& items = filters_.emplace_back();
        for (std::uint64_t i = 0, count = 1 + below(4); i != count; ++i)
            items.push_back(filter());
        unsubscribe p{.packet_id = id(), .filters = items};
        maybe(p.properties.user_properties);
        return p;
    }

    template <class Ack>
    Ack make_filter_ack() {
        auto& items = codes_.emplace_back();
        const bool none = Ack::type == packet_type::unsuback && !v5();
        for (std::uint64_t i = 0, count = none ? 0 : 1 + below(4); i != count; ++i)
            items.push_back(any_code(Ack::type));
        Ack p{.packet_id = id(), .reason_codes = items};
        maybe(p.properties.reason_string);
        maybe(p.properties.user_properties);
        return p;
    }

    disconnect make_disconnect() {
        disconnect p{.reason_code = any_code(packet_type::disconnect)};
        maybe(p.properties.session_expiry_interval);
        maybe(p.properties.reason_string);
        maybe(p.properties.server_reference);
        maybe(p.properties.user_properties);
        return p;
    }

    auth make_auth() {
        if (!simple_ && one_in(4)) return {};
        auth p{.reason_code = any_code(packet_type::auth)};
        maybe_authentication(p.properties, true);
        maybe(p.properties.reason_string);
        maybe(p.properties.user_properties);
        return p;
    }

    void forget() {
        strings_.clear();
        user_properties_.clear();
        identifiers_.clear();
        subscriptions_.clear();
        filters_.clear();
        codes_.clear();
    }

    std::mt19937_64 random_;
    bool simple_;
    protocol_version version_ = protocol_version::v5;
    std::deque<std::string> strings_;
    std::deque<std::vector<user_property>> user_properties_;
    std::deque<std::vector<std::uint32_t>> identifiers_;
    std::deque<std::vector<subscription>> subscriptions_;
    std::deque<std::vector<std::string_view>> filters_;
    std::deque<std::vector<reason_code>> codes_;
};

} // namespace codec_test

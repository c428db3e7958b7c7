// Generates packets that the standard allows from a seed. The same seed gives the same packets on every
// platform.
//
// Lengths are mostly short, and often at a boundary: 0, 1, 127, 128, 16,383, 16,384 and 65,535 bytes.
// Properties follow the `fields` of their structs and the property table.
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
    /// The packets to generate.
    enum style {
        everything, ///< all that the standard allows
        /// Only what other implementations can express: no AUTH without content, no password without a user
        /// name, no empty client identifier without clean start, no user properties that are empty or not
        /// sorted.
        portable
    };

    explicit generator(std::uint64_t seed, style packets = everything)
        : random_(seed)
        , portable_(packets == portable) {}

    /// The next packet, which borrows from the generator until the next call.
    any_packet next(protocol_version version) {
        clear();
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
    // The distributions of <random> differ between standard libraries, its engines do not.
    std::uint32_t below(std::uint64_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    bool v5() const { return version_ == protocol_version::v5; }

    std::size_t length() {
        constexpr std::size_t boundaries[] = {0, 1, 127, 128, 16'383, 16'384, 65'535};
        return one_in(12) ? boundaries[below(std::size(boundaries))] : below(24);
    }

    std::string& store(std::string text) { return strings_.emplace_back(std::move(text)); }

    std::string_view binary() {
        std::string bytes(length(), '\0');
        for (char& byte : bytes)
            byte = static_cast<char>(below(256));
        return store(std::move(bytes));
    }

    // One string in four has characters of all encoded lengths. There are no wildcards, so it is a topic name
    // too.
    std::string_view string(std::size_t size) {
        static constexpr std::string_view long_characters[] = {"\xC2\x80",         "\xDF\xBF",        "\xE0\xA0\x80",
                                                               "\xED\x9F\xBF",     "\xEE\x80\x80",    "\xEF\xBB\xBF",
                                                               "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
        const bool ascii_only = !one_in(4);
        std::string text;
        while (text.size() < size) {
            const std::string_view character = long_characters[below(std::size(long_characters))];
            if (!ascii_only && text.size() + character.size() <= size)
                text += character;
            else
                text += "abcdefghijklmnopqrstuvwxyz/$ \x01\x7F"[below(31)];
        }
        return store(std::move(text));
    }
    std::string_view string() { return string(length()); }
    std::string_view topic() { return string(std::max<std::size_t>(length(), 1)); }

    std::string_view filter() {
        constexpr std::string_view filters[] = {"#", "+", "/", "+/+", "a/#", "$SYS/#", "/+/b/#", "$share/g/+/a"};
        if (one_in(3)) return filters[below(std::size(filters))];
        return store("f/" + std::string(string(length() / 2)));
    }

    packet_id id() {
        constexpr packet_id boundaries[] = {1, 255, 256, 65'535};
        return one_in(3) ? boundaries[below(4)] : static_cast<packet_id>(1 + below(65'535));
    }

    std::uint32_t four_bytes() {
        constexpr std::uint32_t boundaries[] = {0, 1, 0xFFFF, 0x1'0000, 0x7FFF'FFFF, 0x8000'0000, 0xFFFF'FFFF};
        return one_in(2) ? boundaries[below(7)] : static_cast<std::uint32_t>(random_());
    }
    std::uint32_t variable() {
        constexpr std::uint32_t boundaries[] = {1, 127, 128, 16'383, 16'384, 2'097'151, 2'097'152, 268'435'455};
        return one_in(2) ? boundaries[below(8)] : 1 + below(268'435'455);
    }

    // ---- properties

    template <property_id Id>
    auto value() {
        constexpr detail::property_row row = detail::find_property_row(Id);
        using detail::wire_type;
        if constexpr (Id == property_id::response_topic)
            return topic();
        else if constexpr (row.type == wire_type::string)
            return string();
        else if constexpr (row.type == wire_type::binary)
            return binary();
        else if constexpr (row.type == wire_type::byte)
            return below(2);
        else if constexpr (row.type == wire_type::two_bytes)
            return std::max<std::uint64_t>(row.least, below(65'536));
        else if constexpr (row.type == wire_type::four_bytes)
            return std::max(row.least, four_bytes());
        else
            return variable();
    }

    template <property_id Id, class T>
    void fill_member(std::optional<T>& member) {
        if (one_in(3)) member.emplace(static_cast<T>(value<Id>()));
    }
    template <property_id>
    void fill_member(user_properties_view& member) {
        if (!one_in(3)) return;
        auto& items = user_properties_.emplace_back();
        for (std::uint64_t i = 0, count = 1 + below(4); i != count; ++i) {
            if (portable_)
                items.push_back({store("key" + std::to_string(i / 2)), string(1 + below(9))});
            else
                items.push_back({string(), string()});
        }
        member = items;
    }
    template <property_id>
    void fill_member(subscription_identifiers_view& member) {
        if (!one_in(3)) return;
        auto& items = identifiers_.emplace_back();
        for (std::uint64_t i = 0, count = 1 + below(3); i != count; ++i)
            items.push_back(variable());
        member = items;
    }

    template <class Properties, class... Field>
    void fill_members(Properties& properties, detail::field_list<Field...>) {
        (fill_member<Field::id>(properties.*Field::member), ...);
    }

    /// Sets each member in one of three cases; in 3.1.1 there are no properties.
    template <class Properties>
    void fill(Properties& properties) {
        if (!v5()) return;
        fill_members(properties, typename Properties::fields{});
        if constexpr (requires { properties.authentication_method; })
            if (!properties.authentication_method) properties.authentication_data = {};
    }

    // ---- packets

    reason_code any_code(packet_type type) {
        for (;;) {
            const auto code = static_cast<reason_code>(one_in(2) ? 0 : below(256));
            const bool is_disputed = type == packet_type::disconnect && code == reason_code::bad_authentication_method;
            if (is_valid(code, type, version_) && !(portable_ && is_disputed)) return code;
        }
    }

    // A message without properties.
    message_view bare_message() {
        return {.topic = topic(), .payload = binary(), .qos = static_cast<qos>(below(3)), .retain = one_in(2)};
    }
    // A payload that is declared as UTF-8 must be UTF-8.
    void set_properties(message_view& message, const message_properties& properties) {
        message.properties = properties;
        if (properties.payload_format_indicator == payload_format::utf8) message.payload = string();
    }

    connect make_connect() {
        connect p{.version = version_,
                  .clean_start = one_in(2),
                  .keep_alive = std::chrono::seconds(below(65'536)),
                  .client_id = string()};
        if (p.client_id.empty() && (portable_ || !v5())) p.clean_start = true;
        if (one_in(2)) {
            p.will = bare_message();
            detail::will_properties properties;
            fill(properties);
            set_properties(*p.will, properties);
            p.will_delay_interval = properties.will_delay_interval;
        }
        if (one_in(2)) p.user_name = string();
        if (one_in(2) && (p.user_name || (v5() && !portable_))) p.password = binary();
        fill(p.properties);
        return p;
    }

    connack make_connack() {
        connack p{.reason_code = any_code(packet_type::connack)};
        p.session_present = p.reason_code == reason_code::success && one_in(2);
        fill(p.properties);
        return p;
    }

    publish make_publish() {
        publish p{.message = bare_message()};
        message_properties properties;
        fill(properties);
        set_properties(p.message, properties);
        if (properties.topic_alias && one_in(2)) p.message.topic = {};
        if (p.message.qos != qos::at_most_once) {
            p.packet_id = id();
            p.dup = one_in(2);
        }
        return p;
    }

    template <class Ack>
    Ack make_ack() {
        Ack p{.packet_id = id(), .reason_code = any_code(Ack::type)};
        fill(p.properties);
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
        fill(p.properties);
        return p;
    }

    unsubscribe make_unsubscribe() {
        auto& items = filters_.emplace_back();
        for (std::uint64_t i = 0, count = 1 + below(4); i != count; ++i)
            items.push_back(filter());
        unsubscribe p{.packet_id = id(), .filters = items};
        fill(p.properties);
        return p;
    }

    template <class Ack>
    Ack make_filter_ack() {
        auto& items = codes_.emplace_back();
        const bool has_codes = Ack::type == packet_type::suback || v5();
        for (std::uint64_t i = 0, count = has_codes ? 1 + below(4) : 0; i != count; ++i)
            items.push_back(any_code(Ack::type));
        Ack p{.packet_id = id(), .reason_codes = items};
        fill(p.properties);
        return p;
    }

    disconnect make_disconnect() {
        disconnect p{.reason_code = any_code(packet_type::disconnect)};
        fill(p.properties);
        return p;
    }

    auth make_auth() {
        if (!portable_ && one_in(4)) return {};
        auth p{.reason_code = any_code(packet_type::auth)};
        fill(p.properties);
        if (!p.properties.authentication_method) p.properties.authentication_method = "SCRAM-SHA-256";
        return p;
    }

    void clear() {
        strings_.clear();
        user_properties_.clear();
        identifiers_.clear();
        subscriptions_.clear();
        filters_.clear();
        codes_.clear();
    }

    std::mt19937_64 random_;
    bool portable_;
    protocol_version version_ = protocol_version::v5;
    std::deque<std::string> strings_;
    std::deque<std::vector<user_property>> user_properties_;
    std::deque<std::vector<std::uint32_t>> identifiers_;
    std::deque<std::vector<subscription>> subscriptions_;
    std::deque<std::vector<std::string_view>> filters_;
    std::deque<std::vector<reason_code>> codes_;
};

} // namespace codec_test

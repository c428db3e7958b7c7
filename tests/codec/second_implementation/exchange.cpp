// The C++ side of the comparison with another implementation; compare.js is the other side.
//
//     exchange write <seed> <count>    prints generated packets: bytes in hexadecimal, and content as JSON
//     exchange read <seed> <count>     reads a line of hexadecimal bytes per generated packet, and compares
//     exchange skip                    reports that the comparison is not possible
#include "../codec_test.hpp"
#include "../generator.hpp"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <variant>

namespace {

using namespace codec_test;

std::string to_hex(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

std::string from_hex(std::string_view text) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        bytes += static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1]));
    return bytes;
}

// A JSON object with the names of mqtt-packet. Binary data is written as {"hex": "..."}.
class object {
public:
    object& add(std::string_view name, std::string value) {
        text_ += (text_.empty() ? "" : ",") + quoted(name) + ":" + std::move(value);
        return *this;
    }
    object& text(std::string_view name, std::string_view value) { return add(name, quoted(value)); }
    object& number(std::string_view name, std::uint64_t value) { return add(name, std::to_string(value)); }
    object& boolean(std::string_view name, bool value) { return add(name, value ? "true" : "false"); }
    object& binary(std::string_view name, std::string_view value) {
        return add(name, "{\"hex\":\"" + to_hex(value) + "\"}");
    }
    bool empty() const { return text_.empty(); }
    std::string str() const { return "{" + text_ + "}"; }

    static std::string quoted(std::string_view text) {
        std::string result = "\"";
        for (const char c : text) {
            if (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\')
                result += "\\u00" + to_hex({&c, 1});
            else
                result += c;
        }
        return result + '"';
    }

private:
    std::string text_;
};

std::string array_of(const auto& items, auto to_text) {
    std::string text;
    for (const auto& item : items)
        text += (text.empty() ? "" : ",") + to_text(item);
    return "[" + text + "]";
}

// mqtt-packet writes the standard's names in camel case, two of them in the plural.
std::string name_of(property_id id) {
    if (id == property_id::user_property) return "userProperties";
    if (id == property_id::subscription_identifier_available) return "subscriptionIdentifiersAvailable";
    std::string name{to_string(id)};
    for (std::size_t space; (space = name.find(' ')) != std::string::npos;) {
        name.erase(space, 1);
        if (name[space] >= 'a') name[space] = static_cast<char>(name[space] - 'a' + 'A');
    }
    return name;
}

template <property_id Id, class T>
void add_property(object& to, const std::optional<T>& value) {
    constexpr bool is_binary = Id == property_id::correlation_data || Id == property_id::authentication_data;
    if (!value) return;
    if constexpr (is_binary)
        to.binary(name_of(Id), *value);
    else if constexpr (std::is_same_v<T, std::string_view>)
        to.text(name_of(Id), *value);
    else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, payload_format>)
        to.boolean(name_of(Id), static_cast<bool>(*value));
    else
        to.number(name_of(Id), static_cast<std::uint64_t>(detail::number_of(*value)));
}

template <property_id Id>
void add_property(object& to, const subscription_identifiers_view& items) {
    if (items.empty()) return;
    if (items.size() == 1)
        to.number(name_of(Id), items.front());
    else
        to.add(name_of(Id), array_of(items, [](std::uint32_t item) { return std::to_string(item); }));
}

// The values of one name form an array. The generator keeps them together.
template <property_id Id>
void add_property(object& to, const user_properties_view& items) {
    if (items.empty()) return;
    object names;
    for (auto i = items.begin(); i != items.end();) {
        const std::string_view key = i->key;
        std::vector<std::string_view> values;
        for (; i != items.end() && i->key == key; ++i)
            values.push_back(i->value);
        if (values.size() == 1)
            names.text(key, values[0]);
        else
            names.add(key, array_of(values, object::quoted));
    }
    to.add(name_of(Id), names.str());
}

template <class Properties, class... Field>
void add_fields(object& to, const Properties& properties, detail::field_list<Field...>) {
    (add_property<Field::id>(to, properties.*Field::member), ...);
}

template <class Properties>
void add_properties(object& to, const Properties& properties) {
    object all;
    add_fields(all, properties, typename Properties::fields{});
    if (!all.empty()) to.add("properties", all.str());
}

struct describe {
    protocol_version version;
    bool v5 = version == protocol_version::v5;

    object start(packet_type type) const {
        std::string name{to_string(type)};
        for (char& c : name)
            c = static_cast<char>(c - 'A' + 'a');
        object o;
        o.text("cmd", name);
        return o;
    }

    std::string operator()(const connect& p) const {
        object o = start(packet_type::connect);
        o.text("protocolId", "MQTT").number("protocolVersion", static_cast<unsigned>(p.version));
        o.boolean("clean", p.clean_start).number("keepalive", static_cast<std::uint64_t>(p.keep_alive.count()));
        add_properties(o, p.properties);
        o.text("clientId", p.client_id);
        if (p.will) {
            object will;
            will.boolean("retain", p.will->retain).number("qos", static_cast<unsigned>(p.will->qos));
            const detail::will_properties properties{p.will->properties, p.will_delay_interval};
            add_properties(will, properties);
            will.text("topic", p.will->topic).binary("payload", p.will->payload);
            o.add("will", will.str());
        }
        if (p.user_name) o.text("username", *p.user_name);
        if (p.password) o.binary("password", *p.password);
        return o.str();
    }
    std::string operator()(const connack& p) const {
        object o = start(packet_type::connack);
        o.boolean("sessionPresent", p.session_present);
        if (v5)
            o.number("reasonCode", static_cast<unsigned>(p.reason_code));
        else
            o.number("returnCode", *to_return_code(p.reason_code));
        add_properties(o, p.properties);
        return o.str();
    }
    std::string operator()(const publish& p) const {
        object o = start(packet_type::publish);
        o.number("qos", static_cast<unsigned>(p.message.qos)).boolean("retain", p.message.retain);
        o.boolean("dup", p.dup).text("topic", p.message.topic);
        if (p.packet_id != 0) o.number("messageId", p.packet_id);
        add_properties(o, p.message.properties);
        o.binary("payload", p.message.payload);
        return o.str();
    }
    template <packet_type Type>
    std::string operator()(const publish_ack<Type>& p) const {
        object o = start(Type);
        o.number("messageId", p.packet_id);
        if (v5) o.number("reasonCode", static_cast<unsigned>(p.reason_code));
        add_properties(o, p.properties);
        return o.str();
    }
    std::string operator()(const subscribe& p) const {
        object o = start(packet_type::subscribe);
        o.number("messageId", p.packet_id);
        add_properties(o, p.properties);
        o.add("subscriptions", array_of(p.subscriptions, [&](const subscription& s) {
                  object each;
                  each.text("topic", s.filter).number("qos", static_cast<unsigned>(s.max_qos));
                  if (v5) {
                      each.boolean("nl", s.no_local).boolean("rap", s.retain_as_published);
                      each.number("rh", static_cast<unsigned>(s.retain_handling));
                  }
                  return each.str();
              }));
        return o.str();
    }
    std::string operator()(const unsubscribe& p) const {
        object o = start(packet_type::unsubscribe);
        o.number("messageId", p.packet_id);
        add_properties(o, p.properties);
        o.add("unsubscriptions", array_of(p.filters, object::quoted));
        return o.str();
    }
    template <packet_type Type>
    std::string operator()(const filter_ack<Type>& p) const {
        object o = start(Type);
        o.number("messageId", p.packet_id);
        add_properties(o, p.properties);
        if (!p.reason_codes.empty())
            o.add("granted", array_of(p.reason_codes,
                                      [](reason_code code) { return std::to_string(static_cast<unsigned>(code)); }));
        return o.str();
    }
    std::string operator()(const pingreq&) const { return start(packet_type::pingreq).str(); }
    std::string operator()(const pingresp&) const { return start(packet_type::pingresp).str(); }
    std::string operator()(const disconnect& p) const { return last(start(packet_type::disconnect), p); }
    std::string operator()(const auth& p) const { return last(start(packet_type::auth), p); }
    std::string last(object o, const auto& p) const {
        if (v5) o.number("reasonCode", static_cast<unsigned>(p.reason_code));
        add_properties(o, p.properties);
        return o.str();
    }
};

int write_all(generator& packets, int count) {
    for (int i = 0; i != count; ++i) {
        const auto version = i % 2 ? protocol_version::v5 : protocol_version::v3_1_1;
        const any_packet packet = packets.next(version);
        object o;
        o.number("version", static_cast<unsigned>(version));
        o.text("bytes", to_hex(codec_test::write(packet, version)));
        o.add("packet", std::visit(describe{version}, packet));
        std::cout << o.str() << '\n';
    }
    return std::cout.good() ? EXIT_SUCCESS : EXIT_FAILURE;
}

int read_all(generator& packets, int count) {
    int same_packets = 0, same_bytes = 0;
    for (int i = 0; i != count; ++i) {
        const auto version = i % 2 ? protocol_version::v5 : protocol_version::v3_1_1;
        const any_packet packet = packets.next(version);
        std::string line;
        if (!std::getline(std::cin, line)) {
            std::cout << "packet " << i << " is missing\n";
            return EXIT_FAILURE;
        }
        const std::string bytes = from_hex(line);
        const auto decoded = read(bytes, version);
        same_bytes += bytes == codec_test::write(packet, version);
        if (decoded && *decoded == packet)
            ++same_packets;
        else
            std::cout << "packet " << i << " differs (" << to_string(decoded.error())
                      << "): " << std::visit(describe{version}, packet).substr(0, 500) << '\n';
    }
    std::cout << "decoded " << same_packets << " of " << count << " packets of the other implementation, " << same_bytes
              << " of them with the bytes that our encoder writes\n";
    return same_packets == count ? EXIT_SUCCESS : EXIT_FAILURE;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 77; // ctest reports this as "skipped"
    generator packets{std::strtoull(argv[2], nullptr, 10), generator::portable};
    const int count = std::atoi(argv[3]);
    std::ios::sync_with_stdio(false);
    return std::string_view(argv[1]) == "write" ? write_all(packets, count) : read_all(packets, count);
}

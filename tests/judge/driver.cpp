// Shows what a session does with bytes from the broker, for judge.py.
//
//     judge_driver prepared    prints how the session is prepared for each pending request: a line with the version,
//                              the profile, the pending request, and all packets until then, ">" to and "<" from the
//                              broker, in hexadecimal
//     judge_driver run         reads lines "version profile subject following" with bytes in hexadecimal. For each it
//                              prints a line with one outcome per prepared session, separated by tabs.
//
// A session receives the same bytes in three ways: whole (first the subject, then what follows), byte by byte, and
// glued (all at once). An outcome that depends on the way is printed three times, separated by " != ".
//
// An outcome is "open" or "closed", the bytes that were written, the cause of the end, and the events, separated by
// "|". The fields of an event are separated by ":".
#include "session/session_driver.hpp"

#include <array>
#include <cstdlib>
#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace {

using namespace std::string_view_literals;
using tern::protocol_version;

std::string hex(std::string_view bytes) {
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

// The properties of a message or an acknowledgement as "id=value", the values in hexadecimal or decimal.
template <class Value>
void add_property(std::string& to, tern::property_id id, const std::optional<Value>& value) {
    if (!value) return;
    to += std::to_string(static_cast<unsigned>(id)) + '=';
    if constexpr (std::is_same_v<Value, std::string_view>)
        to += hex(*value) + ';';
    else if constexpr (std::is_same_v<Value, std::chrono::seconds>)
        to += std::to_string(value->count()) + ';';
    else
        to += std::to_string(static_cast<std::uint32_t>(*value)) + ';';
}
void add_property(std::string& to, tern::property_id, const tern::subscription_identifiers_view& values) {
    for (const std::uint32_t value : values)
        to += "11=" + std::to_string(value) + ';';
}
void add_property(std::string& to, tern::property_id, const tern::user_properties_view& values) {
    for (const tern::user_property& p : values)
        to += "38=" + hex(p.key) + '.' + hex(p.value) + ';';
}

template <class Properties, class... Field>
void add_properties(std::string& to, const Properties& properties, tern::detail::field_list<Field...>) {
    (add_property(to, Field::id, properties.*Field::member), ...);
}
template <class Properties>
std::string text(const Properties& properties) {
    std::string result;
    add_properties(result, properties, typename Properties::fields{});
    return result;
}

std::string text(const std::error_code& error) {
    if (!error) return "none";
    return std::string{error.category().name()} + ' ' + std::to_string(error.value()) + ' ' + error.message();
}

// Whether the application releases a message at once.
enum class releasing { at_once, never };

// A session, and what it has done since `begin`.
struct prepared : session_driver {
    std::string pending; // the pending request
    std::string transcript;
    std::string wire, cause, events;
    releasing release = releasing::at_once;
    bool closed = false;

    void operator()(const tern::event& e) {
        if (const auto* r = std::get_if<tern::received>(&e)) {
            events += " message:" + std::to_string(static_cast<unsigned>(r->qos)) + ':' + (r->retain ? "retain" : "") +
                      ':' + (r->dup ? "dup" : "") + ':' + hex(r->topic) + ':' + hex(r->payload) + ':' +
                      text(r->properties);
            if (release == releasing::at_once) session.release(r->token);
        } else if (const auto* c = std::get_if<tern::completed>(&e)) {
            events += " done:" + std::to_string(static_cast<std::uint64_t>(c->op)) + ':' +
                      (c->error ? std::string{c->error.category().name()} : "none") + ':';
            for (const tern::reason_code code : c->answer.reason_codes)
                events += hex(std::string_view{reinterpret_cast<const char*>(&code), 1});
            const char code = static_cast<char>(c->answer.reason_code);
            events += ':' + hex({&code, 1}) + ':' + text(c->answer.properties);
        } else if (const auto* answer = std::get_if<tern::connected>(&e)) {
            events += " connected:" + (answer->error ? std::string{answer->error.category().name()} : "none") + ':' +
                      (answer->packet.session_present ? "present" : "");
        } else if (const auto* change = std::get_if<tern::connection_event_view>(&e)) {
            if (change->change == tern::connection_change::disconnected) cause = text(change->error);
        }
    }

    void write() {
        while (!closed && write_to(wire, *this) != 0) {
        }
        if (closed || !wants_close()) return;
        closed = true;
        session.on_disconnected(std::make_error_code(std::errc::operation_canceled), now);
        poll(*this);
    }
    void receive(std::string_view bytes) {
        if (closed) return;
        read(bytes, *this);
        write();
    }

    // Part of the preparation: the broker sends this packet.
    void broker(std::string_view packet) {
        note();
        transcript += " <" + hex(packet);
        receive(packet);
        note();
    }
    void note() {
        write();
        if (!wire.empty()) transcript += " >" + hex(wire);
        wire.clear();
    }
    void begin() {
        note();
        wire.clear();
        events.clear();
    }
    std::string outcome() const { return (closed ? "closed|" : "open|") + hex(wire) + '|' + cause + '|' + events; }
};

// The limits that the client announces.
enum class profile { plain, limits };

// A session that has sent CONNECT.
prepared connecting(protocol_version version, profile limits) {
    prepared p;
    p.pending = "connecting";
    tern::connect_options options{.version = version, .client_id = "c"};
    options.reconnect.enabled = false;
    if (limits == profile::limits) {
        options.properties.receive_maximum = std::uint16_t{3};
        options.properties.maximum_packet_size = 64U;
        options.properties.topic_alias_maximum = std::uint16_t{3};
        options.properties.request_problem_information = false;
    }
    if (p.session.connect(options, p.now) != tern::errc::none) std::abort();
    p.open_transport();
    p.begin();
    return p;
}

prepared connected(protocol_version version, profile limits) {
    prepared p = connecting(version, limits);
    p.broker(version == protocol_version::v5 ? "\x20\3\0\0\0"sv : "\x20\2\0\0"sv);
    if (limits == profile::limits) p.broker("\x30\7\0\1t\3\x23\0\2"sv); // topic alias 2
    return p;
}

void accept(tern::errc error) {
    if (error != tern::errc::none) std::abort();
}

void publish(prepared& p, tern::qos level, unsigned op) {
    accept(p.session.publish({.topic = "a", .payload = "x", .qos = level}, tern::op_id{op}, p.now));
    p.note();
}

// The broker sends a QoS 1 or 2 message.
void message(prepared& p, protocol_version version, unsigned level, char id) {
    std::string packet{"\x30\6\0\1m\0\0p"sv};
    packet[0] = static_cast<char>(0x30U | level << 1U);
    packet[6] = id;
    if (version == protocol_version::v5) {
        packet[1] = '\7';
        packet.insert(7, 1, '\0');
    }
    p.broker(packet);
}

using preparation = void (*)(prepared&, protocol_version);
constexpr std::pair<const char*, preparation> pending_requests[] = {
    {"nothing", [](prepared&, protocol_version) {}},
    {"publish-1", [](prepared& p, protocol_version) { publish(p, tern::qos::at_least_once, 1); }},
    {"publish-2", [](prepared& p, protocol_version) { publish(p, tern::qos::exactly_once, 1); }},
    {"pubrel",
     [](prepared& p, protocol_version) {
         publish(p, tern::qos::exactly_once, 1);
         p.broker("\x50\2\0\1"sv);
     }},
    {"subscribe",
     [](prepared& p, protocol_version) {
         const std::array<tern::subscription, 2> filters{{{.filter = "a"}, {.filter = "b/#"}}};
         accept(p.session.subscribe(filters, {}, tern::op_id{1}, p.now));
     }},
    {"unsubscribe",
     [](prepared& p, protocol_version) {
         const std::array<std::string_view, 2> filters{"a", "b/#"};
         accept(p.session.unsubscribe(filters, {}, tern::op_id{1}, p.now));
     }},
    {"ping", [](prepared& p, protocol_version) { accept(p.session.ping(tern::op_id{1}, p.now)); }},
    {"incoming",
     [](prepared& p, protocol_version version) {
         for (const char id : {'\1', '\2', '\3'})
             message(p, version, 2, id);
     }},
    {"held",
     [](prepared& p, protocol_version version) {
         p.release = releasing::never;
         message(p, version, 1, '\1');
         message(p, version, 2, '\2');
     }},
    {"disconnecting", [](prepared& p, protocol_version) { accept(p.session.disconnect({}, p.now)); }},
};

std::vector<prepared> prepare(protocol_version version, profile limits) {
    std::vector<prepared> result{connecting(version, limits)};
    for (const auto& [name, step] : pending_requests) {
        prepared& p = result.emplace_back(connected(version, limits));
        p.pending = name;
        step(p, version);
        // The session has sent DISCONNECT, and the transport is still open.
        if (p.pending != "disconnecting"sv) {
            p.begin();
            continue;
        }
        std::string disconnect;
        p.write_to(disconnect, p);
        p.transcript += " >" + hex(disconnect);
        p.events.clear();
    }
    return result;
}

// The outcomes of the three ways.
std::string run(const prepared& start, const std::string& subject, const std::string& following) {
    prepared whole = start;
    whole.receive(subject);
    whole.receive(following);
    prepared bytes = start;
    const std::string all = subject + following;
    for (const char& byte : all)
        bytes.receive({&byte, 1});
    prepared glued = start;
    glued.receive(all);
    const std::string a = whole.outcome(), b = bytes.outcome(), c = glued.outcome();
    return a == b && b == c ? a : a + " != " + b + " != " + c;
}

struct starting_point {
    unsigned version;
    profile limits;
    const char* name;
    std::vector<prepared> sessions;
};

int run_all(const std::vector<starting_point>& points) {
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream fields(line);
        unsigned version = 0;
        std::string profile, subject, following;
        fields >> version >> profile >> subject >> following;
        for (const starting_point& point : points) {
            if (point.version != version || point.name != profile) continue;
            for (const prepared& start : point.sessions)
                std::cout << run(start, from_hex(subject), from_hex(following)) << '\t';
        }
        std::cout << '\n';
    }
    return std::cout.good() ? EXIT_SUCCESS : EXIT_FAILURE;
}

} // namespace

int main(int argc, char** argv) {
    std::ios::sync_with_stdio(false);
    std::vector<starting_point> points = {
        {4, profile::plain, "plain", prepare(protocol_version::v3_1_1, profile::plain)},
        {5, profile::plain, "plain", prepare(protocol_version::v5, profile::plain)},
        {5, profile::limits, "limits", prepare(protocol_version::v5, profile::limits)},
    };
    const std::string_view command = argc == 2 ? argv[1] : "";
    if (command == "run") return run_all(points);
    if (command != "prepared") return EXIT_FAILURE;
    for (const starting_point& point : points)
        for (const prepared& p : point.sessions)
            std::cout << point.version << ' ' << point.name << ' ' << p.pending << p.transcript << '\n';
    return EXIT_SUCCESS;
}

#include "probe.hpp"

#include "../catch.hpp"

#include <chrono>
#include <map>
#include <span>
#include <utility>

namespace {

constexpr auto request = tern::op_id{7};

template <class Packet>
std::string bytes_of(const Packet& packet, tern::protocol_version v) {
    std::string bytes;
    put(bytes, packet, v);
    return bytes;
}

tern::message_view message_with(tern::qos level) {
    return {.topic = "t", .payload = "x", .qos = level};
}

} // namespace

std::string_view name_of(standing s) {
    static constexpr std::string_view names[] = {
        "awaiting CONNACK", "connected",      "publishing QoS 1", "publishing QoS 2", "releasing QoS 2", "subscribing",
        "unsubscribing",    "pinging",        "holding QoS 1",    "holding QoS 2",    "received QoS 2",  "draining",
        "resumed",          "authenticating", "authenticated",    "reauthenticating", "leaving",         "left"};
    return names[static_cast<std::size_t>(s)];
}

probe::probe(tern::protocol_version v, standing s) : version_(v), standing_(s) {
    tern::connect_options options;
    options.version = v;
    options.client_id = "c";
    options.maximum_packet_size = tern::packet_size_max;
    options.inbox_limit = 65'535;
    options.reconnect.enabled = s == standing::resumed;
    options.refusal_limit = 0;
    options.clean_start = s != standing::resumed;
    if (v == tern::protocol_version::v5) {
        options.properties.topic_alias_maximum = 65'535;
        if (exists(tern::protocol_version::v3_1_1, s) == false) options.properties.authentication_method = "m";
        if (s == standing::resumed) options.properties.session_expiry_interval = std::chrono::hours(1);
    }
    REQUIRE(driver_.session.connect(options, driver_.now) == tern::errc::none);
    driver_.open_transport();
    write();
    if (options.properties.authentication_method) answer();
    reach(s);
    sent_.clear();
    operations_ = messages_ = 0;
    error_ = {};
    closes_ = false;
}

void probe::open(tern::connack answer) {
    give(bytes_of(answer, version_));
    REQUIRE(driver_.session.is_connected());
}

// The owner answers what an authenticator is asked for.
void probe::answer() {
    REQUIRE(driver_.session.authenticate(std::nullopt, driver_.now) == tern::errc::none);
    write();
}

void probe::reach(standing s) {
    using enum standing;
    if (s == awaiting_connack || s == authenticating) return;
    if (s == authenticated || s == reauthenticating) {
        give(bytes_of(tern::connack{.properties = {.authentication_method = "m"}}, version_));
        answer();
        REQUIRE(driver_.session.is_connected());
        if (s == authenticated) return;
        REQUIRE(driver_.session.reauthenticate(request, driver_.now) == tern::errc::none);
        write();
        return answer();
    }
    open({});
    const std::string_view filter = "f";
    const tern::subscription subscription{.filter = filter};
    const auto publish = [&](tern::qos level) {
        REQUIRE(driver_.session.publish(message_with(level), request, driver_.now) == tern::errc::none);
        write();
    };
    const auto deliver = [&](tern::qos level) {
        give(bytes_of(tern::publish{message_with(level), false, 1}, version_));
        REQUIRE(messages_ == 1);
    };
    auto error = tern::errc::none;
    switch (s) {
    case publishing_1: publish(tern::qos::at_least_once); break;
    case publishing_2: publish(tern::qos::exactly_once); break;
    case releasing_2:
        publish(tern::qos::exactly_once);
        give(bytes_of(tern::pubrec{1}, version_));
        break;
    case subscribing: error = driver_.session.subscribe(std::span(&subscription, 1), {}, request, driver_.now); break;
    case unsubscribing: error = driver_.session.unsubscribe(std::span(&filter, 1), {}, request, driver_.now); break;
    case pinging: error = driver_.session.ping(request, driver_.now); break;
    case holding_1: deliver(tern::qos::at_least_once); break;
    case holding_2: deliver(tern::qos::exactly_once); break;
    case received_2:
        deliver(tern::qos::exactly_once);
        driver_.session.release(token_);
        break;
    case draining:
        publish(tern::qos::at_least_once);
        error = driver_.session.drain(tern::op_id{8}, driver_.now + std::chrono::hours(1), driver_.now);
        break;
    case resumed:
        publish(tern::qos::at_least_once);
        driver_.session.on_disconnected(std::make_error_code(std::errc::connection_reset), driver_.now);
        driver_.poll([](const tern::event&) {});
        driver_.now =
            driver_.session.next_deadline() == tern::time_point::max() ? driver_.now : driver_.session.next_deadline();
        driver_.session.on_deadline(driver_.now);
        driver_.open_transport();
        write();
        open({.session_present = true});
        break;
    case leaving:
    case left: error = driver_.session.disconnect({}, driver_.now); break;
    default: break;
    }
    REQUIRE(error == tern::errc::none);
    if (s != leaving) write();
}

void probe::give(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::span<char> room = driver_.session.prepare_read();
        if (room.empty()) break;
        const std::size_t count = bytes.copy(room.data(), room.size());
        driver_.session.commit_read(count, driver_.now);
        bytes.remove_prefix(count);
        write();
    }
}

void probe::write() {
    const auto on = [&](const tern::event& e) {
        if (const auto* r = std::get_if<tern::received>(&e)) {
            ++messages_;
            token_ = r->token;
        } else if (const auto* c = std::get_if<tern::completed>(&e)) {
            ++operations_;
            error_ = c->error;
        } else if (const auto* a = std::get_if<tern::connected>(&e)) {
            error_ = a->error;
        }
    };
    driver_.poll(on);
    while (driver_.write_to(sent_, on) != 0) {
    }
    closes_ = closes_ || driver_.wants_close();
}

void probe::receive(std::string_view bytes) {
    give(bytes);
    write();
}

// The reason code of the DISCONNECT that ends what was sent, if there is one.
std::optional<unsigned> probe::farewell() const {
    const std::size_t size = sent_.size();
    if (size >= 3 && static_cast<unsigned char>(sent_[size - 3]) == 0xE0 && sent_[size - 2] == 1)
        return static_cast<unsigned char>(sent_[size - 1]);
    return std::nullopt;
}

bool probe::matches(standard::outcome expected) const {
    using enum standard::outcome;
    const auto closes_with = [&](unsigned code) {
        if (!closes_) return false;
        return version_ == tern::protocol_version::v5 ? farewell() == code : sent_.empty();
    };
    switch (expected) {
    case accepted: return !closes_ && (driver_.session.is_connected() || standing_ == standing::authenticating);
    case ended: return closes_ && sent_.empty();
    case malformed: return closes_with(0x81);
    case protocol: return closes_with(0x82);
    case either: return closes_with(0x81) || closes_with(0x82);
    case topic_alias: return closes_with(0x94);
    case ignored:
        return messages_ == 0 && (standing_ == standing::left ? sent_.empty() : sent_ == std::string{"\xE0\0", 2});
    case clients_choice: return closes_ || driver_.session.is_connected();
    }
    return false;
}

std::string probe::did() const {
    if (!closes_) return "stays";
    const auto code = farewell();
    return code ? "closes with " + std::to_string(*code) : "closes";
}

standing state_answered_by(unsigned first_byte) {
    switch (first_byte) {
    case 0x20: return standing::awaiting_connack;
    case 0x40: return standing::publishing_1;
    case 0x50: return standing::publishing_2;
    case 0x62: return standing::received_2;
    case 0x70: return standing::releasing_2;
    case 0x90: return standing::subscribing;
    case 0xB0: return standing::unsubscribing;
    default: return standing::connected;
    }
}

const probe& fresh_probe(tern::protocol_version v, standing s) {
    static std::map<std::pair<tern::protocol_version, standing>, probe> made;
    const auto key = std::pair{v, s};
    const auto found = made.find(key);
    return found != made.end() ? found->second : made.emplace(key, probe(v, s)).first->second;
}

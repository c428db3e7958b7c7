// A session with a broker that acknowledges everything, for tests of memory and of growth.
#pragma once

#include "catch.hpp"
#include "session_driver.hpp"
#include "tern/codec/packet.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct memory_client : session_driver {
    explicit memory_client(tern::protocol_version v, std::uint16_t max_in_flight = 65'535)
        : memory_client(v, {.max_in_flight = max_in_flight}) {}
    memory_client(tern::protocol_version v, tern::connect_options options) : version(v) {
        options.version = v;
        options.client_id = "a client whose name needs memory";
        options.maximum_packet_size = tern::packet_size_max;
        REQUIRE(session.connect(options, now) == tern::errc::none);
        open_transport();
        write();
        answer(tern::connack{});
        REQUIRE(session.is_connected());
        tokens.reserve(1000);
    }

    void write() {
        wire.clear();
        while (write_to(wire, *this) != 0) {
        }
    }
    template <class Packet>
    void answer(const Packet& packet) {
        bytes.clear();
        put(bytes, packet, version);
        read(bytes, *this);
    }
    void operator()(const tern::event& e) {
        if (std::holds_alternative<tern::completed>(e)) ++completed;
        if (const auto* r = std::get_if<tern::received>(&e); r && r->token != tern::message_token::none)
            tokens.push_back(r->token);
    }
    void publish(unsigned qos, std::string_view payload = "payload") {
        const tern::message_view m{.topic = "a/topic", .payload = payload, .qos = static_cast<tern::qos>(qos)};
        REQUIRE(session.publish(m, tern::op_id{1}, now) == tern::errc::none);
    }
    // Answers all packets that the client has written.
    void answer_all() {
        std::string_view rest = wire;
        replies.clear();
        while (!rest.empty()) {
            const auto found = *tern::next_frame(rest);
            const auto packet = *tern::decode(found.frame, version);
            if (const auto* p = std::get_if<tern::publish>(&packet)) {
                if (p->message.qos == tern::qos::at_least_once) put(replies, tern::puback{p->packet_id}, version);
                if (p->message.qos == tern::qos::exactly_once) put(replies, tern::pubrec{p->packet_id}, version);
            } else if (const auto* r = std::get_if<tern::pubrel>(&packet)) {
                put(replies, tern::pubcomp{r->packet_id}, version);
            } else if (std::holds_alternative<tern::pingreq>(packet)) {
                put(replies, tern::pingresp{}, version);
            } else if (const auto* s = std::get_if<tern::subscribe>(&packet)) {
                const tern::reason_code code{};
                put(replies, tern::suback{s->packet_id, std::span(&code, 1)}, version);
            }
            rest.remove_prefix(found.size);
        }
        read(replies, *this);
    }
    void settle() {
        do
            write(), answer_all();
        while (!wire.empty());
    }
    void receive(unsigned qos, tern::packet_id id, std::string_view payload = "payload") {
        const tern::message_view m{.topic = "a/topic", .payload = payload, .qos = static_cast<tern::qos>(qos)};
        answer(tern::publish{m, false, qos == 0 ? tern::packet_id{0} : id});
    }
    void release_all() {
        for (const auto token : tokens)
            session.release(token);
        tokens.clear();
    }

    tern::protocol_version version;
    std::string wire, bytes, replies;
    std::vector<tern::message_token> tokens;
    std::size_t completed = 0;
};

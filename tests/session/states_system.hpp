// A session, a broker and the packets in flight as one value, with all possible next steps.
#pragma once

#include "states_record.hpp"
#include "tern/codec/packet.hpp"
#include "tern/session/session.hpp"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace states {

/// A step. Some kinds use `which`.
struct step {
    enum kind_type : std::uint8_t {
        request,
        withdraw,
        write,
        broker_reads,
        broker_sends,
        read,
        release,
        reconnect,
        cut
    };
    kind_type kind{};
    std::uint8_t which = 0;
};

inline std::string text(step s) {
    static constexpr const char* names[] = {"the user asks",
                                            "the user takes back request ",
                                            "the client writes",
                                            "the broker reads",
                                            "the broker sends ",
                                            "the client reads",
                                            "the user releases message ",
                                            "the client connects",
                                            "cut"};
    static constexpr const char* sent[] = {"PUBACK or CONNACK", "PUBREC", "PUBCOMP", "SUBACK", "PUBREL", "PUBLISH"};
    std::string line = names[s.kind];
    if (s.kind == step::broker_sends) line += sent[s.which];
    if (s.kind == step::release || s.kind == step::withdraw) line += std::to_string(s.which);
    if (s.kind == step::cut && s.which != 0) line += ", and the broker loses the session";
    return line;
}

class system_state {
public:
    explicit system_state(const setup& s)
        : setup_(s)
        , cuts_(s.cuts)
        , losses_(s.losses)
        , withdrawals_(s.withdrawals)
        , broker_(s.to_client, window)
        , record_(s) {
        using namespace std::chrono_literals;
        tern::connect_options options{.version = s.version, .client_id = "c", .keep_alive = 0s};
        options.reconnect.retry_first = true;
        options.refusal_limit = 0; // everything is sent again on each connection
        options.resolve_timeout = options.connect_timeout = options.connack_timeout = 0s;
        options.ack_timeout = 0s;
        options.republish_qos_2 = s.republish_qos_2;
        if (s.version == tern::protocol_version::v5) {
            options.properties.session_expiry_interval = 1'000s;
            options.properties.receive_maximum = std::uint16_t{window};
        } else {
            options.clean_start = false;
            options.max_in_flight = std::uint16_t{window};
        }
        demand(session_.connect(options, now_) == tern::errc::none, "connect");
        poll();
    }

    /// All possible next steps. A cut is the last one.
    std::vector<step> steps() {
        std::vector<step> all;
        if (asked_ != setup_.from_client.size()) all.push_back({step::request});
        for (std::size_t i = 0; withdrawals_ != 0 && i != asked_; ++i)
            if (record_.is_open(i)) all.push_back({step::withdraw, static_cast<std::uint8_t>(i)});
        for (std::size_t i = 0; i != record_.held(); ++i)
            all.push_back({step::release, static_cast<std::uint8_t>(i)});
        if (!linked_) {
            all.push_back({step::reconnect});
            return all;
        }
        if (!session_.pending_write().empty()) all.push_back({step::write});
        if (!up_.empty()) all.push_back({step::broker_reads});
        for (unsigned way = 0; way != model_broker::ways; ++way)
            if (broker_.next(way)) all.push_back({step::broker_sends, static_cast<std::uint8_t>(way)});
        if (!down_.empty()) all.push_back({step::read});
        if (cuts_ != 0) all.push_back({step::cut, 0});
        if (cuts_ != 0 && losses_ != 0 && broker_.has_session()) all.push_back({step::cut, 1});
        return all;
    }

    void go(step s) {
        switch (s.kind) {
        case step::request: request(); break;
        case step::withdraw:
            --withdrawals_;
            record_.withdrawn(s.which, session_.cancel(tern::op_id{s.which + 1U}, now_), linked_);
            break;
        case step::write: write(); break;
        case step::broker_reads: broker_.read(take_first(up_)); break;
        case step::broker_sends: {
            const parcel p = *broker_.next(s.which);
            broker_.sent(p);
            down_.push_back(p);
            break;
        }
        case step::read: read(take_first(down_)); break;
        case step::release: session_.release(record_.release(s.which)); break;
        case step::reconnect: reconnect(); break;
        case step::cut: cut(s.which != 0); break;
        }
        poll();
        demand(session_.pending_action() != tern::transport_action::close && !session_.is_idle(),
               "there is no reason to close the connection");
        if (session_.pending_write().empty()) record_.nothing_waits();
    }

    /// Checks a state in which no step but a cut is possible.
    void good_end() const {
        demand(linked_ && session_.is_connected(), "the client is connected");
        demand(broker_.is_at_rest(), "the broker has nothing unfinished");
        demand(tern::detail::session_inspector::is_at_rest(session_, record_.untold()),
               "the client has nothing unfinished");
        demand(session_.next_deadline() == tern::time_point::max(), "the client waits for nothing");
        record_.good_end(broker_);
    }

    std::string describe() {
        description d;
        tern::detail::session_inspector::describe(session_, d);
        record_.describe(session_, d);
        broker_.describe(d);
        states::describe(up_, true, d);
        states::describe(down_, false, d);
        d.add(asked_);
        d.add(withdrawals_ * 16 + cuts_ * 4 + losses_ * 2 + (linked_ ? 1U : 0U));
        return std::move(d.bytes);
    }

private:
    void request() {
        const char kind = setup_.from_client[asked_];
        const tern::op_id op{asked_ + 1};
        record_.accepted(asked_);
        const char name = static_cast<char>('a' + asked_++);
        tern::errc error{};
        if (kind == 's') {
            const tern::subscription s{.filter = "t"};
            error = session_.subscribe(std::span(&s, 1), {}, op, now_);
        } else {
            const tern::message_view m{.topic = "t", .payload = {&name, 1}, .qos = static_cast<tern::qos>(kind - '0')};
            error = session_.publish(m, op, now_);
        }
        demand(error == tern::errc::none, "a request is accepted, connected or not");
    }

    // The client writes one packet.
    void write() {
        const auto found = tern::next_frame(session_.pending_write().front());
        demand(found && found->complete, "whole packets are pending");
        const auto packet = tern::decode(found->frame, setup_.version);
        demand(packet.error() == tern::errc::none, "the client's packets are well-formed");
        const parcel p = std::visit([](const auto& each) { return parcel_of(each); }, *packet);
        record_.wrote(p);
        up_.push_back(p);
        session_.commit_write(found->size, now_);
    }

    static parcel parcel_of(const tern::connect& p) { return {.type = connect, .flag = p.clean_start}; }
    static parcel parcel_of(const tern::publish& p) {
        return {.type = publish,
                .id = p.packet_id,
                .qos = static_cast<std::uint8_t>(p.message.qos),
                .flag = p.dup,
                .message = p.message.payload.front()};
    }
    template <class Packet>
    static parcel parcel_of(const Packet& p) {
        if constexpr (requires { p.packet_id; })
            return {.type = Packet::type, .id = p.packet_id};
        else
            return {.type = Packet::type};
    }

    void read(const parcel& p) {
        record_.reads(p);
        const tern::reason_code granted{};
        switch (p.type) {
        case connack: {
            tern::connack answer{.session_present = p.flag};
            if (setup_.version == tern::protocol_version::v5) answer.properties.receive_maximum = std::uint16_t{window};
            return give(answer);
        }
        case publish:
            return give(tern::publish{
                {.topic = "t", .payload = {&p.message, 1}, .qos = static_cast<tern::qos>(p.qos)}, p.flag, p.id});
        case puback: return give(tern::puback{p.id});
        case pubrec: return give(tern::pubrec{p.id});
        case pubrel: return give(tern::pubrel{p.id});
        case pubcomp: return give(tern::pubcomp{p.id});
        case suback: return give(tern::suback{p.id, std::span(&granted, 1)});
        default: throw broken{"the broker does not send that"};
        }
    }

    template <class Packet>
    void give(const Packet& packet) {
        const std::span<char> room = session_.prepare_read();
        const auto size = tern::encode(packet, setup_.version, room);
        demand(size.error() == tern::errc::none, "the broker's packets are well-formed");
        session_.commit_read(*size, now_);
    }

    void reconnect() {
        using tern::transport_action;
        demand(session_.pending_action() == transport_action::prepare, "an attempt begins");
        session_.on_prepared(now_);
        demand(session_.pending_action() == transport_action::open, "then the transport is opened");
        session_.on_opened(now_);
        linked_ = true;
    }

    void cut(bool lose) {
        now_ += std::chrono::hours(1); // the connection counts as stable, so the next attempt follows immediately
        --cuts_;
        if (lose) --losses_;
        linked_ = false;
        up_.clear();
        down_.clear();
        record_.cut(lose);
        broker_.cut(lose);
        session_.on_disconnected(std::make_error_code(std::errc::connection_reset), now_);
        poll();
        if (session_.pending_action() == tern::transport_action::prepare) return;
        now_ = session_.next_deadline(); // there was no CONNACK, so the next attempt is delayed
        session_.on_deadline(now_);
    }

    void poll() {
        demand(tern::detail::session_inspector::is_activity_right(session_), "the session knows what goes on");
        while (const auto e = session_.poll_event()) {
            if (const auto* r = std::get_if<tern::received>(&*e)) {
                record_.received(r->payload.front(), static_cast<unsigned>(r->qos), r->token);
            } else if (const auto* c = std::get_if<tern::completed>(&*e)) {
                record_.completed(static_cast<std::size_t>(c->op) - 1, c->error, broker_);
            }
        }
    }

    setup setup_;
    std::size_t asked_ = 0;
    unsigned cuts_;
    unsigned losses_;
    unsigned withdrawals_;
    bool linked_ = false;
    tern::time_point now_{std::chrono::hours(1)};
    tern::session session_;
    model_broker broker_;
    record record_;
    std::vector<parcel> up_;
    std::vector<parcel> down_;
};

} // namespace states

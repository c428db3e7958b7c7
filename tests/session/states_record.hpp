// The observed behaviour of the client, and the rules that it must obey.
#pragma once

#include "states_broker.hpp"
#include "tern/session/event.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace states {

/// The requests and faults of a search. Each character is a message of that QoS. `s` is a subscription.
struct setup {
    tern::protocol_version version{};
    std::string_view from_client; // named a, b, c
    std::string_view to_client;   // named A, B, C
    unsigned cuts = 2;
    unsigned losses = 1;
    unsigned withdrawals = 0; // the number of messages that may be cancelled
    bool republish_qos_2 = false;
};

constexpr unsigned window = 2;

class record {
public:
    explicit record(const setup& s) : setup_(s), requests_(s.from_client.size()) {
        for (std::size_t i = 0; i != requests_.size(); ++i)
            requests_[i].kind = s.from_client[i];
        delivered_.resize(s.to_client.size());
    }

    void accepted(std::size_t index) { requests_[index].accepted = true; }

    void cut(bool session_lost) {
        if (session_lost) loss_to_tell_ = true;
        if (connect_open_) connect_unanswered_ = true;
        connect_open_ = false;
        for (request& r : requests_) {
            r.tried = r.tried || r.sent;
            r.sent = r.released = false;
        }
        subscribes_.clear(); // requests are not part of the session
        due_.clear();
        completions_due_.clear();
        last_published_ = -1;
        last_released_ = -1;
        connected_ = false;
    }

    /// The client has written a packet.
    void wrote(const parcel& p) {
        switch (p.type) {
        case connect: {
            const bool resumes = setup_.version == tern::protocol_version::v3_1_1 || ever_connected_;
            connect_open_ = true;
            return demand(p.flag != resumes, "clean start only before the first connection");
        }
        case publish: return wrote_publish(p);
        case pubrel: return wrote_pubrel(p);
        case subscribe: return wrote_subscribe(p.id);
        case puback:
        case pubrec: return wrote_ack(p);
        case pubcomp:
            demand(!completions_due_.empty() && completions_due_.front() == p.id,
                   "PUBCOMP once for each PUBREL, in order");
            completions_due_.erase(completions_due_.begin());
            return;
        default: throw broken{"a packet that a conforming client does not send"};
        }
    }

    /// The client is about to read a packet.
    void reads(const parcel& p) {
        if (p.type == connack) {
            connect_open_ = false;
            if (std::exchange(connect_unanswered_, false) && p.flag && ever_connected_) doubted_ = true;
            if (!p.flag) lose_session();
            if (p.flag && loss_to_tell_) untold_ = true;
            loss_to_tell_ = false;
            connected_ = ever_connected_ = true;
        } else if (p.type == pubrec) {
            for (request& r : requests_) {
                if (r.ended || r.id != p.id) continue;
                if (!r.recorded) released_order_ += name_of(r);
                r.recorded = true;
            }
        } else if (p.type == publish && p.qos != 0) {
            due_.push_back({p.qos == 1 ? puback : pubrec, p.id, p.message});
        } else if (p.type == pubrel) {
            completions_due_.push_back(p.id);
        } else if (p.type == suback) {
            std::erase(subscribes_, p.id);
        }
    }

    void received(char name, unsigned qos, tern::message_token token) {
        const std::size_t index = static_cast<std::size_t>(name - 'A');
        demand(qos == 1 || !delivered_[index] || doubted_, "QoS 0 and 2 are delivered once");
        demand((token == tern::message_token::none) == (qos == 0), "QoS 1 and 2 are to be released");
        delivered_[index] = true;
        if (qos == 0) return;
        held_.push_back({token, name});
        due_.back().token = token;
    }

    void completed(std::size_t index, std::error_code error, const model_broker& broker) {
        demand(index < requests_.size() && requests_[index].accepted, "the operation was requested");
        request& r = requests_[index];
        demand(!r.ended, "it completes once");
        r.ended = true;
        const unsigned arrived = r.kind == 's' ? 1 : broker.arrived(name_of(r));
        if (error == tern::errc::message_dropped) {
            demand(r.unwanted && !r.sent && !r.tried, "only what is unwanted, and was never sent, is dropped");
        } else if (error) {
            const bool in_doubt = doubted_ && r.kind == '2' && r.released;
            demand(error == tern::outcome_unknown(tern::errc::session_lost) && (r.unknown || r.unwanted || in_doubt),
                   "only a lost session makes QoS 2, and what was cancelled, fail");
            demand(arrived <= 1 || untold_ || r.kind == '1', "QoS 2 arrives once");
        } else if (r.kind == '0') {
            demand(r.sent || r.tried, "QoS 0 has been written when it completes");
        } else {
            demand(arrived != 0, "a completed message has arrived");
            demand(r.kind != '2' || arrived == 1 || untold_ || setup_.republish_qos_2, "QoS 2 arrives once");
        }
    }

    /// The broker has lost the session, and the CONNACK that reports it was lost, too. The client resumes a session
    /// that is no longer the same, and cannot detect that.
    bool untold() const { return untold_; }

    bool is_open(std::size_t index) const { return requests_[index].accepted && !requests_[index].ended; }
    void withdrawn(std::size_t index, bool done, bool linked) {
        request& r = requests_[index];
        const bool was_sent = r.sent || r.tried || r.tried_before || r.unknown;
        demand(!done || !was_sent, "a message that the broker may have received cannot be cancelled");
        demand(done || linked || was_sent, "a message that was never sent can be cancelled");
        r.ended = r.ended || done;
        r.unwanted = !done;
    }

    std::size_t held() const { return held_.size(); }
    tern::message_token release(std::size_t index) {
        const tern::message_token token = held_[index].token;
        held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
        return token;
    }

    /// The client has nothing to write, so each waiting message must have a reason to wait.
    void nothing_waits() const {
        if (!connected_) return;
        for (const request& r : requests_) {
            if (!r.accepted || r.ended || r.sent || r.released) continue;
            demand(r.kind == '1' || r.kind == '2', "only QoS 1 and 2 are queued");
            demand(!r.recorded, "PUBREL does not wait");
            demand(in_flight() == window, "a message waits only for the window");
        }
    }

    /// The final state: all requests are complete.
    void good_end(const model_broker& broker) const {
        for (const request& r : requests_)
            demand(r.accepted && r.ended, "every request completes");
        for (std::size_t i = 0; i != delivered_.size(); ++i) {
            // This broker sends messages before the client has subscribed, so in a session that the client takes for
            // the old one, one of them can seem to be a message of before.
            const bool may_miss = setup_.to_client[i] == '0' || untold_;
            demand(delivered_[i] || may_miss || broker.has_lost(static_cast<char>('A' + i)),
                   "every message is delivered");
        }
        demand(held_.empty() && due_.empty() && completions_due_.empty() && subscribes_.empty(),
               "every message is acknowledged");
        const bool wants = setup_.from_client.find('s') != std::string_view::npos;
        demand(!wants || broker.subscribed() || untold_, "the subscription exists");
    }

    void describe(const tern::session& session, description& to) const {
        to.add((connect_open_ ? 1U : 0U) | (connect_unanswered_ ? 2U : 0U) | (doubted_ ? 4U : 0U));
        to.add((loss_to_tell_ ? 1U : 0U) | (untold_ ? 2U : 0U) | (connected_ ? 4U : 0U) | (ever_connected_ ? 8U : 0U));
        for (const request& r : requests_) {
            to.add_id(r.id);
            to.add((r.accepted ? 1U : 0U) | (r.sent ? 2U : 0U) | (r.tried ? 4U : 0U) | (r.recorded ? 8U : 0U) |
                   (r.released ? 16U : 0U) | (r.ended ? 32U : 0U) | (r.unknown ? 64U : 0U) | (r.unwanted ? 128U : 0U) |
                   (r.tried_before ? 256U : 0U));
        }
        for (const bool d : delivered_)
            to.add(d ? 1U : 0U);
        to.add(released_order_);
        to.add(static_cast<unsigned>(last_published_ + 1));
        to.add(static_cast<unsigned>(last_released_ + 1));
        to.add(due_.size());
        for (const due& d : due_) {
            to.add(static_cast<unsigned>(d.type));
            to.add(d.id);
            to.add(static_cast<unsigned>(d.message));
            to.add(tern::detail::session_inspector::place_of(session, d.token));
        }
        to.add(completions_due_.size());
        for (const tern::packet_id id : completions_due_)
            to.add(id);
        to.add(held_.size());
        for (const held_message& h : held_) {
            to.add(static_cast<unsigned>(h.message));
            to.add(tern::detail::session_inspector::place_of(session, h.token));
        }
        to.add(subscribes_.size());
        for (const tern::packet_id id : subscribes_)
            to.add_id(id);
    }

private:
    struct request {
        char kind = 0;
        bool accepted = false;
        bool sent = false;         // on this connection
        bool tried = false;        // on an earlier one, in this session
        bool tried_before = false; // in a session that was lost, if messages are cancelled
        bool recorded = false;     // PUBREC has been read
        bool released = false;     // PUBREL was sent on this connection
        bool ended = false;
        bool unwanted = false; // cancelled too late
        bool unknown = false;  // the session was lost with a QoS 2 message of unknown outcome
        tern::packet_id id = 0;
    };
    struct due {
        tern::packet_type type{};
        tern::packet_id id = 0;
        char message = 0;
        tern::message_token token = tern::message_token::none;
    };
    struct held_message {
        tern::message_token token{};
        char message = 0;
    };

    char name_of(const request& r) const { return static_cast<char>('a' + (&r - requests_.data())); }

    unsigned in_flight() const {
        return static_cast<unsigned>(std::count_if(requests_.begin(), requests_.end(), [](const request& r) {
            return (r.kind == '1' || r.kind == '2') && (r.sent || r.released) && !r.ended;
        }));
    }

    bool is_in_use(tern::packet_id id) const {
        return std::any_of(requests_.begin(), requests_.end(),
                           [&](const request& r) { return r.id == id && !r.ended; }) ||
               std::find(subscribes_.begin(), subscribes_.end(), id) != subscribes_.end();
    }

    void wrote_publish(const parcel& p) {
        const int index = p.message - 'a';
        request& r = requests_[static_cast<std::size_t>(index)];
        demand(connected_, "nothing but CONNECT before CONNACK");
        demand(r.accepted && !r.ended, "nothing is sent after its completion");
        demand(!r.sent, "a message is sent once on a connection");
        demand(!r.recorded, "no PUBLISH after PUBREC");
        demand(!r.unknown || setup_.republish_qos_2, "QoS 2 is not published again");
        if (p.qos == 0) {
            demand(!r.tried && !p.flag, "QoS 0 is sent once");
        } else {
            demand(p.flag == r.tried, "DUP on what was sent before, and only there [MQTT-3.3.1-1]");
            demand(r.id == 0 ? !is_in_use(p.id) : r.id == p.id, "an identifier belongs to one message");
            demand(index > last_published_, "messages are sent in their order");
            last_published_ = index;
            r.id = p.id;
        }
        r.sent = true;
        demand(in_flight() <= window, "the window holds");
    }

    void wrote_pubrel(const parcel& p) {
        const auto r = std::find_if(requests_.begin(), requests_.end(),
                                    [&](const request& each) { return each.id == p.id && !each.ended; });
        demand(r != requests_.end() && r->recorded, "PUBREL follows PUBREC");
        demand(!r->released, "PUBREL is sent once on a connection");
        const int rank = static_cast<int>(released_order_.find(name_of(*r)));
        demand(rank > last_released_, "PUBREL in the order of PUBREC [MQTT-4.6.0-4]");
        last_released_ = rank;
        r->released = true;
        demand(in_flight() <= window, "the window holds");
    }

    void wrote_subscribe(tern::packet_id id) {
        demand(connected_, "nothing but CONNECT before CONNACK");
        demand(!is_in_use(id), "an identifier belongs to one exchange");
        subscribes_.push_back(id);
        for (request& r : requests_) // a SUBSCRIBE contains all filters that are requested so far
            if (r.kind == 's' && r.accepted) r.sent = true;
    }

    void wrote_ack(const parcel& p) {
        demand(!due_.empty() && due_.front().type == p.type && due_.front().id == p.id,
               "acknowledgements in the order of arrival, of this connection only");
        const due d = due_.front();
        due_.erase(due_.begin());
        for (const held_message& h : held_)
            demand(p.type == puback || doubted_ ? h.token != d.token : h.message != d.message,
                   "a message is acknowledged after its release");
    }

    void lose_session() {
        for (request& r : requests_) {
            if (r.kind == '0') continue;
            if (r.kind == '2' && !r.ended && (r.tried || r.recorded)) r.unknown = true;
            r.tried_before = r.tried_before || (setup_.withdrawals != 0 && r.tried);
            r.tried = r.recorded = false;
            r.id = 0;
        }
        released_order_.clear();
    }

    setup setup_;
    std::vector<request> requests_;
    std::vector<bool> delivered_;
    std::string released_order_;
    std::vector<due> due_;
    std::vector<tern::packet_id> completions_due_;
    std::vector<held_message> held_;
    std::vector<tern::packet_id> subscribes_; // before SUBACK
    int last_published_ = -1;
    int last_released_ = -1;
    bool connected_ = false;
    bool ever_connected_ = false;
    bool loss_to_tell_ = false;
    bool untold_ = false;
    bool connect_open_ = false;       // CONNECT was written, CONNACK was not read
    bool connect_unanswered_ = false; // the same on an earlier connection
    bool doubted_ = false;            // the session that the client resumed may have been a new one
};

} // namespace states

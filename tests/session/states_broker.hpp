// A minimal conforming broker as a value. It checks the client's behaviour as far as a broker can observe it. The rest
// is checked in states_record.hpp.
#pragma once

#include "inspector.hpp"
#include "tern/codec/packet.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace states {

/// An invariant that does not hold.
struct broken {
    std::string what;
};
inline void demand(bool holds, const char* what) {
    if (!holds) throw broken{what};
}

using enum tern::packet_type;

/// The relevant fields of a packet in flight.
struct parcel {
    tern::packet_type type{};
    tern::packet_id id = 0;
    std::uint8_t qos = 0;
    bool flag = false; // PUBLISH: DUP; CONNECT: clean start; CONNACK: session present
    char message = 0;  // PUBLISH: its payload, the name of the message

    void describe(bool from_client, description& to) const {
        to.add(static_cast<unsigned>(type) | unsigned{qos} << 4U | (flag ? 64U : 0U));
        const bool begins = type == publish || type == pubrel || type == subscribe;
        if (begins == from_client) // the exchange has an identifier of the client
            to.add_id(id);
        else
            to.add(id);
        to.add(static_cast<unsigned>(message));
    }
};

inline void describe(const std::vector<parcel>& parcels, bool from_client, description& to) {
    to.add(parcels.size());
    for (const parcel& p : parcels)
        p.describe(from_client, to);
}

inline parcel take_first(std::vector<parcel>& parcels) {
    const parcel first = parcels.front();
    parcels.erase(parcels.begin());
    return first;
}

class model_broker {
public:
    /// `messages` has the QoS of each message to the client, named A, B, C. `window` is the client's.
    model_broker(std::string_view messages, unsigned window) : window_(window) {
        for (const char qos : messages)
            outgoing_.push_back(
                {.name = static_cast<char>('A' + outgoing_.size()), .qos = static_cast<std::uint8_t>(qos - '0')});
    }

    void read(const parcel& p) {
        demand(p.type == connect ? !greeted_ : greeted_, "CONNECT is the first packet, and only the first");
        switch (p.type) {
        case connect: return on_connect(p);
        case publish: return on_publish(p);
        case pubrel:
            std::erase_if(received_, [&](const parcel& r) { return r.id == p.id; });
            return due_.push_back({.type = pubcomp, .id = p.id});
        case subscribe: subscribed_ = true; return due_.push_back({.type = suback, .id = p.id});
        case puback:
        case pubrec:
        case pubcomp: return on_ack(p);
        default: throw broken{"a packet that a conforming client does not send"};
        }
    }

    /// The packets that it may send next: the answers to PUBLISH, PUBREL and SUBSCRIBE, each kind in order
    /// [MQTT-4.6.0], and PUBREL or PUBLISH for its own messages.
    static constexpr unsigned ways = 6;
    std::optional<parcel> next(unsigned way) const {
        static constexpr tern::packet_type answers[] = {puback, pubrec, pubcomp, suback};
        if (!greeted_) return std::nullopt;
        if (!due_.empty() && due_.front().type == connack) return way == 0 ? std::optional{due_.front()} : std::nullopt;
        if (way >= std::size(answers)) return way == 4 ? next_pubrel() : next_publish();
        for (const parcel& p : due_)
            if (p.type == answers[way]) return p;
        return std::nullopt;
    }
    void sent(const parcel& p) {
        if (p.type != publish && p.type != pubrel) {
            due_.erase(std::find_if(due_.begin(), due_.end(), [&](const parcel& d) { return d.type == p.type; }));
            return;
        }
        const auto m = std::find_if(outgoing_.begin(), outgoing_.end(),
                                    [&](const outgoing& each) { return each.name == p.message; });
        if (p.type == publish && p.qos == 0) {
            outgoing_.erase(m);
            return;
        }
        m->id = p.id;
        m->sent = true;
        if (p.type == publish) m->step = step::publish;
    }

    /// The connection is lost, and with `lose` the session, too.
    void cut(bool lose) {
        greeted_ = false;
        due_.clear();
        for (outgoing& m : outgoing_)
            m.sent = false;
        if (lose) forget();
    }

    bool has_session() const { return has_session_; }
    bool subscribed() const { return subscribed_; }
    bool is_at_rest() const { return due_.empty() && outgoing_.empty() && received_.empty(); }
    unsigned arrived(char message) const { return arrived_[static_cast<std::size_t>(message - 'a')]; }
    /// Whether a message to the client was lost with a session.
    bool has_lost(char message) const { return (lost_ >> (message - 'A') & 1U) != 0; }

    void describe(description& to) const {
        to.add((greeted_ ? 1U : 0U) | (has_session_ ? 2U : 0U) | (subscribed_ ? 4U : 0U));
        to.add(lost_);
        states::describe(due_, false, to);
        states::describe(received_, true, to);
        for (const unsigned count : arrived_)
            to.add(count);
        to.add(outgoing_.size());
        for (const outgoing& m : outgoing_) {
            to.add(static_cast<unsigned>(m.name));
            to.add(m.id);
            to.add(static_cast<unsigned>(m.step) | (m.sent ? 4U : 0U));
        }
    }

private:
    enum class step : std::uint8_t { waiting, publish, pubrel };
    struct outgoing {
        char name = 0;
        std::uint8_t qos = 0;
        model_broker::step step = model_broker::step::waiting;
        bool sent = false; // on this connection
        tern::packet_id id = 0;
    };

    void on_connect(const parcel& p) {
        if (p.flag) forget(); // clean start
        due_.push_back({.type = connack, .flag = has_session_});
        greeted_ = has_session_ = true;
    }

    void on_publish(const parcel& p) {
        unsigned& arrived = arrived_[static_cast<std::size_t>(p.message - 'a')];
        if (p.qos == 0) {
            demand(arrived == 0, "QoS 0 is sent once");
            ++arrived;
            return;
        }
        const auto known =
            std::find_if(received_.begin(), received_.end(), [&](const parcel& r) { return r.id == p.id; });
        if (known != received_.end()) {
            demand(known->message == p.message, "an identifier of a message that is not released is in use");
            demand(p.flag, "DUP is set when a message is resent");
        } else {
            if (p.qos == 2 || arrived == 0) ++arrived; // the number of arrivals at QoS 1 is irrelevant
            if (p.qos == 2) received_.push_back(p);
        }
        due_.push_back({.type = p.qos == 2 ? pubrec : puback, .id = p.id});
    }

    // The client's acknowledgement must be for the oldest message that awaits it [MQTT-4.6.0-2, MQTT-4.6.0-3].
    void on_ack(const parcel& p) {
        const auto m = std::find_if(outgoing_.begin(), outgoing_.end(), [&](const outgoing& each) {
            if (!each.sent) return false;
            if (p.type == pubcomp) return each.step == step::pubrel;
            return each.step == step::publish && each.qos == (p.type == puback ? 1 : 2);
        });
        demand(m != outgoing_.end() && m->id == p.id, "acknowledgements come once, and in order of arrival");
        if (p.type == pubrec) {
            m->step = step::pubrel;
            m->sent = false;
        } else {
            outgoing_.erase(m);
        }
    }

    std::optional<parcel> next_pubrel() const {
        for (const outgoing& m : outgoing_)
            if (!m.sent && m.step == step::pubrel) return parcel{.type = pubrel, .id = m.id, .message = m.name};
        return std::nullopt;
    }

    std::optional<parcel> next_publish() const {
        unsigned in_flight = 0;
        for (const outgoing& m : outgoing_)
            if (m.sent || m.step == step::pubrel) ++in_flight;
        for (const outgoing& m : outgoing_) {
            if (m.sent || m.step == step::pubrel) continue;
            if (m.qos != 0 && in_flight >= window_) return std::nullopt;
            const tern::packet_id id = m.qos == 0 ? tern::packet_id{0} : m.id != 0 ? m.id : free_id();
            return parcel{.type = publish, .id = id, .qos = m.qos, .flag = m.step == step::publish, .message = m.name};
        }
        return std::nullopt;
    }

    tern::packet_id free_id() const {
        tern::packet_id id = 1; // the lowest free one, so that identifiers are reused as early as possible
        while (std::any_of(outgoing_.begin(), outgoing_.end(), [&](const outgoing& m) { return m.id == id; }))
            ++id;
        return id;
    }

    void forget() {
        has_session_ = subscribed_ = false;
        received_.clear();
        for (const outgoing& m : outgoing_)
            if (m.step != step::waiting) lost_ |= 1U << (m.name - 'A');
        std::erase_if(outgoing_, [](const outgoing& m) { return m.step != step::waiting; });
    }

    unsigned window_;
    bool greeted_ = false; // CONNECT has arrived
    bool has_session_ = false;
    bool subscribed_ = false;
    unsigned lost_ = 0;
    std::vector<parcel> due_;      // answers, in the order in which they became due
    std::vector<parcel> received_; // QoS 2, before PUBREL
    std::vector<outgoing> outgoing_;
    std::array<unsigned, 4> arrived_{};
};

} // namespace states

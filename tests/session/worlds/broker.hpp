// A small broker, written from the standard. It checks what a client must do, and answers in any order, late or never.
#pragma once

#include "session/session_driver.hpp"
#include "session/worlds/ledger.hpp"
#include "session/worlds/story.hpp"
#include "tern/codec/packet.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace worlds {

/// What a broker allows on one connection.
struct limits {
    std::uint16_t receive_maximum = 65'535;
    std::uint32_t maximum_packet_size = 0; ///< 0: any
    unsigned maximum_qos = 2;
    bool retain = true;
    bool wildcard = true;
    bool shared = true;
    bool identifiers = true;
    std::chrono::seconds keep_alive{0}; ///< Server Keep Alive, or 0
    std::uint16_t topic_alias_maximum = 0;
    std::chrono::seconds least_expiry{0}; ///< a shorter session expiry interval is raised to this
};

/// A message of the broker to the client.
struct sent_message {
    unsigned number = 0;
    unsigned qos = 0;
    unsigned sendings = 0;
    unsigned deliveries = 0;
    bool is_released = false; ///< by the application
};

class broker {
public:
    broker(tern::protocol_version version, chance& random, ledger& requests, story& told)
        : version_(version)
        , random_(random)
        , requests_(requests)
        , story_(told) {}

    std::string to_client;              ///< sent, on its way
    limits allowed;                     ///< on this connection
    limits next_limits;                 ///< on the next
    tern::reason_code next_refusal{};   ///< of CONNACK, once
    std::uint64_t session = 0;          ///< the number of the session; 0: none
    std::uint64_t answered_session = 0; ///< when CONNACK was sent
    unsigned window = 65'535;           ///< of the client
    bool expects_clean_start = false;
    bool may_clean_start = true;
    /// Once the client knows the session, the broker may have made subscriptions by itself. Before, it has those of the
    /// client.
    bool may_have_subscriptions = true;
    bool keeps_to_window = true; ///< that of the client. Some brokers do not, which is tolerated if it is derived
    bool is_calm = false;        ///< refuses nothing
    std::map<std::string, tern::subscription> subscriptions; ///< `filter` is not used
    std::set<std::string> kept;                              ///< filters that the client cannot end, or has forgotten
    std::vector<sent_message> messages;                      ///< [0] has number 1

    bool is_connected() const noexcept { return is_connected_; }
    bool has_due() const noexcept { return !due_.empty(); }
    bool is_quiet() const noexcept { return due_.empty() && outgoing_.empty() && to_client.empty() && in_.empty(); }
    std::string remains() const {
        std::ostringstream text;
        text << due_.size() << " answers due, " << incoming_qos_2_.size() << " identifiers of the client, ";
        for (const outbound& o : outgoing_)
            text << "message " << o.number << " as " << o.id << (o.has_pubrec ? " after PUBREC, " : ", ");
        return text.str();
    }
    /// The messages whose PUBREL has not come.
    const std::map<tern::packet_id, unsigned>& open_qos_2() const noexcept { return incoming_qos_2_; }

    void begin_connection() { end_link(); }
    void end_connection() {
        if (is_connected_ && !keeps_session_) lose_session("it ends with the connection");
        end_link();
    }
    void lose_session(const char* why) {
        if (session == 0) return;
        story_.line("    broker loses the session: ", why);
        session = 0;
        incoming_qos_2_.clear();
        outgoing_.clear();
        subscriptions.clear();
    }

    void receive(std::string_view bytes) {
        in_ += bytes;
        for (;;) {
            const auto found = tern::next_frame(in_);
            demand(bool(found), "the broker received an invalid packet");
            if (!found->complete) return;
            const auto packet = tern::decode(found->frame, version_);
            demand(bool(packet), "the broker received an invalid packet");
            demand(has_connect_ == !std::holds_alternative<tern::connect>(*packet),
                   "CONNECT is not first, or comes twice");
            demand(!has_disconnect_, "a packet follows DISCONNECT [MQTT-3.14.4-1]");
            const std::size_t size = found->size;
            if (is_connected_ && allowed.maximum_packet_size != 0)
                demand(size <= allowed.maximum_packet_size, "a packet exceeds the Maximum Packet Size [MQTT-3.2.2-15]");
            std::visit([&](const auto& p) { on(p); }, *packet);
            in_.erase(0, size);
        }
    }

    /// Sends one of the answers that are due.
    void answer() {
        if (due_.empty()) return;
        const std::size_t which = random_.below(static_cast<unsigned>(due_.size()));
        const due d = due_[which];
        due_.erase(due_.begin() + static_cast<std::ptrdiff_t>(which));
        story_.line("    broker sends ", name_of(d.type), ' ', d.id, ' ', static_cast<unsigned>(d.code));
        to_client += d.bytes;
        if (d.ends_publish) places_.erase(d.id);
    }

    /// Publishes to the client, if its Receive Maximum allows it.
    void publish(unsigned qos, std::size_t size) {
        if (!is_connected_) return;
        if (qos != 0 && !may_have_subscriptions) return;
        if (qos != 0 && outgoing_.size() >= std::min<std::size_t>(client_maximum_, most_ids - 1)) return;
        messages.push_back({.number = static_cast<unsigned>(messages.size()) + 1, .qos = qos});
        outbound m{.number = messages.back().number, .qos = qos, .size = size};
        if (qos != 0) {
            do
                m.id = static_cast<tern::packet_id>(1 + random_.below(most_ids));
            while (std::any_of(outgoing_.begin(), outgoing_.end(), [&](const outbound& o) { return o.id == m.id; }));
            outgoing_.push_back(m);
            send(outgoing_.back(), false);
        } else {
            send(m, false);
        }
    }

private:
    static constexpr unsigned most_ids = 8; // so that a new message often has the identifier of another one

    struct due {
        tern::packet_type type;
        tern::packet_id id;
        tern::reason_code code;
        bool ends_publish;
        std::string bytes;
    };
    struct outbound {
        unsigned number = 0;
        unsigned qos = 0;
        std::size_t size = 0;
        tern::packet_id id = 0;
        bool has_pubrec = false;
        bool is_on_this_connection = false;
    };

    bool v5() const noexcept { return version_ == tern::protocol_version::v5; }
    bool refuses(unsigned one_in) { return !is_calm && random_.one_in(one_in); }
    static const char* name_of(tern::packet_type type) {
        static constexpr const char* names[] = {
            "",          "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",   "PUBREL",     "PUBCOMP",
            "SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"};
        return names[static_cast<unsigned>(type)];
    }
    void end_link() {
        is_connected_ = has_connect_ = has_disconnect_ = false;
        in_.clear();
        to_client.clear();
        due_.clear();
        places_.clear();
        seen_.clear();
        aliases_.clear();
        for (outbound& o : outgoing_)
            o.is_on_this_connection = false;
    }
    template <class Packet>
    void put_due(const Packet& packet, tern::packet_id id, tern::reason_code code = {}, bool ends_publish = false) {
        due d{Packet::type, id, code, ends_publish, {}};
        put(d.bytes, packet, version_);
        due_.push_back(std::move(d));
    }

    // ---- CONNECT

    void on(const tern::connect& p) {
        has_connect_ = true;
        asked_expiry_ = p.properties.session_expiry_interval.value_or(std::chrono::seconds{0});
        demand(!expects_clean_start || p.clean_start, "the first CONNECT has no Clean Start");
        demand(may_clean_start || p.clean_start == false || !v5(), "a resuming CONNECT has Clean Start");
        if (next_refusal != tern::reason_code::success) {
            story_.line("    broker refuses the connection");
            put(to_client, tern::connack{.reason_code = std::exchange(next_refusal, {})}, version_);
            return;
        }
        if (p.clean_start) lose_session("Clean Start");
        const bool present = session != 0;
        if (!present) {
            session = ++sessions_;
            may_have_subscriptions = false;
        }
        answered_session = session;
        client_maximum_ = keeps_to_window ? p.properties.receive_maximum.value_or(65'535) : 65'535;
        allowed = v5() ? next_limits : limits{};
        keeps_session_ = v5() ? std::max(asked_expiry_, allowed.least_expiry).count() != 0 : !p.clean_start;
        is_connected_ = true;
        story_.line("    broker accepts, session ", session, present ? " present" : " new", "; Receive Maximum ",
                    allowed.receive_maximum, ", Maximum Packet Size ", allowed.maximum_packet_size, ", QoS ",
                    allowed.maximum_qos);
        send_connack(present);
        for (const outbound& o : outgoing_)
            if (o.has_pubrec) put_due(tern::pubrel{.packet_id = o.id}, o.id);
        send_again();
    }
    // As many messages of before as the client's Receive Maximum allows.
    void send_again() {
        const auto under_way = std::count_if(outgoing_.begin(), outgoing_.end(),
                                             [](const outbound& o) { return o.is_on_this_connection; });
        auto room = static_cast<std::ptrdiff_t>(client_maximum_) - under_way;
        for (outbound& o : outgoing_)
            if (!o.has_pubrec && !o.is_on_this_connection && room-- > 0) send(o, true);
    }
    void send_connack(bool present) {
        tern::connack answer{.session_present = present};
        if (v5()) {
            tern::connack_properties& p = answer.properties;
            if (allowed.receive_maximum != 65'535) p.receive_maximum = allowed.receive_maximum;
            if (allowed.maximum_packet_size != 0) p.maximum_packet_size = allowed.maximum_packet_size;
            if (allowed.maximum_qos != 2) p.maximum_qos = static_cast<tern::qos>(allowed.maximum_qos);
            if (!allowed.retain) p.retain_available = false;
            if (!allowed.wildcard) p.wildcard_subscription_available = false;
            if (!allowed.shared) p.shared_subscription_available = false;
            if (!allowed.identifiers) p.subscription_identifier_available = false;
            if (allowed.keep_alive.count() != 0) p.server_keep_alive = allowed.keep_alive;
            if (allowed.topic_alias_maximum != 0) p.topic_alias_maximum = allowed.topic_alias_maximum;
            if (allowed.least_expiry > asked_expiry_) p.session_expiry_interval = allowed.least_expiry;
        }
        put(to_client, answer, version_);
    }

    void send(outbound& o, bool dup) {
        sent_message& m = messages[o.number - 1];
        ++m.sendings;
        o.is_on_this_connection = true;
        story_.line("    broker sends message ", o.number, " QoS ", o.qos, " as ", o.id, dup ? " DUP" : "");
        const std::string payload = std::to_string(o.number) + ':' + std::string(o.size, 'b');
        put(to_client,
            tern::publish{
                {.topic = "m", .payload = payload, .qos = static_cast<tern::qos>(o.qos)}, dup && o.qos != 0, o.id},
            version_);
    }

    // ---- messages of the client

    void on(const tern::publish& p) {
        const unsigned qos = static_cast<unsigned>(p.message.qos);
        demand(qos <= allowed.maximum_qos, "PUBLISH above the Maximum QoS [MQTT-3.2.2-11]");
        demand(allowed.retain || !p.message.retain, "PUBLISH with retain [MQTT-3.2.2-14]");
        const unsigned number = number_in(p.message.payload);
        check_topic(p.message, requests_.at(number).topic);
        if (qos == 0) return requests_.on_accepted(number);
        // In 3.1.1 a message may come again on the same connection, also after its acknowledgement was sent.
        if (seen_.insert(p.packet_id).second || !p.dup) take_place(p.packet_id);
        if (qos == 1) {
            const auto code = refusal();
            if (!is_failure(code)) requests_.on_accepted(number);
            return put_due(tern::puback{p.packet_id, code}, p.packet_id, code, true);
        }
        const auto known = incoming_qos_2_.find(p.packet_id);
        if (known != incoming_qos_2_.end()) {
            demand(known->second == number || requests_.at(number).is_in_doubt, "QoS 2 message ", number,
                   " has the identifier of ", known->second);
            return put_due(tern::pubrec{.packet_id = p.packet_id}, p.packet_id);
        }
        const auto code = refusal();
        if (!is_failure(code)) {
            requests_.on_accepted(number);
            incoming_qos_2_[p.packet_id] = number;
        }
        put_due(tern::pubrec{p.packet_id, code}, p.packet_id, code, is_failure(code));
    }
    void check_topic(const tern::message_view& m, const std::string& wanted) {
        std::string topic{m.topic};
        if (const auto alias = m.properties.topic_alias) {
            demand(*alias != 0 && *alias <= allowed.topic_alias_maximum, "a topic alias [MQTT-3.3.2-9]");
            std::string& set = aliases_[*alias];
            if (!topic.empty()) set = topic;
            topic = set;
        }
        demand(topic == wanted, "a message for ", wanted, " has the topic ", topic);
    }
    tern::reason_code refusal() {
        return v5() && refuses(20) ? tern::reason_code::quota_exceeded : tern::reason_code::success;
    }
    void on(const tern::pubrel& p) {
        const bool known = incoming_qos_2_.erase(p.packet_id) != 0;
        if (known) places_.insert(p.packet_id); // also for a message of an earlier connection
        const auto code = known || !v5() ? tern::reason_code::success : tern::reason_code::packet_identifier_not_found;
        put_due(tern::pubcomp{p.packet_id, code}, p.packet_id, code, true);
    }
    void take_place(tern::packet_id id) {
        if (!places_.insert(id).second) return;
        demand(places_.size() <= std::min<std::size_t>(window, allowed.receive_maximum),
               "more messages are unacknowledged than the window allows [MQTT-3.3.4-7]");
    }

    // ---- acknowledgements of the client

    // The oldest unacknowledged message of this QoS [MQTT-4.6.0-2, MQTT-4.6.0-3].
    outbound* next_unacknowledged(unsigned qos) {
        for (outbound& o : outgoing_)
            if (o.qos == qos && !o.has_pubrec && o.is_on_this_connection) return &o;
        return nullptr;
    }
    void demand_released(const outbound& o) {
        const sent_message& m = messages[o.number - 1];
        demand(m.is_released, "message ", o.number, " is acknowledged before the application released it");
    }
    void on(const tern::puback& p) {
        story_.line("    broker received PUBACK ", p.packet_id);
        const outbound* const next = next_unacknowledged(1);
        demand(next && next->id == p.packet_id, "PUBACK ", p.packet_id, " is out of order [MQTT-4.6.0-2]");
        demand_released(*next);
        std::erase_if(outgoing_, [&](const outbound& o) { return o.id == p.packet_id; });
        send_again();
    }
    void on(const tern::pubrec& p) {
        story_.line("    broker received PUBREC ", p.packet_id);
        outbound* const next = next_unacknowledged(2);
        demand(next && next->id == p.packet_id, "PUBREC ", p.packet_id, " is out of order [MQTT-4.6.0-3]");
        demand_released(*next);
        next->has_pubrec = true;
        put_due(tern::pubrel{.packet_id = p.packet_id}, p.packet_id);
    }
    void on(const tern::pubcomp& p) {
        story_.line("    broker received PUBCOMP ", p.packet_id);
        const auto erased =
            std::erase_if(outgoing_, [&](const outbound& o) { return o.id == p.packet_id && o.has_pubrec; });
        demand(erased == 1, "PUBCOMP ", p.packet_id, " without PUBREL");
        send_again();
    }

    // ---- the rest

    void on(const tern::subscribe& p) {
        demand(!p.properties.subscription_identifier || allowed.identifiers, "a Subscription Identifier [§3.2.2.3.12]");
        std::vector<tern::reason_code> codes;
        may_have_subscriptions = true;
        for (const tern::subscription& s : p.subscriptions) {
            demand(allowed.wildcard || s.filter.find_first_of("+#") == std::string_view::npos,
                   "a wildcard [§3.2.2.3.11]");
            demand(allowed.shared || !s.filter.starts_with("$share"), "a shared subscription [§3.2.2.3.13]");
            codes.push_back(subscribe_one(s));
        }
        put_due(tern::suback{.packet_id = p.packet_id, .reason_codes = codes}, p.packet_id);
    }
    tern::reason_code subscribe_one(const tern::subscription& s) {
        if (refuses(12)) return v5() ? tern::reason_code::not_authorized : tern::reason_code::unspecified_error;
        kept.erase(std::string{s.filter});
        subscriptions[std::string{s.filter}] = {.max_qos = s.max_qos};
        return static_cast<tern::reason_code>(s.max_qos);
    }
    void on(const tern::unsubscribe& p) {
        std::vector<tern::reason_code> codes;
        for (const std::string_view f : p.filters) {
            if (v5() && refuses(12)) {
                codes.push_back(tern::reason_code::not_authorized);
                kept.emplace(f);
                continue;
            }
            const bool existed = subscriptions.erase(std::string{f}) != 0;
            codes.push_back(existed ? tern::reason_code::success : tern::reason_code::no_subscription_existed);
        }
        if (!v5()) codes.clear();
        put_due(tern::unsuback{.packet_id = p.packet_id, .reason_codes = codes}, p.packet_id);
    }
    void on(const tern::pingreq&) { put_due(tern::pingresp{}, 0); }
    void on(const tern::disconnect& p) {
        story_.line("    broker received DISCONNECT");
        has_disconnect_ = true;
        if (p.properties.session_expiry_interval) {
            demand(asked_expiry_.count() != 0 || p.properties.session_expiry_interval->count() == 0,
                   "DISCONNECT raises the expiry interval");
            keeps_session_ = p.properties.session_expiry_interval->count() != 0;
        }
        due_.clear();
    }
    template <class Packet>
    void on(const Packet&) {
        break_rule("the client sends a packet that only brokers send");
    }

    tern::protocol_version version_;
    chance& random_;
    ledger& requests_;
    story& story_;

    std::string in_;
    bool has_connect_ = true, has_disconnect_ = false, is_connected_ = false, keeps_session_ = false;
    std::uint64_t sessions_ = 0;
    std::chrono::seconds asked_expiry_{0};
    unsigned client_maximum_ = 65'535;
    std::vector<due> due_;
    std::set<tern::packet_id> places_;                   // unacknowledged messages of this connection
    std::set<tern::packet_id> seen_;                     // identifiers of messages on this connection
    std::map<unsigned, std::string> aliases_;            // the topics of the client's aliases on this connection
    std::map<tern::packet_id, unsigned> incoming_qos_2_; // the message of each identifier, before PUBREL
    std::deque<outbound> outgoing_;
};

} // namespace worlds

// Watches what the client offers to the transport and what it reads: identifiers, DUP, order and limits of the client's
// packets follow from that alone, whatever the broker receives of it.
#pragma once

#include "session/worlds/ledger.hpp"
#include "session/worlds/story.hpp"
#include "tern/codec/packet.hpp"

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace worlds {

class client_wire {
public:
    client_wire(tern::protocol_version version, ledger& requests, story& told)
        : version_(version)
        , requests_(requests)
        , story_(told) {}

    bool forgets_subscriptions = false; ///< they are not renewed
    bool resends_late = false;          ///< 3.1.1: a message may come again on the same connection
    unsigned connection = 0;            ///< their number
    unsigned pingresps = 0;             ///< read on this connection
    bool awaits_connack = false;        ///< CONNECT was sent whole, and has no answer
    bool client_has_session = false;    ///< of the last connection, as the broker has agreed
    tern::time_point connected_at{};

    void begin_connection() {
        ++connection;
        offered_.clear();
        last_acknowledged_ = last_unacknowledged_ = 0;
        last_pubrel_ = 0;
        pingresps = 0;
        awaits_connack = false;
        if (std::exchange(has_offered_subscribe_, false)) dup_shows_session_ = false;
        std::erase_if(exchanges_, [](const auto& e) { return e.second.is_request; });
        for (auto& [id, e] : exchanges_)
            e.is_on_this_connection = e.pubrel_is_on_this_connection = false;
    }

    /// The connection ends while `pending` was still to be written: a packet may have been offered in part.
    void end_connection(std::string pending) {
        if (offered_.empty()) return;
        const auto found = tern::next_frame(pending = offered_ + pending);
        if (found && found->complete) on_offered(found->frame, false);
        offered_.clear();
    }

    void offer(std::string_view bytes) {
        offered_ += bytes;
        for (;;) {
            const auto found = tern::next_frame(offered_);
            demand(bool(found), "the client sends an invalid packet");
            if (!found->complete) return;
            on_offered(found->frame, true);
            offered_.erase(0, found->size);
        }
    }

    /// The client reads a whole packet. `uncertain`: it may have ended the connection instead, out of memory.
    void read(const tern::frame& frame, bool uncertain) {
        const auto packet = tern::decode(frame, version_);
        demand(bool(packet), "the broker of the test sends an invalid packet");
        uncertain_ = uncertain;
        std::visit([&](const auto& p) { on_read(p); }, *packet);
    }

    /// The broker has lost the session, and the client knows.
    void lose_session() {
        for (const auto& [id, e] : exchanges_) {
            if (e.is_request) continue;
            request& r = requests_.at(e.number);
            if (r.qos == 2 && r.was_sent && !requests_.republishes_qos_2)
                r.is_lost = true;
            else
                may_come_again(e.number);
        }
        exchanges_.clear();
        forget_incoming();
        for (request& r : requests_.all()) {
            const bool was_granted = r.kind == request_kind::subscribe && r.was_answered && r.has_ended;
            r.is_forgotten |= forgets_subscriptions && was_granted && !r.is_in_doubt;
        }
    }
    /// The broker has lost the session, and the client believes that it has not.
    void mistake_session() {
        for (auto& [id, e] : exchanges_) {
            if (e.is_request) continue;
            e.is_in_doubt = true;
            requests_.at(e.number).is_in_doubt = true;
            may_come_again(e.number);
        }
    }
    /// CONNECT was sent, and CONNACK did not come: a PUBCOMP may now be for another session.
    void doubt_session() {
        for (auto& [id, e] : exchanges_)
            e.is_doubted |= e.has_pubrec || e.maybe_over;
        doubted_incoming_ = incoming_;
        if (!std::exchange(is_doubtful_, true)) dup_shows_session_ = true;
    }
    /// A QoS 2 message of the broker was delivered. If it is of another session, its PUBREL shows nothing about that.
    void deliver(tern::packet_id id) {
        incoming_.insert(id);
        doubted_incoming_.erase(id);
    }
    void give_back(tern::packet_id id) { incoming_.erase(id); }
    /// The client has forgotten the session.
    void forget_incoming() {
        incoming_.clear();
        doubted_incoming_.clear();
        is_doubtful_ = false;
    }

private:
    struct exchange {
        unsigned number = 0;
        unsigned qos = 0;
        bool is_request = false; ///< SUBSCRIBE or UNSUBSCRIBE
        bool has_pubrec = false;
        bool maybe_over = false;
        bool is_in_doubt = false;
        bool is_doubted = false;
        bool is_on_this_connection = false;
        bool pubrel_is_on_this_connection = false;
        unsigned pubrec_order = 0;
        std::vector<std::string> filters = {};
    };

    void may_come_again(unsigned number) {
        request& r = requests_.at(number);
        r.begins_again = true;
        r.began_again_on = connection;
        if (r.qos == 2) ++r.repeatable;
    }

    void on_offered(const tern::frame& frame, bool whole) {
        const auto packet = tern::decode(frame, version_);
        demand(bool(packet), "the client sends an invalid packet");
        std::visit([&](const auto& p) { on_offered(p, whole); }, *packet);
    }
    template <class Packet>
    void on_offered(const Packet&, bool) {}

    void on_offered(const tern::connect&, bool whole) { awaits_connack = whole; }
    void on_offered(const tern::disconnect& p, bool whole) {
        if (whole && !awaits_connack && p.properties.session_expiry_interval == std::chrono::seconds{0})
            client_has_session = false;
    }
    void on_offered(const tern::publish& p, bool whole) {
        const unsigned number = number_in(p.message.payload);
        request& r = requests_.at(number);
        story_.line("    client ", whole ? "sent" : "sent a part of", " PUBLISH ", p.packet_id, p.dup ? " DUP" : "",
                    " of message ", number);
        demand(!r.is_withdrawn, "message ", number, " is sent although it was withdrawn");
        demand(!r.is_lost, "QoS 2 message ", number, " is published again although nothing asks for it");
        demand(static_cast<unsigned>(p.message.qos) == r.qos, "message ", number, " has another QoS");
        if (!r.was_offered) check_times(number, r, p);
        r.was_offered = true;
        if (whole) r.was_sent = true;
        if (r.qos == 0) {
            demand(number > last_unacknowledged_, "QoS 0 message ", number, " is sent behind a later one");
            last_unacknowledged_ = number;
            return;
        }
        const auto [at, is_new] = exchanges_.try_emplace(p.packet_id);
        exchange& e = at->second;
        if (!is_new && e.number != number && e.maybe_over) e = exchange{};
        if (!is_new && e.number != 0) {
            demand(!e.is_request && e.number == number, "identifier ", p.packet_id, " is used twice [MQTT-2.2.1-3]");
            demand(p.dup, "message ", number, " is sent again without DUP [MQTT-3.3.1-1]");
            demand(!e.has_pubrec || (resends_late && e.is_on_this_connection), "PUBLISH ", p.packet_id,
                   " after PUBREC [MQTT-4.3.3-6]");
            demand(!e.is_on_this_connection || resends_late, "PUBLISH again on a connection [MQTT-4.4.0-1]");
        } else if (resends_late && p.dup) {
            e.maybe_over = true; // a copy that was due before the acknowledgement came
        } else {
            demand(!p.dup, "DUP on message ", number, ", which the broker cannot have [MQTT-3.3.1-1]");
            demand(!is_under_way(number), "message ", number, " has two identifiers");
            demand(!r.is_cancelled || r.cancelled_on >= r.began_again_on, "cancelled message ", number,
                   " begins again");
        }
        if (!e.is_on_this_connection && !e.maybe_over) {
            demand(number > last_acknowledged_, "message ", number, " is sent behind a later one [MQTT-4.6.0-1]");
            last_acknowledged_ = number;
        }
        e.number = number;
        e.qos = r.qos;
        e.is_on_this_connection = true;
    }
    void on_offered(const tern::pubrel& p, bool) {
        story_.line("    client sent PUBREL ", p.packet_id);
        if (p.reason_code != tern::reason_code::success) return;
        const auto at = exchanges_.find(p.packet_id);
        if (at == exchanges_.end() && resends_late) return; // likewise
        demand(at != exchanges_.end() && (at->second.has_pubrec || at->second.maybe_over), "PUBREL ", p.packet_id,
               " without PUBREC");
        exchange& e = at->second;
        if (std::exchange(e.pubrel_is_on_this_connection, true)) return; // for a message that was sent again
        demand(e.pubrec_order >= last_pubrel_, "PUBREL ", p.packet_id, " is out of order [MQTT-4.6.0-4]");
        last_pubrel_ = e.pubrec_order;
    }
    void on_offered(const tern::subscribe& p, bool whole) {
        has_offered_subscribe_ = true;
        std::vector<std::string> filters;
        for (const tern::subscription& s : p.subscriptions)
            filters.emplace_back(s.filter);
        begin_request(p.packet_id, std::move(filters), request_kind::subscribe, whole);
    }
    void on_offered(const tern::unsubscribe& p, bool whole) {
        std::vector<std::string> filters;
        for (const std::string_view f : p.filters)
            filters.emplace_back(f);
        begin_request(p.packet_id, std::move(filters), request_kind::unsubscribe, whole);
    }

    void begin_request(tern::packet_id id, std::vector<std::string> filters, request_kind kind, bool whole) {
        std::string list;
        for (const std::string& f : filters)
            list += ' ' + f;
        story_.line("    client sent ", whole ? "" : "a part of ",
                    kind == request_kind::subscribe ? "SUBSCRIBE" : "UNSUBSCRIBE", ' ', id, list);
        exchange e{.is_request = true, .is_on_this_connection = true, .filters = filters};
        for (const std::string& f : filters) {
            const unsigned number = number_in(f);
            if (!requests_.has(number)) continue;
            request& r = requests_.at(number);
            demand(kind != request_kind::subscribe || !r.is_forgotten, "the lost subscription to ", f, " is renewed");
            demand(r.kind != kind || !r.is_cancelled || r.was_answered || r.cancelled_on == connection, "request ",
                   number, " is sent on another connection although it was cancelled");
            r.was_offered = true;
            e.number = number;
        }
        const auto at = exchanges_.find(id);
        demand(at == exchanges_.end() || at->second.maybe_over, "identifier ", id, " is used twice [MQTT-2.2.1-3]");
        exchanges_[id] = std::move(e);
    }

    void check_times(unsigned number, const request& r, const tern::publish& p) {
        demand(r.expires > connected_at, "message ", number, " is sent although it had expired");
        if (r.expiry_interval.count() == 0 || r.asked >= connected_at) return;
        const auto waited = std::chrono::duration_cast<std::chrono::seconds>(connected_at - r.asked);
        demand(p.message.properties.message_expiry_interval.value_or(std::chrono::seconds{0}) + waited <=
                   r.expiry_interval,
               "the Message Expiry Interval of message ", number, " did not decrease [MQTT-3.3.2-6]");
    }
    bool is_under_way(unsigned number) const {
        for (const auto& [id, e] : exchanges_)
            if (!e.is_request && e.number == number && !e.maybe_over) return true;
        return false;
    }

    // ---- what the client reads

    template <class Packet>
    void on_read(const Packet&) {}
    void on_read(const tern::connack&) { awaits_connack = false; }
    void on_read(const tern::pingresp&) { ++pingresps; }
    void on_read(const tern::puback& p) { finish(p.packet_id, p.reason_code); }
    void on_read(const tern::pubcomp& p) {
        const auto at = exchanges_.find(p.packet_id);
        if (at != exchanges_.end() && at->second.is_doubted) {
            request& r = requests_.at(at->second.number);
            r.is_in_doubt = true;
            r.ended_in_doubt = !uncertain_ && !at->second.maybe_over;
        }
        finish(p.packet_id, tern::reason_code::success);
    }
    // A new session has no PUBREC for a message of before.
    void on_read(const tern::pubrel& p) {
        incoming_.erase(p.packet_id);
        if (doubted_incoming_.contains(p.packet_id)) end_doubt();
    }
    // And no message before the client has subscribed.
    void on_read(const tern::publish& p) {
        if (!doubted_incoming_.contains(p.packet_id)) return;
        if (p.dup && dup_shows_session_) return end_doubt();
        dup_shows_session_ = false;
    }
    void end_doubt() {
        doubted_incoming_.clear();
        is_doubtful_ = false;
        for (auto& [id, e] : exchanges_)
            if (std::exchange(e.is_doubted, false) && uncertain_) requests_.at(e.number).is_in_doubt = true;
    }
    void on_read(const tern::pubrec& p) {
        if (is_failure(p.reason_code)) return finish(p.packet_id, p.reason_code);
        const auto at = exchanges_.find(p.packet_id);
        if (at == exchanges_.end() || at->second.has_pubrec) return;
        at->second.pubrec_order = ++pubrecs_;
        if (uncertain_) return mark_uncertain(p.packet_id);
        at->second.has_pubrec = true;
    }
    void on_read(const tern::suback& p) {
        if (exchanges_.contains(p.packet_id)) dup_shows_session_ = false;
        finish_request(p.packet_id, p.reason_codes);
    }
    void on_read(const tern::unsuback& p) { finish_request(p.packet_id, p.reason_codes); }

    // Out of memory, the client may have processed the packet, or not.
    void mark_uncertain(tern::packet_id id) {
        const auto at = exchanges_.find(id);
        if (uncertain_ && at != exchanges_.end()) at->second.maybe_over = true;
    }
    void finish(tern::packet_id id, tern::reason_code code) {
        const auto at = exchanges_.find(id);
        if (at == exchanges_.end()) return;
        request& r = requests_.at(at->second.number);
        (is_failure(code) ? r.was_refused : r.was_answered) = true;
        if (uncertain_) {
            r.is_in_doubt = true;
            return mark_uncertain(id);
        }
        exchanges_.erase(at);
    }
    template <class Codes>
    void finish_request(tern::packet_id id, const Codes& codes) {
        const auto at = exchanges_.find(id);
        if (at == exchanges_.end()) return;
        bool refused = false;
        for (const tern::reason_code code : codes)
            refused |= is_failure(code);
        for (const std::string& f : at->second.filters)
            if (const unsigned number = number_in(f); requests_.has(number)) {
                requests_.at(number).was_answered = true;
                if (uncertain_) requests_.at(number).is_in_doubt = true;
                if (refused) requests_.at(number).was_refused = true;
            }
        exchanges_.erase(at);
    }

    tern::protocol_version version_;
    ledger& requests_;
    story& story_;

    std::string offered_; // the beginning of a packet
    std::map<tern::packet_id, exchange> exchanges_;
    std::set<tern::packet_id> incoming_;         // QoS 2 messages of the broker whose PUBREL has not come
    std::set<tern::packet_id> doubted_incoming_; // of those, from before the session was in doubt
    unsigned pubrecs_ = 0, last_pubrel_ = 0;
    unsigned last_acknowledged_ = 0, last_unacknowledged_ = 0;
    bool uncertain_ = false;
    bool is_doubtful_ = false;           // whether the session is the one of before
    bool dup_shows_session_ = false;     // in doubt: PUBLISH with DUP shows that it is
    bool has_offered_subscribe_ = false; // on this connection
};

} // namespace worlds

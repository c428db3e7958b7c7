#include "cuts_broker.hpp"

#include "tern/topic.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <span>
#include <utility>

namespace cuts {

void fail(std::string text) {
    throw failure{std::move(text)};
}

void trace(const char* who, std::string_view bytes) {
    if (!tracing) return;
    std::fprintf(stderr, "  %s", who);
    for (const char c : bytes.substr(0, 40))
        std::fprintf(stderr, " %02x", static_cast<unsigned char>(c));
    std::fprintf(stderr, "\n");
}

namespace {

std::size_t number_of(std::string_view payload, const ledger& all) {
    std::size_t number = 0;
    std::from_chars(payload.data(), payload.data() + payload.size(), number);
    if (number == 0 || number >= all.size()) fail("a PUBLISH with an unknown payload");
    return number;
}

} // namespace

// ---- bytes

void broker::open(tern::time_point now) {
    open_ = true;
    accepted_ = resumed_ = ended_ = said_disconnect_ = reauthenticates_ = false;
    challenged_.reset();
    ++connection_;
    input_.clear();
    output_.clear();
    seen_ = connack_end_ = sent_ = last_repeated_ = 0;
    acks_.clear();
    aliases_.clear();
    for (arrival& each : arrivals_)
        each.here = false, each.pubrec_end = 0;
    last_packet_ = now;
}

void broker::close(ledger& all) {
    if (!open_) return;
    open_ = false;
    if (accepted_ && seen_ >= connack_end_)
        told_ = true, untold_loss_ = false;
    else
        unanswered_ = true;
    const bool over = accepted_ && (v5() ? expiry_.count() == 0 : terms_->options.clean_start);
    const bool loses = std::exchange(loses_, false);
    if (exists_ && (loses || over)) lose_session(all);
}

void broker::set_fate(fate f, ledger& all) {
    if (f == fate::lost) lose(all);
    refusals_ = f == fate::refused ? 1 : 0;
    barred_ = f == fate::barred;
}

void broker::lose(ledger& all) {
    if (open_)
        loses_ = true;
    else if (exists_)
        lose_session(all);
}

void broker::lose_session(ledger& all) {
    for (const auto* list : {&deliveries_, &queue_})
        for (const delivery& d : *list)
            if (!d.released) --all[d.number].least;
    deliveries_.clear();
    queue_.clear();
    arrivals_.clear();
    subscriptions_.clear();
    if (told_) {
        ++losses_;
        last_loss_ = connection_;
        untold_loss_ = true;
    }
    exists_ = told_ = false;
    last_id_ = 0;
    ++epoch_;
}

void broker::kick() {
    if (!open_ || !accepted_ || ended_) return;
    if (v5()) put(tern::disconnect{.reason_code = tern::reason_code::server_shutting_down});
    ended_ = true;
}

void broker::on_time(tern::time_point now) const {
    if (open_ && accepted_ && !ended_ && keep_alive_.count() != 0 && now - last_packet_ > keep_alive_)
        fail("no packet came for longer than the keep alive [MQTT-3.1.2-20]");
}

void broker::on_bytes(std::string_view bytes, ledger& all, tern::time_point now) {
    if (said_disconnect_) fail("bytes after DISCONNECT [MQTT-3.14.4-1]");
    if (!open_ || ended_) return;
    on_time(now);
    input_ += bytes;
    std::size_t at = 0;
    while (!ended_) {
        const auto next = tern::next_frame(std::string_view(input_).substr(at));
        if (!next) fail("a malformed frame: " + std::string(tern::to_string(next.error())));
        if (!next->complete) break;
        trace("client", std::string_view(input_).substr(at, next->size));
        if (next->size > terms_->limits.maximum_packet_size.value_or(0xFFFF'FFFF) && accepted_)
            fail("the packet is larger than the maximum packet size [MQTT-3.2.2-15]");
        at += next->size;
        last_packet_ = now;
        on_frame(next->frame, all);
    }
    input_.erase(0, at);
}

template <class Packet>
void broker::decoded(const tern::frame& f, ledger& all) {
    const auto p = tern::decode<Packet>(f, terms_->options.version);
    if (!p) fail("a malformed packet: " + std::string(tern::to_string(p.error())));
    constexpr bool may_precede_connack =
        Packet::type == tern::packet_type::auth || Packet::type == tern::packet_type::disconnect;
    const bool has_begun = accepted_ || (challenged_ && may_precede_connack);
    if ((Packet::type == tern::packet_type::connect) == has_begun) fail("CONNECT is not the first packet");
    if constexpr (requires { on(*p, all); })
        on(*p, all);
    else
        on(*p);
}

void broker::on_frame(const tern::frame& f, ledger& all) {
    switch (f.type()) {
    case tern::packet_type::connect: return decoded<tern::connect>(f, all);
    case tern::packet_type::publish: return decoded<tern::publish>(f, all);
    case tern::packet_type::puback: return decoded<tern::puback>(f, all);
    case tern::packet_type::pubrec: return decoded<tern::pubrec>(f, all);
    case tern::packet_type::pubrel: return decoded<tern::pubrel>(f, all);
    case tern::packet_type::pubcomp: return decoded<tern::pubcomp>(f, all);
    case tern::packet_type::subscribe: return decoded<tern::subscribe>(f, all);
    case tern::packet_type::unsubscribe: return decoded<tern::unsubscribe>(f, all);
    case tern::packet_type::pingreq: return decoded<tern::pingreq>(f, all);
    case tern::packet_type::disconnect: return decoded<tern::disconnect>(f, all);
    case tern::packet_type::auth: return decoded<tern::auth>(f, all);
    default: fail("a packet that clients must not send");
    }
}

// ---- connection

void broker::on(const tern::connect& p, ledger& all) {
    const tern::connect_options& wanted = terms_->options;
    tern::connect_properties properties = wanted.properties;
    if (properties.authentication_method) properties.authentication_data = first_data;
    if (p.version != wanted.version || p.will != wanted.will || p.user_name != wanted.user_name ||
        p.password != wanted.password || p.keep_alive != wanted.keep_alive || p.properties != properties)
        fail("CONNECT does not match the user's options");
    const bool was_assigned = v5() && wanted.client_id.empty();
    const bool same = was_assigned ? p.client_id == client_id_ : p.client_id == wanted.client_id;
    const bool must_be_same = !was_assigned || !p.client_id.empty() || (exists_ && told_ && !may_begin_anew_);
    if (!same && must_be_same) fail("CONNECT with another client identifier");
    if (refusals_ != 0 || barred_) {
        if (refusals_ != 0) --refusals_;
        put(tern::connack{.reason_code = barred_ ? tern::reason_code::client_identifier_not_valid
                                                 : tern::reason_code::server_unavailable});
        ended_ = true;
        return;
    }
    if (!properties.authentication_method) return accept(p, all);
    challenged_ = p;
    challenged_id_ = p.client_id;
    put(auth_with(tern::reason_code::continue_authentication, challenge_data));
}

void broker::on(const tern::auth& p, ledger& all) {
    if (p.properties.authentication_method != terms_->options.properties.authentication_method)
        fail("AUTH with another method [MQTT-4.12.0-5]");
    const bool begins = p.reason_code == tern::reason_code::re_authenticate;
    if (p.properties.authentication_data != (begins ? first_data : last_data)) fail("AUTH with wrong data");
    if (begins != (accepted_ && !reauthenticates_)) fail("AUTH outside of an exchange");
    if (begins) {
        reauthenticates_ = true;
        return put(auth_with(tern::reason_code::continue_authentication, challenge_data));
    }
    if (std::exchange(reauthenticates_, false)) return put(auth_with(tern::reason_code::success));
    tern::connect packet = *std::exchange(challenged_, std::nullopt);
    packet.client_id = challenged_id_; // the other texts are not valid any more, and are not used
    accept(packet, all);
}

void broker::accept(const tern::connect& p, ledger& all) {
    accepted_ = true;
    if (p.clean_start && exists_ && told_ && terms_->is_kept() && !may_begin_anew_)
        fail("CONNECT discards the session");
    const bool present = exists_ && !p.clean_start && p.client_id == client_id_;
    if (!present && exists_) lose_session(all);
    if (present && !told_ && untold_loss_) hides_loss_ = true;
    if (present && unanswered_) doubted_ = true;
    unanswered_ = false;
    may_begin_anew_ = false;
    resumed_ = present;
    exists_ = true;
    expiry_ = p.properties.session_expiry_interval.value_or(std::chrono::seconds{0});
    receive_maximum_ = p.properties.receive_maximum.value_or(65'535);
    keep_alive_ = terms_->keep_alive();

    tern::connack answer{.session_present = present};
    if (v5()) answer.properties = terms_->limits_on(connection_);
    answer.properties.authentication_method = terms_->options.properties.authentication_method;
    client_id_ = p.client_id;
    if (p.client_id.empty()) {
        client_id_ = "assigned-" + std::to_string(++assigned_);
        if (v5()) answer.properties.assigned_client_identifier = client_id_;
    }
    put(answer);
    connack_end_ = output_.size();
    pump();
}

void broker::on(const tern::disconnect& p) {
    if (p.reason_code != tern::reason_code::normal_disconnection)
        fail("the client reports a violation: " + std::to_string(static_cast<int>(p.reason_code)));
    ended_ = said_disconnect_ = true;
    if (p.properties.session_expiry_interval) expiry_ = *p.properties.session_expiry_interval;
}

// ---- messages from the client

void broker::check_limits(const tern::publish& p) const {
    const auto& limits = terms_->limits;
    if (p.message.qos > limits.maximum_qos.value_or(tern::qos::exactly_once))
        fail("the QoS is above the maximum QoS [MQTT-3.2.2-11]");
    if (p.message.retain && !limits.retain_available.value_or(true)) fail("retain is not available [MQTT-3.2.2-14]");
    if (!p.message.properties.subscription_identifiers.empty())
        fail("PUBLISH with a subscription identifier [MQTT-3.3.4-6]");
}

std::string_view broker::topic_of(const tern::publish& p) {
    const auto alias = p.message.properties.topic_alias;
    if (!alias) return p.message.topic;
    if (*alias > terms_->limits.topic_alias_maximum.value_or(0))
        fail("the topic alias is above the maximum [MQTT-3.2.2-17]");
    if (aliases_.size() <= *alias) aliases_.resize(*alias + 1U);
    if (!p.message.topic.empty()) aliases_[*alias] = p.message.topic;
    if (aliases_[*alias].empty()) fail("an unknown topic alias");
    return aliases_[*alias];
}

std::size_t broker::unacknowledged() const {
    std::size_t count = 0;
    for (const arrival& each : arrivals_)
        count += each.here ? 1 : 0;
    for (const ack& each : acks_)
        count += each.of_publish && each.end > seen_ ? 1 : 0;
    return count;
}

bool broker::is_in_use(tern::packet_id id) const {
    for (const arrival& each : arrivals_)
        if (each.id == id) return true;
    return std::any_of(acks_.begin(), acks_.end(), [&](const ack& each) { return each.id == id && each.end > seen_; });
}

void broker::check_repetition(const tern::publish& p, std::size_t number, const record& r) {
    const bool has_come = r.arrived != 0 && r.epoch == epoch_;
    if (!has_come) {
        if (p.dup && !resumed_) fail("DUP on a new message [MQTT-4.3.2-2]");
        if (is_in_use(p.packet_id)) fail("the packet identifier is in use [MQTT-2.2.1-3]");
    } else {
        if (!p.dup) fail("PUBLISH is resent without DUP [MQTT-3.3.1-1]");
        if (p.packet_id != r.id) fail("PUBLISH is resent with another identifier [MQTT-4.4.0-1]");
        if (r.released) fail("PUBLISH after PUBREL [MQTT-4.3.3-6]");
        if (r.connection == connection_ && v5()) fail("PUBLISH is resent on the same connection [MQTT-4.4.0-1]");
    }
    if (!p.dup || (has_come && r.connection == connection_)) return;
    if (number < last_repeated_) fail("PUBLISH is resent in another order [MQTT-4.6.0-1]");
    last_repeated_ = number;
}

// In the order of publishing [MQTT-4.6.0-6].
void broker::arrive(const tern::publish& p, std::size_t number, ledger& all) {
    record& r = all[number];
    if (r.arrived++ == 0) {
        if (std::size_t& last = last_arrived_[r.qos]; number > last)
            last = number;
        else
            fail("a message overtakes another one of its QoS");
    } else if (r.qos == 0 || (r.qos == 2 && !terms_->options.republish_qos_2 && !hides_loss_)) {
        fail("a message of QoS " + std::to_string(r.qos) + " arrives twice");
    }
    r.epoch = epoch_;
    r.connection = connection_;
    r.id = p.packet_id;
    r.released = false;
    if (p.message.retain) retained_.push_back({std::string(r.topic), number, r.qos});
    pass_on(number, r.topic, r.qos, false, all);
}

void broker::on(const tern::publish& p, ledger& all) {
    const std::size_t number = number_of(p.message.payload, all);
    record& r = all[number];
    check_limits(p);
    if (r.what != act::publish || static_cast<unsigned>(p.message.qos) != r.qos || topic_of(p) != r.topic)
        fail("a PUBLISH that does not match the user's message");
    if (r.withdrawn) fail("a PUBLISH that was cancelled");
    if (r.given_back && !resumed_ && r.given_back_on < connection_) fail("a cancelled PUBLISH in a new session");
    if (r.qos == 0) return arrive(p, number, all);
    if (unacknowledged() >= terms_->window_on(connection_)) fail("more messages than the window [MQTT-3.3.4-7]");
    check_repetition(p, number, r);
    const bool has_come = r.arrived != 0 && r.epoch == epoch_;
    r.connection = connection_;
    if (r.topic.starts_with(forbidden) && v5()) {
        if (r.qos == 1)
            put(tern::puback{p.packet_id, tern::reason_code::not_authorized});
        else
            put(tern::pubrec{p.packet_id, tern::reason_code::not_authorized});
        return acknowledge(p.packet_id, true);
    }
    if (r.qos == 1) {
        arrive(p, number, all);
        put(tern::puback{p.packet_id});
        return acknowledge(p.packet_id, true);
    }
    arrival now{.id = p.packet_id, .number = number};
    if (has_come)
        std::erase_if(arrivals_, [&](const arrival& each) { return each.id == p.packet_id; });
    else
        arrive(p, number, all);
    put(tern::pubrec{p.packet_id});
    now.pubrec_end = output_.size();
    now.here = true;
    arrivals_.push_back(now);
}

void broker::on(const tern::pubrel& p, ledger& all) {
    const auto found =
        std::find_if(arrivals_.begin(), arrivals_.end(), [&](const arrival& each) { return each.id == p.packet_id; });
    auto code = tern::reason_code::success;
    if (found == arrivals_.end()) {
        const bool again = std::any_of(acks_.begin(), acks_.end(),
                                       [&](const ack& each) { return each.id == p.packet_id && each.pubcomp; });
        if (again ? v5() : !resumed_) fail("PUBREL for an identifier that is not in use [MQTT-4.3.3-4]");
        if (v5()) code = tern::reason_code::packet_identifier_not_found;
    } else {
        if (found->pubrec_end > seen_) fail("PUBREL before PUBREC [MQTT-4.3.3-4]");
        if (found != arrivals_.begin()) fail("PUBREL in another order than PUBREC [MQTT-4.6.0-4]");
        all[found->number].released = true;
        const bool here = found->here;
        arrivals_.erase(found);
        put(tern::pubcomp{p.packet_id, code});
        return acknowledge(p.packet_id, here, true);
    }
    put(tern::pubcomp{p.packet_id, code});
    acknowledge(p.packet_id, false, true);
}

// ---- subscriptions

void broker::on(const tern::subscribe& p, ledger& all) {
    if (is_in_use(p.packet_id)) fail("SUBSCRIBE with an identifier in use [MQTT-2.2.1-3]");
    std::vector<tern::reason_code> codes;
    std::vector<bool> sends_retained;
    for (const tern::subscription& s : p.subscriptions) {
        if (s.filter.starts_with(forbidden)) {
            codes.push_back(v5() ? tern::reason_code::not_authorized : tern::reason_code::unspecified_error);
            sends_retained.push_back(false);
            continue;
        }
        codes.push_back(static_cast<tern::reason_code>(s.max_qos));
        const bool was_there =
            std::erase_if(subscriptions_, [&](const subscription& each) { return each.filter == s.filter; }) != 0;
        sends_retained.push_back(!was_there || s.retain_handling != tern::retain_handling::send_if_new);
        subscriptions_.push_back({std::string(s.filter), static_cast<unsigned>(s.max_qos),
                                  p.properties.subscription_identifier, s.no_local});
    }
    put(tern::suback{p.packet_id, codes});
    acknowledge(p.packet_id, false);
    std::size_t at = 0;
    for (const tern::subscription& s : p.subscriptions) {
        if (!sends_retained[at++]) continue;
        for (const subscription& each : subscriptions_)
            for (const retained& m : retained_)
                if (each.filter == s.filter && tern::matches(s.filter, m.topic))
                    deliver(each, m.number, m.topic, m.qos, true, all);
    }
}

void broker::on(const tern::unsubscribe& p) {
    if (is_in_use(p.packet_id)) fail("UNSUBSCRIBE with an identifier in use [MQTT-2.2.1-3]");
    std::vector<tern::reason_code> codes;
    for (const std::string_view filter : p.filters) {
        const auto erased =
            std::erase_if(subscriptions_, [&](const subscription& each) { return each.filter == filter; });
        if (v5())
            codes.push_back(erased != 0 ? tern::reason_code::success : tern::reason_code::no_subscription_existed);
    }
    put(tern::unsuback{p.packet_id, codes});
    acknowledge(p.packet_id, false);
}

std::optional<unsigned> broker::granted(std::string_view filter) const {
    for (const subscription& each : subscriptions_)
        if (each.filter == filter) return each.qos;
    return std::nullopt;
}

} // namespace cuts

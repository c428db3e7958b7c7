// The user of a run: performs the steps and checks their results at the end.
#include "cuts_simulation.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace cuts {

bool simulation::may_step() const {
    if (script_->steps[next_].what == act::connect) return session_.is_idle();
    return !cut_ || !patient_ || session_.is_connected() || session_.is_idle();
}

bool simulation::may_step_on_top() const {
    if (next_ == script_->steps.size() || !session_.is_connected() || until_ > now_) return false;
    switch (script_->steps[next_].what) {
    case act::publish:
    case act::subscribe:
    case act::unsubscribe:
    case act::ping:
    case act::message: return true;
    default: return false;
    }
}

void simulation::perform(const step& s) {
    const auto op = static_cast<tern::op_id>(all_.size());
    switch (s.what) {
    case act::connect: return user_connects();
    case act::publish:
        begin(s);
        last_request_ = static_cast<std::size_t>(op);
        return end_begin(request_publish(s, op));
    case act::subscribe:
        begin(s);
        last_request_ = static_cast<std::size_t>(op);
        return end_begin(request_subscribe(s, op));
    case act::unsubscribe:
        begin(s);
        last_request_ = static_cast<std::size_t>(op);
        return end_begin(request_unsubscribe(s, op));
    case act::ping: begin(s); return end_begin(session_.ping(op, now_));
    case act::drain: begin(s); return end_begin(session_.drain(op, now_ + s.time, now_));
    case act::reauthenticate: begin(s); return end_begin(session_.reauthenticate(op, now_));
    case act::cancel: {
        record& r = all_[last_request_];
        if (!r.open) return;
        r.given_back_on = broker_.connection();
        r.given_back = true; // now, or when the connection is lost before any byte was written
        if (!session_.cancel(static_cast<tern::op_id>(last_request_), now_)) return;
        r.open = false;
        r.withdrawn = true;
        --open_;
        return poll();
    }
    case act::disconnect:
        user_ended_ = true;
        if (session_.disconnect({}, now_) != tern::errc::none) fail("the user may not disconnect");
        return poll();
    case act::message: begin(s); return broker_.pass_on(static_cast<std::size_t>(op), s.topic, s.qos, s.retain, all_);
    case act::forget: broker_.lose(all_); [[fallthrough]];
    case act::drop:
        broken_ = true;
        if (linked_) lose_link(std::make_error_code(std::errc::connection_reset));
        return;
    case act::kick:
        broken_ = true;
        if (linked_) broker_.kick();
        return;
    case act::wait: until_ = now_ + s.time; return;
    case act::pause: return set_delivery(tern::delivery::limited);
    case act::read: return set_delivery(tern::delivery::open);
    case act::hold: holding_ = true; return;
    case act::release: return release_all();
    case act::release_last:
        if (held_.empty()) return;
        session_.release(held_.back());
        held_.pop_back();
        return poll();
    }
}

record& simulation::begin(const step& s) {
    record& r = all_.emplace_back();
    r.what = s.what;
    r.qos = s.qos;
    r.topic = s.topic;
    r.more = s.more;
    r.first_connection = broker_.connection() + (linked_ ? 0 : 1);
    r.may_expire = s.what == act::drain || s.time.count() != 0;
    return r;
}

void simulation::end_begin(tern::errc error) {
    record& r = all_.back();
    const bool closed = error == tern::errc::not_connected || error == tern::errc::disconnected;
    const bool needs_connection = r.what == act::ping || r.what == act::reauthenticate;
    const bool may_be = closed && (user_ended_ || !stop_errors_.empty() || needs_connection);
    const bool full = error == tern::errc::queue_full && terms_->options.queue.messages < 10;
    const bool unanswered = error == tern::errc::authentication_in_progress && broken_;
    if (error != tern::errc::none && !may_be && !full && !unanswered)
        fail("a request is refused: " + std::string(tern::to_string(error)));
    r.open = error == tern::errc::none;
    r.withdrawn = !r.open;
    open_ += r.open ? 1 : 0;
    poll();
}

tern::errc simulation::request_publish(const step& s, tern::op_id op) {
    std::string payload = std::to_string(static_cast<std::size_t>(op));
    if (payload.size() < s.size) payload.resize(s.size, '.');
    tern::message_view m{
        .topic = s.topic, .payload = payload, .qos = static_cast<tern::qos>(s.qos), .retain = s.retain};
    const bool v5 = terms_->options.version == protocol_version::v5;
    if (s.alias != 0 && v5 && session_.is_connected()) {
        m.properties.topic_alias = s.alias;
        if (std::exchange(aliases_[s.alias], s.topic) == s.topic) m.topic = {}; // with the alias only
        const tern::errc error = session_.publish(m, op, now_);
        if (error != tern::errc::unknown_topic_alias) return error;
        m.topic = s.topic; // the alias was set on another connection
    }
    return session_.publish(m, {.time_to_live = s.time}, op, now_);
}

tern::errc simulation::request_subscribe(const step& s, tern::op_id op) {
    const auto qos = static_cast<tern::qos>(s.qos);
    const std::array list{tern::subscription{.filter = s.topic, .max_qos = qos},
                          tern::subscription{.filter = s.more, .max_qos = qos}};
    tern::subscribe_properties properties;
    if (s.alias != 0 && terms_->options.version == protocol_version::v5) properties.subscription_identifier = s.alias;
    return session_.subscribe(std::span(list).first(s.more.empty() ? 1 : 2), properties, op, now_);
}

tern::errc simulation::request_unsubscribe(const step& s, tern::op_id op) {
    const std::array list{s.topic, s.more};
    return session_.unsubscribe(std::span(list).first(s.more.empty() ? 1 : 2), {}, op, now_);
}

void simulation::user_connects() {
    all_.emplace_back().what = act::connect;
    user_ended_ = ever_connected_ = false;
    broker_.on_user_connect();
    if (session_.connect(terms_->options, now_) != tern::errc::none) fail("the user may not connect");
    poll();
}

void simulation::set_delivery(tern::delivery d) {
    const bool reading = d == tern::delivery::open;
    if (std::exchange(reading_, reading) == reading) return;
    was_connected_ = false; // silence does not time out while the owner does not read
    session_.set_delivery(d, now_);
    poll();
}

void simulation::release_all() {
    for (const tern::message_token token : std::exchange(held_, {}))
        session_.release(token);
    poll();
}

// ---- the end

void simulation::check_end() {
    if (open_ != 0) fail("the client stops before an operation completes: " + state());
    check_rest();
    if (session_.is_idle()) { // a stopped session connects again
        broker_.close(all_);
        broker_.set_fate(fate::kept, all_);
        barred_ = false;
        user_connects();
        run({});
        check_rest();
    }
    use_again();
    check_rest();
    for (std::size_t i = 1; i != all_.size(); ++i)
        check_record(all_[i], i);
}

void simulation::check_rest() {
    const auto c = session_.counters();
    if (c.in_flight != 0 || c.queued != 0 || c.queued_bytes != 0) fail("state is left over: " + state());
    if (!session_.pending_write().empty()) fail("bytes are not written: " + state());
    tern::time_point next = session_.next_deadline();
    if (terms_->keep_alive() == 0s && next != tern::time_point::max()) { // memory is freed a minute after the last call
        now_ = std::max(now_, next);
        session_.on_deadline(now_);
        next = session_.next_deadline();
    }
    const bool ticks = session_.is_connected() && terms_->keep_alive() != 0s;
    if (ticks ? next <= now_ || next > now_ + terms_->keep_alive() : next != tern::time_point::max())
        fail("the next deadline is wrong");
}

// The user's subscriptions after all requests.
std::vector<simulation::wish> simulation::wishes() const {
    std::vector<wish> list;
    for (const record& r : all_) {
        if (r.what == act::connect && (terms_->options.clean_start || !terms_->is_kept())) list.clear();
        if ((r.what != act::subscribe && r.what != act::unsubscribe) || r.withdrawn) continue;
        const bool refused = r.error && r.error.category() == tern::refusal_category() && stop_errors_.empty();
        const bool cancelled =
            r.given_back && (r.error == tern::errc::disconnected || r.error == tern::errc::session_lost);
        for (const std::string_view filter : {r.topic, r.more}) {
            if (filter.empty()) continue;
            if (cancelled && r.what == act::subscribe) { // it is as if it had never been requested
                if (std::none_of(list.begin(), list.end(), [&](const wish& w) { return w.filter == filter; }))
                    list.push_back({filter, r.qos, stop_errors_.empty(), false});
                continue;
            }
            std::erase_if(list, [&](const wish& w) { return w.filter == filter; });
            const bool no = r.what == act::unsubscribe || filter.starts_with(forbidden);
            list.push_back({filter, r.qos, !r.error || refused, !no});
        }
    }
    return list;
}

// Requires that all subscriptions work and the whole window is available.
void simulation::use_again() {
    if (!session_.is_connected()) fail("the client is not connected: " + state());
    const bool not_renewed = !terms_->options.resubscribe && broker_.losses() != 0;
    const std::size_t window = terms_->window_on(broker_.connection());
    for (const wish& w : wishes()) {
        if (!w.known || not_renewed) continue;
        const auto granted = broker_.granted(w.filter);
        if (granted.has_value() != w.wanted || (granted && *granted != w.qos))
            fail("the subscription to " + std::string(w.filter) + " differs from the user's request");
        if (!w.wanted) continue;
        step s = message(w.qos);
        s.topic = w.filter == "i/+" || w.filter == "i/#" || w.filter == "#" ? "i/a" : w.filter;
        for (unsigned n = terms_->options.properties.receive_maximum.value_or(0) % 4 + 1; n != 0; --n)
            perform(s);
    }
    for (std::size_t n = 0; n != window + 1; ++n)
        perform(publish(1));
    const auto c = session_.counters();
    if (c.in_flight != window || c.queued != 1) fail("the window has changed: " + state());
    run({});
}

bool simulation::may_end_with(const record& r) const {
    if (!r.error) return true;
    for (const std::error_code& stop : stop_errors_)
        if (r.error == (stop ? stop : tern::misuse(tern::errc::disconnected)) ||
            r.error == tern::outcome_unknown(tern::errc::disconnected) ||
            (stop.category() == tern::protocol_category() &&
             r.error == tern::outcome_unknown(static_cast<tern::errc>(stop.value()))))
            return true;
    if (r.what == act::ping || r.what == act::reauthenticate) return broken_;
    if (r.what == act::subscribe || r.what == act::unsubscribe)
        if (r.given_back && (r.error == tern::errc::disconnected || r.error == tern::errc::session_lost))
            return broken_;
    if (r.what == act::drain) return r.error == tern::errc::drain_timeout;
    if (r.error.category() == tern::refusal_category())
        return r.topic.starts_with(forbidden) || r.more.starts_with(forbidden);
    if (r.error == tern::errc::session_lost)
        return (r.qos == 2 && broker_.has_doubt()) ||
               ((r.qos == 2 || r.given_back) && broker_.losses() != 0 && r.first_connection <= broker_.last_loss() &&
                (r.arrived != 0 || r.given_back || !terms_->options.republish_qos_2));
    if (r.error == tern::errc::message_expired) // only if it may expire and was not published
        return r.may_expire && (r.arrived == 0 || (broker_.losses() != 0 && r.first_connection <= broker_.last_loss()));
    if (r.error == tern::errc::message_dropped) return (r.qos == 0 || r.given_back) && r.arrived == 0;
    return false;
}

void simulation::check_record(const record& r, std::size_t number) const {
    const auto must = [&](bool good, const char* what) {
        if (!good) fail("operation or message " + std::to_string(number) + ' ' + what + ": " + r.error.message());
    };
    must(!r.open, "has not ended");
    must(may_end_with(r), "ends badly");
    if (r.what == act::publish && !r.error && !r.withdrawn) {
        if (r.qos != 0 || !broken_) must(r.arrived != 0, "was lost");
    }
    must(r.delivered >= r.least, "was not delivered");
    const bool excused = broker_.has_doubt() && r.granted_qos == 2;
    if (r.granted_qos != 1) must(r.delivered <= r.most || excused, "was delivered twice");
    if (!broken_ && !user_ended_) must(r.delivered == r.most, "was not delivered once");
}

} // namespace cuts

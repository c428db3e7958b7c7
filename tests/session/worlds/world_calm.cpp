// The calm after the disturbed steps of a random world: nothing is stuck, and nothing is left over.
#include "session/inspector.hpp"
#include "session/worlds/world.hpp"

namespace worlds {

void world::calm_down() {
    story_.line("---- the world is calm");
    is_calm_ = broker_.is_calm = true;
    broker_.next_limits = {};
    broker_.next_refusal = {};
    if (v5() && random_.one_in(3)) broker_.next_limits.keep_alive = 12s;
    delivery_ = tern::delivery::open;
    if (!session_.is_reading()) silent_since_ = now_;
    session_.set_delivery(delivery_, now_);
    poll();
    be_calm_until_all_is_done();
    check_rest();
    idle();
    lose_long_connection();
    fall_silent();
    end_run();
}

void world::be_calm_until_all_is_done() {
    const tern::time_point begin = now_;
    while (!is_done()) {
        if (move_everything()) continue;
        if (is_done()) return;
        const tern::time_point next = session_.next_deadline();
        demand(next != tern::time_point::max() && next - begin < 25min, "something is stuck: ", remains());
        now_ = std::max(now_, next);
        story_.line("time is ", (now_.time_since_epoch() - std::chrono::hours(1)) / 1ms, " ms");
        run_deadline();
    }
}

bool world::is_done() {
    const tern::counters c = session_.counters();
    return session_.is_connected() && !is_leaving_ && requests_.open().empty() && held_.empty() && broker_.is_quiet() &&
           to_broker_.empty() && session_.pending_write().empty() && c.queued == 0 && c.in_flight == 0;
}

std::string world::remains() {
    const tern::counters c = session_.counters();
    std::ostringstream text;
    text << (session_.is_connected() ? "" : "not connected, ") << broker_.remains() << requests_.open().size()
         << " operations, " << c.queued << " queued, " << c.in_flight << " in flight, " << pending().size()
         << " bytes unwritten";
    return text.str();
}

// Everything that can happen now. False if there was nothing.
bool world::move_everything() {
    bool moved = false;
    if (session_.is_idle()) {
        begin_run();
        return true;
    }
    if (session_.pending_action() != tern::transport_action::none) {
        act();
        moved = true;
    }
    if (is_open() && !session_.pending_write().empty()) {
        write(SIZE_MAX);
        moved = true;
    }
    if (!to_broker_.empty()) {
        pass(SIZE_MAX);
        moved = true;
    }
    while (broker_.has_due()) {
        broker_.answer();
        moved = true;
    }
    if (is_open() && !broker_.to_client.empty() && session_.is_reading()) {
        read(SIZE_MAX);
        moved = true;
    }
    while (!held_.empty()) {
        release();
        moved = true;
    }
    return moved;
}

void world::check_rest() {
    story_.line("---- all is done");
    demand(tern::detail::session_inspector::memory_of_packets(session_) <= 128 * 1024, "memory of packets is kept");
    // A message that a later connection could not carry has no PUBREL: then its operation has ended with an error.
    for (const auto& [id, number] : broker_.open_qos_2())
        demand(!requests_.at(number).was_answered, "the PUBREL of message ", number, " is missing");
    for (const request& r : requests_.all()) {
        if (r.kind != request_kind::publish || r.has_operation || r.qos == 0) continue;
        demand(!r.was_answered || r.accepted != 0 || r.is_in_doubt, "a message was acknowledged, but not passed on");
    }
    check_subscriptions();
    check_registry();
}

void world::check_subscriptions() {
    using state = wish::state;
    for (const auto& [filter, w] : wishes_) {
        const bool there = broker_.subscriptions.contains(filter);
        if (w.is == state::unsubscribed)
            demand(!there || broker_.kept.contains(filter), filter, " was unsubscribed, but is still there");
        if (w.is != state::subscribed || refused_renewals_.contains(filter)) continue;
        if (seed_forgets_subscriptions_ && w.session != broker_.session) continue;
        demand(there, "the subscription to ", filter, " is missing");
        demand(broker_.subscriptions[filter].max_qos == w.max_qos, "the subscription to ", filter,
               " has other options than the newest request");
    }
}

// What the session believes about the broker's subscriptions is true.
void world::check_registry() {
    using tern::detail::standing;
    std::set<std::string> known;
    for (const auto& e : tern::detail::session_inspector::filters_of(session_)) {
        known.insert(e.filter);
        demand(e.standing == standing::granted || e.standing == standing::refused, "something is due for ", e.filter);
        if (e.standing != standing::granted || seed_forgets_subscriptions_) continue;
        demand(broker_.subscriptions.contains(e.filter), "the session believes that there is a subscription to ",
               e.filter);
        demand(static_cast<unsigned>(broker_.subscriptions[e.filter].max_qos) == (e.options & 3U),
               "the session believes that the subscription to ", e.filter, " has other options");
    }
    for (const auto& [filter, s] : broker_.subscriptions)
        demand(known.contains(filter) || broker_.kept.contains(filter),
               "the session does not know that there is a subscription to ", filter);
}

// Nothing is requested: the connection holds.
void world::idle() {
    story_.line("---- nothing is requested");
    const auto connections = session_.counters().connections;
    written_at_ = now_; // before, the owner may have been late
    const std::chrono::seconds asked =
        broker_.allowed.keep_alive != 0s ? broker_.allowed.keep_alive : options_.keep_alive;
    const tern::time_point end = now_ + 3min;
    while (session_.next_deadline() < end) {
        now_ = std::max(now_, session_.next_deadline());
        run_deadline();
        demand(asked == 0s || now_ - written_at_ <= asked, "no packet within the keep alive [MQTT-3.1.2-20]");
        while (move_everything()) {
        }
    }
    now_ = end;
    demand(asked == 0s || now_ - written_at_ <= asked, "no packet within the keep alive [MQTT-3.1.2-20]");
    demand(session_.is_connected() && session_.counters().connections == connections, "an idle connection ends");
}

void world::lose_long_connection() {
    lose_connection(std::make_error_code(std::errc::connection_reset));
    demand(session_.pending_action() == tern::transport_action::prepare,
           "the first attempt after a long connection waits");
    be_calm_until_all_is_done();
}

// The peer is gone without a trace: the client notices.
void world::fall_silent() {
    if (options_.keep_alive == 0s && broker_.allowed.keep_alive == 0s) return;
    story_.line("---- the broker is silent");
    const std::chrono::seconds asked =
        broker_.allowed.keep_alive != 0s ? broker_.allowed.keep_alive : options_.keep_alive;
    const tern::time_point begin = now_;
    while (session_.is_connected()) {
        const tern::time_point next = session_.next_deadline();
        demand(next - begin < asked + 25s, "a dead link is not noticed");
        now_ = std::max(now_, next);
        run_deadline();
        if (is_open()) write(SIZE_MAX);
    }
}

void world::end_run() {
    session_.stop({}, now_);
    poll();
    while (session_.pending_action() != tern::transport_action::none)
        act();
    demand(session_.is_idle() && requests_.open().empty(), "stop leaves something behind");
}

} // namespace worlds

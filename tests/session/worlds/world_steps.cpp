// The disturbed steps of a random world.
#include "session/worlds/world.hpp"

namespace worlds {

namespace {

const char* const shared_filters[] = {"a", "b/+", "c/#", "$share/g/d"};

} // namespace

void world::run() {
    requests_.republishes_qos_2 = random_.one_in(4);
    for (int i = 0; i != 300; ++i)
        step();
    calm_down();
}

void world::step() {
    if (session_.is_idle() && random_.one_in(3)) return begin_run();
    if (session_.pending_action() != tern::transport_action::none && !random_.one_in(3)) return act();
    // CONNACK is on its way: losing it leaves the client in doubt.
    if (is_open() && !session_.is_connected() && broker_.is_connected() && random_.one_in(8))
        return cut("before CONNACK");
    switch (random_.below(26)) {
    case 0:
    case 1:
    case 2: return write(random_.one_in(2) ? SIZE_MAX : 1 + random_.below(60));
    case 3:
    case 4:
    case 5: return pass(random_.one_in(2) ? SIZE_MAX : 1 + random_.below(60));
    case 6:
    case 7: return broker_.answer();
    case 8:
    case 9:
    case 10: return read(random_.one_in(2) ? SIZE_MAX : 1 + random_.below(60));
    case 11: return release();
    case 12:
    case 13:
    case 14:
    case 15: return request_publish();
    case 16: return random_.one_in(2) ? request_subscribe() : request_unsubscribe();
    case 17: return request_other();
    case 18: return random_.one_in(2) ? cancel() : change_delivery();
    case 19:
    case 20: return wait();
    case 21: return broker_.publish(random_.below(3), random_.below(40));
    case 22: return change_broker();
    case 23:
        if (random_.one_in(2)) cut("at a random moment");
        return;
    case 24:
        if (random_.one_in(12)) leave();
        return;
    default: return run_deadline();
    }
}

void world::act() {
    perform(session_.pending_action());
}

void world::begin_run() {
    if (!session_.is_idle()) return;
    tern::connect_options options{.version = version_, .client_id = "c"};
    const tern::endpoint other{.host = "other", .port = 1884};
    options.more_endpoints = std::span(&other, 1);
    options.clean_start = !v5() ? seed_keeps_no_session_ : random_.one_in(3);
    const std::chrono::seconds expiry = seed_keeps_no_session_ ? 0s : 3'600s;
    if (v5()) {
        if (expiry != 0s) options.properties.session_expiry_interval = expiry;
        if (random_.one_in(2)) options.properties.receive_maximum = static_cast<std::uint16_t>(1 + random_.below(8));
    }
    options.inbox_limit = 1 + random_.below(40); // 5.0: otherwise announced as Receive Maximum
    options.inbox_hard_limit = 40;
    broker_.keeps_to_window = options.properties.receive_maximum || random_.one_in(2);
    options.keep_alive = std::chrono::seconds(random_.below(3) * 15);
    options.reconnect.retry_first = is_calm_ || !random_.one_in(4);
    options.reconnect.longest_delay = 8s;
    options.republish_qos_2 = requests_.republishes_qos_2;
    options.resubscribe = !seed_forgets_subscriptions_;
    options.on_ack_timeout = random_.one_in(2) ? tern::ack_timeout_action::resend : tern::ack_timeout_action::wait;
    if (!is_calm_ && random_.one_in(2)) options.max_in_flight = static_cast<std::uint16_t>(1 + random_.below(6));
    if (!is_calm_ && random_.one_in(2)) options.queue.messages = 1 + random_.below(8);
    if (!is_calm_ && random_.one_in(4)) options.queue.bytes = 300;
    options.queue.when_full = static_cast<tern::full_queue_action>(random_.below(4));
    if (!is_accepted([&] { return session_.connect(options, now_); })) return;
    options.more_endpoints = {};
    options_ = options;
    failed_port_ = 0;
    expiry_ = asked_expiry_ = expiry;
    attempts_ = 0;
    story_.line("application connects, clean start ", options_.clean_start, ", session expiry ", expiry_.count());
    if (options_.clean_start) { // the application forgets everything
        forget_wishes();
        believed_session_ = 0;
        wire_.client_has_session = false;
    }
    is_leaving_ = false;
    ends_session_ = seed_keeps_no_session_;
    is_first_connection_ = broker_.may_clean_start = true;
    wire_.forgets_subscriptions = seed_forgets_subscriptions_;
    wire_.resends_late = !v5() && options_.on_ack_timeout == tern::ack_timeout_action::resend;
    broker_.window = options_.max_in_flight.value_or(v5() ? 65'535 : 20);
    poll();
}

void world::request_publish() {
    const unsigned number = requests_.next();
    request r{.qos = random_.below(3), .topic = "t", .asked = now_, .has_operation = !random_.one_in(6)};
    const std::string payload =
        std::to_string(number) + ':' + std::string(random_.below(random_.one_in(10) ? 3'000 : 30), 'p');
    tern::publish_options options;
    if (random_.one_in(4)) options.time_to_live = std::chrono::milliseconds(1 + random_.below(20'000));
    if (options.time_to_live.count() != 0) r.expires = now_ + options.time_to_live;
    tern::message_view m{.topic = "t", .payload = payload, .qos = static_cast<tern::qos>(r.qos)};
    m.retain = random_.one_in(8);
    const unsigned alias = v5() && random_.one_in(3) ? 1 + random_.below(2) : 0;
    if (alias != 0) {
        m.topic = random_.one_in(2) ? "" : random_.one_in(2) ? "t/1" : "t/2";
        m.properties.topic_alias = static_cast<std::uint16_t>(alias);
        r.topic = m.topic.empty() ? aliases_[alias] : std::string{m.topic};
    }
    if (v5() && random_.one_in(5)) {
        m.properties.message_expiry_interval = r.expiry_interval = std::chrono::seconds(1 + random_.below(60));
        r.expires = std::min(r.expires, now_ + r.expiry_interval);
    }
    const tern::counters before = session_.counters();
    const tern::op_id op = r.has_operation ? tern::op_id{number} : tern::op_id::none;
    if (!is_accepted([&] { return session_.publish(m, options, op, now_); })) return;
    story_.line("application publishes ", number, " QoS ", r.qos, r.has_operation ? "" : " without operation");
    demand(!is_leaving_, "a message is accepted after disconnect");
    if (alias != 0) aliases_[alias] = r.topic;
    const tern::counters after = session_.counters();
    const tern::queue_options& q = options_.queue;
    if (q.when_full != tern::full_queue_action::wait && after.queued > before.queued) {
        demand(after.queued <= q.messages, "the queue exceeds its limit");
        demand(after.queued_bytes <= q.bytes, "the queue exceeds its limit of bytes");
    }
    requests_.add(std::move(r));
    poll();
}

void world::request_subscribe() {
    const unsigned number = requests_.next();
    request r{.kind = request_kind::subscribe, .asked = now_};
    r.filters = {std::to_string(number) + "/s", shared_filters[random_.below(4)]};
    std::vector<tern::subscription> wanted;
    for (const std::string& f : r.filters)
        wanted.push_back({.filter = f, .max_qos = r.max_qos.emplace_back(static_cast<tern::qos>(random_.below(3)))});
    tern::subscribe_properties properties;
    if (v5() && random_.one_in(3)) properties.subscription_identifier = 1 + random_.below(3);
    if (!is_accepted([&] { return session_.subscribe(wanted, properties, tern::op_id{number}, now_); })) return;
    story_.line("application subscribes ", number, ": ", r.filters[1]);
    requests_.add(std::move(r));
    poll();
}

void world::request_unsubscribe() {
    const unsigned number = requests_.next();
    request r{.kind = request_kind::unsubscribe, .asked = now_};
    r.filters = {std::to_string(number) + "/u", shared_filters[random_.below(4)]};
    const std::vector<std::string_view> filters(r.filters.begin(), r.filters.end());
    if (!is_accepted([&] { return session_.unsubscribe(filters, {}, tern::op_id{number}, now_); })) return;
    story_.line("application unsubscribes ", number, ": ", r.filters[1]);
    requests_.add(std::move(r));
    poll();
}

void world::request_other() {
    const unsigned number = requests_.next();
    const bool pings = random_.one_in(2);
    request r{.kind = pings ? request_kind::ping : request_kind::drain, .asked = now_};
    r.expires = now_ + std::chrono::milliseconds(random_.below(60'000));
    const bool accepted = is_accepted([&] {
        if (pings) return session_.ping(tern::op_id{number}, now_);
        (void)session_.drain(tern::op_id{number}, r.expires, now_);
        return tern::errc::none;
    });
    if (!accepted) return;
    story_.line("application ", pings ? "pings " : "drains ", number);
    requests_.add(std::move(r));
    poll();
}

void world::cancel() {
    if (requests_.open().empty()) return;
    auto at = requests_.open().begin();
    std::advance(at, random_.below(static_cast<unsigned>(requests_.open().size())));
    const unsigned number = *at;
    const bool withdrawn = session_.cancel(tern::op_id{number}, now_);
    story_.line("application cancels ", number, withdrawn ? ": withdrawn" : ": goes on");
    if (withdrawn)
        requests_.withdraw(number);
    else
        requests_.cancel(number, wire_.connection);
    poll();
}

void world::leave() {
    if (session_.is_idle()) return;
    if (random_.one_in(3)) {
        story_.line("application stops");
        session_.stop(std::make_error_code(std::errc::operation_canceled), now_);
        return poll();
    }
    tern::disconnect packet;
    if (v5() && random_.one_in(3)) packet.properties.session_expiry_interval = random_.one_in(2) ? 0s : 50s;
    if (!is_accepted([&] { return session_.disconnect(packet, now_); })) return;
    story_.line("application disconnects");
    is_leaving_ = true;
    ends_session_ |= packet.properties.session_expiry_interval == 0s;
    poll();
}

void world::change_broker() {
    if (random_.one_in(3) && !broker_.is_connected()) broker_.lose_session("restart");
    if (random_.one_in(6)) broker_.next_refusal = tern::reason_code::server_unavailable;
    if (!v5()) return;
    limits l;
    if (random_.one_in(2)) l.receive_maximum = static_cast<std::uint16_t>(1 + random_.below(5));
    if (random_.one_in(4)) l.maximum_packet_size = 100 + random_.below(300);
    if (random_.one_in(5)) l.maximum_qos = random_.below(2);
    l.retain = !random_.one_in(5);
    l.wildcard = !random_.one_in(6);
    l.shared = !random_.one_in(6);
    l.identifiers = !random_.one_in(6);
    if (random_.one_in(2)) l.topic_alias_maximum = static_cast<std::uint16_t>(1 + random_.below(2));
    if (random_.one_in(4)) l.least_expiry = 100s;
    if (random_.one_in(4)) l.keep_alive = std::chrono::seconds(5 + random_.below(20));
    broker_.next_limits = l;
}

void world::change_delivery() {
    delivery_ = static_cast<tern::delivery>(random_.below(3));
    story_.line("application's delivery is ", delivery_ == tern::delivery::open   ? "open"
                                              : delivery_ == tern::delivery::full ? "full"
                                                                                  : "limited");
    const bool was_reading = session_.is_reading();
    session_.set_delivery(delivery_, now_);
    if (!was_reading && session_.is_reading()) silent_since_ = now_;
    poll();
}

void world::wait() {
    const bool was_reading = session_.is_reading();
    const tern::time_point next = session_.next_deadline();
    switch (random_.below(4)) {
    case 0:
    case 1: now_ += std::chrono::milliseconds(random_.below(300)); break;
    case 2:
        if (next != tern::time_point::max()) now_ = std::max(now_, next);
        break;
    default:
        if (next != tern::time_point::max() && random_.one_in(3))
            now_ = std::max(now_, next) + std::chrono::milliseconds(random_.below(40'000));
    }
    if (!was_reading) silent_since_ = now_;
    story_.line("time is ", (now_.time_since_epoch() - std::chrono::hours(1)) / 1ms, " ms");
    if (!random_.one_in(3)) run_deadline();
}

void world::cut(const char* why) {
    if (!is_open()) return;
    story_.line("the link is cut ", why);
    pass(random_.below(200)); // some bytes still arrive
    if (is_open() && random_.one_in(2)) read(random_.below(100));
    if (is_open()) lose_connection(std::make_error_code(std::errc::connection_reset));
}

} // namespace worlds

#include "cuts_simulation.hpp"

#include "inspector.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <span>
#include <utility>
#include <variant>

namespace cuts {

namespace {

// The time after which the system closes a silent connection.
constexpr auto system_patience = 10min;
constexpr unsigned most_moves = 20'000;
constexpr unsigned most_jumps = 1'000;

constexpr std::size_t index(direction d) {
    return static_cast<std::size_t>(d);
}

} // namespace

simulation::simulation(const script& s, const terms& t) : script_(&s), terms_(&t), broker_(t) {
    all_.emplace_back(); // number 0 is not used
    if (!s.offline) user_connects();
}

void simulation::run(const pace& p) {
    for (unsigned moves = 0;; ++moves) {
        if (moves == most_moves) fail("it does not come to rest: " + state());
        if (obey()) continue;
        if (p.reads_first ? read(p) || write(p) : write(p)) continue;
        if (p.many && may_step_on_top()) {
            perform(script_->steps[next_++]);
            continue;
        }
        if (!p.reads_first && read(p)) continue;
        if (lift_split(p)) continue;
        if (until_ > now_) {
            advance(std::min(until_, std::max(now_, session_.next_deadline())));
            continue;
        }
        if (next_ != script_->steps.size() && may_step()) {
            do
                perform(script_->steps[next_++]);
            while (next_ != script_->steps.size() && script_->steps[next_].at_once && may_step());
            continue;
        }
        if (next_ == script_->steps.size()) {
            set_delivery(tern::delivery::open);
            release_all();
            holding_ = false;
        }
        if (obey() || write(p)) continue;
        if (is_settled()) return;
        if (!let_time_pass()) fail("the run hangs: " + state());
    }
}

// ---- the owner: connection and time

bool simulation::obey() {
    switch (session_.pending_action()) {
    case tern::transport_action::none: break;
    case tern::transport_action::prepare: session_.on_prepared(now_); return poll(), true;
    case tern::transport_action::open:
        broker_.close(all_); // if it has not noticed yet that the client is gone
        broker_.open(now_);
        linked_ = true;
        session_.on_opened(now_);
        return poll(), true;
    case tern::transport_action::close: lose_link({}); return true;
    }
    if (!linked_ || stalled_ || !broker_.wants_close() || !broker_.output().empty()) return false;
    lose_link({});
    return true;
}

// The number of bytes that may move now.
std::size_t simulation::room(const pace& p, direction d, std::size_t wanted) const {
    const std::size_t stop = p.split[index(d)];
    const std::size_t done = moved_[index(d)];
    if (done <= stop && !lifted_[index(d)]) wanted = std::min(wanted, stop - done);
    return std::min(wanted, p.most);
}

bool simulation::lift_split(const pace& p) {
    for (const direction d : {direction::out, direction::in}) {
        if (lifted_[index(d)] || moved_[index(d)] != p.split[index(d)]) continue;
        lifted_[index(d)] = true;
        return true;
    }
    return false;
}

void simulation::has_moved(const pace& p, direction d, std::size_t count) {
    moved_[index(d)] += count;
    if (p.on_byte) p.on_byte(*this, d);
}

bool simulation::write(const pace& p) {
    if (stalled_ && swallows_) swallow();
    if (!linked_ || stalled_) return false;
    const auto pending = session_.pending_write();
    if (pending.empty()) return false;
    const std::size_t count = room(p, direction::out, pending.front().size());
    if (count == 0) return false;
    broker_.on_bytes(pending.front().substr(0, count), all_, now_);
    session_.commit_write(count, now_);
    poll();
    has_moved(p, direction::out, count);
    return true;
}

bool simulation::read(const pace& p) {
    const bool reads = reading_ || !session_.is_connected(); // CONNACK is read always
    if (!linked_ || stalled_ || !reads) return false;
    const std::span<char> to = session_.prepare_read();
    const std::size_t count = room(p, direction::in, std::min(broker_.output().size(), to.size()));
    if (count == 0) return false;
    broker_.output().copy(to.data(), count);
    broker_.on_read(count);
    session_.commit_read(count, now_);
    poll();
    has_moved(p, direction::in, count);
    return true;
}

// Discards written bytes.
void simulation::swallow() {
    for (;;) {
        const auto pending = session_.pending_write();
        if (pending.empty()) return;
        session_.commit_write(pending.front().size(), now_);
        poll();
    }
}

void simulation::end_link(const cut& c) {
    cut_ = true;
    patient_ = c.patient;
    barred_ = c.then == fate::barred;
    broker_.set_fate(c.then, all_);
    broken_ = true;
    swallows_ = c.how == ending::reset || c.how == ending::swallow;
    if (tracing) std::fprintf(stderr, "  -- cut\n");
    if (c.how == ending::stall || c.how == ending::swallow) {
        stalled_ = true;
        stalled_at_ = now_;
        was_connected_ = session_.is_connected() && reading_;
        return;
    }
    if (swallows_) swallow();
    lose_link(c.how == ending::reset ? std::make_error_code(std::errc::connection_reset) : std::error_code{});
}

void simulation::lose_link(std::error_code cause) {
    if (tracing) std::fprintf(stderr, "  -- closed %s\n", cause.message().c_str());
    check_stall();
    if (linked_ && !stalled_) broker_.close(all_);
    linked_ = stalled_ = false;
    session_.on_disconnected(cause, now_);
    poll();
}

// Requires that a dead connection is detected in time.
void simulation::check_stall() const {
    if (!stalled_ || !was_connected_) return;
    const std::chrono::milliseconds keep_alive = terms_->keep_alive();
    // PINGREQ was written, and has no answer; or it is not written, and the peer takes nothing.
    const std::chrono::milliseconds answer = keep_alive * 3 / 4 + std::chrono::milliseconds(20s) + 100ms;
    const std::chrono::milliseconds longest = std::max(answer, keep_alive * 9 / 4 + 1s);
    if (keep_alive != 0ms && now_ - stalled_at_ > longest) fail("the dead connection was detected too late");
}

void simulation::advance(tern::time_point to) {
    if (++jumps_ == most_jumps) fail("it does not come to rest: " + state());
    now_ = std::max(now_, to);
    session_.on_deadline(now_);
    poll();
    if (linked_ && !stalled_ && reading_ && !obey()) broker_.on_time(now_);
}

bool simulation::let_time_pass() {
    tern::time_point next = session_.next_deadline();
    if (stalled_) next = std::min(next, stalled_at_ + system_patience);
    if (next == tern::time_point::max()) return false;
    if (stalled_ && next >= stalled_at_ + system_patience) {
        now_ = std::max(now_, next);
        lose_link(std::make_error_code(std::errc::timed_out));
    } else {
        advance(next);
    }
    return true;
}

bool simulation::is_settled() const {
    if (next_ != script_->steps.size() || stalled_) return false;
    if (session_.is_idle()) return !linked_;
    const auto c = session_.counters();
    return session_.is_connected() && open_ == 0 && broker_.is_quiet() && !broker_.has_open_ids() && c.in_flight == 0 &&
           c.queued == 0;
}

std::string simulation::state() const {
    const auto c = session_.counters();
    std::string s = "step " + std::to_string(next_) + ", open operations:";
    for (std::size_t i = 1; i != all_.size(); ++i)
        if (all_[i].open) s += ' ' + std::to_string(i);
    s += ", in flight " + std::to_string(c.in_flight) + ", queued " + std::to_string(c.queued);
    if (session_.is_connected()) s += ", connected";
    if (session_.is_idle()) s += ", idle";
    if (!broker_.is_quiet()) s += ", the broker has more to say";
    if (broker_.has_open_ids()) s += ", the broker waits for PUBREL";
    return s;
}

// ---- events

void simulation::poll() {
    if (!tern::detail::session_inspector::is_activity_right(session_)) fail("the session overlooks what is pending");
    while (auto e = session_.poll_event()) {
        if (const auto* r = std::get_if<tern::received>(&*e))
            on(*r);
        else if (const auto* c = std::get_if<tern::completed>(&*e))
            on(*c);
        else if (const auto* change = std::get_if<tern::connection_event_view>(&*e))
            on(*change);
        else if (const auto* asked = std::get_if<tern::authentication_request>(&*e))
            on(*asked);
    }
    if (!tern::detail::session_inspector::is_activity_right(session_)) fail("the session overlooks what is pending");
}

void simulation::on(const tern::received& r) {
    std::size_t number = 0;
    std::from_chars(r.payload.data(), r.payload.data() + r.payload.size(), number);
    if (number == 0 || number >= all_.size()) fail("a message that was never sent");
    record& m = all_[number];
    if (tracing) std::fprintf(stderr, "  received %zu\n", number);
    if (r.topic != m.topic || static_cast<unsigned>(r.qos) != m.granted_qos) fail("a message has changed");
    const bool may_repeat = m.granted_qos == 1 || (m.granted_qos == 2 && broker_.has_doubt());
    if (!may_repeat && m.delivered == m.most) fail("message " + std::to_string(number) + " is delivered twice");
    if (m.delivered++ == 0) {
        unsigned& last = last_delivered_[m.granted_qos];
        if (m.order <= last) fail("message " + std::to_string(number) + " is delivered too late");
        last = m.order;
    }
    if (holding_)
        held_.push_back(r.token);
    else
        session_.release(r.token);
}

void simulation::on(const tern::completed& c) {
    const auto number = static_cast<std::size_t>(c.op);
    if (number == 0 || number >= all_.size() || !all_[number].open)
        fail("operation " + std::to_string(number) + " completes, but is not open");
    if (tracing) std::fprintf(stderr, "  completed %zu %s\n", number, c.error.message().c_str());
    record& r = all_[number];
    r.open = false;
    r.error = c.error;
    --open_;
    if (r.what == act::drain && !r.error)
        for (const record& each : all_)
            if (each.what == act::publish && each.open) fail("drain completes before the last message");
}

void simulation::on(const tern::authentication_request& asked) {
    std::optional<std::string_view> data;
    if (asked.stage == tern::authentication_stage::begin) data = first_data;
    if (asked.stage == tern::authentication_stage::answer) {
        if (asked.data != challenge_data) fail("the authenticator gets wrong data");
        data = last_data;
    }
    if (session_.authenticate(data, now_) != tern::errc::none) fail("the authenticator may not answer");
}

void simulation::on(const tern::connection_event_view& e) {
    if (tracing) std::fprintf(stderr, "  event %d %s\n", static_cast<int>(e.change), e.error.message().c_str());
    if (e.change == tern::connection_change::connected) ever_connected_ = true;
    if (e.change == tern::connection_change::subscription_refused) fail("a resubscribe is refused");
    if (e.change != tern::connection_change::stopped) return;
    const bool first_failed = !ever_connected_ && !terms_->options.reconnect.retry_first && broken_;
    const bool barred = barred_ && e.error == tern::reason_code::client_identifier_not_valid;
    if (!user_ended_ && !first_failed && !barred) fail("the client stops: " + e.error.message());
    if (open_ != 0) fail("the client stops with unfinished operations: " + state());
    stop_errors_.push_back(e.error);
}

} // namespace cuts

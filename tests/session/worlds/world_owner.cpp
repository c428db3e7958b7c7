// The owner of the session in a random world: moves bytes, takes events, and sometimes has no memory.
#include "session/inspector.hpp"
#include "session/worlds/world.hpp"

#include <optional>

namespace worlds {

world::world(unsigned seed, story& told)
    : random_(seed)
    , story_(told)
    , version_(seed % 2 == 0 ? tern::protocol_version::v5 : tern::protocol_version::v3_1_1)
    , broker_(version_, random_, requests_, told)
    , wire_(version_, requests_, told)
    , heap_before_(heap::live_bytes())
    , session_(seed)
    , seed_keeps_no_session_(seed % 5 == 4)
    , seed_forgets_subscriptions_(seed % 7 == 6) {}

void world::perform(tern::transport_action action) {
    using enum tern::transport_action;
    if (action == none) return;
    if (action == close) {
        story_.line("owner closes");
        return lose_connection({});
    }
    if (!is_calm_ && random_.one_in(8)) {
        story_.line("owner: the attempt fails");
        return lose_connection(std::make_error_code(std::errc::connection_refused));
    }
    if (action == prepare) {
        story_.line("owner is prepared");
        session_.on_prepared(now_);
        return poll();
    }
    story_.line("owner opens the transport");
    broker_.begin_connection();
    wire_.begin_connection();
    to_broker_.clear();
    broker_.expects_clean_start = is_first_connection_ && options_.clean_start;
    link_ = link_state::open;
    silent_since_ = written_at_ = now_;
    if (!has_memory_for([&] { session_.on_opened(now_); })) return lose_connection({});
    poll();
}

std::string world::pending() const {
    std::string bytes;
    for (const std::string_view part : session_.pending_write())
        bytes += part;
    return bytes;
}

// The owner passes bytes to the operating system.
void world::write(std::size_t most) {
    if (!is_open()) return;
    const std::string bytes = pending().substr(0, most);
    if (bytes.empty()) return;
    story_.line("owner writes ", bytes.size(), " bytes");
    if (session_.pending_action() != tern::transport_action::close) written_at_ = now_;
    wire_.offer(bytes);
    to_broker_ += bytes;
    if (!has_memory_for([&] { session_.commit_write(bytes.size(), now_); })) return lose_connection({});
    poll();
}

// Bytes arrive at the broker.
void world::pass(std::size_t most) {
    if (!is_open() || to_broker_.empty()) return;
    const std::string bytes = to_broker_.substr(0, most);
    to_broker_.erase(0, bytes.size());
    broker_.receive(bytes);
}

// The owner reads. In front of a message that it cannot take the session leaves the rest unread. Therefore one read
// ends with a packet: the world knows which packets were processed.
void world::read(std::size_t most) {
    session_.set_delivery(delivery_, now_); // tells the time: what has timed out ends before a packet is processed
    poll();
    while (most != 0 && is_open() && session_.is_reading() && !broker_.to_client.empty() &&
           session_.pending_action() == tern::transport_action::none) {
        if (is_leaving_) return broker_.to_client.clear(); // it reads until the broker closes
        const auto found = tern::next_frame(read_tail_ + broker_.to_client);
        demand(bool(found), "the broker of the test sends an invalid packet");
        const std::size_t missing = found->complete ? found->size - read_tail_.size() : broker_.to_client.size();
        const std::size_t wanted = std::min(most, missing);
        const auto room = session_.prepare_read();
        const std::size_t count = broker_.to_client.copy(room.data(), std::min(wanted, room.size()));
        if (count == 0) return;
        most -= count;
        read_tail_ += broker_.to_client.substr(0, count);
        broker_.to_client.erase(0, count);
        silent_since_ = now_;
        const auto whole = tern::next_frame(read_tail_);
        const bool is_whole = whole && whole->complete;
        const std::string packet = is_whole ? std::exchange(read_tail_, {}) : std::string{};
        session_.commit_read(count, now_);
        if (is_whole) read_packet(packet);
        poll();
    }
}

void world::read_packet(const std::string& packet) {
    const auto found = tern::next_frame(packet);
    story_.line("owner reads a packet of type ", static_cast<unsigned>(found->frame.first_byte >> 4U));
    // Whether memory runs out while the packet is processed is decided here, before the world notes the packet.
    std::optional<tern::polled_event> first;
    const bool processed = has_memory_for([&] { first = session_.poll_event(); });
    wire_.read(found->frame, !processed);
    if ((found->frame.first_byte >> 4U) == 2) note_connack(packet, processed);
    if (!processed) return lose_connection({});
    if (*first) on_event(**first);
    if (std::exchange(gives_back_, false)) lose_connection({});
}

void world::note_connack(const std::string& packet, bool processed) {
    const auto answer = tern::decode(tern::next_frame(packet)->frame, version_);
    const auto& connack = std::get<tern::connack>(*answer);
    if (connack.reason_code != tern::reason_code::success) return;
    if (!connack.session_present || !wire_.client_has_session) {
        wire_.lose_session();
        broker_.may_have_subscriptions = true;
        refused_renewals_.clear();
    } else if (believed_session_ != broker_.answered_session) {
        story_.line("    the client takes the new session for the old one");
        wire_.mistake_session();
    }
    believed_session_ = broker_.answered_session;
    wire_.connected_at = now_;
    failed_port_ = 0;
    is_first_connection_ = false;
    if (!processed) return; // otherwise the client may not know
    expiry_ = connack.properties.session_expiry_interval.value_or(asked_expiry_);
    if (v5()) ends_session_ = expiry_ == 0s;
    wire_.client_has_session = !ends_session_;
    broker_.may_clean_start = !v5() || expiry_ == 0s;
}

void world::poll() {
    demand(tern::detail::session_inspector::is_activity_right(session_), "the session knows what goes on");
    for (;;) {
        std::optional<tern::polled_event> next;
        if (!has_memory_for([&] { next = session_.poll_event(); })) {
            lose_connection({});
            continue;
        }
        demand(tern::detail::session_inspector::is_activity_right(session_), "the session knows what goes on");
        if (!*next) return;
        on_event(**next);
        if (std::exchange(gives_back_, false)) lose_connection({});
    }
}

void world::on_event(const tern::event& e) {
    if (const auto* c = std::get_if<tern::completed>(&e)) return on_completed(*c);
    if (const auto* r = std::get_if<tern::received>(&e)) return on_received(*r);
    if (const auto* v = std::get_if<tern::connection_event_view>(&e)) return on_change(*v);
}

void world::on_completed(const tern::completed& c) {
    const auto number = static_cast<unsigned>(c.op);
    story_.line("    operation ", number, " ends: ", c.error.category().name(), ' ', c.error.message());
    requests_.on_completed(c, now_, wire_.pingresps != 0);
    const request& r = requests_.at(number);
    if (r.kind == request_kind::ping && !c.error) --wire_.pingresps;
    if (r.kind != request_kind::subscribe && r.kind != request_kind::unsubscribe) return;
    using state = wish::state;
    std::vector<tern::reason_code> codes;
    for (const tern::reason_code code : c.answer.reason_codes)
        codes.push_back(code);
    for (std::size_t i = 0; i != r.filters.size(); ++i) {
        wish& w = wishes_[r.filters[i]];
        const bool knows = !c.error || (c.error.category() == tern::refusal_category() && codes.size() > i);
        if (knows && i < codes.size() && is_failure(codes[i])) continue; // nothing has changed
        if (c.error.category() == tern::usage_category() || number < w.number) continue;
        const state is = !knows                              ? state::unknown
                         : r.kind == request_kind::subscribe ? state::subscribed
                                                             : state::unsubscribed;
        w = {.number = number, .is = is, .session = believed_session_};
        if (is == state::subscribed) w.max_qos = r.max_qos[i];
    }
}

void world::on_received(const tern::received& r) {
    const unsigned number = number_in(r.payload);
    story_.line("    the client delivers message ", number);
    sent_message& m = broker_.messages.at(number - 1);
    demand(m.qos == static_cast<unsigned>(r.qos), "a message arrives with another QoS");
    demand(m.qos == 0 || delivery_ != tern::delivery::full,
           "a QoS 1 or 2 message is delivered although there is no room");
    if (m.qos == 2) wire_.deliver(r.packet_id);
    if (m.qos != 0 && !is_calm_ && random_.one_in(60)) {
        story_.line("    the application gives it back");
        session_.return_undelivered(r.token);
        wire_.give_back(r.packet_id);
        gives_back_ = true;
        return;
    }
    ++m.deliveries;
    const unsigned most = m.qos == 1 ? m.sendings : 1 + doubts_; // in doubt about the session QoS 2 may come twice
    demand(m.deliveries <= most, "message ", number, " of QoS ", m.qos, " is delivered ", m.deliveries, " times");
    if (m.qos == 0) return;
    demand(r.token != tern::message_token::none, "a message without a token");
    if (m.qos == 1 && r.dup) { // the application may still have it
        const auto held =
            std::find_if(held_.rbegin(), held_.rend(), [&](const held_message& h) { return h.number == number; });
        if (held != held_.rend() && session_.supersede(held->token)) {
            story_.line("    it supersedes the earlier copy");
            held->token = r.token;
            return;
        }
        demand(held == held_.rend() || doubts_ != 0, "an earlier copy cannot be superseded");
    }
    held_.push_back({r.token, number});
}

void world::on_change(const tern::connection_event_view& e) {
    using enum tern::connection_change;
    switch (e.change) {
    case connecting: note_connecting(e.port); break;
    case connected: story_.line("    event: connected"); break;
    case disconnected: story_.line("    event: disconnected, ", e.error.message()); break;
    case retrying: story_.line("    event: retrying after ", e.delay.count(), " ms"); break;
    case stopped:
        story_.line("    event: stopped, ", e.error.message());
        demand(requests_.open().empty() || only_drains_are_open(), "stopped, but operation ",
               requests_.open().empty() ? 0 : *requests_.open().begin(), " is open");
        if (ends_session_) forget_wishes(); // without a session, subscriptions end with the run
        break;
    case subscription_refused:
        story_.line("    event: subscription refused, ", e.filter);
        refused_renewals_.emplace(e.filter);
        break;
    default: story_.line("    event: ", static_cast<unsigned>(e.change));
    }
    if (e.change == disconnected && e.error == tern::errc::ping_timeout && now_ - written_at_ < 7s) // it takes bytes
        demand(now_ - silent_since_ >= 20s, "ping_timeout ", (now_ - silent_since_) / 1ms, " ms after a sign of life");
}

void world::note_connecting(std::uint16_t port) {
    story_.line("    event: connecting to port ", port);
    demand(port != failed_port_, "the endpoint that has failed is tried again before the other");
    failed_port_ = port;
    ++attempts_;
    demand(attempts_ <= 2 || options_.reconnect.retry_first || !is_first_connection_,
           "the first connection is tried again although nothing asks for it");
}

// The client forgets the session. The broker may not know.
void world::forget_wishes() {
    wishes_.clear();
    wire_.forget_incoming();
    for (const auto& [filter, s] : broker_.subscriptions)
        broker_.kept.insert(filter);
}

bool world::only_drains_are_open() {
    for (const unsigned number : requests_.open())
        if (requests_.at(number).kind != request_kind::drain) return false;
    return true;
}

// The connection, or the attempt, ends. Until `on_disconnected` succeeds, it is called again.
void world::lose_connection(std::error_code cause) {
    if (is_open()) {
        if (wire_.awaits_connack) {
            wire_.doubt_session();
            ++doubts_;
        }
        wire_.end_connection(pending());
        broker_.end_connection();
        link_ = link_state::closed;
        to_broker_.clear();
        read_tail_.clear();
    }
    while (!has_memory_for([&] { session_.on_disconnected(cause, now_); }))
        story_.line("    again");
    poll();
}

void world::release() {
    if (held_.empty()) return;
    const std::size_t which = random_.one_in(2) ? 0 : random_.below(static_cast<unsigned>(held_.size()));
    const held_message h = held_[which];
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(which));
    story_.line("application releases message ", h.number);
    broker_.messages[h.number - 1].is_released = true;
    session_.release(h.token);
    poll();
}

void world::run_deadline() {
    if (now_ < session_.next_deadline()) return;
    story_.line("owner calls on_deadline");
    if (!has_memory_for([&] { session_.on_deadline(now_); })) return lose_connection({});
    poll();
}

} // namespace worlds

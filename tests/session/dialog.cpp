#include "dialog.hpp"

#include "inspector.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace {

std::string hex(std::string_view bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string result;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        result += {digits[byte >> 4], digits[byte & 15], ' '};
    }
    return result;
}

template <class... F>
struct overloaded : F... {
    using F::operator()...;
};

std::string with_error(std::string what, std::error_code error) {
    return error ? what + ": " + text(error) : what;
}

} // namespace

std::string asked_for(const tern::authentication_request& a) {
    static constexpr const char* stages[] = {"begin", "answer", "verify"};
    const bool connects = a.purpose == tern::authentication_purpose::connect;
    return std::string{connects ? "" : "again: "} + stages[static_cast<int>(a.stage)] + " " + std::string{a.method} +
           (a.data ? "=" + std::string{*a.data} : std::string{}) +
           (a.reason_string ? ", " + std::string{*a.reason_string} : std::string{});
}

std::string text(std::error_code error) {
    return std::string{error.category().name()} + ": " + error.message();
}

std::string got(const tern::message_view& message, bool dup) {
    return "got " + std::string{message.topic} + "=" + std::string{message.payload} + " q" +
           std::to_string(static_cast<int>(message.qos)) + (message.retain ? " retain" : "") + (dup ? " dup" : "");
}

std::string text(const tern::event& e) {
    return std::visit(overloaded{
                          [](const tern::connected& c) {
                              return with_error(c.packet.session_present ? "connected, session present" : "connected",
                                                c.error);
                          },
                          [](const tern::received& r) { return got(r, r.dup); },
                          [](const tern::completed& c) {
                              return with_error("done " + std::to_string(static_cast<std::uint64_t>(c.op)), c.error);
                          },
                          [](const tern::authentication_request& a) { return asked_for(a); },
                          [](const tern::connection_event_view& c) {
                              using enum tern::connection_change;
                              switch (c.change) {
                              case connecting:
                                  return "connecting " + std::to_string(c.attempt) + " " + std::string{c.host} + ":" +
                                         std::to_string(c.port);
                              case connected: return std::string{c.session_present ? "up, session present" : "up"};
                              case disconnected: return with_error("down", c.error);
                              case retrying: return "retrying in " + std::to_string(c.delay.count());
                              case stopped: return with_error("closed", c.error);
                              case message_skipped:
                                  return "skipped " + std::string{c.filter} + ", " + std::to_string(c.packet_bytes);
                              case message_invalid: return with_error("invalid " + std::string{c.filter}, c.error);
                              case window_exhausted: return std::string{"window"};
                              case redirect_ignored:
                                  return with_error("ignored " + std::string{c.server_reference}, c.error);
                              case client_id_not_assigned: return with_error("no client id", c.error);
                              case answer_late: return with_error("late", c.error);
                              case subscription_refused: return with_error("refused " + std::string{c.filter}, c.error);
                              }
                              return std::string{};
                          },
                      },
                      e);
}

void dialog::start() {
    REQUIRE(try_connect() == tern::errc::none);
    attempt();
}

void dialog::connects() {
    deliver();
    REQUIRE(session.pending_action() == tern::transport_action::prepare);
    session.on_prepared(now);
    REQUIRE(session.pending_action() == tern::transport_action::open);
    session.on_opened(now);
    poll();
    REQUIRE(session.pending_action() == tern::transport_action::none);
}

void dialog::attempt() {
    connects();
    const std::string connect = written();
    REQUIRE(!connect.empty());
    REQUIRE(connect[0] == 0x10); // [MQTT-3.1.0-1]
}

void dialog::open(tern::connack answer) {
    start();
    broker(answer);
    events({answer.session_present ? "connected, session present" : "connected"});
    sends();
}

void dialog::resumable() {
    options.clean_start = false;
    options.reconnect.enabled = true;
    if (v5()) options.properties.session_expiry_interval = std::chrono::seconds{100};
}

void dialog::awaits_attempt() {
    deliver();
    for (int waits = 0; session.pending_action() == tern::transport_action::none; ++waits) {
        REQUIRE(waits != 100);
        REQUIRE(session.next_deadline() != tern::time_point::max());
        pass(std::chrono::ceil<std::chrono::milliseconds>(session.next_deadline() - now));
    }
    REQUIRE(session.pending_action() == tern::transport_action::prepare);
}

void dialog::reopen(tern::connack answer, std::vector<std::string> events_after) {
    awaits_attempt();
    attempt();
    broker(answer);
    events_after.insert(events_after.begin(), answer.session_present ? "connected, session present" : "connected");
    events(events_after);
}

void dialog::release(std::size_t index) {
    deliver();
    REQUIRE(index < tokens.size());
    session.release(tokens[index]);
    poll();
}

void dialog::pass(std::chrono::milliseconds time) {
    deliver();
    const tern::time_point end = now + time;
    for (int calls = 0; session.next_deadline() <= end; ++calls) {
        REQUIRE(calls != 100'000); // the deadline does not change
        now = std::max(now, session.next_deadline());
        session.on_deadline(now);
        poll();
    }
    now = end;
}

void dialog::broker_bytes(std::string_view bytes) {
    if (reading_ == reading::at_once) {
        undelivered_ += bytes;
        return;
    }
    const std::size_t step = reading_ == reading::bytes ? 1 : bytes.size();
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size())))
        give(bytes.substr(0, step));
}

void dialog::deliver() {
    give(std::exchange(undelivered_, {}));
}

void dialog::give(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::span<char> room = session.prepare_read();
        REQUIRE(!room.empty());
        const std::size_t count = bytes.copy(room.data(), room.size());
        session.commit_read(count, now);
        bytes.remove_prefix(count);
        poll();
    }
}

void dialog::poll() {
    if (!tern::detail::session_inspector::is_activity_right(session))
        FAIL_CHECK("the session overlooks what is pending");
    while (const auto e = session.poll_event()) {
        if (!tern::detail::session_inspector::is_activity_right(session))
            FAIL_CHECK("the session overlooks what is pending");
        const auto* const change = std::get_if<tern::connection_event_view>(&*e);
        if (!change || tells_all || change->change == tern::connection_change::stopped ||
            change->change == tern::connection_change::subscription_refused ||
            change->change == tern::connection_change::message_skipped ||
            change->change == tern::connection_change::message_invalid ||
            change->change == tern::connection_change::client_id_not_assigned ||
            change->change == tern::connection_change::redirect_ignored ||
            change->change == tern::connection_change::answer_late)
            log_.push_back(text(*e));
        if (const auto* r = std::get_if<tern::received>(&*e)) tokens.push_back(r->token);
    }
    CHECK(!session.poll_event()); // there are no further events
}

std::string dialog::written(std::size_t most) {
    deliver();
    while (most != 0) {
        std::string bytes;
        for (const std::string_view part : session.pending_write())
            bytes += part;
        if (bytes.empty()) break;
        bytes.resize(std::min({bytes.size(), most, writing_ == writing::bytes ? 1 : SIZE_MAX}));
        written_ += bytes;
        most -= bytes.size();
        session.commit_write(bytes.size(), now);
        poll();
    }
    return std::exchange(written_, {});
}

void dialog::sends_bytes(std::string_view expected) {
    const std::string bytes = written();
    CHECK(hex(bytes) == hex(expected));
}

void dialog::events(const std::vector<std::string>& expected) {
    deliver();
    poll();
    CHECK(std::exchange(log_, {}) == expected);
}

std::vector<std::string> dialog::events_so_far() {
    deliver();
    poll();
    return std::exchange(log_, {});
}

void dialog::closes() {
    deliver();
    CHECK(wants_close());
    session.on_disconnected(std::make_error_code(std::errc::operation_canceled), now);
    poll();
    CHECK(session.is_idle());
    CHECK(session.pending_write().empty());
}

void dialog::stays() {
    deliver();
    CHECK(session.pending_action() == tern::transport_action::none);
    CHECK(session.is_connected());
}

void dialog::lost(std::error_code cause) {
    deliver();
    session.on_disconnected(cause, now);
    poll();
    CHECK(session.is_idle() != options.reconnect.enabled);
    written_.clear();
    undelivered_.clear();
}

void dialog::fails(tern::errc error, std::vector<std::string> events_before) {
    deliver();
    if (v5())
        sends(tern::disconnect{.reason_code = tern::answer_to(error)});
    else
        sends();
    closes();
    events_before.push_back(over(error));
    events(events_before);
}

void run_dialog(void (*script)(dialog&)) {
    using enum tern::protocol_version;
    struct {
        const char* name;
        dialog::reading reading;
        dialog::writing writing;
    } const ways[] = {
        {"packet by packet", dialog::reading::packets, dialog::writing::whole},
        {"read byte by byte", dialog::reading::bytes, dialog::writing::whole},
        {"read at once", dialog::reading::at_once, dialog::writing::whole},
        {"all byte by byte", dialog::reading::bytes, dialog::writing::bytes},
    };
    for (const tern::protocol_version version : {v3_1_1, v5}) {
        for (const auto& way : ways) {
            INFO((version == v5 ? "5.0, " : "3.1.1, ") << way.name);
            dialog d(version, way.reading, way.writing);
            script(d);
        }
    }
}

// Drives a session without Asio, sockets or a clock. The program carries the bytes between the session and a small
// scripted broker, and passes the time to each call.
//
// A custom event loop, a serial line or a test has to do no more than this.
#include "tern/core.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>

using namespace std::chrono_literals;

namespace {

constexpr auto version = tern::protocol_version::v5;

int length(std::string_view text) {
    return static_cast<int>(text.size());
}

void check(tern::errc error) {
    if (error == tern::errc::none) return;
    const std::string_view text = tern::to_string(error);
    std::printf("refused: %.*s\n", length(text), text.data());
    std::exit(1);
}

// ---- The broker's side.
class scripted_broker {
public:
    /// Appends a part of the client's bytes and returns the answers to the packets that are complete.
    std::string on_bytes(std::string_view bytes) {
        received_ += bytes;
        std::string answer;
        for (;;) {
            const auto found = tern::next_frame(received_);
            if (!found || !found->complete) return answer;
            if (const auto packet = tern::decode(found->frame, version))
                std::visit([&](const auto& p) { on(p, answer); }, *packet);
            received_.erase(0, found->size);
        }
    }

private:
    template <class Packet>
    static void send(const Packet& packet, std::string& out) {
        const std::size_t before = out.size();
        const auto size = tern::encoded_size(packet, version);
        check(size.error());
        out.resize(before + *size);
        check(tern::encode(packet, version, std::span(out).subspan(before)).error());
    }

    static void on(const tern::connect&, std::string& out) { send(tern::connack{}, out); }
    static void on(const tern::subscribe& p, std::string& out) {
        const tern::reason_code granted[] = {tern::reason_code::granted_qos_1};
        send(tern::suback{.packet_id = p.packet_id, .reason_codes = granted}, out);
        send(tern::publish{.message = {.topic = "home/door", .payload = "open", .qos = tern::qos::at_least_once},
                           .packet_id = 7},
             out);
    }
    static void on(const tern::publish& p, std::string& out) { send(tern::puback{.packet_id = p.packet_id}, out); }
    static void on(const tern::puback& p, std::string&) {
        std::printf("  broker: message %u was acknowledged\n", static_cast<unsigned>(p.packet_id));
    }
    static void on(const tern::pingreq&, std::string& out) { send(tern::pingresp{}, out); }
    static void on(const auto&, std::string&) {} // DISCONNECT, and packets that this client does not send

    std::string received_;
};

// ---- The client's side: the duties of a session's owner.
class driver {
public:
    tern::session session;
    tern::time_point now{}; // of any clock, even one that does not advance

    /// Processes events, opens or closes the transport, writes and reads. Call this after every change of the session.
    void run() {
        for (;;) {
            process_events();
            if (serve_transport()) continue;
            const auto pieces = session.pending_write(); // the buffers of a gathered write
            if (pieces.empty()) break;
            std::string bytes;
            for (const std::string_view piece : pieces)
                bytes += piece;
            std::printf("  %zu bytes to the broker\n", bytes.size());
            session.commit_write(bytes.size(), now);
            read(broker_.on_bytes(bytes));
        }
    }

private:
    // Performs the transport action that the session waits for. Here each one succeeds immediately.
    bool serve_transport() {
        switch (session.pending_action()) {
        case tern::transport_action::none: return false;
        case tern::transport_action::prepare: // the password could be renewed here
            session.on_prepared(now);
            break;
        case tern::transport_action::open: // to session.target(), within session.open_timeouts()
            session.on_opened(now);
            break;
        case tern::transport_action::close: session.on_disconnected({}, now); break;
        }
        return true;
    }

    void read(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto space = session.prepare_read(); // recv() would read into it
            const std::size_t size = bytes.copy(space.data(), space.size());
            session.commit_read(size, now);
            bytes.remove_prefix(size);
            process_events();
        }
    }

    void process_events() {
        while (const auto event = session.poll_event())
            std::visit([this](const auto& e) { this->on(e); }, *event);
    }

    void on(const tern::connected& e) {
        std::printf("connected: %s\n", e.error ? e.error.message().c_str() : "accepted");
    }
    void on(const tern::received& e) {
        std::printf("received: %.*s = %.*s\n", length(e.topic), e.topic.data(), length(e.payload), e.payload.data());
        session.release(e.token); // the message is processed: acknowledge it
    }
    // No method of enhanced authentication is in the options, so the session requests no data.
    void on(const tern::authentication_request&) {
        session.fail_authentication(std::make_error_code(std::errc::not_supported), now);
    }
    void on(const tern::completed& e) {
        std::printf("operation %llu completed: %s\n", static_cast<unsigned long long>(e.op),
                    e.error ? e.error.message().c_str() : "success");
    }
    static void on(const tern::connection_event_view& e) {
        if (e.change == tern::connection_change::connecting)
            std::printf("connecting to %.*s, attempt %u\n", length(e.host), e.host.data(), e.attempt);
        if (e.change == tern::connection_change::stopped)
            std::printf("stopped: %s\n", e.error ? e.error.message().c_str() : "on request");
    }

    scripted_broker broker_;
};

} // namespace

int main() {
    driver client;
    tern::session& session = client.session;

    // The session does not open a connection itself. It requests one, and has CONNECT ready for it.
    check(session.connect({.client_id = "by-hand", .keep_alive = 30s}, client.now));
    client.run();

    const tern::subscription filters[] = {{.filter = "home/#"}};
    check(session.subscribe(filters, {}, tern::op_id{1}, client.now));
    client.run();

    check(session.publish({.topic = "home/light", .payload = "on", .qos = tern::qos::at_least_once}, tern::op_id{2},
                          client.now));
    client.run();

    // The keep-alive interval passes without traffic. The session has set a deadline, and sends PINGREQ then.
    client.now = session.next_deadline();
    std::printf("%lld seconds later\n",
                static_cast<long long>(
                    std::chrono::duration_cast<std::chrono::seconds>(client.now - tern::time_point{}).count()));
    session.on_deadline(client.now);
    client.run();

    // A session is a value: a copy is independent of the original. The copy loses its connection and reconnects.
    driver copy = client;
    copy.session.on_disconnected(std::make_error_code(std::errc::connection_reset), client.now);
    copy.run();
    std::printf("connections of the copy: %llu, of the original: %llu\n",
                static_cast<unsigned long long>(copy.session.counters().connections),
                static_cast<unsigned long long>(session.counters().connections));

    check(session.disconnect({}, client.now));
    client.run();
    return session.is_idle() ? 0 : 1;
}

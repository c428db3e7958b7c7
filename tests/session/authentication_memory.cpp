// Allocations that fail during an authentication: it ends once, with its connection, and the next one goes on.
#include "catch.hpp"
#include "session_driver.hpp"
#include "support/heap.hpp"
#include "tern/codec/packet.hpp"

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace authentication_memory {

using tern::errc, tern::op_id, tern::reason_code;

struct owner : session_driver {
    owner(std::size_t step, std::size_t allowed) : failing_(step), allowed_(allowed) {
        ended.reserve(4); // so that only the session allocates while allocations fail
        tern::connect_options options{.client_id = "a client whose name needs memory", .clean_start = false};
        options.properties.authentication_method = "a method whose name needs memory";
        options.reconnect.retry_first = true;
        REQUIRE(session.connect(options, now) == errc::none);
    }

    // One call of the session. The owner closes the connection when it throws.
    template <class F>
    void call(F f) {
        if (failed) return;
        if (step_++ != failing_) return f();
        heap::fail(allowed_ + 1);
        try {
            f();
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        heap::stop_failing();
    }
    void polls() {
        call([&] { poll(*this); });
    }
    void answers() {
        errc result = errc::none;
        call([&] { result = session.authenticate("data", now); });
        REQUIRE(result == errc::none);
        polls();
    }
    template <class Packet>
    void arrives(const Packet& packet) {
        if (failed) return;
        std::string bytes;
        put(bytes, packet, tern::protocol_version::v5);
        const auto room = session.prepare_read();
        REQUIRE(bytes.size() <= room.size());
        bytes.copy(room.data(), bytes.size());
        session.commit_read(bytes.size(), now);
        polls();
    }
    void arrives(reason_code code) {
        arrives(tern::auth{code, {.authentication_method = "a method whose name needs memory"}});
    }
    void accepts() {
        tern::connack packet;
        packet.properties.authentication_method = "a method whose name needs memory";
        arrives(packet);
    }
    void opens() {
        while (session.pending_action() != tern::transport_action::prepare) {
            REQUIRE(session.next_deadline() != tern::time_point::max());
            now = session.next_deadline();
            session.on_deadline(now);
            poll(*this);
        }
        session.on_prepared(now);
        call([&] { session.on_opened(now); });
        polls();
    }
    void connects() {
        opens();
        answers();
        arrives(reason_code::continue_authentication);
        answers();
        accepts();
        answers();
    }

    void operator()(const tern::event& e) {
        if (const auto* c = std::get_if<tern::completed>(&e)) ended.push_back(c->error);
    }

    std::vector<std::error_code> ended;
    bool failed = false;

private:
    std::size_t failing_;
    std::size_t allowed_;
    std::size_t step_ = 0;
};

// Whether an allocation has failed.
bool run(std::size_t step, std::size_t allowed) {
    owner o(step, allowed);
    o.connects();
    bool accepted = false;
    o.call([&] { accepted = o.session.reauthenticate(op_id{1}, o.now) == errc::none; });
    o.polls();
    o.answers();
    o.arrives(reason_code::continue_authentication);
    o.answers();
    o.arrives(reason_code::success);
    o.answers();
    const bool failed = std::exchange(o.failed, false);
    if (failed) {
        o.session.on_disconnected(std::make_error_code(std::errc::not_enough_memory), o.now);
        o.poll(o);
    }
    CHECK(o.ended.size() == (accepted ? 1U : 0U));
    if (!failed) CHECK(o.ended.at(0) == std::error_code{});
    if (failed) o.connects(); // the next connection
    CHECK(o.session.is_connected());
    return failed;
}

TEST_CASE("an authentication ends once, with its connection, if an allocation fails in any step") {
    constexpr std::size_t steps = 30;
    for (std::size_t step = 0; step != steps; ++step) {
        std::size_t allowed = 0;
        for (; run(step, allowed); ++allowed) {
            CAPTURE(step, allowed);
            REQUIRE(allowed < 100);
        }
    }
}

TEST_CASE("a lost connection ends an authentication once, if an allocation fails meanwhile") {
    for (std::size_t allowed = 0;; ++allowed) {
        owner o(SIZE_MAX, 0);
        o.connects();
        REQUIRE(o.session.reauthenticate(op_id{1}, o.now) == errc::none);
        o.poll(o);
        REQUIRE(o.session.authenticate("data", o.now) == errc::none);
        const std::error_code cause = std::make_error_code(std::errc::connection_reset);
        heap::fail(allowed + 1);
        bool failed = false;
        try {
            o.session.on_disconnected(cause, o.now);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        heap::stop_failing();
        if (failed) o.session.on_disconnected(cause, o.now);
        o.poll(o);
        REQUIRE(o.ended == std::vector<std::error_code>{cause});
        if (!failed) break;
    }
}

} // namespace authentication_memory

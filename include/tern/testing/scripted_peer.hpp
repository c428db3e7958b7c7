// A peer that follows a script: the packets that it expects, and the packets that it sends.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/testing/detail/peer_script.hpp"
#include "tern/testing/link.hpp"
#include "tern/testing/network.hpp"
#include "tern/testing/network_options.hpp"

#include <algorithm>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tern::testing {

/// A peer on a `network` that expects and answers as its script says, whether MQTT allows it or not.
/// The script spans several connections, and can be extended while it runs.
///
/// The peer uses the version of the CONNECT that it has received, and 5.0 before. It reports a mismatch as
/// text, independent of the test framework, and then stops.
///
///     tern::testing::network net;
///     tern::testing::scripted_peer peer{net};
///     net.listen("localhost", peer);
///     peer.expect<tern::connect>([](const tern::connect& c) { return c.clean_start; })
///         .send(tern::connack{})
///         .expect<tern::publish>()
///         .reset()                 // the broker crashes before it acknowledges
///         .expect<tern::connect>() // on the next connection
///         .send(tern::connack{.session_present = true})
///         .expect<tern::publish>([](const tern::publish& p) { return p.dup; }, "the same again")
///         .reply<tern::publish>([](const auto& p) { return tern::puback{.packet_id = p.packet_id}; });
///     ... // start the client
///     net.run_until([&] { return peer.done(); });
///     REQUIRE(peer.failure() == "");
class scripted_peer {
public:
    using duration = network::duration;

    explicit scripted_peer(network& net)
        : script_(std::make_shared<detail::peer_script>(net.get_executor(), net.clock())) {}
    scripted_peer(const scripted_peer&) = delete;
    scripted_peer& operator=(const scripted_peer&) = delete;

    /// Closes all connections of the peer.
    ~scripted_peer() { script_->stop(); }

    /// The function that `network::listen` uses.
    auto acceptor() const {
        return [weak = std::weak_ptr(script_)](link stream) {
            if (const auto script = weak.lock()) script->accept(std::move(stream));
        };
    }

    // ---- the script

    /// Expects a packet of the given type with any content.
    template <packet Packet>
    scripted_peer& expect() {
        return expect<Packet>([](const Packet&) { return true; });
    }

    /// Expects a packet of the given type for which `matches` returns true. The packet borrows. `text` describes the
    /// expectation.
    template <packet Packet, std::predicate<const Packet&> Matches>
    scripted_peer& expect(Matches matches, std::string_view text = {}) {
        const auto examine = [matches = std::move(matches)](detail::peer_script& script) mutable {
            const auto p = script.decode_as<Packet>();
            if (!p && script.taken_type() == Packet::type)
                script.fail("received " + script.describe_taken(), p.error());
            else if (!p || !matches(*p))
                script.fail("received " + script.describe_taken());
        };
        return take(Packet::type, text, examine);
    }

    /// Expects exactly this packet, which is copied.
    template <packet Packet>
    scripted_peer& expect(const Packet& p) {
        const auto examine = [expected = detail::encoded(p)](detail::peer_script& script) {
            const auto& bytes = expected.in(script.current()->version);
            const std::string_view taken = script.taken();
            if (!bytes) return script.fail("the standard forbids to expect it", bytes.error());
            if (*bytes == taken) return;
            const auto differ = std::ranges::mismatch(*bytes, taken).in2 - taken.begin();
            script.fail("received " + script.describe_taken() + " instead of " + detail::quoted(*bytes) +
                        "; they differ at byte " + std::to_string(differ));
        };
        return take(Packet::type, {}, examine);
    }

    /// Expects the client to end the connection, in any way, without sending anything more. Continues with
    /// the next connection.
    scripted_peer& expect_end() {
        return add("expect the end of the connection", [](detail::peer_script& script) {
            detail::peer_connection* const connection = script.current();
            if (!connection) return false;
            if (!connection->input.empty()) {
                if (script.take().empty()) return false;
                script.fail("received " + script.describe_taken());
            } else if (!connection->end) {
                return false;
            }
            connection->stream.close();
            script.leave();
            return true;
        });
    }

    /// Sends packets, which are copied.
    template <packet... Packet>
    scripted_peer& send(const Packet&... p) {
        (send_one(p), ...);
        return *this;
    }

    /// Sends any bytes.
    scripted_peer& send_bytes(std::string bytes) {
        return add("send " + detail::quoted(bytes), [bytes](detail::peer_script& script) {
            if (!script.current()) return false;
            script.current()->send(bytes);
            return true;
        });
    }

    /// Sends the packet that the function makes from the last expected packet, which borrows.
    template <packet Packet, std::invocable<const Packet&> Reply>
    scripted_peer& reply(Reply make) {
        return add("reply to " + std::string(to_string(Packet::type)),
                   [make = std::move(make)](detail::peer_script& script) mutable {
                       const auto p = script.decode_as<Packet>();
                       if (p) return script.send(detail::encoded(make(*p)));
                       script.fail("the last packet was " + script.describe_taken());
                       return true;
                   });
    }

    /// Waits on the network's clock.
    scripted_peer& pause(duration time) {
        return add("pause", [time, end = std::optional<network::time_point>()](detail::peer_script& script) mutable {
            if (!end) {
                end = script.clock.now() + time;
                script.timer.expires_at(*end);
                script.timer.async_wait([weak = script.weak_from_this()](std::error_code) {
                    if (const auto alive = weak.lock()) alive->schedule();
                });
            }
            return script.clock.now() >= *end;
        });
    }

    /// Calls a function, on the executor of the network.
    scripted_peer& call(std::function<void()> function) {
        return add("call", [function = std::move(function)](detail::peer_script&) {
            function();
            return true;
        });
    }

    /// Ends the connection when all packets are written, and continues with the next connection. The client
    /// receives them all before the end.
    scripted_peer& close() {
        return end("close", [](link& stream) { stream.close(); });
    }
    scripted_peer& reset() {
        return end("reset", [](link& stream) { stream.end(ending::reset); });
    }

    /// Stalls the connection when the client has received all packets: nothing arrives any more in either direction.
    /// Continues with the next connection.
    scripted_peer& stall() {
        return end("stall", [](link& stream) { stream.end(ending::stall); });
    }

    /// Leaves the current connection as it is, and continues with the next one.
    scripted_peer& accept() {
        return add("accept", [left = false](detail::peer_script& script) mutable {
            if (!std::exchange(left, true)) script.leave();
            return script.current() != nullptr;
        });
    }

    /// Answers each PINGREQ that the script does not expect.
    scripted_peer& answer_pings(bool does = true) {
        script_->answers_pings = does;
        return *this;
    }

    // ---- without a script, for tests that decide step by step; the script must be at its end

    /// Takes the next packet of the current connection, if it is of this type and complete. The packet borrows until
    /// the next one is taken. A packet of another type is taken as well, and becomes the `failure()`.
    template <packet Packet>
    std::optional<Packet> take_now() {
        if (script_->take_if_complete().empty()) return std::nullopt;
        const auto p = script_->decode_as<Packet>();
        if (p) return *p;
        script_->fail("received " + script_->describe_taken() + " instead of " + std::string(to_string(Packet::type)));
        return std::nullopt;
    }

    /// Sends on the current connection at once.
    void send_bytes_now(std::string_view bytes) { script_->current()->send(bytes); }

    /// Ends the current connection at once, and continues with the next one.
    void close_now() {
        script_->current()->stream.close();
        script_->leave();
    }

    /// Ignores all accepted connections, and continues with the next one.
    void ignore_connections() { script_->ignore_all(); }

    /// Whether the client has ended the current connection.
    bool sees_end() const { return script_->current() && script_->current()->end; }

    // ---- the outcome

    /// Whether the script is at its end, or has failed.
    bool done() const { return script_->is_done(); }

    /// The description of the failure; empty without one.
    const std::string& failure() const noexcept { return script_->failure(); }

    /// The position in the script, for messages.
    std::string status() const { return script_->status(); }

    /// Whether the script has expected all received bytes.
    bool is_silent() const { return script_->is_silent(); }

private:
    scripted_peer& add(std::string text, detail::peer_script::action act, std::optional<packet_type> expected = {}) {
        script_->add(std::move(text), std::move(act), expected);
        return *this;
    }

    // Takes a packet, and checks it.
    template <class Check>
    scripted_peer& take(packet_type type, std::string_view text, Check examine) {
        std::string name = "expect " + std::string(to_string(type));
        if (!text.empty()) name.append(" (").append(text).append(")");
        return add(
            std::move(name),
            [examine](detail::peer_script& script) mutable {
                if (script.take().empty()) return false;
                examine(script);
                return true;
            },
            type);
    }

    template <packet Packet>
    void send_one(const Packet& p) {
        add("send " + std::string(to_string(Packet::type)),
            [bytes = detail::encoded(p)](detail::peer_script& script) { return script.send(bytes); });
    }

    template <class End>
    scripted_peer& end(std::string_view text, End how) {
        return add(std::string(text), [how](detail::peer_script& script) {
            if (!script.current() || !script.current()->is_flushed()) return false;
            how(script.current()->stream);
            script.leave();
            return true;
        });
    }

    std::shared_ptr<detail::peer_script> script_;
};

} // namespace tern::testing

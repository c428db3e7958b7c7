// A minimal owner of a session, for tests without a script: opens the transport, moves bytes, passes events to a
// function.
#pragma once

#include "tern/session/session.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

struct session_driver {
    tern::session session;
    tern::time_point now{std::chrono::hours(1)};

    /// Performs the transport actions of a successful opening.
    void open_transport() {
        session.on_prepared(now);
        session.on_opened(now);
    }
    bool wants_close() const { return session.pending_action() == tern::transport_action::close; }

    /// Appends at most `most` pending bytes to `wire` and commits them as written. Returns their number.
    template <class On>
    std::size_t write_to(std::string& wire, On&& on, std::size_t most = SIZE_MAX) {
        std::size_t count = 0;
        for (const std::string_view part : session.pending_write()) {
            const std::string_view taken = part.substr(0, most - count);
            wire.append(taken);
            count += taken.size();
        }
        if (count != 0) session.commit_write(count, now);
        poll(on);
        return count;
    }

    template <class On>
    void read(std::string_view bytes, On&& on) {
        while (!bytes.empty()) {
            const auto room = session.prepare_read();
            const std::size_t count = bytes.copy(room.data(), room.size());
            session.commit_read(count, now);
            bytes.remove_prefix(count);
            poll(on);
        }
    }

    template <class On>
    void poll(On&& on) {
        while (auto e = session.poll_event())
            on(*e);
    }
};

/// Appends the encoded packet.
template <class Packet>
void put(std::string& to, const Packet& packet, tern::protocol_version version) {
    const std::size_t size = *tern::encoded_size(packet, version);
    const std::size_t before = to.size();
    to.resize(before + size);
    (void)tern::encode(packet, version, std::span(to).subspan(before));
}

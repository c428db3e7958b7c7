// The events of a connection as sentences, for logs. `tern/format.hpp` and the log of a client print the same ones.
//
// Text from the network is quoted, and cannot control a terminal or begin a line. No sentence contains a password.
#pragma once

#include "tern/detail/escape.hpp"
#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/session/event.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern {

constexpr std::string_view to_string(connection_change change) noexcept {
    constexpr std::string_view names[] = {"connecting",
                                          "connected",
                                          "disconnected",
                                          "retrying",
                                          "stopped",
                                          "subscription refused",
                                          "answer late",
                                          "message skipped",
                                          "message invalid",
                                          "window exhausted",
                                          "client id not assigned",
                                          "redirect ignored"};
    const auto index = static_cast<unsigned>(change);
    return index < std::size(names) ? names[index] : "unknown change";
}

constexpr std::string_view to_string(connection_phase phase) noexcept {
    constexpr std::string_view names[] = {"preparing", "resolving", "connecting", "securing",
                                          "upgrading", "handshake", "connected"};
    const auto index = static_cast<unsigned>(phase);
    return index < std::size(names) ? names[index] : "unknown phase";
}

constexpr std::string_view to_string(connection_end end) noexcept {
    constexpr std::string_view names[] = {"user", "broker", "violation", "timeout", "transport"};
    const auto index = static_cast<unsigned>(end);
    return index < std::size(names) ? names[index] : "unknown end";
}

namespace detail {

/// A sentence about an event.
class event_text {
public:
    /// The event's name, then what its members say about it.
    TERN_COLD void add(const connection_event_view& e) {
        add(to_string(e.change));
        add_details(e);
        if (e.error) {
            add(", ");
            append_escaped(text_, e.error.message());
        }
        add_quoted(", reason ", e.reason_string);
        add_quoted(", server reference ", e.server_reference);
    }
    TERN_COLD void add_place(std::string_view host, std::uint16_t port) {
        append_quoted(text_, host, shown_text_limit);
        if (port != 0) add(" port ").add_number(port);
    }
    event_text& add(std::string_view text) {
        text_ += text;
        return *this;
    }
    /// Adds both, unless the second one is empty.
    TERN_COLD void add_quoted(std::string_view what, std::string_view text) {
        if (text.empty()) return;
        add(what);
        append_quoted(text_, text, shown_text_limit);
    }

    std::string take() noexcept { return std::move(text_); }

private:
    template <class Number>
    event_text& add_number(Number number) {
        return add(std::to_string(number));
    }

    TERN_COLD void add_details(const connection_event_view& e) {
        switch (e.change) {
        case connection_change::connecting:
            add(" to ").add_place(e.host, e.port);
            add(", attempt ").add_number(e.attempt);
            break;
        case connection_change::connected:
            add(" to ").add_place(e.host, e.port);
            if (e.session_present) add(", session present");
            break;
        case connection_change::disconnected:
            if (e.phase == connection_phase::handshake)
                add(" during the handshake");
            else
                add(" while ").add(to_string(e.phase));
            break;
        case connection_change::retrying: add(" in ").add_number(e.delay.count()).add(" ms"); break;
        case connection_change::message_skipped:
            add_quoted(" ", e.filter);
            add(" (").add_number(e.packet_bytes).add(" bytes)");
            break;
        case connection_change::message_invalid:
        case connection_change::subscription_refused: add_quoted(" ", e.filter); break;
        case connection_change::answer_late:
        case connection_change::client_id_not_assigned:
        case connection_change::redirect_ignored:
        case connection_change::window_exhausted:
        case connection_change::stopped: break;
        }
    }

    std::string text_;
};

} // namespace detail

/// Describes the event in one line, such as `connecting to "localhost" port 1883, attempt 1` or
/// `disconnected while connected, End of file`.
TERN_COLD inline std::string to_string(const connection_event_view& e) {
    detail::event_text text;
    text.add(e);
    return text.take();
}
TERN_COLD inline std::string to_string(const connection_event& e) {
    return to_string(e.view());
}

} // namespace tern

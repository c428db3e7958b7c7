// The lines of a client's log:
//
//     client "sensor-1" at "broker.example" port 1883: disconnected while connected, End of file
//
// The endpoint is that of the present attempt or connection, or else of the last one.
#pragma once

#include "tern/client/detail/delivery/event_log.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/log_level.hpp"
#include "tern/detail/declare.hpp"
#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/session/event.hpp"
#include "tern/session/event_text.hpp"

#include <asio/error.hpp>

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

/// Whether the application has requested the end that this error reports. Not every version of Asio maps its
/// `operation_aborted` to `std::errc::operation_canceled`.
inline bool is_requested_end(const std::error_code& error) noexcept {
    return !error || error == errc::disconnected || error == asio::error::operation_aborted ||
           error == std::errc::operation_canceled;
}

inline log_level level_of(const connection_event_view& e) noexcept {
    switch (e.change) {
    case connection_change::connecting: return log_level::debug;
    case connection_change::connected:
    case connection_change::retrying: return log_level::info;
    case connection_change::disconnected: return is_requested_end(e.error) ? log_level::info : log_level::warning;
    case connection_change::stopped: return is_requested_end(e.error) ? log_level::info : log_level::error;
    case connection_change::subscription_refused:
    case connection_change::answer_late:
    case connection_change::message_skipped:
    case connection_change::message_invalid:
    case connection_change::window_exhausted:
    case connection_change::client_id_not_assigned:
    case connection_change::redirect_ignored: break;
    }
    return log_level::warning;
}

class event_log_lines final : public event_log, public std::enable_shared_from_this<event_log_lines> {
public:
    TERN_COLD void set(log_level minimum, log_function function) override {
        auto fresh = function ? std::make_shared<log_function>(std::move(function)) : nullptr;
        minimum_ = minimum;
        function_.swap(fresh); // what it replaces is destroyed last, because it may own the client
    }

    TERN_COLD operation* line_about(const connection_event_view& e, std::string_view client_id,
                                    const endpoint& target) noexcept override {
        try {
            remember_place(e, target);
            const log_level level = level_of(e);
            if (!function_ || level < minimum_) return nullptr;
            return new line(shared_from_this(), level, text_of(e, client_id));
        } catch (const std::bad_alloc&) {
            return nullptr;
        }
    }

private:
    struct line final : operation {
        line(std::shared_ptr<event_log_lines> log, log_level l, std::string t) noexcept
            : owner(std::move(log))
            , level(l)
            , text(std::move(t)) {
            finish = &line::write;
        }
        static void write(operation* base, finish_action action) {
            const std::unique_ptr<line> self(static_cast<line*>(base));
            const auto function = self->owner->function_; // it may set another one
            if (function && action == finish_action::call_handler) (*function)(self->level, self->text);
        }

        std::shared_ptr<event_log_lines> owner;
        log_level level;
        std::string text;
    };

    // Not every event has an endpoint.
    TERN_COLD void remember_place(const connection_event_view& e, const endpoint& target) {
        if (!e.host.empty()) {
            host_ = e.host;
            port_ = e.port;
        } else if (host_.empty()) {
            host_ = is_unix_socket(target) ? target.path : target.host;
            port_ = is_unix_socket(target) ? std::uint16_t{0} : target.port;
        }
    }

    TERN_COLD std::string text_of(const connection_event_view& e, std::string_view client_id) const {
        event_text text;
        if (client_id.empty())
            text.add("client without identifier");
        else
            text.add_quoted("client ", client_id);
        text.add(" at ").add_place(host_, port_);
        text.add(": ").add(e);
        return text.take();
    }

    log_level minimum_ = log_level::info;
    std::shared_ptr<log_function> function_;
    std::string host_; // or the path of a Unix socket
    std::uint16_t port_ = 0;
};

TERN_DECLARE std::shared_ptr<event_log> make_event_log() {
    return std::make_shared<event_log_lines>();
}

} // namespace tern::detail

// What follows the connection of a router's client: requesters, and states that the client publishes.
#pragma once

#include "tern/client/message_sink.hpp"
#include "tern/session/event.hpp"

#include <string_view>
#include <system_error>

namespace tern::detail {

/// An object that follows the client's connection, such as a requester.
class router_listener {
public:
    router_listener() = default;
    router_listener(const router_listener&) = delete;
    router_listener& operator=(const router_listener&) = delete;

    /// Only notes what has happened: the client is not ready for requests.
    virtual void on_event(const connection_event_view& event) noexcept = 0;
    /// A filter that `renew` has requested is granted, or refused.
    virtual void on_renewed(std::string_view filter, std::error_code error) noexcept = 0;
    virtual void on_client_end(client_end end) noexcept = 0;
    /// The pump runs. It follows each event.
    virtual void on_pump() = 0;

protected:
    ~router_listener() = default;
};

} // namespace tern::detail

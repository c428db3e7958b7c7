// The first bytes of servers that speak another protocol than MQTT.
#pragma once

#include "tern/error.hpp"

#include <string_view>

namespace tern::detail {

/// What servers of other protocols send first. None of it begins a packet.
struct foreign_answer {
    std::string_view beginning;
    errc error;
};
inline constexpr foreign_answer foreign_answers[] = {
    {"HTTP/", errc::http_answer},
    {"SSH-", errc::ssh_answer},
    {"\x15\x03", errc::tls_answer}, // an alert
    {"\x16\x03", errc::tls_answer}, // a handshake
};

} // namespace tern::detail

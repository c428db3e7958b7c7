// The result of connecting.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/message.hpp"

namespace tern {

/// The broker's CONNACK. It owns its contents.
struct connect_result : owned<connack> {
    using connack::properties;
    using connack::reason_code;
    using connack::session_present;
    using owned::owned;
};

} // namespace tern

// The result of connecting.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/message.hpp"

namespace tern {

/// The broker's CONNACK. It owns its contents.
struct connect_result : owned<connack> {
    using owned::owned;
};

} // namespace tern

// What connecting gives.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/message.hpp"

namespace tern {

/// The broker's CONNACK; owns what it holds.
struct connect_result : owned<connack> {
    using owned::owned;
};

} // namespace tern

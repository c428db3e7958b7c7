// The type of a client's transport.
#pragma once

#include "tern/fwd.hpp"

namespace tern::detail {

/// The transport of a client, rebound to its executor. For those of the compiled form a declaration suffices.
template <class Transport, class Executor>
struct rebound_transport {
    using type = typename Transport::template rebind_executor<Executor>::other;
};
template <class Other, class Executor>
struct rebound_transport<basic_tcp<Other>, Executor> {
    using type = basic_tcp<Executor>;
};
template <class Other, class Executor>
struct rebound_transport<basic_any_transport<Other>, Executor> {
    using type = basic_any_transport<Executor>;
};

} // namespace tern::detail

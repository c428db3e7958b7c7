// The lifetime of an engine, and the work that it has on its executor.
//
//     idle --connect--> alive --stopped--> idle
//     each of these --the client is destroyed--> destroyed
//     each of these --the execution context is shut down--> context_shut_down
#pragma once

#include "tern/detail/inline.hpp"

#include <asio/execution/outstanding_work.hpp>
#include <asio/prefer.hpp>

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace tern::detail {

enum class lifetime : std::uint8_t {
    idle,              ///< No connection is requested.
    alive,             ///< A run is in progress, with or without a connection.
    destroyed,         ///< The client is destroyed. Operations of the transport keep the engine alive.
    context_shut_down, ///< The executor no longer calls handlers.
};

/// The executor has outstanding work while an operation is pending, and during a run.
template <class Executor>
class outstanding_work {
public:
    template <class Owner>
    TERN_INLINE void update(lifetime l, bool is_pending, Owner& owner) noexcept {
        if (l != lifetime::alive && !is_pending)
            end();
        else if (!work_ && l != lifetime::context_shut_down)
            begin(owner.get_executor());
    }
    TERN_COLD void end() noexcept { work_.reset(); }

private:
    using work =
        std::decay_t<decltype(asio::prefer(std::declval<Executor>(), asio::execution::outstanding_work.tracked))>;

    TERN_COLD void begin(const Executor& executor) noexcept {
        work_.emplace(asio::prefer(executor, asio::execution::outstanding_work.tracked));
    }

    std::optional<work> work_;
};

} // namespace tern::detail

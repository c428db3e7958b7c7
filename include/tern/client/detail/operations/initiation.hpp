// The initiation of an operation: a completion token calls it when the operation is to start.
#pragma once

#include "tern/client/detail/operations/handler_operation.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/owned_arguments.hpp"

#include <type_traits>
#include <utility>

namespace tern::detail {

/// Begins an operation with the function `Begin` of the engine.
template <class Engine, auto Begin, class... Result>
struct initiation {
    using executor_type = typename Engine::executor_type;
    executor_type get_executor() const noexcept { return engine->get_executor(); }

    template <class Handler, class... Argument>
    void operator()(Handler&& handler, const Argument&... arguments) const {
        using started = handler_operation<std::decay_t<Handler>, executor_type, Result...>;
        if constexpr (started::has_immediate_executor) {
            begin_at_once<started>(std::forward<Handler>(handler), arguments...);
        } else {
            const auto inside = engine->enter_for_request(); // nothing may fail once the engine has the operation
            (engine->*Begin)(started::make(std::forward<Handler>(handler), *engine), to_start(arguments)...);
        }
    }

    // If the operation completes now, this calls its handler, which may destroy the client.
    template <class Operation, class Handler, class... Argument>
    void begin_at_once(Handler&& handler, const Argument&... arguments) const {
        const auto alive = engine->shared_from_this();
        const auto inside = engine->enter_for_request();
        auto op = Operation::make(std::forward<Handler>(handler), *engine);
        auto* const begun = op.get();
        begun->where = location::initiating;
        (engine->*Begin)(std::move(op), to_start(arguments)...);
        if (!begun->has_ended()) return;
        engine->hand_over(begun);
        Operation::deliver_at_once(begun, engine->get_executor());
    }

    Engine* engine;
};

} // namespace tern::detail

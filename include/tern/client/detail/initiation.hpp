// The start of an operation.
#pragma once

#include "tern/client/detail/engine_base.hpp"
#include "tern/client/detail/operations/handler_operation.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/owned_arguments.hpp"

#include <type_traits>
#include <utility>

namespace tern::detail {

/// Starts an operation when the completion token requests it. `Begin` is the function of the engine.
template <class Executor, auto Begin, class... Result>
struct initiation {
    using executor_type = Executor;
    executor_type get_executor() const noexcept { return engine->get_executor(); }

    template <class Handler, class... Argument>
    void operator()(Handler&& handler, const Argument&... arguments) const {
        using operation_type = handler_operation<std::decay_t<Handler>, Executor, Result...>;
        if constexpr (operation_type::has_immediate_executor) {
            begin_at_once<operation_type>(std::forward<Handler>(handler), arguments...);
        } else {
            const auto inside = engine->enter_for_request(); // nothing may fail once the engine has the operation
            (engine->*Begin)(operation_type::make(std::forward<Handler>(handler), *engine), to_start(arguments)...);
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

    engine_base<Executor>* engine;
};

} // namespace tern::detail

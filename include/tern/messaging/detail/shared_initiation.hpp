// How a call of a shared client becomes a request in its queue.
#pragma once

#include "tern/detail/fields.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/messaging/detail/shared_core.hpp"
#include "tern/messaging/detail/shared_operation.hpp"
#include "tern/messaging/detail/shared_starts.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"

#include <asio/async_result.hpp>
#include <asio/dispatch.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern::detail {

/// A completion token for an operation with an error and a result.
template <class Token, class... Result>
concept token_of = token_for<Token, void(std::error_code, Result...)>;

/// A message that owns its contents.
template <class T>
concept owning_message = std::derived_from<std::remove_cvref_t<T>, message>;

template <class Core, class Handler, class Start, class... Result>
using shared_operation_for = shared_operation<Core, std::decay_t<Handler>, Start, Result...>;

/// Starts an operation when the completion token requests it. `Start` is made from the arguments, and copies them.
template <class Core, class Start, class... Result>
struct shared_initiation {
    using executor_type = typename Core::default_executor;
    executor_type get_executor() const noexcept { return core->get_default_executor(); }

    template <class Handler, class... Argument>
    void operator()(Handler&& handler, Argument&&... arguments) const {
        using op_type = shared_operation_for<Core, Handler, Start, Result...>;
        if constexpr (std::is_constructible_v<Start, Core&, Argument...>)
            core->push(op_type::make(*core, std::forward<Handler>(handler),
                                     Start(*core, std::forward<Argument>(arguments)...)));
        else
            core->push(
                op_type::make(*core, std::forward<Handler>(handler), Start(std::forward<Argument>(arguments)...)));
    }

    Core* core;
};

/// Starts an operation when the completion token requests it: `Start` is made from copies of the arguments.
template <class Start, class... Result, class Core, class Token, class... Argument>
auto start_shared(Core& core, Token& token, Argument&&... arguments) {
    return asio::async_initiate<Token, void(std::error_code, Result...)>(
        shared_initiation<Core, Start, Result...>{&core}, token, std::forward<Argument>(arguments)...);
}
/// Starts an operation of the client: `begin(client, handler)`.
template <class... Result, class Core, class Token, class F>
auto begin_shared(Core& core, Token& token, F begin) {
    return start_shared<start_operation<F>, Result...>(core, token, std::move(begin));
}
/// Completes with the result of a function of the core.
template <class Result, class Core, class Token, class F>
auto read_shared(Core& core, Token& token, F read) {
    return start_shared<start_call<F>, Result>(core, token, std::move(read));
}
/// Calls a function with the core, on the strand. Nothing waits for it.
template <class Core, class F>
void call_shared(Core& core, F f) {
    using request = core_call<Core, F>;
    core.push(request_ptr<typename Core::request>(new request(std::move(f))));
}

/// The same for a function that is called with the client.
template <class Core, class... Result>
struct shared_call_initiation {
    using executor_type = typename Core::default_executor;
    executor_type get_executor() const noexcept { return core->get_default_executor(); }

    template <class Handler, class F>
    void operator()(Handler&& handler, F&& f) const {
        auto call = [function = std::decay_t<F>(std::forward<F>(f))](Core& c) mutable { return function(c.client()); };
        using begin = start_call<decltype(call)>;
        using op_type = shared_operation_for<Core, Handler, begin, Result...>;
        core->push(op_type::make(*core, std::forward<Handler>(handler), begin(std::move(call))));
    }

    Core* core;
};

/// The signature of a call of `F`, and its initiation.
template <class Core, class F, class Result = std::decay_t<std::invoke_result_t<F&, typename Core::client_type&>>>
struct shared_call {
    using signature = void(std::error_code, Result);
    using initiation = shared_call_initiation<Core, Result>;
};
template <class Core, class F>
struct shared_call<Core, F, void> {
    using signature = void(std::error_code);
    using initiation = shared_call_initiation<Core>;
};

/// A completion token for the call of a function with the client.
template <class Token, class F, class Core>
concept token_of_call =
    std::invocable<F&, typename Core::client_type&> && token_for<Token, typename shared_call<Core, F>::signature>;

/// The same for a message.
template <class Core>
struct shared_publish_initiation {
    using executor_type = typename Core::default_executor;
    executor_type get_executor() const noexcept { return core->get_default_executor(); }

    template <class Handler>
    void operator()(Handler&& handler, const message_view& message, const publish_options& options) const {
        const errc invalid = check_queued(message);
        if (invalid == errc::none && is_unset(message.properties)) {
            using op_type = shared_operation_for<Core, Handler, start_publish, acknowledgement>;
            core->publish(op_type::make(*core, std::forward<Handler>(handler), {}), message, options);
            return;
        }
        const std::size_t bytes = Core::packet_bytes(message);
        using op_type = shared_operation_for<Core, Handler, start_owned_publish, acknowledgement>;
        request_ptr<typename Core::request> request =
            op_type::make(*core, std::forward<Handler>(handler), {tern::message(message), options, bytes});
        if (invalid != errc::none)
            request.release()->refuse(misuse(invalid));
        else if (!core->publish_owned(request, bytes, waiter::operation))
            request.release()->refuse(misuse(errc::queue_full));
    }
    template <class Handler>
    void operator()(Handler&& handler, const message& message, const publish_options& options) const {
        (*this)(std::forward<Handler>(handler), message.view(), options);
    }

    Core* core;
};

/// Queues a message with properties, for which nothing waits.
template <class Core>
TERN_COLD std::error_code try_publish_owned(Core& core, const message_view& message, const publish_options& options) {
    const std::size_t bytes = Core::packet_bytes(message);
    request_ptr<typename Core::request> request(new owned_publish<Core>(message, options, bytes));
    return core.publish_owned(request, bytes, waiter::none) ? std::error_code() : misuse(errc::queue_full);
}

} // namespace tern::detail

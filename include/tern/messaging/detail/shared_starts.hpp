// How the operations of a shared client start on its strand. Each start owns all that it needs.
#pragma once

#include "tern/client/event_position.hpp"
#include "tern/client/received_message.hpp"
#include "tern/codec/control.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/messaging/detail/shared_core.hpp"
#include "tern/messaging/detail/shared_inbox.hpp"
#include "tern/messaging/detail/shared_operation.hpp"
#include "tern/messaging/detail/stored_requests.hpp"
#include "tern/session/event.hpp"
#include "tern/session/filter_list.hpp"
#include "tern/session/options.hpp"
#include "tern/session/owned_connect_options.hpp"
#include "tern/session/subscription_list.hpp"

#include <asio/cancellation_type.hpp>
#include <asio/error.hpp>

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern::detail {

/// Begins an operation of the client: `call(client, handler)`.
template <class Call>
class start_operation {
public:
    explicit start_operation(Call call) : call_(std::move(call)) {}

    template <class Core, class Operation>
    void operator()(Core& core, Operation& op, const message_view&, const publish_options&) {
        op.begin([&](auto handler) { call_(core.client(), std::move(handler)); });
    }

private:
    Call call_;
};

/// Connects. From then on the limits of the client's queue apply to all messages that wait.
class start_connect {
public:
    explicit start_connect(const connect_options& options) : options_(options) {}
    explicit start_connect(owned_connect_options options) : options_(std::move(options)) {}

    template <class Core, class Operation>
    void operator()(Core& core, Operation& op, const message_view&, const publish_options&) {
        core.set_limits(options_.view().queue);
        op.begin([&](auto handler) { core.client().async_connect(options_.view(), std::move(handler)); });
    }

private:
    owned_connect_options options_;
};

/// Disconnects.
class start_disconnect {
public:
    explicit start_disconnect(const disconnect& packet)
        : reason_code_(packet.reason_code)
        , properties_(store_properties(packet.properties)) {}

    template <class Core, class Operation>
    void operator()(Core& core, Operation& op, const message_view&, const publish_options&) {
        const disconnect packet{.reason_code = reason_code_, .properties = properties_.view()};
        op.begin([&](auto handler) { core.client().async_disconnect(packet, std::move(handler)); });
    }

private:
    tern::reason_code reason_code_;
    stored_properties<disconnect_properties> properties_;
};

/// Subscribes.
class start_subscribe {
public:
    start_subscribe(const subscription& one, const subscribe_options& options)
        : start_subscribe(std::span<const subscription>(&one, 1), options) {}
    start_subscribe(std::span<const subscription> several, const subscribe_options& options)
        : start_subscribe(subscription_list(several), options) {}
    start_subscribe(subscription_list list, const subscribe_options& options)
        : list_(std::move(list))
        , properties_(store_properties(options.properties))
        , timeout_(options.timeout) {}

    template <class Core, class Operation>
    void operator()(Core& core, Operation& op, const message_view&, const publish_options&) {
        const subscribe_options options{.properties = properties_.view(), .timeout = timeout_};
        op.begin([&](auto handler) { core.client().async_subscribe(list_.view(), options, std::move(handler)); });
    }

private:
    subscription_list list_;
    stored_properties<subscribe_properties> properties_;
    std::chrono::milliseconds timeout_;
};

/// Unsubscribes.
class start_unsubscribe {
public:
    start_unsubscribe(std::string_view filter, const unsubscribe_options& options)
        : start_unsubscribe(std::span<const std::string_view>(&filter, 1), options) {}
    start_unsubscribe(std::span<const std::string_view> filters, const unsubscribe_options& options)
        : start_unsubscribe(filter_list(filters), options) {}
    start_unsubscribe(filter_list filters, const unsubscribe_options& options)
        : filters_(std::move(filters))
        , properties_(store_properties(options.properties))
        , timeout_(options.timeout) {}

    template <class Core, class Operation>
    void operator()(Core& core, Operation& op, const message_view&, const publish_options&) {
        const unsubscribe_options options{.properties = properties_.view(), .timeout = timeout_};
        op.begin([&](auto handler) { core.client().async_unsubscribe(filters_.view(), options, std::move(handler)); });
    }

private:
    filter_list filters_;
    stored_properties<unsubscribe_properties> properties_;
    std::chrono::milliseconds timeout_;
};

/// Publishes the message of its record.
struct start_publish {
    template <class Core, class Operation>
    void operator()(Core& core, Operation& op, const message_view& message, const publish_options& options) {
        op.begin([&](auto handler) { core.client().async_publish(message, options, std::move(handler)); });
    }
};

/// Publishes a message with properties, which does not fit into a record.
struct start_owned_publish {
    message owned;
    publish_options options;
    std::size_t bytes;

    template <class Core, class Operation>
    void operator()(Core& core, Operation& op, const message_view&, const publish_options&) {
        core.count_processed(bytes);
        op.begin([&](auto handler) { core.client().async_publish(owned.view(), options, std::move(handler)); });
    }
};

/// The same without an operation.
template <class Core>
class owned_publish final : public shared_request<Core> {
public:
    owned_publish(const message_view& message, const publish_options& options, std::size_t bytes)
        : start_{tern::message(message), options, bytes} {}

    void start(Core& core, const message_view&, const publish_options&) override {
        const std::unique_ptr<owned_publish> self(this);
        core.count_processed(start_.bytes);
        core.publish(start_.owned.view(), start_.options);
    }
    void refuse(std::error_code) override { delete this; }
    void discard() noexcept override { delete this; }

private:
    start_owned_publish start_;
};

/// Calls a function with the core. Nothing waits for it.
template <class Core, class F>
class core_call final : public shared_request<Core> {
public:
    explicit core_call(F f) : f_(std::move(f)) {}

    void start(Core& core, const message_view&, const publish_options&) override {
        const std::unique_ptr<core_call> self(this);
        f_(core);
    }
    void refuse(std::error_code) override { delete this; }
    void discard() noexcept override { delete this; }

private:
    F f_;
};

/// Calls a function with the core, and finishes with its result.
template <class F>
class start_call {
public:
    explicit start_call(F f) : f_(std::move(f)) {}

    template <class Core, class Operation>
    void operator()(Core& core, Operation& op, const message_view&, const publish_options&) {
        request_ptr<Operation> owner(&op); // in case the function throws
        if constexpr (std::is_void_v<std::invoke_result_t<F&, Core&>>) {
            f_(core);
            owner.release()->finish({});
        } else {
            auto result = f_(core);
            owner.release()->finish({}, std::move(result));
        }
    }

private:
    F f_;
};

/// Waits for the event after a listener's position, which advances just before the handler is called.
class start_next_event {
public:
    explicit start_next_event(event_position* target) : target_(target), position_(*target) {}

    template <class Core, class Operation>
    void operator()(Core& core, Operation& op, const message_view&, const publish_options&) {
        op.begin([&](auto handler) { core.client().async_next_event(position_, std::move(handler)); });
    }
    void before_handler(std::tuple<std::error_code, connection_event>& result, delivery_state state) {
        if (std::get<0>(result)) return;
        if (state == delivery_state::wanted)
            *target_ = position_;
        else
            result = {asio::error::operation_aborted, connection_event()};
    }

private:
    event_position* target_;
    event_position position_;
};

/// Waits for one message, or with `std::size_t` for several. They go back if the handler is cancelled while they are on
/// their way to it.
template <class Core, class Result>
class start_receive : private waiting_receive {
    static constexpr bool is_batch = std::is_same_v<Result, std::size_t>;

public:
    explicit start_receive(Core& core, std::span<received_message> into = {}) : core_(core.weak_from_this()) {
        target = into;
    }

    template <class Operation>
    void operator()(Core& core, Operation& op, const message_view&, const publish_options&) {
        if constexpr (!is_batch) target = {&message_, 1};
        if (target.empty()) return op.refuse(misuse(errc::invalid_argument));
        operation_ = &op;
        complete = &start_receive::template complete_operation<Operation>;
        if (auto slot = op.cancellation_slot(); slot.is_connected())
            slot.assign([&core, this](asio::cancellation_type) { core.inbox().cancel(this); });
        core.inbox().add(this);
    }
    void before_handler(std::tuple<std::error_code, Result>& result, delivery_state state) {
        if (std::get<0>(result) || state == delivery_state::wanted) return;
        auto alive = core_.lock();
        if (!alive) return;
        const shared_owner owner(std::move(alive)); // this is not the strand
        std::vector<received_message> taken;
        if constexpr (is_batch) {
            const auto used = target.first(std::get<1>(result));
            taken.assign(std::make_move_iterator(used.begin()), std::make_move_iterator(used.end()));
        } else {
            taken.push_back(std::move(std::get<1>(result)));
        }
        // A call like others, so that the next receive operation finds the messages.
        auto call = [messages = std::move(taken)](Core& c) mutable { c.inbox().put_back(std::move(messages)); };
        using request = core_call<Core, decltype(call)>;
        owner.core->push(request_ptr<typename Core::request>(new request(std::move(call))));
        result = {asio::error::operation_aborted, Result()};
    }

private:
    template <class Operation>
    static void complete_operation(waiting_receive* w, std::error_code error, std::size_t count) {
        auto& self = *static_cast<start_receive*>(w);
        auto& op = *static_cast<Operation*>(self.operation_);
        if (auto slot = op.cancellation_slot(); slot.is_connected()) slot.clear();
        if constexpr (is_batch)
            op.finish(error, count);
        else
            op.finish(error, std::move(self.message_));
    }

    struct nothing {};

    std::weak_ptr<Core> core_;
    void* operation_ = nullptr;
    std::conditional_t<is_batch, nothing, received_message> message_;
};

} // namespace tern::detail

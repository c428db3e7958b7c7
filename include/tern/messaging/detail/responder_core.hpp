// The core of a responder: takes requests from the inbox, has them processed, and publishes the responses.
#pragma once

#include "tern/message.hpp"
#include "tern/messaging/detail/router_core.hpp"
#include "tern/messaging/request_options.hpp"
#include "tern/messaging/subscription_inbox.hpp"
#include "tern/messaging/subscription_message.hpp"
#include "tern/payload.hpp"
#include "tern/topic.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>

#include <array>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern::detail {

template <class T>
struct awaited {
    using type = T;
    static constexpr bool is_coroutine = false;
};
#if defined(ASIO_HAS_CO_AWAIT)
template <class T, class Executor>
struct awaited<asio::awaitable<T, Executor>> {
    using type = T;
    static constexpr bool is_coroutine = true;
};
#endif

/// A function that answers a request with a payload, or a coroutine that does.
template <class F>
concept request_handler =
    std::is_invocable_v<F&, const subscription_message&> &&
    std::is_convertible_v<const typename awaited<std::invoke_result_t<F&, const subscription_message&>>::type&,
                          payload_view>;

template <class Client>
class responder_core : public std::enable_shared_from_this<responder_core<Client>> {
    using executor = typename Client::executor_type;
    using inbox = subscription_inbox<executor>;

public:
    responder_core(std::shared_ptr<router_core<Client>> router, inbox i, const responder_options& options)
        : router_(std::move(router))
        , inbox_(std::move(i))
        , options_(options) {
        inbox_.set_acknowledgement(acknowledgement_mode::manual);
    }
    responder_core(const responder_core&) = delete;
    responder_core& operator=(const responder_core&) = delete;
    virtual ~responder_core() = default;

    const executor& get_executor() const noexcept { return router_->executor(); }
    const responder_counters& counters() const noexcept { return counters_; }
    void close() noexcept { inbox_ = {}; }

    /// Takes requests. A callback is no work for the executor.
    void receive() {
        inbox_.set_callback([core = this->weak_from_this()](subscription_message m) {
            if (const auto alive = core.lock()) alive->on_request(std::move(m));
        });
    }
    void answer(subscription_message& request, std::string_view payload) {
        respond(request, {.payload = payload});
        finish(request);
    }
    void fail(subscription_message& request, const std::exception_ptr& thrown) {
        ++counters_.failed;
        std::string text;
        try {
            text = text_of(thrown);
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): an empty text says that there is an error
        }
        const std::array properties{user_property{"error", text}};
        message_view response;
        response.properties.user_properties = properties;
        respond(request, response);
        finish(request);
    }

protected:
    /// Processes a request. `answer` or `fail` follows.
    virtual void process(std::shared_ptr<subscription_message> request) = 0;

private:
    void on_request(subscription_message m) {
        ++counters_.received;
        if (++counters_.running >= options_.concurrency) inbox_.core()->pause_callback();
        std::shared_ptr<subscription_message> request;
        try {
            request = std::make_shared<subscription_message>(std::move(m));
        } catch (const std::bad_alloc&) { // the message was not moved
            return fail(m, std::current_exception());
        }
        process(std::move(request));
    }
    void respond(const subscription_message& request, message_view response) noexcept {
        const auto topic = request.properties.response_topic;
        Client* const client = router_->client();
        if (!topic || !client) {
            ++counters_.unanswered;
            return;
        }
        response.topic = *topic;
        response.qos = request.qos;
        response.properties.correlation_data = request.properties.correlation_data;
        try {
            client->try_publish(response) ? ++counters_.unanswered : ++counters_.answered;
        } catch (const std::bad_alloc&) {
            ++counters_.unanswered;
        }
    }
    void finish(subscription_message& request) {
        --counters_.running;
        request.acknowledge(); // the request comes again if the process ends before
        if (inbox_) inbox_.core()->resume_callback();
    }
    static std::string text_of(const std::exception_ptr& thrown) {
        try {
            std::rethrow_exception(thrown);
        } catch (const std::exception& e) {
            if (check_string(e.what()) == errc::none) return e.what();
        } catch (...) { // NOLINT(bugprone-empty-catch): it has no text
        }
        return "the request could not be processed";
    }

    std::shared_ptr<router_core<Client>> router_;
    inbox inbox_;
    responder_options options_;
    responder_counters counters_;
};

/// With the handler of the application.
template <class Client, class Handler>
class handler_responder final : public responder_core<Client> {
    using awaited_result = awaited<std::invoke_result_t<Handler&, const subscription_message&>>;
    using result = typename awaited_result::type;

public:
    template <class... Argument>
    explicit handler_responder(Handler handler, Argument&&... arguments)
        : responder_core<Client>(std::forward<Argument>(arguments)...)
        , handler_(std::move(handler)) {}

private:
    void process(std::shared_ptr<subscription_message> request) override {
        if constexpr (awaited_result::is_coroutine)
            spawn(std::move(request));
        else
            call(*request);
    }
    void call(subscription_message& request) {
        std::optional<result> response;
        std::exception_ptr thrown;
        try {
            response.emplace(handler_(std::as_const(request)));
        } catch (...) {
            thrown = std::current_exception();
        }
        thrown ? this->fail(request, thrown) : this->answer(request, payload_view(*response).text());
    }
#if defined(ASIO_HAS_CO_AWAIT)
    void spawn(std::shared_ptr<subscription_message> request) {
        const auto self = std::static_pointer_cast<handler_responder>(this->shared_from_this());
        const subscription_message& shown = *request;
        try {
            asio::co_spawn(this->get_executor(), handler_(shown),
                           [self, request](const std::exception_ptr& thrown, const result& response) {
                               thrown ? self->fail(*request, thrown)
                                      : self->answer(*request, payload_view(response).text());
                           });
        } catch (...) {
            this->fail(*request, std::current_exception());
        }
    }
#endif

    Handler handler_;
};

} // namespace tern::detail

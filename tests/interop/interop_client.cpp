#include "interop_client.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <unistd.h>
#include <utility>

namespace interop {
namespace {

// Starts an operation and waits for its handler.
template <class T, class Start>
outcome<T> await_outcome(test_environment& in, std::string_view what, Start start) {
    // The result is shared, because the handler outlives this function if the wait fails.
    const auto result = std::make_shared<std::optional<outcome<T>>>();
    start([result](std::error_code error, T value) { result->emplace(error, std::move(value)); });
    in.until(what, [&] { return result->has_value(); });
    return std::move(**result);
}

template <class Start>
std::error_code await_error(test_environment& in, std::string_view what, Start start) {
    const auto result = std::make_shared<std::optional<std::error_code>>();
    start([result](std::error_code error) { *result = error; });
    in.until(what, [&] { return result->has_value(); });
    return **result;
}

template <class T>
T require(std::string_view what, outcome<T> of) {
    if (of.error) FAIL(what << ": " << of.error.category().name() << ": " << of.error.message());
    return std::move(of.value);
}

} // namespace

test_environment::test_environment(mosquitto& of) : broker_(of) {
    static int count = 0;
    prefix_ = "tern/" + std::to_string(::getpid()) + "-" + std::to_string(++count) + "/";
}

test_environment::~test_environment() {
    if (std::uncaught_exceptions() == 0) return;
    const std::string log = broker_.log();
    std::fprintf(stderr, "the broker's log ends with:\n%s\n",
                 log.substr(log.size() - std::min<std::size_t>(log.size(), 3'000)).c_str());
}

void test_environment::until(std::string_view what, const std::function<bool()>& condition,
                             std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition())
        if (context_.run_one_until(deadline) == 0) FAIL("timed out waiting for " << what);
}

void test_environment::until_true(std::string_view what, const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) FAIL("timed out waiting for " << what);
        context_.run_one_for(2ms);
    }
}

void test_environment::until_logged(std::initializer_list<std::string_view> all_of, std::size_t times) {
    until_true("the broker to log " + std::string{*all_of.begin()},
               [&] { return count_lines(broker_.log(), all_of) >= times; });
}

interop_client::interop_client(test_environment& in, tern::protocol_version version, std::string_view name)
    : environment_(in)
    , id_(in.unique(name))
    , client_(in.context()) {
    options.host = "127.0.0.1";
    options.port = in.port();
    options.version = version;
    options.reconnect.enabled = false; // so that operations end with the connection
}

outcome<tern::connect_result> interop_client::connect() {
    if (!client_) client_.emplace(environment_.context());
    tern::connect_options complete = options;
    if (!complete.client_id.data()) complete.client_id = id_;
    return await_outcome<tern::connect_result>(environment_, "CONNACK",
                                               [&](auto handler) { client_->async_connect(complete, handler); });
}
tern::connect_result interop_client::connects() {
    return require("connect", connect());
}

outcome<tern::acknowledgement> interop_client::publish(const tern::message_view& message) {
    return await_outcome<tern::acknowledgement>(environment_, "the end of a publish",
                                                [&](auto handler) { client_->async_publish(message, handler); });
}
void interop_client::publishes(const tern::message_view& message) {
    require("publish", publish(message));
}

outcome<tern::acknowledgement> interop_client::subscribe(std::span<const tern::subscription> several,
                                                         const tern::subscribe_properties& properties) {
    return await_outcome<tern::acknowledgement>(environment_, "SUBACK", [&](auto handler) {
        client_->async_subscribe(several, {.properties = properties}, handler);
    });
}
tern::acknowledgement interop_client::subscribes(const tern::subscription& one) {
    return require("subscribe", subscribe(std::span(&one, 1)));
}

outcome<tern::acknowledgement> interop_client::unsubscribe(std::span<const std::string_view> several) {
    return await_outcome<tern::acknowledgement>(environment_, "UNSUBACK",
                                                [&](auto handler) { client_->async_unsubscribe(several, handler); });
}

outcome<tern::message> interop_client::receive() {
    return await_outcome<tern::message>(environment_, "a message",
                                        [&](auto handler) { client_->async_receive(handler); });
}
tern::message interop_client::receives() {
    return require("receive", receive());
}

void interop_client::receives_nothing() {
    pings();
    if (const auto message = client_->try_receive())
        FAIL("an unexpected message: " << message->topic << " " << message->payload.substr(0, 100));
}

void interop_client::pings() {
    const std::error_code error =
        await_error(environment_, "PINGRESP", [&](auto handler) { client_->async_ping(handler); });
    if (error) FAIL("ping: " << error.message());
}

void interop_client::disconnects(const tern::disconnect& packet) {
    const std::error_code error =
        await_error(environment_, "the end", [&](auto handler) { client_->async_disconnect(packet, handler); });
    if (error) FAIL("disconnect: " << error.message());
}

void interop_client::watch_end() {
    end_ = std::make_shared<std::error_code>();
    client_->async_receive([to = end_](std::error_code error, const tern::message&) { *to = error; });
}
std::error_code interop_client::end() {
    environment_.until("the end of a connection", [&] { return *end_ != std::error_code{}; });
    CHECK_FALSE(is_connected());
    return *end_;
}

interop_client connected(test_environment& in, tern::protocol_version version, std::string_view name) {
    interop_client result(in, version, name);
    result.connects();
    return result;
}

tern::connect_properties keep_session(tern::protocol_version version) {
    tern::connect_properties properties;
    if (version == v5) properties.session_expiry_interval = std::chrono::seconds{60};
    return properties;
}

} // namespace interop

// Clients of a real broker with blocking operations. A test fails with a description of the missing event if a wait
// takes longer than `timeout`.
#pragma once

#include "catch.hpp"
#include "process.hpp"
#include "tern/client/client.hpp"

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace interop {

using namespace std::chrono_literals;
using tern::qos;
using enum tern::protocol_version;

inline constexpr std::chrono::seconds timeout{20};

/// The error code and the result of an operation.
template <class T>
struct outcome {
    std::error_code error = {};
    T value = {};
};

/// The objects that the clients of one test share: a broker, an executor and names that no other test uses.
class test_environment {
public:
    explicit test_environment(mosquitto& of = broker());
    ~test_environment(); // prints the broker's log if the test failed
    test_environment(const test_environment&) = delete;
    test_environment& operator=(const test_environment&) = delete;

    asio::io_context& context() { return context_; }
    std::uint16_t port() const { return broker_.port(); }

    /// A topic, filter or client identifier that no other test uses.
    std::string unique(std::string_view name) const { return prefix_ + std::string{name}; }

    /// Runs handlers until the condition holds.
    void until(std::string_view what, const std::function<bool()>& condition,
               std::chrono::milliseconds limit = timeout);

    /// The same for a condition that no handler changes. It is polled.
    void until_true(std::string_view what, const std::function<bool()>& condition);

    /// Runs until the broker has logged at least `times` lines that contain each of these strings.
    void until_logged(std::initializer_list<std::string_view> all_of, std::size_t times = 1);

private:
    mosquitto& broker_;
    std::string prefix_;
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
};

/// One client. Functions in the third person, such as `connects`, require success. Those in the imperative, such as
/// `connect`, return the outcome.
class interop_client {
public:
    interop_client(test_environment& in, tern::protocol_version version, std::string_view name);

    /// The options of the next connect. A test may change them.
    tern::connect_options options;

    tern::client& client() { return *client_; }
    const std::string& id() const { return id_; }
    bool is_connected() const { return client_->is_connected(); }

    outcome<tern::connect_result> connect();
    tern::connect_result connects();

    outcome<tern::acknowledgement> publish(const tern::message_view& message);
    void publishes(const tern::message_view& message);

    outcome<tern::acknowledgement> subscribe(std::span<const tern::subscription> several,
                                             const tern::subscribe_properties& properties = {});
    tern::acknowledgement subscribes(const tern::subscription& one);

    outcome<tern::acknowledgement> unsubscribe(std::span<const std::string_view> several);

    outcome<tern::message> receive();
    tern::message receives();

    /// Requires that no message has arrived or is in flight. The broker sends PINGRESP after all earlier messages.
    void receives_nothing();

    void pings();
    void disconnects(const tern::disconnect& packet = {});

    /// Closes the connection without DISCONNECT.
    void cuts() { client_.reset(); }

    /// Starts an operation that ends with the connection.
    void watch_end();
    /// Waits for the end of the connection and returns its cause.
    std::error_code end();

private:
    test_environment& environment_;
    std::string id_;
    std::optional<tern::client> client_;
    std::shared_ptr<std::error_code> end_;
};

/// Makes a interop_client and connects it.
interop_client connected(test_environment& in, tern::protocol_version version, std::string_view name);

/// Properties with which the session outlives its connection (5.0).
tern::connect_properties keep_session(tern::protocol_version version);

} // namespace interop

// Defines a test case for each version. `ids_...` are the statements of the standards that it verifies.
#define INTEROP_CASE_BOTH(run, title, ids_3_1_1, ids_5)                                                                \
    TEST_CASE("3.1.1: " title " " ids_3_1_1) {                                                                         \
        run(tern::protocol_version::v3_1_1);                                                                           \
    }                                                                                                                  \
    TEST_CASE("5.0: " title " " ids_5) {                                                                               \
        run(tern::protocol_version::v5);                                                                               \
    }

// Defines a test case for each version and QoS.
#define INTEROP_CASE_ALL(run, title, ids_3_1_1, ids_5)                                                                 \
    TEST_CASE("3.1.1 QoS 0: " title " " ids_3_1_1) {                                                                   \
        run(tern::protocol_version::v3_1_1, tern::qos{0});                                                             \
    }                                                                                                                  \
    TEST_CASE("3.1.1 QoS 1: " title " " ids_3_1_1) {                                                                   \
        run(tern::protocol_version::v3_1_1, tern::qos{1});                                                             \
    }                                                                                                                  \
    TEST_CASE("3.1.1 QoS 2: " title " " ids_3_1_1) {                                                                   \
        run(tern::protocol_version::v3_1_1, tern::qos{2});                                                             \
    }                                                                                                                  \
    TEST_CASE("5.0 QoS 0: " title " " ids_5) {                                                                         \
        run(tern::protocol_version::v5, tern::qos{0});                                                                 \
    }                                                                                                                  \
    TEST_CASE("5.0 QoS 1: " title " " ids_5) {                                                                         \
        run(tern::protocol_version::v5, tern::qos{1});                                                                 \
    }                                                                                                                  \
    TEST_CASE("5.0 QoS 2: " title " " ids_5) {                                                                         \
        run(tern::protocol_version::v5, tern::qos{2});                                                                 \
    }

// Clients of a real broker, whose operations are waited for in place. No wait takes longer than `patience`:
// then the test fails and says what for it waited.
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

inline constexpr std::chrono::seconds patience{20};

/// How an operation ended.
template <class T>
struct answer {
    std::error_code error = {};
    T value = {};
};

/// What the clients of one test share: a broker, an executor and names that no other test uses.
class test_environment {
public:
    explicit test_environment(mosquitto& of = broker());
    ~test_environment(); // tells what the broker said, if the test failed
    test_environment(const test_environment&) = delete;
    test_environment& operator=(const test_environment&) = delete;

    asio::io_context& context() { return context_; }
    std::uint16_t port() const { return broker_.port(); }

    /// A topic, filter or client identifier of this test alone.
    std::string unique(std::string_view name) const { return prefix_ + std::string{name}; }

    /// Runs until it is so.
    void until(std::string_view what, const std::function<bool()>& is_so,
               std::chrono::milliseconds timeout = patience);

    /// The same for what no handler tells: it is looked at again and again.
    void until_true(std::string_view what, const std::function<bool()>& is_so);

    /// Runs until the broker has logged so many lines that contain all of these.
    void until_logged(std::initializer_list<std::string_view> all_of, std::size_t times = 1);

private:
    mosquitto& broker_;
    std::string prefix_;
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
};

/// One client. The functions that are named like `connects` require success, those like `connect` do not.
class interop_client {
public:
    interop_client(test_environment& in, tern::protocol_version version, std::string_view name);

    /// What it connects with, to be changed.
    tern::connect_options options;

    tern::client& client() { return *client_; }
    const std::string& id() const { return id_; }
    bool is_connected() const { return client_->is_connected(); }

    answer<tern::connect_result> connect();
    tern::connect_result connects();

    answer<tern::acknowledgement> publish(const tern::message_view& message);
    void publishes(const tern::message_view& message);

    answer<tern::acknowledgement> subscribe(std::span<const tern::subscription> several,
                                            const tern::subscribe_properties& properties = {});
    tern::acknowledgement subscribes(const tern::subscription& one);

    answer<tern::acknowledgement> unsubscribe(std::span<const std::string_view> several);

    answer<tern::message> receive();
    tern::message receives();

    /// Requires that no message is there or on its way: the broker answers PINGREQ after all that it sent
    /// before.
    void receives_nothing();

    void pings();
    void disconnects(const tern::disconnect& packet = {});

    /// Ends the connection without DISCONNECT.
    void cuts() { client_.reset(); }

    /// Begins to wait for the end of the connection.
    void watch_end();
    /// Waits for the end of the connection, and tells why it came.
    std::error_code end();

private:
    test_environment& environment_;
    std::string id_;
    std::optional<tern::client> client_;
    std::shared_ptr<std::error_code> end_;
};

/// A client that is connected.
interop_client connected(test_environment& in, tern::protocol_version version, std::string_view name);

/// The properties with which a session outlives its connection, in 5.0.
tern::connect_properties keep_session(tern::protocol_version version);

} // namespace interop

// A test case for both versions, with the statements of each that it shows.
#define INTEROP_CASE_BOTH(run, title, ids_3_1_1, ids_5)                                                      \
    TEST_CASE("3.1.1: " title " " ids_3_1_1) {                                                               \
        run(tern::protocol_version::v3_1_1);                                                                 \
    }                                                                                                        \
    TEST_CASE("5.0: " title " " ids_5) {                                                                     \
        run(tern::protocol_version::v5);                                                                     \
    }

// The same for each QoS.
#define INTEROP_CASE_ALL(run, title, ids_3_1_1, ids_5)                                                       \
    TEST_CASE("3.1.1 QoS 0: " title " " ids_3_1_1) {                                                         \
        run(tern::protocol_version::v3_1_1, tern::qos{0});                                                   \
    }                                                                                                        \
    TEST_CASE("3.1.1 QoS 1: " title " " ids_3_1_1) {                                                         \
        run(tern::protocol_version::v3_1_1, tern::qos{1});                                                   \
    }                                                                                                        \
    TEST_CASE("3.1.1 QoS 2: " title " " ids_3_1_1) {                                                         \
        run(tern::protocol_version::v3_1_1, tern::qos{2});                                                   \
    }                                                                                                        \
    TEST_CASE("5.0 QoS 0: " title " " ids_5) {                                                               \
        run(tern::protocol_version::v5, tern::qos{0});                                                       \
    }                                                                                                        \
    TEST_CASE("5.0 QoS 1: " title " " ids_5) {                                                               \
        run(tern::protocol_version::v5, tern::qos{1});                                                       \
    }                                                                                                        \
    TEST_CASE("5.0 QoS 2: " title " " ids_5) {                                                               \
        run(tern::protocol_version::v5, tern::qos{2});                                                       \
    }

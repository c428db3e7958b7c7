// Compiles the snippets of docs/threads.md. readme.py takes each of them out of the page, into the file
// <section>_<number>.inc. They are not run, because there is no such broker.
#include "tern/messaging/blocking_client.hpp"
#include "tern/messaging/shared_client.hpp"

#include <asio/awaitable.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

namespace {

using namespace std::chrono_literals;

std::optional<std::string> read_sensor() {
    return std::nullopt;
}
void process(std::string_view) {}

[[maybe_unused]] void shared() {
#include "threads/a_client_for_all_threads_1.inc"
#include "threads/a_client_for_all_threads_2.inc"
#include "threads/a_client_for_all_threads_3.inc"
#include "threads/a_client_for_all_threads_5.inc"
    sensor.join();
    if (connected) client.cancel();
}

[[maybe_unused]]
#include "threads/a_client_for_all_threads_4.inc"

[[maybe_unused]] int
blocking() {
#include "threads/a_client_without_asio_1.inc"
    return 0;
}

} // namespace

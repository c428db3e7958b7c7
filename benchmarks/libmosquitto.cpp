// Runs libmosquitto against the sink in one thread.
//
// The loop consists of poll(), mosquitto_loop_read() and mosquitto_loop_write(), because mosquitto_loop() needs more
// system calls. Messages are published outside of callbacks, because the library then writes them immediately.
//
// In the variant `threads` the library runs the loop in its own thread, and several threads publish.
#include "support/bench.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mosquitto.h>
#include <poll.h>
#include <string>
#include <sys/epoll.h>
#include <thread>
#include <vector>

namespace {

using std::size_t;

void check(int result, const char* what) {
    if (result != MOSQ_ERR_SUCCESS) bench::fail(std::string(what) + ": " + mosquitto_strerror(result));
}

class client {
public:
    explicit client(const bench::options& o) : o_(o), handle_(mosquitto_new(nullptr, true, this)) {
        if (handle_ == nullptr) bench::fail("mosquitto_new");
        const auto window = static_cast<int>(o.window);
        check(mosquitto_int_option(handle_, MOSQ_OPT_PROTOCOL_VERSION, o.v5() ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311),
              "version");
        check(mosquitto_int_option(handle_, MOSQ_OPT_TCP_NODELAY, 1), "no delay");
        check(mosquitto_int_option(handle_, MOSQ_OPT_SEND_MAXIMUM, window), "send maximum");
        check(mosquitto_int_option(handle_, MOSQ_OPT_RECEIVE_MAXIMUM, window), "receive maximum");
        if (!o.ca.empty()) check(mosquitto_tls_set(handle_, o.ca.c_str(), nullptr, nullptr, nullptr, nullptr), "TLS");
        mosquitto_connect_callback_set(handle_, [](mosquitto*, void* self, int code) {
            check(code, "CONNECT was refused");
            static_cast<client*>(self)->connected = true;
        });
        mosquitto_subscribe_callback_set(handle_, [](mosquitto*, void* self, int, int, const int*) {
            static_cast<client*>(self)->subscribed = true;
        });
        mosquitto_publish_callback_set(handle_,
                                       [](mosquitto*, void* self, int) { static_cast<client*>(self)->on_published(); });
        mosquitto_message_callback_set(
            handle_, [](mosquitto*, void* self, const mosquitto_message*) { static_cast<client*>(self)->message(); });
    }

    client(const client&) = delete;
    client& operator=(const client&) = delete;
    ~client() { mosquitto_destroy(handle_); }

    // Starts connecting. The callback sets `connected`.
    void start_connect() {
        connected = false;
        check(mosquitto_connect(handle_, "127.0.0.1", o_.port, 60), "connect");
    }

    void connect() {
        start_connect();
        while (!connected)
            step();
    }

    void disconnect() {
        check(mosquitto_disconnect(handle_), "disconnect");
        while (mosquitto_socket(handle_) != -1)
            step();
    }

    void subscribe(const std::string& filter) {
        check(mosquitto_subscribe(handle_, nullptr, filter.c_str(), o_.qos()), "subscribe");
    }

    // Runs the loop in a thread of the library from now on.
    void start_loop() { check(mosquitto_loop_start(handle_), "loop_start"); }
    void stop_loop() { check(mosquitto_loop_stop(handle_, true), "loop_stop"); }

    void publish(const char* topic, const std::string& payload) {
        check(mosquitto_publish(handle_, nullptr, topic, static_cast<int>(payload.size()), payload.data(), o_.qos(),
                                false),
              "publish");
    }

    // Waits until the socket is ready, and reads or writes.
    void step() {
        pollfd file{mosquitto_socket(handle_), POLLIN, 0};
        if (mosquitto_want_write(handle_)) file.events |= POLLOUT;
        if (poll(&file, 1, 1000) < 0 && errno != EINTR) bench::fail("poll");
        if (file.revents == 0) check(mosquitto_loop_misc(handle_), "loop_misc");
        if ((file.revents & POLLOUT) != 0) check(mosquitto_loop_write(handle_, 1), "loop_write");
        if ((file.revents & ~POLLOUT) != 0) read();
    }

    void read() { check(mosquitto_loop_read(handle_, 1), "loop_read"); }

    int file() const { return mosquitto_socket(handle_); }

    std::atomic<bool> connected = false;
    bool subscribed = false;
    std::atomic<size_t> published = 0; // acknowledged, or written at QoS 0
    size_t received = 0;
    size_t begin_at = 0; // the value of `received` at which the region begins
    size_t end_at = 0;
    bench::region* region = nullptr;

private:
    // One thread at a time calls it.
    void on_published() { published.store(published.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
    void message() {
        ++received;
        if (region == nullptr) return;
        if (received == begin_at) region->begin();
        if (received == end_at) region->end();
    }

    const bench::options& o_;
    mosquitto* handle_;
};

void publish(client& c, const bench::options& o, const std::string& payload, size_t count) {
    c.published = 0;
    for (size_t sent = 0; c.published != count;) {
        while (sent != count && sent - c.published < o.window) {
            c.publish(bench::publish_topic.data(), payload);
            ++sent;
        }
        if (c.published != count && (sent == count || sent - c.published == o.window)) c.step();
    }
}

// Several threads publish. Ends when the last message is written.
void publish_from_threads(client& c, const std::string& payload, size_t count) {
    c.published = 0;
    std::vector<std::thread> producers;
    for (size_t i = 0; i != bench::producers; ++i)
        producers.emplace_back([&, share = bench::share_of(count, i)] {
            for (size_t sent = 0; sent != share; ++sent)
                c.publish(bench::publish_topic.data(), payload);
        });
    for (std::thread& one : producers)
        one.join();
    while (c.published != count)
        std::this_thread::yield();
}

void run_threads(const bench::options& o, const std::string& payload, bench::region& region) {
    client c(o);
    c.start_connect();
    c.start_loop();
    while (!c.connected)
        std::this_thread::yield();
    publish_from_threads(c, payload, o.warm_up());
    region.begin();
    publish_from_threads(c, payload, o.count);
    region.end();
    bench::print("libmosquitto", o, region);
    std::fflush(stdout);
    c.stop_loop();
}

void round_trips(client& c, const std::string& payload, size_t count, bench::latencies& times) {
    c.received = 0;
    for (size_t i = 0; i != count; ++i) {
        const auto start = bench::latencies::clock::now();
        c.publish(bench::echo_topic.data(), payload);
        while (c.received == i)
            c.step();
        times.add(bench::latencies::clock::now() - start);
    }
}

void idle(const bench::options& o) {
    bench::raise_file_limit();
    const int poll = epoll_create1(EPOLL_CLOEXEC);
    if (poll < 0) bench::fail("epoll");
    std::array<epoll_event, 64> events;
    const auto wait = [&](int timeout) {
        const int n = epoll_wait(poll, events.data(), static_cast<int>(events.size()), timeout);
        for (int i = 0; i < n; ++i)
            static_cast<client*>(events[static_cast<size_t>(i)].data.ptr)->read();
        return n;
    };

    const size_t before = bench::resident_bytes();
    std::vector<std::unique_ptr<client>> clients;
    bench::region region;
    region.begin();
    size_t connected = 0; // all clients before this index; they connect roughly in this order
    while (connected != o.clients) {
        while (clients.size() != o.clients && clients.size() - connected < bench::connecting_at_once) {
            client& c = *clients.emplace_back(std::make_unique<client>(o));
            c.start_connect();
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.ptr = &c;
            if (epoll_ctl(poll, EPOLL_CTL_ADD, c.file(), &event) != 0) bench::fail("epoll_ctl");
        }
        wait(-1);
        while (connected != clients.size() && clients[connected]->connected)
            ++connected;
    }
    region.end();
    while (wait(200) > 0) {
    }
    bench::print_idle("libmosquitto", o, region, before, bench::resident_bytes());
}

} // namespace

int main(int argc, char** argv) {
    const bench::options o = bench::parse(argc, argv);
    if (!o.variant.empty() && !(o.variant == "threads" && o.publishes())) bench::unsupported(o);
    mosquitto_lib_init();
    const std::string payload(o.size, 'x');
    bench::region region;
    if (o.variant == "threads") {
        run_threads(o, payload, region);
    } else if (o.mode == "idle") {
        idle(o);
    } else if (o.mode == "conn") {
        client c(o);
        region.begin();
        for (size_t i = 0; i != o.count; ++i) {
            c.connect();
            c.disconnect();
        }
        region.end();
        bench::print("libmosquitto", o, region);
    } else if (o.mode == "rtt") {
        client c(o);
        c.connect();
        c.subscribe(std::string(bench::echo_filter));
        while (!c.subscribed)
            c.step();
        bench::latencies times(o.count);
        bench::latencies ignored(o.warm_up());
        round_trips(c, payload, o.warm_up(), ignored);
        region.begin();
        round_trips(c, payload, o.count, times);
        region.end();
        bench::print_rtt("libmosquitto", o, region, times);
    } else if (o.subscribes()) {
        client c(o);
        c.connect();
        c.region = &region;
        c.begin_at = o.warm_up();
        c.end_at = o.warm_up() + o.count;
        c.subscribe(o.flood_filter());
        while (c.received != c.end_at)
            c.step();
        bench::print("libmosquitto", o, region);
    } else {
        client c(o);
        c.connect();
        publish(c, o, payload, o.warm_up());
        region.begin();
        publish(c, o, payload, o.count);
        region.end();
        bench::print("libmosquitto", o, region);
    }
    mosquitto_lib_cleanup();
}

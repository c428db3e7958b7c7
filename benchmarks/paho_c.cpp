// Runs the asynchronous client of Eclipse Paho C against the sink. The library uses threads of its own.
#include "support/bench.hpp"

#include <MQTTAsync.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

namespace {

using std::size_t;

void check(int result, const char* what) {
    if (result != MQTTASYNC_SUCCESS) bench::fail(std::string(what) + ": " + MQTTAsync_strerror(result));
}

// The library's threads call all callbacks.
class client {
public:
    explicit client(const bench::options& o) : o_(o), payload_(o.size, 'x') {
        MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
        create.MQTTVersion = o.v5() ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
        create.maxBufferedMessages = 65535;
        const std::string uri = std::string(o.ca.empty() ? "tcp" : "ssl") + "://127.0.0.1:" + std::to_string(o.port);
        check(MQTTAsync_createWithOptions(&handle_, uri.c_str(), "paho", MQTTCLIENT_PERSISTENCE_NONE, nullptr, &create),
              "create");
        check(MQTTAsync_setCallbacks(handle_, this, nullptr, on_message, nullptr), "callbacks");
        if (o.v5()) {
            sent_.onSuccess5 = [](void* self, MQTTAsync_successData5*) {
                static_cast<client*>(self)->on_publish_end();
            };
            sent_.onFailure5 = on_failure5;
        } else {
            sent_.onSuccess = [](void* self, MQTTAsync_successData*) { static_cast<client*>(self)->on_publish_end(); };
            sent_.onFailure = on_failure;
        }
        sent_.context = this;
    }

    client(const client&) = delete;
    client& operator=(const client&) = delete;
    ~client() { MQTTAsync_destroy(&handle_); }

    // Releases `done` when the client is connected.
    void connect(std::counting_semaphore<>& done) {
        MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
        if (o_.v5()) options = MQTTAsync_connectOptions_initializer5;
        options.maxInflight = static_cast<int>(o_.window);
        options.context = &done;
        MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
        tls.trustStore = o_.ca.c_str();
        tls.verify = 1;
        if (!o_.ca.empty()) options.ssl = &tls;
        if (o_.v5()) {
            options.onSuccess5 = [](void* s, MQTTAsync_successData5*) { release(s); };
            options.onFailure5 = on_failure5;
        } else {
            options.onSuccess = [](void* s, MQTTAsync_successData*) { release(s); };
            options.onFailure = on_failure;
        }
        check(MQTTAsync_connect(handle_, &options), "connect");
    }

    void disconnect(std::counting_semaphore<>& done) {
        MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
        if (o_.v5()) options = MQTTAsync_disconnectOptions_initializer5;
        options.context = &done;
        if (o_.v5())
            options.onSuccess5 = [](void* s, MQTTAsync_successData5*) { release(s); };
        else
            options.onSuccess = [](void* s, MQTTAsync_successData*) { release(s); };
        check(MQTTAsync_disconnect(handle_, &options), "disconnect");
    }

    void subscribe(const std::string& filter, std::counting_semaphore<>& done) {
        MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
        options.context = &done;
        if (o_.v5())
            options.onSuccess5 = [](void* s, MQTTAsync_successData5*) { release(s); };
        else
            options.onSuccess = [](void* s, MQTTAsync_successData*) { release(s); };
        check(MQTTAsync_subscribe(handle_, filter.c_str(), o_.qos(), &options), "subscribe");
    }

    // Publishes `count` messages, at most a window at a time, and returns when all are acknowledged.
    void publish(size_t count) {
        unfinished_ = count;
        for (size_t i = 0; i != count; ++i) {
            window_.acquire();
            send(bench::publish_topic.data());
        }
        finished_.acquire();
    }

    void receive(bench::region& region) {
        region_ = &region;
        begin_at_ = o_.warm_up();
        end_at_ = o_.warm_up() + o_.count;
        std::counting_semaphore<> subscribed(0);
        subscribe(o_.flood_filter(), subscribed);
        subscribed.acquire();
        finished_.acquire();
    }

    // Sends a message, and the next one whenever one returns.
    void round_trips(size_t count, bench::latencies& times) {
        times_ = &times;
        unfinished_ = count;
        start_ = bench::latencies::clock::now();
        send(bench::echo_topic.data());
        finished_.acquire();
    }

private:
    static void release(void* semaphore) { static_cast<std::counting_semaphore<>*>(semaphore)->release(); }

    static void on_failure(void*, MQTTAsync_failureData*) { bench::fail("failed"); }
    static void on_failure5(void*, MQTTAsync_failureData5*) { bench::fail("failed"); }

    static int on_message(void* self, char* topic, int, MQTTAsync_message* message) {
        MQTTAsync_freeMessage(&message);
        MQTTAsync_free(topic);
        static_cast<client*>(self)->on_message_received();
        return 1;
    }

    void on_message_received() {
        if (region_ != nullptr) {
            ++received_;
            if (received_ == begin_at_) region_->begin();
            if (received_ != end_at_) return;
            region_->end();
            finished_.release();
        } else if (times_ != nullptr) {
            const auto now = bench::latencies::clock::now();
            times_->add(now - start_);
            if (--unfinished_ == 0) return finished_.release();
            start_ = now;
            send(bench::echo_topic.data());
        }
    }

    void on_publish_end() {
        if (times_ != nullptr) return;
        window_.release();
        if (--unfinished_ == 0) finished_.release();
    }

    void send(const char* topic) {
        MQTTAsync_responseOptions options = sent_; // a copy, because the library writes the token into it
        check(MQTTAsync_send(handle_, topic, static_cast<int>(payload_.size()), payload_.data(), o_.qos(), 0, &options),
              "send");
    }

    const bench::options& o_;
    std::string payload_;
    MQTTAsync handle_ = nullptr;
    MQTTAsync_responseOptions sent_ = MQTTAsync_responseOptions_initializer;
    std::counting_semaphore<> window_{static_cast<std::ptrdiff_t>(o_.window)};
    std::counting_semaphore<> finished_{0};
    std::atomic<size_t> unfinished_ = 0;
    size_t received_ = 0;
    size_t begin_at_ = 0; // the value of `received_` at which the region begins
    size_t end_at_ = 0;
    bench::region* region_ = nullptr;
    bench::latencies* times_ = nullptr;
    bench::latencies::clock::time_point start_;
};

void idle(const bench::options& o) {
    bench::raise_file_limit();
    const size_t before = bench::resident_bytes();
    std::vector<std::unique_ptr<client>> clients;
    std::counting_semaphore<> connected(0);
    bench::region region;
    region.begin();
    for (size_t i = 0; i != o.clients; ++i) {
        if (i >= bench::connecting_at_once) connected.acquire();
        clients.push_back(std::make_unique<client>(o));
        clients.back()->connect(connected);
    }
    for (size_t i = 0; i != std::min(o.clients, bench::connecting_at_once); ++i)
        connected.acquire();
    region.end();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    bench::print_idle("paho_c", o, region, before, bench::resident_bytes());
}

} // namespace

int main(int argc, char** argv) {
    const bench::options o = bench::parse(argc, argv);
    if (!o.variant.empty()) bench::unsupported(o);
    if (o.mode == "idle") {
        idle(o);
        std::_Exit(0); // the library takes minutes to destroy thousands of clients
    }
    bench::region region;
    std::counting_semaphore<> done(0);
    if (o.mode == "conn") {
        region.begin();
        for (size_t i = 0; i != o.count; ++i) {
            client c(o); // reconnecting the same client takes a second
            c.connect(done);
            done.acquire();
            c.disconnect(done);
            done.acquire();
        }
        region.end();
        bench::print("paho_c", o, region);
        return 0;
    }
    client c(o);
    c.connect(done);
    done.acquire();
    if (o.mode == "rtt") {
        c.subscribe(std::string(bench::echo_filter), done);
        done.acquire();
        bench::latencies times(o.count);
        bench::latencies ignored(o.warm_up());
        c.round_trips(o.warm_up(), ignored);
        region.begin();
        c.round_trips(o.count, times);
        region.end();
        bench::print_rtt("paho_c", o, region, times);
    } else if (o.subscribes()) {
        c.receive(region);
        bench::print("paho_c", o, region);
    } else {
        c.publish(o.warm_up());
        region.begin();
        c.publish(o.count);
        region.end();
        bench::print("paho_c", o, region);
    }
}

// The asynchronous client of Eclipse Paho C against the sink, with the library's own threads.
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

// All callbacks run in the library's threads.
class client {
public:
    explicit client(const bench::options& o) : o_(o), payload_(o.size, 'x') {
        MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
        create.MQTTVersion = o.v5() ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
        create.maxBufferedMessages = 65535;
        const std::string uri = "tcp://127.0.0.1:" + std::to_string(o.port);
        check(MQTTAsync_createWithOptions(&handle_, uri.c_str(), "paho", MQTTCLIENT_PERSISTENCE_NONE, nullptr,
                                          &create),
              "create");
        check(MQTTAsync_setCallbacks(handle_, this, nullptr, on_message, nullptr), "callbacks");
        if (o.v5()) {
            sent_.onSuccess5 = [](void* self, MQTTAsync_successData5*) {
                static_cast<client*>(self)->finished();
            };
            sent_.onFailure5 = on_failure5;
        } else {
            sent_.onSuccess = [](void* self, MQTTAsync_successData*) {
                static_cast<client*>(self)->finished();
            };
            sent_.onFailure = on_failure;
        }
        sent_.context = this;
    }

    client(const client&) = delete;
    client& operator=(const client&) = delete;
    ~client() { MQTTAsync_destroy(&handle_); }

    // `done` is released when connected.
    void connect(std::counting_semaphore<>& done) {
        MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
        if (o_.v5()) options = MQTTAsync_connectOptions_initializer5;
        options.maxInflight = static_cast<int>(o_.window);
        options.context = &done;
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

    // Returns when all are finished. Whatever is finished makes room for the next.
    void publish(size_t count) {
        to_finish_ = count;
        for (size_t i = 0; i != count; ++i) {
            room_.acquire();
            send(bench::publish_topic.data());
        }
        all_done_.acquire();
    }

    void receive(bench::region& region) {
        region_ = &region;
        begin_at_ = o_.warm_up();
        end_at_ = o_.warm_up() + o_.count;
        std::counting_semaphore<> subscribed(0);
        subscribe(o_.flood_filter(), subscribed);
        subscribed.acquire();
        all_done_.acquire();
    }

    // What comes back is answered by the next at once.
    void round_trips(size_t count, bench::latencies& times) {
        times_ = &times;
        to_finish_ = count;
        start_ = bench::latencies::clock::now();
        send(bench::echo_topic.data());
        all_done_.acquire();
    }

private:
    static void release(void* semaphore) { static_cast<std::counting_semaphore<>*>(semaphore)->release(); }

    static void on_failure(void*, MQTTAsync_failureData*) { bench::fail("failed"); }
    static void on_failure5(void*, MQTTAsync_failureData5*) { bench::fail("failed"); }

    static int on_message(void* self, char* topic, int, MQTTAsync_message* message) {
        MQTTAsync_freeMessage(&message);
        MQTTAsync_free(topic);
        static_cast<client*>(self)->message();
        return 1;
    }

    void message() {
        if (region_ != nullptr) {
            ++received_;
            if (received_ == begin_at_) region_->begin();
            if (received_ != end_at_) return;
            region_->end();
            all_done_.release();
        } else if (times_ != nullptr) {
            const auto now = bench::latencies::clock::now();
            times_->add(now - start_);
            if (--to_finish_ == 0) return all_done_.release();
            start_ = now;
            send(bench::echo_topic.data());
        }
    }

    void finished() {
        if (times_ != nullptr) return;
        room_.release();
        if (--to_finish_ == 0) all_done_.release();
    }

    void send(const char* topic) {
        MQTTAsync_responseOptions options = sent_; // the library writes the token into it
        check(MQTTAsync_send(handle_, topic, static_cast<int>(payload_.size()), payload_.data(), o_.qos(), 0,
                             &options),
              "send");
    }

    const bench::options& o_;
    std::string payload_;
    MQTTAsync handle_ = nullptr;
    MQTTAsync_responseOptions sent_ = MQTTAsync_responseOptions_initializer;
    std::counting_semaphore<> room_{static_cast<std::ptrdiff_t>(o_.window)};
    std::counting_semaphore<> all_done_{0};
    std::atomic<size_t> to_finish_ = 0;
    size_t received_ = 0;
    size_t begin_at_ = 0; // of what is received
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
        std::_Exit(0); // taking down thousands of clients one by one takes the library minutes
    }
    bench::region region;
    std::counting_semaphore<> done(0);
    if (o.mode == "conn") {
        region.begin();
        for (size_t i = 0; i != o.count; ++i) {
            client c(o); // with one client for all, each connect takes a second
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

// The upper limit of this machine with Asio: a program with just enough MQTT to run against the sink. It writes packets
// that were encoded beforehand, parses as little as possible, and has neither queues nor a session.
//
// Variants: "batch" writes up to 64 KiB of packets per call, "single" writes one PUBLISH per call.
#include "support/bench.hpp"
#ifdef TERN_BENCHMARKS_TLS
#include "support/tls_socket.hpp"
#endif
#include "support/wire.hpp"

#include <asio.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace wire = bench::wire;
using asio::ip::tcp;
using std::size_t;
using std::uint8_t;

// What publishers and subscribers read and write.
#ifdef TERN_BENCHMARKS_TLS
using stream = bench::tls_socket;
constexpr bool has_all_modes = false;
#else
using stream = tcp::socket;
constexpr bool has_all_modes = true;
#endif

// A benchmark does not handle errors. It exits.
void check(const std::error_code& error, const char* what) {
    if (error) bench::fail(std::string(what) + ": " + error.message());
}

tcp::endpoint sink_endpoint(const bench::options& o) {
    return {asio::ip::address_v4::loopback(), o.port};
}

std::string connect_packet(bool v5) {
    std::string body;
    wire::append_string(body, "MQTT");
    body += wire::to_char(v5 ? 5 : 4);
    body += wire::to_char(2); // Clean Start
    wire::append_16(body, 0); // no keep alive
    if (v5) body += wire::to_char(0);
    wire::append_string(body, "limit");
    std::string packet;
    wire::append_packet(packet, wire::connect, body);
    return packet;
}

std::string subscribe_packet(bool v5, std::string_view filter, uint8_t qos) {
    std::string body;
    wire::append_16(body, 1);
    if (v5) body += wire::to_char(0);
    wire::append_string(body, filter);
    body += wire::to_char(qos);
    std::string packet;
    wire::append_packet(packet, wire::subscribe, body);
    return packet;
}

const std::string disconnect_packet{wire::to_char(wire::disconnect), '\0'};

bool accepts_connection(const uint8_t* packet, size_t bytes) {
    return bytes >= 4 && packet[0] == wire::connack && packet[3] == 0;
}

stream connect(asio::io_context& io, const bench::options& o) {
    stream socket(io);
#ifdef TERN_BENCHMARKS_TLS
    socket.connect(sink_endpoint(o), o.ca);
#else
    socket.connect(sink_endpoint(o));
#endif
    socket.set_option(tcp::no_delay(true));
    asio::write(socket, asio::buffer(connect_packet(o.v5())));
    std::array<uint8_t, 64> answer{};
    const size_t n = socket.read_some(asio::buffer(answer));
    if (!accepts_connection(answer.data(), n)) bench::fail("CONNECT was refused");
    return socket;
}

// A read buffer. It begins with the incomplete packet at the end of the last read.
class input {
public:
    auto free_space() { return asio::buffer(bytes_.data() + remainder_bytes_, bytes_.size() - remainder_bytes_); }
    const uint8_t* begin() const { return bytes_.data(); }
    const uint8_t* end_after(size_t n) const { return bytes_.data() + remainder_bytes_ + n; }

    // Moves the bytes from `p` to `end` to the beginning of the buffer.
    void keep_remainder(const uint8_t* p, const uint8_t* end) {
        remainder_bytes_ = static_cast<size_t>(end - p);
        std::memmove(bytes_.data(), p, remainder_bytes_);
    }

private:
    size_t remainder_bytes_ = 0;
    std::array<uint8_t, wire::block_bytes> bytes_;
};

// pub0, pub1, pub2
class publisher {
public:
    publisher(asio::io_context& io, const bench::options& o)
        : io_(io)
        , socket_(connect(io, o))
        , block_(wire::publish_packet(o.v5(), bench::publish_topic, o.qos(), o.size), max_packets(o))
        , qos_(o.qos())
        , credit_(o.window) {}

    // Publishes `count` messages and returns when all are acknowledged.
    void run(size_t count) {
        unsent_ = count;
        unfinished_ = count;
        write();
        if (qos_ != 0) read();
        io_.restart();
        io_.run();
    }

private:
    // At QoS 0 nothing is in flight after a write, so the window has no effect. Otherwise a write has at most half of
    // the window, so that the sink and the client can work at the same time.
    static size_t max_packets(const bench::options& o) {
        if (o.variant == "single") return 1;
        return o.qos() == 0 ? o.count : (o.window + 1) / 2;
    }

    void write() {
        size_t n = std::min(block_.packets(), unsent_);
        if (qos_ != 0) {
            n = std::min(n, credit_);
            for (size_t i = 0; i != n; ++i) {
                id_ = id_ == 65535 ? 1 : id_ + 1;
                block_.set_id(i, id_);
            }
            credit_ -= n;
        }
        if (n == 0 && acks_.empty()) return;
        unsent_ -= n;
        std::swap(acks_, acks_in_write_);
        writing_ = true;
        const std::array<asio::const_buffer, 2> buffers{asio::buffer(acks_in_write_),
                                                        asio::const_buffer(block_.data(), block_.bytes_of(n))};
        asio::async_write(socket_, buffers, [this, n](const std::error_code& error, size_t) {
            check(error, "write");
            writing_ = false;
            acks_in_write_.clear();
            if (qos_ == 0) unfinished_ -= n;
            write();
        });
    }

    void read() {
        socket_.async_read_some(in_.free_space(), [this](const std::error_code& error, size_t n) {
            check(error, "read");
            scan(in_.end_after(n));
            if (!writing_) write();
            if (unfinished_ != 0) read();
        });
    }

    // Each answer of the sink has four bytes.
    void scan(const uint8_t* const end) {
        const uint8_t* p = in_.begin();
        for (; end - p >= 4; p += 4) {
            if (p[1] != 2) bench::fail("malformed answer");
            if (*p == wire::pubrec && qos_ == 2) {
                wire::append_ack(acks_, wire::pubrel, wire::get_16(p + 2));
            } else if (*p == (qos_ == 1 ? wire::puback : wire::pubcomp)) {
                ++credit_;
                --unfinished_;
            } else {
                bench::fail("unexpected answer");
            }
        }
        in_.keep_remainder(p, end);
    }

    asio::io_context& io_;
    stream socket_;
    input in_;
    wire::publish_block block_;
    std::string acks_;
    std::string acks_in_write_; // being written
    uint8_t qos_;
    bool writing_ = false;
    size_t credit_;
    size_t id_ = 0;
    size_t unsent_ = 0;
    size_t unfinished_ = 0;
};

// sub0, sub1, sub2
class subscriber {
public:
    subscriber(asio::io_context& io, const bench::options& o, bench::region& region)
        : io_(io)
        , region_(region)
        , socket_(connect(io, o))
        , qos_(o.qos())
        , warm_up_(o.warm_up())
        , total_(warm_up_ + o.count) {
        asio::write(socket_, asio::buffer(subscribe_packet(o.v5(), o.flood_filter(), qos_)));
    }

    void run() {
        read();
        io_.run();
    }

private:
    void read() {
        socket_.async_read_some(in_.free_space(), [this](const std::error_code& error, size_t n) {
            check(error, "read");
            parse(in_.end_after(n));
            if (!writing_) write();
            if (received_ != total_) read();
        });
    }

    void write() {
        if (acks_.empty()) return;
        std::swap(acks_, acks_in_write_);
        writing_ = true;
        asio::async_write(socket_, asio::buffer(acks_in_write_), [this](const std::error_code& error, size_t) {
            check(error, "write");
            writing_ = false;
            acks_in_write_.clear();
            write();
        });
    }

    void parse(const uint8_t* const end) {
        const uint8_t* p = in_.begin();
        for (;;) {
            const auto available = static_cast<size_t>(end - p);
            if (skip_ > available) {
                skip_ -= available;
                p = end;
                break;
            }
            if (skip_ != 0) {
                p += skip_;
                skip_ = 0;
                on_publish(id_);
            }
            // Of a PUBLISH only the header, the topic and the packet identifier are parsed.
            const wire::length length = wire::get_length(p + (p != end), end);
            if (length.bytes == 0) break;
            if (length.bytes == 5) bench::fail("malformed packet");
            const size_t packet = 1 + length.bytes + length.value;
            if ((*p & 0xf0) != wire::publish) {
                if (static_cast<size_t>(end - p) < packet) break;
                on_other_packet(p + 1 + length.bytes, *p);
                p += packet;
                continue;
            }
            if (qos_ != 0) {
                constexpr size_t id_offset = 2 + bench::publish_topic.size();
                if (static_cast<size_t>(end - p) < 1 + length.bytes + id_offset + 2) break;
                id_ = wire::get_16(p + 1 + length.bytes + id_offset);
            }
            if (static_cast<size_t>(end - p) >= packet) {
                p += packet;
                on_publish(id_);
            } else {
                skip_ = packet;
            }
        }
        in_.keep_remainder(p, end);
    }

    // Handles a complete PUBLISH.
    void on_publish(size_t id) {
        if (qos_ == 0) return count_received();
        wire::append_ack(acks_, qos_ == 1 ? wire::puback : wire::pubrec, id);
        if (qos_ == 1) count_received();
    }

    void on_other_packet(const uint8_t* body, uint8_t type) {
        if (type == wire::suback) return;
        if (type != wire::pubrel || qos_ != 2) bench::fail("unexpected packet");
        wire::append_ack(acks_, wire::pubcomp, wire::get_16(body));
        count_received();
    }

    void count_received() {
        ++received_;
        if (received_ == warm_up_) region_.begin();
        if (received_ == total_) region_.end();
    }

    asio::io_context& io_;
    bench::region& region_;
    stream socket_;
    input in_;
    std::string acks_;
    std::string acks_in_write_; // being written
    uint8_t qos_;
    bool writing_ = false;
    size_t skip_ = 0; // bytes of a PUBLISH that have not arrived yet
    size_t id_ = 0;   // the packet identifier of this PUBLISH
    size_t received_ = 0;
    size_t warm_up_;
    size_t total_;
};

// rtt
class echo {
public:
    echo(asio::io_context& io, const bench::options& o)
        : io_(io)
        , socket_(connect(io, o))
        , packet_(wire::publish_packet(o.v5(), bench::echo_topic, 0, o.size).bytes) {
        asio::write(socket_, asio::buffer(subscribe_packet(o.v5(), bench::echo_filter, 0)));
        std::array<uint8_t, 64> answer{};
        socket_.read_some(asio::buffer(answer));
        if (answer[0] != wire::suback) bench::fail("not subscribed");
    }

    void run(size_t count, bench::latencies& times) {
        remaining_ = count;
        times_ = &times;
        send();
        io_.restart();
        io_.run();
    }

private:
    void send() {
        start_ = bench::latencies::clock::now();
        to_read_ = packet_.size(); // the sink returns the same packet
        asio::async_write(socket_, asio::buffer(packet_), [this](const std::error_code& error, size_t) {
            check(error, "write");
            read();
        });
    }

    void read() {
        socket_.async_read_some(in_.free_space(), [this](const std::error_code& error, size_t n) {
            check(error, "read");
            to_read_ -= n;
            if (to_read_ != 0) return read();
            times_->add(bench::latencies::clock::now() - start_);
            if (--remaining_ != 0) send();
        });
    }

    asio::io_context& io_;
    stream socket_;
    input in_;
    std::string packet_;
    bench::latencies* times_ = nullptr;
    bench::latencies::clock::time_point start_;
    size_t remaining_ = 0;
    size_t to_read_ = 0;
};

// conn
class connector {
public:
    connector(asio::io_context& io, const bench::options& o)
        : io_(io)
        , socket_(io)
        , sink_(sink_endpoint(o))
        , connect_(connect_packet(o.v5()))
        , remaining_(o.count) {}

    void run() {
        connect();
        io_.run();
    }

private:
    void connect() {
        socket_.async_connect(sink_, [this](const std::error_code& error) {
            check(error, "connect");
            asio::async_write(socket_, asio::buffer(connect_), [this](const std::error_code& e, size_t) {
                check(e, "write");
                read_connack();
            });
        });
    }

    void read_connack() {
        socket_.async_read_some(asio::buffer(answer_), [this](const std::error_code& error, size_t n) {
            check(error, "read");
            if (!accepts_connection(answer_.data(), n)) bench::fail("CONNECT was refused");
            asio::async_write(socket_, asio::buffer(disconnect_packet), [this](const std::error_code& e, size_t) {
                check(e, "write");
                socket_.close();
                if (--remaining_ != 0) connect();
            });
        });
    }

    asio::io_context& io_;
    tcp::socket socket_;
    tcp::endpoint sink_;
    std::string connect_;
    std::array<uint8_t, 64> answer_{};
    size_t remaining_;
};

// idle
class idle_clients {
public:
    idle_clients(asio::io_context& io, const bench::options& o)
        : io_(io)
        , sink_(sink_endpoint(o))
        , connect_(connect_packet(o.v5()))
        , clients_(o.clients) {
        sockets_.reserve(clients_);
    }

    void connect_all() {
        while (sockets_.size() != std::min(clients_, bench::connecting_at_once))
            connect();
        while (connected_ != clients_)
            io_.run_one();
    }

private:
    void connect() {
        tcp::socket& socket = sockets_.emplace_back(io_);
        socket.async_connect(sink_, [this, &socket](const std::error_code& error) {
            check(error, "connect");
            asio::async_write(socket, asio::buffer(connect_), [this, &socket](const std::error_code& e, size_t) {
                check(e, "write");
                wait(socket);
            });
        });
    }

    // A waiting client has no buffer. The first packet is CONNACK.
    void wait(tcp::socket& socket) {
        socket.async_wait(tcp::socket::wait_read, [this, &socket](const std::error_code& error) {
            check(error, "wait");
            std::array<uint8_t, 64> answer{};
            const size_t n = socket.read_some(asio::buffer(answer));
            if (!accepts_connection(answer.data(), n)) bench::fail("CONNECT was refused");
            ++connected_;
            if (sockets_.size() != clients_) connect();
            wait(socket);
        });
    }

    asio::io_context& io_;
    tcp::endpoint sink_;
    std::string connect_;
    size_t clients_;
    size_t connected_ = 0;
    std::vector<tcp::socket> sockets_; // is never reallocated, since handlers refer to its elements
};

} // namespace

int main(int argc, char** argv) try {
    bench::options o = bench::parse(argc, argv);
    if (o.variant.empty()) o.variant = "batch";
    if (o.variant != "batch" && !(o.variant == "single" && o.publishes())) bench::unsupported(o);

    asio::io_context io(1);
    bench::region region;
    if (o.publishes()) {
        publisher p(io, o);
        p.run(o.warm_up());
        region.begin();
        p.run(o.count);
        region.end();
        bench::print("limit", o, region);
    } else if (o.subscribes()) {
        subscriber(io, o, region).run();
        bench::print("limit", o, region);
    } else if (o.mode == "rtt") {
        bench::latencies times(o.count);
        bench::latencies ignored(o.warm_up());
        echo e(io, o);
        e.run(o.warm_up(), ignored);
        region.begin();
        e.run(o.count, times);
        region.end();
        bench::print_rtt("limit", o, region, times);
    } else if (o.mode == "conn" && has_all_modes) {
        connector c(io, o);
        region.begin();
        c.run();
        region.end();
        bench::print("limit", o, region);
    } else if (o.mode == "idle" && has_all_modes) {
        bench::raise_file_limit();
        const size_t before = bench::resident_bytes();
        idle_clients c(io, o);
        region.begin();
        c.connect_all();
        region.end();
        io.run_for(std::chrono::milliseconds(200));
        bench::print_idle("limit", o, region, before, bench::resident_bytes());
    } else {
        bench::unsupported(o);
    }
} catch (const std::exception& error) {
    bench::fail(error.what());
}

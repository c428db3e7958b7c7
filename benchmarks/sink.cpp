// A minimal single-threaded broker for the benchmarks. It acknowledges packets, returns messages that are published to
// "echo/...", and sends many messages to a subscriber of "flood/COUNT/SIZE/QOS/WINDOW".
//
// It listens on a port for each transport: TCP, WebSocket and, if it is given a directory with a certificate, TLS.
//
// It must be far cheaper than any client. It therefore skips payloads, writes the answers to everything it has read in
// one call, and sends packets that were encoded beforehand. It closes the connection on malformed input.
#include "support/bench.hpp"
#include "support/tunnel.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

namespace wire = bench::wire;
using std::size_t;
using std::uint16_t;
using std::uint8_t;

constexpr size_t read_bytes = 256 * 1024;
constexpr size_t max_other_packet = 64 * 1024;  // packets other than PUBLISH are buffered completely
constexpr size_t max_pending = 4 * 1024 * 1024; // unsent bytes at which the sink stops reading from a client
constexpr size_t max_flood_size = size_t{64} << 20;
constexpr int max_writes_per_event = 64; // so that one connection does not starve the others
constexpr int max_idle_polls = 500;      // before the sink sleeps, since waking up costs more than most answers

// Reads the fields of a packet. `ok` becomes false at the first incomplete field.
struct reader {
    const uint8_t* p;
    const uint8_t* end;
    bool ok = true;

    size_t left() const { return static_cast<size_t>(end - p); }

    const uint8_t* take(size_t bytes) {
        if (!ok || left() < bytes) {
            ok = false;
            return nullptr;
        }
        p += bytes;
        return p - bytes;
    }

    size_t u8() {
        const uint8_t* const at = take(1);
        return at ? *at : 0;
    }

    size_t u16() {
        const uint8_t* const at = take(2);
        return at ? wire::get_16(at) : 0;
    }

    size_t length() {
        const wire::length n = wire::get_length(p, end);
        ok = ok && n.bytes >= 1 && n.bytes <= 4;
        return take(n.bytes) ? n.value : 0;
    }

    std::string_view bytes(size_t n) {
        const uint8_t* const at = take(n);
        return at ? std::string_view(reinterpret_cast<const char*>(at), n) : std::string_view();
    }

    std::string_view string() { return bytes(u16()); }
};

// The messages for a subscriber of "flood/...".
class flood {
public:
    // Parses a filter "flood/COUNT/SIZE/QOS/WINDOW". Returns null if it is invalid.
    static std::unique_ptr<flood> parse(std::string_view filter, bool v5, size_t receive_maximum) {
        filter.remove_prefix(6);
        std::array<size_t, 4> numbers{};
        for (size_t& number : numbers) {
            const char* const end = filter.data() + filter.size();
            const auto [stop, error] = std::from_chars(filter.data(), end, number);
            const bool last = &number == &numbers.back();
            if (error != std::errc() || (last ? stop != end : stop == end || *stop != '/')) return nullptr;
            filter.remove_prefix(static_cast<size_t>(stop - filter.data()) + (last ? 0 : 1));
        }
        const auto [count, size, qos, window] = numbers;
        if (size > max_flood_size || qos > 2 || window < 1 || window > 65535) return nullptr;
        return std::make_unique<flood>(v5, count, size, static_cast<uint8_t>(qos), std::min(window, receive_maximum));
    }

    // A block has at most half of the window, so that the sink and the client can work at the same time.
    flood(bool v5, size_t count, size_t size, uint8_t qos, size_t window)
        : block_(wire::publish_packet(v5, bench::publish_topic, qos, size), qos == 0 ? count : (window + 1) / 2)
        , qos_(qos)
        , to_send_(count)
        , credit_(window) {
        if (qos != 0)
            states_.resize(65536);
        else
            file_ = make_file(block_);
    }

    flood(const flood&) = delete;
    flood& operator=(const flood&) = delete;

    ~flood() {
        if (file_ >= 0) close(file_);
    }

    // Prepares the next block if the last one is sent.
    void prepare() {
        if (sent_ != bytes_) return;
        size_t n = std::min(block_.packets(), to_send_);
        if (qos_ != 0) {
            n = std::min(n, credit_);
            credit_ -= n;
            for (size_t i = 0; i != n; ++i)
                block_.set_id(i, next_id());
        }
        to_send_ -= n;
        sent_ = 0;
        bytes_ = block_.bytes_of(n);
    }

    iovec rest() const { return {const_cast<char*>(block_.data()) + sent_, bytes_ - sent_}; }

    // A block in a file is sent without copying it.
    bool has_file() const { return file_ >= 0; }
    ssize_t send_file(int socket) const {
        off_t at = static_cast<off_t>(file_begin + sent_);
        return sendfile(socket, file_, &at, bytes_ - sent_);
    }

    void sent(size_t bytes) { sent_ += bytes; }
    bool inside_packet() const { return sent_ != 0 && sent_ != bytes_; }

    // Handles an acknowledgement. Returns false if it is unexpected.
    bool acknowledged(uint8_t type, size_t id, size_t reason, std::string& out) {
        if (qos_ == 0) return false;
        state& s = states_[id];
        switch (type) {
        case wire::puback:
            if (qos_ != 1 || s != state::sent) return false;
            break;
        case wire::pubrec:
            if (qos_ != 2 || s != state::sent) return false;
            if (reason >= 0x80) break;
            s = state::released;
            wire::append_ack(out, wire::pubrel, id);
            return true;
        default:
            if (s != state::released) return false;
        }
        s = state::free;
        ++credit_;
        return true;
    }

private:
    enum class state : uint8_t { free, sent, released };

    // A block that never changes is stored in a file, because sending a file's pages costs half as much. Its offset in
    // the page differs from that of the reader's buffer: some processors copy four times slower if the offset of the
    // target in its page is slightly above that of the source.
    static constexpr size_t file_begin = 1024;
    static int make_file(const wire::publish_block& block) {
        const int file = memfd_create("flood", MFD_CLOEXEC);
        const size_t bytes = block.bytes_of(block.packets());
        if (file >= 0 && pwrite(file, block.data(), bytes, file_begin) == static_cast<ssize_t>(bytes)) return file;
        if (file >= 0) close(file);
        return -1;
    }

    // There is always a free identifier, because the window is smaller than their number.
    size_t next_id() {
        do
            id_ = id_ == 65535 ? 1 : id_ + 1;
        while (states_[id_] != state::free);
        states_[id_] = state::sent;
        return id_;
    }

    wire::publish_block block_;
    uint8_t qos_;
    size_t to_send_;
    size_t credit_;
    int file_ = -1; // contains the block, or is -1
    size_t id_ = 0;
    std::vector<state> states_; // by packet id
    size_t sent_ = 0;           // of the block
    size_t bytes_ = 0;
};

class connection {
public:
    connection(int file, std::unique_ptr<bench::tunnel> tunnel) : file_(file), tunnel_(std::move(tunnel)) {}
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() { close(file_); }

    int file() const { return file_; }

    // Both return false if the connection must be closed.
    bool read();
    bool write();

    // The events to wait for, if they have changed.
    std::optional<std::uint32_t> events() {
        const std::uint32_t events = (out_.size() < max_pending ? EPOLLIN : 0u) | (blocked_ ? EPOLLOUT : 0u);
        if (events == events_) return std::nullopt;
        events_ = events;
        return events;
    }

private:
    bool read_tunnel();
    bool write_tunnel();
    bool handle(const uint8_t*& p, const uint8_t* end);
    bool handle_packet(uint8_t first, reader packet);
    bool connect(reader& packet);
    std::string start_answer(reader& packet) const;
    bool subscribe(reader& packet);
    bool unsubscribe(reader& packet);

    int file_;
    std::unique_ptr<bench::tunnel> tunnel_; // null: TCP
    std::uint32_t events_ = 0;
    bool connected_ = false;
    bool v5_ = false;
    bool blocked_ = false; // bytes are left to write
    bool echo_ = false;    // skipped bytes are sent back
    size_t receive_maximum_ = 65535;
    size_t skip_ = 0; // bytes of a payload that have not arrived yet
    std::string in_;  // the beginning of an incomplete packet
    std::string out_; // unsent answers
    std::unique_ptr<flood> flood_;
};

bool connection::read() {
    if (tunnel_) return read_tunnel();
    static std::array<uint8_t, read_bytes + max_other_packet + 8> buffer;

    // The payload is not needed, so the system does not copy it (MSG_TRUNC).
    if (skip_ >= read_bytes && !echo_) {
        const ssize_t n = recv(file_, nullptr, skip_, MSG_TRUNC);
        if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
        skip_ -= static_cast<size_t>(n);
        return true;
    }
    const size_t buffered = in_.size();
    const ssize_t n = recv(file_, buffer.data() + buffered, read_bytes, 0);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    std::memcpy(buffer.data(), in_.data(), buffered);
    const uint8_t* p = buffer.data();
    const uint8_t* const end = p + buffered + n;
    if (!handle(p, end)) return false;
    in_.assign(reinterpret_cast<const char*>(p), static_cast<size_t>(end - p));
    return true;
}

bool connection::read_tunnel() {
    static std::array<char, read_bytes> buffer;
    const ssize_t n = recv(file_, buffer.data(), buffer.size(), 0);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    if (!tunnel_->receive({buffer.data(), static_cast<size_t>(n)}, in_)) return false;
    const auto* const begin = reinterpret_cast<const uint8_t*>(in_.data());
    const uint8_t* p = begin;
    if (!handle(p, begin + in_.size())) return false;
    in_.erase(0, static_cast<size_t>(p - begin));
    return true;
}

// Handles all packets from p to end, and moves p to the first incomplete one.
bool connection::handle(const uint8_t*& p, const uint8_t* const end) {
    for (;;) {
        if (skip_ != 0) {
            const size_t n = std::min(skip_, static_cast<size_t>(end - p));
            if (echo_) out_.append(reinterpret_cast<const char*>(p), n);
            skip_ -= n;
            p += n;
        }
        if (p == end) return true;
        const uint8_t first = *p;
        const wire::length length = wire::get_length(p + 1, end);
        if (length.bytes == 0) return true;
        if (length.bytes == 5) return false;
        const uint8_t* const body = p + 1 + length.bytes;
        const auto available = static_cast<size_t>(end - body);

        if ((first & 0xf0) != wire::publish) {
            if (length.value > max_other_packet) return false;
            if (available < length.value) return true;
            if (!handle_packet(first, {body, body + length.value})) return false;
            p = body + length.value;
            continue;
        }
        const auto qos = static_cast<uint8_t>(first >> 1 & 3);
        if (!connected_ || qos == 3 || length.value < 2) return false;
        if (available < 2) return true;
        const size_t topic_end = 2u + wire::get_16(body);
        const size_t head = topic_end + (qos != 0 ? 2 : 0);
        if (head > length.value) return false;
        if (available < head) return true;
        if (qos != 0) {
            const size_t id = wire::get_16(body + topic_end);
            if (id == 0) return false;
            wire::append_ack(out_, qos == 1 ? wire::puback : wire::pubrec, id);
        }
        skip_ = length.value - head;
        echo_ = topic_end >= 7 && std::memcmp(body + 2, "echo/", 5) == 0;
        if (echo_) {
            out_ += wire::to_char(wire::publish);
            wire::append_length(out_, topic_end + skip_);
            out_.append(reinterpret_cast<const char*>(body), topic_end);
        }
        p = body + head;
    }
}

bool connection::handle_packet(uint8_t first, reader packet) {
    if (!connected_) return first == wire::connect && connect(packet);
    switch (first) {
    case wire::puback:
    case wire::pubrec:
    case wire::pubrel:
    case wire::pubcomp: {
        const size_t id = packet.u16();
        const size_t reason = v5_ && packet.left() != 0 ? packet.u8() : 0;
        if (!packet.ok || id == 0) return false;
        if (first != wire::pubrel) return flood_ && flood_->acknowledged(first, id, reason, out_);
        wire::append_ack(out_, wire::pubcomp, id);
        return true;
    }
    case wire::subscribe: return subscribe(packet);
    case wire::unsubscribe: return unsubscribe(packet);
    case wire::pingreq: wire::append_packet(out_, wire::pingresp, ""); return packet.left() == 0;
    default: return false; // also DISCONNECT
    }
}

bool connection::connect(reader& packet) {
    if (packet.string() != "MQTT") return false;
    const size_t level = packet.u8();
    if (level != 4 && level != 5) return false;
    v5_ = level == 5;
    packet.take(3); // flags and keep alive
    if (v5_) {
        const std::string_view properties = packet.bytes(packet.length());
        const auto* const begin = reinterpret_cast<const uint8_t*>(properties.data());
        reader r{begin, begin + properties.size()};
        while (r.ok && r.left() != 0) {
            switch (r.u8()) {
            case 0x11:                   // Session Expiry Interval
            case 0x27: r.take(4); break; // Maximum Packet Size
            case 0x21:                   // Receive Maximum
                receive_maximum_ = r.u16();
                if (receive_maximum_ == 0) return false;
                break;
            case 0x22: r.take(2); break; // Topic Alias Maximum
            case 0x17:                   // Request Problem Information
            case 0x19: r.take(1); break; // Request Response Information
            case 0x26:
                r.string();
                r.string();
                break;                    // User Property
            case 0x15:                    // Authentication Method
            case 0x16: r.string(); break; // Authentication Data
            default: return false;
            }
        }
        if (!r.ok) return false;
    }
    const std::string_view client_id = packet.string();
    if (!packet.ok) return false; // the will, user name and password are ignored

    std::string answer(2, '\0'); // no session present, success
    if (v5_) {
        std::string properties("\x21\xff\xff"); // Receive Maximum
        if (client_id.empty()) {
            properties += '\x12'; // Assigned Client Identifier
            wire::append_string(properties, "sink" + std::to_string(file_));
        }
        wire::append_length(answer, properties.size());
        answer += properties;
    }
    wire::append_packet(out_, wire::connack, answer);
    connected_ = true;
    return true;
}

// The beginning of SUBACK and UNSUBACK: the packet identifier and no properties.
std::string connection::start_answer(reader& packet) const {
    std::string answer;
    wire::append_16(answer, packet.u16());
    if (v5_) {
        packet.take(packet.length());
        answer += '\0';
    }
    return answer;
}

bool connection::subscribe(reader& packet) {
    std::string answer = start_answer(packet);
    do {
        const std::string_view filter = packet.string();
        const size_t qos = packet.u8() & 3;
        if (!packet.ok || qos == 3) return false;
        answer += wire::to_char(qos);
        if (!filter.starts_with("flood/")) continue;
        if (flood_ && flood_->inside_packet()) return false;
        flood_ = flood::parse(filter, v5_, receive_maximum_);
        if (!flood_) return false;
    } while (packet.left() != 0);
    wire::append_packet(out_, wire::suback, answer);
    return true;
}

bool connection::unsubscribe(reader& packet) {
    std::string answer = start_answer(packet);
    do {
        packet.string();
        if (!packet.ok) return false;
        if (v5_) answer += '\0';
    } while (packet.left() != 0);
    wire::append_packet(out_, wire::unsuback, answer);
    return true;
}

// Blocks are encoded only when all bytes before them are sent, and always completely.
bool connection::write_tunnel() {
    for (int turn = 0; turn != max_writes_per_event; ++turn) {
        if (tunnel_->output().empty()) {
            if (flood_) flood_->prepare();
            const iovec block = flood_ ? flood_->rest() : iovec{};
            if (!tunnel_->send(std::exchange(out_, {}))) return false;
            if (!tunnel_->send({static_cast<const char*>(block.iov_base), block.iov_len})) return false;
            if (flood_) flood_->sent(block.iov_len);
        }
        const std::string_view output = tunnel_->output();
        if (output.empty()) {
            blocked_ = false;
            return true;
        }
        const ssize_t n = ::send(file_, output.data(), output.size(), 0);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (n > 0) tunnel_->commit(static_cast<size_t>(n));
        if (n < static_cast<ssize_t>(output.size())) break;
    }
    blocked_ = true;
    return true;
}

bool connection::write() {
    if (tunnel_) return write_tunnel();
    for (int turn = 0; turn != max_writes_per_event; ++turn) {
        if (flood_) flood_->prepare();
        iovec parts[2] = {{out_.data(), out_.size()}, flood_ ? flood_->rest() : iovec{}};
        const bool flood_first = flood_ && flood_->inside_packet();
        if (flood_first) std::swap(parts[0], parts[1]);
        const size_t all = parts[0].iov_len + parts[1].iov_len;
        if (all == 0) {
            blocked_ = false;
            return true;
        }

        msghdr message{};
        message.msg_iov = parts;
        message.msg_iovlen = 2;
        const bool only_file = out_.empty() && flood_ && flood_->has_file();
        const ssize_t result = only_file ? flood_->send_file(file_) : sendmsg(file_, &message, 0);
        if (result < 0 && errno != EAGAIN && errno != EINTR) return false;
        const size_t n = result < 0 ? 0 : static_cast<size_t>(result);

        const size_t of_first = std::min(n, parts[0].iov_len);
        const size_t of_out = flood_first ? n - of_first : of_first;
        out_.erase(0, of_out);
        if (flood_) flood_->sent(n - of_out);
        if (n < all) break;
    }
    blocked_ = true;
    return true;
}

[[noreturn]] void fail_errno(const char* what) {
    bench::fail(std::string(what) + ": " + std::strerror(errno));
}

// The address of a listener marks its file in the poll.
struct listener {
    const char* name;
    std::unique_ptr<bench::tunnel> (*make_tunnel)();
    int file = -1;
};

std::unique_ptr<bench::tunnel> no_tunnel() {
    return nullptr;
}

std::unique_ptr<bench::tunnel> make_websocket() {
    return std::make_unique<bench::websocket_tunnel>();
}

#ifdef TERN_BENCHMARKS_TLS
SSL_CTX* tls_server = nullptr;

std::unique_ptr<bench::tunnel> make_tls() {
    return std::make_unique<bench::tls_tunnel>(tls_server);
}
#endif

int listen_on_any_port(const char* name) {
    const int file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (file < 0 || bind(file, generic, size) != 0 || listen(file, 4096) != 0 || getsockname(file, generic, &size) != 0)
        fail_errno("listen");
    std::printf("%s %d ", name, ntohs(address.sin_port));
    return file;
}

} // namespace

int main(int argc, char** argv) {
    bench::raise_file_limit();
    std::signal(SIGPIPE, SIG_IGN); // a client that disconnects must not end the sink
    const int poll = epoll_create1(EPOLL_CLOEXEC);
    std::vector<listener> listeners{{"tcp", &no_tunnel}, {"websocket", &make_websocket}};
#ifdef TERN_BENCHMARKS_TLS
    if (argc > 1) {
        tls_server = bench::make_tls_server(argv[1]);
        listeners.push_back({"tls", &make_tls});
    }
#else
    if (argc > 1) bench::fail(std::string("without OpenSSL there is no use for ") + argv[1]);
#endif
    epoll_event event{};
    event.events = EPOLLIN;
    for (listener& l : listeners) {
        l.file = listen_on_any_port(l.name);
        event.data.ptr = &l;
        if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, l.file, &event) != 0) fail_errno("epoll");
    }
    std::printf("\n");
    std::fflush(stdout);
    char standard_input = 0; // its address marks the file
    event.data.ptr = &standard_input;
    // This fails if standard input is a file such as /dev/null, which has no end to wait for.
    epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &event);

    int idle_polls = 0; // consecutive polls without an event
    std::array<epoll_event, 256> events;
    for (;;) {
        const int timeout = idle_polls < max_idle_polls ? 0 : -1;
        const int n = epoll_wait(poll, events.data(), static_cast<int>(events.size()), timeout);
        if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
        idle_polls = n == 0 ? idle_polls + 1 : 0;
        for (int i = 0; i < n; ++i) {
            const epoll_event& e = events[static_cast<size_t>(i)];
            if (e.data.ptr == &standard_input) {
                char ignored[256];
                const ssize_t got = read(STDIN_FILENO, ignored, sizeof ignored);
                if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return 0;
                continue;
            }
            const auto is_marked = [&e](const listener& l) { return &l == e.data.ptr; };
            const auto l = std::find_if(listeners.begin(), listeners.end(), is_marked);
            if (l != listeners.end()) {
                const int file = accept4(l->file, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (file < 0) continue;
                const int on = 1;
                setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                auto* const c = new connection(file, l->make_tunnel());
                event.data.ptr = c;
                event.events = c->events().value();
                if (epoll_ctl(poll, EPOLL_CTL_ADD, file, &event) != 0) delete c;
                continue;
            }
            auto* const c = static_cast<connection*>(e.data.ptr);
            const bool readable = (e.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
            if ((readable && !c->read()) || !c->write()) {
                delete c; // closing the file also removes it from the poll
                continue;
            }
            if (const auto wanted = c->events()) {
                event.data.ptr = c;
                event.events = *wanted;
                epoll_ctl(poll, EPOLL_CTL_MOD, c->file(), &event);
            }
        }
    }
}

// Fuzzes the WebSocket client with the bytes of a server, cut into pieces.
//
// An input is: mode, number of steps n, bytes of the server, n steps. A step receives some of the bytes, with some room
// for plain bytes, or writes something. After the steps the rest is received in one piece.
#include "fuzz.hpp"
#include "tern/transport/detail/websocket_machine.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using tern::detail::websocket_machine;

constexpr std::uint64_t limit = 1'000; // of a message, in one mode

websocket_machine make_machine(std::uint64_t max_message_bytes) {
    return {{.options = {.max_message_bytes = max_message_bytes}, .seed = {{1}}}, {.host = "h", .port = 80}};
}

const std::string& acceptance() {
    static const std::string text = [] {
        const std::string sent(make_machine(0).output());
        const std::string name = "Sec-WebSocket-Key: ";
        const std::string key = sent.substr(sent.find(name) + name.size(), 24);
        const tern::detail::sha1_digest digest = tern::detail::sha1(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: " +
               tern::detail::to_base64({digest.data(), digest.size()}) + "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    }();
    return text;
}

// What the client writes.
const std::string& source() {
    static const std::string text = [] {
        std::string bytes;
        for (std::size_t i = 0; i != 80'000; ++i)
            bytes += static_cast<char>(i * 31);
        return bytes;
    }();
    return text;
}

struct input {
    bool is_upgraded = false; // the server begins with frames; otherwise with its answer to the upgrade
    bool is_limited = false;
    std::string_view wire;
    std::string_view steps;
};

input parse(std::string_view bytes) {
    input in;
    if (bytes.size() < 2) return in;
    in.is_upgraded = (bytes[0] & 1) != 0;
    in.is_limited = (bytes[0] & 2) != 0;
    const std::size_t count = static_cast<unsigned char>(bytes[1]);
    bytes.remove_prefix(2);
    const std::size_t steps = std::min(count, bytes.size());
    in.wire = bytes.substr(0, bytes.size() - steps);
    in.steps = bytes.substr(in.wire.size());
    return in;
}

// The frames of the client, decoded by the standard.
class server {
public:
    void receive(std::string_view bytes) { received_ += bytes; }

    void check_frames(std::string_view written) {
        bytes_ = received_;
        std::string data;
        bool is_closed = false;
        while (!bytes_.empty()) {
            fuzz::check(!is_closed, "Close is the last frame");
            const unsigned opcode = next();
            std::size_t length = next();
            fuzz::check(length >= 128, "frames are masked");
            length -= 128;
            fuzz::check(length != 127, "frames are below 64 KiB");
            if (length == 126) {
                length = next() << 8U;
                length |= next();
                fuzz::check(length >= 126, "lengths are minimal");
            }
            std::array<char, 4> mask{};
            for (char& m : mask)
                m = static_cast<char>(next());
            fuzz::check(length <= bytes_.size(), "frames are complete");
            std::string payload(bytes_.substr(0, length));
            bytes_.remove_prefix(length);
            for (std::size_t i = 0; i != length; ++i)
                payload[i] = static_cast<char>(payload[i] ^ mask[i % 4]);
            fuzz::check(opcode == 0x82 || opcode == 0x88 || opcode == 0x8A, "frames are binary, Close or pong");
            if (opcode == 0x82) data += payload;
            is_closed = opcode == 0x88;
        }
        fuzz::check(data == written, "the server receives what was written");
    }

private:
    unsigned next() {
        fuzz::check(!bytes_.empty(), "frames are complete");
        const auto byte = static_cast<unsigned char>(bytes_.front());
        bytes_.remove_prefix(1);
        return byte;
    }

    std::string received_;
    std::string_view bytes_; // the rest of `received_`, while frames are decoded
};

class run {
public:
    explicit run(const input& in) : machine_(make_machine(in.is_limited ? limit : 0)) {
        take_output(SIZE_MAX);
        sent_ = server(); // without the request
        if (in.is_upgraded) receive(acceptance(), 1);
    }

    void receive(std::string_view raw, std::size_t room) {
        raw_ += raw.size();
        const std::vector<char> exact(raw.begin(), raw.end());
        read({exact.data(), exact.size()}, room);
        while (!error && machine_.has_plain()) {
            const std::size_t before = plain.size();
            read({}, room);
            fuzz::check(error || plain.size() != before, "has_plain is true only before bytes or an error");
        }
        std::array<char, 1> byte{};
        std::error_code again;
        fuzz::check(machine_.read({}, byte, again) == 0 && again == error, "all is read without has_plain");
    }

    void write(std::size_t size) {
        if (!machine_.is_ready()) return;
        const std::string_view bytes = std::string_view(source()).substr(0, size);
        const std::array<asio::const_buffer, 2> pieces = {asio::buffer(bytes, size / 3),
                                                          asio::buffer(bytes) + size / 3};
        written_ += bytes.substr(0, machine_.write(pieces));
    }

    void shutdown() { machine_.shutdown(); }

    void take_output(std::size_t count) {
        while (count != 0 && !machine_.output().empty()) {
            const std::size_t some = std::min(count, machine_.output().size());
            fuzz::check(machine_.output().data() == shown_ || shown_ == nullptr, "output stays where it is");
            sent_.receive(machine_.output().substr(0, some));
            shown_ = some == machine_.output().size() ? nullptr : machine_.output().data() + some;
            committed_ += machine_.commit_output(some);
            count -= some;
        }
        fuzz::check(machine_.output().size() <= 65'536 + 300, "the output is bounded");
    }

    void finish() {
        take_output(SIZE_MAX);
        fuzz::check(committed_ == written_.size(), "exactly the written bytes are committed");
        sent_.check_frames(written_);
    }

    std::string plain;
    std::error_code error;

private:
    void read(std::string_view raw, std::size_t room) {
        std::vector<char> out(room);
        const std::size_t count = machine_.read(raw, out, error);
        fuzz::check(count <= room, "plain bytes fit");
        fuzz::check(count == 0 || !error, "the error follows the bytes");
        plain.append(out.data(), count);
        fuzz::check(plain.size() <= raw_, "there are no more plain bytes than raw ones");
    }

    websocket_machine machine_;
    const char* shown_ = nullptr; // the output that is partly written
    server sent_;
    std::string written_;
    std::size_t committed_ = 0;
    std::size_t raw_ = 0;
};

void run_steps(run& r, const input& in) {
    std::string_view wire = in.wire;
    for (const char step : in.steps) {
        const auto value = static_cast<unsigned char>(step);
        const std::size_t amount = value >> 3U; // 0 to 31
        switch (value & 7U) {
        case 0: r.write(amount); break;
        case 1: r.write(amount * 2'500); break;
        case 2: r.take_output(amount); break;
        case 3: amount == 31 ? r.shutdown() : r.take_output(SIZE_MAX); break;
        default:
            const std::size_t count = std::min(wire.size(), amount);
            r.receive(wire.substr(0, count), (value & 1U) != 0 ? 1 : 100);
            wire.remove_prefix(count);
        }
    }
    r.receive(wire, 100);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string bytes(data, data + size);
    const input in = parse(bytes);
    run pieces(in), whole(in);
    run_steps(pieces, in);
    whole.receive(in.wire, 10'000);
    fuzz::check(pieces.plain == whole.plain, "the plain bytes do not depend on the cuts");
    fuzz::check(pieces.error == whole.error, "the error does not depend on the cuts");
    pieces.finish();
    whole.finish();
    return 0;
}

std::vector<std::string> fuzz::seeds() {
    using namespace std::string_literals;
    const std::string steps = "\x0C\x0D\x14\x1C\x25\x08\x31\x12\x1A\x03\x0F"s; // pieces of 1 to 4 bytes, writes, output
    const std::string binary = "\x82\x03"
                               "abc"s;
    const std::string fragments = "\x02\x01"
                                  "a\x00\x01"
                                  "b\x89\x01p\x80\x01"
                                  "c"s;
    const std::string long_frame = "\x82\x7E\x00\x7E"s + std::string(126, 'x');
    const std::string longer_frame = "\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00"s + std::string(300, 'y');
    std::vector<std::string> all;
    auto add = [&](char mode, const std::string& wire) {
        all.push_back(std::string{mode, static_cast<char>(steps.size())} + wire + steps);
        all.push_back(std::string{mode, '\0'} + wire);
    };
    for (const std::string& wire :
         {binary, fragments, long_frame, longer_frame, "\x89\x02xy\x8A\x00\x82\x00"s, "\x88\x00"s,
          "\x88\x05\x03\xE8"
          "bye"s,
          "\x88\x02\x03\xED"s, "\x88\x03\x03\xE8\xFF"s, "\x81\x01x"s, "\xC2\x00"s,
          "\x82\x81"
          "abcdx"s}) {
        add(1, wire);
        add(3, binary + wire + binary);
    }
    add(0, acceptance() + binary + "\x89\x00"s);
    add(0, "HTTP/1.1 103 x\r\n\r\nHTTP/1.1 302 Found\r\nLocation: /x\r\n y\r\n\r\n");
    add(0, "HTTP/1.1 401\n\n");
    return all;
}

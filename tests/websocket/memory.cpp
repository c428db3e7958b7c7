// The memory of a WebSocket connection.
#include "support/heap.hpp"
#include "websocket_test.hpp"

#include <new>
#include <string>
#include <vector>

namespace memory_test {

using namespace websocket_test;

// Writes, and receives, without an allocation of the test.
void exchange(websocket_machine& machine, std::string_view text, std::string_view frame_bytes, std::span<char> room) {
    const std::array<asio::const_buffer, 1> pieces = {asio::const_buffer(text.data(), text.size())};
    for (std::size_t written = 0; written < text.size();) {
        const std::array<asio::const_buffer, 1> rest = {pieces[0] + written};
        const std::size_t count = machine.write(rest);
        if (count == 0) throw std::logic_error("nothing is written");
        while (!machine.output().empty())
            written += machine.commit_output(machine.output().size());
    }
    std::error_code error;
    machine.read(frame_bytes, room, error);
}

TEST_CASE("the steady state allocates nothing, with small and with large messages") {
    for (const std::size_t size : {2U, 64U, 3'000U, 65'528U, 1'000'000U}) {
        ready_client c;
        const std::string text(size, 'x');
        const std::string received = data(text.substr(0, 60'000)) + ping("p");
        std::vector<char> room(70'000);
        for (int i = 0; i != 2; ++i) // the second write follows a pong
            exchange(c.machine, text, received, room);
        const std::size_t before = heap::allocations();
        for (int i = 0; i != 50; ++i)
            exchange(c.machine, text, received, room);
        CHECK(heap::allocations() == before);
    }
}

TEST_CASE("an idle connection has little memory, also after large messages") {
    ready_client c;
    const std::string small = "\xC0\0"s; // PINGREQ
    const std::string pingresp = data("\xD0\0"s);
    std::vector<char> room(70'000);
    const std::size_t idle = heap::live_bytes();
    {
        const std::string large(65'528, 'x');
        exchange(c.machine, large, {}, room);
    }
    CHECK(heap::live_bytes() >= idle + 65'000);
    SECTION("after some small messages") {
        for (int i = 0; i != 9; ++i)
            exchange(c.machine, small, pingresp, room);
        CHECK(heap::live_bytes() <= idle + 512);
    }
    SECTION("as soon as it is trimmed") {
        c.machine.trim();
        CHECK(heap::live_bytes() <= idle + 512);
    }
    CHECK(sizeof(websocket_machine) <= 1'024);
}

TEST_CASE("kept bytes take the memory of what was received, and are freed") {
    ready_client c;
    const std::size_t before = heap::live_bytes();
    std::vector<char> room(200'000);
    std::error_code error;
    {
        const std::string large(100'000, 'x');
        const std::string bytes = data(large);
        heap::reset_peak();
        c.machine.read(bytes, std::span<char>(room).first(1), error);
    }
    CHECK(heap::live_bytes() - before - room.size() <= 131'072 + 64);
    CHECK(c.machine.read({}, room, error) == 99'999);
    for (int i = 0; i != 8; ++i) {
        CHECK(c.machine.read(data("ab"), std::span<char>(room).first(1), error) == 1);
        CHECK(c.machine.read({}, room, error) == 1);
    }
    CHECK(heap::live_bytes() - before - room.size() <= 512);
}

TEST_CASE("no claimed length is allocated") {
    ready_client c;
    std::vector<char> room(1'000);
    std::error_code error;
    const std::string bytes = frame{.payload = "abc", .length = (1ULL << 63U) - 1}.bytes();
    const std::size_t before = heap::allocations();
    CHECK(c.machine.read(bytes, room, error) == 3);
    CHECK(heap::allocations() == before);
}

// A connection with all kinds of events. Returns how many bytes were received and sent before memory ran out.
void live(std::string& plain, std::string& sent) {
    const tern::detail::websocket_settings settings = settings_with({});
    auto take_output = [&](websocket_machine& m) {
        while (!m.output().empty()) {
            {
                const heap::untested allocates;
                sent += m.output();
            }
            m.commit_output(m.output().size());
        }
    };
    const heap::tested starts;
    websocket_machine m(settings, usual);
    std::string answer, frames, text;
    {
        const heap::untested allocates;
        answer = acceptance(m.output()) + data("after the answer");
        frames = data("abc") + ping("1") + data("de") + ping("2") + first("f") + ping("3");
        text = std::string(3'000, 'x');
    }
    take_output(m);
    std::array<char, 4> room{};
    std::error_code error;
    auto read = [&](std::string_view raw) {
        const std::size_t count = m.read(raw, room, error);
        const heap::untested allocates;
        plain.append(room.data(), count);
    };
    read(answer);
    while (m.has_plain())
        read({});
    m.write(std::array<asio::const_buffer, 1>{asio::buffer(text)});
    read(frames);
    while (m.has_plain())
        read({});
    take_output(m);
    m.shutdown();
    take_output(m);
}

TEST_CASE("a connection whose N-th allocation fails has sent and received the beginning of the right bytes") {
    std::string all_plain, all_sent;
    live(all_plain, all_sent);
    CHECK(all_plain == "after the answerabcdef");
    std::size_t failed = 0;
    for (std::size_t nth = 1;; ++nth) {
        std::string plain, sent;
        const std::size_t before = heap::live_blocks();
        heap::fail(nth, 1);
        try {
            live(plain, sent);
        } catch (const std::bad_alloc&) {
            ++failed;
        }
        const bool reached = heap::failures() != 0;
        heap::stop_failing();
        CHECK(all_plain.compare(0, plain.size(), plain) == 0);
        CHECK(all_sent.compare(0, std::min<std::size_t>(sent.size(), 1'000), sent, 0,
                               std::min<std::size_t>(sent.size(), 1'000)) == 0);
        {
            std::string().swap(plain);
            std::string().swap(sent);
        }
        CHECK(heap::live_blocks() <= before + 1);
        if (!reached) break;
    }
    CHECK(failed >= 4);
}

} // namespace memory_test

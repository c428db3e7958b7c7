// Frames from the client (RFC 6455 §5), and the numbers of written bytes that the machine reports.
#include "websocket_test.hpp"

#include <random>
#include <set>
#include <string>
#include <vector>

namespace output_test {

using namespace websocket_test;

std::vector<asio::const_buffer> pieces_of(const std::vector<std::string>& texts) {
    std::vector<asio::const_buffer> pieces;
    for (const std::string& text : texts)
        pieces.emplace_back(asio::buffer(text));
    return pieces;
}

TEST_CASE("one binary frame contains all pieces, masked [RFC 6455 §5.3] [v311:MQTT-6.0.0-1, v5:MQTT-6.0.0-1]") {
    ready_client c;
    const std::vector<std::string> texts = {"ab", "", "cde", "f"};
    CHECK(c.machine.write(pieces_of(texts)) == 6);
    const std::vector<frame> sent = client_frames(c.sent());
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].opcode == 2);
    CHECK(sent[0].payload == "abcdef");
    CHECK(c.payload_sent == 6);
}

TEST_CASE("lengths are minimal [RFC 6455 §5.2]") {
    for (const std::size_t size : {1U, 125U, 126U, 127U, 65'528U}) {
        ready_client c;
        CHECK(c.write(std::string(size, 'x')) == size);
        CHECK(client_frames(c.sent()).at(0).payload.size() == size); // the decoder checks the form
    }
}

TEST_CASE("nothing is appended for an empty write") {
    ready_client c;
    CHECK(c.machine.write(std::vector<asio::const_buffer>()) == 0);
    CHECK(c.write("") == 0);
    CHECK(c.machine.output().empty());
}

TEST_CASE("a frame has at most 64 KiB with its header") {
    ready_client c;
    c.machine.write(pieces_of({std::string(40'000, 'a'), std::string(40'000, 'b')}));
    CHECK(c.machine.output().size() == 65'536);
    CHECK(client_frames(c.sent()).at(0).payload == std::string(40'000, 'a') + std::string(25'528, 'b'));
}

TEST_CASE("bytes that are being written stay where they are") {
    ready_client c;
    c.receive(ping("first"));
    const std::string_view written = c.machine.output();
    const std::string copy(written);
    CHECK(c.write(std::string(60'000, 'a')) == 60'000);
    c.receive(ping("second"));
    c.machine.shutdown();
    CHECK(c.machine.output().data() == written.data());
    CHECK(c.machine.output() == copy);
    const std::vector<frame> frames = client_frames(c.sent());
    REQUIRE(frames.size() == 3);
    CHECK(frames[0].payload == "first");
    CHECK(frames[1].payload.size() == 60'000);
    CHECK(frames[2].opcode == 8);
    CHECK(c.payload_sent == 60'000);
}

TEST_CASE("each frame has another mask, and never that of the request [RFC 6455 §5.3]") {
    ready_client c;
    std::set<std::string> masks;
    for (int i = 0; i != 500; ++i) {
        c.write("x");
        masks.insert(client_frames(c.sent()).at(0).mask);
    }
    CHECK(masks.size() == 500);
}

TEST_CASE("exactly the bytes of the payload are reported as written, for every size of partial writes") {
    for (const std::size_t step : {1U, 2U, 3U, 7U, 100U, 1'000U}) {
        ready_client c;
        c.receive(ping("first"));
        const std::string text(300, 'x');
        c.write(text);
        const std::size_t before = c.machine.output().size() + 8; // a pong, and the header
        std::size_t written = 0, reported = 0;
        while (!c.machine.output().empty()) {
            const std::size_t count = std::min(step, c.machine.output().size());
            written += count;
            reported += c.machine.commit_output(count);
            if (written > 50 && written < 60) c.receive(ping("meanwhile"));
            CHECK(reported == std::min(text.size(), written > before ? written - before : 0));
        }
        CHECK(reported == text.size());
    }
}

TEST_CASE("nothing is written while a frame is in the output") {
    ready_client c;
    c.write("abc");
    CHECK(c.write("def") == 0);
    CHECK(c.machine.commit_output(8) == 2);
    CHECK(c.write("def") == 0);
    CHECK(c.machine.commit_output(1) == 1);
    CHECK(c.write("def") == 3);
}

TEST_CASE("a pong never comes between the bytes of a frame [RFC 6455 §5.4]") {
    for (std::size_t written = 0; written != 9; ++written) {
        ready_client c;
        c.write("abc");
        std::string sent(c.machine.output().substr(0, written));
        c.machine.commit_output(written);
        c.receive(ping("p"));
        sent += c.sent();
        const std::vector<frame> frames = client_frames(sent);
        REQUIRE(frames.size() == 2);
        CHECK(frames[0].payload == "abc");
        CHECK(frames[1].payload == "p");
    }
}

TEST_CASE("only the newest ping is answered while the link is slow, and the output does not grow [RFC 6455 §5.5.3]") {
    ready_client c;
    c.receive(ping("first"));
    const std::size_t size = c.machine.output().size();
    for (int i = 0; i != 1'000; ++i)
        c.receive(ping(std::to_string(i)));
    CHECK(c.machine.output().size() == size);
    const std::vector<frame> frames = client_frames(c.sent());
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].payload == "first");
    CHECK(frames[1].payload == "999");
}

TEST_CASE("a pong waits for one frame at most") {
    ready_client c;
    c.write("a");
    c.receive(ping("p"));
    c.machine.commit_output(c.machine.output().size());
    CHECK(c.write("b") == 1); // behind the pong
    const std::vector<frame> frames = client_frames(c.sent());
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].opcode == 10);
    CHECK(frames[1].payload == "b");
}

TEST_CASE("shutting down sends Close 1000 once, behind what is written [RFC 6455 §7.1.2]") {
    ready_client c;
    c.write("abc");
    c.machine.shutdown();
    c.machine.shutdown();
    const std::vector<frame> frames = client_frames(c.sent());
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].payload == "abc");
    CHECK(frames[1].opcode == 8);
    CHECK(frames[1].payload == close_payload(1000));
    CHECK(c.payload_sent == 3);
}

TEST_CASE("after Close nothing is sent, and bytes are received until the server's Close [RFC 6455 §5.5.1, §7.1.2]") {
    ready_client c;
    c.machine.shutdown();
    CHECK(client_frames(c.sent()).size() == 1);
    CHECK(c.write("x") == 0);
    CHECK(c.receive(data("late") + ping("p")) == "late");
    CHECK(c.machine.output().empty());
    CHECK_FALSE(c.error);
    CHECK(c.receive(close_frame(1000)).empty());
    CHECK(c.error == asio::error::eof);
    CHECK(c.machine.output().empty());
}

TEST_CASE("an answer to Close follows the frame that is being written, and replaces a waiting pong") {
    ready_client c;
    c.write("abc");
    std::string sent(c.machine.output().substr(0, 4));
    c.machine.commit_output(4);
    c.receive(ping("p"));
    c.receive(close_frame(1001, "bye"));
    sent += c.sent();
    const std::vector<frame> frames = client_frames(sent);
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].payload == "abc");
    CHECK(frames[1].payload == close_payload(1001));
    CHECK(c.write("x") == 0);
}

TEST_CASE("the output after a violation is that of before, and one Close") {
    ready_client c;
    c.write("abc");
    c.receive(frame{.opcode = 1}.bytes());
    c.machine.shutdown();
    const std::vector<frame> frames = client_frames(c.sent());
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].payload == "abc");
    CHECK(frames[1].payload == close_payload(1003));
}

TEST_CASE("random writes give their bytes at the server, and exact numbers at the client") {
    std::mt19937 random(3);
    for (int round = 0; round != 60; ++round) {
        ready_client c;
        std::string taken, sent;
        std::size_t reported = 0;
        for (int i = 0; i != 60; ++i) {
            if (random() % 4 == 0) c.receive(ping(std::string(random() % 126, 'p')));
            std::vector<std::string> texts(random() % 5);
            for (std::string& text : texts) {
                text.resize(random() % (random() % 8 == 0 ? 50'000 : 200));
                for (char& ch : text)
                    ch = static_cast<char>(random());
            }
            std::string all;
            for (const std::string& text : texts)
                all += text;
            taken += all.substr(0, c.machine.write(pieces_of(texts)));
            for (int k = 0; k != 3; ++k) {
                const std::string_view output = c.machine.output();
                const std::size_t count = std::min<std::size_t>(output.size(), random() % 70'000);
                sent += output.substr(0, count);
                reported += c.machine.commit_output(count);
            }
        }
        sent += c.sent();
        std::string arrived;
        for (const frame& f : client_frames(sent)) {
            if (f.opcode == 2) arrived += f.payload;
        }
        CHECK(arrived == taken);
        CHECK(reported + c.payload_sent == taken.size());
    }
}

} // namespace output_test

// Compares the send queue with a trivial reference implementation in thousands of random steps.
#include "tern/session/detail/send/send_queue.hpp"

#include "catch.hpp"

#include <deque>
#include <map>
#include <random>

using tern::errc;
using tern::full_queue_action;
using tern::op_id;
using tern::detail::admission;
using namespace std::chrono_literals;

namespace {

struct entry {
    op_id op;
    bool acknowledged;
    std::size_t size;
    tern::time_point expires;
};

struct both {
    explicit both(unsigned seed, tern::queue_options o) : random(seed), options(o) { queue.set_options(o); }

    unsigned below(unsigned n) { return static_cast<unsigned>(random() >> 3) % n; }
    std::size_t bytes() const {
        std::size_t sum = 0;
        for (const entry& e : model)
            sum += e.size;
        return sum;
    }
    bool fits(std::size_t size) const { return model.size() < options.messages && bytes() + size <= options.bytes; }

    tern::detail::queued_message message(const entry& e) {
        const std::string packet(e.size, 'x');
        tern::detail::queued_message m{.packet = out.copy(packet), .op = e.op, .expires = e.expires};
        out.retain(m.packet);
        return m;
    }

    void publish() {
        const entry e{op_id{++number}, below(2) == 0, 1 + below(20),
                      below(3) == 0 ? now + std::chrono::milliseconds(below(2'000)) : tern::time_point::max()};
        const admission decision = queue.admit(e.size, e.op);
        // what the other one does
        admission expected = admission::accept;
        if (!fits(e.size)) {
            switch (options.when_full) {
            case full_queue_action::refuse: expected = admission::refuse; break;
            case full_queue_action::wait: break;
            case full_queue_action::drop_newest:
                expected = admission::drop;
                ends[e.op] = errc::message_dropped;
                break;
            case full_queue_action::drop_oldest_qos_0: {
                auto left = model;
                std::map<op_id, errc> gone;
                for (auto i = model.begin(); i != model.end() && !fits(e.size);) {
                    if (i->acknowledged) {
                        ++i;
                        continue;
                    }
                    gone[i->op] = errc::message_dropped;
                    i = model.erase(i);
                }
                if (fits(e.size)) {
                    ends.merge(gone);
                } else {
                    model = left;
                    expected = admission::refuse;
                }
                break;
            }
            }
        }
        REQUIRE(decision == expected);
        if (decision != admission::accept) return;
        queue.reserve_for(e.size);
        queue.make_room(out, e.size);
        queue.push(message(e), e.acknowledged);
        model.push_back(e);
    }

    void send() {
        const bool window = below(2) == 0;
        auto* const next = queue.front(window);
        const auto i =
            std::find_if(model.begin(), model.end(), [&](const entry& e) { return window || !e.acknowledged; });
        REQUIRE((next != nullptr) == (i != model.end()));
        if (!next) return;
        REQUIRE(next->op == i->op);
        REQUIRE(queue.is_acknowledged(next) == i->acknowledged);
        const auto taken = queue.pop(next);
        if (below(2) == 0 && i == model.begin()) { // the message was not written
            queue.push_front(taken, i->acknowledged);
            const entry again = *i;
            model.erase(i);
            model.push_front(again);
            return;
        }
        out.release(taken.packet);
        model.erase(i);
    }

    void cancel() {
        const op_id op{1 + below(static_cast<unsigned>(number) + 1)};
        const auto i = std::find_if(model.begin(), model.end(), [&](const entry& e) { return e.op == op; });
        REQUIRE(queue.cancel(out, op) == (i != model.end()));
        if (i != model.end()) model.erase(i);
    }

    void expire() {
        now += std::chrono::milliseconds(below(300));
        if (now < queue.deadline()) {
            for (const entry& e : model)
                if (e.expires != tern::time_point::max()) REQUIRE(e.expires + 100ms > now); // expiry may be 100 ms late
            return;
        }
        queue.on_deadline(out, now);
        std::erase_if(model, [&](const entry& e) {
            if (e.expires > now) return false;
            ends[e.op] = errc::message_expired;
            return true;
        });
    }

    void compare() {
        REQUIRE(queue.size() == model.size());
        REQUIRE(queue.bytes() == bytes());
        for (tern::detail::local_completion m; queue.next_completion(m);) {
            REQUIRE(ends.contains(m.op));
            REQUIRE(m.error == ends[m.op]);
            ends.erase(m.op);
        }
        REQUIRE(ends.empty());
    }

    std::minstd_rand random;
    tern::queue_options options;
    tern::detail::packet_log out;
    tern::detail::send_queue queue;
    std::deque<entry> model;
    std::map<op_id, errc> ends;
    std::uint64_t number = 0;
    tern::time_point now{1h};
};

} // namespace

TEST_CASE("a bounded queue behaves as the reference in random steps") {
    unsigned seed = 0;
    for (const auto action : {full_queue_action::refuse, full_queue_action::wait, full_queue_action::drop_oldest_qos_0,
                              full_queue_action::drop_newest}) {
        for (int run = 0; run != 50; ++run) {
            const bool is_large = seed % 5 == 0; // then cancelling uses an index
            const unsigned messages = is_large ? 200 : 1 + seed % 30;
            const unsigned bytes = is_large ? 2'000 : 10 + seed * 7 % 300;
            both b(++seed, {.messages = messages, .bytes = bytes, .when_full = action});
            for (int step = 0; step != 1'000; ++step) {
                switch (b.below(6)) {
                case 0:
                case 1:
                case 2: b.publish(); break;
                case 3: b.send(); break;
                case 4: b.cancel(); break;
                case 5: b.expire(); break;
                }
                b.compare();
            }
        }
    }
}

// All that can happen to a session and a broker with a few messages between them, two cuts of the connection and one
// loss of the broker's session: every order of steps, every state once, breadth first. In each state the rules hold;
// no order goes on for ever; and where nothing more can happen, all is well. So it ends well from everywhere.
#include "catch.hpp"
#include "states_world.hpp"

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using states::setup;

class search {
public:
    explicit search(const setup& s) : setup_(s) {}

    void run() {
        visit(states::world(setup_), 0, {});
        for (; !to_visit_.empty() && fault_.empty(); to_visit_.pop_front(), ++current_) {
            states::world& here = to_visit_.front();
            const auto steps = here.steps();
            if (steps.empty() || steps.front().kind == states::step::cut) check_end(here);
            for (std::size_t i = 0; i != steps.size() && fault_.empty(); ++i) {
                if (i + 1 == steps.size())
                    take(std::move(here), steps[i]);
                else
                    take(here, steps[i]);
            }
        }
    }

    std::size_t states() const { return came_from_.size(); }
    std::size_t transitions() const { return edges_.size(); }
    /// Which rule was broken, and the shortest way there; empty: none.
    const std::string& fault() const { return fault_; }

    /// Whether some order of steps comes back to where it was.
    bool has_cycle() const {
        std::vector<std::uint32_t> ways_in(states()), free;
        for (const auto& [from, to] : edges_)
            ++ways_in[to];
        std::vector<std::size_t> first(states() + 1); // edges are sorted by where they begin
        for (const auto& [from, to] : edges_)
            ++first[from + 1];
        for (std::size_t i = 0; i != states(); ++i)
            first[i + 1] += first[i];
        free.push_back(0);
        std::size_t removed = 0;
        while (!free.empty()) {
            const std::uint32_t state = free.back();
            free.pop_back();
            ++removed;
            for (std::size_t i = first[state]; i != first[state + 1]; ++i)
                if (--ways_in[edges_[i].second] == 0) free.push_back(edges_[i].second);
        }
        return removed != states();
    }

private:
    struct origin {
        std::uint32_t state = 0;
        states::step step;
    };

    void take(states::world next, states::step step) {
        try {
            next.go(step);
            visit(std::move(next), current_, step);
        } catch (const states::broken& b) {
            tell(b, step);
        }
    }

    void visit(states::world w, std::uint32_t from, states::step step) {
        const auto [known, is_new] = known_.try_emplace(w.describe(), static_cast<std::uint32_t>(known_.size()));
        if (!came_from_.empty()) edges_.emplace_back(from, known->second);
        if (!is_new) return;
        came_from_.push_back({from, step});
        to_visit_.push_back(std::move(w));
    }

    void check_end(const states::world& w) {
        try {
            w.good_end();
        } catch (const states::broken& b) {
            tell(b, {});
        }
    }

    void tell(const states::broken& b, states::step last) {
        std::vector<states::step> way{last};
        for (std::uint32_t state = current_; state != 0; state = came_from_[state].state)
            way.push_back(came_from_[state].step);
        fault_ = b.what + ", after:";
        for (auto step = way.rbegin(); step != way.rend(); ++step)
            fault_ += "\n  " + text(*step);
    }

    setup setup_;
    std::uint32_t current_ = 0;
    std::deque<states::world> to_visit_;
    std::unordered_map<std::string, std::uint32_t> known_;
    std::vector<origin> came_from_; // of each state
    std::vector<std::pair<std::uint32_t, std::uint32_t>> edges_;
    std::string fault_;
};

void explore(const setup& s, std::size_t states, std::size_t transitions) {
    const bool v5 = s.version == tern::protocol_version::v5;
    CAPTURE(v5, s.from_client, s.to_client);
    search all(s);
    all.run();
    INFO(all.fault());
    REQUIRE(all.fault().empty());
    CHECK(!all.has_cycle());
    std::cout << (v5 ? "5.0   " : "3.1.1 ") << s.from_client << " <> " << s.to_client << ": " << all.states()
              << " states, " << all.transitions() << " transitions\n";
    // A number that shrinks without anybody's having meant it is a search that has become blind.
    CHECK(all.states() == states);
    CHECK(all.transitions() == transitions);
}

} // namespace

TEST_CASE("x") {
    const tern::protocol_version v = *std::getenv("V3") ? tern::protocol_version::v3_1_1 : tern::protocol_version::v5;
    explore({v, std::getenv("UP"), std::getenv("DOWN")}, 0, 0);
}

// All runs of a script: whole, byte by byte, split at each point, many packets in one read, and cut after each byte in
// each direction, in each way in which a connection can end, with each state of the broker afterwards. Some of the
// connections after a cut are cut again.
//
// A failed run prints its name. With this name in the environment, the test repeats only that run and traces it:
// TERN_CUT='QoS 1, 5.0, cut out 17, reset, lost, patient' test_session_cuts
#include "catch.hpp"
#include "cuts_simulation.hpp"
#include "support/speed.hpp"

#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace cuts {

namespace {

constexpr std::size_t stride = speed::is_slow ? 7 : 1;

// The distances of double cuts.
constexpr std::size_t first_stride = 13 * stride;
constexpr std::size_t second_stride = 3;

// The test stops after this many failures.
constexpr std::size_t enough = 20;

std::string text(direction d, std::size_t at) {
    return (d == direction::out ? "out " : "in ") + std::to_string(at);
}

std::string text(const cut& c, direction d, std::size_t at) {
    constexpr std::array endings{"close", "reset", "stall", "swallow"};
    constexpr std::array fates{"kept", "lost", "refused", "barred"};
    return "cut " + text(d, at) + ", " + endings[static_cast<std::size_t>(c.how)] + ", " +
           fates[static_cast<std::size_t>(c.then)] + (c.patient ? ", patient" : ", hasty");
}

class runs {
public:
    explicit runs(const char* only) : only_(only ? only : "") {}

    std::size_t count() const noexcept { return count_; }
    std::size_t failures() const noexcept { return failures_; }

    void all(const script& s, protocol_version version, std::size_t offset) {
        const terms t(s, version);
        offset_ = offset;
        name_ = std::string(s.name) + (version == protocol_version::v5 ? ", 5.0, " : ", 3.1.1, ");
        const std::size_t failed_before = failures_;
        std::array<std::size_t, 2> size{};
        attempt("whole", [&] { size = one(s, t, {}); });
        attempt("byte by byte", [&] { one(s, t, {.most = 1}); });
        attempt("byte by byte, reading first", [&] { one(s, t, {.most = 1, .reads_first = true}); });
        attempt("many at once", [&] { one(s, t, {.many = true}); });
        if (failures_ != failed_before) return; // the cuts would fail in the same way
        for (const direction d : {direction::out, direction::in}) {
            const auto i = static_cast<std::size_t>(d);
            for (std::size_t at = 1 + offset % stride; at < size[i]; at += stride) {
                pace p;
                p.split[i] = at;
                attempt([&] { return "split " + text(d, at); }, [&] { one(s, t, p); });
            }
        }
        pace p{.most = 1, .reads_first = offset % 2 != 0};
        p.on_byte = [&](const simulation& w, direction d) {
            if ((w.moved(d) + offset) % stride == 0) cut_here(w, d);
        };
        simulation w(s, t);
        pass([&] { w.run(p); });
    }

private:
    static std::array<std::size_t, 2> one(const script& s, const terms& t, const pace& p) {
        simulation w(s, t);
        w.run(p);
        w.check_end();
        return {w.moved(direction::out), w.moved(direction::in)};
    }

    void cut_here(const simulation& w, direction d) {
        const std::size_t at = w.moved(d);
        for (const ending how : {ending::close, ending::reset, ending::stall, ending::swallow}) {
            for (const fate then : {fate::kept, fate::lost, fate::refused, fate::barred}) {
                // The kind of end is irrelevant before a permanent refusal, so the kinds take turns.
                if (then == fate::barred && at % 4 != static_cast<std::size_t>(how)) continue;
                for (const bool patient : {false, true})
                    one_cut(w, d, {how, then, patient});
            }
        }
        if ((at + offset_) % first_stride != 0) return;
        for (const fate then : {fate::kept, fate::lost})
            cut_twice(w, d, {ending::reset, then, at % 2 == 0});
    }

    void one_cut(const simulation& w, direction d, const cut& c) {
        attempt([&] { return text(c, d, w.moved(d)); },
                [&] {
                    fork_ = w;
                    fork_->end_link(c);
                    fork_->run({});
                    fork_->check_end();
                });
    }

    // Cuts the connection that follows a cut.
    void cut_twice(const simulation& w, direction d, const cut& first) {
        const std::string before = name_;
        name_ += text(first, d, w.moved(d)) + ", then ";
        std::size_t n = w.moved(d);
        pace p{.most = 1};
        p.on_byte = [&](const simulation& next, direction e) {
            if (++n % second_stride != 0) return;
            const std::size_t choice = n / second_stride;
            one_cut(next, e, {static_cast<ending>(choice % 4), static_cast<fate>(choice % 3), choice % 5 < 2});
        };
        simulation next = w;
        pass([&] {
            next.end_link(first);
            next.run(p);
        });
        name_ = before;
    }

    // Continues to the points at which runs are forked.
    template <class Run>
    void pass(const Run& run) {
        const bool was = std::exchange(tracing, only_.starts_with(name_) && !only_.empty());
        try {
            run();
        } catch (const failure& f) {
            report("on the way", f);
        }
        tracing = was;
    }

    template <class Run>
    void attempt(const char* label, const Run& run) {
        attempt([&] { return std::string(label); }, run);
    }
    template <class Label, class Run>
        requires requires(const Label& label) { label(); }
    void attempt(const Label& label, const Run& run) {
        const bool alone = !only_.empty();
        if ((alone && name_ + label() != only_) || failures_ >= enough) return;
        ++count_;
        const bool was = std::exchange(tracing, alone);
        try {
            run();
        } catch (const failure& f) {
            report(label(), f);
        }
        tracing = was;
    }

    void report(const std::string& label, const failure& f) {
        ++failures_;
        std::cout << name_ << label << "\n    " << f.text << '\n';
    }

    std::string_view only_;
    std::string name_;
    std::size_t offset_ = 0;
    std::size_t count_ = 0;
    std::size_t failures_ = 0;
    std::optional<simulation> fork_; // is kept so that its memory is reused
};

} // namespace

void run(std::string_view about, const std::vector<script>& scripts, std::size_t least_runs) {
    const char* const only = std::getenv("TERN_CUT");
    const auto before = std::chrono::steady_clock::now();
    runs all(only);
    std::size_t offset = 0;
    for (const script& s : scripts) {
        ++offset;
        if (s.on != versions::v3_1_1) all.all(s, protocol_version::v5, offset);
        if (s.on != versions::v5) all.all(s, protocol_version::v3_1_1, offset);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    std::cout << about << ": " << scripts.size() << " scripts, " << all.count() << " runs, " << took.count() << " s, "
              << all.failures() << " failed\n";
    CHECK(all.failures() == 0);
    if (!only && stride == 1) CHECK(all.count() >= least_runs);
}

} // namespace cuts

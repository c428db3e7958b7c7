// All requests of a world, what became of them on the wire, and whether the way in which each operation ends is true.
#pragma once

#include "session/worlds/story.hpp"
#include "tern/session/session.hpp"

#include <charconv>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace worlds {

enum class request_kind : std::uint8_t { publish, subscribe, unsubscribe, ping, drain };

struct request {
    request_kind kind = request_kind::publish;
    unsigned qos = 0;
    std::string topic = {};
    std::vector<std::string> filters = {};
    std::vector<tern::qos> max_qos = {}; ///< SUBSCRIBE: of each filter
    tern::time_point asked = {};
    tern::time_point expires = tern::time_point::max(); ///< time to live; drain: its deadline
    std::chrono::seconds expiry_interval{0};            ///< Message Expiry Interval, or 0

    bool has_operation = true;
    bool has_ended = false;
    bool is_withdrawn = false;   ///< `cancel` returned true
    bool is_cancelled = false;   ///< `cancel` returned false
    unsigned cancelled_on = 0;   ///< the number of the connection
    bool was_offered = false;    ///< a byte was offered to the transport
    bool was_sent = false;       ///< all bytes were
    bool was_answered = false;   ///< the client has read the last acknowledgement
    bool was_refused = false;    ///< the client has read a refusal
    bool is_in_doubt = false;    ///< the broker may have had another session than the client believes
    bool begins_again = false;   ///< the session was lost while it was unfinished
    bool is_lost = false;        ///< the same, but it may not begin again
    bool is_forgotten = false;   ///< SUBSCRIBE: the session was lost, and the client does not renew subscriptions
    bool ended_in_doubt = false; ///< PUBCOMP came, perhaps from a new session
    unsigned began_again_on = 0; ///< the number of the connection
    unsigned accepted = 0;       ///< how often the broker has passed the message on
    unsigned repeatable = 0;     ///< how often it rightly may, beyond once
};

/// Requests have numbers, beginning at 1, which are also the ids of their operations. A message has its number in the
/// payload, a SUBSCRIBE or UNSUBSCRIBE in the first filter.
inline unsigned number_in(std::string_view text) {
    unsigned number = 0;
    (void)std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

class ledger {
public:
    bool republishes_qos_2 = false;

    unsigned next() const noexcept { return static_cast<unsigned>(requests_.size()) + 1; }
    request& add(request r) {
        requests_.push_back(std::move(r));
        if (requests_.back().has_operation) open_.insert(next() - 1);
        return requests_.back();
    }
    request& at(unsigned number) {
        demand(number != 0 && number < next(), "request ", number, " was never made");
        return requests_[number - 1];
    }
    bool has(unsigned number) const noexcept { return number != 0 && number < next(); }
    std::vector<request>& all() noexcept { return requests_; }
    const std::set<unsigned>& open() const noexcept { return open_; }
    bool has_open_publish() {
        for (const unsigned number : open_)
            if (at(number).kind == request_kind::publish) return true;
        return false;
    }

    /// The operation of a request was cancelled, and goes on.
    void cancel(unsigned number, unsigned connection) {
        request& r = at(number);
        if (r.is_cancelled) return;
        r.is_cancelled = true;
        r.cancelled_on = connection;
    }
    void withdraw(unsigned number) {
        request& r = at(number);
        demand(open_.erase(number) == 1, "cancel of an operation that has ended succeeded");
        const bool is_qos_0 = r.kind == request_kind::publish && r.qos == 0; // goes out again if it was sent in part
        demand(r.kind == request_kind::drain || !(is_qos_0 ? r.was_sent : r.was_offered), "request ", number,
               " was withdrawn, but it was sent");
        r.has_ended = r.is_withdrawn = true;
    }

    void on_completed(const tern::completed& c, tern::time_point now, bool was_pinged) {
        const auto number = static_cast<unsigned>(c.op);
        request& r = at(number);
        demand(open_.erase(number) == 1, "operation ", number, " ended twice");
        r.has_ended = true;
        const auto fail = [&](const char* why) {
            break_rule("operation ", number, " ended with ", c.error.category().name(), ": ", c.error.message(),
                       ", but ", why);
        };
        if (!c.error && r.ended_in_doubt) fail("perhaps a new session has sent PUBCOMP");
        if (!c.error) return check_success(r, was_pinged, fail);
        if (r.kind == request_kind::ping) return;
        if (r.kind == request_kind::drain) {
            if (c.error == tern::errc::drain_timeout && now < r.expires) fail("its time is not over");
            return;
        }
        // A message of which only a part was sent cannot have been processed.
        if (c.error.category() == tern::usage_category() && r.was_sent) fail("it was sent");
        // The end of a run may have the cause that the broker refused the connection.
        if (c.error.category() == tern::refusal_category() && !r.was_refused &&
            c.error != tern::reason_code::server_unavailable)
            fail("the broker did not refuse it");
        if (c.error == tern::errc::message_expired && now < r.expires) fail("its time is not over");
        if (c.error.category() == tern::outcome_unknown_category() && !r.was_offered) fail("no byte of it was sent");
        const bool ends_with_session = r.is_cancelled || (r.kind == request_kind::publish && r.qos == 2 && r.was_sent);
        if (c.error == tern::errc::session_lost && !ends_with_session) fail("it can begin again");
        if (r.was_answered && !r.is_in_doubt && c.error.category() != tern::refusal_category())
            fail("the broker has acknowledged it");
    }

    /// The broker passes a message on.
    void on_accepted(unsigned number) {
        request& r = at(number);
        ++r.accepted;
        demand(!r.is_withdrawn, "message ", number, " arrived although it was withdrawn");
        if (r.qos == 0) demand(r.accepted == 1, "QoS 0 message ", number, " arrived twice");
        if (r.qos == 2)
            demand(r.accepted <= 1 + r.repeatable, "QoS 2 message ", number, " arrived ", r.accepted, " times");
    }

private:
    template <class Fail>
    void check_success(const request& r, bool was_pinged, Fail fail) {
        switch (r.kind) {
        case request_kind::publish:
            if (r.qos == 0 && !r.was_sent) fail("it was not sent");
            if (r.qos != 0 && !r.was_answered) fail("the broker has not acknowledged it");
            if (r.qos != 0 && r.was_refused) fail("the broker refused it");
            if (r.qos != 0 && r.accepted == 0 && !r.is_in_doubt) fail("the broker does not have it");
            break;
        case request_kind::subscribe:
        case request_kind::unsubscribe:
            if (!r.was_answered) fail("the broker has not acknowledged it");
            if (r.was_refused) fail("the broker refused it");
            break;
        case request_kind::ping:
            if (!was_pinged) fail("there was no PINGRESP");
            break;
        case request_kind::drain:
            if (has_open_publish()) fail("a publish is unfinished");
            break;
        }
    }

    std::vector<request> requests_;
    std::set<unsigned> open_;
};

} // namespace worlds

// One run of a script: session, owner, user, connection and broker on virtual time. It is a value: a run is forked at
// the points at which its connection is cut.
#pragma once

#include "cuts_broker.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace cuts {

enum class direction : std::uint8_t { out, in };

/// The ways in which a connection ends.
enum class ending : std::uint8_t {
    close,   // orderly, and all written bytes have arrived
    reset,   // abruptly, and the written bytes that have not arrived are lost
    stall,   // no bytes arrive, and the system accepts no more bytes
    swallow, // no bytes arrive, and written bytes are lost
};

struct cut {
    ending how = ending::close;
    fate then = fate::kept;
    bool patient = false; // the user waits for the next connection before the next step
};

class simulation;

/// The order and the size in which bytes move.
struct pace {
    std::size_t most = SIZE_MAX; // the maximum size of a piece
    bool reads_first = false;    // the broker's bytes move before the client's
    bool many = false;           // steps follow immediately, and one read returns all of the broker's output
    std::array<std::size_t, 2> split{SIZE_MAX, SIZE_MAX}; // by direction: the position at which the rest waits once
    std::function<void(const simulation&, direction)> on_byte = {};
};

class simulation {
public:
    simulation(const script& s, const terms& t);

    /// Continues to the end of the script, and until no bytes are in flight.
    void run(const pace& p);
    /// Ends the connection.
    void end_link(const cut& c);
    /// Checks the final state, which is independent of cuts, and uses the session once more.
    void check_end();

    std::size_t moved(direction d) const noexcept { return moved_[static_cast<std::size_t>(d)]; }

private:
    bool obey();
    bool write(const pace& p);
    bool read(const pace& p);
    bool lift_split(const pace& p);
    std::size_t room(const pace& p, direction d, std::size_t wanted) const;
    void has_moved(const pace& p, direction d, std::size_t count);
    void lose_link(std::error_code cause);
    void swallow();

    bool may_step() const;
    bool may_step_on_top() const;
    void perform(const step& s);
    record& begin(const step& s);
    void end_begin(tern::errc error);
    tern::errc request_publish(const step& s, tern::op_id op);
    tern::errc request_subscribe(const step& s, tern::op_id op);
    tern::errc request_unsubscribe(const step& s, tern::op_id op);
    void user_connects();
    void set_delivery(tern::delivery d);
    void release_all();

    void poll();
    void on(const tern::received& r);
    void on(const tern::completed& c);
    void on(const tern::authentication_request& asked);
    void on(const tern::connection_event_view& e);

    bool is_settled() const;
    std::string state() const;
    void advance(tern::time_point to);
    bool let_time_pass();
    void check_stall() const;

    struct wish {
        std::string_view filter;
        unsigned qos = 0;
        bool known = true;
        bool wanted = true;
    };

    void check_record(const record& r, std::size_t number) const;
    bool may_end_with(const record& r) const;
    std::vector<wish> wishes() const;
    void check_rest();
    void use_again();

    const script* script_;
    const terms* terms_;
    tern::session session_{1};
    broker broker_;
    tern::time_point now_{1000h};
    ledger all_;
    std::size_t next_ = 0;
    std::size_t last_request_ = 0;
    unsigned open_ = 0;  // operations
    unsigned jumps_ = 0; // of time
    tern::time_point until_{};

    bool linked_ = false;
    bool stalled_ = false;
    bool swallows_ = false;
    tern::time_point stalled_at_{};
    bool was_connected_ = false; // when the connection stalled, and the owner was reading
    std::array<std::size_t, 2> moved_{};
    std::array<bool, 2> lifted_{};

    bool cut_ = false;
    bool patient_ = false;
    bool barred_ = false;
    bool broken_ = false; // a connection ended without the user's request
    bool user_ended_ = false;
    bool ever_connected_ = false; // since the user's connect
    std::vector<std::error_code> stop_errors_;

    std::array<std::string_view, 4> aliases_{}; // the last topic of each alias
    bool reading_ = true;
    bool holding_ = false;
    std::vector<tern::message_token> held_;
    std::array<unsigned, 3> last_delivered_{}; // by QoS
};

} // namespace cuts

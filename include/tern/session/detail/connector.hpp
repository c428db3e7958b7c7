// The procedure that makes connections and ends them. Each step says what the session waits for.
//
//     step        waits for                            leads to
//     idle        connect                              preparing
//     preparing   on_prepared                          opening
//     opening     on_opened                            handshake
//     handshake   CONNACK                              connected; refused: closing
//     connected   the end of the connection            flushing, closing
//     flushing    DISCONNECT to be written             closing (pending_action says so when nothing is pending)
//     closing     on_disconnected                      waiting, ending
//     waiting     the time of the next attempt         preparing
//     ending      the owner to take all events         idle
//
//     preparing to connected  --a violation, a deadline, `disconnect`, `stop`-->  flushing or closing
//     preparing to closing    --on_disconnected-->  waiting if there is a further attempt, otherwise ending
//
//     run          meaning                                        steps
//     not_started  the application has never connected            idle
//     running      it wants to be connected                       preparing to waiting
//     stopping     it does not: no further attempt follows        preparing to closing
//     ended        the last run is over                           ending, idle
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/reconnect_schedule.hpp"
#include "tern/session/time.hpp"

#include <chrono>
#include <cstdint>
#include <system_error>

namespace tern::detail {

enum class connector_step : std::uint8_t {
    idle,
    preparing,
    opening,
    handshake,
    connected,
    flushing,
    closing,
    waiting,
    ending,
};

enum class run_state : std::uint8_t { not_started, running, stopping, ended };

class connector {
public:
    explicit connector(std::uint64_t seed) noexcept : schedule_(seed) {}

    connector_step step() const noexcept { return step_; }
    bool is(connector_step s) const noexcept { return step_ == s; }
    /// How far the present attempt or connection has come, for events.
    connection_phase phase() const noexcept { return phase_; }
    run_state run() const noexcept { return run_; }
    /// Why the connection is closed, or the run has ended. No error: the application wants it.
    const std::error_code& cause() const noexcept { return cause_; }
    reconnect_schedule& schedule() noexcept { return schedule_; }
    const reconnect_schedule& schedule() const noexcept { return schedule_; }

    /// When the present step has lasted too long, or the wait is over.
    time_point deadline() const noexcept { return deadline_; }

    /// How many connections have ended with the application's DISCONNECT.
    std::uint32_t disconnects_sent() const noexcept { return disconnects_sent_; }
    void count_disconnect() noexcept { ++disconnects_sent_; }

    /// Why a request is refused now. Between the end of a run and the next `connect`, all are.
    errc accepts_requests() const noexcept {
        if (run_ == run_state::stopping) return errc::disconnected;
        return run_ == run_state::ended ? errc::not_connected : errc::none;
    }

    void start_run() noexcept { run_ = run_state::running; }
    void stop_run() noexcept { run_ = run_state::stopping; }
    TERN_COLD void end_run(std::error_code cause) noexcept {
        cause_ = cause;
        run_ = run_state::ended;
        enter(connector_step::ending, (time_point::max)());
    }
    void become_idle() noexcept { step_ = connector_step::idle; }

    void prepare() noexcept { begin(connector_step::preparing, connection_phase::preparing, (time_point::max)()); }
    void open() noexcept { // the transport has the time limits
        begin(connector_step::opening, connection_phase::resolving, (time_point::max)());
    }
    void set_opening_phase(connection_phase phase) noexcept {
        if (is_of_opening(phase_) && is_of_opening(phase)) phase_ = phase; // also if a stop has ended the opening
    }
    void begin_handshake(time_point deadline) noexcept {
        begin(connector_step::handshake, connection_phase::handshake, deadline);
    }
    void become_connected() noexcept {
        begin(connector_step::connected, connection_phase::connected, (time_point::max)());
    }
    void wait_until(time_point next_attempt) noexcept { enter(connector_step::waiting, next_attempt); }

    /// Messages may be sent until then.
    void leave_until(time_point deadline) noexcept { deadline_ = deadline; }
    /// Closes the connection after the packets that are queued have been written.
    void flush(std::error_code cause, time_point deadline) noexcept {
        cause_ = cause;
        enter(connector_step::flushing, deadline);
    }
    void close(std::error_code cause) noexcept {
        cause_ = cause;
        enter(connector_step::closing, (time_point::max)());
    }
    void set_cause(std::error_code cause) noexcept { cause_ = cause; }

private:
    friend struct session_inspector;

    static bool is_of_opening(connection_phase phase) noexcept {
        return phase >= connection_phase::resolving && phase <= connection_phase::upgrading;
    }
    void enter(connector_step s, time_point deadline) noexcept {
        step_ = s;
        deadline_ = deadline;
    }
    TERN_COLD void begin(connector_step s, connection_phase phase, time_point deadline) noexcept {
        enter(s, deadline);
        phase_ = phase;
        cause_ = {};
    }

    reconnect_schedule schedule_;
    time_point deadline_ = (time_point::max)();
    std::error_code cause_;
    connector_step step_ = connector_step::idle;
    run_state run_ = run_state::not_started;
    connection_phase phase_ = connection_phase::preparing;
    std::uint32_t disconnects_sent_ = 0;
};

} // namespace tern::detail

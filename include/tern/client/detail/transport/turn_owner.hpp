// The interface of the engine that the driver of a transport uses.
#pragma once

#include <memory>

namespace tern::detail {

class turn_owner {
public:
    /// Processes all changes by an operation of the transport. The driver has set the time of the turn.
    virtual void run_turn() = 0;
    /// The deadline of the session or of the owner is reached, and everything received before was processed. `run_turn`
    /// follows.
    virtual void on_deadline() = 0;
    /// Requests a turn: this one repeats its work, or a later one follows. Throws if allocation fails.
    virtual void request_turn() = 0;
    /// Returns an owner that keeps the engine, and thus the driver, alive while an operation is outstanding.
    virtual std::shared_ptr<void> keep_alive() = 0;

    turn_owner() = default;
    turn_owner(const turn_owner&) = delete;
    turn_owner& operator=(const turn_owner&) = delete;

protected:
    ~turn_owner() = default;
};

} // namespace tern::detail

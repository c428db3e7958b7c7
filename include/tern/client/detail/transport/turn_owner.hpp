// What the driver of a transport knows of the engine above it.
#pragma once

#include <memory>

namespace tern::detail {

class turn_owner {
public:
    /// Handles all that an operation of the transport has changed. The time of the turn has been set.
    virtual void run_turn() = 0;
    /// Asks for a turn: in this one, or else later. Throws without memory for that.
    virtual void request_turn() = 0;
    /// Keeps the engine, and so the driver, alive while an operation is outstanding.
    virtual std::shared_ptr<void> keep_alive() = 0;

    turn_owner() = default;
    turn_owner(const turn_owner&) = delete;
    turn_owner& operator=(const turn_owner&) = delete;

protected:
    ~turn_owner() = default;
};

} // namespace tern::detail

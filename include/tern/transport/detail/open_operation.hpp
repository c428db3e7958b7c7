// The operation that opens a socket of a transport.
//
// The operation itself only waits for `Opening::end`, a timer that the last step cancels. It alone stores the handler
// during all steps, so that a step which runs out of memory can still report it.
#pragma once

#include <memory>
#include <system_error>
#include <utility>

namespace tern::detail {

/// It is small, because Asio reuses its memory for the timer on which an idle client waits.
template <class Opening>
struct open_operation {
    std::weak_ptr<Opening>& current; // of the transport, which abandons it when it is closed
    std::shared_ptr<Opening> fresh;

    template <class Self>
    void operator()(Self& self) {
        if (const auto previous = current.lock()) previous->abandon();
        const auto started = fresh; // `self` is moved below
        current = started;
        try {
            started->start();
            started->end.async_wait(std::move(self));
        } catch (...) {
            started->abandon();
            throw;
        }
    }

    template <class Self>
    void operator()(Self& self, const std::error_code&) {
        current.reset(); // a weak pointer keeps the memory allocated
        const std::error_code result = fresh->error;
        fresh.reset();
        self.complete(result);
    }
};

} // namespace tern::detail

// Makes the engine of a client. A file that includes this header compiles the engine, the session and the codec for
// each transport of its clients.
#pragma once

#include "tern/client/detail/engine.hpp"
#include "tern/client/detail/engine_base.hpp"
#include "tern/client/detail/transport/transport_check.hpp"
#include "tern/detail/inline.hpp"

#include <memory>
#include <utility>

namespace tern::detail {

template <class Transport, class Executor>
TERN_COLD std::shared_ptr<engine_base<Executor>> make_engine(const Executor& executor) {
    check_transport<Transport>();
    return std::make_shared<engine<Transport>>(Transport(executor));
}

template <class Transport, class Executor>
TERN_COLD std::shared_ptr<engine_base<Executor>> make_engine_on(Transport transport) {
    check_transport<Transport>();
    return std::make_shared<engine<Transport>>(std::move(transport));
}

} // namespace tern::detail

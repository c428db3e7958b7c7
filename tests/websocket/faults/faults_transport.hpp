// The transport of the runs with faults: WebSocket over the network.
#pragma once

#include "../../network/faults_link.hpp"
#include "../websocket_server.hpp"
#include "tern/testing/broker.hpp"
#include "tern/transport/websocket.hpp"

using faulty_transport = tern::basic_websocket<faulty_link>;

/// Accepts connections of such transports for a broker.
inline auto acceptor_for(tern::testing::broker& broker) {
    return websocket_test::websocket_acceptor(broker);
}

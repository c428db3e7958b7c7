// The transport of the runs with faults: the network itself.
#pragma once

#include "../faults_link.hpp"
#include "tern/testing/broker.hpp"

using faulty_transport = faulty_link;

/// Accepts connections of such transports for a broker.
inline auto acceptor_for(tern::testing::broker& broker) {
    return broker.acceptor();
}

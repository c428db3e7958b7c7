// The ways to a broker without TLS, for a build without OpenSSL.
#include "support/transport_arguments.hpp"

namespace example {

void transport_arguments::apply(tern::any_transport& transport) const {
    transport.set_options(proxy);
}

bool has_tls() {
    return false;
}

} // namespace example

// The ways to a broker, with TLS.
#include "support/command_line.hpp"
#include "support/transport_arguments.hpp"
#include "tern/client/any_client_tls.hpp"

namespace example {

void transport_arguments::apply(tern::any_transport& transport) const {
    tern::tls_options options;
    options.ca_file = path_of(ca_file);
    options.certificate_file = path_of(certificate_file);
    options.key_file = path_of(key_file);
    if (verify == verification::off) options.verification = tern::tls_verification::none_insecure;
    transport.set_options(options);
    transport.set_options(proxy);
}

bool has_tls() {
    return true;
}

} // namespace example

// `tern::any_client` with the schemes that need TLS: mqtts and wss. If one file of a program includes this header, all
// clients of the program have them. Needs OpenSSL, as the targets tern::tls and tern::compiled_tls of CMake provide it.
//
//     tern::any_client client{context};
//     client.transport().set_options(tern::tls_options{.ca_file = "ca.pem"});
#pragma once

#include "tern/client/any_client.hpp"
#include "tern/transport/any_tls.hpp"

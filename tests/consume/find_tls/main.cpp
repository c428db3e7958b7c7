// A program that uses TLS.
#include "tern/tern.hpp"
#include "tern/transport/tls.hpp"

#include <asio/io_context.hpp>

#include <cstdio>
#include <system_error>

int main() {
    asio::io_context context;
    tern::basic_client<tern::tls> client(context);
    client.transport().set_options({.ca_file = "missing.pem"});
    std::error_code result;
    client.async_connect({.host = "localhost"},
                         [&](std::error_code error, const tern::connect_result&) { result = error; });
    context.run();
    std::puts(result.message().c_str());
    return result == tern::tls_errc::unreadable_ca_file ? 0 : 1;
}

// The client, and the engine for any transport.
//
// `client.hpp` includes this in the header-only form. In the compiled form (`TERN_SEPARATE_COMPILATION`) the library
// has the engine of a client over TCP, and a file that makes a client over another transport includes this one.
#pragma once

#include "tern/client/basic_client.hpp"
#include "tern/client/detail/make_engine.hpp"

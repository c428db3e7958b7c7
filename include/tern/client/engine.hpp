// The client, and the engine for any transport.
//
// `client.hpp` includes this header in the header-only form. In the compiled form (`TERN_SEPARATE_COMPILATION`) the
// library contains the engine of a client over TCP. A file that constructs a client over another transport includes
// this header.
#pragma once

#include "tern/client/basic_client.hpp"
#include "tern/client/detail/make_engine.hpp"

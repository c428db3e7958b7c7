// Everything except the formatters, which need fmt, and the tools for tests. In the
// compiled form it is what a program that uses clients needs: for the packets and the session include `core.hpp` too,
// for the transport `transport/tcp.hpp`.
#pragma once

#include "tern/client/client.hpp"
#include "tern/topic.hpp"
#include "tern/topic_map.hpp"

#if !defined(TERN_SEPARATE_COMPILATION)
#include "tern/core.hpp"
#endif

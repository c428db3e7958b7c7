// Everything except the formatters, which need fmt, and the tools for tests.
#pragma once

#include "tern/client/client.hpp"
#include "tern/core.hpp"
#include "tern/transport/tcp.hpp"

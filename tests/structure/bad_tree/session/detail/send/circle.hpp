#include "tern/session/detail/send/other_half.hpp"

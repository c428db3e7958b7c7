#include "tern/session/detail/send/circle.hpp"

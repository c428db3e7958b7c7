// Tern's headers compile after <windows.h> with all that it declares. <winsock2.h> precedes it, as Asio requires.
// clang-format off
#include <winsock2.h>
#include <windows.h>
// clang-format on

#include "every_header.hpp"

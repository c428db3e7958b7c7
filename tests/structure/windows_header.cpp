// Tern's headers compile after <windows.h> with all that it declares. <winsock2.h> precedes it, as Asio requires.
#include <winsock2.h>

#include <windows.h>

#include "every_header.hpp"

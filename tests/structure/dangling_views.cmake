# Compiles views of owning objects, and checks that the compiler refuses those that would dangle, and why.
#
#     cmake -DCOMPILER=... -DFLAGS=... -DINCLUDES=... -DSOURCE=... -P dangling_views.cmake
include("${CMAKE_CURRENT_LIST_DIR}/refused_code.cmake")

set(inaccessible "inaccessible base" "protected base class" "exists, but is inaccessible") # GCC, Clang, MSVC
set(deleted "deleted function" "deleted member function")

compile()
compile(MESSAGE_TO_VIEW ${inaccessible})
compile(RECEIVED_MESSAGE_TO_VIEW ${inaccessible})
compile(NAMED_MESSAGE_TO_VIEW ${inaccessible})
compile(ACKNOWLEDGEMENT_TO_VIEW ${inaccessible})
compile(CONNECT_RESULT_TO_VIEW ${inaccessible})
compile(EVENT_TO_VIEW ${inaccessible})
compile(REFERENCE_TO_VIEW ${inaccessible})
compile(VIEW_OF_TEMPORARY ${deleted})
compile(VIEW_OF_MOVED ${deleted})
compile(VIEW_OF_TEMPORARY_ACKNOWLEDGEMENT ${deleted})

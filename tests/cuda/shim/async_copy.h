// cp.async: the destination is poisoned when a copy is asked for and filled when it is waited for, the latest
// moment that hardware allows: whoever reads earlier reads what must not be read.
#pragma once
#include <cstdint>

namespace sim {

void async_copy16(void* to, const void* from, bool valid);
void async_commit();
void async_wait(int groups_left);

}  // namespace sim

// SPDX-License-Identifier: Apache-2.0
// copy_short_plain_test.cc: see copy_short_test.cc.
#define COPY_SHORT_PLAIN
#include "copy_short_test.cc"

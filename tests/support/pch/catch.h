// SPDX-License-Identifier: Apache-2.0
// catch.h: precompiled for programs of four test files or more: to compile it takes as long as to
// read it three times. Nothing may rely on it: each test includes what it needs.
#include <catch2/catch.hpp>

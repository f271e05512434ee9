/* SPDX-License-Identifier: Apache-2.0 */
/* doorbell.pml: two producers and a daemon that sleeps without a time limit: when nothing moves any
 *   more, every committed record was drained. The library's accesses under weak memory are
 *   scenarios.cc's; here is the protocol round and round, under one order of all accesses.
 *   Source docs/abi.md#doorbell. */
#define RECORDS 2 /* of each producer */

byte committed;
byte drained;
byte epoch;      /* odd: the daemon sleeps or is about to */
byte epoch_rung; /* of the process both producers are threads of */
bool armed;      /* a futex wait is queued */
bool woken;
byte rings;
byte sleeps;

proctype Producer() {
  byte count;
  byte seen;
  byte rung;
  bool taken;
  do
  :: count < RECORDS ->
#ifdef BROKEN_LOOKS_BEFORE_IT_COMMITS
     seen = epoch;
     committed++;
#else
     committed++;
     seen = epoch; /* behind the light barrier */
#endif
     count++;
     rung = epoch_rung;
     if
     :: seen % 2 == 1 && seen != rung ->
        atomic {
          taken = (epoch_rung == rung);
          if
          :: taken -> epoch_rung = seen
          :: else
          fi
        }
        if
        :: taken ->
           atomic {
             rings++;
             if
             :: armed -> armed = false; woken = true
             :: else
             fi
           }
        :: else
        fi
     :: else
     fi
  :: else -> break
  od
}

proctype Daemon() {
  do
  :: drained < committed -> drained = committed
  :: else ->
#ifdef BROKEN_ARMS_TOO_LATE
     epoch++;
     armed = true; /* a ring before this found nobody */
#else
     armed = true;
#ifdef BROKEN_EPOCH_NEVER_ENDS
     epoch = 1;
#else
     epoch++;
#endif
#endif
     sleeps++;
     /* membarrier */
#ifndef BROKEN_SLEEPS_WITHOUT_A_SCAN
     if
     :: drained < committed -> armed = false; woken = false; goto awake
     :: else
     fi;
#endif
end_asleep:
     woken;
     woken = false;
awake:
#ifndef BROKEN_EPOCH_NEVER_ENDS
     epoch++
#else
     skip
#endif
  od
}

active proctype Quiet() {
  timeout;
  assert(drained == committed);
  assert(rings <= committed) /* one an epoch, but for who looked long ago */
}

init {
  atomic {
    run Producer();
    run Producer();
    run Daemon()
  }
}

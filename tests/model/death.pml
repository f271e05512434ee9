/* SPDX-License-Identifier: Apache-2.0 */
/* death.pml: producer and daemon, either of which may be killed between any two steps; a producer
 *   lives twice, the daemon up to three times. When nothing moves any more, every committed record
 *   has settled, repeats are bounded by the daemon's deaths, and every dead segment is gone.
 *   Source docs/abi.md#death-matrix. */
#define LIVES 2       /* of the producer, each with a segment of its own */
#define RECORDS 2     /* of each life */
#define KILLS 2       /* of the daemon */

byte written[LIVES];  /* records whose bytes stand in the lane */
byte tail[LIVES];
bool named[LIVES];
bool held[LIVES];     /* the lock that the mapping holds */
bool ended[LIVES];    /* this life of the producer is over */
byte release[LIVES];
byte received[LIVES * RECORDS]; /* by the backend */
byte kills;

#define OR_DIE(step) if :: step :: goto killed fi
#define OR_BE_KILLED(step) if :: step :: kills < KILLS -> goto killed fi

proctype Producer() {
  byte life;
  byte count;
  do
  :: life < LIVES ->
     count = 0;
     OR_DIE(held[life] = true);  /* under a temporary name */
     OR_DIE(named[life] = true);
     do
     :: count < RECORDS ->
#ifdef BROKEN_TAIL_BEFORE_BYTES
        OR_DIE(tail[life]++);
        OR_DIE(written[life]++);
#else
        OR_DIE(written[life]++);
        OR_DIE(tail[life]++);
#endif
        count++
     :: else -> break
     od;
killed:
     held[life] = false;
     ended[life] = true;
     life++
  :: else -> break
  od
}

proctype Daemon() {
  byte cursor[LIVES];
  byte seen;
  byte s;
born:
  s = 0;
  do
  :: s < LIVES -> cursor[s] = release[s]; s++
  :: else -> break
  od;
  s = 0;
end_idle:
  do
  :: named[0] && (cursor[0] < tail[0] || !held[0]) -> s = 0; goto visit
  :: named[1] && (cursor[1] < tail[1] || !held[1]) -> s = 1; goto visit
  od;
visit:
  seen = tail[s];
  assert(written[s] >= seen); /* no half record */
#ifdef BROKEN_RELEASES_BEFORE_IT_SETTLES
  OR_BE_KILLED(release[s] = seen);
#endif
  do
  :: cursor[s] < seen -> OR_BE_KILLED(atomic { received[s * RECORDS + cursor[s]]++; cursor[s]++ })
  :: else -> break
  od;
#ifdef BROKEN_SETTLES_TWICE
  if
  :: seen > 0 -> received[s * RECORDS]++
  :: else
  fi;
#endif
  OR_BE_KILLED(release[s] = cursor[s]);
  if
  :: !held[s] ->
#ifndef BROKEN_REAPS_WITHOUT_ANOTHER_LOOK
     if
     :: tail[s] != cursor[s] -> goto end_idle
     :: else
     fi;
#endif
     OR_BE_KILLED(skip); /* reaped is written */
     assert(release[s] == tail[s]);
     OR_BE_KILLED(named[s] = false)
  :: else
  fi;
  seen = 0;
  goto end_idle;
killed:
  kills++;
  seen = 0;
  goto born
}

active proctype Quiet() {
  byte s;
  byte r;
  timeout;
  do
  :: s < LIVES ->
     assert(ended[s] && !named[s]);
     r = 0;
     do
     :: r < RECORDS ->
        assert(r >= tail[s] || received[s * RECORDS + r] >= 1);
        assert(r < tail[s] || received[s * RECORDS + r] == 0);
        assert(received[s * RECORDS + r] <= 1 + kills);
        r++
     :: else -> break
     od;
     s++
  :: else -> break
  od
}

init {
  atomic {
    run Producer();
    run Daemon()
  }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* write_pages.c segment|ack|state: one page in layout.h's structs, on standard output.
 *   Owns    the values; golden/<page>.hex says the same byte by byte, written from docs/abi.md.
 *   Never   sets a byte by its place: that is what the structs are compared for. */
#include <stdio.h>
#include <string.h>

#include "otlpshm/layout.h"

#define TIME UINT64_C(1700000000000000000)

static struct otlpshm_file_header header_of(uint64_t magic, uint64_t bytes) {
  struct otlpshm_file_header header = {.magic = magic,
                                       .major = OTLPSHM_ABI_MAJOR,
                                       .minor = OTLPSHM_ABI_MINOR,
                                       .header_bytes = sizeof header,
                                       .file_bytes = bytes,
                                       .created_unix_nano = TIME};
  for (unsigned i = 0; i < sizeof header.id; i++) header.id[i] = (uint8_t)(0x11 * i);
  return header;
}

static size_t write_segment(void) {
  struct otlpshm_segment_header page = {
      .file = header_of(OTLPSHM_SEGMENT_MAGIC, OTLPSHM_LANE_AREAS_OFFSET + 65536),
      .lane_count = 1,
      .producer_pid = 4242,
      .library = "libotlpshm 0.1.0",
      .lanes = {{.area_offset = OTLPSHM_LANE_AREAS_OFFSET, .area_bytes = 65536}}};
  return fwrite(&page, sizeof page, 1, stdout);
}

static size_t write_ack(void) {
  static uint8_t file[OTLPSHM_ACK_FILE_BYTES(1)];
  struct otlpshm_ack_header page = {.file = header_of(OTLPSHM_ACK_MAGIC, sizeof file),
                                    .lane_count = 1,
                                    .state = otlpshm_ack_live,
                                    .adoptions = 2,
                                    .flush_echo = 9};
  page.dropped_echo[otlpshm_drop_lane_full] = 5;
  page.dropped_echo[otlpshm_drop_record_too_large] = 2;
  struct otlpshm_ack_slot slot = {
      .selector = 3,
      .copies = {{.release = 2048, .sequence = 6, .exported = 6},
                 {.release = 4096, .sequence = 12, .exported = 10, .attempts = 1}}};
  slot.copies[1].dropped[otlpshm_drop_invalid_header - OTLPSHM_DAEMON_REASON_FIRST] = 1;
  slot.copies[1].dropped[otlpshm_drop_export_rejected - OTLPSHM_DAEMON_REASON_FIRST] = 1;
  memcpy(file, &page, sizeof page);
  memcpy(file + OTLPSHM_ACK_SLOTS_OFFSET, &slot, sizeof slot);
  return fwrite(file, sizeof file, 1, stdout);
}

static size_t write_state(void) {
  const uint64_t tsc = UINT64_C(0x0102030405060708);
  struct otlpshm_state page = {.file = header_of(OTLPSHM_STATE_MAGIC, OTLPSHM_STATE_FILE_BYTES),
                               .lives = 3,
                               .heartbeat = 17,
                               .doorbell = 1,
                               .sleep_epoch = 5,
                               .policy = {.generation = 2,
                                          .flags = OTLPSHM_POLICY_THRESHOLD | OTLPSHM_POLICY_RATE |
                                                   OTLPSHM_POLICY_LIMITS | OTLPSHM_POLICY_RULES,
                                          .pressure_level = 1,
                                          .threshold = UINT64_C(1) << 55,
                                          .spans_per_second = 1000,
                                          .attribute_count = 64,
                                          .attribute_value_bytes = 256,
                                          .event_count = 32,
                                          .link_count = 16,
                                          .record_bytes = 65536,
                                          .rules_offset = OTLPSHM_STATE_RULES_OFFSET,
                                          .rules_bytes = 4},
                               .clock = {.generation = 4,
                                         .tsc = tsc,
                                         .unix_nano = TIME,
                                         .expiry_tsc = tsc + UINT64_C(12500000000),
                                         .multiplier = 1717986918,
                                         .shift = 32},
                               .rules = {1, 2, 3, 4}};
  return fwrite(&page, sizeof page, 1, stdout);
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "segment") == 0) return write_segment() != 1;
  if (argc == 2 && strcmp(argv[1], "ack") == 0) return write_ack() != 1;
  if (argc == 2 && strcmp(argv[1], "state") == 0) return write_state() != 1;
  fprintf(stderr, "usage: write_pages segment|ack|state\n");
  return 64;
}

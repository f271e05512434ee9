/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.h: what plugin.c exports. */
#ifndef OTLPSHM_TESTS_HOSTILE_PLUGIN_H
#define OTLPSHM_TESTS_HOSTILE_PLUGIN_H

#ifdef __cplusplus
extern "C" {
#endif

#define PLUGIN_API __attribute__((visibility("default")))

PLUGIN_API int plugin_open(const char* directory);
PLUGIN_API unsigned long plugin_write(unsigned long count); /* how many were kept */
PLUGIN_API unsigned long plugin_ended(void);
PLUGIN_API int plugin_shutdown(void);

#ifdef __cplusplus
}
#endif

#endif

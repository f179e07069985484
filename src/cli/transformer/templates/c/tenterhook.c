// The border between Tenterhook and transformer.c: usually nothing to change here.
#include "tenterhook.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("tenterhook:transformer/host@1.1.0"), import_name("log"))) void
host_log(int32_t level, const char *at, size_t len);

void log_line(enum level level, text line) { host_log(level, line.at, line.len); }

/// Where the host puts what it passes in.
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  (void)old_size;
  if (size == 0) return (void *)align;
  void *at = realloc(old, size);
  if (at == NULL) abort();
  return at;
}

EXPORT("describe") const description *export_describe(void) {
  static description made;
  made = describe();
  return &made;
}

EXPORT("check") const checked *export_check(const char *at, size_t len) {
  static checked made;
  made = check((text){at, len});
  return &made;
}

EXPORT("transform") const transformed *export_transform(const event *events, size_t events_len, const char *at, size_t len) {
  static transformed made;
  made = transform(events, events_len, (text){at, len});
  return &made;
}

text concat(size_t count, const text *parts) {
  size_t len = 0;
  for (size_t i = 0; i < count; i++) len += parts[i].len;
  char *whole = malloc(len + 1);
  if (whole == NULL) abort();
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    memcpy(whole + at, parts[i].at, parts[i].len);
    at += parts[i].len;
  }
  return (text){whole, len};
}

int starts_with(text whole, const char *prefix) {
  size_t len = strlen(prefix);
  return whole.len >= len && memcmp(whole.at, prefix, len) == 0;
}

static const char *skip_space(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) at++;
  return at;
}

/// From behind the quote that opens a string to the quote that closes it.
static const char *string_end(const char *at, const char *end) {
  while (at < end && *at != '"') at += *at == '\\' ? 2 : 1;
  return at < end ? at : end;
}

/// From a value's first character to behind its last one.
static const char *value_end(const char *at, const char *end) {
  size_t depth = 0;
  for (; at < end; at++) {
    if (*at == '"') at = string_end(at + 1, end);
    else if (*at == '{' || *at == '[') depth++;
    else if ((*at == '}' || *at == ']') && depth-- == 0) return at;
    else if (*at == ',' && depth == 0) return at;
  }
  return end;
}

text json_string(text object, const char *key, text otherwise) {
  const char *at = object.at, *end = object.at + object.len;
  at = skip_space(at, end);
  if (at == end || *at != '{') return otherwise;
  for (at = skip_space(at + 1, end); at < end && *at == '"'; at = skip_space(at + 1, end)) {
    const char *name = at + 1, *name_end = string_end(name, end);
    at = skip_space(name_end < end ? name_end + 1 : end, end);
    if (at == end || *at != ':') return otherwise;
    at = skip_space(at + 1, end);
    if ((size_t)(name_end - name) == strlen(key) && memcmp(name, key, name_end - name) == 0) {
      if (at == end || *at != '"') return otherwise;
      return (text){at + 1, string_end(at + 1, end) - at - 1};
    }
    at = value_end(at, end);
    if (at == end || *at != ',') return otherwise;
  }
  return otherwise;
}

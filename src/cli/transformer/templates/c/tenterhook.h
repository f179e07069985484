// The interface of wit/1.1.0/transformer.wit in C. The structures have the layout of the component model's canonical ABI
// in 32 bits, so nothing is converted: usually nothing to change here.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// UTF-8, without a 0 at its end.
typedef struct {
  const char *at;
  size_t len;
} text;

#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

typedef struct {
  uint8_t is_some;
  text value;
} maybe_text;

typedef struct {
  text id, type, timestamp;
  /// JSON, byte for byte as published.
  text data;
  maybe_text metadata, tenant;
} event;

typedef struct {
  text name, value;
} header;

typedef struct {
  /// 0: `body` is UTF-8, 1: any bytes.
  uint8_t is_bytes;
  text body;
  const header *headers;
  size_t headers_len;
  /// Not there: POST, and the webhook's own URL.
  maybe_text method, url;
} request;

typedef struct {
  enum { OUTCOME_EVENT, OUTCOME_EVENTS, OUTCOME_REQUEST, OUTCOME_DROP } tag;
  union {
    event event;
    struct {
      const event *at;
      size_t len;
    } events;
    request request;
    text drop;
  };
} outcome;

typedef struct {
  text name, version, summary, options_schema;
} description;

/// `is_error` with the error's text, or `ok`.
typedef struct {
  uint8_t is_error;
  union {
    outcome ok;
    text error;
  };
} transformed;

typedef struct {
  uint8_t is_error;
  text error;
} checked;

enum level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR };

/// Writes a line into the attempt's log.
void log_line(enum level level, text line);

/// The parts, one after the other. Memory is never given back: each call has an instance of its own.
text concat(size_t count, const text *parts);

/// The string `key` of a JSON object, as it is written between its quotes: escapes stay, so it fits into other JSON as it
/// is. Without that key, or if it is no string: `otherwise`.
text json_string(text object, const char *key, text otherwise);

int starts_with(text whole, const char *prefix);

// Yours, in transformer.c.

description describe(void);
/// Are these options (a JSON object) good? Called when a configuration is loaded.
checked check(text options);
/// One event, or several of a webhook with `batch` (oldest first).
transformed transform(const event *events, size_t events_len, text options);

// @NAME@: a Tenterhook transformer. Edit `transform`; `describe` and `check` say what its options are.
#include "tenterhook.h"

description describe(void) {
  return (description){
      .name = TEXT("@NAME@"),
      .version = TEXT("0.1.0"),
      .summary = TEXT("Greets every event"),
      .options_schema = TEXT("{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"greeting\":"
                             "{\"type\":\"string\",\"minLength\":1,\"default\":\"Hello\","
                             "\"description\":\"What the text begins with\"}}}"),
  };
}

// The error is shown to the person who wrote the options.
checked check(text options) {
  if (json_string(options, "greeting", TEXT("Hello")).len == 0) {
    return (checked){.is_error = 1, .error = TEXT("option `greeting` is empty")};
  }
  return (checked){0};
}

// An error fails the attempt, which is retried: return (transformed){.is_error = 1, .error = TEXT("why")}.
transformed transform(const event *events, size_t events_len, text options) {
  (void)events_len;
  event event = events[0];
  if (starts_with(event.type, "test.")) {
    return (transformed){.ok = {.tag = OUTCOME_DROP, .drop = TEXT("tests are not greeted")}};
  }
  log_line(LEVEL_DEBUG, concat(2, (text[]){TEXT("greeting "), event.id}));
  text greeting = json_string(options, "greeting", TEXT("Hello")), name = json_string(event.data, "name", TEXT("world"));
  text body = concat(7, (text[]){TEXT("{\"text\":\""), greeting, TEXT(", "), name, TEXT("\",\"type\":\""), event.type, TEXT("\"}")});
  static const header headers[] = {{TEXT("x-greeter"), TEXT("1")}};
  return (transformed){.ok = {.tag = OUTCOME_REQUEST, .request = {.body = body, .headers = headers, .headers_len = 1}}};
}

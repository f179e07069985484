//! Guests as text: a core module around one body of `transform`, lifted to the world.

/// The types of the world, imported and named, as every component does that was built for it.
const TYPES: &str = r#"
  (import "tenterhook:transformer/types@1.0.0" (instance $types
    (type $event_ (record (field "id" string) (field "type" string) (field "timestamp" string) (field "data" string)
      (field "metadata" (option string)) (field "tenant" (option string))))
    (export "event" (type $event (eq $event_)))
    (type $body_ (variant (case "text" string) (case "bytes" (list u8))))
    (export "body" (type $body (eq $body_)))
    (type $request_ (record (field "body" $body) (field "headers" (list (tuple string string)))
      (field "method" (option string)) (field "url" (option string))))
    (export "request" (type $request (eq $request_)))
    (type $outcome_ (variant (case "event" $event) (case "request" $request) (case "drop" string)))
    (export "outcome" (type $outcome (eq $outcome_)))
    (type $description_ (record (field "name" string) (field "version" string) (field "summary" string)
      (field "options-schema" string)))
    (export "description" (type $description (eq $description_)))
  ))
  (alias export $types "event" (type $event))
  (alias export $types "outcome" (type $outcome))
  (alias export $types "description" (type $description))
  (import "tenterhook:transformer/host@1.0.0" (instance $host
    (type $level_ (enum "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level_)))
    (export "log" (func (param "level" $level) (param "message" string)))
  ))
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
  ))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $pollable_))
    (export "pollable" (type $pollable (eq $pollable_)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))
  ))
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error (type $error_))
    (export "error" (type $error (eq $error_)))
    (export "output-stream" (type $stream (sub resource)))
    (type $stream-error_ (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error_)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))
  ))
  (alias export $streams "output-stream" (type $stream))
  (import "wasi:cli/stderr@0.2.0" (instance $stderr
    (alias outer 1 $stream (type $stream_))
    (export "output-stream" (type $stream (eq $stream_)))
    (export "get-stderr" (func (result (own $stream))))
  ))
"#;

/// Memory, an allocator that never frees, and what the guest hands over: `"name"`, `"1"`, `"text"`, `"{}"`.
const LIBC: &str = r#"
  (core module $libc
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $next)
      (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 15)) (i32.const -16))))
    (data (i32.const 1024) "name1text{}x\r\ny")
    ;; The description: four strings.
    (data (i32.const 2048) "\00\04\00\00\04\00\00\00" "\04\04\00\00\01\00\00\00" "\05\04\00\00\04\00\00\00" "\09\04\00\00\02\00\00\00")
    ;; 3072: ok of check, all zero. 4096: what transform returns, filled in by its body.
  )
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $log (canon lower (func $host "log") (memory $memory)))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $sleep (canon lower (func $clock "subscribe-duration")))
  (core func $stderr (canon lower (func $stderr "get-stderr")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
"#;

const EXPORTS: &str = r#"
  (func $describe (result $description)
    (canon lift (core func $guest "describe") (memory $memory) (realloc $realloc)))
  (func $check (param "options" string) (result (result (error string)))
    (canon lift (core func $guest "check") (memory $memory) (realloc $realloc)))
  (func $transform (param "events" (list $event)) (param "options" string) (result (result $outcome (error string)))
    (canon lift (core func $guest "transform") (memory $memory) (realloc $realloc)))
  (export "describe" (func $describe))
  (export "check" (func $check))
  (export "transform" (func $transform))
"#;

/// A component whose `transform` is `body`, with `fields` (memories, functions) beside it. The body leaves the address
/// of the result: 4096 is free for it. Events and options are parameters 0 to 3.
pub fn guest_with(fields: &str, body: &str) -> String {
    format!(
        r#"(component {TYPES} {LIBC}
  (core module $guest
    (import "libc" "memory" (memory $memory 2))
    (import "host" "log" (func $log (param i32 i32 i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "sleep" (func $sleep (param i64) (result i32)))
    (import "host" "stderr" (func $stderr (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    {fields}
    (func (export "describe") (result i32) (i32.const 2048))
    (func (export "check") (param i32 i32) (result i32) (i32.const 3072))
    (func (export "transform") (param i32 i32 i32 i32) (result i32) {body})
  )
  (core instance $guest (instantiate $guest
    (with "libc" (instance $libc))
    (with "host" (instance (export "log" (func $log)) (export "block" (func $block)) (export "sleep" (func $sleep))
      (export "stderr" (func $stderr)) (export "write" (func $write))))))
  {EXPORTS})"#
    )
}

pub fn guest(body: &str) -> String {
    guest_with("", body)
}

/// Stores words at 4096 and on, and returns that address.
pub fn returning(words: &[u32]) -> String {
    let stores = words.iter().enumerate().map(|(index, word)| {
        let address = 4096 + 4 * index;
        format!("(i32.store (i32.const {address}) (i32.const {}))\n", word.cast_signed())
    });
    stores.collect::<String>() + "(i32.const 4096)"
}

/// `ok(drop("text"))`
pub fn dropping() -> String {
    returning(&[0, 2, 0x405, 4])
}

;; A component that keeps the sum of its payload's bytes where `encoderfile:encoder` keeps a model. Its
;; `open` does what else the tests say.
(component
  (import "wasi:clocks/monotonic-clock@0.2.12" (instance $clock
    (export "now" (func (result u64)))))
  (type $model (resource (rep i32)))

  (core module $guest
    (import "host" "now" (func $now (result i64)))
    (import "host" "new" (func $new (param i32) (result i32)))
    (memory (export "memory") 1)
    (global $opened (mut i32) (i32.const 0))
    (data (i32.const 16) "no model")
    (func $payload (export "encoderfile_payload") (result i64) i64.const 0)
    (func $sum (result i32) (local $at i32) (local $end i32) (local $sum i32)
      (local.set $at (i32.wrap_i64 (i64.shr_u (call $payload) (i64.const 32))))
      (local.set $end (i32.add (local.get $at) (i32.wrap_i64 (call $payload))))
      (loop $next
        (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      local.get $sum)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    ;; What is in the heap, and how often it was opened.
    (func (export "loaded") (result i64) (local $heap i32)
      (local.set $heap (i32.load (i32.const 64)))
      (i64.add
        (i64.extend_i32_u (i32.load (local.get $heap)))
        (i64.shl (i64.extend_i32_u (global.get $opened)) (i64.const 32))))
    ;; To the place of a result: 0 and a handle, or 1 and a text.
    (func (export "open") (param i32 i32 i32) (result i32) (local $heap i32)
      (global.set $opened (i32.add (global.get $opened) (i32.const 1)))
      ;; Behind the payload.
      (local.set $heap (i32.mul (memory.grow (i32.const 2)) (i32.const 65536)))
      (i32.store (i32.const 64) (local.get $heap))
      (i32.store (local.get $heap) (call $sum))
      (i32.store8 (i32.const 128) (i32.const 0))
      (i32.store (i32.const 132) (call $new (i32.const 1)))
      LOAD
      i32.const 128))

  (core func $now (canon lower (func $clock "now")))
  (core func $new (canon resource.new $model))
  (core instance $host (export "now" (func $now)) (export "new" (func $new)))
  (core instance $module (instantiate $guest (with "host" (instance $host))))
  (func $open (param "path" (option string)) (result (result (own $model) (error string)))
    (canon lift (core func $module "open")
      (memory $module "memory") (realloc (func $module "realloc"))))
  (func $loaded (result u64) (canon lift (core func $module "loaded")))

  (component $interface
    (import "model" (type $model (sub resource)))
    (import "open" (func $open
      (param "path" (option string)) (result (result (own $model) (error string)))))
    (export $exported "model" (type $model))
    (export "[static]model.open" (func $open) (func
      (param "path" (option string)) (result (result (own $exported) (error string))))))
  (instance $encoder (instantiate $interface
    (with "model" (type $model)) (with "open" (func $open))))
  (export "encoderfile:encoder/encoder@0.1.0" (instance $encoder))
  (export "loaded" (func $loaded)))

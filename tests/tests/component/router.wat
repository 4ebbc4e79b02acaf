;; A router: a component that has two models beside it, asks one of them for the embedding of a text,
;; and gives the vector, or what the model said is wrong. Short texts are the small model's.
(component
  ;; What is in braces becomes the content of encoder.wat, twice: wac 0.12 refuses one type for two imports.
  (import "small" (instance $small
    {encoder}))
  (import "large" (instance $large
    {encoder}))

  ;; A memory of 1 MiB, and room in it for what is given to the router: the next that is free.
  (core module $Memory
    (memory (export "memory") 16)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
      (result i32) (local $place i32)
      (if (local.get $old) (then unreachable))
      (local.set $place (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $free (i32.add (local.get $place) (local.get $size)))
      (local.get $place))
    ;; All of it is free again once the host has read the result.
    (func (export "reset") (param $result i32) (global.set $free (i32.const 1024))))

  (core module $Main
    (import "memory" "memory" (memory 16))
    ;; open: is a path given, the path, its length, where the answer goes.
    (import "small" "open" (func $open-small (param i32 i32 i32 i32)))
    (import "large" "open" (func $open-large (param i32 i32 i32 i32)))
    ;; embed: where its arguments are, where the answer goes.
    (import "small" "embed" (func $embed-small (param i32 i32)))
    (import "large" "embed" (func $embed-large (param i32 i32)))

    ;; The arguments of `embed`: model, one input, a reading whose overflow is `error`, no options.
    (global $arguments i32 (i32.const 0))
    (data (i32.const 4) "\50\00\00\00" "\01\00\00\00")
    (data (i32.const 12) "\01")
    (data (i32.const 42) "\01\01")
    ;; The input, which is a text: its address at 84, its length at 88.
    (global $input i32 (i32.const 80))
    ;; result<model, error> and result<list<embedding>, error>: 1 at 0 where it is an error, of which
    ;; every case has its message at 8; otherwise the model or the list at 4.
    (global $answer i32 (i32.const 112))
    ;; result<list<f32>, string>
    (global $result i32 (i32.const 160))

    ;; The longest text of the small model, in bytes.
    (global $short i32 (i32.const 40))
    ;; The models, 0 until they are needed.
    (global $small (mut i32) (i32.const 0))
    (global $large (mut i32) (i32.const 0))

    (func $ask-small
      (if (i32.eqz (global.get $small)) (then
        (call $open-small (i32.const 0) (i32.const 0) (i32.const 0) (global.get $answer))
        (if (i32.load8_u (global.get $answer)) (then return))
        (global.set $small (i32.load offset=4 (global.get $answer)))))
      (i32.store (global.get $arguments) (global.get $small))
      (call $embed-small (global.get $arguments) (global.get $answer)))
    (func $ask-large
      (if (i32.eqz (global.get $large)) (then
        (call $open-large (i32.const 0) (i32.const 0) (i32.const 0) (global.get $answer))
        (if (i32.load8_u (global.get $answer)) (then return))
        (global.set $large (i32.load offset=4 (global.get $answer)))))
      (i32.store (global.get $arguments) (global.get $large))
      (call $embed-large (global.get $arguments) (global.get $answer)))

    (func (export "route") (param $text i32) (param $length i32) (result i32) (local $from i32)
      (i32.store offset=4 (global.get $input) (local.get $text))
      (i32.store offset=8 (global.get $input) (local.get $length))
      (if (i32.le_u (local.get $length) (global.get $short))
        (then (call $ask-small))
        (else (call $ask-large)))
      ;; Address and length, of the message or of the first embedding's values.
      (local.set $from (if (result i32) (i32.load8_u (global.get $answer))
        (then (i32.add (global.get $answer) (i32.const 8)))
        (else (i32.load offset=4 (global.get $answer)))))
      (i32.store8 (global.get $result) (i32.load8_u (global.get $answer)))
      (i64.store offset=4 align=4 (global.get $result) (i64.load align=4 (local.get $from)))
      (global.get $result)))

  (core instance $memory (instantiate $Memory))
  (core func $open-small (canon lower (func $small "[static]model.open")
    (memory $memory "memory") (realloc (func $memory "realloc"))))
  (core func $open-large (canon lower (func $large "[static]model.open")
    (memory $memory "memory") (realloc (func $memory "realloc"))))
  (core func $embed-small (canon lower (func $small "[method]model.embed")
    (memory $memory "memory") (realloc (func $memory "realloc"))))
  (core func $embed-large (canon lower (func $large "[method]model.embed")
    (memory $memory "memory") (realloc (func $memory "realloc"))))
  (core instance $main (instantiate $Main
    (with "memory" (instance $memory))
    (with "small" (instance (export "open" (func $open-small)) (export "embed" (func $embed-small))))
    (with "large" (instance (export "open" (func $open-large)) (export "embed" (func $embed-large))))))
  (func (export "route") (param "text" string) (result (result (list f32) (error string)))
    (canon lift (core func $main "route") (memory $memory "memory")
      (realloc (func $memory "realloc")) (post-return (func $memory "reset")))))

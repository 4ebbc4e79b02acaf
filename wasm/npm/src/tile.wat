;; A GEMM micro-kernel, four rows by eight columns, in relaxed SIMD: for engines
;; that have it, one instruction for each multiplication and addition. Whether a
;; product is rounded before it is added is the processor's choice.
;;
;; `multiply_four` in runtime/kernels/src/gemm/micro_kernel/packed.rs says what it computes.
(module
  (import "env" "memory" (memory 1))
  (func (export "tile") (param $strip i32) (param $panel i32) (param $depth i32) (param $sums i32)
    (local $first v128) (local $second v128) (local $row v128)
    (local $low0 v128) (local $low1 v128) (local $low2 v128) (local $low3 v128)
    (local $high0 v128) (local $high1 v128) (local $high2 v128) (local $high3 v128)
    (block $done
      (br_if $done (i32.eqz (local.get $depth)))
      (loop $next
        (local.set $first (v128.load (local.get $panel)))
        (local.set $second (v128.load offset=16 (local.get $panel)))
        (local.set $row (v128.load32_splat (local.get $strip)))
        (local.set $low0 (f32x4.relaxed_madd (local.get $row) (local.get $first) (local.get $low0)))
        (local.set $high0 (f32x4.relaxed_madd (local.get $row) (local.get $second) (local.get $high0)))
        (local.set $row (v128.load32_splat offset=4 (local.get $strip)))
        (local.set $low1 (f32x4.relaxed_madd (local.get $row) (local.get $first) (local.get $low1)))
        (local.set $high1 (f32x4.relaxed_madd (local.get $row) (local.get $second) (local.get $high1)))
        (local.set $row (v128.load32_splat offset=8 (local.get $strip)))
        (local.set $low2 (f32x4.relaxed_madd (local.get $row) (local.get $first) (local.get $low2)))
        (local.set $high2 (f32x4.relaxed_madd (local.get $row) (local.get $second) (local.get $high2)))
        (local.set $row (v128.load32_splat offset=12 (local.get $strip)))
        (local.set $low3 (f32x4.relaxed_madd (local.get $row) (local.get $first) (local.get $low3)))
        (local.set $high3 (f32x4.relaxed_madd (local.get $row) (local.get $second) (local.get $high3)))
        (local.set $strip (i32.add (local.get $strip) (i32.const 16)))
        (local.set $panel (i32.add (local.get $panel) (i32.const 32)))
        (br_if $next (local.tee $depth (i32.sub (local.get $depth) (i32.const 1))))))
    (v128.store (local.get $sums) (local.get $low0))
    (v128.store offset=16 (local.get $sums) (local.get $high0))
    (v128.store offset=32 (local.get $sums) (local.get $low1))
    (v128.store offset=48 (local.get $sums) (local.get $high1))
    (v128.store offset=64 (local.get $sums) (local.get $low2))
    (v128.store offset=80 (local.get $sums) (local.get $high2))
    (v128.store offset=96 (local.get $sums) (local.get $low3))
    (v128.store offset=112 (local.get $sums) (local.get $high3))))

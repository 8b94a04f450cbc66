;; Reads JSON numbers in single precision, one after another: what scan.ts does, eight digits at a time.
;; Made into scan.generated.ts: npx -p wabt wat2wasm scan.wat --output=- | base64 -w0
(module
  (import "host" "memory" (memory 0))
  ;; From address 0 lie the powers of ten from 1 to 1e22, as doubles. `scan` reads the list at `at`, behind its bracket and
  ;; blanks, in front of 128 bytes of 0 that end it; it writes up to `room` values from `into`. Returns where it
  ;; stopped: at what follows a number and is no comma, or, then `left` is 1, at what it leaves to the caller: what is no number, or
  ;; takes more than it can do, or is not finite in single precision.
  (global $count (mut i32) (i32.const 0))
  (export "count" (global $count))
  (global $left (mut i32) (i32.const 0))
  (export "left" (global $left))
  ;; From address 184 on: which byte goes where for digits to end at the right, read from so many bytes on as there are digits.
  (data (i32.const 184) "\80\80\80\80\80\80\80\80\80\80\80\80\80\80\80\80\00\01\02\03\04\05\06\07\08\09\0a\0b\0c\0d\0e\0f")
  (func (export "scan") (param $at i32) (param $into i32) (param $room i32) (result i32)
    (local $start i32) (local $byte i32) (local $first i32) (local $mantissa i64) (local $digits i32) (local $scale i32)
    (local $negative i32) (local $exponent i32) (local $down i32) (local $value f64) (local $word i64)
    (local $bytes v128) (local $base i32) (local $ends i64) (local $end i32) (local $cut i32) (local $power f64) (local $others i32) (local $count i32) (local $open i32)
    (block $out
      (loop $next
        (local.set $start (local.get $at))
        (local.set $open (i32.const 1))
        (br_if $out (i32.ge_u (local.get $count) (local.get $room)))
        ;; The most common kind, [-]d.d…, is looked for by the comma behind it: no number waits for the one before it to be read.
        (block $other
          (br_if $other (local.get $others))
          (loop $piece
            (local.set $base (local.get $at))
            (local.set $ends (i64.or
              (i64.or
                (i64.extend_i32_u (i8x16.bitmask (i8x16.eq (v128.load align=1 (local.get $at)) (i8x16.splat (i32.const 44)))))
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.eq (v128.load offset=16 align=1 (local.get $at)) (i8x16.splat (i32.const 44))))) (i64.const 16)))
              (i64.or
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.eq (v128.load offset=32 align=1 (local.get $at)) (i8x16.splat (i32.const 44))))) (i64.const 32))
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (i8x16.eq (v128.load offset=48 align=1 (local.get $at)) (i8x16.splat (i32.const 44))))) (i64.const 48)))))
            (br_if $other (i64.eqz (local.get $ends)))
            (loop $common
              (local.set $end (i32.add (local.get $base) (i32.wrap_i64 (i64.ctz (local.get $ends)))))
              ;; A sign is as often there as not: no branch. From here on $first is at the digit in front of the point.
              (local.set $negative (i32.eq (i32.load8_u (local.get $at)) (i32.const 45)))
              (local.set $first (i32.add (local.get $at) (local.get $negative)))
              (local.set $digits (i32.sub (i32.load8_u (local.get $first)) (i32.const 48)))
              (local.set $scale (i32.sub (i32.sub (local.get $end) (local.get $first)) (i32.const 2)))
              (br_if $other (i32.or
                (i32.ne (i32.load8_u offset=1 (local.get $first)) (i32.const 46))
                (i32.or
                  (i32.gt_u (local.get $digits) (i32.const 9))
                  (i32.gt_u (i32.sub (local.get $scale) (i32.const 1)) (i32.const 29)))))
              (local.set $bytes (i8x16.sub (v128.load offset=2 align=1 (local.get $first)) (i8x16.splat (i32.const 48))))
              (br_if $other (i32.and
                (i32.or
                  (i8x16.bitmask (i8x16.gt_u (local.get $bytes) (i8x16.splat (i32.const 9))))
                  (i32.shl
                    (i8x16.bitmask (i8x16.gt_u
                      (i8x16.sub (v128.load offset=18 align=1 (local.get $first)) (i8x16.splat (i32.const 48)))
                      (i8x16.splat (i32.const 9))))
                    (i32.const 16)))
                (i32.sub (i32.shl (i32.const 1) (local.get $scale)) (i32.const 1))))
              ;; Sixteen digits behind the point; what is cut off is below what counts, unless there are many zeros.
              (local.set $cut (i32.gt_u (local.get $scale) (i32.const 16)))
              (br_if $other (i32.and (local.get $cut)
                (i32.eq (i32.load offset=2 align=1 (local.get $first)) (i32.const 0x30303030))))
              (local.set $scale (i32.xor (local.get $scale) (i32.and
                (i32.xor (local.get $scale) (i32.const 16)) (i32.sub (i32.const 0) (local.get $cut)))))
              ;; To the right end of the vector; then neighbours are joined to 2, 4 and 8 digits each (after Lemire, 2022).
              (local.set $bytes (i8x16.swizzle (local.get $bytes) (v128.load offset=184 align=1 (local.get $scale))))
              (local.set $bytes (i32x4.dot_i16x8_s
                (i16x8.add
                  (i16x8.mul (v128.and (local.get $bytes) (v128.const i16x8 255 255 255 255 255 255 255 255))
                    (v128.const i16x8 10 10 10 10 10 10 10 10))
                  (i16x8.shr_u (local.get $bytes) (i32.const 8)))
                (v128.const i16x8 100 1 100 1 100 1 100 1)))
              (local.set $bytes (i32x4.dot_i16x8_s
                (i16x8.narrow_i32x4_s (local.get $bytes) (local.get $bytes))
                (v128.const i16x8 10000 1 10000 1 10000 1 10000 1)))
              (local.set $power (f64.load (i32.shl (local.get $scale) (i32.const 3))))
              (local.set $mantissa (i64.add
                (i64.mul (i64.extend_i32_u (local.get $digits)) (i64.trunc_f64_s (local.get $power)))
                (i64.add
                  (i64.mul (i64.extend_i32_u (i32x4.extract_lane 0 (local.get $bytes))) (i64.const 100000000))
                  (i64.extend_i32_u (i32x4.extract_lane 1 (local.get $bytes))))))
              (local.set $value (f64.div (f64.convert_i64_s (local.get $mantissa)) (local.get $power)))
              ;; Thirteen digits and more are within 2^14 units in the last place of a double: not next to the middle between two
              ;; singles, they are rounded right.
              (br_if $other (i32.and
                (i32.or (local.get $cut) (i64.gt_s (local.get $mantissa) (i64.const 9007199254740991)))
                (i64.lt_u
                  (i64.sub (i64.and (i64.reinterpret_f64 (local.get $value)) (i64.const 0x1fffffff)) (i64.const 0x0fffc000))
                  (i64.const 0x8000))))
              (f32.store (i32.add (local.get $into) (i32.shl (local.get $count) (i32.const 2)))
                (f32.demote_f64 (f64.reinterpret_i64 (i64.or (i64.reinterpret_f64 (local.get $value))
                  (i64.shl (i64.extend_i32_u (local.get $negative)) (i64.const 63))))))
              (local.set $count (i32.add (local.get $count) (i32.const 1)))
              ;; Behind the comma, and a blank, which is there behind each or none.
              (local.set $at (i32.add (local.get $end) (i32.const 1)))
              (local.set $at (i32.add (local.get $at) (i32.eq (i32.load8_u (local.get $at)) (i32.const 32))))
              (local.set $start (local.get $at))
              (br_if $out (i32.ge_u (local.get $count) (local.get $room)))
              (local.set $ends (i64.and (local.get $ends) (i64.sub (local.get $ends) (i64.const 1))))
              (br_if $common (i64.ne (local.get $ends) (i64.const 0))))
            (br $piece)))
        ;; Any other, behind more blanks maybe; what follows it is likely to be of its kind.
        (block $blanks3 (loop $blank3
          (local.set $byte (i32.load8_u (local.get $at)))
          (br_if $blanks3 (i32.eqz (i32.or (i32.eq (local.get $byte) (i32.const 32))
            (i32.or (i32.eq (local.get $byte) (i32.const 13)) (i32.le_u (i32.sub (local.get $byte) (i32.const 9)) (i32.const 1))))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $blank3)))
        (local.set $start (local.get $at))
        (local.set $others (select (i32.sub (local.get $others) (i32.const 1)) (i32.const 16) (local.get $others)))
        (local.set $mantissa (i64.const 0))
        (local.set $scale (i32.const 0))
        (local.set $byte (i32.load8_u (local.get $at)))
        (if (local.tee $negative (i32.eq (local.get $byte) (i32.const 45)))
          (then (local.set $byte (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))))
        (local.set $first (local.get $at))
        (if (i32.eq (local.get $byte) (i32.const 48))
          (then
            (local.set $byte (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))
            (br_if $out (i32.le_u (i32.sub (local.get $byte) (i32.const 48)) (i32.const 9)))
            (local.set $digits (i32.const 0)))
          (else
            (br_if $out (i32.gt_u (i32.sub (local.get $byte) (i32.const 48)) (i32.const 9)))
            (loop $whole
              (local.set $mantissa (i64.add (i64.mul (local.get $mantissa) (i64.const 10))
                (i64.extend_i32_u (i32.sub (local.get $byte) (i32.const 48)))))
              (local.set $byte (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))
              (br_if $whole (i32.le_u (i32.sub (local.get $byte) (i32.const 48)) (i32.const 9))))
            (local.set $digits (i32.sub (local.get $at) (local.get $first)))))
        (if (i32.eq (local.get $byte) (i32.const 46))
          (then
            (local.set $first (local.tee $at (i32.add (local.get $at) (i32.const 1))))
            ;; Without a digit in front of it, zeros behind the point are no digits of the number.
            (if (i32.eqz (local.get $digits))
              (then
                (block $zeros (loop $zero
                  (br_if $zeros (i32.ne (i32.load8_u (local.get $at)) (i32.const 48)))
                  (local.set $at (i32.add (local.get $at) (i32.const 1)))
                  (br $zero)))))
            (local.set $scale (local.get $at))
            ;; Eight digits at once (Lemire, 2022).
            (block $few (loop $eight
              (br_if $few (i32.gt_u (local.get $digits) (i32.const 10)))
              (local.set $word (i64.load align=1 (local.get $at)))
              (br_if $few (i64.ne
                (i64.or
                  (i64.and (local.get $word) (i64.const 0xf0f0f0f0f0f0f0f0))
                  (i64.shr_u (i64.and (i64.add (local.get $word) (i64.const 0x0606060606060606)) (i64.const 0xf0f0f0f0f0f0f0f0)) (i64.const 4)))
                (i64.const 0x3333333333333333)))
              (local.set $word (i64.sub (local.get $word) (i64.const 0x3030303030303030)))
              (local.set $word (i64.add (i64.mul (local.get $word) (i64.const 10)) (i64.shr_u (local.get $word) (i64.const 8))))
              (local.set $word (i64.shr_u (i64.add
                (i64.mul (i64.and (local.get $word) (i64.const 0x000000ff000000ff)) (i64.const 0x000f424000000064))
                (i64.mul (i64.and (i64.shr_u (local.get $word) (i64.const 16)) (i64.const 0x000000ff000000ff)) (i64.const 0x0000271000000001)))
                (i64.const 32)))
              (local.set $mantissa (i64.add (i64.mul (local.get $mantissa) (i64.const 100000000)) (local.get $word)))
              (local.set $at (i32.add (local.get $at) (i32.const 8)))
              (local.set $digits (i32.add (local.get $digits) (i32.const 8)))
              (br $eight)))
            (block $point (loop $behind
              (local.set $byte (i32.load8_u (local.get $at)))
              (br_if $point (i32.gt_u (i32.sub (local.get $byte) (i32.const 48)) (i32.const 9)))
              (local.set $mantissa (i64.add (i64.mul (local.get $mantissa) (i64.const 10))
                (i64.extend_i32_u (i32.sub (local.get $byte) (i32.const 48)))))
              (local.set $digits (i32.add (local.get $digits) (i32.const 1)))
              (local.set $at (i32.add (local.get $at) (i32.const 1)))
              (br $behind)))
            (br_if $out (i32.eq (local.get $at) (local.get $first)))
            (local.set $scale (i32.sub (local.get $first) (local.get $at)))))
        (if (i32.eq (i32.or (local.get $byte) (i32.const 32)) (i32.const 101))
          (then
            (local.set $byte (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))
            (local.set $down (i32.eq (local.get $byte) (i32.const 45)))
            (if (i32.or (local.get $down) (i32.eq (local.get $byte) (i32.const 43)))
              (then (local.set $byte (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))))
            (local.set $first (local.get $at))
            (local.set $exponent (i32.const 0))
            (block $power (loop $digit
              (br_if $power (i32.gt_u (i32.sub (local.get $byte) (i32.const 48)) (i32.const 9)))
              (local.set $exponent (i32.add (i32.mul (local.get $exponent) (i32.const 10)) (i32.sub (local.get $byte) (i32.const 48))))
              (local.set $byte (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))
              (br $digit)))
            ;; None, or more than any number has.
            (br_if $out (i32.gt_u (i32.sub (i32.sub (local.get $at) (local.get $first)) (i32.const 1)) (i32.const 3)))
            (local.set $scale (i32.add (local.get $scale)
              (select (i32.sub (i32.const 0) (local.get $exponent)) (local.get $exponent) (local.get $down))))))
        ;; 18 digits fit into 63 bits; powers beyond 22 are no doubles.
        (br_if $out (i32.gt_u (local.get $digits) (i32.const 18)))
        (br_if $out (i32.gt_u (i32.add (local.get $scale) (i32.const 22)) (i32.const 44)))
        (local.set $value (f64.convert_i64_u (local.get $mantissa)))
        (local.set $value (if (result f64) (i32.lt_s (local.get $scale) (i32.const 0))
          (then (f64.div (local.get $value) (f64.load (i32.shl (i32.sub (i32.const 0) (local.get $scale)) (i32.const 3)))))
          (else (f64.mul (local.get $value) (f64.load (i32.shl (local.get $scale) (i32.const 3)))))))
        (if (i64.gt_u (local.get $mantissa) (i64.const 9007199254740991))
          (then
            ;; Next to the middle between two singles, and below the normal ones.
            (br_if $out (i64.lt_u
              (i64.sub (i64.and (i64.reinterpret_f64 (local.get $value)) (i64.const 0x1fffffff)) (i64.const 0x0fffffc0))
              (i64.const 128)))
            (br_if $out (f64.lt (local.get $value) (f64.const 1.2e-38)))))
        ;; From here on single precision has infinity.
        (br_if $out (f64.ge (local.get $value) (f64.const 0x1.ffffffp+127)))
        (f32.store (i32.add (local.get $into) (i32.shl (local.get $count) (i32.const 2)))
          (f32.demote_f64 (select (f64.neg (local.get $value)) (local.get $value) (local.get $negative))))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (local.set $open (i32.const 0))
        (local.set $byte (i32.load8_u (local.get $at)))
        ;; A comma, blanks, and on.
        (block $blanks (loop $blank
          (br_if $blanks (i32.eqz (i32.or (i32.eq (local.get $byte) (i32.const 32))
            (i32.or (i32.eq (local.get $byte) (i32.const 13)) (i32.le_u (i32.sub (local.get $byte) (i32.const 9)) (i32.const 1))))))
          (local.set $byte (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))
          (br $blank)))
        (if (i32.ne (local.get $byte) (i32.const 44))
          (then (local.set $start (local.get $at)) (br $out)))
        (local.set $byte (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))
        (block $blanks2 (loop $blank2
          (br_if $blanks2 (i32.eqz (i32.or (i32.eq (local.get $byte) (i32.const 32))
            (i32.or (i32.eq (local.get $byte) (i32.const 13)) (i32.le_u (i32.sub (local.get $byte) (i32.const 9)) (i32.const 1))))))
          (local.set $byte (i32.load8_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))))
          (br $blank2)))
        (br $next)))
    (global.set $count (local.get $count))
    (global.set $left (local.get $open))
    (local.get $start))
)

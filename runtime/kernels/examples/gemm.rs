//! GFLOP/s of `linear` by shape.

use encoderfile_kernels::*;
use std::time::Instant;

fn main() {
    let only: Option<String> = std::env::args().nth(1);
    for isa in Isa::all() {
        if isa.name() == "portable" || only.as_deref().is_some_and(|it| it != isa.name()) {
            continue;
        }
        for (m, k, n) in [
            (16, 384, 384),
            (16, 384, 1536),
            (16, 1536, 384),
            (128, 384, 384),
            (128, 384, 1536),
            (128, 1536, 384),
            (512, 384, 384),
            (512, 384, 1536),
            (512, 1536, 384),
            (128, 768, 768),
            (128, 768, 3072),
            (128, 3072, 768),
        ] {
            let a: Vec<f32> = (0..m * k).map(|it| (it % 7) as f32).collect();
            let b: Vec<f32> = (0..n * k).map(|it| (it % 5) as f32).collect();
            let packed = PackedMatrix::new(isa, &b, (k, n), Order::Rows).unwrap();
            let bias = vec![0.0; packed.as_b().padded_columns()];
            let mut c = vec![0.0; m * n];
            let mut rate = |activation| {
                let mut best = f64::MAX;
                for _ in 0..7 {
                    let times = (200_000_000 / (m * k * n)).max(1);
                    let start = Instant::now();
                    for _ in 0..times {
                        let epilogue = Epilogue {
                            bias: &bias,
                            activation,
                        };
                        linear(
                            isa,
                            &Sequential,
                            &a,
                            Weights::F32(packed.as_b()),
                            epilogue,
                            &mut c,
                        )
                        .unwrap();
                    }
                    best = best.min(start.elapsed().as_secs_f64() / times as f64);
                }
                2.0 * (m * k * n) as f64 / best / 1e9
            };
            println!(
                "{:8} {m:4} × {k:4} × {n:4}: {:6.1} GFLOP/s, gelu {:6.1}",
                isa.name(),
                rate(Activation::None),
                rate(Activation::Gelu)
            );
        }
    }
}

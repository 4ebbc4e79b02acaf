//! GFLOP/s of products of float32 matrices by shape, on one thread: our kernels with each
//! instruction set of this processor, in float32 and in int8 (GOP/s), and the crates `gemm` and `matrixmultiply`.
//!
//! Each argument is a shape, `ROWSxDEPTHxCOLUMNS`; each line is a name, a shape and a rate.
//! `cargo xtask bench kernels` runs it in turns with ONNX Runtime and makes a table.

use encoderfile_kernels::{
    Activation, Epilogue, Int8Matrix, Isa, LinearLayer, Order, PackedMatrix, Sequential, Weights,
    linear,
};
use std::error::Error;
use std::time::Instant;

/// Multiplications in one measurement, of some milliseconds.
const MULTIPLICATIONS: usize = 300_000_000;

/// Of which the best counts: it is the machine that makes one slower.
const RUNS: usize = 5;

/// A `[rows, depth]` times B `[depth, columns]`.
struct Product {
    rows: usize,
    depth: usize,
    columns: usize,
    a: Vec<f32>,
    b: Vec<f32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    for shape in std::env::args().skip(1) {
        let product = Product::of(&shape)?;
        for isa in Isa::all() {
            let (depth, columns) = (product.depth, product.columns);
            let packed = PackedMatrix::new(isa, &product.b, (depth, columns), Order::Rows)?;
            let rate = product.ours(isa, Weights::F32(packed.as_b()))?;
            report(isa.name(), &shape, rate);
            let matrix = Int8Matrix::new(isa, &product.b, (depth, columns), Order::Rows)?;
            let weights = Weights::Int8 {
                matrix: &matrix,
                smoothing: None,
            };
            let rate = product.ours(isa, weights)?;
            report(&format!("{}-int8", isa.name()), &shape, rate);
        }
        report("gemm", &shape, product.gemm());
        report("matrixmultiply", &shape, product.matrixmultiply());
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "a program")]
fn report(name: &str, shape: &str, gigaflops: f64) {
    println!("{name} {shape} {gigaflops:.1}");
}

impl Product {
    fn of(shape: &str) -> Result<Self, Box<dyn Error>> {
        let lengths: Result<Vec<usize>, _> = shape.split('x').map(str::parse).collect();
        let [rows, depth, columns] = lengths?[..] else {
            return Err(format!("{shape}: not ROWSxDEPTHxCOLUMNS").into());
        };
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let values = |count: usize| (0..count).map(|it| (it % 13) as f32 - 6.0).collect();
        Ok(Self {
            rows,
            depth,
            columns,
            a: values(rows * depth),
            b: values(depth * columns),
        })
    }

    /// B is packed before, as a model's weights are.
    fn ours(&self, isa: Isa, weights: Weights<'_>) -> Result<f64, Box<dyn Error>> {
        let bias = vec![0.0; weights.padded_columns()];
        let mut c = vec![0.0; self.rows * self.columns];
        let mut multiply = || {
            let epilogue = Epilogue {
                bias: &bias,
                activation: Activation::None,
            };
            let layer = LinearLayer {
                weights,
                epilogue,
                outputs: vec![&mut c],
            };
            linear(isa, &Sequential, &[(&self.a, self.rows)], vec![layer])
        };
        multiply()?;
        Ok(self.gigaflops(|| {
            let _ = multiply();
        }))
    }

    /// B is packed in each product.
    fn gemm(&self) -> f64 {
        let mut c = vec![0.0; self.rows * self.columns];
        let stride = |width: usize| isize::try_from(width).unwrap_or(isize::MAX);
        let (of_a, of_b) = (stride(self.depth), stride(self.columns));
        self.gigaflops(|| {
            // SAFETY: the slices have as many rows and columns, row after row.
            unsafe {
                gemm::gemm(
                    self.rows,
                    self.columns,
                    self.depth,
                    c.as_mut_ptr(),
                    1,
                    of_b,
                    false,
                    self.a.as_ptr(),
                    1,
                    of_a,
                    self.b.as_ptr(),
                    1,
                    of_b,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
        })
    }

    /// The same.
    fn matrixmultiply(&self) -> f64 {
        let mut c = vec![0.0; self.rows * self.columns];
        let stride = |width: usize| isize::try_from(width).unwrap_or(isize::MAX);
        let (of_a, of_b) = (stride(self.depth), stride(self.columns));
        self.gigaflops(|| {
            // SAFETY: the slices have as many rows and columns, row after row.
            unsafe {
                matrixmultiply::sgemm(
                    self.rows,
                    self.depth,
                    self.columns,
                    1.0,
                    self.a.as_ptr(),
                    of_a,
                    1,
                    self.b.as_ptr(),
                    of_b,
                    1,
                    0.0,
                    c.as_mut_ptr(),
                    of_b,
                    1,
                );
            }
        })
    }

    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    fn gigaflops(&self, mut multiply: impl FnMut()) -> f64 {
        let multiplications = (self.rows * self.depth * self.columns).max(1);
        let times = (MULTIPLICATIONS / multiplications).max(1);
        let mut best = f64::INFINITY;
        for _ in 0..RUNS {
            let start = Instant::now();
            for _ in 0..times {
                multiply();
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        2.0 * (multiplications * times) as f64 / best / 1e9
    }
}

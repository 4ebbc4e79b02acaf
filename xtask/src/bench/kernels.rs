//! `cargo xtask bench kernels`: GFLOP/s of GEMM by shape, with each instruction set of this
//! processor, in float32 and in int8 (GOP/s), beside ONNX Runtime's MatMul and two crates. All on one thread.

use super::machine::Machine;
use super::peak::InstructionSet;
use super::peer::Peer;
use crate::process;
use crate::table::{Align, Table};
use crate::workspace::Workspace;
use anyhow::Context;
use std::collections::BTreeMap;

/// Rows, depth and columns: the linear layers of MiniLM at 16, 128 and 512 tokens, and of
/// BERT-base.
const SHAPES: [&str; 12] = [
    "16x384x384",
    "16x384x1536",
    "16x1536x384",
    "128x384x384",
    "128x384x1536",
    "128x1536x384",
    "512x384x384",
    "512x384x1536",
    "512x1536x384",
    "128x768x768",
    "128x768x3072",
    "128x3072x768",
];

const TURNS: usize = 5;

/// What is measured beside our kernels, and what the table calls it.
const PEERS: [(&str, &str); 3] = [
    ("onnxruntime", "ONNX Runtime"),
    ("gemm", "gemm"),
    ("matrixmultiply", "matrixmultiply"),
];

/// The best rate of each name and shape: another program can only make one lower.
type Rates = BTreeMap<(String, String), f64>;

/// Measures in turns and prints the table.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let peer = Peer::install(workspace)?;
    let machine = Machine::now()?;
    let mut rates = Rates::new();
    let mut peaks: Vec<_> = InstructionSet::all()
        .into_iter()
        .map(|set| (set, 0.0))
        .collect();
    for turn in 0..TURNS {
        let mut ours = workspace.cargo(&["run", "--quiet", "--release"]);
        ours.args(["--package", "encoderfile-kernels", "--features", "peers"]);
        ours.args(["--example", "gemm", "--"]).args(SHAPES);
        for command in [&mut ours, &mut peer.matmul(&SHAPES)] {
            add(&mut rates, &process::capture(command)?)?;
        }
        for (set, peak) in &mut peaks {
            *peak = f64::max(*peak, 1.0 / set.seconds_per_gigaflop());
        }
        println!("    turn {} of {TURNS}", turn + 1);
    }
    println!("\n{machine}\n");
    for (set, peak) in &peaks {
        println!("FMA peak of a core, {}: {peak:.0} GFLOP/s", set.name);
    }
    println!("\n{}", table(&rates, &peaks)?.to_terminal());
    println!("GFLOP/s (GOP/s in int8), of each the best; in brackets the share of the peak.");
    Ok(())
}

fn add(rates: &mut Rates, lines: &str) -> anyhow::Result<()> {
    for line in lines.lines() {
        let mut words = line.split_whitespace();
        let (name, shape, rate) = (words.next(), words.next(), words.next());
        let rate: Option<f64> = rate.and_then(|rate| rate.parse().ok());
        let (name, shape) = name.zip(shape).with_context(|| format!("{line:?}"))?;
        let best = rates.entry((name.into(), shape.into())).or_default();
        *best = f64::max(*best, rate.with_context(|| format!("{line:?}"))?);
    }
    Ok(())
}

/// As the example names an instruction set's int8 kernels.
fn in_int8(set: &InstructionSet) -> String {
    format!("{}-int8", set.name)
}

fn table(rates: &Rates, peaks: &[(InstructionSet, f64)]) -> anyhow::Result<Table> {
    let mut columns = vec![("rows × depth × columns", Align::Left)];
    columns.extend(peaks.iter().map(|(set, _)| (set.name, Align::Right)));
    let in_int8: Vec<String> = peaks.iter().map(|(set, _)| in_int8(set)).collect();
    columns.extend(in_int8.iter().map(|name| (name.as_str(), Align::Right)));
    columns.extend(PEERS.map(|(_, name)| (name, Align::Right)));
    let mut table = Table::new(&columns);
    for shape in SHAPES {
        let rate = |name: &str| {
            let rate = rates.get(&(name.to_owned(), shape.to_owned()));
            rate.with_context(|| format!("no rate of {name} for {shape}"))
        };
        let mut row = vec![shape.replace('x', " × ")];
        for (set, peak) in peaks {
            let rate = rate(set.name)?;
            row.push(format!("{rate:.0} ({:.0} %)", rate / peak * 100.0));
        }
        for name in &in_int8 {
            row.push(format!("{:.0}", rate(name)?));
        }
        for (name, _) in PEERS {
            row.push(format!("{:.0}", rate(name)?));
        }
        table.push(row);
    }
    Ok(table)
}

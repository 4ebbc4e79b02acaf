//! Peak memory, as multiples of the weights' size.

use super::median;
use super::peer::Peer;
use super::report::{Report, Row, Target, Unit};
use super::subject::{Subject, TEXT};
use crate::infer::argument;
use crate::process;

/// Of linear memory.
const PAGE_BYTES: u64 = 1 << 16;

/// All that a 32-bit memory can have.
const PAGES_MAX: u64 = 1 << 16;

/// How exactly linear memory is measured: 1 MiB.
const PAGES_STEP: u64 = 16;

pub(super) fn measure(subject: &Subject, peer: &Peer, report: &mut Report) -> anyhow::Result<()> {
    let weights = subject.weights_bytes as f64;
    let mut push = |what: &str, target, ours: f64, peer: Option<f64>| {
        report.push(Row {
            what: what.into(),
            unit: Unit::Weights,
            target,
            ours: ours / weights,
            peer: peer.map(|bytes| bytes / weights),
        });
    };
    let beside = Some(peer.first_result_bytes(subject)?);
    push(
        "peak memory, native",
        Target::AtMost(1.5),
        first_result_bytes(subject, peer)?,
        beside,
    );
    push(
        "peak memory, all passages",
        Target::None,
        passages_bytes(subject, peer)?,
        None,
    );
    push(
        "peak linear memory, wasm",
        Target::AtMost(2.2),
        linear_memory_bytes(subject)?,
        None,
    );
    Ok(())
}

fn first_result_bytes(subject: &Subject, peer: &Peer) -> anyhow::Result<f64> {
    let infer = subject.native().command(&["infer", TEXT]);
    median(subject.inputs.runs.short, || peer.peak_bytes(&infer))
}

/// On two threads.
fn passages_bytes(subject: &Subject, peer: &Peer) -> anyhow::Result<f64> {
    let passages = argument(&subject.inputs.passages)?;
    let infer = subject
        .native()
        .command(&["infer", "--threads", "2", "--input", passages]);
    peer.peak_bytes(&infer)
}

/// The smallest limit that one `infer` works under: linear memory never
/// shrinks, so that is its peak.
fn linear_memory_bytes(subject: &Subject) -> anyhow::Result<f64> {
    let works = |pages: u64| {
        let limit = format!("max-memory-size={}", pages * PAGE_BYTES);
        let program = subject.wasm(&["-W".into(), limit]);
        process::succeeds(&mut program.command(&["infer", TEXT]))
    };
    anyhow::ensure!(works(PAGES_MAX)?, "infer does not work under wasmtime");
    let (mut too_small, mut enough) = (0, PAGES_MAX);
    while enough - too_small > PAGES_STEP {
        let middle = too_small.midpoint(enough);
        if works(middle)? {
            enough = middle;
        } else {
            too_small = middle;
        }
    }
    Ok((enough * PAGE_BYTES) as f64)
}

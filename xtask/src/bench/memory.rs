//! Peak memory, as multiples of the weights' size.

use super::peer::Peer;
use super::report::{Report, Target, Unit};
use super::subject::{Subject, TEXT};
use super::turns::median;
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
    let native = subject.native().command(&["infer", TEXT]);
    let theirs = peer.first_result(&subject.inputs.model, TEXT);
    let peak = |command| median(subject.inputs.turns.short, || peer.peak_bytes(command));
    let (ours, theirs) = (peak(&native)? / weights, peak(&theirs)? / weights);
    let what = "peak memory of one text, in weights";
    report.beside(what, Unit::Weights, Target::AtMost(1.5), ours, theirs);

    let passages = passages_bytes(subject, peer)? / weights;
    let what = "peak memory, all passages";
    report.alone(what, Unit::Weights, Target::None, passages);
    let linear = linear_memory_bytes(subject)? / weights;
    let what = "peak linear memory, wasm";
    report.alone(what, Unit::Weights, Target::AtMost(2.2), linear);
    Ok(())
}

/// On two threads.
fn passages_bytes(subject: &Subject, peer: &Peer) -> anyhow::Result<f64> {
    let passages = argument(&subject.inputs.passages)?;
    let infer = ["infer", "--threads", "2", "--input", passages];
    peer.peak_bytes(&subject.native().command(&infer))
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

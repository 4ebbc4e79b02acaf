//! Milliseconds a text on one thread, and tokens/s over many texts on two.

use super::median;
use super::peer::Peer;
use super::report::{Report, Row, Target, Unit};
use super::subject::Subject;
use crate::infer::{Program, argument};
use crate::process;
use anyhow::ensure;

/// Lengths of the texts that are timed one by one.
const LENGTHS: [u64; 3] = [16, 128, 512];

/// Returns how long the peer takes to load its session, in milliseconds.
pub(super) fn measure(subject: &Subject, peer: &Peer, report: &mut Report) -> anyhow::Result<f64> {
    let texts: Vec<(u64, String)> = LENGTHS
        .into_iter()
        .map(|tokens| Ok((tokens, subject.text_of(tokens)?)))
        .collect::<anyhow::Result<_>>()?;
    let beside = peer.measure(subject, &texts)?;
    let tokens = subject.passages_tokens()?;
    ensure!(
        tokens == beside.passages_tokens,
        "the passages have {tokens} tokens here and {} there",
        beside.passages_tokens
    );
    report.note(format!(
        "ONNX Runtime takes {:.0} ms to load its session.",
        beside.load_ms
    ));
    for ((tokens, text), ms) in texts.iter().zip(beside.ms) {
        report.push(Row {
            what: format!("{tokens} tokens, one thread"),
            unit: Unit::Milliseconds,
            target: Target::AtMost(ms / 1.05),
            ours: milliseconds(subject, &subject.native(), *tokens, text)?,
            peer: Some(ms),
        });
    }
    let (tokens_of_one, text) = &texts[1];
    let native = milliseconds(subject, &subject.native(), *tokens_of_one, text)?;
    let wasm = milliseconds(subject, &subject.wasm(&[]), *tokens_of_one, text)?;
    report.alone(
        format!("{tokens_of_one} tokens: native time over wasmtime's"),
        Unit::Times,
        Target::AtLeast(0.5),
        native / wasm,
    );
    let ours = tokens as f64 / passages_seconds(subject)?;
    let rows = [
        (
            "passages, two threads",
            Target::AtLeast(1.3 * beside.sorted_8),
            beside.sorted_8,
        ),
        (
            "the same; peer in padded 32s",
            Target::AtLeast(4.5 * beside.padded_32),
            beside.padded_32,
        ),
    ];
    for (what, target, peer) in rows {
        report.push(Row {
            what: what.into(),
            unit: Unit::TokensPerSecond,
            target,
            ours,
            peer: Some(peer),
        });
    }
    Ok(beside.load_ms)
}

/// Of one text more: the difference between a few and many, so that start and
/// load do not count.
fn milliseconds(
    subject: &Subject,
    program: &Program,
    tokens: u64,
    text: &str,
) -> anyhow::Result<f64> {
    let few = 2;
    // About a second's worth, against which the load's jitter is small.
    let many = few + usize::try_from(4000 / tokens)?.max(5);
    median(subject.inputs.runs.short, || {
        let seconds = |copies| one_thread_seconds(program, text, copies);
        let more = seconds(many)? - seconds(few)?;
        Ok(more / (many - few) as f64 * 1e3)
    })
}

fn one_thread_seconds(program: &Program, text: &str, copies: usize) -> anyhow::Result<f64> {
    let mut command = program.command(&["infer", "--threads", "1", "--"]);
    process::seconds(command.args(vec![text; copies]))
}

/// Start, load and output included.
fn passages_seconds(subject: &Subject) -> anyhow::Result<f64> {
    let passages = argument(&subject.inputs.passages)?;
    let infer = ["infer", "--threads", "2", "--input", passages];
    let run = || process::seconds(&mut subject.native().command(&infer));
    median(subject.inputs.runs.long, run)
}

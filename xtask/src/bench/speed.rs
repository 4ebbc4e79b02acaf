//! Milliseconds a text on one thread, and tokens/s over many texts on two.

use super::median;
use super::peer::Peer;
use super::report::{Report, Row, Target, Unit};
use super::subject::Subject;
use crate::infer::argument;
use crate::process;
use anyhow::{Context, ensure};
use std::fs;

/// Lengths of the texts that are timed one by one.
pub(super) const LENGTHS: [u64; 3] = [16, 128, 256];

pub(super) fn measure(subject: &Subject, peer: &Peer, report: &mut Report) -> anyhow::Result<()> {
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
            target: Target::None,
            ours: milliseconds(subject, *tokens, text)?,
            peer: Some(ms),
        });
    }
    let ours = tokens as f64 / passages_seconds(subject)?;
    let rows = [
        (
            "passages, two threads",
            Target::AtLeast(5000.0),
            beside.sorted_8,
        ),
        (
            "the same; peer in padded 32s",
            Target::None,
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
    Ok(())
}

/// Of one text more: the difference between a few and many, so that start and
/// load do not count.
fn milliseconds(subject: &Subject, tokens: u64, text: &str) -> anyhow::Result<f64> {
    let few = 2;
    // About a second's worth, against which the load's jitter is small.
    let many = few + usize::try_from(4000 / tokens)?.max(5);
    median(subject.inputs.runs.short, || {
        let more =
            one_thread_seconds(subject, text, many)? - one_thread_seconds(subject, text, few)?;
        Ok(more / (many - few) as f64 * 1e3)
    })
}

fn one_thread_seconds(subject: &Subject, text: &str, copies: usize) -> anyhow::Result<f64> {
    let file = subject.folder.join("copies.txt");
    fs::write(&file, vec![text; copies].join("\n")).with_context(|| file.display().to_string())?;
    let infer = ["infer", "--threads", "1", "--input", argument(&file)?];
    process::seconds(&mut subject.native().command(&infer))
}

/// Start, load and output included.
fn passages_seconds(subject: &Subject) -> anyhow::Result<f64> {
    let passages = argument(&subject.inputs.passages)?;
    let infer = ["infer", "--threads", "2", "--input", passages];
    let run = || process::seconds(&mut subject.native().command(&infer));
    median(subject.inputs.runs.long, run)
}

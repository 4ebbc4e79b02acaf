//! How long a text takes, on one thread and on two, beside ONNX Runtime.

use super::peer::{Model, Service};
use super::report::{Report, Target, Unit};
use super::subject::{Subject, TEXT};
use super::turns::{Taken, in_turns};
use crate::infer::Program;
use crate::process;
use crate::similarity::worst_cosine;
use anyhow::ensure;

/// Of texts whose time depends on the model more than on anything around it.
pub(super) const TOKENS: usize = 128;

/// Texts of the process whose time is taken off: its start, its load, and warming up.
const FEW: usize = 2;

const LENGTHS: [usize; 3] = [16, TOKENS, 512];

pub(super) fn measure(
    subject: &Subject,
    service: &Service,
    report: &mut Report,
) -> anyhow::Result<()> {
    let peer = service.load(&subject.long_model, 1)?;
    let program = subject.long();
    for tokens in LENGTHS {
        let text = subject.text_of(&program, tokens)?;
        agree(&program, &peer, &text)?;
        let race = race(subject, &program, &peer, &text, copies(tokens))?;
        let what = format!("{tokens} tokens, one thread");
        let target = Target::Ratio(1.05);
        report.race(what, Unit::Milliseconds, target, race);
    }
    one_long_text(subject, service, report)
}

/// As many texts as MiniLM takes about a second for, against which the load's
/// jitter is small.
pub(super) fn copies(tokens: usize) -> usize {
    (4000 / tokens).max(5)
}

/// Milliseconds a text, ours and theirs, on one thread.
pub(super) fn race(
    subject: &Subject,
    program: &Program,
    peer: &Model,
    text: &str,
    copies: usize,
) -> anyhow::Result<[Taken; 2]> {
    let texts = vec![text; copies];
    let [many, few, theirs] = in_turns(
        subject.inputs.turns.short,
        [
            &mut || seconds(program, "1", &vec![text; FEW + copies]),
            &mut || seconds(program, "1", &[text; FEW]),
            &mut || peer.seconds(&texts, 1),
        ],
    )?;
    let milliseconds = |taken: Taken| taken.map(|seconds| seconds / copies as f64 * 1e3);
    Ok([many.less(few), theirs].map(milliseconds))
}

/// Of a whole process.
fn seconds(program: &Program, threads: &str, texts: &[&str]) -> anyhow::Result<f64> {
    let mut command = program.command(&["infer", "--threads", threads, "--"]);
    process::seconds(command.args(texts))
}

/// Before anything is timed: both give the same vectors.
pub(super) fn agree(program: &Program, peer: &Model, text: &str) -> anyhow::Result<()> {
    let texts = [TEXT, text];
    let (_, ours) = program.embed(&texts)?;
    let cosine = worst_cosine(&ours, &peer.vectors(&texts)?);
    ensure!(
        cosine > 0.9999,
        "encoderfile and ONNX Runtime do not agree: a cosine of {cosine}"
    );
    Ok(())
}

/// What one text takes on two threads more than a short one, so that start and
/// load do not count: nothing is done beside it.
fn one_long_text(subject: &Subject, service: &Service, report: &mut Report) -> anyhow::Result<()> {
    let peer = service.load(&subject.long_model, 2)?;
    let program = subject.long();
    let text = subject.text_of(&program, 512)?;
    let ours = |text: &str| seconds(&program, "2", &[text]);
    let theirs = |text: &str| peer.seconds(&[text], 1);
    let [our_long, our_short, their_long, their_short] = in_turns(
        subject.inputs.turns.short,
        [
            &mut || ours(&text),
            &mut || ours(TEXT),
            &mut || theirs(&text),
            &mut || theirs(TEXT),
        ],
    )?;
    let race = [our_long.less(our_short), their_long.less(their_short)]
        .map(|taken| taken.map(|seconds| seconds * 1e3));
    let what = "512 tokens in one text, two threads";
    report.race(what, Unit::Milliseconds, Target::None, race);
    Ok(())
}

/// A wasm file beside the native one of the same model.
pub(super) fn wasm(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let (native, wasm) = (subject.native(), subject.wasm(&[]));
    let text = subject.text_of(&native, TOKENS)?;
    let copies = copies(TOKENS);
    let (many, few) = (vec![text.as_str(); FEW + copies], [text.as_str(); FEW]);
    let [wasm_many, wasm_few, native_many, native_few] = in_turns(
        subject.inputs.turns.short,
        [
            &mut || seconds(&wasm, "1", &many),
            &mut || seconds(&wasm, "1", &few),
            &mut || seconds(&native, "1", &many),
            &mut || seconds(&native, "1", &few),
        ],
    )?;
    let race = [wasm_many.less(wasm_few), native_many.less(native_few)]
        .map(|taken| taken.map(|seconds| seconds / copies as f64 * 1e3));
    let what = format!("{TOKENS} tokens under wasmtime; beside it: natively");
    report.race(what, Unit::Milliseconds, Target::Ratio(0.5), race);
    Ok(())
}

//! How long a text takes, on one thread and on two, beside ONNX Runtime.

use super::conversation::Conversation;
use super::peak::InstructionSet;
use super::peer::{Model, Service};
use super::report::{Report, Target, Unit};
use super::subject::{Subject, TEXT};
use super::turns::{Taken, in_turns};
use crate::infer::Program;
use crate::similarity::worst_cosine;
use anyhow::ensure;
use std::process::Command;
use std::time::Instant;

/// Of texts whose time depends on the model more than on anything around it.
pub(super) const TOKENS: usize = 128;

pub(super) const LENGTHS: [usize; 3] = [16, TOKENS, 512];

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
        let mut ours = Loaded::start(&program, 1, &text)?;
        let race = race(subject, &mut ours, &peer, &text, copies(tokens))?;
        let what = format!("{tokens} tokens, one thread");
        let target = Target::Ratio(1.10);
        report.race(what, Unit::Milliseconds, target, race);
    }
    one_long_text(subject, service, report)
}

/// As many texts as MiniLM takes about a second for.
pub(super) fn copies(tokens: usize) -> usize {
    (4000 / tokens).max(5)
}

/// Milliseconds a text, ours and theirs, each answered before the next.
pub(super) fn race(
    subject: &Subject,
    ours: &mut Loaded,
    peer: &Model,
    text: &str,
    copies: usize,
) -> anyhow::Result<[Taken; 2]> {
    let texts = vec![text; copies];
    let taken = in_turns(
        subject.inputs.turns.short,
        [&mut || ours.seconds(&texts), &mut || {
            peer.seconds(&texts, 1)
        }],
    )?;
    Ok(milliseconds(taken, copies))
}

fn milliseconds(taken: [Taken; 2], texts: usize) -> [Taken; 2] {
    taken.map(|taken| taken.map(|seconds| seconds / texts as f64 * 1e3))
}

/// A built program that stays loaded.
pub(super) struct Loaded(Conversation);

impl Loaded {
    /// Has it answer one text, which its first buffers are made for.
    pub(super) fn start(program: &Program, threads: usize, text: &str) -> anyhow::Result<Self> {
        let command = program.command(&["infer", "--format", "jsonl", "--input", "-"]);
        Self::of(command, threads, text)
    }

    /// The same on one thread, with the kernels of an instruction set.
    pub(super) fn with_isa(program: &Program, isa: &str, text: &str) -> anyhow::Result<Self> {
        let mut command = program.command(&["infer", "--format", "jsonl", "--input", "-"]);
        command.env("ENCODERFILE_ISA", isa);
        Self::of(command, 1, text)
    }

    fn of(mut command: Command, threads: usize, text: &str) -> anyhow::Result<Self> {
        command.args(["--threads", &threads.to_string()]);
        let mut loaded = Self(Conversation::start(&mut command)?);
        loaded.seconds(&[text])?;
        Ok(loaded)
    }

    pub(super) fn seconds(&mut self, texts: &[&str]) -> anyhow::Result<f64> {
        let start = Instant::now();
        for text in texts {
            self.0.ask(text)?;
        }
        Ok(start.elapsed().as_secs_f64())
    }
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

/// Nothing is done beside it.
fn one_long_text(subject: &Subject, service: &Service, report: &mut Report) -> anyhow::Result<()> {
    let peer = service.load(&subject.long_model, 2)?;
    let text = subject.text_of(&subject.long(), 512)?;
    let mut ours = Loaded::start(&subject.long(), 2, &text)?;
    let race = race(subject, &mut ours, &peer, &text, copies(512))?;
    let what = "512 tokens, one text at a time, two threads";
    report.race(what, Unit::Milliseconds, Target::Ratio(1.05), race);
    Ok(())
}

/// A wasm file beside the native one of the same model, with vectors of 256 bits at most.
pub(super) fn wasm(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let text = subject.text_of(&subject.native(), TOKENS)?;
    let texts = vec![text.as_str(); copies(TOKENS)];
    let mut wasm = Loaded::start(&subject.wasm(&[]), 1, &text)?;
    let mut native = match InstructionSet::named("avx2") {
        Some(set) => Loaded::with_isa(&subject.native(), set.name, &text)?,
        None => Loaded::start(&subject.native(), 1, &text)?,
    };
    let taken = in_turns(
        subject.inputs.turns.short,
        [&mut || wasm.seconds(&texts), &mut || native.seconds(&texts)],
    )?;
    let what = format!("{TOKENS} tokens under wasmtime; beside it: natively, with AVX2 or NEON");
    let race = milliseconds(taken, texts.len());
    report.race(what, Unit::Milliseconds, Target::Ratio(0.45), race);
    Ok(())
}

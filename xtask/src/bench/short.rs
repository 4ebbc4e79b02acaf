//! Texts as short as queries and labels, of which many are one pass over the weights.

use super::passages::{by_length, seconds};
use super::peer::Service;
use super::report::{Report, Target, Unit};
use super::subject::Subject;
use super::turns::{Taken, in_turns};
use crate::infer::Program;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// Of a text.
const WORDS: usize = 8;

/// Texts of a batch of ONNX Runtime's: in larger and in smaller ones it is slower.
const BATCH: usize = 32;

/// So many that a start, which counts, is a small part.
const TEXTS: usize = 5000;

/// The same, of a model of another size.
const TEXTS_OF_SIZE: usize = 500;

pub(super) fn measure(
    subject: &Subject,
    service: &Service,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (folder, program) = (&subject.inputs.model, subject.native());
    let taken = rates(subject, service, (folder, &program), TEXTS)?;
    let what = format!("texts of {WORDS} words, two threads; beside it: sorted, in {BATCH}s");
    report.race(what, Unit::TokensPerSecond, Target::Ratio(1.0), taken);
    Ok(())
}

pub(super) fn of_size(
    subject: &Subject,
    service: &Service,
    (name, folder, program): (&str, &Path, &Program),
    report: &mut Report,
) -> anyhow::Result<()> {
    let taken = rates(subject, service, (folder, program), TEXTS_OF_SIZE)?;
    let what = format!("texts of {WORDS} words, {name}; beside it: sorted, in {BATCH}s");
    report.race(what, Unit::TokensPerSecond, Target::Ratio(1.0), taken);
    Ok(())
}

/// Ours and theirs.
fn rates(
    subject: &Subject,
    service: &Service,
    (folder, program): (&Path, &Program),
    count: usize,
) -> anyhow::Result<[Taken; 2]> {
    let passages = subject.passages()?.join(" ");
    let words: Vec<&str> = passages.split_whitespace().collect();
    let texts = words.chunks(WORDS).take(count).map(|it| it.join(" "));
    let texts: Vec<String> = texts.collect();
    let file = subject.folder.join("short.txt");
    fs::write(&file, texts.join("\n")).with_context(|| file.display().to_string())?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let peer = service.load(folder, 2)?;
    let counts = peer.token_counts(&texts)?;
    let sorted = by_length(&texts, &counts);
    let taken = in_turns(
        subject.inputs.turns.long,
        [&mut || seconds(program, &file), &mut || {
            peer.seconds(&sorted, BATCH)
        }],
    )?;
    let tokens = counts.iter().sum::<u64>() as f64;
    Ok(taken.map(|seconds| seconds.map(|seconds| tokens / seconds)))
}

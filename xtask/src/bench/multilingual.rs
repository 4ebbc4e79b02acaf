//! A model with a vocabulary of a quarter of a million entries, as those of many languages have:
//! reading it is most of what a start of such a model does.

use super::peer::Peer;
use super::report::{Report, Target, Unit};
use super::startup::first_seconds;
use super::subject::{Subject, TEXT};
use super::turns::{in_turns, median};
use crate::infer::Program;
use crate::process;

pub(super) fn measure(subject: &Subject, peer: &Peer, report: &mut Report) -> anyhow::Result<()> {
    let model = subject.folder.join("multilingual");
    peer.multilingual(&subject.inputs.minilm, &model)?;
    let file = subject.folder.join("multilingual.encoderfile");
    subject.dist.build_model(Some(&model), None, &[], &file)?;
    let program = Program::Native(file);
    let seconds = in_turns(
        subject.inputs.turns.short,
        [&mut || first_seconds(&program), &mut || {
            process::seconds(&mut peer.first_result(&model, TEXT))
        }],
    )?;
    let milliseconds = seconds.map(|taken| taken.map(|seconds| seconds * 1e3));
    let what = "process start to first embedding, 250,002 entries in the vocabulary";
    report.race(what, Unit::Milliseconds, Target::Ratio(2.0), milliseconds);
    let peak = |command| median(subject.inputs.turns.long, || peer.peak_bytes(command));
    let ours = program.command(&["infer", TEXT]);
    let theirs = peer.first_result(&model, TEXT);
    let (ours, theirs) = (peak(&ours)? / 1e6, peak(&theirs)? / 1e6);
    let what = "peak memory of one text, 250,002 entries in the vocabulary";
    report.beside(what, Unit::Megabytes, Target::Ratio(2.0), ours, theirs);
    Ok(())
}

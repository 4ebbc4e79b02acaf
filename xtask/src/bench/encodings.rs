//! `cargo xtask bench encodings`: what storing the matrices in fewer bits costs, in exactness and
//! in time, and what it saves, beside float32 in the same run.

use super::machine::Machine;
use super::peer::Peer;
use super::report::{Report, Target, Unit};
use super::speed::{Loaded, TOKENS, copies};
use super::subject::{Subject, TEXT};
use super::turns::{in_turns, median};
use crate::infer::{Program, argument, embeddings};
use crate::process;
use crate::similarity::{mean_cosine, worst_cosine};
use std::fs;
use std::path::PathBuf;

/// `cargo xtask bench encodings`
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The model's folder [default: the default model's, whose matrices are int8 made float32]
    #[arg(long, value_name = "DIR")]
    pub(super) model: Option<PathBuf>,
}

/// The least mean and worst cosine to float32, where there is one to reach.
const ENCODINGS: [(&str, Option<[f64; 2]>); 6] = [
    ("f16", None),
    ("bf16", None),
    ("int8", Some([0.9998, 0.9993])),
    ("int4:32", Some([0.990, 0.970])),
    ("int4:64", None),
    ("int4:128", None),
];

/// Short texts, where memory bandwidth decides.
const SHORT: usize = 16;

pub(super) fn measure(subject: &Subject, peer: &Peer) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.note(format!("{}", Machine::now()?));
    report.note(
        "The model in float32 is beside the same with its matrices stored in fewer bits: one \
         thread, native. Cosines are those of all passages to float32. `×` is a multiple of the \
         file's own weights."
            .into(),
    );
    let passages = argument(&subject.inputs.passages)?;
    let infer = ["infer", "--input", passages];
    let exact = embeddings(&process::capture(&mut subject.native().command(&infer))?)?;
    let mut exact_bytes = 0.0;
    for (encoding, least) in [("f32", None)].into_iter().chain(ENCODINGS) {
        let file = subject
            .folder
            .join(format!("{}.ef-native", encoding.replace(':', "-")));
        let bundle = file.with_extension("ef");
        let model = Some(subject.inputs.model.as_path());
        let options = ["--weights", encoding];
        subject.dist.build_model(model, None, &options, &file)?;
        subject
            .dist
            .build_model(model, Some("bundle"), &options, &bundle)?;
        let bytes = fs::metadata(&bundle)?.len() as f64;
        let program = Program::Native(file);
        let peak = median(subject.inputs.turns.short, || {
            peer.peak_bytes(&program.command(&["infer", TEXT]))
        })?;
        let what = format!("{encoding}: peak memory of one text");
        report.alone(what, Unit::Weights, Target::AtMost(1.3), peak / bytes);
        if encoding == "f32" {
            exact_bytes = bytes;
            continue;
        }
        let what = format!("{encoding}: size of the payload, in those of float32");
        report.alone(what, Unit::Weights, Target::None, bytes / exact_bytes);
        let vectors = embeddings(&process::capture(&mut program.command(&infer))?)?;
        for (which, cosine, place) in [
            ("mean", mean_cosine as fn(&[_], &[_]) -> f64, 0),
            ("worst", worst_cosine, 1),
        ] {
            let target = least.map_or(Target::None, |least| Target::AtLeast(least[place]));
            let what = format!("{encoding}: {which} cosine to float32");
            report.alone(what, Unit::Cosine, target, cosine(&exact, &vectors));
        }
        for (tokens, ratio) in [(SHORT, 1.0), (TOKENS, 0.9)] {
            race(subject, &program, encoding, tokens, ratio, &mut report)?;
        }
    }
    Ok(report)
}

/// Beside float32.
fn race(
    subject: &Subject,
    program: &Program,
    encoding: &str,
    tokens: usize,
    ratio: f64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let text = subject.text_of(program, tokens)?;
    let texts = vec![text.as_str(); copies(tokens)];
    let mut ours = Loaded::start(program, 1, &text)?;
    let mut exact = Loaded::start(&subject.native(), 1, &text)?;
    let taken = in_turns(
        subject.inputs.turns.short,
        [&mut || ours.seconds(&texts), &mut || exact.seconds(&texts)],
    )?;
    let race = taken.map(|it| it.map(|seconds| seconds / texts.len() as f64 * 1e3));
    let what = format!("{encoding}: {tokens} tokens; beside it: float32");
    report.race(what, Unit::Milliseconds, Target::Ratio(ratio), race);
    Ok(())
}

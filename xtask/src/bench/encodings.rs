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

/// A way to store the matrices.
struct Storage {
    encoding: &'static str,
    /// As a mixture that takes so much of what int8 takes.
    part_of_int8: Option<f64>,
    /// The least mean and worst cosine to float32, where there is one to reach.
    least: Option<[f64; 2]>,
}

const fn all_in(encoding: &'static str) -> Storage {
    Storage {
        encoding,
        part_of_int8: None,
        least: None,
    }
}

/// int8 before the mixture that is measured by it.
const STORAGES: [Storage; 8] = [
    all_in("f32"),
    all_in("f16"),
    all_in("bf16"),
    Storage {
        least: Some([0.9998, 0.9993]),
        ..all_in("int8")
    },
    Storage {
        part_of_int8: Some(0.65),
        least: Some([0.990, 0.970]),
        ..all_in("int4:32")
    },
    all_in("int4:32"),
    all_in("int4:64"),
    all_in("int4:128"),
];

impl Storage {
    fn name(&self) -> String {
        match self.part_of_int8 {
            None => self.encoding.to_owned(),
            Some(part) => format!("{} and others in {part:.2} of int8's size", self.encoding),
        }
    }

    /// What `build` is told, for a payload behind a base of so many bytes.
    fn options(&self, int8_bytes: f64, base_bytes: u64) -> Vec<String> {
        let mut options = vec!["--weights".to_owned(), self.encoding.to_owned()];
        if let Some(part) = self.part_of_int8 {
            let size = base_bytes as f64 + part * int8_bytes;
            options.extend(["--target-size".to_owned(), format!("{size:.0}")]);
        }
        options
    }
}

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
    let base_bytes = fs::metadata(&subject.dist.native_base)?.len();
    let (mut exact_bytes, mut int8_bytes) = (0.0, 0.0);
    for storage in STORAGES {
        let name = storage.name();
        let file = subject.folder.join("encoded");
        let bundle = file.with_extension("ef");
        for (target, base_bytes, file) in [(None, base_bytes, &file), (Some("bundle"), 0, &bundle)]
        {
            let options = storage.options(int8_bytes, base_bytes);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let model = Some(subject.inputs.model.as_path());
            subject.dist.build_model(model, target, &options, file)?;
        }
        let bytes = fs::metadata(&bundle)?.len() as f64;
        let program = Program::Native(file);
        let peak = median(subject.inputs.turns.short, || {
            peer.peak_bytes(&program.command(&["infer", TEXT]))
        })?;
        let what = format!("{name}: peak memory of one text");
        report.alone(what, Unit::Weights, Target::AtMost(1.3), peak / bytes);
        match storage.encoding {
            "f32" => {
                exact_bytes = bytes;
                continue;
            }
            "int8" => int8_bytes = bytes,
            _ => {}
        }
        let what = format!("{name}: size of the payload, in those of float32");
        report.alone(what, Unit::Weights, Target::None, bytes / exact_bytes);
        let vectors = embeddings(&process::capture(&mut program.command(&infer))?)?;
        for (which, cosine, place) in [
            ("mean", mean_cosine as fn(&[_], &[_]) -> f64, 0),
            ("worst", worst_cosine, 1),
        ] {
            let least = storage.least.map(|least| Target::AtLeast(least[place]));
            let what = format!("{name}: {which} cosine to float32");
            let cosine = cosine(&exact, &vectors);
            report.alone(what, Unit::Cosine, least.unwrap_or(Target::None), cosine);
        }
        for (tokens, ratio) in [(SHORT, 1.0), (TOKENS, 0.9)] {
            race(subject, &program, &name, tokens, ratio, &mut report)?;
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

//! Models of the sizes that people use, with random weights.

use super::minilm;
use super::peer::{Peer, Service};
use super::report::{Report, Target, Unit};
use super::short;
use super::speed::{Loaded, TOKENS, agree, race};
use super::startup;
use super::subject::Subject;
use crate::dist::Dist;
use crate::infer::Program;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};

/// A folder of `xtask/bench/graphs`, and what is to be reached.
struct Size {
    graph: &'static str,
    start: Target,
}

/// Of 128 tokens, ONNX Runtime's time over ours.
const RATIO: f64 = 1.05;

const SIZES: [Size; 3] = [
    Size {
        graph: "bert-base",
        start: Target::AtMost(150.0),
    },
    Size {
        graph: "deberta-v3-base",
        start: Target::AtMost(400.0),
    },
    Size {
        graph: "modernbert-base",
        start: Target::Ratio(2.0),
    },
];

/// Texts a turn: a second's worth and more.
const COPIES: usize = 5;

pub(super) fn measure(
    subject: &Subject,
    peer: &Peer,
    service: &Service,
    report: &mut Report,
) -> anyhow::Result<()> {
    for size in SIZES {
        let model = filled(peer, size.graph, &subject.inputs.minilm, &subject.folder)?;
        let file = subject.folder.join("sized.encoderfile");
        subject.dist.build_model(Some(&model), None, &[], &file)?;
        let program = Program::Native(file);
        let session = service.load(&model, 1)?;
        let text = subject.text_of(&program, TOKENS)?;
        agree(&program, &session, &text)?;
        let mut ours = Loaded::start(&program, 1, &text)?;
        let race = race(subject, &mut ours, &session, &text, COPIES)?;
        let what = format!("{TOKENS} tokens, one thread, {}", size.graph);
        let target = Target::Ratio(RATIO);
        report.race(what, Unit::Milliseconds, target, race);
        let of = (size.graph, model.as_path(), &program);
        short::of_size(subject, service, of, report)?;
        startup::of_size(subject, peer, of, size.start, report)?;
    }
    Ok(())
}

/// The folder that `--model` names: its own, or one of these, made in `folder`.
pub(super) fn named(
    workspace: &Workspace,
    dist: &Dist,
    model: Option<&Path>,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let is_it = |size: &&Size| model.is_some_and(|model| Path::new(size.graph) == model);
    match SIZES.iter().find(is_it) {
        Some(size) => {
            let minilm = minilm::make(workspace, dist, folder)?;
            filled(&Peer::install(workspace)?, size.graph, &minilm, folder)
        }
        None => minilm::or_given(model, workspace, dist, folder),
    }
}

/// One at a time, since each takes half a gigabyte.
fn filled(peer: &Peer, graph: &str, minilm: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let model = folder.join("sized");
    peer.fill(graph, minilm, &model)?;
    Ok(model)
}

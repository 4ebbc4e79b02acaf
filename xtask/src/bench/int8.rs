//! Products of 8-bit integers, and what they cost in exactness.

use super::peer::{Model, Peer, Service};
use super::report::{Report, Target, Unit};
use super::speed::{Loaded, TOKENS, copies, race};
use super::subject::Subject;
use crate::infer::Program;
use crate::similarity::{mean_cosine, worst_cosine};

pub(super) fn measure(
    subject: &Subject,
    peer: &Peer,
    service: &Service,
    report: &mut Report,
) -> anyhow::Result<()> {
    let file = subject.folder.join("int8.encoderfile");
    let (model, options) = (&subject.inputs.model, ["--compute", "int8"]);
    let dist = &subject.dist;
    dist.build_model(Some(model), None, &options, &file)?;
    let quantized = subject.folder.join("int8");
    peer.quantize(model, &quantized)?;
    let (ours, theirs) = (Program::Native(file), service.load(&quantized, 1)?);

    let text = subject.text_of(&ours, TOKENS)?;
    let mut loaded = Loaded::start(&ours, 1, &text)?;
    let race = race(subject, &mut loaded, &theirs, &text, copies(TOKENS))?;
    let what = format!("{TOKENS} tokens, one thread, int8");
    let target = Target::Ratio(1.10);
    report.race(what, Unit::Milliseconds, target, race);
    exactness(subject, &ours, [&theirs, &service.load(model, 1)?], report)
}

/// Each int8 beside its own float32.
fn exactness(
    subject: &Subject,
    ours: &Program,
    [theirs, theirs_exact]: [&Model; 2],
    report: &mut Report,
) -> anyhow::Result<()> {
    let passages = subject.passages()?;
    let texts: Vec<&str> = passages.iter().map(String::as_str).collect();
    let (_, our_vectors) = ours.embed(&texts)?;
    let (_, our_exact) = subject.native().embed(&texts)?;
    let (their_vectors, their_exact) = (theirs.vectors(&texts)?, theirs_exact.vectors(&texts)?);
    for (which, cosine, least) in [
        ("mean", mean_cosine as fn(&[_], &[_]) -> f64, 0.999),
        ("worst", worst_cosine, 0.997),
    ] {
        let what = format!("{which} cosine of int8 to float32");
        let (ours, theirs) = (
            cosine(&our_vectors, &our_exact),
            cosine(&their_vectors, &their_exact),
        );
        report.beside(what, Unit::Cosine, Target::AtLeast(least), ours, theirs);
    }
    Ok(())
}

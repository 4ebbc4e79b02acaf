//! Many texts on two threads.

use super::peer::Service;
use super::report::{Report, Target, Unit};
use super::subject::Subject;
use super::turns::in_turns;
use crate::infer::{Program, argument};
use crate::process;
use anyhow::ensure;
use std::path::Path;

/// ONNX Runtime twice: as its best is made, and as it is mostly used.
pub(super) fn measure(
    subject: &Subject,
    service: &Service,
    report: &mut Report,
) -> anyhow::Result<()> {
    let peer = service.load(&subject.inputs.model, 2)?;
    let passages = subject.passages()?;
    let texts: Vec<&str> = passages.iter().map(String::as_str).collect();
    let counts = peer.token_counts(&texts)?;
    ensure!(
        counts == subject.passages_tokens()?,
        "the passages have other tokens here than there"
    );
    let sorted = by_length(&texts, &counts);
    let [ours, in_8, in_32] = in_turns(
        subject.inputs.turns.long,
        [
            &mut || seconds(&subject.native(), &subject.inputs.passages),
            &mut || peer.seconds(&sorted, 8),
            &mut || peer.seconds(&texts, 32),
        ],
    )?;
    let tokens: u64 = counts.iter().sum();
    let rates = [ours, in_8, in_32].map(|seconds| seconds.map(|seconds| tokens as f64 / seconds));
    let [ours, in_8, in_32] = rates;
    let rows = [
        (
            "passages, two threads; beside it: sorted, in 8s",
            1.15,
            in_8,
        ),
        (
            "the same; beside it: as they come, in padded 32s",
            4.5,
            in_32,
        ),
    ];
    for (what, ratio, theirs) in rows {
        let target = Target::Ratio(ratio);
        report.race(what, Unit::TokensPerSecond, target, [ours, theirs]);
    }
    Ok(())
}

/// Of all texts of a file on two threads; start, load and output included.
pub(super) fn seconds(program: &Program, texts: &Path) -> anyhow::Result<f64> {
    let infer = ["infer", "--threads", "2", "--input", argument(texts)?];
    process::seconds(&mut program.command(&infer))
}

pub(super) fn by_length<'a>(texts: &[&'a str], counts: &[u64]) -> Vec<&'a str> {
    let mut sorted: Vec<(&u64, &str)> = counts.iter().zip(texts.iter().copied()).collect();
    sorted.sort_by_key(|(count, _)| *count);
    sorted.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::by_length;

    #[test]
    fn short_texts_come_first_and_equal_ones_as_they_were() {
        let sorted = by_length(&["a b c", "d", "e f", "g"], &[3, 1, 2, 1]);
        assert_eq!(sorted, ["d", "g", "e f", "a b c"]);
    }
}

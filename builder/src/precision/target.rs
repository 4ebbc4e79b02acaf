//! The mixture of encodings of least loss that fits into a size.
//!
//! All matrices begin at the encoding that was asked for, and one after the other is stored
//! more exactly where that saves most loss for its bytes. A matrix's loss is measured: how far
//! the results are from those in float32 when it alone is rounded. What another encoding of it
//! loses is in proportion to its squared rounding error.

use super::{Precision, Reference};
use crate::error::BuildError;
use crate::graph::{Graph, Matrix, Storage};
use crate::trial::{Cosines, GOLDEN_TEXTS, Trial};
use encoderfile::golden;
use encoderfile::weights::{GroupLen, WeightsEncoding};
use std::collections::HashMap;
use std::str::FromStr;

/// What a matrix is stored as at least, where nothing else is said.
const LEAST: WeightsEncoding = WeightsEncoding::Int4(GroupLen::G64);

/// For the manifest and zeros between the parts.
const SPARE: u64 = 3 << 16;

/// How large a file may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetSize {
    /// The whole file.
    pub bytes: u64,
    /// What of it is the base program.
    pub base: u64,
}

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size: a number of bytes, or of kB, MB, GB, KiB, MiB or GiB (40MB)")]
pub struct NoSuchSize(String);

impl TargetSize {
    /// Of a file whose base program is not known yet.
    pub fn of_file(bytes: u64) -> Self {
        Self { bytes, base: 0 }
    }
}

impl FromStr for TargetSize {
    type Err = NoSuchSize;

    fn from_str(text: &str) -> Result<Self, NoSuchSize> {
        let end = text.find(|it: char| !it.is_ascii_digit() && it != '.');
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "kb" | "k" => 1e3,
            "mb" | "m" => 1e6,
            "gb" | "g" => 1e9,
            "kib" => 1024.0,
            "mib" => 1024.0 * 1024.0,
            "gib" => 1024.0 * 1024.0 * 1024.0,
            _ => return Err(NoSuchSize(text.into())),
        };
        let number: f64 = number.parse().map_err(|_| NoSuchSize(text.into()))?;
        let bytes = number * unit;
        if !(1.0..1e18).contains(&bytes) {
            return Err(NoSuchSize(text.into()));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within its range"
        )]
        let bytes = bytes as u64;
        Ok(Self::of_file(bytes))
    }
}

/// A step that a matrix can take.
struct Upgrade {
    matrix: usize,
    encoding: WeightsEncoding,
    bytes: u64,
    loss: f64,
}

impl TargetSize {
    /// The mixture that fits.
    pub(super) fn fit(
        self,
        trial: Trial<'_>,
        graph: &Graph,
        precision: &Precision,
        reference: &Reference,
    ) -> Result<Storage, BuildError> {
        let matrices = graph.matrices();
        let least = precision.weights.unwrap_or(LEAST);
        let compute = precision.compute.unwrap_or_default();
        let mut storage = Storage::of(&matrices, Some(least), &precision.rules, compute)?;
        super::refuse_unfit(trial, graph, &storage)?;
        let mut size = self.size_with(trial, graph, &storage, reference);
        if size > self.bytes {
            return Err(BuildError::TargetSize {
                target: self.bytes,
                least: size,
                encoding: least,
                base: self.base,
            });
        }
        let free: Vec<usize> = (0..matrices.len())
            .filter(|place| {
                !precision
                    .rules
                    .iter()
                    .any(|it| it.is_for(&matrices[*place]))
            })
            .collect();
        let losses = Losses::measure(trial, graph, &matrices, &free, &storage, reference)?;
        while let Some(upgrade) = losses.best(&matrices, &free, &storage, self.bytes - size) {
            size += upgrade.bytes;
            let name = matrices[upgrade.matrix].name.clone();
            storage.encodings.insert(name, upgrade.encoding);
        }
        Ok(storage)
    }

    /// How large the file is.
    fn size_with(
        self,
        trial: Trial<'_>,
        graph: &Graph,
        storage: &Storage,
        reference: &Reference,
    ) -> u64 {
        let (onnx, others) = graph.split(&Storage::exact());
        let matrices = graph.matrices();
        let exact: u64 = matrices.iter().map(|it| it.length(it.source)).sum();
        let stored: u64 = matrices
            .iter()
            .map(|it| it.length(storage.encoding(it)))
            .sum();
        let golden = &reference.results[..GOLDEN_TEXTS.len().min(reference.results.len())];
        let parts = [
            trial.model.config_json.len(),
            trial.model.tokenizer_json.len(),
            onnx.len(),
            golden::encode(golden).len(),
        ];
        let parts: u64 = parts.iter().map(|it| *it as u64).sum();
        let others = encoderfile::Source::len(&others).saturating_sub(exact);
        self.base + parts + others + stored + SPARE
    }
}

/// What each matrix loses at each encoding.
struct Losses(HashMap<(usize, WeightsEncoding), f64>);

impl Losses {
    fn measure(
        trial: Trial<'_>,
        graph: &Graph,
        matrices: &[Matrix],
        free: &[usize],
        storage: &Storage,
        reference: &Reference,
    ) -> Result<Self, BuildError> {
        let mut losses = HashMap::new();
        let texts: Vec<&str> = reference
            .results
            .iter()
            .map(|it| it.text.as_str())
            .collect();
        let texts = &texts[..texts.len().min(2 * GOLDEN_TEXTS.len())];
        for place in free {
            let matrix = &matrices[*place];
            let least = storage.encoding(matrix);
            let rungs = rungs(matrix, least);
            let errors: Vec<f64> = rungs
                .iter()
                .map(|it| graph.rounding_error(matrix, *it))
                .collect();
            let mut alone = Storage::exact();
            alone.encodings.insert(matrix.name.clone(), least);
            let stored = trial.stored(graph, &alone);
            let results = trial.run(|| trial.results(&trial.encoder(&stored)?, texts))?;
            let loss = f64::from(1.0 - Cosines::of(&results, &reference.results).mean);
            let unit = errors
                .first()
                .filter(|it| **it > 0.0)
                .map_or(0.0, |it| loss.max(0.0) / it);
            for (rung, error) in rungs.iter().zip(errors) {
                losses.insert((*place, *rung), unit * error);
            }
        }
        Ok(Self(losses))
    }

    /// The step that saves most for its bytes, of those that fit.
    fn best(
        &self,
        matrices: &[Matrix],
        free: &[usize],
        storage: &Storage,
        room: u64,
    ) -> Option<Upgrade> {
        let steps = free.iter().flat_map(|place| {
            let matrix = &matrices[*place];
            let now = storage.encoding(matrix);
            let loss = |encoding| self.0.get(&(*place, encoding)).copied().unwrap_or_default();
            rungs(matrix, now)
                .into_iter()
                .skip(1)
                .map(move |encoding| Upgrade {
                    matrix: *place,
                    encoding,
                    bytes: matrix.length(encoding) - matrix.length(now),
                    loss: loss(now) - loss(encoding),
                })
        });
        let steps = steps.filter(|it| it.bytes > 0 && it.bytes <= room && it.loss > 0.0);
        let gain = |it: &Upgrade| it.loss / it.bytes as f64;
        steps.max_by(|a, b| gain(a).total_cmp(&gain(b)))
    }
}

/// An encoding, and those of a matrix that are more exact, the smallest first.
fn rungs(matrix: &Matrix, least: WeightsEncoding) -> Vec<WeightsEncoding> {
    let group_len = least.group_len().unwrap_or_default();
    let all = [
        least,
        WeightsEncoding::Int8(group_len),
        WeightsEncoding::F16,
        matrix.source,
    ];
    let mut rungs: Vec<WeightsEncoding> = Vec::new();
    for rung in all {
        if rungs
            .last()
            .is_none_or(|it| matrix.length(*it) < matrix.length(rung))
        {
            rungs.push(rung);
        }
    }
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in [
            ("40MB", 40_000_000),
            ("1.5 GiB", 1_610_612_736),
            ("123", 123),
            ("7kb", 7000),
        ] {
            assert_eq!(text.parse(), Ok(TargetSize { bytes, base: 0 }), "{text}");
        }
        for text in [
            "",
            "MB",
            "-1MB",
            "1e3",
            "40 apples",
            "1..2MB",
            "0",
            "99999999999GB",
        ] {
            assert!(text.parse::<TargetSize>().is_err(), "{text}");
        }
    }
}

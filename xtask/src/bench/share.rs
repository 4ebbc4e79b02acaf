//! What share of the processor's FMA peak a whole model reaches, with each instruction set
//! that the kernels are compiled for: a number that machines can be compared by.

use super::peak::InstructionSet;
use super::report::{Report, Target, Unit};
use super::speed::{LENGTHS, Loaded, copies};
use super::subject::Subject;
use super::turns::in_turns;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// To be reached with 16, 128 and 512 tokens. With 16, memory bandwidth decides.
const TARGETS: [f64; 3] = [0.60, 0.85, 0.80];

pub(super) fn measure(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let shape = Shape::of(&subject.long_model)?;
    let program = subject.long();
    for set in InstructionSet::all() {
        if set.name == "portable" {
            continue;
        }
        for (tokens, target) in LENGTHS.into_iter().zip(TARGETS) {
            let text = subject.text_of(&program, tokens)?;
            let mut ours = Loaded::with_isa(&program, set.name, &text)?;
            let texts = vec![text.as_str(); copies(tokens)];
            let gigaflops = shape.gigaflops(tokens) * texts.len() as f64;
            let taken = in_turns(
                subject.inputs.turns.short,
                [&mut || Ok(ours.seconds(&texts)? / gigaflops), &mut || {
                    Ok(set.seconds_per_gigaflop())
                }],
            )?;
            let [model, peak] = taken.map(|taken| taken.map(|seconds| 1.0 / seconds));
            let (reached, possible) = (model.best, peak.best);
            ensure!(
                reached <= possible,
                "{reached:.0} GFLOP/s of a model, of {possible:.0} measured as the FMA peak of {}",
                set.name
            );
            let what = format!(
                "{tokens} tokens, one thread, {}; beside it: FMA peak",
                set.name
            );
            report.race(what, Unit::Gigaflops, Target::Ratio(target), [model, peak]);
        }
    }
    Ok(())
}

/// What the number of multiplications depends on.
struct Shape {
    layers: f64,
    hidden: f64,
    intermediate: f64,
}

impl Shape {
    /// Of an encoder of BERT's kind.
    fn of(model: &Path) -> anyhow::Result<Self> {
        let path = model.join("config.json");
        let config = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let config: Value = serde_json::from_str(&config)?;
        let number = |key: &str| {
            let number = config.get(key).and_then(Value::as_f64);
            number.with_context(|| format!("{}: no {key}", path.display()))
        };
        Ok(Self {
            layers: number("num_hidden_layers")?,
            hidden: number("hidden_size")?,
            intermediate: number("intermediate_size")?,
        })
    }

    /// Of matrix products alone, those of attention included.
    fn gigaflops(&self, tokens: usize) -> f64 {
        let tokens = tokens as f64;
        let of_token = 4.0 * self.hidden * self.hidden
            + 2.0 * self.hidden * self.intermediate
            + 2.0 * tokens * self.hidden;
        2.0 * self.layers * tokens * of_token / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn minilm_has_ten_million_multiplications_a_token() {
        let shape = Shape {
            layers: 6.0,
            hidden: 384.0,
            intermediate: 1536.0,
        };
        // 10.6 million in linear layers, and 128 · 384 · 12 in attention.
        assert!((shape.gigaflops(128) - 2.868_9).abs() < 1e-4);
    }
}

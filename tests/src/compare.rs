//! Comparing results with the reference, and with those of another target.
//!
//! Token ids, tokens, offsets and labels must be equal; numbers must be near.
//! Each comparison returns the largest difference it saw.

use crate::fixture::{Case, Logits, Tokens};
use crate::rows::{Row, TokenInfo, TokenPrediction, Tokenized};
use anyhow::{Context, ensure};
use serde_json::Value;

/// How a result must agree with the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Agreement {
    /// No number may differ by more, absolute; values are of order 1.
    Within(f64),
    /// The cosine may be lower than 1 by no more: embeddings from rounded weights.
    Cosine(f64),
}

/// Largest absolute difference to the reference for float32 weights. The
/// reference's own rounding differs between libraries by up to 4e-5.
pub const REFERENCE_TOLERANCE: Agreement = Agreement::Within(1e-4);

/// The default model has int8 weights.
pub const INT8_TOLERANCE: Agreement = Agreement::Cosine(1e-3);

/// Graphs that round activations to 8 bits: where a sum differs in its last bit, a value can be
/// rounded to another step, and all that follows differs with it.
pub const ROUNDED_TOLERANCE: Agreement = Agreement::Cosine(5e-3);

/// Largest difference between two targets, divided by the result's largest
/// number where that is above 1, as `self-test` has it: some fixtures have
/// logits of 7, where a float32 step is already 5e-7.
pub const TARGET_TOLERANCE: f64 = 1e-5;

/// The same of graphs that round activations to 8 bits.
pub const ROUNDED_TARGET_TOLERANCE: f64 = 5e-2;

/// How far two results for the same text are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Apart {
    /// The largest absolute difference.
    pub absolute: f64,
    /// That, divided by the largest number where it is above 1.
    pub scaled: f64,
}

impl Agreement {
    /// How far apart two vectors are in this sense.
    fn distance(self, expected: &[f64], got: &[f64]) -> anyhow::Result<f64> {
        match self {
            Self::Within(_) => difference(expected, got),
            Self::Cosine(_) => {
                same_length(expected, got)?;
                Ok(1.0 - cosine(expected, got))
            }
        }
    }

    fn limit(self) -> f64 {
        match self {
            Self::Within(limit) | Self::Cosine(limit) => limit,
        }
    }

    /// Fails for a distance that is too large, or not a number.
    pub fn check(self, distance: f64) -> anyhow::Result<()> {
        let limit = self.limit();
        ensure!(distance <= limit, "{distance:.2e}, limit {limit:.0e}");
        Ok(())
    }
}

/// Compares tokens and their number with the reference.
pub fn tokens(case: &Case, got: &Tokenized) -> anyhow::Result<()> {
    let infos = || got.tokens.iter().map(|token| &token.info);
    if let Some(expected) = &case.input_ids {
        let ids: Vec<u32> = infos().map(|it| it.token_id).collect();
        ensure!(ids == *expected, "token ids {ids:?}, expected {expected:?}");
    }
    if let Some(Tokens::Spelled(expected)) = &case.tokens {
        let tokens: Vec<&str> = infos().map(|it| it.token.as_str()).collect();
        ensure!(
            tokens == *expected,
            "tokens {tokens:?}, expected {expected:?}"
        );
    }
    if let Some(expected) = &case.offsets {
        let offsets: Vec<_> = infos().map(|it| (it.start, it.end)).collect();
        ensure!(
            offsets == *expected,
            "offsets {offsets:?}, expected {expected:?}"
        );
    }
    let (total, used) = (got.tokens_total, got.tokens_used);
    ensure!(
        used == got.tokens.len(),
        "tokens_used {used}, but {} tokens",
        got.tokens.len()
    );
    ensure!(used <= total, "tokens_used {used} of {total}");
    if let Some(cut) = case.is_cut() {
        ensure!(
            cut == (used < total),
            "{used} of {total} tokens used; cut: {cut}"
        );
    }
    match case.tokens {
        // Reference counts are taken before truncation, except at the limit itself.
        Some(Tokens::Count(count)) if count != used => {
            ensure!(total == count, "tokens_total {total}, expected {count}");
        }
        _ => {}
    }
    Ok(())
}

/// Compares a result with the reference, and with the tokens it belongs to.
pub fn row(
    case: &Case,
    tokenized: &Tokenized,
    row: &Row,
    agreement: Agreement,
) -> anyhow::Result<f64> {
    usage(tokenized, row)?;
    let mut checks = Checks {
        agreement,
        largest: 0.0,
    };
    if case.mean.is_some() {
        let vectors = row.embeddings.as_ref().context("no `embeddings`")?;
        same_tokens(tokenized, row)?;
        let vectors: Vec<&[f64]> = vectors.iter().map(|it| it.embedding.as_slice()).collect();
        checks.vector("mean", &case.mean, &mean(&vectors))?;
        checks.vector("cls", &case.cls, vectors.first().context("no tokens")?)?;
        checks.vector(
            "last_token",
            &case.last_token,
            vectors.last().context("no tokens")?,
        )?;
    }
    if case.embedding.is_some() {
        let embedding = row.embedding.as_ref().context("no `embedding`")?;
        checks.vector("embedding", &case.embedding, embedding)?;
    }
    match &case.logits {
        None => {}
        Some(Logits::Text(expected)) => {
            let got = row.logits.as_ref().context("no `logits`")?;
            checks.values("logits", expected, got)?;
            checks.vector(
                "scores",
                &case.scores,
                row.scores.as_ref().context("no `scores`")?,
            )?;
            let (expected, got) = (&case.label, &row.predicted_label);
            ensure!(
                expected == got,
                "predicted_label {got:?}, expected {expected:?}"
            );
        }
        Some(Logits::Tokens(expected)) => {
            let got = row.tokens.as_ref().context("no `tokens`")?;
            same_tokens(tokenized, row)?;
            ensure!(
                got.len() == expected.len(),
                "{} tokens, expected {}",
                got.len(),
                expected.len()
            );
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                let checked = checks.values("logits", expected, &got.logits);
                checked.with_context(|| format!("token {index}"))?;
            }
            checks.entities(case, tokenized, got)?;
        }
    }
    Ok(checks.largest)
}

/// Compares a result with a reference that says some of it: what it says of
/// text, counts and order must be equal, its numbers near. Returns the largest
/// difference.
pub fn json(expected: &Value, got: &Value, agreement: Agreement) -> anyhow::Result<f64> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let mut largest = 0.0_f64;
            for (key, expected) in expected {
                let got = got.get(key).with_context(|| format!("no `{key}`"))?;
                let distance = json(expected, got, agreement).with_context(|| key.clone())?;
                largest = largest.max(distance);
            }
            Ok(largest)
        }
        (Value::Array(expected), Value::Array(got)) => {
            ensure!(
                expected.len() == got.len(),
                "{} values, expected {}",
                got.len(),
                expected.len()
            );
            let mut largest = 0.0_f64;
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                let distance = json(expected, got, agreement);
                let distance = distance.with_context(|| format!("value {index}"))?;
                largest = largest.max(distance);
            }
            Ok(largest)
        }
        (Value::Number(expected), Value::Number(got)) if expected.is_f64() => {
            let [expected, got] = [expected, got].map(|it| it.as_f64().unwrap_or(f64::NAN));
            let distance = difference(&[expected], &[got])?;
            agreement.check(distance)?;
            Ok(distance)
        }
        _ => {
            ensure!(expected == got, "{got}, expected {expected}");
            Ok(0.0)
        }
    }
}

/// Compares the results of two targets for the same request, which are not further apart than
/// `tolerance`, scaled.
pub fn targets(one: &Value, other: &Value, tolerance: f64) -> anyhow::Result<Apart> {
    let largest = largest_number(one).max(1.0);
    let absolute = json(one, other, Agreement::Within(tolerance * largest));
    let absolute = absolute.context("from native")?;
    let scaled = absolute / largest;
    Ok(Apart { absolute, scaled })
}

fn largest_number(value: &Value) -> f64 {
    match value {
        Value::Object(fields) => fields.values().map(largest_number).fold(0.0, f64::max),
        Value::Array(values) => values.iter().map(largest_number).fold(0.0, f64::max),
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or(0.0).abs(),
        _ => 0.0,
    }
}

/// Compares the results of two targets for the same text in the same way.
pub fn rows(one: &Row, other: &Row, tolerance: f64) -> anyhow::Result<Apart> {
    ensure!(one.token_infos() == other.token_infos(), "other tokens");
    ensure!(one.labels() == other.labels(), "other labels");
    let usage = |row: &Row| (row.tokens_total, row.tokens_used);
    ensure!(usage(one) == usage(other), "other token counts");
    let numbers = one.numbers();
    let absolute = difference(&numbers, &other.numbers())?;
    let largest = numbers
        .iter()
        .fold(1.0_f64, |largest, it| largest.max(it.abs()));
    let scaled = absolute / largest;
    ensure!(
        scaled <= tolerance,
        "{scaled:.1e} from native ({absolute:.1e} absolute)"
    );
    Ok(Apart { absolute, scaled })
}

struct Checks {
    agreement: Agreement,
    largest: f64,
}

impl Checks {
    fn vector(
        &mut self,
        name: &str,
        expected: &Option<Vec<f64>>,
        got: &[f64],
    ) -> anyhow::Result<()> {
        let expected = expected.as_ref();
        let expected = expected.with_context(|| format!("golden.json has no `{name}`"))?;
        self.values(name, expected, got)
    }

    fn values(&mut self, name: &str, expected: &[f64], got: &[f64]) -> anyhow::Result<()> {
        let distance = self.agreement.distance(expected, got);
        let distance = distance.with_context(|| name.to_owned())?;
        self.largest = self.largest.max(distance);
        self.agreement
            .check(distance)
            .with_context(|| name.to_owned())
    }

    /// Labels and scores of the tokens that are in the text.
    fn entities(
        &mut self,
        case: &Case,
        tokenized: &Tokenized,
        got: &[TokenPrediction],
    ) -> anyhow::Result<()> {
        let Some(entities) = &case.entities else {
            return Ok(());
        };
        for (index, (token, got)) in tokenized.tokens.iter().zip(got).enumerate() {
            let entity = entities.iter().find(|it| it.index == index);
            let expected = entity.map_or("O", |it| it.entity.as_str());
            if token.special {
                continue;
            }
            ensure!(
                got.label == expected,
                "token {index}: label {}, expected {expected}",
                got.label
            );
            if let Some(entity) = entity {
                self.values("score", &[entity.score], &[got.score])?;
            }
        }
        Ok(())
    }
}

/// A result says that its text was cut exactly where the tokens say so.
fn usage(tokenized: &Tokenized, row: &Row) -> anyhow::Result<()> {
    let (total, used) = (tokenized.tokens_total, tokenized.tokens_used);
    let expected = (used < total).then_some((total, used));
    let got = row.tokens_total.zip(row.tokens_used);
    ensure!(
        got == expected,
        "tokens_total, tokens_used {got:?}, expected {expected:?}"
    );
    Ok(())
}

/// With `--special-tokens`, a per-token result has every token.
fn same_tokens(tokenized: &Tokenized, row: &Row) -> anyhow::Result<()> {
    let expected: Vec<&TokenInfo> = tokenized.tokens.iter().map(|it| &it.info).collect();
    ensure!(
        row.token_infos() == expected,
        "`infer` and `tokenize` give other tokens"
    );
    Ok(())
}

fn mean(vectors: &[&[f64]]) -> Vec<f64> {
    let width = vectors.first().map_or(0, |vector| vector.len());
    let sum = |column: usize| vectors.iter().map(|vector| vector[column]).sum::<f64>();
    (0..width)
        .map(|column| sum(column) / vectors.len() as f64)
        .collect()
}

/// The largest absolute difference; infinite where a number is not one.
fn difference(expected: &[f64], got: &[f64]) -> anyhow::Result<f64> {
    same_length(expected, got)?;
    let differences = expected
        .iter()
        .zip(got)
        .map(|(expected, got)| (expected - got).abs());
    Ok(differences.fold(0.0, |largest, it| {
        if it.is_nan() {
            f64::INFINITY
        } else {
            it.max(largest)
        }
    }))
}

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

fn same_length(expected: &[f64], got: &[f64]) -> anyhow::Result<()> {
    ensure!(
        got.len() == expected.len(),
        "{} numbers, expected {}",
        got.len(),
        expected.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Agreement, difference};
    use serde_json::{Value, json};

    #[test]
    fn what_is_no_number_is_no_agreement() {
        let distance = difference(&[1.0], &[f64::NAN]).unwrap();
        assert!(Agreement::Within(1e-4).check(distance).is_err());
        let cosine = Agreement::Cosine(1e-3);
        let distance = cosine.distance(&[1.0], &[f64::NAN]).unwrap();
        assert!(cosine.check(distance).is_err());
    }

    #[test]
    fn a_reference_may_say_less_but_nothing_else() {
        let agreement = Agreement::Within(1e-4);
        let got = json!({"a": [1.0, 2.0], "b": "x", "c": 3});
        let check = |expected: Value| super::json(&expected, &got, agreement);
        assert!(check(json!({"a": [1.0, 2.00005]})).unwrap() > 1e-5);
        assert!(check(json!({"c": 3, "b": "x"})).is_ok());
        for other in [
            json!({"a": [1.0, 2.1]}),
            json!({"a": [1.0]}),
            json!({"b": "y"}),
            json!({"c": 4}),
            json!({"d": 1}),
        ] {
            assert!(check(other).is_err());
        }
    }

    #[test]
    fn the_largest_difference_counts() {
        let distance = difference(&[1.0, 2.0, 3.0], &[1.0, 2.5, 3.1]).unwrap();
        assert!((distance - 0.5).abs() < 1e-12);
        assert!(difference(&[1.0], &[1.0, 2.0]).is_err());
    }
}

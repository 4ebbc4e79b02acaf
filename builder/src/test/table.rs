//! A report as a table, for people.

use super::{Check, Compared, Comparison, Found, Report};
use std::fmt::{self, Display, Formatter};

/// How many texts of a comparison are shown: the worst.
const TEXTS_SHOWN: usize = 10;

/// How much is shown of a text, in characters.
const TEXT_SHOWN: usize = 48;

/// The report as a row for each check, with the verdict first; `verbose` has the inference
/// engine's own words of an error too.
pub fn to_text(report: &Report, verbose: bool) -> String {
    let Report {
        file,
        kind,
        name,
        version,
        task,
        weights,
        compute,
        instruction_set,
        ..
    } = report;
    let mut text = format!(
        "{file}: {kind}, {name} {version}, {task}, weights {weights}, compute {compute}, computed with {instruction_set}\n\n"
    );
    for check in &report.checks {
        write_check(check, verbose, &mut text);
    }
    let (failed, all) = (report.failed(), report.checks.len());
    text += &match failed {
        0 => format!("\npassed: {all} checks\n"),
        failed => format!("\nFAILED: {failed} of {all} checks\n"),
    };
    text
}

fn write_check(check: &Check, verbose: bool, text: &mut String) {
    let verdict = if check.passed { "ok" } else { "FAILED" };
    let name = check.check.replace('_', " ");
    let of = check.text.unwrap_or_default().replace('_', " ");
    let (time, found) = (Time(check.seconds).to_string(), &check.found);
    *text += &format!("{verdict:<6}  {name:<16}  {of:<11}  {time:>9}  {found}\n");
    match found {
        Found::Compared(comparison) => write_texts(comparison, text),
        Found::Error {
            detail: Some(detail),
            ..
        } => {
            *text += &match verbose {
                true => format!("        the engine says: {detail}\n"),
                false => "        (--verbose says more)\n".into(),
            };
        }
        _ => {}
    }
}

/// The texts whose numbers are farthest from the source's.
fn write_texts(comparison: &Comparison, text: &mut String) {
    let mut texts: Vec<&Compared> = comparison.texts.iter().collect();
    // Those with other tokens go first; the others stay in their order where they are alike.
    texts.sort_by(|a, b| {
        let cosine = |it: &Compared| it.cosine.unwrap_or(-2.0);
        cosine(a).total_cmp(&cosine(b))
    });
    if texts.len() > TEXTS_SHOWN {
        *text += &format!("\n        the {TEXTS_SHOWN} worst texts:\n");
    }
    *text += &format!(
        "\n        {:>8}  {:>10}  {:>6}  text\n",
        "cosine", "difference", "tokens"
    );
    for compared in texts.into_iter().take(TEXTS_SHOWN) {
        *text += &format!("        {compared}\n");
    }
}

impl Report {
    /// How many checks failed.
    fn failed(&self) -> usize {
        self.checks.iter().filter(|it| !it.passed).count()
    }
}

impl Display for Compared {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let mut shown: String = self.text.chars().take(TEXT_SHOWN).collect();
        if shown.len() < self.text.len() {
            shown.push('…');
        }
        let tokens = self.tokens;
        match (self.cosine, self.largest_difference) {
            (Some(cosine), Some(difference)) => {
                write!(
                    formatter,
                    "{cosine:>8.6}  {difference:>10.7}  {tokens:>6}  {shown:?}"
                )
            }
            _ => write!(
                formatter,
                "{:<20}  {tokens:>6}  {shown:?}",
                "other token ids"
            ),
        }
    }
}

impl Display for Found {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes { artifacts, bytes } => {
                let megabytes = *bytes as f64 / 1e6;
                write!(formatter, "{artifacts} parts, {megabytes:.1} MB")
            }
            Self::Loaded {
                max_tokens,
                capabilities,
            } => {
                let capabilities = capabilities.join(", ");
                write!(formatter, "up to {max_tokens} tokens: {capabilities}")
            }
            Self::Stored(report) => write!(
                formatter,
                "{} texts, {} with other token ids, largest difference {:.1e} (limit {:.0e})",
                report.cases, report.token_mismatches, report.largest_difference, report.limit
            ),
            Self::Program { printed, .. } => formatter.write_str(printed),
            Self::Tokenized { tokens } | Self::Computed { tokens } => {
                write!(formatter, "{tokens} tokens")
            }
            Self::Similarity { similarity } => write!(formatter, "{similarity:.4}"),
            Self::Compared(comparison) => comparison.fmt(formatter),
            Self::Error { error, .. } => formatter.write_str(error),
        }
    }
}

impl Display for Comparison {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            min_cosine,
            worst_cosine,
            mean_cosine,
            largest_difference,
            mean_difference,
            ..
        } = self;
        let count = self.texts.len();
        if self.token_mismatches == count {
            return write!(formatter, "{count} texts, all with other token ids");
        }
        write!(
            formatter,
            "{count} texts, cosine {worst_cosine:.6} at worst (at least {min_cosine:.6}), {mean_cosine:.6} on average; difference {largest_difference:.7} at most, {mean_difference:.7} on average"
        )?;
        match self.token_mismatches {
            0 => {}
            count => write!(formatter, "; {count} texts with other token ids")?,
        }
        match self.same_weights {
            true => Ok(()),
            false => formatter.write_str("; not the weights file that it was built from"),
        }
    }
}

/// A time in seconds.
struct Time(f64);

impl Display for Time {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds < 1.0 => write!(formatter, "{:.1} ms", seconds * 1e3),
            seconds => write!(formatter, "{seconds:.1} s"),
        }
    }
}

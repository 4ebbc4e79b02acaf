//! From what was typed to what the runtime is asked for.

use crate::cli;
use encoderfile::{Aggregation, Long, Options, Role, Side, Truncation};

/// What every command on texts may say.
pub(crate) fn of_texts(texts: &cli::Texts) -> Options {
    Options {
        long: match texts.long {
            cli::Long::Truncate => Long::Truncate,
            cli::Long::Error => Long::Error,
            cli::Long::Mean => Long::Mean,
        },
        truncation_side: texts.truncation_side.map(|side| match side {
            cli::Side::Left => Side::Left,
            cli::Side::Right => Side::Right,
        }),
        truncation: texts.truncation.map(|truncation| match truncation {
            cli::Truncation::LongestFirst => Truncation::LongestFirst,
            cli::Truncation::OnlyFirst => Truncation::OnlyFirst,
            cli::Truncation::OnlySecond => Truncation::OnlySecond,
        }),
        max_tokens: texts.max_tokens,
        prompt: texts.prompt.clone(),
        prompt_name: texts.prompt_name.clone(),
        role: texts.role.map(|role| match role {
            cli::Role::Query => Role::Query,
            cli::Role::Document => Role::Document,
        }),
        ..Options::default()
    }
}

/// The options of `infer`.
pub(crate) fn of_infer(arguments: &cli::Infer) -> Options {
    Options {
        normalize: arguments.normalize,
        dimensions: arguments.dimensions,
        unpooled: arguments.unpooled,
        special_tokens: arguments.special_tokens,
        aggregation: arguments.aggregation.map(|aggregation| match aggregation {
            cli::Aggregation::None => Aggregation::None,
            cli::Aggregation::Simple => Aggregation::Simple,
            cli::Aggregation::First => Aggregation::First,
            cli::Aggregation::Average => Aggregation::Average,
            cli::Aggregation::Max => Aggregation::Max,
        }),
        ignore_labels: arguments.ignore_labels.as_deref().map(names),
        stride: arguments.stride,
        query: arguments.query.clone(),
        labels: arguments.labels.as_deref().map(names),
        template: arguments.template.clone(),
        multi_label: arguments.multi_label,
        raw_scores: arguments.raw_scores,
        top_k: arguments.top_k,
        // As typed: a byte-level vocabulary has words with a space before them.
        targets: arguments.targets.clone(),
        ..of_texts(&arguments.texts)
    }
}

/// The names in a list that people write with spaces after the commas.
fn names(list: &[String]) -> Vec<String> {
    let trimmed = list.iter().map(|name| name.trim());
    let names = trimmed.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

//! What a model can be asked for, each asked once of a usual text, of one that is as long as the
//! model takes, and of an empty one.

use super::{Found, Report};
use crate::trial::GOLDEN_TEXTS;
use encoderfile::{Aggregation, Capability, Error, Model, Options};

/// A usual text.
const SAMPLE: &str = "How do I reset my password? I can't log in any more!";

/// What texts are ranked by, and compared with.
const QUERY: &str = "forgotten password";

/// What texts are sorted into.
const LABELS: [&str; 2] = ["support", "sales"];

/// Checks the tokenizer and each capability.
pub(super) fn check(model: &Model, report: &mut Report) {
    let texts = [
        ("sample", SAMPLE.to_owned()),
        ("full_length", of_full_length(model)),
        ("empty", String::new()),
    ];
    for (name, text) in &texts {
        report.check("tokenize", Some(*name), || {
            let tokens = model.tokenize(text.as_str(), &Options::default())?;
            let tokens = tokens.tokens_used;
            Ok(((), Found::Tokenized { tokens }))
        });
    }
    for capability in model.encoder().capabilities() {
        for (name, text) in &texts {
            report.check(capability.name(), Some(*name), || {
                Ok(((), ask(model, capability, text)?))
            });
        }
    }
}

/// A text of as many tokens as the model takes, or a few more.
fn of_full_length(model: &Model) -> String {
    let wanted = model.info().max_tokens as usize;
    let length = |text: &str| {
        let tokens = model.tokenize(text, &Options::default());
        tokens.map_or(0, |it| it.tokens_total)
    };
    let mut text = GOLDEN_TEXTS.join(" ");
    let mut tokens = length(&text);
    while tokens < wanted {
        let longer = [text.as_str(); 2].join(" ");
        let more = length(&longer);
        // Such a tokenizer takes no longer texts: the check of it says why.
        if more <= tokens {
            break;
        }
        (text, tokens) = (longer, more);
    }
    text
}

/// Asks for one thing.
fn ask(model: &Model, capability: Capability, text: &str) -> Result<Found, Error> {
    if capability == Capability::Similarity {
        let scores = model.similarity(QUERY, [text], &Options::default())?;
        let similarity = scores.first().copied().unwrap_or_default();
        return Ok(Found::Similarity { similarity });
    }
    let text = match (capability, model.encoder().mask_token()) {
        // At either end, of which one may be truncated.
        (Capability::FillMask, Some(mask)) => format!("{mask} {text} {mask}"),
        _ => text.to_owned(),
    };
    let options = options(model, capability);
    let tokens = model.infer(text, &options)?.tokens;
    Ok(Found::Computed { tokens })
}

/// How it is asked for.
fn options(model: &Model, capability: Capability) -> Options {
    let none = Options::default();
    match capability {
        Capability::TokenEmbeddings => Options {
            unpooled: model.encoder().capabilities().contains(&Capability::Embed),
            ..none
        },
        Capability::Rerank => Options {
            query: Some(QUERY.into()),
            ..none
        },
        Capability::ZeroShot => Options {
            labels: Some(LABELS.map(Into::into).to_vec()),
            ..none
        },
        Capability::Entities => Options {
            aggregation: Some(Aggregation::Simple),
            ..none
        },
        _ => none,
    }
}

//! tokenizer.json: loaded as a model's, and texts tokenised in every way that a request
//! may ask for.

use super::TEXT;
use crate::models;
use encoderfile::container::ArtifactKind;
use encoderfile::manifest::Pipeline;
use encoderfile::{Input, Tokenizer, TruncationStrategy};

/// Few, so that texts are cut.
const MAX_TOKENS: u32 = 12;

const STRIDE: usize = 2;

pub(crate) fn run(data: &[u8]) {
    let pipeline = Pipeline {
        max_tokens: MAX_TOKENS,
        ..Pipeline::default()
    };
    let Ok(tokenizer) = Tokenizer::load(data, &pipeline) else {
        return;
    };
    for input in [TEXT.into(), "".into(), Input::Pair(TEXT, "a pair")] {
        let strategy = TruncationStrategy::LongestFirst;
        let Ok(tokens) = tokenizer.encode(input, strategy, None, None) else {
            continue;
        };
        let length = tokens.ids.len();
        assert!(length <= MAX_TOKENS as usize, "{length} tokens");
        assert_eq!(tokens.tokens.len(), length);
        assert_eq!(tokens.offsets.len(), length);
        assert_eq!(tokens.special.len(), length);
        let _ = tokenizer.decode(&tokens.ids, true);
        let _ = tokenizer.encode(Input::Ids(&tokens.ids), strategy, None, None);
    }
    let long = TEXT.repeat(3);
    let _ = tokenizer.windows(Input::Text(&long), STRIDE, None, None);
    let _ = tokenizer.even_windows(Input::Text(&long), 1, None);
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    let tokenizers = models::NAMES.iter();
    let tokenizers = tokenizers.map(|name| models::artifact(name, ArtifactKind::Tokenizer));
    tokenizers.collect()
}

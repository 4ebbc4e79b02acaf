//! TEI's `/tokenize` and `/decode`.

use crate::answer::Answered;
use crate::{Answer, Call};
use encoderfile::Item;
use encoderfile::{Options, Tokens};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Texts to tokenise.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::TokenizeRequest)]
pub(crate) struct TokenizeRequest {
    inputs: TokenizeInputs,
    /// Also the tokens that are not in the text.
    #[serde(default = "is_so")]
    add_special_tokens: bool,
    /// The model's prompt to prepend to each text.
    prompt_name: Option<String>,
}

fn is_so() -> bool {
    true
}

/// One text or several.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::TokenizeInputs)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum TokenizeInputs {
    One(String),
    Many(Vec<String>),
}

/// A token.
#[derive(Serialize, ToSchema)]
#[schema(as = tei::Token)]
pub struct Token {
    /// Index into the vocabulary.
    pub id: u32,
    /// As the text spells it; of a special token, as the vocabulary does.
    pub text: String,
    /// Whether the tokenizer added it.
    pub special: bool,
    /// First code point of the text, with its prompt; none of a special token.
    pub start: Option<usize>,
    /// One past the last.
    pub stop: Option<usize>,
}

/// All tokens of each text.
#[utoipa::path(post, path = "/tokenize", tag = "tei", request_body = TokenizeRequest,
    responses((status = 200, description = "[texts][tokens]", body = Vec<Vec<Token>>)))]
pub(crate) async fn tokenize(call: Call, request: TokenizeRequest) -> Answered {
    let texts = match request.inputs {
        TokenizeInputs::One(text) => vec![text],
        TokenizeInputs::Many(texts) => texts,
    };
    let options = call.service.with_defaults(Options {
        prompt_name: request.prompt_name,
        ..Options::default()
    });
    let prompt = options.prompt(call.service.pipeline()).to_owned();
    let inputs = texts.iter().cloned().map(Item::Text).collect();
    let (tokens, report) = call.service.tokenize(call.client, inputs, options).await?;
    let answer = Answer::made_by(move || {
        let tokens = tokens.into_iter().zip(&texts).map(|(tokens, text)| {
            let whole: Vec<char> = prompt.chars().chain(text.chars()).collect();
            spelt(tokens, &whole, request.add_special_tokens)
        });
        Ok(tokens.collect::<Vec<Vec<Token>>>())
    });
    Ok(answer.with(&call, report))
}

/// Tokens as `text`, the prompt included, spells them.
pub fn spelt(tokens: Tokens, text: &[char], special_tokens: bool) -> Vec<Token> {
    let columns = tokens.ids.into_iter().zip(tokens.tokens);
    let columns = columns.zip(tokens.offsets).zip(tokens.special);
    let kept = columns.filter(|(_, special)| special_tokens || !special);
    let spelt = kept.map(|(((id, token), (start, stop)), special)| Token {
        id,
        text: match text.get(start..stop) {
            Some(spelling) if !special => spelling.iter().collect(),
            _ => token,
        },
        special,
        start: (!special).then_some(start),
        stop: (!special).then_some(stop),
    });
    spelt.collect()
}

/// Token ids.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::DecodeRequest)]
pub(crate) struct DecodeRequest {
    ids: DecodeIds,
    /// Leave out the tokens that are in no text.
    #[serde(default = "is_so")]
    skip_special_tokens: bool,
}

/// One list of token ids or several.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::DecodeIds)]
#[serde(untagged, expecting = "a list of token ids or a list of such lists")]
enum DecodeIds {
    One(Vec<u32>),
    Many(Vec<Vec<u32>>),
}

/// The text of each list of token ids.
#[utoipa::path(post, path = "/decode", tag = "tei", request_body = DecodeRequest,
    responses((status = 200, description = "[texts]", body = Vec<String>)))]
pub(crate) async fn decode(call: Call, request: DecodeRequest) -> Answered {
    let ids = match request.ids {
        DecodeIds::One(ids) => vec![ids],
        DecodeIds::Many(many) => many,
    };
    let skip = request.skip_special_tokens;
    let (texts, report) = call.service.decode(call.client, ids, skip).await?;
    Ok(Answer::computed(&call, report, texts))
}

//! Embeddings, with the fields that Voyage and Jina have for this route beside OpenAI's.

use super::Usage;
use crate::Call;
use crate::answer::{Answer, Answered};
use crate::failure::{Failure, Kind};
use crate::fields::{object, whole};
use crate::tei::Single;
use crate::vector::{EncodingFormat, OutputDtype, Vector};
use encoderfile::{Item, Options, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Texts to embed.
///
/// Voyage and Jina have this route with fields of their own, which mean here what they mean there.
#[derive(Deserialize, ToSchema)]
#[schema(as = openai::EmbeddingsRequest)]
pub(super) struct EmbeddingsRequest {
    /// Texts, or token ids of this model's vocabulary.
    input: Input,
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    #[allow(dead_code, reason = "clients send it")]
    user: Option<String>,
    /// As numbers, or as the base64 of their bytes, little-endian.
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// Keep so many of the first values. Voyage calls it `output_dimension`.
    #[serde(default, alias = "output_dimension", deserialize_with = "whole")]
    dimensions: Option<usize>,
    /// Voyage: in which numbers.
    output_dtype: Option<OutputDtype>,
    /// Jina: in which numbers, or as base64.
    embedding_type: Option<EmbeddingTypes>,
    /// Voyage: prepend the model's prompt for it, where it has one.
    input_type: Option<InputType>,
    /// Jina: the same by the end of a name, `.query` or `.passage`.
    task: Option<String>,
    /// Voyage, and Jina's `truncate`: truncate what is too long, rather than refuse it.
    #[serde(alias = "truncate")]
    truncation: Option<bool>,
    /// Jina: divide by the L2 norm.
    #[serde(default = "yes")]
    normalized: bool,
}

fn yes() -> bool {
    true
}

/// A text or several, as they are or as objects with a text, or the ids of their tokens.
#[derive(Deserialize, ToSchema)]
#[schema(as = openai::Input)]
#[serde(
    untagged,
    expecting = "a text, a list of texts, a list of token ids or a list of such lists"
)]
enum Input {
    One(Single),
    Many(Vec<InputItem>),
}

#[derive(Deserialize, ToSchema)]
#[schema(as = openai::InputItem)]
#[serde(
    untagged,
    expecting = "a text, an object with `text`, or a list of token ids"
)]
enum InputItem {
    Plain(Single),
    Object(#[serde(deserialize_with = "object")] InputText),
}

/// Jina: a text.
#[derive(Deserialize, ToSchema)]
#[schema(as = openai::InputText)]
#[serde(deny_unknown_fields)]
struct InputText {
    text: String,
}

impl Input {
    /// The texts. An empty list is none.
    fn into_texts(self) -> Vec<Item> {
        let item = |it| match it {
            InputItem::Plain(single) => single.into(),
            InputItem::Object(InputText { text }) => Item::Text(text),
        };
        match self {
            Self::One(Single::Ids(ids)) if ids.is_empty() => Vec::new(),
            Self::One(single) => vec![single.into()],
            Self::Many(many) => many.into_iter().map(item).collect(),
        }
    }
}

/// What the texts are to a search.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = openai::InputType)]
#[serde(rename_all = "snake_case")]
enum InputType {
    Query,
    #[serde(alias = "passage")]
    Document,
}

/// Jina's type of numbers, alone or in a list.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = openai::EmbeddingTypes)]
#[serde(
    untagged,
    expecting = "float, base64, binary or ubinary, or a list of one of them"
)]
enum EmbeddingTypes {
    One(EmbeddingType),
    List([EmbeddingType; 1]),
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = openai::EmbeddingType)]
#[serde(rename_all = "snake_case")]
enum EmbeddingType {
    Float,
    Base64,
    Binary,
    Ubinary,
}

impl EmbeddingsRequest {
    fn options(&self, call: &Call) -> Options {
        let by_task = self.task.as_deref().and_then(|task| {
            let role = task.rsplit('.').next()?;
            match role {
                "query" => Some(Role::Query),
                "passage" => Some(Role::Document),
                _ => None,
            }
        });
        let by_type = self.input_type.map(|it| match it {
            InputType::Query => Role::Query,
            InputType::Document => Role::Document,
        });
        Options {
            overflow: call.service.overflow(self.truncation),
            dimensions: self.dimensions,
            role: by_type.or(by_task),
            normalize: Some(self.normalized),
            ..Options::default()
        }
    }

    /// How vectors are written.
    fn written(&self) -> Result<(OutputDtype, EncodingFormat), Failure> {
        let Some(EmbeddingTypes::One(kind) | EmbeddingTypes::List([kind])) = self.embedding_type
        else {
            let dtype = self.output_dtype.unwrap_or_default();
            return Ok((dtype, self.encoding_format));
        };
        if self.output_dtype.is_some() {
            let problem = "`embedding_type` and `output_dtype`: give one of them";
            return Err(Failure::new(Kind::Validation, problem).about("embedding_type"));
        }
        Ok(match kind {
            EmbeddingType::Float => (OutputDtype::Float, self.encoding_format),
            EmbeddingType::Base64 => (OutputDtype::Float, EncodingFormat::Base64),
            EmbeddingType::Binary => (OutputDtype::Binary, self.encoding_format),
            EmbeddingType::Ubinary => (OutputDtype::Ubinary, self.encoding_format),
        })
    }
}

/// Vectors in the order of the texts.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::EmbeddingsResponse)]
struct EmbeddingsResponse {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

/// A text's vector.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::Embedding)]
struct Embedding {
    object: &'static str,
    embedding: Vector,
    /// Of int8 and uint8: what they are to be multiplied by, uint8 less 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    index: usize,
}

/// A vector for each text.
#[utoipa::path(post, path = "/v1/embeddings", tag = "openai", request_body = EmbeddingsRequest,
    responses((status = 200, description = "in the order of the texts", body = EmbeddingsResponse)))]
pub(super) async fn embeddings(call: Call, request: EmbeddingsRequest) -> Answered {
    let options = request.options(&call);
    let (dtype, format) = request.written()?;
    let texts = request.input.into_texts();
    let (vectors, report) = call.service.embed(call.client, texts, options).await?;
    let model = call.service.model_id.clone();
    let usage = Usage::of(&report);
    let made = Answer::made_by(move || {
        let data = vectors.into_iter().enumerate().map(|(index, vector)| {
            let (embedding, scale) = format.write(vector, dtype);
            Embedding {
                object: "embedding",
                embedding,
                scale,
                index,
            }
        });
        Ok(EmbeddingsResponse {
            object: "list",
            data: data.collect(),
            model,
            usage,
        })
    });
    Ok(made.with(&call, report))
}

/// `/v1/embeddings` under the name that TEI has for it too.
#[utoipa::path(post, path = "/embeddings", tag = "tei", request_body = EmbeddingsRequest,
    responses((status = 200, description = "in the order of the texts", body = EmbeddingsResponse)))]
pub(super) async fn embeddings_alias(call: Call, request: EmbeddingsRequest) -> Answered {
    embeddings(call, request).await
}

#[cfg(test)]
mod tests {
    use crate::testing::{embeddings, has_numbers};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    #[test]
    fn vectors_are_numbers_or_their_bytes() {
        let model = embeddings();
        let json = model.post("/v1/embeddings", r#"{"input": "a cat"}"#).good();
        let embedding = model.embedding("a cat");
        assert!(has_numbers(&json["data"][0]["embedding"], &embedding));
        assert_eq!(json["usage"]["total_tokens"], 4);
        let request = r#"{"input": "a cat", "encoding_format": "base64"}"#;
        let json = model.post("/v1/embeddings", request).good();
        let bytes: Vec<u8> = embedding.iter().flat_map(|it| it.to_le_bytes()).collect();
        assert_eq!(json["data"][0]["embedding"], STANDARD.encode(bytes));
    }

    #[test]
    fn numbers_have_the_names_of_voyage_and_of_jina() {
        let model = embeddings();
        let first = |mut request: Value| {
            request["input"] = json!(["a cat"]);
            let answer = model.post("/v1/embeddings", &request.to_string()).good();
            answer["data"][0].clone()
        };
        let int8 = first(json!({"output_dtype": "int8"}));
        let largest =
            (model.embedding("a cat").into_iter()).fold(0.0, |it: f32, v| it.max(v.abs()));
        assert!(has_numbers(&json!([int8["scale"]]), &[largest / 127.0]));
        let uint8 = first(json!({"output_dtype": "uint8", "encoding_format": "base64"}));
        let bytes = STANDARD
            .decode(uint8["embedding"].as_str().unwrap())
            .unwrap();
        let int8 = int8["embedding"].as_array().unwrap();
        let above = int8.iter().map(|it| it.as_i64().unwrap() + 128);
        assert!(above.eq(bytes.into_iter().map(i64::from)));

        let binary = first(json!({"output_dtype": "binary"}));
        assert_eq!(binary, first(json!({"embedding_type": "binary"})));
        assert_eq!(binary, first(json!({"embedding_type": ["binary"]})));
        assert_eq!(binary.get("scale"), None);
        let base64 = first(json!({"encoding_format": "base64"}));
        assert_eq!(base64, first(json!({"embedding_type": "base64"})));
        let half = first(json!({"output_dtype": "float16", "encoding_format": "base64"}));
        let bytes = STANDARD
            .decode(half["embedding"].as_str().unwrap())
            .unwrap();
        assert_eq!(bytes.len(), 2 * int8.len());
    }

    #[test]
    fn texts_may_be_objects_and_have_a_task() {
        let model = embeddings();
        let request = json!({"input": [{"text": "a cat"}], "task": "retrieval.query",
            "input_type": "query", "output_dimension": 384, "truncation": true, "normalized": true});
        let json = model.post("/v1/embeddings", &request.to_string()).good();
        let embedding = model.embedding("a cat");
        assert!(has_numbers(&json["data"][0]["embedding"], &embedding));
    }

    #[test]
    fn what_contradicts_itself_or_is_unknown_is_refused() {
        let model = embeddings();
        for (request, field) in [
            (json!({"output_dtype": "int4"}), "output_dtype"),
            (
                json!({"output_dtype": "int8", "embedding_type": "binary"}),
                "embedding_type",
            ),
            (
                json!({"embedding_type": ["float", "binary"]}),
                "embedding_type",
            ),
            (json!({"input_type": "image"}), "input_type"),
        ] {
            let mut request = request;
            request["input"] = json!("a cat");
            let json = model
                .post("/v1/embeddings", &request.to_string())
                .refused(422);
            assert_eq!(json["error"]["param"], field, "{json}");
        }
        let request = json!({"input": "a ".repeat(1000), "truncation": false}).to_string();
        let json = model.post("/v1/embeddings", &request).refused(422);
        assert!(
            json["error"]["message"]
                .as_str()
                .unwrap()
                .contains("tokens")
        );
    }
}

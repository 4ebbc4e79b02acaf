//! Hugging Face's inference API: `POST /`, in the shape of the pipeline of the model's task.

use super::answer::{Answer, Answered};
use super::encoderfile::predict::from_fields;
use super::route::route;
use super::tei::classify::{self, Class};
use super::tei::{self, SimilarityInputs, SimilarityParameters, Tei};
use super::vector::{EncodingFormat, OutputDtype};
use super::{Call, Dialect, Route};
use crate::failure::{Failure, Kind};
use crate::fields::{object, whole};
use crate::json;
use crate::service::Capability;
use encoderfile::Item;
use encoderfile::manifest::{Activation, Task};
use encoderfile::output::{Entity, Filling};
use encoderfile::pooling::activate;
use encoderfile::{Aggregation, Options, Overflow, Prediction, Side, TruncationStrategy, Values};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Hugging Face's inference API, with TEI's error body.
pub(super) struct HuggingFace;

impl Dialect for HuggingFace {
    fn name(&self) -> &'static str {
        "Hugging Face"
    }

    fn routes(&self) -> Vec<Route> {
        vec![route!(infer)]
    }

    fn error(&self, failure: &Failure, message: String) -> Value {
        Tei.error(failure, message)
    }

    #[cfg(test)]
    fn error_schema(&self) -> crate::openapi::AnySchema {
        Tei.error_schema()
    }

    fn names(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("max_tokens", "max_length"),
            ("labels", "candidate_labels"),
            ("template", "hypothesis_template"),
            ("aggregation", "aggregation_strategy"),
            ("overflow=error", "truncation: false"),
        ]
    }
}

/// Texts, and options either beside them or in `parameters`.
#[derive(Deserialize, ToSchema)]
#[schema(as = hugging_face::Request)]
pub(super) struct Request {
    inputs: Inputs,
    /// By task; see Hugging Face's documentation of each.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Map<String, Value>>,
    /// Clients send `options` such as `wait_for_model` as well.
    #[serde(flatten)]
    #[schema(ignore)]
    beside: Map<String, Value>,
}

/// One text or pair or several, or sentences to compare.
#[derive(Deserialize, ToSchema)]
#[schema(as = hugging_face::Inputs)]
#[serde(
    untagged,
    expecting = "a text, an object with `text` and perhaps `text_pair`, a list of those, or `source_sentence` and `sentences`"
)]
enum Inputs {
    One(Item),
    Many(Vec<Item>),
    Sentences(#[serde(deserialize_with = "object")] SimilarityInputs),
}

/// By task, in the shapes of Hugging Face's pipelines.
#[utoipa::path(post, path = "/", tag = "hugging face", request_body = Request,
    responses((status = 200, description = "what the task's pipeline gives", body = Value)))]
pub(super) async fn infer(call: Call, fields: Map<String, Value>) -> Answered {
    if classify::is_rerank(&fields) {
        // TEI serves a reranker here.
        return classify::rerank(call, from_fields(fields)?).await;
    }
    let request: Request = from_fields(fields)?;
    let mut fields = request.parameters.unwrap_or_default();
    fields.extend(request.beside);
    fields.remove("options");
    // Nothing is ever padded.
    fields.remove("padding");
    let length = Length::take(&mut fields)?;
    let (texts, several) = match request.inputs {
        Inputs::One(text) => (vec![text], false),
        Inputs::Many(texts) => (texts, true),
        Inputs::Sentences(sentences) => {
            let parameters: SimilarityParameters = from_fields(fields)?;
            return tei::similarities(&call, sentences, parameters).await;
        }
    };
    let task = call.service.task();
    let inference = Inference {
        call,
        texts,
        several,
        length,
    };
    match task {
        Task::SequenceClassification if fields.contains_key("candidate_labels") => {
            inference.zero_shot(from_fields(fields)?).await
        }
        Task::SequenceClassification => inference.classify(from_fields(fields)?).await,
        Task::TokenClassification => inference.entities(from_fields(fields)?).await,
        Task::FillMask => inference.fill_masks(from_fields(fields)?).await,
        _ => inference.features(from_fields(fields)?).await,
    }
}

/// What becomes of a long text, as transformers' tokenizers are told.
#[derive(Default, Deserialize)]
struct Length {
    truncation: Option<Truncate>,
    /// Special tokens included.
    #[serde(default, deserialize_with = "whole")]
    max_length: Option<usize>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(
    untagged,
    expecting = "true, false, longest_first, only_first, only_second or do_not_truncate"
)]
enum Truncate {
    Switch(bool),
    Strategy(Strategy),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Strategy {
    LongestFirst,
    OnlyFirst,
    OnlySecond,
    DoNotTruncate,
}

impl Length {
    /// Takes its fields out of those of a request.
    fn take(fields: &mut Map<String, Value>) -> Result<Self, Failure> {
        let names = ["truncation", "max_length"];
        let own = names.map(|name| (name, fields.remove(name)));
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        from_fields(own.collect())
    }

    /// Whether it says that a long text is truncated.
    fn cuts(&self) -> Option<bool> {
        self.truncation.map(|truncation| {
            !matches!(
                truncation,
                Truncate::Switch(false) | Truncate::Strategy(Strategy::DoNotTruncate)
            )
        })
    }

    fn apply(&self, mut options: Options, task: Task) -> Options {
        options.max_tokens = self.max_length;
        let strategy = match self.truncation {
            None => return options,
            Some(Truncate::Switch(true)) => None,
            Some(Truncate::Switch(false) | Truncate::Strategy(Strategy::DoNotTruncate)) => {
                options.overflow = Overflow::Error;
                return options;
            }
            Some(Truncate::Strategy(Strategy::LongestFirst)) => {
                Some(TruncationStrategy::LongestFirst)
            }
            Some(Truncate::Strategy(Strategy::OnlyFirst)) => Some(TruncationStrategy::OnlyFirst),
            Some(Truncate::Strategy(Strategy::OnlySecond)) => Some(TruncationStrategy::OnlySecond),
        };
        options.overflow = Overflow::Truncate;
        // Other tasks have no pairs, and a text alone is its own first.
        if task == Task::SequenceClassification {
            options.truncation_strategy = strategy;
        }
        options
    }
}

/// A list, or its entries with commas between them.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a list of labels, or labels with commas between them"
)]
enum Labels {
    List(Vec<String>),
    Commas(String),
}

impl Labels {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::List(list) => list,
            Self::Commas(text) => {
                let labels = text.split(',').map(str::trim);
                let labels = labels.filter(|label| !label.is_empty());
                labels.map(str::to_owned).collect()
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Features {
    normalize: Option<bool>,
    prompt_name: Option<String>,
    truncate: Option<bool>,
    truncation_direction: Option<tei::Direction>,
    #[serde(default, deserialize_with = "whole")]
    dimensions: Option<usize>,
    #[serde(default)]
    encoding_format: EncodingFormat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Classification {
    #[serde(default, deserialize_with = "whole")]
    top_k: Option<usize>,
    function_to_apply: Option<Function>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Function {
    Sigmoid,
    Softmax,
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZeroShot {
    candidate_labels: Labels,
    hypothesis_template: Option<String>,
    #[serde(default)]
    multi_label: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entities {
    aggregation_strategy: Option<Aggregation>,
    ignore_labels: Option<Vec<String>>,
    #[serde(default, deserialize_with = "whole")]
    stride: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FillMask {
    #[serde(default, deserialize_with = "whole")]
    top_k: Option<usize>,
    targets: Option<Vec<String>>,
}

/// The texts of a request, and whether they came as a list.
struct Inference {
    call: Call,
    texts: Vec<Item>,
    several: bool,
    length: Length,
}

impl Inference {
    /// Runs the model and gives each prediction its form. One text that came
    /// alone has its result alone, unless `nested`.
    async fn run(
        self,
        options: Options,
        nested: bool,
        form: impl Fn(Prediction) -> Result<Value, Failure> + Send + 'static,
    ) -> Answered {
        let service = &self.call.service;
        let options = self.length.apply(options, service.task());
        let computed = service.infer(self.call.client, self.texts, options).await?;
        let (predictions, is_list) = (computed.predictions, self.several || nested);
        let answer = Answer::made_by(move || {
            let results = predictions.into_iter().map(form);
            let mut results = results.collect::<Result<Vec<_>, _>>()?;
            Ok(match is_list {
                true => Value::Array(results),
                false => results.pop().unwrap_or(Value::Null),
            })
        });
        Ok(answer.with(&self.call, computed.report))
    }

    async fn features(self, parameters: Features) -> Answered {
        let says = [parameters.truncate, self.length.cuts()];
        if let [Some(truncate), Some(cuts)] = says
            && truncate != cuts
        {
            let message = "`truncate` and `truncation` contradict each other; give one of them";
            return Err(Failure::new(Kind::Validation, message));
        }
        let sentences = self.call.service.task() == Task::SentenceEmbedding;
        let options = Options {
            overflow: self.call.service.overflow(parameters.truncate),
            truncation_side: parameters.truncation_direction.map(Side::from),
            normalize: if sentences {
                parameters.normalize.or(Some(true))
            } else {
                parameters.normalize
            },
            prompt_name: parameters.prompt_name,
            dimensions: parameters.dimensions,
            special_tokens: self.call.service.task() == Task::Embedding,
            ..Options::default()
        };
        self.run(options, true, move |prediction| match prediction.values {
            Values::SentenceEmbedding { embedding } => {
                let format = parameters.encoding_format;
                value(format.write(embedding, OutputDtype::Float).0)
            }
            Values::SparseEmbedding { sparse_embedding } => value(sparse_embedding),
            _ => value(tei::token_rows(prediction)),
        })
        .await
    }

    async fn classify(self, parameters: Classification) -> Answered {
        let labels = self.call.service.pipeline().labels.clone();
        self.run(Options::default(), true, move |mut prediction| {
            if let Values::SequenceClassification { logits, scores, .. } = &mut prediction.values {
                *scores = match parameters.function_to_apply {
                    Some(Function::Sigmoid) => activate(logits, Activation::Sigmoid),
                    Some(Function::Softmax) => activate(logits, Activation::Softmax),
                    Some(Function::None) => logits.clone(),
                    None => std::mem::take(scores),
                };
            }
            let mut classes: Vec<Class> = classify::ranked(prediction, &labels);
            classes.truncate(parameters.top_k.unwrap_or(usize::MAX));
            value(classes)
        })
        .await
    }

    async fn zero_shot(self, parameters: ZeroShot) -> Answered {
        self.call.service.require(Capability::ZeroShot)?;
        let options = Options {
            labels: Some(parameters.candidate_labels.into_list()),
            template: parameters.hypothesis_template,
            multi_label: parameters.multi_label,
            ..Options::default()
        };
        self.run(options, false, |prediction| match prediction.values {
            Values::ZeroShot { labels, scores } => {
                let classes = labels.into_iter().zip(scores);
                let classes = classes.map(|(label, score)| Class { score, label });
                value(classes.collect::<Vec<_>>())
            }
            _ => value(prediction),
        })
        .await
    }

    async fn entities(self, parameters: Entities) -> Answered {
        // The inference API's default, unlike the library's.
        let default = Aggregation::Simple;
        let options = Options {
            aggregation: Some(parameters.aggregation_strategy.unwrap_or(default)),
            ignore_labels: parameters.ignore_labels,
            stride: parameters.stride,
            ..Options::default()
        };
        self.run(options, false, |prediction| match prediction.values {
            Values::Entities { entities } => value::<Vec<Entity>>(entities),
            _ => value(prediction),
        })
        .await
    }

    async fn fill_masks(self, parameters: FillMask) -> Answered {
        let options = Options {
            top_k: parameters.top_k,
            targets: parameters.targets,
            ..Options::default()
        };
        // One mask has its words alone, several a list each.
        self.run(options, false, |prediction| match prediction.values {
            Values::FillMask { mut masks } if masks.len() == 1 => {
                value::<Vec<Filling>>(masks.remove(0))
            }
            Values::FillMask { masks } => value(masks),
            _ => value(prediction),
        })
        .await
    }
}

fn value<T: serde::Serialize>(value: T) -> Result<Value, Failure> {
    json::value(&value).map_err(|error| Failure::new(Kind::Internal, error.to_string()))
}

#[cfg(test)]
mod tests {
    use crate::testing::{embeddings, has_numbers, reranker};

    #[test]
    fn features_are_nested_once_for_each_text() {
        let model = embeddings();
        let json = model.post("/", r#"{"inputs": "a cat"}"#).good();
        assert!(has_numbers(&json[0], &model.embedding("a cat")));
    }

    #[test]
    fn labels_are_ranked() {
        let json = reranker().post("/", r#"{"inputs": ["a", "b"]}"#).good();
        assert_eq!(json.as_array().unwrap().len(), 2);
        assert_eq!(json[1][0]["label"], "LABEL_0");
    }

    #[test]
    fn a_refusal_has_the_names_of_pipelines() {
        let request = r#"{"inputs": "a", "parameters": {"truncation": true, "max_length": 0}}"#;
        let json = embeddings().post("/", request).refused(422);
        assert!(
            json["error"].as_str().unwrap().contains("`max_length`"),
            "{json}"
        );
        assert_eq!(json["error_type"], "Validation");
    }
}

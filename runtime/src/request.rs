//! Requests and results as JSON: what `/predict` takes, and what it and `infer` give.

use crate::{Error, Item, Model, Options, OptionsError, Prediction, RequestError, golden};
use encoderfile_encoder::json;
use encoderfile_encoder::output::{Ranked, Tokenized, rank};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Texts or pairs, and every option of [`Options`] beside them.
struct Request {
    inputs: Vec<Item>,
    /// Given back as it is.
    metadata: Option<Map<String, Value>>,
    /// An item that fails has `{"error"}` in its place.
    partial: bool,
    options: Options,
}

/// The results in the order of the items; with a query, best first.
#[derive(Serialize)]
struct Response<'a> {
    results: Vec<ItemResult>,
    model_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Value>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ItemResult {
    Prediction(Prediction),
    Ranked(Ranked),
    Failed { error: String },
}

/// The tokens of the items, in their order.
#[derive(Serialize)]
struct TokenizedResponse {
    results: Vec<Tokenized>,
}

/// What a self-test found, and whether it is good enough.
#[derive(Serialize)]
struct SelfTest {
    passed: bool,
    #[serde(flatten)]
    report: golden::Report,
}

impl Request {
    /// An unknown option is refused by name, which serde does not do for flattened
    /// fields.
    fn read(text: &str) -> Result<Self, RequestError> {
        let mut fields: Map<String, Value> = json::read(text)?;
        let inputs = fields.remove("inputs");
        let inputs = inputs.ok_or_else(|| RequestError::Json {
            problem: "missing field `inputs`".into(),
        })?;
        let metadata = fields.remove("metadata").map(|it| field("metadata", it));
        let partial = fields.remove("partial").map(|it| field("partial", it));
        let request = Self {
            inputs: field("inputs", inputs)?,
            metadata: metadata.transpose()?,
            partial: partial.transpose()?.unwrap_or_default(),
            options: Options::from_fields(fields)?,
        };
        if request.partial && request.options.query.is_some() {
            return Err(RequestError::Json {
                problem: "give one of `query` and `partial`: what failed has no rank".into(),
            });
        }
        Ok(request)
    }
}

fn field<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, RequestError> {
    serde_json::from_value(value).map_err(|error| RequestError::Json {
        problem: format!("`{name}`: {error}"),
    })
}

impl Model {
    /// Answers a request in the encoderfile form of `/predict`'s JSON: `{"inputs": […]}` of
    /// texts or `{"text", "text_pair"}`, with any field of [`Options`] beside it. The
    /// answer is that of `infer --format json`: `{"results": […], "model_id": …}`.
    ///
    /// With `"partial": true`, an item that fails has `{"error": …}` in its place.
    ///
    /// ```
    /// # use encoderfile::{Executor, Model};
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/all-MiniLM-L6-v2.ef");
    /// # let model = Model::open_with(path, Executor::OneThread)?;
    /// let answer = model.infer_json(r#"{"inputs": ["red"], "dimensions": 2}"#)?;
    /// assert!(answer.starts_with(r#"{"results":[{"embedding":["#), "{answer}");
    /// # Ok::<(), encoderfile::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Request`] for what is no such request. Unless it is `partial`, the error of
    /// the first item that fails, as of [`Model::infer`].
    pub fn infer_json(&self, request: &str) -> Result<String, Error> {
        let Request {
            inputs,
            metadata,
            partial,
            options,
        } = Request::read(request)?;
        self.check(&options)?;
        let results = self.infer_all(inputs, &options).into_iter();
        let results = if partial {
            let results = results.map(|result| match result {
                Ok(prediction) => ItemResult::Prediction(prediction),
                Err(error) => ItemResult::Failed {
                    error: crate::one_line(&error),
                },
            });
            results.collect()
        } else {
            let predictions = results.collect::<Result<Vec<_>, _>>()?;
            if options.query.is_some() {
                let ranked = rank(&predictions, options.top_k).into_iter();
                ranked.map(ItemResult::Ranked).collect()
            } else {
                let predictions = predictions.into_iter();
                predictions.map(ItemResult::Prediction).collect()
            }
        };
        to_json(&Response {
            results,
            model_id: &self.info().name,
            metadata,
        })
    }

    /// The tokens of the items of such a request: `{"results": [{"tokens": […], "tokens_total": …,
    /// "tokens_used": …}]}`.
    ///
    /// # Errors
    /// [`Error::Request`] for what is no such request, and the error of the first item that fails,
    /// as of [`Model::tokenize`].
    pub fn tokenize_json(&self, request: &str) -> Result<String, Error> {
        let request = Request::read(request)?;
        if request.partial {
            let (option, task) = ("partial", "tokenize");
            return Err(OptionsError::Inapplicable { option, task }.into());
        }
        let inputs = request.inputs.into_iter();
        let results = inputs.map(|item| self.tokenize(item, &request.options));
        to_json(&TokenizedResponse {
            results: results.collect::<Result<_, _>>()?,
        })
    }

    /// [`Model::info`] as an object.
    ///
    /// # Errors
    /// None that is known: [`Error::Request`] where serde_json refuses it.
    pub fn info_json(&self) -> Result<String, Error> {
        to_json(self.info())
    }

    /// The report of [`Model::self_test`]: `{"passed": …, "cases": …, …}`.
    ///
    /// # Errors
    /// As [`Model::self_test`].
    pub fn self_test_json(&self) -> Result<String, Error> {
        let report = self.self_test()?;
        let passed = report.passed();
        to_json(&SelfTest { passed, report })
    }
}

fn to_json(value: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(value).map_err(RequestError::from)?)
}

#[cfg(test)]
mod tests {
    use super::Request;
    use crate::{Item, RequestError};

    #[test]
    fn a_request_is_texts_and_options() {
        let read = Request::read(
            r#"{"inputs": ["a", {"text": "b", "text_pair": "c"}], "top_k": 3, "prompt": null,
                "metadata": {"id": null}, "partial": true}"#,
        );
        let request = read.unwrap();
        assert_eq!(request.inputs, [Item::from("a"), Item::from(("b", "c"))]);
        assert_eq!(request.options.top_k, Some(3));
        assert!(request.partial && request.metadata.unwrap()["id"].is_null());
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        for (json, said) in [
            ("{}", "missing field `inputs`"),
            (r#"{"inputs": [7]}"#, "`inputs`: a text, or an object with"),
            (r#"{"inputs": [], "topk": 1}"#, "unknown field `topk`"),
            (
                r#"{"inputs": ["a"], "query": "b", "partial": true}"#,
                "give one of",
            ),
            ("{", "EOF while parsing"),
        ] {
            let Some(RequestError::Json { problem }) = Request::read(json).err() else {
                panic!("{json} was taken");
            };
            assert!(problem.starts_with(said), "{problem}");
        }
    }
}

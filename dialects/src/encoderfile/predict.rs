//! `/predict`: upstream's and TEI's, told apart by their fields, and ours with
//! every option that `infer` has.

use crate::answer::Answered;
use crate::failure::{Failure, Kind};
use crate::fields::whole;
use crate::tei;
use crate::{Answer, Call, openapi};
use encoderfile::output::{Ranked, rank};
use encoderfile::{Item, OPTIONS, OptionKind, Options, Prediction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, Schema};

/// The fields that only TEI's requests have.
const TEI_FIELDS: [&str; 3] = ["truncate", "truncation_direction", "raw_scores"];

/// A request, with the options taken out.
struct PredictRequest {
    inputs: Vec<Item>,
    metadata: Option<BTreeMap<String, Value>>,
    partial: bool,
    options: Options,
}

/// Texts, and how they are computed. Every option of `infer` may stand beside
/// them.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's fields beside the options")]
struct Fields {
    /// Texts or pairs.
    inputs: Vec<Item>,
    /// Given back as it is.
    metadata: Option<BTreeMap<String, Value>>,
    /// A text that fails has `{"error"}` in its place, instead of failing the
    /// request.
    #[schema(required = false)]
    partial: bool,
}

/// Of a flattened field utoipa says that two schemas hold at once. Neither allows the
/// other's fields, so that no request would fit: they are merged here.
impl utoipa::PartialSchema for PredictRequest {
    fn schema() -> RefOr<Schema> {
        let (RefOr::T(Schema::Object(mut own)), RefOr::T(Schema::Object(options))) =
            (openapi::schema::<Fields>(), openapi::schema::<Options>())
        else {
            return Object::default().into();
        };
        own.properties.extend(options.properties);
        own.additional_properties = options.additional_properties;
        own.into()
    }
}

impl ToSchema for PredictRequest {
    fn name() -> Cow<'static, str> {
        "PredictRequest".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Fields::schemas(schemas);
        Options::schemas(schemas);
    }
}

/// Results in the order of the texts; with a query, best first.
#[derive(Serialize, ToSchema)]
struct PredictResponse {
    results: Vec<ItemResult>,
    model_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, Value>>,
}

/// What became of a text.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum ItemResult {
    Prediction(Prediction),
    Ranked(Ranked),
    Failed {
        /// Why it has no result.
        error: String,
    },
}

/// Either API's request.
#[derive(ToSchema)]
#[allow(
    dead_code,
    clippy::large_enum_variant,
    reason = "for the OpenAPI document"
)]
#[serde(untagged)]
enum AnyRequest {
    Ours(PredictRequest),
    Tei(tei::classify::PredictRequest),
}

/// Either API's response.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "for the OpenAPI document")]
#[serde(untagged)]
enum AnyResponse {
    Ours(PredictResponse),
    Tei(Vec<tei::classify::Class>),
    TeiBatch(Vec<Vec<tei::classify::Class>>),
}

/// Whatever the model computes, for each text.
///
/// TEI's form is taken when `inputs` is a string or a list of lists, or when
/// there is `truncate`, `truncation_direction` or `raw_scores` and nothing
/// that only `infer` has; a list of two strings is then one pair.
#[utoipa::path(post, path = "/predict", tag = "encoderfile", request_body = AnyRequest,
    responses((status = 200, description = "a result for each text", body = AnyResponse)))]
pub(super) async fn predict(call: Call, fields: Map<String, Value>) -> Answered {
    if is_tei(&fields) {
        return tei::classify::predict(&call, from_fields(fields)?).await;
    }
    let request = ours(fields)?;
    let results = results(&call, request.inputs, &request.options, request.partial);
    let (results, report) = results.await?;
    let response = PredictResponse {
        results,
        model_id: call.service.model_id.clone(),
        metadata: request.metadata,
    };
    Ok(Answer::computed(&call, report, response))
}

fn is_tei(fields: &Map<String, Value>) -> bool {
    match fields.get("inputs") {
        Some(Value::String(_)) => return true,
        Some(Value::Array(inputs)) if inputs.iter().any(Value::is_array) => return true,
        _ => {}
    }
    let mut others = fields.keys().filter(|name| *name != "inputs");
    fields.len() > 1 && others.all(|name| TEI_FIELDS.contains(&name.as_str()))
}

/// An unknown option is refused by name, which serde does not do for flattened
/// fields.
fn ours(mut fields: Map<String, Value>) -> Result<PredictRequest, Failure> {
    if fields.contains_key("query") && fields.get("partial") == Some(&Value::Bool(true)) {
        let message = "give one of `query` and `partial`: what failed has no rank";
        return Err(Failure::new(Kind::Validation, message));
    }
    let inputs = fields.remove("inputs");
    let inputs = inputs.ok_or_else(|| Failure::new(Kind::Validation, "missing field `inputs`"))?;
    let metadata = fields.remove("metadata").unwrap_or(Value::Null);
    let partial = fields.remove("partial").unwrap_or(Value::Bool(false));
    // Written as for any other field: see `whole`.
    for row in OPTIONS.iter().filter(|row| row.kind == OptionKind::Count) {
        if let Some(value) = fields.get_mut(row.name) {
            let count = whole(value.take()).map_err(|error| wrong(row.name, error))?;
            *value = Option::<usize>::into(count);
        }
    }
    Ok(PredictRequest {
        inputs: field("inputs", inputs)?,
        metadata: field("metadata", metadata)?,
        partial: field("partial", partial)?,
        options: from_fields(fields)?,
    })
}

fn field<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| wrong(name, error))
}

fn wrong(name: &str, error: serde_json::Error) -> Failure {
    Failure::of_field(Kind::Validation, name, error)
}

pub(crate) fn from_fields<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Failure> {
    serde_path_to_error::deserialize(Value::Object(fields))
        .map_err(|error| Failure::at_path(Kind::Validation, &error))
}

async fn results(
    call: &Call,
    inputs: Vec<Item>,
    options: &Options,
    partial: bool,
) -> Result<(Vec<ItemResult>, crate::service::Report), Failure> {
    if partial {
        let options = call.service.shared(options.clone());
        let each = call.service.infer_each(call.client, inputs, options);
        let (each, report) = each.await?;
        let results = each.into_iter().map(|result| match result {
            Ok(prediction) => ItemResult::Prediction(prediction),
            Err(failure) => ItemResult::Failed {
                error: failure.to_string(),
            },
        });
        return Ok((results.collect(), report));
    }
    let answer = call
        .service
        .infer(call.client, inputs, options.clone())
        .await?;
    let results = if options.query.is_some() {
        let ranked = rank(&answer.predictions, options.top_k).into_iter();
        ranked.map(ItemResult::Ranked).collect()
    } else {
        let predictions = answer.predictions.into_iter();
        predictions.map(ItemResult::Prediction).collect()
    };
    Ok((results, answer.report))
}

#[cfg(test)]
mod tests {
    use super::is_tei;
    use serde_json::{Value, json};

    #[test]
    fn requests_are_told_apart_by_their_fields() {
        let is_tei = |request: Value| is_tei(request.as_object().unwrap());
        assert!(is_tei(json!({"inputs": "a"})));
        assert!(is_tei(json!({"inputs": [["a"], ["a", "b"]]})));
        assert!(is_tei(json!({"inputs": ["a", "b"], "truncate": true})));
        assert!(is_tei(json!({"inputs": ["a", "b"], "raw_scores": true})));
        assert!(!is_tei(json!({"inputs": ["a", "b"]})));
        assert!(!is_tei(json!({"inputs": ["a"], "normalize": true})));
        assert!(!is_tei(
            json!({"inputs": ["a"], "raw_scores": true, "labels": ["x"]})
        ));
        assert!(!is_tei(
            json!({"inputs": [{"text": "a", "text_pair": "b"}]})
        ));
    }
}

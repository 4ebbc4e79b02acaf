//! What JavaScript can ask of the instance's model.

use crate::bytes::{Bytes, Payload as Held};
use crate::failure::{computing, opening, thrown};
use encoderfile::container::ArtifactKind;
use encoderfile::output::{Tokenized, Values};
use encoderfile::{
    Encoder, Error, Executor, Info, Item, Options, Payload, Session, SharedOptions, golden, json,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

thread_local! {
    static MODEL: Cell<Option<Model>> = const { Cell::new(None) };
    /// Absent while it is used, and for good where that was left half-way.
    static SESSION: Cell<Option<Session<'static>>> = const { Cell::new(None) };
    /// The last options, as they were written: the texts of a request are calls of their
    /// own, which then share what is the same for all of them.
    static OPTIONS: Cell<Option<(String, Arc<SharedOptions>)>> = const { Cell::new(None) };
}

/// What is loaded. It lives as long as the instance.
#[derive(Clone, Copy)]
struct Model {
    payload: &'static Payload,
    encoder: &'static Encoder,
}

/// What a self-test found, and whether it is good enough.
#[derive(Serialize)]
struct SelfTest {
    passed: bool,
    #[serde(flatten)]
    report: golden::Report,
}

/// Checks a payload and loads its model; returns its [`Info`] as JSON.
#[wasm_bindgen]
pub fn load(bytes: Bytes) -> Result<String, JsValue> {
    let payload = Payload::open(Arc::new(Held::new(bytes))).map_err(opening)?;
    let encoder = encoderfile::load(&payload, Executor::OneThread).map_err(opening)?;
    payload.release(|kind| !matches!(kind, ArtifactKind::Golden | ArtifactKind::Weights));
    let model = Model {
        payload: Box::leak(Box::new(payload)),
        encoder: Box::leak(Box::new(encoder)),
    };
    MODEL.set(Some(model));
    to_json(&Info::of(model.payload).map_err(opening)?)
}

/// Recomputes the results stored in the file; returns the report as JSON.
#[wasm_bindgen]
pub fn self_test() -> Result<String, JsValue> {
    let Model { payload, encoder } = model()?;
    let report = golden::self_test(payload, encoder).map_err(|error| computing(&error))?;
    let passed = report.passed();
    to_json(&SelfTest { passed, report })
}

/// The embedding of a text: `[dimensions]`.
#[wasm_bindgen]
pub fn embed(text: &str, options: &str) -> Result<Vec<f32>, JsValue> {
    let options = shared(options)?;
    let prediction = with_session(|session| session.infer_with(text.into(), &options))?;
    match prediction.values {
        Values::SentenceEmbedding { embedding } => Ok(embedding),
        _ => Err(thrown(
            "wrong_task",
            "this model does not give one vector a text; use `infer`",
        )),
    }
}

/// The result of a text or pair, as the command line and the server give it.
#[wasm_bindgen]
pub fn infer(item: &str, options: &str) -> Result<String, JsValue> {
    let item: Item = from_json(item, "invalid_input")?;
    let options = shared(options)?;
    let prediction = with_session(|session| session.infer_with(item.input(), &options))?;
    to_json(&prediction)
}

/// The tokens of a text or pair.
#[wasm_bindgen]
pub fn tokenize(item: &str, options: &str) -> Result<String, JsValue> {
    let item: Item = from_json(item, "invalid_input")?;
    let options = from_json(options, "invalid_option")?;
    let tokens = model()?.encoder.tokenize(item.input(), &options);
    to_json(&Tokenized::from(tokens.map_err(|error| computing(&error))?))
}

/// Refuses options that the model cannot serve.
#[wasm_bindgen]
pub fn check(options: &str) -> Result<(), JsValue> {
    let options: Options = from_json(options, "invalid_option")?;
    model()?
        .encoder
        .check(&options)
        .map_err(|error| computing(&error))
}

fn model() -> Result<Model, JsValue> {
    let model = MODEL.get();
    model.ok_or_else(|| thrown("internal", "no model is loaded"))
}

fn with_session<T>(
    compute: impl FnOnce(&mut Session<'static>) -> Result<T, Error>,
) -> Result<T, JsValue> {
    let mut session = match SESSION.take() {
        Some(session) => session,
        None => model()?
            .encoder
            .session()
            .map_err(|error| computing(&error))?,
    };
    let result = compute(&mut session);
    SESSION.set(Some(session));
    result.map_err(|error| computing(&error))
}

/// Options of this text; those of the last call, where they are the same.
fn shared(text: &str) -> Result<Arc<SharedOptions>, JsValue> {
    let last = OPTIONS.take().filter(|(of, _)| of == text);
    let options = match last {
        Some((_, options)) => options,
        None => Arc::new(from_json::<Options>(text, "invalid_option")?.into()),
    };
    OPTIONS.set(Some((text.to_owned(), Arc::clone(&options))));
    Ok(options)
}

fn from_json<T: DeserializeOwned>(text: &str, code: &str) -> Result<T, JsValue> {
    json::read(text).map_err(|error| thrown(code, &error.to_string()))
}

fn to_json(value: &impl Serialize) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(|error| thrown("internal", &error.to_string()))
}

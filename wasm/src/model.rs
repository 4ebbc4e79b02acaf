//! What JavaScript can ask of the instance's model.

use crate::bytes::{Bytes, Payload as Held};
use crate::failure::{computing, opening, thrown};
use encoderfile::container::ArtifactKind;
use encoderfile::output::{Tokenized, Values};
use encoderfile::{
    Encoder, Error, Executor, Info, Item, Options, Payload, Prediction, Session, SharedOptions,
    golden, json,
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
    /// The last options, as they were written: the texts of a request are several calls,
    /// which then share what is the same for all of them.
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

/// The embeddings of texts, one after another: `[texts, dimensions]`. Where one fails, all do.
#[wasm_bindgen]
pub fn embed(texts: Vec<String>, options: &str) -> Result<Vec<f32>, JsValue> {
    let items = texts.into_iter().map(Item::from).collect();
    let mut embeddings = Vec::new();
    for prediction in predictions(items, options)? {
        let Values::SentenceEmbedding { embedding } = prediction.values else {
            return Err(thrown(
                "wrong_task",
                "this model does not give one vector a text; use `infer`",
            ));
        };
        embeddings.extend(embedding);
    }
    Ok(embeddings)
}

/// The results of texts or pairs, as the command line and the server give them. Where one
/// fails, all do.
#[wasm_bindgen]
pub fn infer(items: Vec<String>, options: &str) -> Result<Vec<String>, JsValue> {
    let items = items.iter().map(|item| from_json(item, "invalid_input"));
    let predictions = predictions(items.collect::<Result<_, _>>()?, options)?;
    predictions.iter().map(to_json).collect()
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

/// The result of each, computed beside each other.
fn predictions(items: Vec<Item>, options: &str) -> Result<Vec<Prediction>, JsValue> {
    let (options, Model { encoder, .. }) = (shared(options)?, model()?);
    let works = items.iter().map(|it| encoder.prepare(it.input(), &options));
    let works: Result<Vec<_>, Error> = works.collect();
    let mut works = works.map_err(|error| computing(&error))?;
    let mut session = match SESSION.take() {
        Some(session) => session,
        None => encoder.session().map_err(|error| computing(&error))?,
    };
    let results: Result<_, Error> = session.finish(&mut works).into_iter().collect();
    SESSION.set(Some(session));
    results.map_err(|error| computing(&error))
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

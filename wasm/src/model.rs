//! What JavaScript can ask of the instance's model.

use crate::bytes::{Bytes, Payload as Held};
use crate::failure::{computing, opening, thrown};
use encoderfile_runtime::output::{Tokenized, Values};
use encoderfile_runtime::{Encoder, Error, Info, Input, Options, Payload, Session};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

thread_local! {
    static ENCODER: Cell<Option<&'static Encoder>> = const { Cell::new(None) };
    /// Absent while it is used, and for good where that was left half-way.
    static SESSION: Cell<Option<Session<'static>>> = const { Cell::new(None) };
}

/// A text, or a pair of texts.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a text, or an object with `text` and perhaps `text_pair`"
)]
enum Item {
    Text(String),
    Pair(Pair),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    text: String,
    text_pair: Option<String>,
}

impl Item {
    fn input(&self) -> Input<'_> {
        match self {
            Self::Text(text) => Input::Text(text),
            Self::Pair(Pair { text, text_pair }) => match text_pair {
                Some(pair) => Input::Pair(text, pair),
                None => Input::Text(text),
            },
        }
    }
}

/// Checks a payload and loads its model; returns its [`Info`] as JSON.
#[wasm_bindgen]
pub fn load(bytes: Bytes) -> Result<String, JsValue> {
    let payload = Payload::open(Arc::new(Held::new(bytes))).map_err(opening)?;
    payload.verify().map_err(opening)?;
    let encoder = Encoder::load(&payload).map_err(opening)?;
    // It lives as long as the instance.
    ENCODER.set(Some(Box::leak(Box::new(encoder))));
    to_json(&Info::of(&payload))
}

/// The embedding of a text: `[dimensions]`.
#[wasm_bindgen]
pub fn embed(text: &str, options: &str) -> Result<Vec<f32>, JsValue> {
    let options = from_json(options, "invalid_option")?;
    let prediction = with_session(|session| session.infer(text, &options))?;
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
    let options = from_json(options, "invalid_option")?;
    let prediction = with_session(|session| session.infer(item.input(), &options))?;
    to_json(&prediction)
}

/// The tokens of a text or pair.
#[wasm_bindgen]
pub fn tokenize(item: &str, options: &str) -> Result<String, JsValue> {
    let item: Item = from_json(item, "invalid_input")?;
    let options = from_json(options, "invalid_option")?;
    let tokens = encoder()?.tokenize(item.input(), &options);
    to_json(&Tokenized::from(tokens.map_err(|error| computing(&error))?))
}

/// Refuses options that the model cannot serve.
#[wasm_bindgen]
pub fn check(options: &str) -> Result<(), JsValue> {
    let options: Options = from_json(options, "invalid_option")?;
    encoder()?
        .check(&options)
        .map_err(|error| computing(&error))
}

fn encoder() -> Result<&'static Encoder, JsValue> {
    let encoder = ENCODER.get();
    encoder.ok_or_else(|| thrown("internal", "no model is loaded"))
}

fn with_session<T>(
    compute: impl FnOnce(&mut Session<'static>) -> Result<T, Error>,
) -> Result<T, JsValue> {
    let mut session = match SESSION.take() {
        Some(session) => session,
        None => encoder()?.session().map_err(|error| computing(&error))?,
    };
    let result = compute(&mut session);
    SESSION.set(Some(session));
    result.map_err(|error| computing(&error))
}

fn from_json<T: DeserializeOwned>(json: &str, code: &str) -> Result<T, JsValue> {
    serde_json::from_str(json).map_err(|error| thrown(code, &error.to_string()))
}

fn to_json(value: &impl serde::Serialize) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(|error| thrown("internal", &error.to_string()))
}

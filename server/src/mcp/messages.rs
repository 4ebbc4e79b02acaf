//! What clients write, before rmcp reads it as a message: [`read`] sanitises it and says
//! what is wrong with it, in JSON-RPC's codes, where rmcp says nothing.

use encoderfile::json::{self, Nulls};
use encoderfile_dialects::failure::{Failure, Kind, shown};
use encoderfile_dialects::fields::Object;
use encoderfile_dialects::{Dialect, Route, error_body};
use rmcp::ErrorData;
use rmcp::model::{CallToolRequestParams, ErrorCode, PaginatedRequestParams};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::borrow::Cow;

/// The members of a message itself are the protocol's, of which none may be `null`
/// but a response's; `metadata` is the caller's.
const NULLS: Nulls = Nulls {
    within: &["params"],
    except: &["params", "arguments", "metadata"],
};

/// A client says in less who it is, and a session keeps it.
const INITIALIZE_LEN_MAX: usize = 32 << 10;

/// MCP's errors over HTTP. Its messages are no routes.
pub(crate) struct Mcp;

impl Dialect for Mcp {
    fn name(&self) -> &'static str {
        "MCP"
    }

    fn routes(&self) -> Vec<Route> {
        Vec::new()
    }

    fn error(&self, failure: &Failure, message: String) -> Value {
        json!({
            "jsonrpc": "2.0",
            "id": null,
            "error": { "code": code(failure.kind), "message": message },
        })
    }
}

/// JSON-RPC's code of what is wrong before a message is read.
fn code(kind: Kind) -> i32 {
    match kind {
        Kind::Malformed => -32700,
        Kind::Validation => -32600,
        Kind::Internal => -32603,
        _ => -32000,
    }
}

/// What is no message.
pub(crate) struct Wrong {
    pub(crate) failure: Failure,
    /// The message's, where it can be read.
    id: Value,
}

impl Wrong {
    /// What there is to read instead is too long.
    pub(super) fn too_long(limit: u64) -> Self {
        let message = format!("a message has at most {limit} bytes");
        Self {
            failure: Failure::new(Kind::TooLarge, message),
            id: Value::Null,
        }
    }

    /// The answer to it.
    pub(super) fn answer(&self) -> String {
        let mut body = error_body(&Mcp, &self.failure);
        body["id"] = self.id.clone();
        body.to_string()
    }
}

/// The members that say what a message is.
#[derive(Deserialize)]
struct Head {
    jsonrpc: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    #[allow(dead_code, reason = "it only has to be one")]
    params: Option<Params>,
    result: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

/// An object of whatever members.
struct Params;

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Members {}

        Members::deserialize(Object(deserializer)).map(|Members {}| Self)
    }
}

impl Head {
    fn problem(&self, length: usize) -> Option<(Kind, String)> {
        let invalid = |message: &str| Some((Kind::Validation, message.to_owned()));
        if self.jsonrpc.as_ref().is_none_or(|it| it != "2.0") {
            return invalid("not a message of JSON-RPC 2.0: `jsonrpc` is not \"2.0\"");
        }
        if self.id.as_ref().is_some_and(|id| !is_id(id)) {
            return invalid("`id` is neither a text nor a whole number");
        }
        let is_request = match &self.method {
            Some(Value::String(_)) => true,
            Some(_) => return invalid("`method` is no text"),
            None => false,
        };
        if !is_request && self.result.is_none() && self.error.is_none() {
            return invalid("a message has a `method`, a `result` or an `error`");
        }
        let is_first = self.method.as_ref().is_some_and(|it| it == "initialize");
        let limit = INITIALIZE_LEN_MAX;
        (is_first && length > limit).then(|| {
            let message = format!("`initialize` has {length} bytes, limit {limit}");
            (Kind::TooLarge, message)
        })
    }
}

fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_i64()
}

/// The id of what may be no message.
fn id(json: &[u8]) -> Option<Value> {
    #[derive(Deserialize)]
    struct Id {
        id: Option<Value>,
    }

    let mut reader = serde_json::Deserializer::from_slice(json);
    Id::deserialize(Object(&mut reader)).ok()?.id.filter(is_id)
}

/// A message as rmcp takes it.
pub(crate) fn read(json: &[u8]) -> Result<Cow<'_, [u8]>, Box<Wrong>> {
    let wrong = |(kind, message), id: Option<Value>| {
        Box::new(Wrong {
            failure: Failure::new(kind, message),
            id: id.unwrap_or_default(),
        })
    };
    let malformed = |error: serde_json::Error| wrong((Kind::Malformed, error.to_string()), None);
    let mended = json::mend(json, &NULLS).map_err(malformed)?;
    let mut reader = serde_json::Deserializer::from_slice(&mended);
    let head = Head::deserialize(Object(&mut reader));
    let head = head.and_then(|head| reader.end().map(|()| head));
    let head = head.map_err(|error| {
        if !error.is_data() {
            return malformed(error);
        }
        let message = format!("not a message of JSON-RPC 2.0: {error}");
        wrong((Kind::Validation, message), id(&mended))
    })?;
    match head.problem(mended.len()) {
        None => Ok(mended),
        Some(problem) => Err(wrong(problem, head.id.filter(is_id))),
    }
}

/// What is wrong with a request that rmcp does not take for one of its own: with its
/// parameters, if it has the method.
pub(super) fn refusal(method: String, params: Option<Value>) -> ErrorData {
    let params = params.unwrap_or_else(|| json!({}));
    let problem = match method.as_str() {
        "tools/call" => problem::<CallToolRequestParams>(params),
        "tools/list" => problem::<PaginatedRequestParams>(params),
        _ => None,
    };
    match problem {
        Some(problem) => ErrorData::invalid_params(format!("`params`: {problem}"), None),
        None => ErrorData::new(ErrorCode::METHOD_NOT_FOUND, shown(&method), None),
    }
}

fn problem<T: DeserializeOwned>(params: Value) -> Option<Failure> {
    let read = serde_path_to_error::deserialize::<_, T>(Object(params));
    let error = read.err()?;
    Some(Failure::at_path(Kind::Validation, &error))
}

#[cfg(test)]
mod tests {
    use super::{INITIALIZE_LEN_MAX, read, refusal};
    use serde_json::{Value, json};

    /// The code, the id and the message of the answer to what is no message.
    fn wrong(json: &str) -> (i64, Value, String) {
        let wrong = read(json.as_bytes()).err().unwrap();
        let answer: Value = serde_json::from_str(&wrong.answer()).unwrap();
        let error = &answer["error"];
        let message = error["message"].as_str().unwrap().to_owned();
        (
            error["code"].as_i64().unwrap(),
            answer["id"].clone(),
            message,
        )
    }

    #[test]
    fn what_is_no_message_is_answered_with_its_id() {
        for (json, code, id, words) in [
            ("garbage", -32700, json!(null), "line 1"),
            (r#"{"id": 7"#, -32700, json!(null), "EOF"),
            (
                r#"{"jsonrpc": "2.0", "method": "x"} {}"#,
                -32700,
                json!(null),
                "trailing",
            ),
            ("[1]", -32600, json!(null), "an object"),
            (
                r#"{"jsonrpc": "2.0", "id": 7}"#,
                -32600,
                json!(7),
                "`method`",
            ),
            (
                r#"{"jsonrpc": "1.0", "id": "a", "method": "x"}"#,
                -32600,
                json!("a"),
                "2.0",
            ),
            (r#"{"id": 7, "method": "x"}"#, -32600, json!(7), "`jsonrpc`"),
            (
                r#"{"jsonrpc": "2.0", "id": 7, "method": 8}"#,
                -32600,
                json!(7),
                "`method`",
            ),
            (
                r#"{"jsonrpc": "2.0", "id": 1.5, "method": "x"}"#,
                -32600,
                json!(null),
                "`id`",
            ),
            (
                r#"{"jsonrpc": "2.0", "id": [1], "method": "x"}"#,
                -32600,
                json!(null),
                "`id`",
            ),
        ] {
            let (got, got_id, message) = wrong(json);
            assert_eq!((got, &got_id), (code, &id), "{json}: {message}");
            assert!(message.contains(words), "{json}: {message}");
        }
    }

    #[test]
    fn parameters_are_an_object() {
        for params in [r#"["y"]"#, r#""y""#, "1"] {
            let json =
                format!(r#"{{"jsonrpc": "2.0", "id": 7, "method": "x", "params": {params}}}"#);
            let (code, id, message) = wrong(&json);
            assert_eq!((code, id), (-32600, json!(7)), "{json}");
            assert!(message.contains("an object"), "{json}: {message}");
        }
    }

    #[test]
    fn messages_are_left_to_rmcp() {
        for json in [
            r#"{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"a": [1]}}"#,
            r#"{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": null}"#,
            r#"{"jsonrpc": "2.0", "method": "notifications/x"}"#,
            r#"{"jsonrpc": "2.0", "id": "a", "result": {}}"#,
            r#"{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": ""}}"#,
        ] {
            assert_eq!(&*read(json.as_bytes()).ok().unwrap(), json.as_bytes());
        }
    }

    #[test]
    fn a_client_says_in_short_who_it_is() {
        let message = |method: &str, length: usize| {
            let name = "n".repeat(length);
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": name}})
                .to_string()
        };
        let long = message("initialize", INITIALIZE_LEN_MAX);
        let (code, id, said) = wrong(&long);
        assert_eq!((code, id), (-32000, json!(1)));
        assert!(said.contains("limit 32768"), "{said}");
        assert!(read(message("initialize", INITIALIZE_LEN_MAX / 2).as_bytes()).is_ok());
        assert!(read(message("tools/call", 10 * INITIALIZE_LEN_MAX).as_bytes()).is_ok());
    }

    #[test]
    fn parameters_are_told_from_methods() {
        let of = |method: &str, params: Value| refusal(method.into(), Some(params));
        for (params, words) in [
            (json!({}), "missing field `name`"),
            (json!({"name": 1}), "`name`"),
            (json!({"name": "embed", "arguments": "x"}), "`arguments`"),
            (json!(["embed"]), "an object"),
        ] {
            let error = of("tools/call", params.clone());
            assert_eq!(error.code.0, -32602, "{params}");
            assert!(error.message.contains(words), "{params}: {}", error.message);
        }
        assert_eq!(refusal("tools/call".into(), None).code.0, -32602);
        assert_eq!(of("tools/list", json!({"cursor": 1})).code.0, -32602);
        let unknown = of("tools/erase", json!({}));
        assert_eq!((unknown.code.0, &*unknown.message), (-32601, "tools/erase"));
        let long = of(&"erase\n".repeat(10_000), json!({}));
        assert!(long.message.len() < 2_000 && !long.message.contains('\n'));
    }
}

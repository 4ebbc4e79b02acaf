//! A request's JSON, read within the limits.

use crate::failure::{Failure, Kind};
use crate::fields::Object;
use crate::limits::Limits;
use encoderfile::json;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Texts, lists and objects that one request may have. Each takes several times as much
/// memory as it has bytes, and texts are counted only when all of them are there: this
/// is more than any request of that many texts has.
fn values_max(limits: &Limits) -> usize {
    /// Of a text with its pair and their names, in instances of several texts, and
    /// of a caller's metadata.
    const A_TEXT: usize = 64;
    /// Where few texts are taken, metadata and labels are still some.
    const TEXTS_MIN: usize = 1024;

    let texts = limits.max_client_batch_size.max(TEXTS_MIN);
    texts.saturating_mul(A_TEXT)
}

/// Refuses more values than a request may have, before they are held.
pub fn check_values(json: &[u8], limits: &Limits) -> Result<(), Failure> {
    count_values(json, values_max(limits))
}

/// Counts by the bytes that texts, lists and objects begin with.
fn count_values(json: &[u8], most: usize) -> Result<(), Failure> {
    let mut count = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => count += 1,
            b'"' => {
                count += 1;
                skip_string(&mut bytes);
            }
            _ => {}
        }
    }
    if count <= most {
        return Ok(());
    }
    let message = format!(
        "{count} texts, lists and objects in one request, limit {most} (--max-client-batch-size)"
    );
    Err(Failure::new(Kind::Limit, message))
}

/// To behind the quotation mark that ends a string.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return,
            _ => {}
        }
    }
}

/// A member that is `null` is as if absent: no field has to say so.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let malformed = |error: serde_json::Error| Failure::new(Kind::Malformed, error.to_string());
    let bytes = json::mend(bytes, &json::Nulls::ALL).map_err(malformed)?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let parsed = serde_path_to_error::deserialize(Object(&mut json)).map_err(|error| {
        let kind = match error.inner().classify() {
            Category::Data => Kind::Validation,
            Category::Io | Category::Syntax | Category::Eof => Kind::Malformed,
        };
        Failure::at_path(kind, &error)
    })?;
    json.end().map_err(malformed)?;
    Ok(parsed)
}

/// Whether a request says that its body is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let header = headers.get(header::CONTENT_TYPE);
    let header = header.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = header.split(';').next().unwrap_or("").trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::count_values;

    #[test]
    fn values_are_counted_by_how_they_begin() {
        for (json, count) in [
            ("1", 0),
            (r#"{"inputs": ["a", "b"]}"#, 5),
            (r#"[{}, {}, [], "[{\"["]"#, 5),
            (r#"["\\", "\\\"", 1, null]"#, 3),
            (r#"["unfinished"#, 2),
        ] {
            assert!(count_values(json.as_bytes(), count).is_ok(), "{json}");
            if let Some(fewer) = count.checked_sub(1) {
                let refused = count_values(json.as_bytes(), fewer).unwrap_err();
                assert!(
                    refused.to_string().starts_with(&format!("{count} texts")),
                    "{json}"
                );
            }
        }
    }
}

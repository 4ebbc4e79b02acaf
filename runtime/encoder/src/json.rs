//! JSON as clients write it, made into JSON that types take.
//!
//! [`mend`] sanitises it by three rules, for every frontend: half of a surrogate pair, which
//! JavaScript's and Python's strings may hold and Rust's may not, is U+FFFD; a
//! member that is `null` is as if it were absent, whatever type it is read into; and
//! a byte order mark before the text is nothing. Nothing else that is not JSON
//! becomes JSON by it, and it takes time in proportion to the text's length.

use serde::de::{DeserializeOwned, Error, IgnoredAny};
use std::borrow::Cow;
use std::ops::Range;

/// Where members that are `null` are dropped, by the names that lead there.
#[derive(Clone, Copy, Debug)]
pub struct Nulls<'a> {
    /// Only inside of this object; empty for everywhere.
    pub within: &'a [&'a str],
    /// Not inside of this one: it is somebody else's, and given back as it is.
    pub except: &'a [&'a str],
}

impl Nulls<'_> {
    /// Everywhere.
    pub const ALL: Self = Nulls {
        within: &[],
        except: &["metadata"],
    };
}

/// As deep as serde_json reads. What an array takes here is many times the byte that
/// it is in the text.
const DEPTH_MAX: usize = 128;

/// What some editors and PowerShell write before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The same JSON without lone surrogates, without the members that are `null`, and
/// without a byte order mark.
///
/// What is not JSON is an error, or comes back as it is for the next reader to
/// refuse. The text keeps its length, so that places in messages stay true.
///
/// # Errors
///
/// [`serde_json::Error`] where it is not JSON, or nested deeper than is read.
pub fn mend<'a>(json: &'a [u8], nulls: &Nulls) -> Result<Cow<'a, [u8]>, serde_json::Error> {
    let is_marked = json.starts_with(BYTE_ORDER_MARK);
    if !is_marked && !has_null(json) && !has_surrogate(json) {
        return Ok(json.into());
    }
    let mut mending = Mending {
        json: json.to_vec(),
        nulls,
        open: Vec::new(),
    };
    if is_marked {
        mending.blank(0..BYTE_ORDER_MARK.len());
    }
    // What follows sees its way by brackets and commas, and may rely on them.
    serde_json::from_slice::<IgnoredAny>(&mending.json)?;
    mending.run()?;
    Ok(mending.json.into())
}

/// Reads [sanitised](mend) JSON, whatever is in it without the members that are `null`.
///
/// # Errors
///
/// Where it is not JSON, or not that of a `T`.
pub fn read<T: DeserializeOwned>(json: &str) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&mend(json.as_bytes(), &Nulls::ALL)?)
}

fn has_null(json: &[u8]) -> bool {
    json.windows(4).any(|it| it == b"null")
}

fn has_surrogate(json: &[u8]) -> bool {
    json.windows(3)
        .any(|it| matches!(it, [b'\\', b'u', b'd' | b'D']))
}

impl Open {
    /// Whether members of it that are `null` are dropped.
    fn drops(&self, nulls: &Nulls) -> bool {
        let excepted = !nulls.except.is_empty() && self.except == nulls.except.len();
        self.is_object && self.within == nulls.within.len() && !excepted
    }
}

/// One walk over a text that is known to be JSON.
struct Mending<'a> {
    json: Vec<u8>,
    nulls: &'a Nulls<'a>,
    /// The arrays and objects around the place, outermost first.
    open: Vec<Open>,
}

/// An array or object that has begun and not ended.
struct Open {
    is_object: bool,
    /// How many names of [`Nulls::within`] lead here.
    within: usize,
    /// How many names of [`Nulls::except`] do.
    except: usize,
    /// The member's name, quoted; in arrays never set.
    name: Range<usize>,
    /// Whether a name comes next, not a value.
    expects_name: bool,
    /// The comma before the member, unless it went with one that was dropped.
    comma: Option<usize>,
    /// Whether the member was dropped and has no comma before it: the one after
    /// it has to go.
    owes_comma: bool,
}

impl Mending<'_> {
    fn run(&mut self) -> Result<(), serde_json::Error> {
        let mut at = 0;
        while let Some(&byte) = self.json.get(at) {
            at = match byte {
                b'"' => self.string(at),
                b'n' => self.null(at),
                _ => {
                    self.punctuation(at, byte);
                    at.saturating_add(1)
                }
            };
            if self.open.len() > DEPTH_MAX {
                return Err(serde_json::Error::custom("recursion limit exceeded"));
            }
        }
        Ok(())
    }

    /// Numbers and the other words need nothing.
    fn punctuation(&mut self, at: usize, byte: u8) {
        match byte {
            b'{' | b'[' => self.open.push(Open {
                is_object: byte == b'{',
                within: self.matched(self.nulls.within, |open| open.within),
                except: self.matched(self.nulls.except, |open| open.except),
                name: at..at,
                expects_name: byte == b'{',
                comma: None,
                owes_comma: false,
            }),
            b'}' | b']' => {
                self.open.pop();
            }
            b':' => {
                if let Some(object) = self.open.last_mut() {
                    object.expects_name = false;
                }
            }
            b',' => self.comma(at),
            _ => {}
        }
    }

    fn comma(&mut self, at: usize) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        open.expects_name = open.is_object;
        let owed = std::mem::take(&mut open.owes_comma);
        open.comma = (!owed).then_some(at);
        if owed {
            self.blank(at..at.saturating_add(1));
        }
    }

    /// Gives the place behind the string that begins at `start`.
    fn string(&mut self, start: usize) -> usize {
        let mut at = start.saturating_add(1);
        loop {
            let next = at.saturating_add(1);
            let length = match (self.json.get(at), self.json.get(next)) {
                (Some(b'\\'), Some(b'u')) => self.escape(at),
                (Some(b'\\'), _) => 2,
                (Some(b'"') | None, _) => break,
                _ => 1,
            };
            at = at.saturating_add(length);
        }
        let end = at.saturating_add(1);
        if let Some(object) = self.open.last_mut()
            && object.expects_name
        {
            object.name = start..end;
        }
        end
    }

    /// Gives the length of what begins with `\u`: an escape or a pair of them.
    fn escape(&mut self, at: usize) -> usize {
        const ESCAPE: usize = 6;

        let unit = |at: usize| {
            let escape = self.json.get(at..at.saturating_add(ESCAPE))?;
            let escape = escape.strip_prefix(b"\\u")?;
            u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
        };
        let end = at.saturating_add(ESCAPE);
        match (unit(at), unit(end)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => ESCAPE.saturating_mul(2),
            (Some(0xd800..=0xdfff), _) => {
                if let Some([_, _, unit @ ..]) = self.json.get_mut(at..end) {
                    unit.copy_from_slice(b"fffd");
                }
                ESCAPE
            }
            _ => ESCAPE,
        }
    }

    /// Drops the member that the `null` at `at` is, if it is one; gives the place
    /// behind it.
    fn null(&mut self, at: usize) -> usize {
        let end = at.saturating_add(b"null".len());
        let nulls = self.nulls;
        if let Some(object) = self.open.last_mut()
            && object.drops(nulls)
        {
            let member = object.name.start..end;
            let comma = object.comma.take();
            object.owes_comma = comma.is_none();
            self.blank(member);
            if let Some(comma) = comma {
                self.blank(comma..comma.saturating_add(1));
            }
        }
        end
    }

    /// How many names of `path` lead to what begins here, all on the way there.
    ///
    /// Decided once for each array or object, of what was decided for the one around
    /// it: whoever looked at the names again for each `null` or each object would
    /// read a long name as often as there are objects inside.
    fn matched(&self, path: &[&str], of: impl Fn(&Open) -> usize) -> usize {
        let Some(around) = self.open.last() else {
            return 0;
        };
        let matched = of(around);
        let next = matched.saturating_add(1);
        match path.get(matched) {
            // Counts only where every name before it did.
            Some(name) if next == self.open.len() && self.is_named(around, name) => next,
            _ => matched,
        }
    }

    /// Whether the member of `object` that the walk is in has this name.
    fn is_named(&self, object: &Open, name: &str) -> bool {
        /// The longest spelling of a byte: `\u0061`.
        const ESCAPE_MAX: usize = 6;
        const QUOTES: usize = 2;

        let longest = name.len().saturating_mul(ESCAPE_MAX);
        if object.name.len() > longest.saturating_add(QUOTES) {
            return false;
        }
        let written = self.json.get(object.name.clone()).unwrap_or_default();
        let written = serde_json::from_slice::<Cow<str>>(written);
        written.is_ok_and(|it| it == name)
    }

    fn blank(&mut self, range: Range<usize>) {
        for byte in self.json.get_mut(range).unwrap_or_default() {
            // So that line numbers stay true as well.
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Nulls, mend};
    use serde_json::{Value, json};

    fn mended(json: &str, nulls: &Nulls) -> serde_json::Result<Value> {
        let mended = mend(json.as_bytes(), nulls)?;
        assert_eq!(mended.len(), json.len(), "{json}");
        serde_json::from_slice(&mended)
    }

    fn all(json: &str) -> Value {
        mended(json, &Nulls::ALL).unwrap()
    }

    #[test]
    fn half_a_surrogate_pair_is_the_replacement_character() {
        for (written, read) in [
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (r#""a\ud800z""#, "a\u{fffd}z"),
            (r#""\uDFFF""#, "\u{fffd}"),
            (r#""\udc00\ud800""#, "\u{fffd}\u{fffd}"),
            (r#""\ud800\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud83d\ude00\ude00""#, "\u{1f600}\u{fffd}"),
            (r#""\ud800\u0041""#, "\u{fffd}A"),
            (r#""\ud800\n\udc00""#, "\u{fffd}\n\u{fffd}"),
            (r#""\ud800\\udc00""#, "\u{fffd}\\udc00"),
            // A backslash, and what looks like half a pair.
            (r#""\\ud800""#, "\\ud800"),
            (r#""\\\ud800""#, "\\\u{fffd}"),
            (r#""\\\\ud800\"\ud800""#, "\\\\ud800\"\u{fffd}"),
            (r#""\ud7ff\ue000\uDBff""#, "\u{d7ff}\u{e000}\u{fffd}"),
        ] {
            assert_eq!(all(written), read, "{written}");
        }
        let deep = r#"{"\ud800": [["a", {"t": "\udfff", "n": null}]]}"#;
        assert_eq!(all(deep), json!({"\u{fffd}": [["a", {"t": "\u{fffd}"}]]}));
    }

    #[test]
    fn members_that_are_null_are_absent() {
        for (written, read) in [
            (r#"{"a": null}"#, json!({})),
            (r#"{"a": null, "b": 1}"#, json!({"b": 1})),
            (r#"{"b": 1, "a": null}"#, json!({"b": 1})),
            (
                r#"{"b": 1, "a": null, "c": null, "d": 2}"#,
                json!({"b": 1, "d": 2}),
            ),
            (r#"{"a":null,"c":null,"d":{"e":null}}"#, json!({"d": {}})),
            (
                "{\"a\"\n:\nnull\n,\n\"b\": [null, {\"c\": null}]}",
                json!({"b": [null, {}]}),
            ),
            // Not of objects, or no null.
            ("null", json!(null)),
            ("[null]", json!([null])),
            (
                r#"{"null": "null", "a": "\"null"}"#,
                json!({"null": "null", "a": "\"null"}),
            ),
            // Somebody else's.
            (
                r#"{"metadata": {"a": null, "b": [{"c": null}]}, "d": {"metadata": {"e": null}}}"#,
                json!({"metadata": {"a": null, "b": [{"c": null}]}, "d": {"metadata": {}}}),
            ),
            (
                r#"{"met\u0061data": {"a": null}}"#,
                json!({"metadata": {"a": null}}),
            ),
            (r#"{"metadata": null}"#, json!({})),
        ] {
            assert_eq!(all(written), read, "{written}");
        }
    }

    #[test]
    fn the_names_say_where() {
        let nulls = Nulls {
            within: &["params"],
            except: &["params", "arguments", "metadata"],
        };
        let written = r#"{"id": null, "params": {"cursor": null, "arguments":
            {"a": null, "metadata": {"b": null}, "c": {"metadata": {"d": null}}}}, "params2": {"e": null}}"#;
        let read = json!({"id": null, "params": {"arguments":
            {"metadata": {"b": null}, "c": {"metadata": {}}}}, "params2": {"e": null}});
        assert_eq!(mended(written, &nulls).unwrap(), read);
    }

    /// Names are looked at once for each array and object that begins as their value:
    /// looked at for each object inside, this would take many minutes.
    #[test]
    fn long_names_around_many_objects_take_no_longer() {
        const NAME_LEN: usize = 4 << 20;
        const OBJECTS: usize = 1 << 17;

        let name = "n".repeat(NAME_LEN);
        let objects = vec!["{\"a\":null}"; OBJECTS].join(",");
        let nulls = Nulls {
            within: &["params"],
            except: &["params", "arguments", "metadata"],
        };
        for text in [
            format!("{{\"{name}\":[{objects}]}}"),
            format!("{{\"params\":{{\"{name}\":[{objects}]}}}}"),
            format!("{{\"params\":{{\"arguments\":{{\"{name}\":[{objects}]}}}}}}"),
        ] {
            let read = mend(text.as_bytes(), &Nulls::ALL).unwrap();
            assert_eq!(count(&read, b"null"), 0);
            let read = mend(text.as_bytes(), &nulls).unwrap();
            let is_within = text.starts_with("{\"params\"");
            assert_eq!(count(&read, b"null"), if is_within { 0 } else { OBJECTS });
        }
    }

    fn count(text: &[u8], word: &[u8]) -> usize {
        text.windows(word.len()).filter(|it| *it == word).count()
    }

    #[test]
    fn what_is_too_deep_to_be_read_is_not_mended() {
        let nested = |depth: usize| format!("{}null{}", "[".repeat(depth), "]".repeat(depth));
        assert!(mended(&nested(127), &Nulls::ALL).is_ok());
        let refused = mend(nested(1 << 20).as_bytes(), &Nulls::ALL).unwrap_err();
        assert_eq!(refused.to_string(), "recursion limit exceeded");
    }

    #[test]
    fn a_byte_order_mark_is_nothing() {
        assert_eq!(all("\u{feff}{\"a\": [1, null]}"), json!({"a": [1, null]}));
        assert_eq!(all("\u{feff} {\"a\": null}"), json!({}));
        for broken in ["\u{feff}", "\u{feff}\u{feff}{}", "{}\u{feff}", "\u{feff}{"] {
            assert!(mended(broken, &Nulls::ALL).is_err(), "{broken:?}");
        }
    }

    /// Every text of up to six of these parts, of which most are no JSON.
    #[test]
    fn what_is_no_json_stays_none() {
        const PARTS: [&str; 9] = [
            "{",
            "}",
            "[",
            "]",
            ",",
            "\"a\":",
            "\"b\":null",
            "\"c\":1",
            "null",
        ];
        const LENGTH_MAX: u32 = 6;

        let mut compared = 0;
        for length in 1..=LENGTH_MAX {
            for number in 0..PARTS.len().pow(length) {
                let part = |place: u32| PARTS[number / PARTS.len().pow(place) % PARTS.len()];
                let text: String = (0..length).map(part).collect();
                let read = serde_json::from_str::<Value>(&text);
                let got = mended(&text, &Nulls::ALL);
                assert_eq!(got.is_ok(), read.is_ok(), "{text}");
                // Of two members with one name the last counts, in this reader.
                if let Ok(read) = read.map(without_nulls)
                    && !has_twice(&text)
                {
                    assert_eq!(got.unwrap(), read, "{text}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 20, "{compared}");
    }

    /// Made-up documents, and each of them without one of its bytes.
    #[test]
    fn what_is_json_says_the_same_without_nulls() {
        let mut dice = Dice(7);
        for _ in 0..3000 {
            let text = dice.document(4);
            let read = without_nulls(serde_json::from_str(&text).unwrap());
            assert_eq!(all(&text), read, "{text}");
            let mut broken = text.clone().into_bytes();
            broken.remove(dice.throw(text.len()));
            let broken = String::from_utf8(broken).unwrap();
            let read = serde_json::from_str::<Value>(&broken);
            let got = mended(&broken, &Nulls::ALL);
            assert_eq!(got.is_ok(), read.is_ok(), "{broken}");
        }
    }

    /// The same numbers at every run.
    struct Dice(u64);

    impl Dice {
        fn throw(&mut self, sides: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(self.0 >> 33).unwrap() % sides
        }

        fn document(&mut self, depth: usize) -> String {
            let parts = self.throw(5);
            match if depth == 0 { 0 } else { self.throw(4) } {
                0 => ["null", "7", "true", r#""nu\"ll{,""#, r#""null""#][parts].to_owned(),
                1 => {
                    let parts: Vec<String> = (0..parts).map(|_| self.document(depth - 1)).collect();
                    format!("[{}]", parts.join(" ,"))
                }
                _ => {
                    let part = |(index, value)| format!("\n\"{index}\" : {value}");
                    let values: Vec<String> =
                        (0..parts).map(|_| self.document(depth - 1)).collect();
                    let parts: Vec<String> = values.iter().enumerate().map(part).collect();
                    format!("{{{}}}", parts.join(","))
                }
            }
        }
    }

    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(without_nulls).collect(),
            Value::Object(members) => {
                let kept = members.into_iter().filter(|(_, value)| !value.is_null());
                let kept = kept.map(|(name, value)| (name, without_nulls(value)));
                Value::Object(kept.collect())
            }
            other => other,
        }
    }

    fn has_twice(text: &str) -> bool {
        ["\"a\":", "\"b\":", "\"c\":"]
            .iter()
            .any(|name| text.matches(name).count() > 1)
    }
}

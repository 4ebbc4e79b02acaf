//! Why a request failed: one table from error to HTTP status and each dialect's name for it. gRPC's
//! codes are in the server.

use crate::Dialect;
use crate::engine::Refusal;
use encoderfile::{Bug, Error, FileError, RequestError, one_line};
use http::StatusCode;
use serde_path_to_error::Segment;
use std::fmt;
use std::time::Duration;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not the JSON that the route takes.
    Malformed,
    /// Nothing to compute.
    Empty,
    /// No key, or none that is known.
    Unauthorized,
    /// From a page that may not call.
    Forbidden,
    /// No such route.
    NotFound,
    /// A route that has other methods.
    Method,
    /// The client took too long to send its request.
    Timeout,
    /// More bytes than are taken.
    TooLarge,
    /// Not JSON by its content type, or compressed in a way that is not read.
    MediaType,
    /// More texts or characters than are taken.
    Limit,
    /// More tokens than are taken, where the text may not be truncated.
    TooLong,
    /// Something that this model cannot do, or not so.
    Validation,
    /// A text that the tokenizer refuses.
    Tokenizer,
    /// The model failed.
    Backend,
    /// The model computes numbers that are not finite.
    NotFinite,
    /// Too much to do.
    Overloaded,
    /// A bug.
    Internal,
    /// Shutting down.
    Unavailable,
}

impl Kind {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Empty => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Limit | Self::TooLong => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Validation | Self::Tokenizer => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Backend | Self::NotFinite => StatusCode::FAILED_DEPENDENCY,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// TEI's `error_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed | Self::MediaType | Self::TooLarge | Self::Limit => "Validation",
            Self::Validation | Self::TooLong | Self::Method => "Validation",
            Self::Forbidden | Self::NotFound | Self::Timeout => "Validation",
            Self::Empty => "Empty",
            Self::Unauthorized => "Unauthorized",
            Self::Tokenizer => "Tokenizer",
            Self::Backend | Self::NotFinite | Self::Internal => "Backend",
            Self::Overloaded => "Overloaded",
            Self::Unavailable => "Unhealthy",
        }
    }
}

/// A failure, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}{message}", .subject.map(|it| format!("{it}: ")).unwrap_or_default())]
pub struct Failure {
    /// Which status and names it has.
    pub kind: Kind,
    /// One line, see [`shown`]. What it says of options has them in backticks.
    message: String,
    /// The field at fault, where that is known.
    field: Option<String>,
    subject: Option<Subject>,
    /// When it is worth trying again.
    retry_after: Option<Duration>,
}

/// Which text of a request it is about.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Text(usize),
    /// What texts are ranked by.
    Query,
    /// What others are compared with.
    Source,
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(index) => write!(formatter, "text {}", index + 1),
            Self::Query => formatter.write_str("the query"),
            Self::Source => formatter.write_str("the source"),
        }
    }
}

impl Failure {
    /// With a message for people, which is made one line.
    pub fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            message: shown(message.as_ref()),
            field: None,
            subject: None,
            retry_after: None,
        }
    }

    /// For a field, which the message begins with.
    pub fn of_field(kind: Kind, field: &str, problem: impl fmt::Display) -> Self {
        Self::new(kind, format!("`{field}`: {problem}")).about(field)
    }

    /// What serde found, and in which field.
    pub fn at_path(kind: Kind, error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        match path(error.path()).as_str() {
            "" => Self::new(kind, error.inner().to_string()),
            path => Self::of_field(kind, path, error.inner()),
        }
    }

    /// Says which field is at fault.
    pub fn about(mut self, field: &str) -> Self {
        self.field = Some(shown(field));
        self
    }

    /// For a text of several, if that is at fault.
    pub fn of_text(mut self, index: usize) -> Self {
        self.subject.get_or_insert(Subject::Text(index));
        self
    }

    /// Where the first text is what the others are compared with, and not counted.
    pub fn beside_source(mut self) -> Self {
        self.subject = self.subject.map(|subject| match subject {
            Subject::Text(0) | Subject::Source => Subject::Source,
            Subject::Text(index) => Subject::Text(index - 1),
            Subject::Query => Subject::Query,
        });
        self
    }

    /// For a part of a request that is a request itself.
    pub fn within(self, place: &str) -> Self {
        Self {
            message: format!("`{place}`: {self}"),
            subject: None,
            ..self
        }
    }

    /// Says when it is worth trying again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// With the names that its options have in a dialect.
    pub fn in_words_of(mut self, dialect: &dyn Dialect) -> Self {
        for (ours, theirs) in dialect.names() {
            self.message = self
                .message
                .replace(&format!("`{ours}`"), &format!("`{theirs}`"));
            if self.field.as_deref() == Some(*ours) {
                self.field = Some((*theirs).to_owned());
            }
        }
        self
    }

    /// The field at fault, where that is known.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Whole seconds to wait, at least one.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        /// Nobody should wait longer for an estimate.
        const LONGEST: u64 = 60;

        let wait = self.retry_after?;
        let begun = u64::from(wait.subsec_nanos() > 0);
        Some((wait.as_secs() + begun).clamp(1, LONGEST))
    }
}

/// As one line of a log or an answer, however much of what a client wrote is in it:
/// without characters that a terminal obeys, and cut in its middle.
pub fn shown(message: &str) -> String {
    /// Characters at the beginning and at the end.
    const KEPT: [usize; 2] = [700, 250];

    let obeyed = |char: char| {
        char.is_control()
            || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let escaped = |part: &str| -> String {
        let escaped = part.chars().map(|char| {
            if obeyed(char) {
                char.escape_default().to_string()
            } else {
                char.to_string()
            }
        });
        escaped.collect()
    };
    let place = |nth: usize| message.char_indices().nth(nth).map(|(place, _)| place);
    if place(KEPT[0] + KEPT[1]).is_none() {
        return escaped(message);
    }
    let head = place(KEPT[0]).unwrap_or(message.len());
    let tail = message.char_indices().rev().nth(KEPT[1] - 1);
    let tail = tail.map_or(head, |(place, _)| place);
    format!(
        "{} … {}",
        escaped(&message[..head]),
        escaped(&message[tail..])
    )
}

/// The names and places that lead to a value. Where serde tries several forms there
/// are steps without a name.
fn path(of: &serde_path_to_error::Path) -> String {
    let mut path = String::new();
    for segment in of {
        match segment {
            Segment::Seq { index } => path += &format!("[{index}]"),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                if !path.is_empty() {
                    path.push('.');
                }
                path += name;
            }
            Segment::Unknown => {}
        }
    }
    path
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full { retry_after } => Self::new(
                Kind::Overloaded,
                "too many tokens are waiting; try again later, or serve with a larger --max-queued-tokens",
            )
            .retry_after(retry_after),
            Refusal::Closed => Self::new(Kind::Unavailable, "the server is shutting down"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Error::Request(RequestError::Query(error)) = error {
            let subject = Some(Subject::Query);
            let failure = Self::from(Error::Request(*error));
            return Self { subject, ..failure };
        }
        let failure = Self::new(kind(&error), one_line(&error));
        let option = match &error {
            Error::Request(error) => error.option(),
            _ => None,
        };
        match option {
            Some(option) => failure.about(option),
            None => failure,
        }
    }
}

fn kind(error: &Error) -> Kind {
    match error {
        Error::Request(RequestError::Tokenizer { .. }) => Kind::Tokenizer,
        Error::Request(RequestError::TooManyTokens { .. }) => Kind::TooLong,
        Error::Request(RequestError::TextLength { .. }) => Kind::Limit,
        Error::Request(_) => Kind::Validation,
        Error::File(FileError::NotFinite { .. }) => Kind::NotFinite,
        Error::Bug(Bug::Panic { .. }) => Kind::Internal,
        _ => Kind::Backend,
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Kind};
    use crate::cohere::Cohere;
    use crate::openai::OpenAi;
    use serde::Deserialize;
    use serde_json::Value;

    fn said(message: &str) -> String {
        Failure::new(Kind::Validation, message).to_string()
    }

    #[test]
    fn a_message_is_one_line_that_nothing_obeys() {
        assert_eq!(
            said("a\nINFO b\r\u{1b}[2Jc\0"),
            "a\\nINFO b\\r\\u{1b}[2Jc\\u{0}"
        );
        assert_eq!(
            said("\u{9b}1m \u{202e}x\u{2028}"),
            "\\u{9b}1m \\u{202e}x\\u{2028}"
        );
        assert_eq!(said("Zoë → 東京 \"q\""), "Zoë → 東京 \"q\"");
    }

    #[test]
    fn a_message_is_cut_in_its_middle() {
        let short = "é".repeat(950);
        assert_eq!(said(&short), short);
        let long = said(&format!("begins {} ends", "é".repeat(100_000)));
        assert!(
            long.starts_with("begins é") && long.ends_with("é ends"),
            "{long}"
        );
        assert_eq!(long.chars().count(), 953);
    }

    #[test]
    fn what_serde_says_is_a_message_too() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "only its errors are of interest")]
        struct Request {
            inputs: Vec<u8>,
        }
        let read = |json: &str| -> Failure {
            let mut json = serde_json::Deserializer::from_str(json);
            let error = serde_path_to_error::deserialize::<_, Request>(&mut json).unwrap_err();
            Failure::at_path(Kind::Validation, &error)
        };
        let failure = read(&format!(
            r#"{{"inputs": [1, "a\n{}"]}}"#,
            "b".repeat(100_000)
        ));
        assert_eq!(failure.field(), Some("inputs[1]"));
        let said = failure.to_string();
        assert!(
            said.starts_with("`inputs[1]`: ") && !said.contains('\n'),
            "{said}"
        );
        assert!(said.len() < 1100 && said.contains("expected u8"), "{said}");
    }

    #[test]
    fn steps_without_a_name_are_not_shown() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "only its errors are of interest")]
        struct Request {
            #[serde(flatten)]
            rest: Rest,
        }
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "only its errors are of interest")]
        struct Rest {
            count: u8,
        }
        let value: Value = serde_json::from_str(r#"{"count": "x"}"#).unwrap();
        let error = serde_path_to_error::deserialize::<_, Request>(value).unwrap_err();
        let said = Failure::at_path(Kind::Validation, &error).to_string();
        assert!(!said.contains('?'), "{said}");
    }

    #[test]
    fn texts_are_named_after_they_are_counted() {
        let of = |index: usize| Failure::new(Kind::Backend, "bad").of_text(index);
        assert_eq!(of(2).to_string(), "text 3: bad");
        assert_eq!(of(0).beside_source().to_string(), "the source: bad");
        assert_eq!(of(2).beside_source().to_string(), "text 2: bad");
        assert_eq!(
            of(1).within("instances[3]").to_string(),
            "`instances[3]`: text 2: bad"
        );
    }

    #[test]
    fn options_have_the_names_of_the_dialect() {
        let failure = Failure::new(Kind::Validation, "`top_k` is 0; `top_k_max`").about("top_k");
        let cohere = failure.clone().in_words_of(&Cohere);
        assert_eq!(cohere.to_string(), "`top_n` is 0; `top_k_max`");
        assert_eq!(cohere.field(), Some("top_n"));
        let openai = failure.in_words_of(&OpenAi);
        assert_eq!(openai.field(), Some("top_k"));
    }
}

//! Addresses: what of them requests and redirections need.

use std::fmt;
use ureq::http::Uri;

/// An address that begins with `https://` or `http://` and has a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url(Uri);

/// What a message shows of an address that was refused, perhaps for its name and password.
pub(crate) fn without_login(text: &str) -> String {
    let parts = text.split_once("://");
    match parts.and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://…@{rest}"),
        None => text.to_owned(),
    }
}

/// Who answers: scheme, host and port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    is_https: bool,
    host: String,
    port: u16,
}

impl Url {
    /// `None` for everything else. A name and password in an address are not taken: they
    /// would be in every message.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?;
        let authority = uri.authority()?;
        let is_one = ["https", "http"].contains(&scheme)
            && !authority.host().is_empty()
            && !authority.as_str().contains('@');
        is_one.then_some(Self(uri))
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    pub(crate) fn origin(&self) -> Origin {
        let is_https = self.is_https();
        Origin {
            is_https,
            host: self.host().to_ascii_lowercase(),
            port: self.0.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
        }
    }

    /// What is below it: each part is encoded, and none can leave it.
    pub(crate) fn below(&self, parts: &[&str]) -> Option<Self> {
        let mut text = self.to_string();
        for part in parts {
            text.push('/');
            encode(part, &mut text);
        }
        Self::parse(&text)
    }

    /// The same with a query, which is not encoded.
    pub(crate) fn with_query(&self, query: &str) -> Option<Self> {
        Self::parse(&format!("{self}?{query}"))
    }

    /// What a `Location` means in an answer of this address.
    pub(crate) fn join(&self, location: &str) -> Option<Self> {
        // What is behind # is for browsers.
        let location = location.split('#').next().unwrap_or_default();
        let scheme = self.0.scheme_str()?;
        let authority = self.0.authority()?;
        if location.is_empty() {
            None
        } else if location.contains("://") && !location.starts_with('/') {
            Self::parse(location)
        } else if location.starts_with("//") {
            Self::parse(&format!("{scheme}:{location}"))
        } else if location.starts_with('/') {
            Self::parse(&format!("{scheme}://{authority}{location}"))
        } else {
            let (folder, _) = self.0.path().rsplit_once('/')?;
            Self::parse(&format!("{scheme}://{authority}{folder}/{location}"))
        }
    }

    /// Without the query, which may hold a signature: for messages.
    pub(crate) fn shown(&self) -> String {
        let text = self.to_string();
        text.split('?').next().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        // An address without a path has one by the time it is parsed.
        let is_host_alone = self.0.path() == "/" && self.0.query().is_none();
        let text = if is_host_alone {
            text.trim_end_matches('/')
        } else {
            &text
        };
        f.write_str(text)
    }
}

impl From<&Url> for Uri {
    fn from(url: &Url) -> Self {
        url.0.clone()
    }
}

/// Percent-encodes all but unreserved characters: a `/` in it is part of a name.
fn encode(part: &str, text: &mut String) {
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn parts_are_encoded() {
        let below = url("https://hub/x").below(&["a", "refs/pr/1", "ä b?#%"]);
        let expected = "https://hub/x/a/refs%2Fpr%2F1/%C3%A4%20b%3F%23%25";
        assert_eq!(below.unwrap().to_string(), expected);
    }

    #[test]
    fn a_location_is_absolute_or_relative() {
        let from = url("https://hub:8443/a/b?c=d");
        for (location, expected) in [
            ("https://cdn/x?y=z", "https://cdn/x?y=z"),
            ("http://cdn/x", "http://cdn/x"),
            ("//cdn/x", "https://cdn/x"),
            ("/x?to=https://y", "https://hub:8443/x?to=https://y"),
            ("x", "https://hub:8443/a/x"),
            ("/x#part", "https://hub:8443/x"),
        ] {
            assert_eq!(from.join(location), Some(url(expected)), "{location}");
        }
        for location in [
            "",
            "file:///etc/passwd",
            "ftp://x/y",
            "https://",
            "https://u:p@cdn/",
        ] {
            assert_eq!(from.join(location), None, "{location}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |text| Url::parse(text).unwrap();
        assert_eq!(
            origin("https://hub/a").origin(),
            url("https://hub:443/b").origin()
        );
        for other in [
            "http://hub",
            "https://hub.cdn",
            "https://hub:444",
            "https://xhub",
        ] {
            assert_ne!(
                origin("https://hub/a").origin(),
                url(other).origin(),
                "{other}"
            );
        }
    }
}

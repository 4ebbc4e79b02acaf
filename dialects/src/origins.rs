//! Whose pages may call: the one list that the CORS layer, `/mcp` and the routes that
//! take any content type read.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri, header};
use std::net::Ipv6Addr;
use std::str::FromStr;

/// What a setting says of origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Of whatever page.
    Any,
    /// This one, as browsers write it: in lower case, without its scheme's own port.
    One(String),
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let origin = text.parse().ok().and_then(|uri: Uri| written(&uri));
        origin
            .map(Self::One)
            .ok_or_else(|| "not an origin, such as https://example.org:8443, and not *".into())
    }
}

/// An origin as browsers write it.
fn written(uri: &Uri) -> Option<String> {
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let host = authority.host();
    let port = match authority.as_str().strip_prefix(host)?.strip_prefix(':') {
        Some(port) => Some(port.parse::<u16>().ok()?),
        None if authority.as_str() == host => None,
        None => return None,
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return None;
    }
    let host = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(address) => format!("[{}]", address.parse::<Ipv6Addr>().ok()?),
        None if is_name(host) => host.to_ascii_lowercase(),
        None => return None,
    };
    let scheme = scheme.to_ascii_lowercase();
    let own = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    Some(match port.filter(|port| Some(*port) != own) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

fn is_name(host: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(is_part)
}

/// The origins whose pages may call.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    any: bool,
    listed: Vec<String>,
}

impl Origins {
    /// Those of settings.
    pub fn new(settings: &[Origin]) -> Self {
        let listed = settings.iter().filter_map(|origin| match origin {
            Origin::Any => None,
            Origin::One(origin) => Some(origin.clone()),
        });
        Self {
            any: settings.contains(&Origin::Any),
            listed: listed.collect(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        !self.any && self.listed.is_empty()
    }

    /// Whether all there are may call.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Each as browsers write it; without what `*` allows.
    pub fn listed(&self) -> &[String] {
        &self.listed
    }

    /// As headers have them.
    pub fn header_values(&self) -> Vec<HeaderValue> {
        let values = self.listed.iter().map(|it| HeaderValue::from_str(it));
        values.filter_map(Result::ok).collect()
    }

    /// Whether a request is from no page, from one of this server's own, or from one
    /// that may call.
    pub fn admit(&self, head: &Parts) -> bool {
        let Some(origin) = header_text(&head.headers, &header::ORIGIN) else {
            return !head.headers.contains_key(header::ORIGIN);
        };
        let host = header_text(&head.headers, &header::HOST);
        let host = host.or_else(|| head.uri.authority().map(|it| it.as_str()));
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let is_own = authority.zip(host).is_some_and(|(authority, host)| {
            authority.eq_ignore_ascii_case(host) && !authority.is_empty()
        });
        is_own || self.any || self.listed.iter().any(|listed| listed == origin)
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::{Origin, Origins};
    use http::Request;
    use http::request::Builder;

    fn one(text: &str) -> Option<String> {
        match text.parse() {
            Ok(Origin::One(origin)) => Some(origin),
            _ => None,
        }
    }

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        assert_eq!("*".parse(), Ok(Origin::Any));
        for (written, read) in [
            ("https://example.org", "https://example.org"),
            ("HTTPS://Example.ORG/", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("http://example.org:80/", "http://example.org"),
            ("http://example.org:443", "http://example.org:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[0:0::1]", "http://[::1]"),
            ("tauri://localhost", "tauri://localhost"),
        ] {
            assert_eq!(one(written).as_deref(), Some(read), "{written}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "null",
            "example.org",
            "example.org:443",
            "//example.org",
            "https://",
            "https://*.example.org",
            "https://example.org/page",
            "https://example.org?x",
            "https://user@example.org",
            "https://example.org:99999",
            "https://example.org:",
            "https://example.org:*",
            "https://[::1",
            "https://[zz]",
            "https://ex ample.org",
            "https://example.org, https://example.com",
            "a\u{1}",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text:?}");
        }
    }

    fn head(request: Builder) -> http::request::Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn pages_are_told_apart_by_their_origin() {
        let listed = Origins::new(&[Origin::One("https://example.org".into())]);
        let admits = |origins: &Origins, origin: &str| {
            let request = Request::post("/api/embed").header("host", "box:8080");
            origins.admit(&head(request.header("origin", origin)))
        };
        assert!(admits(&listed, "https://example.org"));
        assert!(admits(&listed, "http://box:8080"));
        for other in ["https://example.com", "http://box", "null", "", "https://"] {
            assert!(!admits(&listed, other), "{other}");
        }
        assert!(admits(&Origins::new(&[Origin::Any]), "https://example.com"));
        assert!(!admits(&Origins::default(), "https://example.org"));
        assert!(Origins::default().admit(&head(Request::post("/api/embed"))));
    }
}

//! Proxies: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, as curl reads them.

use super::client::NetError;
use super::url::Url;
use std::env;
use ureq::Proxy;

/// The proxy of each scheme, and the hosts that are asked without.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    /// Lower case; `*` for all.
    without: Vec<String>,
}

impl Proxies {
    /// What the environment says.
    pub(super) fn from_environment() -> Result<Self, NetError> {
        Self::of(&|name| env::var(name).ok().filter(|it| !it.is_empty()))
    }

    fn of(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, NetError> {
        let proxy = |names: [&'static str; 4]| {
            let mut said = names.into_iter().filter_map(|it| Some((it, variable(it)?)));
            let Some((name, value)) = said.next() else {
                return Ok(None);
            };
            // Its password is not for messages.
            let problem = "is no address of a proxy (http://HOST:PORT)".to_owned();
            let wrong = |_| NetError::Variable {
                variable: name,
                problem,
            };
            Proxy::new(&value).map(Some).map_err(wrong)
        };
        let without = variable("no_proxy").or_else(|| variable("NO_PROXY"));
        let without = without.unwrap_or_default();
        let hosts = without
            .split(',')
            .map(str::trim)
            .filter(|it| !it.is_empty());
        Ok(Self {
            https: proxy(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            http: proxy(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
            without: hosts.map(str::to_ascii_lowercase).collect(),
        })
    }

    /// The one to ask for an address.
    pub(super) fn of_url(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.is_https() {
            true => &self.https,
            false => &self.http,
        };
        proxy.as_ref().filter(|_| !self.is_without(url.host()))
    }

    /// A host, or one of a domain: `example.org`, `.example.org` and `*.example.org` are the
    /// same.
    fn is_without(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.without.iter().any(|entry| {
            let domain = entry.trim_start_matches("*.").trim_start_matches('.');
            let before = host.strip_suffix(domain);
            entry == "*" || before.is_some_and(|it| it.is_empty() || it.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Proxies, NetError> {
        Proxies::of(&|name| {
            let found = variables.iter().find(|it| it.0 == name);
            found.map(|it| it.1.into())
        })
    }

    fn proxy(proxies: &Proxies, url: &str) -> Option<String> {
        let proxy = proxies.of_url(&Url::parse(url).unwrap())?;
        Some(proxy.host().to_owned())
    }

    #[test]
    fn each_scheme_has_its_own() {
        let proxies = of(&[("HTTPS_PROXY", "http://s:1"), ("http_proxy", "h:2")]).unwrap();
        assert_eq!(proxy(&proxies, "https://hub").as_deref(), Some("s"));
        assert_eq!(proxy(&proxies, "http://hub").as_deref(), Some("h"));
        let proxies = of(&[("ALL_PROXY", "http://a:1"), ("HTTP_PROXY", "h:2")]).unwrap();
        assert_eq!(proxy(&proxies, "https://hub").as_deref(), Some("a"));
        assert_eq!(proxy(&proxies, "http://hub").as_deref(), Some("h"));
    }

    #[test]
    fn hosts_and_domains_are_left_out() {
        let proxies = of(&[
            ("HTTPS_PROXY", "http://s:1"),
            ("NO_PROXY", "Example.org, .intern,*.lab,127.0.0.1"),
        ])
        .unwrap();
        for (url, is_asked) in [
            ("https://example.org", false),
            ("https://sub.EXAMPLE.org", false),
            ("https://hub.intern:8443/x", false),
            ("https://a.lab", false),
            ("https://127.0.0.1", false),
            ("https://myexample.org", true),
            ("https://huggingface.co", true),
        ] {
            assert_eq!(proxy(&proxies, url).is_some(), is_asked, "{url}");
        }
        let proxies = of(&[("HTTPS_PROXY", "http://s:1"), ("no_proxy", "*")]).unwrap();
        assert_eq!(proxy(&proxies, "https://huggingface.co"), None);
    }

    #[test]
    fn a_wrong_one_is_named_and_its_password_is_not() {
        let error = of(&[("HTTPS_PROXY", "sock://u:secret@h:x")]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("HTTPS_PROXY"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

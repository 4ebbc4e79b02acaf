//! Asking a server: redirections, the token, and asking again.
//!
//! **Invariants:** the token is sent to the server it is for and nobody else, whoever redirects;
//! from a server with TLS nothing leads to an address without; every wait and every number of
//! tries has a bound.

use super::download::Opened;
use super::proxy::Proxies;
use super::url::Url;
use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE, RETRY_AFTER,
};
use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

/// Of one request, before its error is the build's.
pub(super) const TRIES: u32 = 5;

/// A file is redirected once or twice.
const REDIRECTIONS_MAX: usize = 10;

/// A pause doubles from here with every try.
const PAUSE: Duration = Duration::from_millis(500);

/// The hub counts requests over five minutes; whoever is told to wait for longer does not.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// For a connection, the head of an answer, and each piece of its body.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Of what a server says of an error.
const MESSAGE_LEN_MAX: usize = 300;

/// Who asks one server.
pub(crate) struct Client {
    home: Url,
    token: Option<String>,
    proxies: Proxies,
    agents: HashMap<Option<String>, Agent>,
    tls: TlsConfig,
}

/// A request.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    /// The whole answer.
    All,
    /// What is from there on.
    From(u64),
    /// What the answer would be; a redirection with such headers is the answer.
    Head(fn(&HeaderMap) -> bool),
}

/// An answer, and who gave it.
pub(crate) struct Answer {
    pub(crate) url: Url,
    pub(crate) response: Response<Body>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetError {
    /// An environment variable that makes no sense.
    #[error("{variable}: {problem}")]
    Variable {
        variable: &'static str,
        problem: String,
    },
    /// A redirection that is not followed.
    #[error("{url}: {problem}")]
    Redirect { url: String, problem: String },
    /// No connection, or none that lasts.
    #[error("{url}: {problem}")]
    Unreachable { url: String, problem: String },
}

impl Client {
    /// Of a server, and what it is to be told of who asks.
    pub(crate) fn new(home: Url, token: Option<String>) -> Result<Self, NetError> {
        // The platform's roots, because a company's proxy that looks into TLS has its own
        // there; `SSL_CERT_FILE` names others.
        let provider = rustls::crypto::ring::default_provider();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .build();
        Ok(Self {
            home,
            token,
            proxies: Proxies::from_environment()?,
            agents: HashMap::new(),
            tls,
        })
    }

    /// Asks, again where that may help. The answer may be that there is none to have.
    pub(crate) fn ask(&mut self, url: &Url, asked: Asked) -> Result<Answer, NetError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.follow(url, asked);
            let (again, stated) = match &answer {
                Ok(answer) => (
                    is_passing(answer.response.status().as_u16()),
                    stated_pause(answer.response.headers()),
                ),
                Err(Failed::Connection(error)) => (is_worth_another(error), None),
                Err(Failed::Refused(_)) => (false, None),
            };
            let pause = stated.unwrap_or_else(|| pause_after(tries));
            if !again || tries == TRIES || pause > PAUSE_MAX {
                return answer.map_err(|failed| failed.of(url));
            }
            if pause >= Duration::from_secs(5) {
                let (url, seconds) = (url.shown(), pause.as_secs());
                eprintln!("{url}: busy, asking again in {seconds} s");
            }
            thread::sleep(pause);
        }
    }

    /// Asks once, and whoever it is redirected to.
    fn follow(&mut self, url: &Url, asked: Asked) -> Result<Answer, Failed> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTIONS_MAX {
            let response = self.send(&url, asked)?;
            let is_told = matches!(asked, Asked::Head(is_told) if is_told(response.headers()));
            if !response.status().is_redirection() || is_told {
                return Ok(Answer { url, response });
            }
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|it| it.to_str().ok()).unwrap_or_default();
            let refuse = |why: &str| {
                Failed::Refused(NetError::Redirect {
                    url: url.shown(),
                    problem: format!("redirects to {:?}, {why}", shown(location)),
                })
            };
            let next = url.join(location);
            let next = next.ok_or_else(|| refuse("which is no address"))?;
            if !next.is_https() && (url.is_https() || self.home.is_https()) {
                return Err(refuse("without TLS"));
            }
            url = next;
        }
        Err(Failed::Refused(NetError::Redirect {
            url: url.shown(),
            problem: format!("redirects more than {REDIRECTIONS_MAX} times"),
        }))
    }

    fn send(&mut self, url: &Url, asked: Asked) -> Result<Response<Body>, Failed> {
        let method = match asked {
            Asked::Head(_) => Method::HEAD,
            Asked::All | Asked::From(_) => Method::GET,
        };
        let mut request = Request::builder().method(method).uri(url);
        // The length and the hash are of the file as it is.
        request = request.header(ACCEPT_ENCODING, "identity");
        if let Asked::From(offset) = asked {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        if let Some(token) = &self.token
            && url.origin() == self.home.origin()
        {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(())
            .map_err(|error| Failed::Connection(error.into()))?;
        self.agent(url).run(request).map_err(Failed::Connection)
    }

    /// Who speaks for this program there: directly, or through a proxy.
    fn agent(&mut self, url: &Url) -> &Agent {
        let proxy = self.proxies.of_url(url).cloned();
        let key = proxy.as_ref().map(|it| it.uri().to_string());
        let tls = &self.tls;
        self.agents
            .entry(key)
            .or_insert_with(|| agent(tls.clone(), proxy))
    }
}

/// How long to wait after that many tries.
pub(super) fn pause_after(tries: u32) -> Duration {
    PAUSE * 2_u32.saturating_pow(tries.saturating_sub(1))
}

/// Why a try has no answer.
enum Failed {
    Connection(ureq::Error),
    Refused(NetError),
}

impl Failed {
    fn of(self, url: &Url) -> NetError {
        match self {
            Self::Refused(error) => error,
            Self::Connection(error) => NetError::Unreachable {
                url: url.shown(),
                problem: error.to_string(),
            },
        }
    }
}

fn agent(tls: TlsConfig, proxy: Option<Proxy>) -> Agent {
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .user_agent(concat!("encoderfile/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        // Followed here, as to who gets the token.
        .max_redirects(0)
        .timeout_connect(Some(SILENCE_MAX))
        .timeout_recv_response(Some(SILENCE_MAX))
        .timeout_per_read(Some(SILENCE_MAX));
    config.build().new_agent()
}

/// Whether an answer is what was asked for; a range beyond the end is for [`body_from`].
pub(crate) fn is_good(answer: &Answer) -> bool {
    let status = answer.response.status();
    status.is_success() || status.is_redirection() || status.as_u16() == 416
}

/// Whether a status may be another the next time.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether a connection may come about the next time. Names that are not found and ports
/// that nobody listens on are what a machine without a network has; nor will a certificate be
/// another.
fn is_worth_another(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::TimedOut
                | ErrorKind::UnexpectedEof
        ),
        ureq::Error::Timeout(_) | ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

/// For how long the server asks not to be asked: `Retry-After`, or of the hub's
/// `RateLimit: "api";r=0;t=55` the last number.
pub(crate) fn stated_pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let limit = text("RateLimit").filter(|it| it.contains("r=0;"));
    let limit = limit.and_then(|it| it.rsplit_once(";t=")).map(|it| it.1);
    let seconds = text(RETRY_AFTER.as_str()).or(limit)?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// The length that an answer states.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a server says of an error in its body: `{"error": "…"}`.
pub(crate) fn said(response: &mut Response<Body>) -> String {
    let mut bytes = Vec::new();
    let body = response.body_mut().as_reader();
    if body.take(1 << 16).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    shown(body["error"].as_str().unwrap_or_default())
}

/// What a server said, as part of one line.
pub(crate) fn shown(text: &str) -> String {
    let text = text.chars().filter(|it| !it.is_control());
    text.take(MESSAGE_LEN_MAX).collect()
}

/// The body of an answer from `offset` on, or all of it from a server that has no such range.
pub(crate) fn body_from<E>(
    offset: u64,
    ask: &mut dyn FnMut(Asked) -> Result<Answer, E>,
) -> Result<Opened, E> {
    if offset == 0 {
        return Ok(ask(Asked::All)?.opened(0));
    }
    let answer = ask(Asked::From(offset))?;
    let status = answer.response.status();
    let is_part = status.as_u16() == 206;
    if is_part && range_start(answer.response.headers()) == Some(offset) {
        Ok(answer.opened(offset))
    } else if status.is_success() && !is_part {
        Ok(answer.opened(0))
    } else {
        Ok(ask(Asked::All)?.opened(0))
    }
}

impl Answer {
    fn opened(self, start: u64) -> Opened {
        let body = self.response.into_body().into_reader();
        Opened {
            start,
            body: Box::new(body),
        }
    }
}

/// Where the range of an answer begins: `bytes 100-199/200`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.parse().ok()
}

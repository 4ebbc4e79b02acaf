//! Asking a hub: redirections, the token, and asking again.
//!
//! **Invariants:** the token is sent to the endpoint and nobody else, whoever redirects; from
//! an endpoint with TLS nothing leads to an address without; every wait and every number of
//! tries has a bound.

use super::proxy::Proxies;
use super::reference::Reference;
use super::settings::{Settings, Token};
use super::url::Url;
use super::{HubError, files};
use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, LOCATION, RANGE, RETRY_AFTER,
};
use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

/// Of one request, before its error is the build's.
pub(super) const TRIES: u32 = 5;

/// The hub redirects once or twice.
const REDIRECTIONS_MAX: usize = 10;

/// A pause doubles from here with every try.
const PAUSE: Duration = Duration::from_millis(500);

/// The hub counts requests over five minutes; whoever is told to wait for longer does not.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// For a connection, the head of an answer, and each piece of its body.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The list of a model's files takes some 300 bytes for each.
const LIST_LEN_MAX: u64 = 64 << 20;

/// Of what a server says of an error.
const MESSAGE_LEN_MAX: usize = 300;

/// Who asks one hub.
pub(super) struct Client {
    endpoint: Url,
    token: Option<Token>,
    proxies: Proxies,
    agents: HashMap<Option<String>, Agent>,
    tls: TlsConfig,
    reference: Reference,
}

/// A request.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// The whole answer.
    All,
    /// What is from there on.
    From(u64),
    /// What the answer would be.
    Head,
}

/// An answer, and who gave it.
pub(super) struct Answer {
    pub(super) url: Url,
    pub(super) response: Response<Body>,
}

impl Client {
    pub(super) fn new(settings: &Settings, reference: &Reference) -> Result<Self, HubError> {
        // The platform's roots, because a company's proxy that looks into TLS has its own
        // there; `SSL_CERT_FILE` names others.
        let provider = rustls::crypto::ring::default_provider();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .build();
        Ok(Self {
            endpoint: settings.endpoint.clone(),
            token: settings.token.clone(),
            proxies: Proxies::from_environment()?,
            agents: HashMap::new(),
            tls,
            reference: reference.clone(),
        })
    }

    /// The commit of the reference, and its files.
    pub(super) fn list(&mut self) -> Result<files::List, HubError> {
        let mut parts = vec!["api", "models"];
        let reference = self.reference.clone();
        parts.extend(reference.id().split('/'));
        parts.extend(["revision", reference.revision()]);
        let url = self.endpoint.below(&parts);
        let url = url.and_then(|it| it.with_query("blobs=true"));
        let url = url.ok_or_else(|| self.no_address())?;
        let mut answer = self.ask(&url, Asked::All, None)?;
        let mut bytes = Vec::new();
        let body = answer.response.body_mut().as_reader();
        let read = body.take(LIST_LEN_MAX + 1).read_to_end(&mut bytes);
        let problem = match read {
            Err(error) => error.to_string(),
            Ok(_) if bytes.len() as u64 > LIST_LEN_MAX => {
                format!("its answer has more than {LIST_LEN_MAX} bytes")
            }
            Ok(_) => match files::List::parse(&bytes) {
                Ok(list) => return list.checked(&self.reference),
                Err(error) => format!("its answer is no list of files: {error}"),
            },
        };
        Err(HubError::Answer {
            url: url.shown(),
            problem,
        })
    }

    /// Where a file of a commit is.
    pub(super) fn file(&self, commit: &str, name: &str) -> Result<Url, HubError> {
        let mut parts: Vec<&str> = self.reference.id().split('/').collect();
        parts.extend(["resolve", commit]);
        parts.extend(name.split('/'));
        self.endpoint.below(&parts).ok_or_else(|| self.no_address())
    }

    fn no_address(&self) -> HubError {
        HubError::Variable {
            variable: "HF_ENDPOINT",
            problem: format!("{} has no addresses of files", self.endpoint),
        }
    }

    /// Asks, again where that may help, and gives the answer if it is a good one. `file` is
    /// what a missing one is called.
    pub(super) fn ask(
        &mut self,
        url: &Url,
        asked: Asked,
        file: Option<&str>,
    ) -> Result<Answer, HubError> {
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
                return self.finished(url, answer, file);
            }
            if pause >= Duration::from_secs(5) {
                let (url, seconds) = (url.shown(), pause.as_secs());
                eprintln!("{url}: busy, asking again in {seconds} s");
            }
            thread::sleep(pause);
        }
    }

    fn finished(
        &self,
        url: &Url,
        answer: Result<Answer, Failed>,
        file: Option<&str>,
    ) -> Result<Answer, HubError> {
        match answer {
            Ok(answer) if is_good(&answer) => Ok(answer),
            Ok(answer) => Err(self.refused(answer, file)),
            Err(Failed::Refused(error)) => Err(error),
            Err(Failed::Connection(error)) => Err(HubError::Unreachable {
                reference: self.reference.clone(),
                url: url.shown(),
                problem: error.to_string(),
            }),
        }
    }

    /// Asks once, and whoever it is redirected to.
    fn follow(&mut self, url: &Url, asked: Asked) -> Result<Answer, Failed> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTIONS_MAX {
            let response = self.send(&url, asked)?;
            // What a file is, whoever has it, is said by the hub alone.
            let is_told = matches!(asked, Asked::Head) && files::Remote::is_told(&response);
            if !response.status().is_redirection() || is_told {
                return Ok(Answer { url, response });
            }
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|it| it.to_str().ok()).unwrap_or_default();
            let refuse = |why: &str| {
                Failed::Refused(HubError::Redirect {
                    url: url.shown(),
                    problem: format!("redirects to {:?}, {why}", shown(location)),
                })
            };
            let next = url.join(location);
            let next = next.ok_or_else(|| refuse("which is no address"))?;
            if !next.is_https() && (url.is_https() || self.endpoint.is_https()) {
                return Err(refuse("without TLS"));
            }
            url = next;
        }
        Err(Failed::Refused(HubError::Redirect {
            url: url.shown(),
            problem: format!("redirects more than {REDIRECTIONS_MAX} times"),
        }))
    }

    fn send(&mut self, url: &Url, asked: Asked) -> Result<Response<Body>, Failed> {
        let method = match asked {
            Asked::Head => Method::HEAD,
            Asked::All | Asked::From(_) => Method::GET,
        };
        let mut request = Request::builder().method(method).uri(url);
        // The length and the hash are of the file as it is.
        request = request.header(ACCEPT_ENCODING, "identity");
        if let Asked::From(offset) = asked {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        if let Some(token) = &self.token
            && url.origin() == self.endpoint.origin()
        {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.secret));
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

    /// What an answer that is no good one means.
    fn refused(&self, mut answer: Answer, file: Option<&str>) -> HubError {
        let header = |name: &str| {
            let value = answer.response.headers().get(name);
            value
                .and_then(|it| it.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let (code, message) = (header("X-Error-Code"), header("X-Error-Message"));
        let reference = self.reference.clone();
        let endpoint = self.endpoint.to_string();
        let with_token = self.token.is_some();
        let no_model = HubError::NoModel {
            reference: reference.clone(),
            endpoint: endpoint.clone(),
            with_token,
        };
        let status = answer.response.status().as_u16();
        // Of whoever it redirects to, a 404 says nothing of the model.
        let is_hub = answer.url.origin() == self.endpoint.origin();
        match (&*code, status, &self.token) {
            ("GatedRepo", ..) => HubError::Gated {
                reference,
                endpoint,
                with_token,
            },
            ("RevisionNotFound", ..) => HubError::NoRevision { reference },
            ("EntryNotFound", ..) if file.is_some() => HubError::NoFile {
                reference,
                file: file.unwrap_or_default().to_owned(),
            },
            // Which is also said where it is not gated: a token that is no longer valid.
            (_, 401, Some(token)) if message.starts_with("Invalid credentials") => {
                HubError::Token {
                    reference,
                    endpoint,
                    token_source: token.source.clone(),
                }
            }
            ("RepoNotFound", ..) => no_model,
            (_, 401 | 404, _) if is_hub => no_model,
            (_, 429, _) => HubError::RateLimit {
                url: answer.url.shown(),
                seconds: stated_pause(answer.response.headers()).map(|it| it.as_secs()),
            },
            _ => HubError::Status {
                url: answer.url.shown(),
                status,
                message: match message.is_empty() {
                    true => said(&mut answer.response),
                    false => shown(&message),
                },
            },
        }
    }
}

/// How long to wait after that many tries.
pub(super) fn pause_after(tries: u32) -> Duration {
    PAUSE * 2_u32.saturating_pow(tries.saturating_sub(1))
}

/// Why there is no answer.
enum Failed {
    Connection(ureq::Error),
    Refused(HubError),
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

/// Whether an answer is what was asked for; a range beyond the end is for the caller.
fn is_good(answer: &Answer) -> bool {
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
fn stated_pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let limit = text("RateLimit").filter(|it| it.contains("r=0;"));
    let limit = limit.and_then(|it| it.rsplit_once(";t=")).map(|it| it.1);
    let seconds = text(RETRY_AFTER.as_str()).or(limit)?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// The length that an answer states.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a server says of an error in its body: `{"error": "…"}`.
fn said(response: &mut Response<Body>) -> String {
    let mut bytes = Vec::new();
    let body = response.body_mut().as_reader();
    if body.take(1 << 16).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    shown(body["error"].as_str().unwrap_or_default())
}

/// What a server said, as part of one line.
fn shown(text: &str) -> String {
    let text = text.chars().filter(|it| !it.is_control());
    text.take(MESSAGE_LEN_MAX).collect()
}

//! Asking a hub, and what its refusals mean.

use super::reference::Reference;
use super::settings::{Settings, Token};
use super::{HubError, files};
use crate::net::{self, Answer, Asked, Url, is_good, said, shown, stated_pause};
use std::io::Read;

/// The list of a model's files takes some 300 bytes for each.
const LIST_LEN_MAX: u64 = 64 << 20;

/// Who asks one hub for one model.
pub(super) struct Client {
    net: net::Client,
    endpoint: Url,
    token: Option<Token>,
    reference: Reference,
}

impl Client {
    pub(super) fn new(settings: &Settings, reference: &Reference) -> Result<Self, HubError> {
        let secret = settings.token.as_ref().map(|it| it.secret.clone());
        let net = net::Client::new(settings.endpoint.clone(), secret);
        Ok(Self {
            net: net.map_err(|error| HubError::of_net(error, reference))?,
            endpoint: settings.endpoint.clone(),
            token: settings.token.clone(),
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

    /// The answer, if it is a good one. `file` is what a missing one is called.
    pub(super) fn ask(
        &mut self,
        url: &Url,
        asked: Asked,
        file: Option<&str>,
    ) -> Result<Answer, HubError> {
        match self.net.ask(url, asked) {
            Ok(answer) if is_good(&answer) => Ok(answer),
            Ok(answer) => Err(self.refused(answer, file)),
            Err(error) => Err(HubError::of_net(error, &self.reference)),
        }
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

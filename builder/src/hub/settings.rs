//! Which hub, with which token, and where its files are kept: environment variables, as
//! `huggingface_hub` reads them.

use super::HubError;
use crate::net::{Url, without_login};
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const ENDPOINT: &str = "https://huggingface.co";

/// Whether anything is downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// What is missing.
    Allowed,
    /// Nothing, as somebody says.
    Forbidden(&'static str),
}

/// A token, and who says it.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) secret: String,
    pub(super) source: String,
}

/// Never in a log.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token of {}", self.source)
    }
}

/// Which hub, with which token, and where its files are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) endpoint: Url,
    pub(super) token: Option<Token>,
    pub(super) cache: PathBuf,
    pub(super) network: Network,
}

impl Settings {
    /// What the environment says.
    ///
    /// # Errors
    /// [`HubError`] for a variable that makes no sense, a token file that cannot be read,
    /// and where no variable says where files are kept.
    pub fn from_environment() -> Result<Self, HubError> {
        Self::of(&|name| env::var_os(name).filter(|it| !it.is_empty()))
    }

    /// The same with nothing downloaded.
    #[must_use]
    pub fn offline(self, why: &'static str) -> Self {
        Self {
            network: Network::Forbidden(why),
            ..self
        }
    }

    fn of(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, HubError> {
        let path = |name: &str| variable(name).map(|it| expanded(PathBuf::from(it)));
        let home = match (path("HF_HOME"), path("XDG_CACHE_HOME")) {
            (Some(home), _) => Some(home),
            (None, Some(cache)) => Some(cache.join("huggingface")),
            (None, None) => env::home_dir().map(|it| it.join(".cache/huggingface")),
        };
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| Some(home.as_ref()?.join("hub")));
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
        let offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
        let offline = offline.into_iter().find(|name| is_set(variable(name)));
        Ok(Self {
            endpoint: endpoint(variable("HF_ENDPOINT"))?,
            token: token(variable, token_file.as_deref())?,
            cache: cache.ok_or(HubError::NoHome)?,
            network: offline.map_or(Network::Allowed, Network::Forbidden),
        })
    }
}

fn endpoint(value: Option<OsString>) -> Result<Url, HubError> {
    let value = value.map_or(ENDPOINT.into(), |it| it.to_string_lossy().into_owned());
    let url = Url::parse(value.trim_end_matches('/'));
    url.ok_or_else(|| HubError::Variable {
        variable: "HF_ENDPOINT",
        problem: format!(
            "{:?} is no address that begins with https:// or http:// and has no name and password",
            without_login(&value)
        ),
    })
}

/// `HF_TOKEN`, or the file that `hf auth login` writes.
fn token(
    variable: &dyn Fn(&str) -> Option<OsString>,
    file: Option<&Path>,
) -> Result<Option<Token>, HubError> {
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        if let Some(value) = variable(name) {
            return token_of(&value.to_string_lossy(), name.into());
        }
    }
    let Some(path) = file.filter(|_| !is_set(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) else {
        return Ok(None);
    };
    match fs::read_to_string(path) {
        Ok(text) => token_of(&text, path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HubError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

fn token_of(text: &str, source: String) -> Result<Option<Token>, HubError> {
    let secret = text.trim();
    if !secret.bytes().all(|it| it.is_ascii_graphic()) {
        return Err(HubError::Variable {
            variable: "HF_TOKEN",
            problem: format!("what {source} holds is no token"),
        });
    }
    Ok((!secret.is_empty()).then(|| Token {
        secret: secret.to_owned(),
        source,
    }))
}

fn is_set(value: Option<OsString>) -> bool {
    let value = value.map(|it| it.to_string_lossy().to_ascii_uppercase());
    value.is_some_and(|it| ["1", "ON", "YES", "TRUE"].contains(&&*it))
}

/// A path that begins with `~`, for what no shell has expanded.
fn expanded(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Settings, HubError> {
        Settings::of(&|name| {
            let found = variables.iter().find(|it| it.0 == name);
            found.map(|it| it.1.into())
        })
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let home = env::home_dir().unwrap();
        for (variables, cache) in [
            (&[][..], home.join(".cache/huggingface/hub")),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub".into()),
            (
                &[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")],
                "/h/hub".into(),
            ),
            (&[("HF_HOME", "~/h")], home.join("h/hub")),
            (
                &[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/l")],
                "/l".into(),
            ),
            (
                &[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/l")],
                "/c".into(),
            ),
        ] {
            // No token file of this machine's user is read.
            let variables = [variables, &[("HF_TOKEN", "t")]].concat();
            assert_eq!(of(&variables).unwrap().cache, cache, "{variables:?}");
        }
    }

    #[test]
    fn a_token_is_of_the_variable_or_else_the_file_of_the_login() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let secret = |variables: &[(&str, &str)]| {
            let variables = [variables, &[("HF_HOME", home)]].concat();
            of(&variables).map(|it| it.token.map(|it| it.secret))
        };
        assert_eq!(secret(&[]).unwrap(), None);
        fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        assert_eq!(secret(&[]).unwrap().unwrap(), "hf_file");
        assert_eq!(secret(&[("HF_TOKEN", " hf_x ")]).unwrap().unwrap(), "hf_x");
        assert_eq!(
            secret(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).unwrap(),
            None
        );
        let error = secret(&[("HF_TOKEN", "a\nb")]).unwrap_err().to_string();
        assert!(
            !error.contains("a\nb") && error.contains("HF_TOKEN"),
            "{error}"
        );
        let settings = of(&[("HF_HOME", home)]).unwrap();
        assert!(!format!("{settings:?}").contains("hf_file"));
    }

    #[test]
    fn only_an_address_is_an_endpoint() {
        for value in ["huggingface.co", "ftp://x", "https://", "https://a b"] {
            let error = of(&[("HF_ENDPOINT", value)]).unwrap_err().to_string();
            assert!(
                error.contains("HF_ENDPOINT") && error.contains(value),
                "{error}"
            );
        }
        let login = [("HF_ENDPOINT", "https://me:secret@mirror")];
        let error = of(&login).unwrap_err().to_string();
        assert!(
            error.contains("mirror") && !error.contains("secret"),
            "{error}"
        );
        let endpoint = of(&[("HF_ENDPOINT", "https://mirror/hub/")])
            .unwrap()
            .endpoint;
        assert_eq!(endpoint.to_string(), "https://mirror/hub");
    }

    #[test]
    fn offline_is_said_as_huggingface_hub_reads_it() {
        for (value, is_offline) in [("1", true), ("true", true), ("on", true), ("0", false)] {
            let network = of(&[("HF_HUB_OFFLINE", value)]).unwrap().network;
            assert_eq!(network != Network::Allowed, is_offline, "{value}");
        }
    }
}

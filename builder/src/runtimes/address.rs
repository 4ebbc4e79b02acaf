//! Where a release is: a server, or a folder for networks that are closed.

use super::error::RuntimeError;
use super::{ADDRESS_VARIABLE, of_file};
use crate::net::{self, Answer, Asked, NetError, Opened, Url, body_from, is_good};
use percent_encoding::percent_decode_str;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// The folder of one version.
pub(super) enum Address {
    /// On this machine.
    Folder(PathBuf),
    /// On a server.
    Server(Box<Server>),
}

pub(super) struct Server {
    client: net::Client,
    folder: Url,
}

impl Address {
    /// The folder of a version below an address: `https://…`, `http://…`, `file://…`, or a path.
    pub(super) fn parse(text: &str, version: &str) -> Result<Self, RuntimeError> {
        let folder = format!("v{version}");
        let wrong = || RuntimeError::Address {
            text: net::without_login(text),
        };
        if let Some(path) = text.strip_prefix("file://") {
            let path = percent_decode_str(path.strip_prefix("localhost").unwrap_or(path));
            let path = path.decode_utf8().map_err(|_| wrong())?;
            // A drive has a slash before it: `file:///C:/…`.
            let drive = path.strip_prefix('/').filter(|_| cfg!(windows));
            return Ok(Self::Folder(
                PathBuf::from(drive.unwrap_or(&path)).join(folder),
            ));
        }
        if !text.contains("://") {
            return Ok(Self::Folder(PathBuf::from(text).join(folder)));
        }
        let url = Url::parse(text.trim_end_matches('/')).ok_or_else(wrong)?;
        let folder = url.below(&[&folder]).ok_or_else(wrong)?;
        let client = net::Client::new(url, None)?;
        Ok(Self::Server(Box::new(Server { client, folder })))
    }

    /// What a file is called in messages.
    pub(super) fn place(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Server(server) => format!("{}/{name}", server.folder.shown()),
        }
    }

    /// A file from `offset` on, or all of it.
    pub(super) fn open(&mut self, name: &str, offset: u64) -> Result<Opened, RuntimeError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let opened = File::open(&path).and_then(|mut file| {
                    file.seek(SeekFrom::Start(offset))?;
                    Ok(file)
                });
                match opened {
                    Ok(file) => Ok(Opened {
                        start: offset,
                        body: Box::new(file),
                    }),
                    Err(error) if error.kind() == ErrorKind::NotFound => Err(not_there(self, name)),
                    Err(source) => Err(of_file(&path, source)),
                }
            }
            Self::Server(server) => body_from(offset, &mut |asked| server.ask(name, asked)),
        }
    }

    /// A file of at most so many bytes.
    pub(super) fn read(&mut self, name: &str, length_max: u64) -> Result<Vec<u8>, RuntimeError> {
        let mut body = self.open(name, 0)?.body.take(length_max + 1);
        let mut bytes = Vec::new();
        let problem = match body.read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 <= length_max => return Ok(bytes),
            Ok(_) => format!("has more than {length_max} bytes"),
            Err(error) => error.to_string(),
        };
        Err(RuntimeError::Content {
            place: self.place(name),
            problem,
        })
    }
}

impl Server {
    fn ask(&mut self, name: &str, asked: Asked) -> Result<Answer, RuntimeError> {
        let url = self.folder.below(&[name]);
        let url = url.ok_or_else(|| RuntimeError::Address {
            text: self.folder.to_string(),
        })?;
        let answer = self.client.ask(&url, asked)?;
        match answer.response.status().as_u16() {
            _ if is_good(&answer) => Ok(answer),
            404 => Err(RuntimeError::NotThere {
                place: url.shown(),
                variable: ADDRESS_VARIABLE,
            }),
            status => Err(RuntimeError::Status {
                url: answer.url.shown(),
                status,
            }),
        }
    }
}

fn not_there(address: &Address, name: &str) -> RuntimeError {
    RuntimeError::NotThere {
        place: address.place(name),
        variable: ADDRESS_VARIABLE,
    }
}

impl From<NetError> for RuntimeError {
    fn from(error: NetError) -> Self {
        Self::Net(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<String, String> {
        let address = Address::parse(text, "1.2.3").map_err(|it| it.to_string())?;
        Ok(address.place("SHA256SUMS"))
    }

    #[test]
    fn an_address_is_a_server_or_a_folder() {
        for (text, expected) in [
            (
                "https://example.org/a",
                "https://example.org/a/v1.2.3/SHA256SUMS",
            ),
            (
                "http://127.0.0.1:80/",
                "http://127.0.0.1:80/v1.2.3/SHA256SUMS",
            ),
            ("/mnt/releases", "/mnt/releases/v1.2.3/SHA256SUMS"),
            ("releases", "releases/v1.2.3/SHA256SUMS"),
            ("file:///mnt/my%20disk", "/mnt/my disk/v1.2.3/SHA256SUMS"),
            ("file://localhost/mnt", "/mnt/v1.2.3/SHA256SUMS"),
        ] {
            let expected = expected.replace('/', std::path::MAIN_SEPARATOR_STR);
            let shown = place(text)
                .unwrap()
                .replace('/', std::path::MAIN_SEPARATOR_STR);
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn no_other_scheme_is_an_address() {
        for text in [
            "ftp://example.org",
            "https://",
            "https://me:secret@example.org",
            "file://%ff",
        ] {
            let error = place(text).unwrap_err();
            assert!(error.contains(ADDRESS_VARIABLE), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

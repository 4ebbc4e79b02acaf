//! `SHA256SUMS`: what a release consists of, and who says so.

use super::address::Address;
use super::error::RuntimeError;
use super::of_file;
use crate::net::write;
use minisign::{PublicKey, SignatureBox};
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// The list, as `sha256sum` writes it.
const LIST: &str = "SHA256SUMS";

/// Its signature, as `minisign` writes it.
const SIGNATURE: &str = "SHA256SUMS.minisig";

/// Of either.
const LEN_MAX: u64 = 1 << 20;

/// The files of a release, whose list has been verified.
pub(super) struct Sums {
    list: Vec<u8>,
    signature: Vec<u8>,
    /// By name.
    hashes: BTreeMap<String, String>,
}

impl Sums {
    /// The list that a cache has, if it is valid.
    pub(super) fn in_folder(folder: &Path, key: &str, version: &str) -> Option<Self> {
        let list = fs::read(folder.join(LIST)).ok()?;
        let signature = fs::read(folder.join(SIGNATURE)).ok()?;
        Self::verified(list, signature, key, version).ok()
    }

    /// The list of a release.
    pub(super) fn fetch(
        address: &mut Address,
        key: &str,
        version: &str,
    ) -> Result<Self, RuntimeError> {
        let list = address.read(LIST, LEN_MAX)?;
        let signature = match address.read(SIGNATURE, LEN_MAX) {
            Err(RuntimeError::NotThere { .. }) => Err("there is no signature beside it".into()),
            read => Ok(read?),
        };
        let sums = signature.and_then(|it| Self::verified(list, it, key, version));
        sums.map_err(|problem| RuntimeError::Signature {
            place: address.place(LIST),
            problem,
        })
    }

    /// Refuses a list that is not signed by that key for that version; says why.
    fn verified(
        list: Vec<u8>,
        signature: Vec<u8>,
        key: &str,
        version: &str,
    ) -> Result<Self, String> {
        let public = PublicKey::from_base64(key);
        let public = public.map_err(|_| format!("this tool's key is none: {key}"))?;
        let signed = SignatureBox::from_string(&String::from_utf8_lossy(&signature));
        let signed = signed.map_err(|_| "its signature is none of minisign's".to_owned())?;
        if signed.keynum() != public.keynum() {
            return Err(format!(
                "signed with another key than {key}, which this tool trusts: of an older or another release"
            ));
        }
        minisign::verify(&public, &signed, Cursor::new(&list), true, false, false)
            .map_err(|_| format!("its signature by {key} is not valid"))?;
        let expected = comment(version);
        let said = signed.trusted_comment().unwrap_or_default();
        if said != expected {
            return Err(format!("signed as {said:?}, not as {expected:?}"));
        }
        let hashes = parse(&list).ok_or("it is no list of SHA-256 hashes and names")?;
        Ok(Self {
            list,
            signature,
            hashes,
        })
    }

    /// Keeps it in a cache, the signature last.
    pub(super) fn keep(&self, folder: &Path) -> Result<(), RuntimeError> {
        for (name, bytes) in [(LIST, &self.list), (SIGNATURE, &self.signature)] {
            let path = folder.join(name);
            write(&path, bytes).map_err(|source| of_file(&path, source))?;
        }
        Ok(())
    }

    /// The SHA-256 of a file, in hexadecimal.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.hashes.get(name).map(String::as_str)
    }

    /// The targets of its base programs.
    pub(super) fn programs(&self) -> Vec<&str> {
        let names = self.hashes.keys();
        let targets = names.filter_map(|it| it.strip_prefix("encoderfile-runtime-"));
        targets
            .map(|it| it.trim_end_matches(".exe").trim_end_matches(".wasm"))
            .collect()
    }
}

/// What a release's signature says of it: a list of one version is none of another.
fn comment(version: &str) -> String {
    format!("encoderfile {version}")
}

/// Lines of 64 hexadecimal digits, two spaces or a space and an asterisk, and a name.
fn parse(list: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = std::str::from_utf8(list).ok()?;
    let line = |line: &str| {
        let (hash, name) = line.split_once([' '])?;
        let name = name.strip_prefix([' ', '*'])?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|it| it.is_ascii_hexdigit());
        is_hash.then(|| (name.to_owned(), hash.to_ascii_lowercase()))
    };
    text.lines().map(line).collect()
}

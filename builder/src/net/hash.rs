//! The hashes that files are announced with.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

/// What a file holds, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// Of its content.
    Sha256(String),
    /// As git does it.
    GitBlob(String),
}

impl Hash {
    /// Of bytes in memory.
    pub(crate) fn sha256(bytes: &[u8]) -> Self {
        Self::Sha256(hexadecimal(&Sha256::digest(bytes)))
    }

    pub(crate) fn name(&self) -> &str {
        let (Self::Sha256(name) | Self::GitBlob(name)) = self;
        name
    }

    /// The same hash of a file.
    pub(crate) fn compute(&self, file: &mut File) -> io::Result<String> {
        let length = file.metadata()?.len();
        Ok(match self {
            Self::Sha256(_) => hash_of(Sha256::new(), file)?,
            Self::GitBlob(_) => hash_of(Sha1::new_with_prefix(format!("blob {length}\0")), file)?,
        })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(name) => write!(f, "SHA-256 {name}"),
            Self::GitBlob(name) => write!(f, "git blob {name}"),
        }
    }
}

fn hash_of(mut hasher: impl Digest, file: &mut File) -> io::Result<String> {
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            length => hasher.update(&chunk[..length]),
        }
    }
    Ok(hexadecimal(&hasher.finalize()))
}

/// Lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A SHA-256 of hexadecimal digits in lower case.
pub(crate) fn sha256_of(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    (hexadecimal(&hash) == text).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sha256_is_64_digits_in_lower_case() {
        let text = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(sha256_of(text).map(|it| hexadecimal(&it)).unwrap(), text);
        let upper = text.to_uppercase();
        let longer = format!("{text}0");
        for other in ["", &text[1..], &longer, &upper, &text.replace("58", "+8")] {
            assert_eq!(sha256_of(other), None, "{other}");
        }
    }

    /// `git hash-object` and `sha256sum` of `hello\n`.
    #[test]
    fn a_file_is_hashed_as_git_and_lfs_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, "hello\n").unwrap();
        for (hash, expected) in [
            (
                Hash::GitBlob(String::new()),
                "ce013625030ba8dba906f756967f9e9ca394464a",
            ),
            (
                Hash::Sha256(String::new()),
                "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
            ),
        ] {
            let computed = hash.compute(&mut File::open(&path).unwrap());
            assert_eq!(computed.unwrap(), expected);
        }
    }
}

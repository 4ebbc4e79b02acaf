//! What a tool knows of the release that it is of: where it is, who signs it, and the hash of each
//! base program in it.
//!
//! `cargo xtask release` writes that as a `release.json`. Tools that it assembles have it in their
//! payload, and the crate that it packs has it in place of the one here, for the tools that cargo
//! installs.

use crate::net::sha256_of;
use anyhow::Context;
use encoderfile::manifest::{Release, ReleasedProgram};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Of this crate's folder: empty, unless a release packed it.
const COMPILED_IN: &str = include_str!("../release.json");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    address: String,
    public_key: String,
    /// By target.
    bases: BTreeMap<String, Base>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Base {
    length: u64,
    sha256: String,
}

/// Reads a `release.json`.
///
/// # Errors
/// [`serde_json::Error`] where it is none, and a message alone for what is no SHA-256.
pub fn parse(json: &str) -> anyhow::Result<Release> {
    let description: Description = serde_json::from_str(json)?;
    let program = |(target, base): (String, Base)| {
        let sha256 = sha256_of(&base.sha256);
        let sha256 = sha256.with_context(|| format!("bases.{target}.sha256: no SHA-256"))?;
        let length = base.length;
        Ok(ReleasedProgram {
            target,
            length,
            sha256,
        })
    };
    let programs: anyhow::Result<_> = description.bases.into_iter().map(program).collect();
    Ok(Release {
        address: description.address,
        public_key: description.public_key,
        programs: programs?,
    })
}

/// What was compiled into this tool; `None` where no release packed it.
pub(crate) fn compiled_in() -> Option<Release> {
    let release = parse(COMPILED_IN).ok()?;
    (!release.public_key.is_empty()).then_some(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_in_the_source_is_of_no_release() {
        let release = parse(COMPILED_IN).unwrap();
        assert_eq!(release, Release::default());
        assert_eq!(compiled_in(), None);
    }

    #[test]
    fn each_base_is_known_by_its_target() {
        let json = |sha256: &str| {
            format!(
                r#"{{
                    "address": "https://example.org/releases", "public_key": "RWQ",
                    "bases": {{"wasm32-wasip1": {{"length": 12, "sha256": "{sha256}"}}}}
                }}"#
            )
        };
        let release = parse(&json(&"ab".repeat(32))).unwrap();
        assert_eq!(release.address, "https://example.org/releases");
        assert_eq!(release.public_key, "RWQ");
        let program = ReleasedProgram {
            target: "wasm32-wasip1".into(),
            length: 12,
            sha256: [0xab; 32],
        };
        assert_eq!(release.programs, [program]);
        let error = parse(&json("ab")).unwrap_err().to_string();
        assert_eq!(error, "bases.wasm32-wasip1.sha256: no SHA-256");
    }
}

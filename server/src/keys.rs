//! The keys that requests must carry.

use crate::settings::Access;
use anyhow::{Context, ensure};
use std::fs;
use subtle::{Choice, ConstantTimeEq};

/// Known keys; none at all means that everybody may ask.
pub(crate) struct Keys(Vec<String>);

impl Keys {
    /// Those of the settings and of the file that they name.
    pub(crate) fn load(access: &Access) -> anyhow::Result<Self> {
        let mut keys = access.api_key.clone();
        if let Some(path) = &access.api_key_file {
            let name = path.display();
            let text = fs::read_to_string(path).with_context(|| format!("{name}"))?;
            let lines = text.lines().map(str::trim);
            let found = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            let before = keys.len();
            keys.extend(found.map(str::to_owned));
            ensure!(keys.len() > before, "{name}: no keys in it");
        }
        for key in &keys {
            ensure!(
                !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()),
                "an API key is empty or has characters that no header carries"
            );
        }
        Ok(Self(keys))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which key it is. Takes as long whichever key of the same length it is, and if it is
    /// none; how long the keys are can be timed.
    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        let mut found = None;
        for (index, known) in self.0.iter().enumerate() {
            let equal: Choice = known.as_bytes().ct_eq(key.as_bytes());
            if bool::from(equal) {
                found = Some(index);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn a_key_is_found_only_as_a_whole() {
        let keys = Keys(vec!["first".into(), "second".into()]);
        assert_eq!(keys.find("first"), Some(0));
        assert_eq!(keys.find("second"), Some(1));
        for wrong in ["", "firs", "firstt", "First", "secon"] {
            assert_eq!(keys.find(wrong), None, "{wrong:?}");
        }
    }
}

//! What a wheel of a model is called: the name of its file, of the distribution that is installed,
//! and of the package that is imported.

use encoderfile::manifest::Manifest;
use fancy_regex::Regex;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A version of a Python package (PEP 440) as it is written normalised.
static VERSION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern =
        r"^(\d+!)?\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9]+(\.[a-z0-9]+)*)?$";
    Regex::new(pattern).ok()
});

/// Words that no module can be called.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// The names of a wheel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelName {
    package: String,
    version: String,
}

/// A model that no Python package can be called after.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No letter or digit in it.
    #[error("no Python package can be called {name:?}: say --name NAME, with letters or digits")]
    Name {
        /// The model's.
        name: String,
    },
    /// One that would take the place of what reads it.
    #[error(
        "a Python package of that name, {name:?}, would replace encoderfile's own: say --name NAME"
    )]
    Taken {
        /// The model's.
        name: String,
    },
    /// Not one of PEP 440.
    #[error(
        "no Python package can have the version {version:?}: say --model-version X, as in 1.0, 1.0rc1 or 1.0+local (PEP 440)"
    )]
    Version {
        /// The model's.
        version: String,
    },
    /// Of another file.
    #[error("a wheel is installed by its name: this one has to be {expected}")]
    File {
        /// The name that it has to have.
        expected: String,
    },
}

impl WheelName {
    /// The names for what a file says of itself.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn of(manifest: &Manifest) -> Result<Self, NameError> {
        Self::new(&manifest.name, &manifest.version)
    }

    /// The names for a model of that name and version.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn new(name: &str, version: &str) -> Result<Self, NameError> {
        let is_version = VERSION
            .as_ref()
            .is_some_and(|it| it.is_match(version).unwrap_or(false));
        if !is_version {
            let version = version.to_owned();
            return Err(NameError::Version { version });
        }
        Ok(Self {
            package: package(name)?,
            version: version.to_owned(),
        })
    }

    /// `minilm-0.1.0-py3-none-any.whl`
    pub fn file(&self) -> PathBuf {
        let Self { package, version } = self;
        format!("{package}-{version}-py3-none-any.whl").into()
    }

    /// Refuses a file that pip would refuse to install: it reads the name.
    ///
    /// # Errors
    /// [`NameError::File`].
    pub fn check(&self, file: &Path) -> Result<(), NameError> {
        let expected = self.file();
        if file.file_name() == Some(expected.as_os_str()) {
            return Ok(());
        }
        let expected = expected.display().to_string();
        Err(NameError::File { expected })
    }

    /// What is installed: `all-minilm-l6-v2`.
    pub fn distribution(&self) -> String {
        self.package.replace('_', "-")
    }

    /// What is imported: `all_minilm_l6_v2`.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// As it was.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn in_package(&self, file: &str) -> String {
        format!("{}/{file}", self.package)
    }

    pub(super) fn in_info(&self, file: &str) -> String {
        let Self { package, version } = self;
        format!("{package}-{version}.dist-info/{file}")
    }
}

/// The last part of a name as an identifier, which is also how a wheel's file has to spell a
/// distribution's name.
fn package(name: &str) -> Result<String, NameError> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let words = last.split(|it: char| !it.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let package = words.join("_").to_ascii_lowercase();
    if package.is_empty() {
        return Err(NameError::Name { name: name.into() });
    }
    if package == "encoderfile" || package == "numpy" {
        return Err(NameError::Taken { name: name.into() });
    }
    let begins_so = package.starts_with(|it: char| it.is_ascii_digit());
    Ok(match begins_so || KEYWORDS.contains(&&*package) {
        true => format!("model_{package}"),
        false => package,
    })
}

#[cfg(test)]
mod tests {
    use super::{NameError, WheelName};

    #[test]
    fn names_are_those_of_packages() {
        for (name, package, distribution) in [
            ("all-MiniLM-L6-v2", "all_minilm_l6_v2", "all-minilm-l6-v2"),
            ("org/bge.small  en", "bge_small_en", "bge-small-en"),
            ("5-tiny", "model_5_tiny", "model-5-tiny"),
            ("class", "model_class", "model-class"),
        ] {
            let wheel = WheelName::new(name, "0.1.0").unwrap();
            assert_eq!(wheel.package(), package);
            assert_eq!(wheel.distribution(), distribution);
        }
        let file = WheelName::new("a-b", "1.0rc1").unwrap().file();
        assert_eq!(file.to_str(), Some("a_b-1.0rc1-py3-none-any.whl"));
    }

    #[test]
    fn what_python_cannot_install_is_refused() {
        for name in ["", "---", "模型"] {
            let error = WheelName::new(name, "0.1.0");
            assert!(matches!(error, Err(NameError::Name { .. })), "{name}");
        }
        let error = WheelName::new("Encoderfile", "0.1.0");
        assert!(matches!(error, Err(NameError::Taken { .. })));
        for version in ["", "1.0-rc.1", "v1", "1.0 ", "latest", "1.0+A"] {
            let error = WheelName::new("a", version);
            assert!(matches!(error, Err(NameError::Version { .. })), "{version}");
        }
        for version in ["1", "2024.5", "1.0.post1", "1.0.dev3", "1!2.0", "1.0+cpu.2"] {
            assert!(WheelName::new("a", version).is_ok(), "{version}");
        }
    }
}

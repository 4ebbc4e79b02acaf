//! What a file says it was built of, beside the model's files.

use super::Settings;
use crate::assemble::Identity;
use crate::error::BuildError;
use crate::fingerprint::{Material, fingerprint};
use crate::folder::Overrides;
use crate::precision::Precision;
use encoderfile::manifest::{BuildOption, Compute, TruncationSide, TruncationStrategy};
use encoderfile::weights::WeightsEncoding;

/// The version of a model that nobody has said one of.
pub(crate) const FIRST_VERSION: &str = "0.1.0";

impl Settings {
    /// What the model is called, which is what its origin calls it if nobody says, and what it is
    /// made of.
    pub(super) fn identity(
        &self,
        name: &str,
        version: &str,
        material: Material<'_>,
    ) -> Result<Identity, BuildError> {
        let name = self.name.as_deref().unwrap_or(name);
        let version = self.version.as_deref().unwrap_or(version);
        let options = self.options();
        Ok(Identity {
            fingerprint: fingerprint(name, version, &options, material)?.to_vec(),
            name: name.to_owned(),
            version: version.to_owned(),
            source: match material {
                Material::Files(_) => None,
                Material::Commit { source, .. } => Some(source.clone()),
            },
            options,
        })
    }

    /// The fingerprint of the file that these settings, which have a name, make of that material;
    /// nothing is built for it.
    ///
    /// # Errors
    /// [`BuildError`] for a file of the material that cannot be read.
    pub fn fingerprint(&self, material: Material<'_>) -> Result<Vec<u8>, BuildError> {
        let identity = self.identity("", FIRST_VERSION, material)?;
        Ok(identity.fingerprint)
    }

    /// What changes the result beside the model's files, its name and its version. A file with the
    /// same options is taken for up to date, so that every field has to be looked at here.
    fn options(&self) -> Vec<BuildOption> {
        let Self {
            origin: _,
            target: _,
            base: _,
            precompile: _,
            snapshot: _,
            output: _,
            name: _,
            version: _,
            overrides,
            precision,
        } = self;
        let Overrides {
            task,
            tasks_as_stated,
            max_length,
            truncation_side,
            truncation_strategy,
            license,
        } = overrides;
        let others: String = tasks_as_stated
            .iter()
            .map(|it| format!(" or {}", it.name()))
            .collect();
        let options = [
            ("task", task.map(|it| format!("{}{others}", it.name()))),
            ("max_length", max_length.map(|it| it.to_string())),
            (
                "truncation_side",
                truncation_side.map(named(TruncationSide::name)),
            ),
            (
                "truncation_strategy",
                truncation_strategy.map(named(TruncationStrategy::name)),
            ),
            ("license", license.clone()),
        ];
        let options = options.into_iter().chain(of_precision(precision));
        let given = options.filter_map(|(name, value)| {
            Some(BuildOption {
                name: name.to_owned(),
                value: value?,
            })
        });
        given.collect()
    }
}

/// What changes a file's precision. What is so unless it is said is no option.
fn of_precision(precision: &Precision) -> [(&'static str, Option<String>); 6] {
    let Precision {
        weights,
        rules,
        target_size,
        min_cosine,
        calibration,
        compute,
    } = precision;
    let is_said = |it: &WeightsEncoding| target_size.is_some() || *it != WeightsEncoding::F32;
    let weights = weights.filter(is_said);
    let compute = compute.filter(|it| *it != Compute::F32);
    let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
    // By its content: where it is changes nothing.
    let texts = calibration.as_ref().map(|path| match std::fs::read(path) {
        Ok(texts) => blake3::hash(&texts).to_hex().to_string(),
        // Whoever reads it says so.
        Err(_) => String::new(),
    });
    [
        ("weights", weights.map(|it| it.to_string())),
        (
            "weights_rules",
            Some(rules.join(" ")).filter(|it| !it.is_empty()),
        ),
        ("target_size", target_size.map(|it| it.bytes.to_string())),
        ("min_cosine", min_cosine.map(|it| it.to_string())),
        ("calibration", texts),
        ("compute", compute.map(named(Compute::name))),
    ]
}

/// The name of a choice, as text of its own.
fn named<T>(name: impl Fn(T) -> &'static str) -> impl Fn(T) -> String {
    move |choice| name(choice).to_owned()
}

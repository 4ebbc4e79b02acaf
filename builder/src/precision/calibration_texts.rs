//! The texts that matrices are rounded for, and those that the result is measured with.

use crate::error::BuildError;
use crate::trial::GOLDEN_TEXTS;
use encoderfile::manifest::Finding;
use std::path::{Path, PathBuf};

/// Short and long ones of many kinds, two thirds of them English, the others in 28 languages.
const BUILT_IN: &str = include_str!("calibration.txt");

/// The file of a model folder that has others.
const FILE: &str = "calibration.txt";

/// Every so many texts, one is not rounded for, but measured with.
const HELD_OUT: usize = 4;

/// More texts are not looked at.
const TEXTS_MAX: usize = 2048;

/// A text a line.
pub(super) struct CalibrationTexts {
    texts: Vec<String>,
    source: String,
}

impl CalibrationTexts {
    /// Those of a file, of the model folder, or the built-in ones.
    pub(super) fn read(file: Option<&Path>, folder: &Path) -> Result<Self, BuildError> {
        let of_folder = folder.join(FILE);
        let path: Option<PathBuf> = match file {
            Some(file) => Some(file.to_owned()),
            None => of_folder.is_file().then_some(of_folder),
        };
        let Some(path) = path else {
            return Ok(Self::of(BUILT_IN, "built-in".into()));
        };
        let problem = |problem: String| BuildError::Calibration {
            path: path.clone(),
            problem,
        };
        let text = std::fs::read_to_string(&path).map_err(|error| problem(error.to_string()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let texts = Self::of(&text, name.into_owned());
        if texts.calibration().next().is_none() {
            return Err(problem("holds no text; it has one a line".into()));
        }
        Ok(texts)
    }

    fn of(text: &str, source: String) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let texts = lines.take(TEXTS_MAX).map(Into::into).collect();
        Self { texts, source }
    }

    /// What is rounded for.
    pub(super) fn calibration(&self) -> impl Iterator<Item = &str> {
        let texts = self.texts.iter().enumerate();
        let rounded_for = texts.filter(|(place, _)| (place + 1) % HELD_OUT != 0);
        rounded_for.map(|(_, text)| text.as_str())
    }

    /// What results are compared of: those that are stored, and those that were held out.
    pub(super) fn compared(&self) -> Vec<&str> {
        let held_out = self.texts.iter().skip(HELD_OUT - 1).step_by(HELD_OUT);
        GOLDEN_TEXTS
            .into_iter()
            .chain(held_out.map(String::as_str))
            .collect()
    }

    /// What the file says of it.
    pub(super) fn finding(&self) -> Finding {
        Finding {
            subject: "rounding".into(),
            meaning: format!(
                "with error compensation over {} texts",
                self.calibration().count()
            ),
            source: format!("calibration texts: {}", self.source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_texts_are_texts() {
        let texts = CalibrationTexts::of(BUILT_IN, String::new());
        assert_eq!(texts.texts.len(), BUILT_IN.lines().count());
        assert_eq!(texts.calibration().count(), 144);
        assert_eq!(texts.compared().len(), GOLDEN_TEXTS.len() + 48);
    }
}

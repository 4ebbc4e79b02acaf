//! What a file that was compiled ahead says of itself, without wasmtime loading it.
//!
//! The version is in a section of its own, in a form that all versions of wasmtime have in common. What
//! follows it there, postcard of wasmtime's own types, is read of this version alone.

use object::{Object, ObjectSection};
use serde::Deserialize;
use std::fmt;
use wasmtime::{Engine, Precompiled};

/// What wasmtime calls the version of the one in this tool: releases of one major version take one
/// another's files.
pub const WASMTIME_VERSION: &str = "48";

/// The section of wasmtime's version and settings.
const ENGINE_SECTION: &str = ".wasmtime.engine";

/// Of its bytes; it has about a thousand.
const ENGINE_SECTION_LEN_MAX: usize = 64 << 10;

/// The form of that section.
const ENGINE_SECTION_VERSION: u8 = 0;

/// What was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A core module.
    Module,
    /// A component.
    Component,
}

impl Form {
    /// What a file is that begins so; `None` for what no wasmtime has compiled.
    pub fn of(file: &[u8]) -> Option<Self> {
        match Engine::detect_precompiled(file)? {
            Precompiled::Module => Some(Self::Module),
            Precompiled::Component => Some(Self::Component),
        }
    }

    /// The target that gives one.
    pub fn target(self) -> &'static str {
        match self {
            Self::Module => crate::target::WASI_TARGET,
            Self::Component => crate::target::COMPONENT_TARGET,
        }
    }
}

/// For what a file was compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// What it was made of.
    pub form: Form,
    /// wasmtime's version, as it calls it.
    pub wasmtime: String,
    /// The processor, as `x86_64`.
    pub architecture: String,
    /// The system's triple; known of [`WASMTIME_VERSION`] alone.
    pub triple: Option<String>,
    /// What the processor has to have beside what all of them have; known of [`WASMTIME_VERSION`]
    /// alone.
    pub features: Option<Vec<String>>,
}

impl Description {
    /// Of a file; `None` for what no wasmtime has compiled.
    pub fn of(file: &[u8]) -> Option<Self> {
        let form = Form::of(file)?;
        let object = object::File::parse(file).ok()?;
        let section = object.section_by_name(ENGINE_SECTION)?.data().ok()?;
        let (&version, rest) = section.split_first()?;
        if version != ENGINE_SECTION_VERSION {
            return None;
        }
        let (&length, rest) = rest.split_first()?;
        let (wasmtime, settings) = rest.split_at_checked(usize::from(length))?;
        let wasmtime = str::from_utf8(wasmtime).ok()?.to_owned();
        let is_known = wasmtime == WASMTIME_VERSION && settings.len() <= ENGINE_SECTION_LEN_MAX;
        let settings = is_known.then(|| settings_of(settings)).flatten();
        let (triple, features) = settings.unzip();
        Some(Self {
            form,
            wasmtime,
            architecture: format!("{:?}", object.architecture()).to_lowercase(),
            triple,
            features,
        })
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.triple.as_deref().unwrap_or(&self.architecture);
        write!(f, "wasmtime {} on {machine}", self.wasmtime)
    }
}

/// The beginning of wasmtime's settings, in its order.
#[derive(Deserialize)]
struct Settings<'a> {
    triple: &'a str,
    #[serde(borrow, rename = "shared")]
    _shared: Vec<(&'a str, Flag<'a>)>,
    #[serde(borrow)]
    processor: Vec<(&'a str, Flag<'a>)>,
}

/// The value of one of Cranelift's settings.
#[derive(Deserialize)]
#[allow(
    dead_code,
    reason = "only switches are looked at, and the others have to be read past"
)]
enum Flag<'a> {
    Enum(&'a str),
    Num(u8),
    Bool(bool),
}

/// The triple, and the processor's features that are used.
fn settings_of(bytes: &[u8]) -> Option<(String, Vec<String>)> {
    let (settings, _) = postcard::take_from_bytes::<Settings<'_>>(bytes).ok()?;
    let flags = settings.processor.into_iter();
    let used = flags.filter(|(_, flag)| matches!(flag, Flag::Bool(true)));
    let features = used.map(|(name, _)| name.trim_start_matches("has_").to_owned());
    Some((settings.triple.to_owned(), features.collect()))
}

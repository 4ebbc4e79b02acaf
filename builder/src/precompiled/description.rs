//! What a file that was compiled ahead says of itself, without wasmtime loading it.
//!
//! The version is in a section of its own, in a form that all versions of wasmtime have in common. What
//! follows it there, postcard of wasmtime's own types, is read of this version alone.

use object::{Object, ObjectSection};
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

/// The triple, and the processor's features that are used.
fn settings_of(bytes: &[u8]) -> Option<(String, Vec<String>)> {
    let mut settings = Postcard(bytes);
    let triple = settings.string()?.to_owned();
    // Those of every processor come first.
    settings.flags()?;
    let flags = settings.flags()?;
    let used = flags.iter().filter(|(_, is_used)| *is_used);
    let features = used.map(|(name, _)| name.trim_start_matches("has_").to_owned());
    Some((triple, features.collect()))
}

/// What of postcard's encoding is needed.
struct Postcard<'a>(&'a [u8]);

impl<'a> Postcard<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<usize> {
        let mut number = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn string(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        str::from_utf8(bytes).ok()
    }

    /// Names, and whether each is a switch that is on: a `Vec<(&str, FlagValue)>`.
    fn flags(&mut self) -> Option<Vec<(&'a str, bool)>> {
        let count = self.number()?;
        let mut flags = Vec::new();
        for _ in 0..count {
            let name = self.string()?;
            let is_on = match self.number()? {
                0 => self.string().map(|_| false)?,
                1 => self.byte().map(|_| false)?,
                2 => self.byte()? == 1,
                _ => return None,
            };
            flags.push((name, is_on));
        }
        Some(flags)
    }
}

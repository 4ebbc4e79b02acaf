//! The machines that base programs are made for.

use encoderfile::container::component::COMPONENT;
use object::{Architecture, BinaryFormat, FileKind, Object, ObjectSegment};
use std::fmt;

/// The target that needs no program: the payload alone, for `--payload` and the browser.
pub const BUNDLE_TARGET: &str = "bundle";

/// The target for Python: the payload alone, in a package.
pub const WHEEL_TARGET: &str = "wheel";

/// The targets that are no machine's; those of images are
/// [`Platform`](crate::oci::Platform)'s.
const WITHOUT_TRIPLE: [&str; 5] = [BUNDLE_TARGET, "oci", "oci-amd64", "oci-arm64", WHEEL_TARGET];

/// The target for WASI hosts.
pub const WASI_TARGET: &str = "wasm32-wasip1";

/// The target for hosts of components.
pub const COMPONENT_TARGET: &str = "wasm32-wasip2";

/// This machine's target: the one the tool itself was built for.
pub const HOST_TARGET: &str = env!("ENCODERFILE_HOST_TARGET");

/// A machine, by its Rust target triple.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is called here.
    pub triple: &'static str,
    /// What else it is called: what is linked otherwise runs on the same machines.
    aliases: &'static [&'static str],
    program: Option<Program>,
}

/// What a loader needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Program {
    format: Format,
    architecture: Architecture,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Elf,
    MachO,
    Pe,
    Wasm,
    Component,
}

const fn target(
    triple: &'static str,
    aliases: &'static [&'static str],
    format: Format,
    architecture: Architecture,
) -> Target {
    Target {
        triple,
        aliases,
        program: Some(Program {
            format,
            architecture,
        }),
    }
}

/// Those that a release has base programs for.
pub static TARGETS: [Target; 9] = [
    target(
        "x86_64-unknown-linux-gnu",
        &[],
        Format::Elf,
        Architecture::X86_64,
    ),
    target(
        "aarch64-unknown-linux-gnu",
        &[],
        Format::Elf,
        Architecture::Aarch64,
    ),
    target(
        "x86_64-unknown-linux-musl",
        &[],
        Format::Elf,
        Architecture::X86_64,
    ),
    target(
        "aarch64-unknown-linux-musl",
        &[],
        Format::Elf,
        Architecture::Aarch64,
    ),
    target(
        "x86_64-apple-darwin",
        &[],
        Format::MachO,
        Architecture::X86_64,
    ),
    target(
        "aarch64-apple-darwin",
        &["arm64-apple-darwin"],
        Format::MachO,
        Architecture::Aarch64,
    ),
    target(
        "x86_64-pc-windows-msvc",
        &["x86_64-pc-windows-gnu", "x86_64-pc-windows-gnullvm"],
        Format::Pe,
        Architecture::X86_64,
    ),
    target(
        WASI_TARGET,
        &["wasm32-wasi"],
        Format::Wasm,
        Architecture::Wasm32,
    ),
    target(
        COMPONENT_TARGET,
        &[],
        Format::Component,
        Architecture::Wasm32,
    ),
];

/// This machine, where no release has a program for it.
static HOST: Target = Target {
    triple: HOST_TARGET,
    aliases: &[],
    program: None,
};

/// A name that is no target's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no target {name:?}{}; there are {}", nearest(.name), Names)]
pub struct UnknownTarget {
    name: String,
}

/// A file that is no base program for its target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Of no format that is known.
    #[error("no program: neither ELF, Mach-O, PE nor WebAssembly")]
    NoProgram,
    /// Of one, and not to be read.
    #[error("cut short or damaged: {problem}")]
    Damaged {
        /// What the parser says.
        problem: String,
    },
    /// For another machine.
    #[error("a program for {got}, not for {expected}")]
    Machine {
        /// What it is.
        got: String,
        /// The target's triple.
        expected: &'static str,
    },
    /// A part of it is missing.
    #[error("cut short: it has {got} bytes of at least {expected}")]
    Cut {
        /// The length of the file.
        got: u64,
        /// Where its last segment ends.
        expected: u64,
    },
}

impl Target {
    /// The target of that name.
    ///
    /// # Errors
    /// [`UnknownTarget`], which names the nearest.
    pub fn find(name: &str) -> Result<&'static Self, UnknownTarget> {
        let mut targets = TARGETS.iter().chain([&HOST]);
        let found = targets.find(|it| it.triple == name || it.aliases.contains(&name));
        found.ok_or_else(|| UnknownTarget { name: name.into() })
    }

    /// This machine's.
    pub fn host() -> &'static Self {
        Self::find(HOST_TARGET).unwrap_or(&HOST)
    }

    /// What the system wants at the end of a program's name.
    pub fn suffix(&self) -> &'static str {
        match self.program.map(|it| it.format) {
            Some(Format::Pe) => ".exe",
            Some(Format::Wasm | Format::Component) => ".wasm",
            Some(Format::Elf | Format::MachO) => "",
            None => std::env::consts::EXE_SUFFIX,
        }
    }

    /// Refuses what a loader of this target would refuse.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn check(&self, program: &[u8]) -> Result<(), ProgramError> {
        let found = Program::of(program)?;
        if self.program.is_some_and(|expected| expected != found) {
            return Err(ProgramError::Machine {
                got: found.to_string(),
                expected: self.triple,
            });
        }
        check_length(program)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.triple)
    }
}

impl Program {
    fn of(program: &[u8]) -> Result<Self, ProgramError> {
        if program.starts_with(b"\0asm\x01\0\0\0") {
            return Ok(Self {
                format: Format::Wasm,
                architecture: Architecture::Wasm32,
            });
        }
        if program.starts_with(&COMPONENT) {
            return Ok(Self {
                format: Format::Component,
                architecture: Architecture::Wasm32,
            });
        }
        FileKind::parse(program).map_err(|_| ProgramError::NoProgram)?;
        let object = object::File::parse(program);
        let object = object.map_err(|error| ProgramError::Damaged {
            problem: error.to_string(),
        })?;
        let format = match object.format() {
            BinaryFormat::Elf => Format::Elf,
            BinaryFormat::MachO => Format::MachO,
            BinaryFormat::Pe => Format::Pe,
            _ => return Err(ProgramError::NoProgram),
        };
        Ok(Self {
            format,
            architecture: object.architecture(),
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = match self.format {
            Format::Elf => "Linux",
            Format::MachO => "macOS",
            Format::Pe => "Windows",
            Format::Wasm => return f.write_str("WebAssembly"),
            Format::Component => return f.write_str("hosts of WebAssembly components"),
        };
        let architecture = format!("{:?}", self.architecture).to_lowercase();
        write!(f, "{system} on {architecture}")
    }
}

/// Refuses a program whose segments end behind it.
fn check_length(program: &[u8]) -> Result<(), ProgramError> {
    // A module is read whole before anything is put into it.
    let Ok(object) = object::File::parse(program) else {
        return Ok(());
    };
    let ends = object.segments().map(|it| {
        let (offset, length) = it.file_range();
        offset.saturating_add(length)
    });
    let (got, expected) = (program.len() as u64, ends.max().unwrap_or(0));
    match got < expected {
        true => Err(ProgramError::Cut { got, expected }),
        false => Ok(()),
    }
}

/// ` (the nearest is …)`, if one is near.
fn nearest(name: &str) -> String {
    /// Of strings without any likeness, it is about a half.
    const LIKENESS_MIN: f64 = 0.75;

    let names = TARGETS.iter().map(|it| it.triple).chain(WITHOUT_TRIPLE);
    let rated = names.map(|it| (strsim::jaro(name, it), it));
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0));
    match best.filter(|it| it.0 >= LIKENESS_MIN) {
        Some((_, nearest)) => format!(" (the nearest is {nearest})"),
        None => String::new(),
    }
}

/// All names that a build can be told.
struct Names;

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for target in &TARGETS {
            write!(f, "{target}, ")?;
        }
        f.write_str(&WITHOUT_TRIPLE.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_the_name_of_every_linker() {
        for name in ["x86_64-pc-windows-gnu", "x86_64-pc-windows-msvc"] {
            assert_eq!(Target::find(name).unwrap().triple, "x86_64-pc-windows-msvc");
        }
        assert!(Target::find(HOST_TARGET).is_ok());
    }

    #[test]
    fn an_unknown_target_names_the_nearest() {
        for (name, nearest) in [
            ("x86_64-linux-gnu", "x86_64-unknown-linux-gnu"),
            ("aarch64-apple-macos", "aarch64-apple-darwin"),
            ("wasm32-wasip3", "wasm32-wasip2"),
            ("bundl", "bundle"),
        ] {
            let error = Target::find(name).unwrap_err().to_string();
            assert!(
                error.contains(&format!("the nearest is {nearest})")),
                "{error}"
            );
        }
        let error = Target::find("?").unwrap_err().to_string();
        assert!(
            !error.contains("nearest") && error.contains("bundle"),
            "{error}"
        );
    }

    #[test]
    fn a_program_of_another_machine_or_a_part_of_one_is_refused() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let host = Target::find(HOST_TARGET).unwrap();
        assert_eq!(host.check(&program), Ok(()));
        for other in TARGETS.iter().filter(|it| it.program != host.program) {
            let result = other.check(&program);
            assert!(
                matches!(result, Err(ProgramError::Machine { .. })),
                "{other}"
            );
        }
        for length in [64, program.len() / 2, program.len() - 1] {
            let cut = host.check(&program[..length]).unwrap_err();
            let is_cut = matches!(cut, ProgramError::Cut { .. } | ProgramError::Damaged { .. });
            assert!(is_cut, "{length}: {cut:?}");
        }
        assert_eq!(host.check(b"#!/bin/sh\n"), Err(ProgramError::NoProgram));
    }
}

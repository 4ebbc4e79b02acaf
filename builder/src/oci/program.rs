//! Which programs run in an empty root: static ones for Linux on the image's processor.

use super::Platform;
use crate::inspect;
use object::Endianness;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

/// A program that would not start in the image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// For another system, or no program.
    #[error("a {kind} is no base of an image for {platform}: that needs a static ELF program, of the target {}", .platform.triple())]
    NotElf {
        /// What it is.
        kind: &'static str,
        /// What was asked for.
        platform: Platform,
    },
    /// For another processor.
    #[error("the program is for {found}, and the image for {platform}: it needs one of the target {}", .platform.triple())]
    Machine {
        /// What it says.
        found: Machine,
        /// What was asked for.
        platform: Platform,
    },
    /// Linked to libraries.
    #[error("the program needs the dynamic loader {loader}, which the image does not have: it needs a static one, of the target {}", .platform.triple())]
    Dynamic {
        /// Its path.
        loader: String,
        /// What was asked for.
        platform: Platform,
    },
    /// Headers that lead nowhere.
    #[error("the program is damaged: its ELF headers are not within it")]
    Damaged,
}

/// A processor, by its number in ELF files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine(pub(super) u16);

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            EM_X86_64 => f.write_str("x86-64"),
            EM_AARCH64 => f.write_str("aarch64"),
            number => write!(f, "the ELF machine {number}"),
        }
    }
}

fn machine(platform: Platform) -> Machine {
    Machine(match platform {
        Platform::Amd64 => EM_X86_64,
        Platform::Arm64 => EM_AARCH64,
    })
}

/// Refuses a program that would not start in an image for that platform.
pub(super) fn check(platform: Platform, program: &[u8]) -> Result<(), ProgramError> {
    let kind = inspect::kind(program);
    if kind != inspect::ELF {
        return Err(ProgramError::NotElf { kind, platform });
    }
    let damaged = |_| ProgramError::Damaged;
    let header = FileHeader64::<Endianness>::parse(program).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let found = Machine(header.e_machine(endian));
    if found != machine(platform) {
        return Err(ProgramError::Machine { found, platform });
    }
    for segment in header.program_headers(endian, program).map_err(damaged)? {
        if let Some(loader) = segment.interpreter(endian, program).map_err(damaged)? {
            let loader = String::from_utf8_lossy(loader).into_owned();
            return Err(ProgramError::Dynamic { loader, platform });
        }
    }
    Ok(())
}

//! What a program needs of the system that it will be started on.

use anyhow::{Context, ensure};
use encoderfile_builder::target::Target;
use object::macho::{LC_BUILD_VERSION, LC_VERSION_MIN_MACOSX, MachHeader64};
use object::read::elf::ElfFile64;
use object::read::macho::MachOFile;
use object::{Endianness, Import, Object, ObjectSymbol};

/// glibc of CentOS 7 and of manylinux2014.
const GLIBC_MAX: [u32; 2] = [2, 17];

/// The oldest macOS that a program may ask for: 11 is the first for arm64.
const MACOS_MAX: u32 = 11;

/// Of Windows 10 and later.
const WINDOWS_LIBRARIES: [&str; 12] = [
    "advapi32.dll",
    "bcrypt.dll",
    "bcryptprimitives.dll",
    "crypt32.dll",
    "kernel32.dll",
    "ntdll.dll",
    "ole32.dll",
    "psapi.dll",
    "secur32.dll",
    "shell32.dll",
    "userenv.dll",
    "ws2_32.dll",
];

/// Fails for a program that needs more than a bare system has.
pub(crate) fn check(target: &Target, program: &[u8]) -> anyhow::Result<()> {
    check_with(target, program, &|_| false)
}

/// The same of what Python loads as a module, which brings its own functions.
pub(crate) fn check_python_module(target: &Target, module: &[u8]) -> anyhow::Result<()> {
    check_with(target, module, &|import| match import.library() {
        // macOS looks for it in all that is loaded, as `_PyList_New` or `__Py_DecRef`.
        [] => [&b"_Py"[..], b"__Py"]
            .iter()
            .any(|it| import.name().starts_with(it)),
        library => library == b"python3.dll",
    })
}

/// As [`check`], but for what is there when the code is loaded.
fn check_with(target: &Target, code: &[u8], is_there: IsThere<'_>) -> anyhow::Result<()> {
    match target.triple {
        triple if triple.ends_with("-musl") => check_static(code),
        triple if triple.ends_with("-gnu") => check_glibc(code),
        triple if triple.ends_with("-darwin") => check_macos(code, is_there),
        super::windows::TARGET => check_windows(code, is_there),
        _ => Ok(()),
    }
}

type IsThere<'a> = &'a dyn Fn(&Import<'_>) -> bool;

/// No loader and no library.
fn check_static(program: &[u8]) -> anyhow::Result<()> {
    use object::elf::PT_INTERP;
    use object::read::elf::ProgramHeader;

    let file = ElfFile64::<Endianness>::parse(program)?;
    let endian = file.endian();
    let interpreter = file
        .elf_program_headers()
        .iter()
        .find(|it| it.p_type(endian) == PT_INTERP);
    ensure!(interpreter.is_none(), "it asks for a loader");
    ensure!(file.imports()?.is_empty(), "it imports symbols");
    Ok(())
}

/// No symbol of a later glibc.
fn check_glibc(program: &[u8]) -> anyhow::Result<()> {
    let file = ElfFile64::<Endianness>::parse(program)?;
    let table = file.elf_section_table();
    let versions = table
        .versions(file.endian(), program)?
        .context("no versions of symbols")?;
    let mut count = 0;
    for symbol in file.dynamic_symbols().filter(|it| it.is_undefined()) {
        let index = versions.version_index(file.endian(), symbol.index());
        let Some(version) = versions.version(index)? else {
            continue;
        };
        let name = std::str::from_utf8(version.name())?;
        let Some(numbers) = name.strip_prefix("GLIBC_") else {
            continue;
        };
        let numbers = numbers.split('.').map(str::parse::<u32>);
        let numbers: Vec<u32> = numbers.collect::<Result<_, _>>()?;
        ensure!(
            numbers <= GLIBC_MAX.to_vec(),
            "{} needs {name}",
            symbol.name()?
        );
        count += 1;
    }
    ensure!(count > 0, "no symbol of glibc");
    Ok(())
}

/// No library but the system's, and no later macOS.
fn check_macos(program: &[u8], is_there: IsThere<'_>) -> anyhow::Result<()> {
    let file = MachOFile::<MachHeader64<Endianness>>::parse(program)?;
    let endian = file.endian();
    for import in file.imports()? {
        let library = String::from_utf8_lossy(import.library());
        let is_system = ["/usr/lib/", "/System/Library/"]
            .iter()
            .any(|it| library.starts_with(it));
        let name = String::from_utf8_lossy(import.name());
        ensure!(
            is_system || is_there(&import),
            "it needs {name} of {library:?}"
        );
    }
    let mut oldest = None;
    let mut commands = file.macho_load_commands()?;
    while let Some(command) = commands.next()? {
        if command.cmd() == LC_BUILD_VERSION {
            oldest = command.build_version()?.map(|it| it.minos.get(endian));
        } else if command.cmd() == LC_VERSION_MIN_MACOSX {
            // The version is the first number after the command.
            let bytes = command.raw_data().get(8..12).context("no version")?;
            oldest = Some(u32::from_le_bytes(bytes.try_into()?));
        }
    }
    let oldest = oldest.context("it says nothing of macOS")? >> 16;
    ensure!(oldest <= MACOS_MAX, "it needs macOS {oldest}");
    Ok(())
}

fn check_windows(program: &[u8], is_there: IsThere<'_>) -> anyhow::Result<()> {
    let file = object::File::parse(program)?;
    for import in file.imports()? {
        let library = String::from_utf8_lossy(import.library()).to_lowercase();
        let is_system =
            library.starts_with("api-ms-win-") || WINDOWS_LIBRARIES.contains(&&*library);
        ensure!(is_system || is_there(&import), "it needs {library}");
    }
    Ok(())
}

//! The files: what the library exports, what it is called, and whose software it says is in it.

use crate::{Bench, Check};
use anyhow::{Context, ensure};
use encoderfile_tests::programs::root;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use object::{Endianness, elf};
use regex::Regex;
use std::collections::BTreeSet;
use std::fs;

pub(crate) const CHECKS: &[&Check] = &[
    &Check {
        name: "library/symbols",
        needs: &[],
        run: symbols,
    },
    &Check {
        name: "library/notices",
        needs: &[],
        run: notices,
    },
];

/// The version of every symbol, and of the name that programs look for.
const VERSION: &str = "ENCODERFILE_0";
const SONAME: &str = "libencoderfile.so.0";

/// What SQLite looks for, which the header leaves out.
const EXTENSION: &str = "sqlite3_encoderfile_init";

/// It exports the functions of its header and nothing else, each with the version of the interface;
/// its stack is not executable; and it is never unloaded.
fn symbols(bench: &Bench) -> anyhow::Result<()> {
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        return Ok(());
    }
    let header = fs::read_to_string(bench.library.join("include/encoderfile.h"))?;
    let declared = Regex::new(r"(encoderfile_[a-z_]+)\(")?;
    let declared = declared.captures_iter(&header).map(|it| it[1].to_owned());
    let declared: BTreeSet<String> = declared.chain([EXTENSION.to_owned()]).collect();

    let file = fs::read(bench.library.join("lib/libencoderfile.so"))?;
    let data = file.as_slice();
    let elf = FileHeader64::<Endianness>::parse(data)?;
    let endian = elf.endian()?;
    let sections = elf.sections(endian, data)?;
    let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM)?;
    let versions = sections.versions(endian, data)?.context("no versions")?;
    let mut exported = BTreeSet::new();
    for (index, symbol) in symbols.enumerate() {
        let name = str::from_utf8(symbol.name(endian, symbols.strings())?)?;
        // The version itself is a symbol too.
        if symbol.is_undefined(endian) || name.is_empty() || name == VERSION {
            continue;
        }
        let version = versions.version(versions.version_index(endian, index))?;
        let version = version.with_context(|| format!("{name} has no version"))?;
        ensure!(version.name() == VERSION.as_bytes(), "{name}: {version:?}");
        exported.insert(name.to_owned());
    }
    ensure!(exported == declared, "{exported:?} for {declared:?}");

    let dynamic = sections.dynamic_table(endian, data)?;
    let find = |tag: i64| dynamic.iter().find(|it| it.tag == tag);
    let soname = dynamic.string(find(elf::DT_SONAME).context("no soname")?)?;
    ensure!(soname == SONAME.as_bytes(), "another soname");
    let flags = find(elf::DT_FLAGS_1).map_or(0, |it| it.val);
    ensure!(
        flags & u64::from(elf::DF_1_NODELETE) != 0,
        "it can be unloaded"
    );
    let segments = elf.program_headers(endian, data)?.iter();
    let mut stacks = segments.filter(|it| it.p_type(endian) == elf::PT_GNU_STACK);
    let stack = stacks.next().context("nothing is said of the stack")?;
    ensure!(
        stack.p_flags(endian) & elf::PF_X == 0,
        "the stack is executable"
    );
    Ok(())
}

/// The notices are those of `licenses/`, and name every package that left its name in the library.
fn notices(bench: &Bench) -> anyhow::Result<()> {
    let notices = bench.library.join("share/doc/encoderfile/THIRD-PARTY.txt");
    let notices = fs::read_to_string(notices)?;
    let kept = fs::read_to_string(root().join("licenses/library.txt"))?;
    ensure!(
        notices == kept,
        "the notices are older than licenses/library.txt"
    );
    let file = fs::read(bench.library.join("lib/libencoderfile.so"))?;
    let place = regex::bytes::Regex::new(
        r"(/?[a-z][a-z0-9_-]*-[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*)/src/",
    )?;
    let mut found = BTreeSet::new();
    for package in place.captures_iter(&file) {
        found.insert(String::from_utf8_lossy(&package[1]).into_owned());
    }
    ensure!(found.len() > 20, "only {found:?} are found in the library");
    for package in found {
        let names: Vec<&str> = match package.strip_prefix('/') {
            Some(name) => vec![name],
            // In a release no folder is before it, so that it may follow another string.
            None => (package.char_indices())
                .map(|(start, _)| &package[start..])
                .collect(),
        };
        let is_noticed = |name: &str| {
            let (name, version) = name.rsplit_once('-').unwrap_or_default();
            notices.contains(&format!("\n{name} {version}: "))
        };
        ensure!(names.into_iter().any(is_noticed), "no notice of {package}");
    }
    Ok(())
}

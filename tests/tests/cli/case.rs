//! Cases of the command line: `cases/**/*.case`, each a file with everything that
//! its commands print. `cases/README.md` describes the format.
//!
//! Invariant: what a case compares is all of standard output, all of standard error,
//! the exit code and every file that a command leaves behind; on each target the same.

use crate::edit::{self, Edit};
use anyhow::{Context, bail, ensure};
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::programs;
use encoderfile_tests::target::{Target, WASI};
use encoderfile_tests::workbench::Workbench;
use regex::Regex;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// What begins a line of output: of standard output, standard error, the exit code,
/// a file that was written, one that was removed, and the targets that it is of.
const OUTPUT: [char; 6] = ['>', '!', '=', '+', '-', '@'];

/// What stands for any number of lines of an output, as snapbox reads it.
const ANY_LINES: &str = "...";

/// What `model` is run on.
const TARGETS: [Target; 3] = [Target::Native, Target::Run, Target::WasmtimeModule];

/// A file of commands and what they print.
pub(crate) struct Case {
    /// Its path below `cases/`, without the extension.
    pub(crate) name: String,
    path: PathBuf,
    /// Its content.
    script: String,
}

/// Every case, in the order of the names.
pub(crate) fn all() -> anyhow::Result<Vec<Case>> {
    let root = programs::root().join("tests/cases");
    let mut cases = Vec::new();
    for path in files(&root)?.into_keys() {
        if path.extension().is_some_and(|it| it == "case") {
            let name = path.with_extension("").display().to_string();
            let path = root.join(path);
            let script = fs::read_to_string(&path)?;
            cases.push(Case { name, path, script });
        }
    }
    Ok(cases)
}

impl Case {
    /// Whether the wasmtime CLI has a part in it of its own.
    pub(crate) fn needs_wasmtime(&self) -> bool {
        self.script.contains("wasmtime") || self.script.contains("$ base ")
    }

    /// Runs the commands in an empty folder and compares everything that they print
    /// with the file, or writes it there if `SNAPSHOTS=overwrite`.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let workbench = Workbench::open()?.context("no tool")?;
        let patterns = PATTERNS.into_iter();
        let patterns = patterns.map(|(name, pattern)| Ok((name, Regex::new(pattern)?)));
        let mut session = Session {
            places: places(&workbench),
            patterns: patterns.collect::<anyhow::Result<_>>()?,
            workbench,
            model: None,
            transcript: String::new(),
        };
        for (index, line) in self.script.lines().enumerate() {
            let place = || format!("{}:{}", self.path.display(), index + 1);
            session.line(line).with_context(place)?;
        }
        let expected = Data::read_from(&self.path, Some(DataFormat::Text));
        let got = Data::text(session.transcript);
        let compared = Assert::new()
            .action_env(snapbox::assert::DEFAULT_ACTION_ENV)
            .normalize_paths(false);
        compared
            .try_eq(Some(&"what was printed"), got, expected)
            .map_err(|error| anyhow::anyhow!("{error}"))
    }
}

/// What differs between machines and builds, and the name that cases have for it: lists
/// are looked for before the numbers in them.
const PATTERNS: [(&str, &str); 10] = [
    // Last digits depend on the instruction set; the conformance suite has them.
    ("[NUMBERS]", r"\[-?[0-9.e-]+(, *-?[0-9.e-]+){3,}\]"),
    (
        "[NUMBER]",
        r"-?\b[0-9]+\.[0-9]{4,}(e-?[0-9]+)?|\b[0-9]\.[0-9]e-?[0-9]+\b",
    ),
    ("[SIZE]", r"\b[0-9.]+ [kM]B\b"),
    (
        "$1[ISA]",
        r#"(instruction sets: |computed with |this machine has |"instruction_set": ")[a-z].*"#,
    ),
    // Right-aligned in a table.
    ("  [TIME]", r" +\b[0-9]+\.[0-9] m?s\b"),
    ("[HASH]", r"\b[0-9a-f]{64}\b"),
    // In a native program or a module, which begin with megabytes of code.
    ("$1[OFFSET]", r"(offset +)[0-9]{7,}\b"),
    ("[PART]", r"\.encoderfile-\w+\.part"),
    ("[EXECUTABLE]", r"\b(ELF|Mach-O|PE) executable\b"),
    (
        "$1[VERSION]",
        concat!(
            r"(?m)(encoderfile |version |^)",
            env!("CARGO_PKG_VERSION"),
            r"\b"
        ),
    ),
];

/// What is elsewhere or another on every machine. A command may name it too.
fn places(workbench: &Workbench) -> [(&'static str, String); 5] {
    let path = |path: &Path| path.display().to_string();
    let os = match env::consts::OS {
        "macos" => "apple-darwin",
        "windows" => "pc-windows-msvc",
        _ => "unknown-linux-gnu",
    };
    [
        ("[TOOL]", path(&workbench.programs().encoderfile)),
        ("[MODELS]", path(&programs::root().join("tests/models"))),
        ("[FOLDER]", path(workbench.folder())),
        ("[BUILT]", path(workbench.built_folder())),
        ("[HOST]", format!("{}-{os}", env::consts::ARCH)),
    ]
}

/// A case that is being run.
struct Session {
    workbench: Workbench,
    places: [(&'static str, String); 5],
    patterns: Vec<(&'static str, Regex)>,
    /// The fixture that `model` is, and the options of its build.
    model: Option<(String, Vec<String>)>,
    /// The file as it has to be.
    transcript: String,
}

impl Session {
    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        if line.starts_with(OUTPUT) || line == ANY_LINES {
            return Ok(());
        }
        self.transcript.push_str(line);
        self.transcript.push('\n');
        if let Some(command) = line.strip_prefix("$ ") {
            let output = self.command(command)?;
            self.transcript += &output;
        } else if !line.is_empty() && !line.starts_with('#') {
            self.prepare(line)?;
        }
        Ok(())
    }

    /// Whatever is no command: what commands find.
    fn prepare(&mut self, line: &str) -> anyhow::Result<()> {
        if let Some(edit) = Edit::parse(line)? {
            return edit.apply(self.workbench.folder());
        }
        let words = shlex::split(line).context("an open quotation mark")?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["model", fixture, options @ ..] => {
                let options = options.iter().map(|it| (*it).to_owned()).collect();
                self.model = Some(((*fixture).to_owned(), options));
            }
            ["build", name, fixture, options @ ..] => {
                self.workbench.build(fixture, options, name)?;
            }
            _ => bail!("neither a command nor one of {}", edit::NAMES),
        }
        Ok(())
    }

    /// Runs a command, on each target if it is `model`, and gives its output.
    fn command(&self, line: &str) -> anyhow::Result<String> {
        let mut words = shlex::split(line).context("an open quotation mark")?;
        let mut input = None;
        if let [.., redirection, name] = words.as_slice()
            && redirection == "<"
        {
            input = Some(self.workbench.path(name));
            words.truncate(words.len() - 2);
        }
        for (name, value) in &self.places {
            for word in &mut words {
                *word = word.replace(name, value);
            }
        }
        let variables = words.iter().take_while(|word| is_variable(word)).count();
        let mut words = words.iter().map(String::as_str);
        let variables: Vec<(&str, &str)> = words
            .by_ref()
            .take(variables)
            .filter_map(|word| word.split_once('='))
            .collect();
        let program = words.next().context("no program")?;
        let arguments: Vec<&str> = words.collect();
        let mut outputs: Vec<(Vec<&str>, String)> = Vec::new();
        for (target, mut command) in self.starts(program)? {
            command.args(&arguments).env_clear().envs(environment());
            command.envs(variables.iter().copied());
            let before = files(self.workbench.folder())?;
            let finished = match &input {
                Some(input) => process::finish_with_input(&mut command, input)?,
                None => process::finish(&mut command)?,
            };
            let output =
                self.shown(&finished) + &changes(&before, &files(self.workbench.folder())?);
            match outputs.iter_mut().find(|(_, it)| *it == output) {
                Some((targets, _)) => targets.push(target),
                None => outputs.push((vec![target], output)),
            }
        }
        let is_one = outputs.len() == 1;
        let outputs = outputs.into_iter().map(|(targets, output)| match is_one {
            true => output,
            false => format!("@ {}\n{output}", targets.join(" ")),
        });
        Ok(outputs.collect())
    }

    /// How a program of a case is started; `model` on each of its targets.
    fn starts(&self, program: &str) -> anyhow::Result<Vec<(&'static str, Command)>> {
        let workbench = &self.workbench;
        let none: &[&str] = &[];
        let one = match program.strip_prefix("./") {
            Some(name) if name.ends_with(".wasm") => {
                Some(self.hosted(Target::WasmtimeModule, &workbench.path(name))?)
            }
            Some(name) => Some(workbench.program(&workbench.path(name), none)),
            None if program == "encoderfile" => Some(workbench.tool(none)),
            None if program == "base" => {
                Some(self.hosted(Target::WasmtimeModule, &workbench.base(WASI)?)?)
            }
            None => None,
        };
        if let Some(command) = one {
            return Ok(vec![("", command)]);
        }
        let (fixture, options) = self.model.as_ref().context("`model` is not chosen")?;
        let native: Vec<&str> = options.iter().map(String::as_str).collect();
        let module = [&native, &["--target", WASI][..]].concat();
        let mut starts = Vec::new();
        for target in TARGETS.into_iter().filter(|it| workbench.has(*it)) {
            let name = start_name(target);
            if program != "model" && program != name {
                continue;
            }
            let command = match target {
                Target::Native => workbench.program(&workbench.built(fixture, &native)?, none),
                _ => self.hosted(target, &workbench.built(fixture, &module)?)?,
            };
            starts.push((name, command));
        }
        ensure!(!starts.is_empty(), "no program `{program}`");
        Ok(starts)
    }

    /// A module in the tool's own host or the wasmtime CLI, which may use the folder.
    fn hosted(&self, target: Target, module: &Path) -> anyhow::Result<Command> {
        let programs = self.workbench.programs();
        let host = match target {
            Target::Run => &programs.encoderfile,
            _ => programs.wasmtime.as_ref().context("no wasmtime")?,
        };
        let mut command = self.workbench.program(host, &["run", "--dir", "."]);
        command.arg(module);
        Ok(command)
    }

    /// A text with the names of what differs between machines.
    fn redacted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.places {
            text = text.replace(value, name);
        }
        for (name, pattern) in &self.patterns {
            text = pattern.replace_all(&text, *name).into_owned();
        }
        text
    }

    /// What a program left behind, line by line.
    fn shown(&self, finished: &Finished) -> String {
        let mut shown = String::new();
        let stdout = String::from_utf8_lossy(&finished.stdout);
        for (mark, text) in [('>', &*stdout), ('!', &finished.stderr)] {
            let text = self.redacted(text);
            for line in text.lines() {
                shown += format!("{mark} {line}").trim_end();
                shown.push('\n');
            }
            if !text.is_empty() && !text.ends_with('\n') {
                shown += &format!("{mark}\\ no newline at the end\n");
            }
        }
        match finished.code {
            Some(0) => {}
            Some(code) => shown += &format!("= {code}\n"),
            None => shown += "= killed\n",
        }
        shown
    }
}

/// What cases call a target.
fn start_name(target: Target) -> &'static str {
    match target {
        Target::WasmtimeModule => "wasmtime",
        other => other.name(),
    }
}

/// What programs need of the environment; the rest may be settings of a server.
fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = ["HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME"];
    let given = names
        .into_iter()
        .filter_map(|name| Some((name, env::var_os(name)?)));
    // What is no folder would be asked for at the hub.
    given.chain([("HF_HUB_OFFLINE", "1".into())])
}

/// Whether a word before a program sets a variable of its environment.
fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|it| {
        it.chars()
            .all(|char| char.is_ascii_uppercase() || char == '_')
    })
}

/// Files and folders below one, by their paths in it, with size and time of each file.
fn files(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, Option<(u64, SystemTime)>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inner) = open.pop() {
        for entry in fs::read_dir(folder.join(&inner))? {
            let entry = entry?;
            let path = inner.join(entry.file_name());
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(path.clone());
                found.insert(path, None);
            } else {
                found.insert(path, Some((metadata.len(), metadata.modified()?)));
            }
        }
    }
    Ok(found)
}

/// What was written and what was removed.
fn changes<T: PartialEq>(before: &BTreeMap<PathBuf, T>, after: &BTreeMap<PathBuf, T>) -> String {
    let written = after
        .iter()
        .filter(|(path, of)| before.get(*path) != Some(of));
    let written = written.map(|(path, _)| format!("+ {}\n", path.display()));
    let removed = before.keys().filter(|path| !after.contains_key(*path));
    let removed = removed.map(|path| format!("- {}\n", path.display()));
    written.chain(removed).collect()
}

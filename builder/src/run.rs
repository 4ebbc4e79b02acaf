//! `encoderfile run FILE ARGS…`: runs an encoderfile's wasm program here.
//!
//! Any WASI runtime can run a `.ef.wasm`, but each compiles the whole file
//! again for every model. This host compiles only the program, which all models
//! share, keeps the result in wasmtime's cache, and lets the guest read the
//! model from FILE.
//!
//! What was compiled ahead is no exception, unless whoever runs it allows its machine code
//! (`precompiled`): then it is started as it is, with the model in its memory.
//!
//! Invariant: the guest sees its arguments, the standard streams, FILE's folder
//! (to read) and the directories it was given; no environment and no network. Machine code of a file runs
//! only where that is allowed.

pub mod http_traps;
mod precompiled;

use crate::precompiled::Description;
use crate::wasm_payload::{base_of, is_module};
use anyhow::{Context, bail};
use encoderfile::container::find_footer;
use encoderfile::file::MappedFile;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
#[cfg(unix)]
use std::{fs::File, os::fd::AsFd};
use wasmtime::{Cache, Config, Engine, Linker, Module, OptLevel, Store};
#[cfg(unix)]
use wasmtime_wasi::cli::OutputFile;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

/// FILE's folder, as the guest sees it. Hidden, so that none of the directories
/// the guest is given is likely to have the same name.
const GUEST_FOLDER: &str = "/.encoderfile";

/// From the cache, a program is there after 0.1 s; compiling ours takes 6 s on
/// two cores.
const COMPILE_SILENT_MAX: Duration = Duration::from_secs(1);

/// Runs the model in `file` with `arguments` and returns the guest's exit code; one that is
/// not within 0 to 255 is 255.
///
/// A wasm module brings its own program. Every other encoderfile (a native one, a
/// component or a bundle) is run by `embedded_base`, and so is what was compiled ahead, unless
/// `allow_precompiled`: its native code is trusted then as an executable is that somebody starts. The
/// guest can write to `directories` under the names they have here.
///
/// # Errors
/// [`WasmError`](crate::wasm_payload::WasmError) for a module that cannot be read, wasmtime's
/// for a program that does not compile or traps, [`std::io::Error`] for what the system says,
/// and a message alone for a file that is no encoderfile or that no program can run, and for one that
/// was compiled ahead for another version of wasmtime or another machine.
pub fn run(
    file: &Path,
    embedded_base: Option<Vec<u8>>,
    allow_precompiled: bool,
    directories: &[PathBuf],
    arguments: &[OsString],
) -> anyhow::Result<ExitCode> {
    let name = || file.display().to_string();
    let compiled = match allow_precompiled {
        true => compiled_ahead(file).with_context(name)?,
        false => None,
    };
    let exit = match compiled {
        Some(description) => precompiled::run(file, &description, directories, arguments),
        None => {
            let base = base_for(file, embedded_base).with_context(name)?;
            let mut wasi = wasi(file, directories, arguments)?;
            stdio(&mut wasi)?;
            execute(&engine()?, &base, wasi.build_p1())
        }
    };
    let exit = exit.with_context(name)?;
    Ok(ExitCode::from(u8::try_from(exit).unwrap_or(u8::MAX)))
}

/// For what an encoderfile was compiled ahead, if it was.
fn compiled_ahead(file: &Path) -> anyhow::Result<Option<Description>> {
    let source = MappedFile::open(file)?;
    let description = Description::of(source.bytes());
    Ok(description.filter(|_| find_footer(&source).is_some()))
}

/// The streams of this program.
fn stdio(wasi: &mut WasiCtxBuilder) -> anyhow::Result<()> {
    wasi.inherit_stdio();
    #[cfg(unix)]
    report_broken_pipes(wasi)?;
    Ok(())
}

/// Runs `self-test` of a wasm module's own program; gives its exit code and what it printed.
///
/// # Errors
/// As [`run`].
pub(crate) fn self_test(file: &Path) -> anyhow::Result<(i32, String)> {
    let base = base_for(file, None)?;
    let mut wasi = wasi(file, &[], &["self-test".into()])?;
    let output = MemoryOutputPipe::new(OUTPUT_LEN_MAX);
    wasi.stdout(output.clone()).stderr(output.clone());
    let exit = execute(&engine()?, &base, wasi.build_p1())?;
    let printed = String::from_utf8_lossy(&output.contents())
        .trim()
        .to_owned();
    Ok((exit, printed))
}

/// The program that runs `file`.
fn base_for(file: &Path, embedded: Option<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    let source = MappedFile::open(file)?;
    let bytes = source.bytes();
    if is_module(bytes) {
        return Ok(base_of(&source)?);
    }
    if find_footer(&source).is_none() {
        bail!("neither a wasm module nor any other encoderfile");
    }
    let Some(embedded) = embedded else {
        bail!(
            "not a wasm module, and this build of encoderfile contains no wasm program to run \
             it; build the model with a wasm target, or use a release of encoderfile"
        );
    };
    // In the same form as a module's own program: they may share a cache entry.
    base_of(&embedded).context("the wasm program in this build of encoderfile")
}

/// A self-test prints a line; a program that prints more than this fails.
const OUTPUT_LEN_MAX: usize = 1 << 16;

/// What the guest can see, but for the standard streams.
fn wasi(
    file: &Path,
    directories: &[PathBuf],
    arguments: &[OsString],
) -> anyhow::Result<WasiCtxBuilder> {
    // A link's target may lie outside the folder of the link, where the guest
    // could not follow.
    let target = file.canonicalize()?;
    let folder = target.parent().context("it is no file")?;
    let payload = utf8(target.file_name().unwrap_or_default())?;
    let payload = ["--payload".into(), format!("{GUEST_FOLDER}/{payload}")];
    let mut wasi = guest(file, &payload, directories, arguments)?;
    preopen(&mut wasi, folder, GUEST_FOLDER, FsPerms::ReadOnly)?;
    Ok(wasi)
}

/// The arguments and the directories that the guest was given, `first` before its own arguments.
fn guest(
    file: &Path,
    first: &[String],
    directories: &[PathBuf],
    arguments: &[OsString],
) -> anyhow::Result<WasiCtxBuilder> {
    let mut wasi = WasiCtxBuilder::new();
    // Otherwise every read goes through a buffer and another thread. It
    // counts for the folders opened after it.
    wasi.allow_blocking_current_thread(true)
        .arg(utf8(file.file_name().unwrap_or_default())?);
    for argument in first {
        wasi.arg(argument);
    }
    for argument in arguments {
        wasi.arg(utf8(argument)?);
    }
    for directory in directories {
        let guest_name = utf8(directory.as_os_str())?;
        preopen(&mut wasi, directory, guest_name, FsPerms::ReadWrite)?;
    }
    Ok(wasi)
}

/// Of an inherited standard output whose reader has gone (`… | head`),
/// wasmtime-wasi only tells the guest "I/O error".
#[cfg(unix)]
fn report_broken_pipes(wasi: &mut WasiCtxBuilder) -> anyhow::Result<()> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        let file = File::from(stdout.as_fd().try_clone_to_owned()?);
        wasi.stdout(OutputFile::new(file));
    }
    Ok(())
}

fn preopen(
    wasi: &mut WasiCtxBuilder,
    directory: &Path,
    guest_name: &str,
    permissions: FsPerms,
) -> anyhow::Result<()> {
    wasi.preopened_dir(directory, guest_name, permissions)
        .map_err(of_wasmtime)
        .with_context(|| directory.display().to_string())?;
    Ok(())
}

/// WASI has no other strings.
fn utf8(string: &OsStr) -> anyhow::Result<&str> {
    string
        .to_str()
        .with_context(|| format!("{} is not valid UTF-8", string.display()))
}

/// Compiles and runs a program; returns its exit code.
fn execute(engine: &Engine, base: &[u8], wasi: WasiP1Ctx) -> anyhow::Result<i32> {
    start(engine, &compile(engine, base)?, wasi)
}

/// Runs a module; returns its exit code.
fn start(engine: &Engine, module: &Module, wasi: WasiP1Ctx) -> anyhow::Result<i32> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |wasi| wasi).map_err(of_wasmtime)?;
    let mut store = Store::new(engine, wasi);
    // wasmtime refuses calls that might make it copy more than 128 MiB. These
    // do not copy, and a multilingual vocabulary is a larger tensor than that.
    store.set_hostcall_fuel(usize::MAX);
    let instance = linker
        .instantiate(&mut store, module)
        .map_err(of_wasmtime)?;
    let start = instance
        .get_typed_func::<(), ()>(&mut store, "_start")
        .map_err(of_wasmtime)?;
    match start.call(&mut store, ()) {
        Ok(()) => Ok(0),
        Err(error) => match error.downcast_ref() {
            Some(I32Exit(code)) => Ok(*code),
            None => Err(of_wasmtime(error)),
        },
    }
}

/// Compiles a program, or takes it from the cache; tells whoever waits for it.
fn compile(engine: &Engine, base: &[u8]) -> anyhow::Result<Module> {
    let (done, wait) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let late = wait.recv_timeout(COMPILE_SILENT_MAX) == Err(RecvTimeoutError::Timeout);
            if late && std::io::stderr().is_terminal() {
                eprintln!("compiling the program for this machine…");
            }
        });
        let module = Module::new(engine, base).map_err(of_wasmtime);
        drop(done);
        module
    })
}

fn engine() -> anyhow::Result<Engine> {
    let mut config = config();
    // Without a writable cache directory the program is compiled every time.
    config.cache(Cache::from_file(None).ok());
    Engine::new(&config).map_err(of_wasmtime)
}

fn config() -> Config {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed);
    // A panic has said on stderr what it is; the names of the functions that
    // led to it are stripped from the program.
    config.wasm_backtrace_max_frames(None);
    // Of components alone.
    config.concurrency_support(false);
    config
}

/// The two error types do not know each other.
fn of_wasmtime(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm_payload::{PAYLOAD, inject};
    use encoderfile::container::Footer;
    use wasm_encoder::{
        BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
        ImportSection, InstructionSink, MemArg, MemorySection, MemoryType, TypeSection, ValType,
    };

    const I32: ValType = ValType::I32;
    const I64: ValType = ValType::I64;

    /// What the guest imports, with the number of each as its place.
    const IMPORTS: [(&str, &[ValType]); 4] = [
        ("proc_exit", &[I32]),
        ("args_sizes_get", &[I32; 2]),
        ("fd_read", &[I32; 4]),
        ("path_open", &[I32, I32, I32, I32, I32, I64, I64, I32, I32]),
    ];
    const PROC_EXIT: u32 = 0;
    const ARGS_SIZES_GET: u32 = 1;
    const FD_READ: u32 = 2;
    const PATH_OPEN: u32 = 3;

    const WORD: MemArg = MemArg {
        offset: 0,
        align: 0,
        memory_index: 0,
    };

    /// A program with this `_start` and 256 MiB of memory.
    fn guest(start: impl FnOnce(&mut InstructionSink<'_>)) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        types.ty().function([], [I64]);
        let mut imports = ImportSection::new();
        for (name, params) in IMPORTS {
            let returns = (name != "proc_exit").then_some(I32);
            let of = EntityType::Function(types.len());
            imports.import("wasi_snapshot_preview1", name, of);
            types.ty().function(params.iter().copied(), returns);
        }
        let mut functions = FunctionSection::new();
        functions.function(0).function(1);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 4096,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut exports = ExportSection::new();
        let first = imports.len();
        exports.export("_start", ExportKind::Func, first);
        exports.export(PAYLOAD, ExportKind::Func, first + 1);
        exports.export("memory", ExportKind::Memory, 0);
        let [mut start_body, mut payload] = [(); 2].map(|()| Function::new([]));
        start(&mut start_body.instructions());
        start_body.instructions().end();
        payload.instructions().i64_const(0).end();
        let mut code = CodeSection::new();
        code.function(&start_body).function(&payload);
        let mut module = wasm_encoder::Module::new();
        module.section(&types).section(&imports).section(&functions);
        module.section(&memories).section(&exports).section(&code);
        module.finish()
    }

    /// Runs a file as [`run`] does, without the user's cache.
    fn exit_code(file: &Path, embedded: Option<Vec<u8>>, arguments: &[&str]) -> i32 {
        let base = base_for(file, embedded).unwrap();
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let wasi = wasi(file, &[], &arguments).unwrap().build_p1();
        execute(&Engine::new(&config()).unwrap(), &base, wasi).unwrap()
    }

    #[test]
    fn a_module_and_a_bundle_exit_with_the_guests_code() {
        let count_arguments = guest(|code| {
            code.i32_const(8).i32_const(12).call(ARGS_SIZES_GET).drop();
            code.i32_const(8).i32_load(WORD);
            code.call(PROC_EXIT);
        });
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("model.ef.wasm");
        let mut injected = Vec::new();
        inject(&count_arguments, &footer(), &mut injected).unwrap();
        std::fs::write(&module, injected).unwrap();
        // Its name, --payload and the path come before them.
        assert_eq!(exit_code(&module, None, &[]), 3);
        assert_eq!(exit_code(&module, None, &["infer", "text"]), 5);

        let bundle = folder.path().join("model.ef");
        std::fs::write(&bundle, footer()).unwrap();
        assert_eq!(exit_code(&bundle, Some(count_arguments), &["info"]), 4);
    }

    fn footer() -> Vec<u8> {
        let footer = Footer {
            format_version: 2,
            metadata_offset: 0,
            metadata_length: 0,
            flags: 1,
        };
        footer.to_bytes().to_vec()
    }

    #[test]
    fn returning_is_success() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("model.ef.wasm");
        std::fs::write(&module, guest(|_| ())).unwrap();
        assert_eq!(exit_code(&module, None, &[]), 0);
    }

    #[test]
    fn a_tensor_of_200_mib_is_one_read() {
        let base = guest(|code| {
            // The path, which is "m".
            code.i32_const(100).i32_const(0x6d).i32_store8(WORD);
            // In the first pre-opened folder; to read.
            code.i32_const(3).i32_const(0).i32_const(100).i32_const(1);
            code.i32_const(0).i64_const(2).i64_const(0).i32_const(0);
            code.i32_const(16).call(PATH_OPEN).if_(BlockType::Empty);
            code.i32_const(101).call(PROC_EXIT).end();
            // Where to, and how much.
            code.i32_const(0).i32_const(65536).i32_store(WORD);
            code.i32_const(4).i32_const(200 << 20).i32_store(WORD);
            code.i32_const(16).i32_load(WORD).i32_const(0).i32_const(1);
            code.i32_const(8).call(FD_READ).call(PROC_EXIT);
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m");
        std::fs::write(&file, footer()).unwrap();
        assert_eq!(exit_code(&file, Some(base), &[]), 0);
    }

    #[test]
    fn a_trap_is_an_error_of_one_line() {
        let base = guest(|code| {
            code.unreachable();
        });
        let wasi = WasiCtxBuilder::new().build_p1();
        let error = execute(&Engine::new(&config()).unwrap(), &base, wasi).unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("unreachable"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }

    #[test]
    fn a_file_that_cannot_run_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.ef");
        for (bytes, expected) in [
            (Vec::new(), "neither"),
            (vec![0; 100], "neither"),
            (b"\0asm\x01\0\0\0".to_vec(), "no 32-bit memory"),
            (footer(), "contains no wasm program"),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let error = run(&file, None, false, &[], &[]).unwrap_err();
            let message = format!("{error:#}");
            assert!(message.contains("model.ef: "), "{message}");
            assert!(message.contains(expected), "{message}");
        }
    }
}

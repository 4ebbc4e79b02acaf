//! What a release has programs for, and what each is built as.

use anyhow::Context;

/// A target of a release.
pub(crate) struct Target {
    /// What it is called: `x86_64-pc-windows-msvc`, whatever it is linked with.
    pub(crate) triple: &'static str,
    /// What Rust builds it as.
    pub(crate) rust: &'static str,
    /// The oldest glibc that it runs with, for zig to link with.
    pub(crate) glibc: Option<&'static str>,
    /// What a program's name ends with.
    pub(crate) suffix: &'static str,
    /// Whether the tool runs there, beside base programs.
    pub(crate) has_tool: bool,
}

/// The oldest glibc of which zig has the symbols and Rust takes.
const GLIBC: &str = "2.17";

const fn linux(triple: &'static str, glibc: Option<&'static str>) -> Target {
    Target {
        triple,
        rust: triple,
        glibc,
        suffix: "",
        has_tool: glibc.is_some(),
    }
}

const fn darwin(triple: &'static str) -> Target {
    Target {
        triple,
        rust: triple,
        glibc: None,
        suffix: "",
        has_tool: true,
    }
}

/// All of them.
pub(crate) static TARGETS: [Target; 9] = [
    Target {
        triple: "wasm32-wasip1",
        rust: "wasm32-wasip1",
        glibc: None,
        suffix: ".wasm",
        has_tool: false,
    },
    Target {
        triple: "wasm32-wasip2",
        rust: "wasm32-wasip1",
        glibc: None,
        suffix: ".wasm",
        has_tool: false,
    },
    linux("x86_64-unknown-linux-gnu", Some(GLIBC)),
    linux("aarch64-unknown-linux-gnu", Some(GLIBC)),
    linux("x86_64-unknown-linux-musl", None),
    linux("aarch64-unknown-linux-musl", None),
    darwin("x86_64-apple-darwin"),
    darwin("aarch64-apple-darwin"),
    Target {
        triple: "x86_64-pc-windows-msvc",
        rust: "x86_64-pc-windows-gnu",
        glibc: None,
        suffix: ".exe",
        has_tool: true,
    },
];

impl Target {
    /// What its base program is called.
    pub(crate) fn base_name(&self) -> String {
        format!("encoderfile-runtime-{}{}", self.triple, self.suffix)
    }

    /// The package that its base program is made of.
    pub(crate) fn base_package(&self) -> &'static str {
        match self.triple {
            "wasm32-wasip2" => "encoderfile-component",
            _ => "encoderfile-host",
        }
    }

    /// What its tool is called.
    pub(crate) fn tool_name(&self) -> String {
        format!("encoderfile-{}{}", self.triple, self.suffix)
    }

    /// Whether it is macOS.
    pub(crate) fn is_apple(&self) -> bool {
        self.rust.ends_with("-apple-darwin")
    }

    /// Whether it is Windows. With zig maturin 1.16 makes no wheel for it: its list of exports has the
    /// module's name with a full stop, which is no symbol.
    pub(crate) fn is_windows(&self) -> bool {
        self.rust.contains("-windows-")
    }

    /// What its C library is called, without `.tar.gz`.
    pub(crate) fn library_name(&self, version: &str) -> String {
        format!("libencoderfile-{version}-{}", self.triple)
    }

    /// What zig's own linker calls it: without Rust's vendor.
    pub(crate) fn zig_linker(&self) -> String {
        self.zig().replace("-unknown-", "-").replace("-pc-", "-")
    }

    /// What zig is told.
    pub(crate) fn zig(&self) -> String {
        match self.glibc {
            Some(glibc) => format!("{}.{glibc}", self.rust),
            None => self.rust.to_owned(),
        }
    }
}

/// The target of that name.
pub(crate) fn find(triple: &str) -> anyhow::Result<&'static Target> {
    let found = TARGETS.iter().find(|it| it.triple == triple);
    found.with_context(|| format!("{triple}: no target of a release"))
}

//! The notices of software of others, as each program carries them: compressed, since every built
//! file does. `cargo xtask licenses` writes the files that they are made of.
#![forbid(unsafe_code)]

use std::io;

/// The notices of one program.
pub struct Notices {
    /// A zlib stream.
    compressed: &'static [u8],
}

/// Those of native base programs, for whatever target.
pub const NATIVE: Notices = Notices {
    compressed: include_bytes!(concat!(env!("OUT_DIR"), "/native.zlib")),
};

/// Those of the base program for wasm32-wasip1.
pub const WASM: Notices = Notices {
    compressed: include_bytes!(concat!(env!("OUT_DIR"), "/wasm.zlib")),
};

/// Those of the base component for wasm32-wasip2.
pub const COMPONENT: Notices = Notices {
    compressed: include_bytes!(concat!(env!("OUT_DIR"), "/component.zlib")),
};

/// Those of the encoderfile command and of the base programs in it.
pub const TOOL: Notices = Notices {
    compressed: include_bytes!(concat!(env!("OUT_DIR"), "/tool.zlib")),
};

/// Those of the C library, for whatever target.
pub const LIBRARY: Notices = Notices {
    compressed: include_bytes!(concat!(env!("OUT_DIR"), "/library.zlib")),
};

impl Notices {
    /// What is linked into the program, a line each, and the licence texts.
    ///
    /// # Errors
    /// If the program is damaged.
    pub fn text(&self) -> io::Result<String> {
        let damaged = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
        let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(self.compressed)
            .map_err(|error| damaged(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::{COMPONENT, LIBRARY, NATIVE, TOOL, WASM};

    #[test]
    fn every_program_has_the_notices_in_its_file() {
        for (notices, file) in [
            (NATIVE, include_str!("../native.txt")),
            (WASM, include_str!("../wasm.txt")),
            (COMPONENT, include_str!("../component.txt")),
            (TOOL, include_str!("../tool.txt")),
            (LIBRARY, include_str!("../library.txt")),
        ] {
            assert_eq!(notices.text().unwrap(), file);
        }
    }
}

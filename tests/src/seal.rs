//! Containers with any manifest and body, and hashes that agree with them: whoever writes
//! a file writes its hashes too.

use encoderfile::container::{FOOTER_LEN, FORMAT_VERSION, Footer};

/// The length of a BLAKE3 digest.
pub const DIGEST_LEN: usize = 32;

/// A container with any manifest and body whose digest agrees with them.
pub fn seal(manifest: &[u8], body: &[u8]) -> Vec<u8> {
    let metadata_len = manifest.len() + DIGEST_LEN;
    seal_with(
        manifest,
        body,
        Footer {
            format_version: FORMAT_VERSION,
            metadata_offset: (metadata_len + body.len() + FOOTER_LEN) as u64,
            metadata_length: metadata_len as u64,
            flags: 1,
        },
    )
}

/// The same with any footer.
pub fn seal_with(manifest: &[u8], body: &[u8], footer: Footer) -> Vec<u8> {
    let footer = footer.to_bytes();
    let digest = blake3::hash(&[manifest, &footer].concat());
    [manifest, digest.as_bytes(), body, &footer].concat()
}

//! The native program's allocator; a module has that of Rust's standard library.

#[cfg(not(target_family = "wasm"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives the system back what a model was loaded with: a tokenizer's vocabulary is read by way of
/// twice the memory that it keeps, and mimalloc holds free pages until there is reason to look at
/// them.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn release() {
    // SAFETY: it has no requirements, and frees nothing that is in use.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// Linear memory does not shrink.
#[cfg(target_family = "wasm")]
pub(crate) fn release() {}

//! The caller's memory: pointers and lengths as slices and texts, and places for results.
//!
//! **Invariant:** a pointer is followed only where it is neither NULL nor misaligned, and a length
//! is one that memory can have. Whether the memory is there, only the caller knows.

use crate::border::Failure;
use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::slice;

/// A text: UTF-8, with any code point in it, and no NUL needed after it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Its first byte; may be NULL where `len` is 0.
    pub data: *const c_char,
    /// In bytes.
    pub len: usize,
}

/// `len` elements at `data`, which may be NULL if there are none.
///
/// # Safety
/// Unless it is NULL or misaligned, there are so many elements, which nobody writes meanwhile.
pub(crate) unsafe fn elements<'a, T>(
    argument: &str,
    data: *const T,
    len: usize,
) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check(argument, data, len)?;
    // SAFETY: aligned, not NULL, no longer than memory, and there, as the caller says.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// Room for `len` elements at `data`, which may be NULL if there is none.
///
/// # Safety
/// Unless it is NULL or misaligned, there is so much room, which nobody else uses meanwhile.
pub(crate) unsafe fn room<'a, T>(
    argument: &str,
    data: *mut T,
    len: usize,
) -> Result<&'a mut [MaybeUninit<T>], Failure> {
    if len == 0 {
        return Ok(&mut []);
    }
    check(argument, data, len)?;
    // SAFETY: aligned, not NULL, no longer than memory, and there, as the caller says. What is in
    // it is not read.
    Ok(unsafe { slice::from_raw_parts_mut(data.cast(), len) })
}

fn check<T>(argument: &str, data: *const T, len: usize) -> Result<(), Failure> {
    let argument = || argument.to_owned();
    let len_max = isize::MAX.unsigned_abs() / size_of::<T>().max(1);
    if data.is_null() {
        return Err(Failure::Null {
            argument: argument(),
        });
    }
    if !data.is_aligned() {
        return Err(Failure::Misaligned {
            argument: argument(),
        });
    }
    if len > len_max {
        return Err(Failure::TooLong {
            argument: argument(),
            len,
        });
    }
    Ok(())
}

/// The text of `len` bytes at `data`; empty for a length of 0.
///
/// # Safety
/// As [`elements`].
pub(crate) unsafe fn text<'a>(
    argument: &str,
    data: *const c_char,
    len: usize,
) -> Result<&'a str, Failure> {
    // SAFETY: as the caller says.
    utf8(argument, unsafe {
        elements(argument, data.cast::<u8>(), len)
    }?)
}

/// Several texts.
///
/// # Safety
/// As [`elements`], also for each of them.
pub(crate) unsafe fn texts<'a>(
    argument: &str,
    data: *const Text,
    count: usize,
) -> Result<Vec<&'a str>, Failure> {
    // SAFETY: as the caller says.
    let texts = unsafe { elements(argument, data, count) }?.iter();
    let texts = texts.enumerate().map(|(index, it)| {
        // SAFETY: as the caller says.
        unsafe { text(&format!("{argument}[{index}]"), it.data, it.len) }
    });
    texts.collect()
}

/// Bytes that are to be text.
pub(crate) fn utf8<'a>(argument: &str, bytes: &'a [u8]) -> Result<&'a str, Failure> {
    str::from_utf8(bytes).map_err(|error| Failure::Utf8 {
        argument: argument.to_owned(),
        offset: error.valid_up_to(),
    })
}

/// Where one value is to be written, if the caller wants it.
///
/// # Safety
/// Unless it is NULL or misaligned, there is room for one, which nobody else uses meanwhile.
pub(crate) unsafe fn place<'a, T>(data: *mut T) -> Option<&'a mut MaybeUninit<T>> {
    if data.is_null() || !data.is_aligned() {
        return None;
    }
    // SAFETY: aligned, not NULL, and there, as the caller says. What is in it is not read.
    Some(unsafe { &mut *data.cast() })
}

/// Where one value has to be written.
///
/// # Safety
/// As [`place`].
pub(crate) unsafe fn required<'a, T>(
    argument: &str,
    data: *mut T,
) -> Result<&'a mut MaybeUninit<T>, Failure> {
    check(argument, data, 1)?;
    // SAFETY: as the caller says.
    unsafe { place(data) }.ok_or_else(|| Failure::Null {
        argument: argument.to_owned(),
    })
}

/// Gives a string away, to be freed by `encoderfile_string_free`: its address and, where the
/// caller wants it, its length in bytes without the NUL after it.
///
/// # Safety
/// As [`place`], for both.
pub(crate) unsafe fn give_string(
    string: String,
    argument: &str,
    data: *mut *mut c_char,
    len: *mut usize,
) -> Result<(), Failure> {
    // SAFETY: as the caller says.
    let (data, len) = unsafe { (required(argument, data)?, place(len)) };
    if let Some(len) = len {
        len.write(string.len());
    }
    // JSON has no NUL in it: it would be escaped.
    let string = CString::new(string).unwrap_or_default();
    data.write(string.into_raw());
    Ok(())
}

/// Frees a string that this library gave away. NULL is allowed.
///
/// # Safety
/// `string` is NULL, or a string of this library that is neither freed nor changed; afterwards it
/// may not be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: `give_string` made it with `CString::into_raw`, and the caller gives it back once.
        drop(unsafe { CString::from_raw(string) });
    }
}

//! The library as an extension of SQLite.
//!
//! **Invariant:** within a connection, a name is one file's and the first model is the one that is
//! meant where none is named. So the functions that compute are deterministic, and SQLite may
//! compute `encode('a query')` once a statement.

mod arguments;
mod entities;
mod functions;
mod models;

use encoderfile::panics::catch;
use models::Models;
use rusqlite::ffi::{SQLITE_ERROR, rusqlite_extension_init2, sqlite3, sqlite3_api_routines};
use rusqlite::{Connection, Error, to_sqlite_error};
use std::ffi::{c_char, c_int};

/// Adds the functions and the table to a connection. SQLite calls it by this name, which it makes
/// of the file's.
///
/// # Safety
/// SQLite's own contract with extensions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_encoderfile_init(
    connection: *mut sqlite3,
    message: *mut *mut c_char,
    api: *mut sqlite3_api_routines,
) -> c_int {
    if api.is_null() {
        return SQLITE_ERROR;
    }
    // SAFETY: as SQLite says.
    let init = || unsafe {
        // An older SQLite, which lacks some of the functions, is told so.
        match rusqlite_extension_init2(api) {
            Ok(()) => Connection::extension_init2(connection, message, api, register),
            Err(error) => to_sqlite_error(&error.into(), message),
        }
    };
    catch(init).unwrap_or_else(|bug| {
        let words = bug.detail().unwrap_or_default().to_owned();
        // SAFETY: as SQLite says.
        unsafe { to_sqlite_error(&Error::ModuleError(words), message) }
    })
}

/// `true` keeps the library loaded when the connection is closed: threads of its models may still
/// be on their way out.
fn register(connection: Connection) -> Result<bool, Error> {
    let models = Models::default();
    functions::register(&connection, &models)?;
    entities::register(&connection, models)?;
    Ok(true)
}

//! Panics of the inference engine, of the tokenizers library and our own, as errors.
//!
//! **Invariant:** no panic of theirs leaves [`Model`](crate::Model) as one where panics
//! unwind; whoever calls an [`Encoder`](crate::Encoder) or what is below it asks [`catch`].
//! In WebAssembly they do not unwind: the frontend's hook says what happened and ends the
//! program.

use crate::Bug;
use std::any::Any;

/// What `compute` gives, or what its panic said. Nobody else hears of the panic.
///
/// # Errors
/// [`Bug::Panic`].
#[cfg(not(target_family = "wasm"))]
pub fn catch<T>(compute: impl FnOnce() -> T) -> Result<T, Bug> {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::Ordering;

    silence_while_guarded();
    GUARDS.fetch_add(1, Ordering::SeqCst);
    let result = catch_unwind(AssertUnwindSafe(compute));
    GUARDS.fetch_sub(1, Ordering::SeqCst);
    result.map_err(|panic| bug(&*panic))
}

/// What `compute` gives.
///
/// # Errors
/// None: a panic ends the program, or the call from JavaScript.
#[cfg(target_family = "wasm")]
pub fn catch<T>(compute: impl FnOnce() -> T) -> Result<T, Bug> {
    Ok(compute())
}

/// How many guards there are at the moment, in all threads: the engine has its own.
#[cfg(not(target_family = "wasm"))]
static GUARDS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Installed once and not for each guard: two threads would restore each other's hook.
#[cfg(not(target_family = "wasm"))]
fn silence_while_guarded() {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if GUARDS.load(std::sync::atomic::Ordering::SeqCst) == 0 {
                hook(panic);
            }
        }));
    });
}

/// What `compute` gives; its panic is an error of the same type.
pub(crate) fn guarded<T, E: From<Bug>>(compute: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch(compute).unwrap_or_else(|bug| Err(bug.into()))
}

/// The error that a caught panic is.
pub fn bug(panic: &(dyn Any + Send)) -> Bug {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Bug::Panic {
        message: text.unwrap_or("no message").replace('\n', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let said = |message: &str| {
            let message = message.to_owned();
            Err(Bug::Panic { message })
        };
        assert_eq!(catch(|| 7), Ok(7));
        assert_eq!(
            catch::<()>(|| panic!("of a {}\nor two", "kind")),
            said("of a kind or two")
        );
        assert_eq!(catch::<()>(|| panic!("plain")), said("plain"));
        assert_eq!(catch::<()>(|| std::panic::panic_any(7)), said("no message"));
    }
}

//! The inference engine may panic over a graph that it did not expect, and the tokenizers
//! library over a tokenizer.json. Here that is an error like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many guards there are at the moment, in all threads: the engine has its own.
static GUARDS: AtomicUsize = AtomicUsize::new(0);

/// The result, or what the panic said.
pub(crate) fn catch<T>(compute: impl FnOnce() -> T) -> Result<T, String> {
    silence_while_guarded();
    GUARDS.fetch_add(1, Ordering::SeqCst);
    let result = catch_unwind(AssertUnwindSafe(compute));
    GUARDS.fetch_sub(1, Ordering::SeqCst);
    result.map_err(|panic| message(&*panic))
}

/// Installed once and not for each guard: two threads would restore each other's hook.
fn silence_while_guarded() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if GUARDS.load(Ordering::SeqCst) == 0 {
                hook(panic);
            }
        }));
    });
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").replace('\n', " ")
}

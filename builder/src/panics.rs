//! The inference engine may panic over a graph that it did not expect. Here that
//! is an error like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result, or what the panic said.
pub(crate) fn catch<T>(compute: impl FnOnce() -> T) -> Result<T, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(compute));
    std::panic::set_hook(hook);
    result.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").replace('\n', " ")
}

//! Models by number.
//!
//! **Invariant:** a number is given once, so that the number of a closed model is nobody else's.
//! What a fork's child inherits is never locked there: the thread that holds a lock may be in the
//! parent, and so are the threads of the models.

use crate::border::Failure;
use encoderfile::Model;
use std::collections::HashMap;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// A model: a number that this library gives, and 0 for none. Any thread may use it, several at a
/// time, also while another closes it. One that was closed, or that a forked process inherited, is
/// an error in every function. A copy is the same model.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Handle(u64);

/// The models of a process.
struct Registry {
    process: u32,
    /// Below are those of the process that this one was forked from.
    first: u64,
    models: RwLock<HashMap<u64, Model>>,
    /// That of the process that this one was forked from: never used, and not lost either.
    _inherited: Option<&'static Self>,
}

/// That of the process which last opened a model. A forked process makes another.
static REGISTRY: AtomicPtr<Registry> = AtomicPtr::new(ptr::null_mut());

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Registry {
    fn current() -> Option<&'static Self> {
        // SAFETY: `of_this_process` leaked it.
        unsafe { REGISTRY.load(Ordering::Acquire).as_ref() }
    }

    /// That of this process, made where there is none.
    fn of_this_process() -> &'static Self {
        let before = Self::current();
        let process = process::id();
        if let Some(registry) = before.filter(|it| it.process == process) {
            return registry;
        }
        let new = Box::into_raw(Box::new(Self {
            process,
            first: NEXT.load(Ordering::Relaxed),
            models: RwLock::default(),
            _inherited: before,
        }));
        let before = before.map_or(ptr::null_mut(), |it| ptr::from_ref(it).cast_mut());
        let exchanged = REGISTRY.compare_exchange(before, new, Ordering::AcqRel, Ordering::Acquire);
        match exchanged {
            // SAFETY: just leaked.
            Ok(_) => unsafe { &*new },
            Err(others) => {
                // SAFETY: nobody has seen this one, and another thread leaked that one.
                unsafe {
                    drop(Box::from_raw(new));
                    &*others
                }
            }
        }
    }
}

/// Keeps a model until it is closed.
pub(crate) fn keep(model: Model) -> Handle {
    let registry = Registry::of_this_process();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut models = (registry.models.write()).unwrap_or_else(PoisonError::into_inner);
    models.insert(number, model);
    Handle(number)
}

/// The model, for as long as the caller needs it.
pub(crate) fn model(Handle(number): Handle) -> Result<Model, Failure> {
    let registry = Registry::current().ok_or(Failure::Closed)?;
    let is_others = registry.process != process::id();
    if number != 0 && (is_others || number < registry.first) {
        return Err(Failure::Forked);
    }
    let models = (registry.models.read()).unwrap_or_else(PoisonError::into_inner);
    models.get(&number).cloned().ok_or(Failure::Closed)
}

/// Lets go of a model. Its memory is freed when the last call that uses it returns.
pub(crate) fn close(Handle(number): Handle) {
    let registry = Registry::current().filter(|it| it.process == process::id());
    let model = registry.and_then(|it| {
        let mut models = it.models.write().unwrap_or_else(PoisonError::into_inner);
        models.remove(&number)
    });
    // Outside of the lock, since it takes a while.
    drop(model);
}
